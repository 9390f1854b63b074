"""Where everything lies: values in the shared memory of the blocks that read them, weights beside them.

    block      barriers | values of each stream | scratch of each team | constants | tiles of weights
    stream     values of each block | past that is too long for slots | what runs ahead

A value lies at the same offset in every block that reads it, so that its maker can write it there. The state of a
stream between launches is its values, its past, and what the conditioning network has made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wavejit.backends.cuda.device import WARPS_A_TEAM, Device
from wavejit.backends.cuda.graph import Graph, Kept, Task
from wavejit.backends.cuda.handover import BARRIER, DONE, Carried, Handover
from wavejit.backends.cuda.images import (
    ALIGNMENT,
    WORDS_A_TILE,
    GlobalImage,
    SharedImage,
    joined,
    step_words,
    tile_by_tile,
)
from wavejit.backends.cuda.partition import Partition, Piece, elements_of
from wavejit.backends.cuda.tensors import tensors_read
from wavejit.backends.cuda.tiles import ROWS, packed_terms, unit_tiles
from wavejit.ir.formats import FormatName, scale_groups
from wavejit.ir.layout import rounded
from wavejit.ir.ops import Affine, Ref

LARGEST_CONSTANT = 4096  # bytes; larger tensors lie in shared memory while there is room
MOST_FRAMES = 32  # that one launch takes
PLANES: dict[FormatName, int] = {"float32": 1, "float16": 2, "bfloat16": 2, "int8": 1}
BYTES: dict[FormatName, int] = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
TILE_COLUMNS: dict[FormatName, int] = {"float32": 8, "float16": 16, "bfloat16": 16, "int8": 32}


@dataclass(frozen=True)
class ValuePlace:
    """Where a value lies in the shared memory of the blocks that read it.

    Attributes:
        offset: bytes from the start of a stream's values.
        stride: bytes from slot to slot.
        formats: for each format, bytes from the start of a slot; a second plane follows the first.
        plane: for each format, bytes of a plane.
        barrier: bytes from the start of a block's memory to its four barriers; None where only its maker reads it.
    """

    kept: Kept
    offset: int
    stride: int
    formats: Mapping[FormatName, int]
    plane: Mapping[FormatName, int]
    barrier: int | None


@dataclass(frozen=True)
class TilePlace:
    """Where the tiles of one step of one term lie: so many in registers, in shared or in global memory."""

    memory: str  # "registers", "shared", "global"
    start: int  # the number of a register word; bytes from the start of the block's memory, or of the weights


@dataclass(frozen=True)
class AheadPlace:
    """Where the conditioning network keeps a value: elements from the start of its part of a stream, and slots."""

    offset: int
    slots: int


@dataclass(frozen=True)
class Places:
    """Everything's place.

    Attributes:
        values: of the loop.
        ahead: of the conditioning network, in elements of 4 bytes.
        rings: bytes from the start of a stream's state to its long pasts.
        destinations: for each piece, the blocks into whose shared memory it writes.
        holders: for each value, the blocks in whose shared memory it lies.
        carried: the values that couriers bring to some of these.
        handed_bytes: of global memory through which a pass hands over; 0 but in a grid.
        errands: for each block, where its courier's lie in its memory, and how many they are.
        tiles: for each piece, term and step.
        constants: for each piece, where its biases and scales lie, in bytes from the start of its block's memory.
        tensors: for each block and tensor that its pieces read, the same.
        global_tensors: others, and all that the conditioning network reads, in bytes from the start of the weights.
        far_tensors: those of them that the loop reads.
        done_barrier: bytes from the start of a block's memory to the barriers that end a tick.
        barrier_bytes: of all barriers of a block.
        values_start, values_bytes: where each stream's values begin in a block's memory, and their size.
        scratch: for each team, where its warps add up.
        registers: words of weights that each thread keeps, of each team.
        fixed_bytes: of each block's memory, what holds no tiles.
        shared_bytes: of the fullest block.
        counts: how often each barrier of each block is arrived at before it opens.
        counts_start: where these lie in the weights, in bytes.
        images, image_bytes: what each block copies into its shared memory, from `image_start` on.
        register_image: where each team's words begin in the weights, in bytes.
        weights: all that lies in global memory.
        global_tiles: tiles that are read anew each tick.
        state_bytes: of a stream between launches; `rings_start` and `ahead_start` are where its parts begin.
    """

    values: Mapping[Ref, ValuePlace]
    ahead: Mapping[Ref, AheadPlace]
    rings: Mapping[Ref, int]
    destinations: tuple[tuple[int, ...], ...]
    holders: Mapping[Ref, tuple[int, ...]]
    carried: Mapping[Ref, Carried]
    handed_bytes: int
    errands: tuple[tuple[int, int], ...]
    tiles: tuple[tuple[tuple[TilePlace, ...], ...], ...]
    constants: tuple[int, ...]
    tensors: Mapping[tuple[int, str], int]
    global_tensors: Mapping[str, int]
    far_tensors: frozenset[str]
    done_barrier: int
    counts: NDArray[np.uint32]
    barrier_bytes: int
    values_start: int
    values_bytes: int
    scratch: tuple[int, ...]
    image_start: int
    images: tuple[int, ...]
    image_bytes: tuple[int, ...]
    register_image: tuple[int, ...]
    registers: tuple[int, ...]
    counts_start: int
    fixed_bytes: tuple[int, ...]
    shared_bytes: int
    weights: NDArray[np.uint8]
    global_tiles: int
    state_bytes: int
    rings_start: int
    ahead_start: int


def place(graph: Graph, found: Partition, device: Device, streams: int) -> Places:
    """Find a place for everything; what does not fit beside the rest is left in global memory."""
    return _Placer(graph, found, device, streams).places()


@dataclass(frozen=True)
class _Block:
    """What one block's memory holds, and where."""

    errands: int
    errand_count: int
    constants: Mapping[int, int]
    tensors: Mapping[str, int]
    tiles: Mapping[int, tuple[tuple[TilePlace, ...], ...]]
    image: int
    image_bytes: int
    fixed_bytes: int


class _Placer:
    def __init__(self, graph: Graph, found: Partition, device: Device, streams: int) -> None:
        self._graph, self._found, self._device, self._streams = graph, found, device, streams
        self._pieces = found.pieces
        self._teams = range(found.teams)
        self._writer = GlobalImage()
        self._global_tensors: dict[str, int] = {}
        self._far: set[str] = set()
        self._used = dict.fromkeys(self._teams, 0)  # words of weights in registers
        self._words: dict[int, list[NDArray[np.uint32]]] = {team: [] for team in self._teams}
        self._in_global = 0

    def places(self) -> Places:
        handover = Handover(self._graph, self._found)
        barriers = handover.barriers()
        counts = handover.counts(barriers)
        values, values_bytes = self._values(handover, barriers)
        carried, handed_bytes = handover.carried({ref: place.stride * self._streams for ref, place in values.items()})
        values_start = rounded(len(counts[0]) * BARRIER, ALIGNMENT)
        scratch, image_start = self._scratch(values_start + rounded(values_bytes, ALIGNMENT) * self._streams)
        for name in sorted(self._graph.ahead_tensors):
            self._global_tensors[name] = self._writer.put(self._tensor(name))
        blocks = [
            self._block(block, image_start, self._errands(block, handover, carried, values))
            for block in range(self._found.blocks)
        ]
        register_image = tuple(self._writer.put(joined(self._words[team])) for team in self._teams)
        counts_start = self._writer.put(counts)
        rings, rings_bytes = self._rings()
        ahead, ahead_elements = self._ahead()
        rings_start = values_bytes * self._found.blocks
        ahead_start = rings_start + rings_bytes
        by_piece = {i: block for block in blocks for i in block.constants}
        return Places(
            values=values,
            ahead=ahead,
            rings=rings,
            destinations=handover.destinations,
            holders={ref: tuple(handover.holders(ref)) for ref in values},
            carried=carried,
            handed_bytes=handed_bytes,
            errands=tuple((block.errands, block.errand_count) for block in blocks),
            tiles=tuple(by_piece[i].tiles[i] for i in range(len(self._pieces))),
            constants=tuple(by_piece[i].constants[i] for i in range(len(self._pieces))),
            tensors={(i, name): at for i, block in enumerate(blocks) for name, at in block.tensors.items()},
            global_tensors=self._global_tensors,
            far_tensors=frozenset(self._far),
            done_barrier=DONE,
            counts=counts,
            barrier_bytes=len(counts[0]) * BARRIER,
            values_start=values_start,
            values_bytes=values_bytes,
            scratch=scratch,
            image_start=image_start,
            images=tuple(block.image for block in blocks),
            image_bytes=tuple(block.image_bytes for block in blocks),
            register_image=register_image,
            registers=tuple(self._used[team] for team in self._teams),
            counts_start=counts_start,
            fixed_bytes=tuple(block.fixed_bytes for block in blocks),
            shared_bytes=max(image_start, *(image_start + block.image_bytes for block in blocks)),
            weights=self._writer.data(),
            global_tiles=self._in_global,
            state_bytes=rounded(ahead_start + 4 * ahead_elements, ALIGNMENT),
            rings_start=rings_start,
            ahead_start=ahead_start,
        )

    def _values(self, handover: Handover, barriers: dict[Ref, int]) -> tuple[dict[Ref, ValuePlace], int]:
        """Offsets at which all blocks that read a value have room for it; those that most blocks read first."""
        kept = self._graph.kept
        where = {ref: handover.holders(ref) for ref in kept}
        cursors = [0] * self._found.blocks
        found: dict[Ref, ValuePlace] = {}
        for ref in sorted(kept, key=lambda ref: -len(where[ref])):
            formats: dict[FormatName, int] = {}
            plane: dict[FormatName, int] = {}
            stride, size = 0, self._graph.lines[ref].size
            for name in kept[ref].formats:
                formats[name], plane[name] = stride, rounded(size, TILE_COLUMNS[name]) * BYTES[name]
                stride += PLANES[name] * plane[name]
            offset = max((cursors[block] for block in where[ref]), default=0)
            for block in where[ref]:
                cursors[block] = offset + stride * kept[ref].slots
            found[ref] = ValuePlace(kept[ref], offset, stride, formats, plane, barriers.get(ref))
        return found, rounded(max(cursors, default=0), ALIGNMENT)

    # ------------------------------------------------------------------------------------- weights

    def _errands(
        self, block: int, handover: Handover, carried: Mapping[Ref, Carried], values: Mapping[Ref, ValuePlace]
    ) -> NDArray[np.uint32]:
        """What a block's courier does, `Errand` in grid.cuh: `(errands, words)`; the end of a tick is the first."""
        if self._found.kind != "grid":
            return np.zeros((0, 8), np.uint32)
        rows = [(0, handover.ends_of_a_tick, 0, 0, 0, 1, DONE, 1)]
        for ref, one in carried.items():
            if block in one.blocks:
                to, clock = values[ref], self._graph.lines[ref].clock
                assert to.barrier is not None, "what is carried is waited for"
                rows.append(
                    (one.counters, one.arrivals, one.offset, to.stride, to.offset, to.kept.slots, to.barrier, clock)
                )
        return np.array(rows, np.uint32)

    def _block(self, number: int, start: int, errands: NDArray[np.uint32]) -> _Block:
        """Fill a block's memory from `start` on; weights that it has no room for stay in global memory."""
        image = SharedImage(start, self._device.shared_bytes)
        mine = [i for i, piece in enumerate(self._pieces) if self._found.block(piece.team) == number]
        errands_start = image.put(errands.reshape(-1))
        constants = {i: image.put(self._constants(self._pieces[i])) for i in mine}
        tensors: dict[str, int] = {}
        names = tensors_read(self._graph, [self._pieces[i].task for i in mine])
        for name in sorted(names, key=lambda name: (self._graph.step.weights[name].nbytes, name)):
            data = self._tensor(name)
            if data.nbytes <= LARGEST_CONSTANT or image.room(data.nbytes):
                tensors[name] = image.put(data)
            else:
                self._far.add(name)
                if name not in self._global_tensors:
                    self._global_tensors[name] = self._writer.put(data)
        fixed = image.end
        tiles = {i: self._tiles(self._pieces[i], image) for i in mine}
        at = self._writer.put(image.data())
        return _Block(errands_start, len(errands), constants, tensors, tiles, at, 4 * len(image.data()), fixed)

    def _tensor(self, name: str) -> NDArray[np.uint32]:
        return np.ascontiguousarray(self._graph.step.weights[name]).view(np.uint32).reshape(-1)

    def _scratch(self, start: int) -> tuple[tuple[int, ...], int]:
        """Where each team's warps add up, from `start` on, and where that ends: as much room for each."""
        teams_a_block = self._found.teams // self._found.blocks
        largest = max((self._scratch_bytes(team) for team in self._teams), default=0)
        found = tuple(start + team % teams_a_block * largest for team in self._teams)
        return found, rounded(start + teams_a_block * largest, ALIGNMENT)

    def _scratch_bytes(self, team: int) -> int:
        """Room for the totals of each warp, where they share columns, and for draws."""
        by_columns = [
            piece.units * unit_tiles(piece.task.parts) * ROWS
            for piece in self._pieces
            if piece.team == team and piece.by_columns
        ]
        groups = max((len(self.groups(piece)) for piece in self._pieces if piece.by_columns), default=1)
        return rounded(4 * WARPS_A_TEAM * groups * max(by_columns, default=0) * self._streams, ALIGNMENT)

    def groups(self, piece: Piece) -> list[range]:
        """The terms of a product that share a sum."""
        return sum_groups(self._graph, piece.task)

    def _constants(self, piece: Piece) -> NDArray[np.uint32]:
        """Biases, and for int8 the scale of each sum, for each part and output: `(1 or 1 + sums, parts, outputs)`."""
        if piece.task.product is None:
            return np.zeros(0, np.uint32)
        op, step = self._graph.lines[piece.task.product].op, self._graph.step
        assert isinstance(op, Affine)
        rows = elements_of(replace(piece.task, makes=piece.task.product), piece.outputs)
        size = piece.task.parts * piece.task.outputs
        bias = np.zeros(size, np.float32) if op.bias is None else step.weights[op.bias].reshape(-1)
        columns = [bias[rows]]
        if op.format == "int8":
            _, scales = packed_terms([step.weights[name].reshape(size, -1) for name in op.weights], op.format)
            assert scales is not None
            for group in self.groups(piece):
                of_input = np.float32(op.full_scales[group.start]) / np.float32(127)
                columns.append((scales * of_input).astype(np.float32)[rows])
        return np.concatenate(columns).astype(np.float32).view(np.uint32)

    def _tiles(self, piece: Piece, image: SharedImage) -> tuple[tuple[TilePlace, ...], ...]:
        """Where each step of each term lies: in registers first, then in shared memory, then in global memory."""
        placed: list[tuple[TilePlace, ...]] = []
        used = self._used
        for number in range(len(piece.terms)):
            steps: list[TilePlace] = []
            for step in range(piece.steps_a_warp(number)):
                data = step_words(piece, number, step)
                of_lane = data.shape[0]
                if used[piece.team] + of_lane <= WORDS_A_TILE * self._device.register_tiles:
                    steps.append(TilePlace("registers", used[piece.team]))
                    used[piece.team] += of_lane
                    self._words[piece.team].append(data)
                elif image.room(data.nbytes):
                    steps.append(TilePlace("shared", image.put(tile_by_tile(data, piece.tiles_a_step))))
                else:
                    steps.append(TilePlace("global", self._writer.put(tile_by_tile(data, piece.tiles_a_step))))
                    self._in_global += WARPS_A_TEAM * piece.tiles_a_step
            placed.append(tuple(steps))
        return tuple(placed)

    # ------------------------------------------------------------------------------------ the past

    def _rings(self) -> tuple[dict[Ref, int], int]:
        found: dict[Ref, int] = {}
        size = 0
        for ref, kept in self._graph.kept.items():
            if kept.ring:
                found[ref] = size
                size += rounded(4 * kept.ring * self._graph.lines[ref].size, ALIGNMENT)
        return found, size

    def _ahead(self) -> tuple[dict[Ref, AheadPlace], int]:
        found: dict[Ref, AheadPlace] = {}
        size, clock = 0, max((self._graph.lines[ref].clock for ref in self._graph.ahead), default=1)
        for task in self._graph.ahead_tasks:
            line = self._graph.lines[task.makes]
            longest = self._graph.longest(task.makes)
            at_once = MOST_FRAMES * clock // line.clock if task.makes in self._graph.exported else 0
            needed = longest + 2 + at_once + self._graph.step.lookahead
            slots = 1 << (needed - 1).bit_length()
            found[task.makes] = AheadPlace(size, slots)
            size += slots * line.size
        return found, size


def sum_groups(graph: Graph, task: Task) -> list[range]:
    """The terms of a task's product that share a sum: all, unless integers of different scales are added up."""
    if task.product is None:
        return []
    op = graph.lines[task.product].op
    assert isinstance(op, Affine)
    if op.format != "int8":
        return [range(len(op.inputs))]
    return scale_groups(op.full_scales, [graph.lines[x].size for x in op.inputs])
