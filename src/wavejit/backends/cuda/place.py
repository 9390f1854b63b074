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
from wavejit.backends.cuda.images import (
    ALIGNMENT,
    WORDS_A_TILE,
    GlobalImage,
    SharedImage,
    joined,
    step_words,
    tile_by_tile,
)
from wavejit.backends.cuda.partition import Partition, Piece
from wavejit.backends.cuda.tiles import ROWS, packed_terms, unit_tiles
from wavejit.ir.formats import FormatName, scale_groups
from wavejit.ir.graph import operands, weights_of
from wavejit.ir.layout import rounded
from wavejit.ir.ops import Affine, Constant, Delayed, Line, Lookup, Ref, Upsample

BARRIER = 8  # bytes
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
        barrier: bytes from the start of a block's memory to its two barriers; None where only its maker reads it.
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
        destinations: for each piece, the blocks that read what it makes.
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


def elements_of(task: Task, outputs: range) -> NDArray[np.intp]:
    """The elements of a task's value that some of its outputs are."""
    parts = task.parts if task.product == task.makes else 1
    here = np.arange(outputs.start, outputs.stop)
    return np.concatenate([part * task.outputs + here for part in range(parts)])


class _Placer:
    def __init__(self, graph: Graph, found: Partition, device: Device, streams: int) -> None:
        self._graph, self._found, self._device, self._streams = graph, found, device, streams
        self._pieces = found.pieces
        self._makers: dict[Ref, list[int]] = {}
        for i, piece in enumerate(self._pieces):
            self._makers.setdefault(piece.task.makes, []).append(i)
        self._readers()

    def places(self) -> Places:
        kept = self._graph.kept
        barriers, counts = self._barriers()
        values, values_bytes = self._values(kept, barriers)
        values_start = rounded(len(counts[0]) * BARRIER, ALIGNMENT)
        cursor = values_start + rounded(values_bytes, ALIGNMENT) * self._streams
        scratch: list[int] = []
        teams_a_block = self._found.teams // self._found.blocks
        sizes = [self._scratch_bytes(team) for team in range(self._found.teams)]
        largest = max(sizes, default=0)
        for team in range(self._found.teams):
            scratch.append(cursor + team % teams_a_block * largest)
        image_start = rounded(cursor + teams_a_block * largest, ALIGNMENT)
        writer = GlobalImage()
        tensors: dict[tuple[int, str], int] = {}
        constants = [0] * len(self._pieces)
        tiles: list[tuple[tuple[TilePlace, ...], ...]] = [()] * len(self._pieces)
        images: list[int] = []
        image_bytes: list[int] = []
        fixed: list[int] = []
        fullest, in_global = image_start, 0
        register_words: dict[int, list[NDArray[np.uint32]]] = {team: [] for team in range(self._found.teams)}
        used = dict.fromkeys(range(self._found.teams), 0)
        global_tensors: dict[str, int] = {}
        far: set[str] = set()
        for name in sorted(self._graph.ahead_tensors):
            data = np.ascontiguousarray(self._graph.step.weights[name])
            global_tensors[name] = writer.put(data.view(np.uint32))
        for block in range(self._found.blocks):
            image = SharedImage(image_start, self._device.shared_bytes)
            mine = [i for i, piece in enumerate(self._pieces) if self._found.block(piece.team) == block]
            for i in mine:
                constants[i] = image.put(self._constants(self._pieces[i]))
            names = self._tensor_names(mine)
            for name in sorted(names, key=lambda name: (self._graph.step.weights[name].nbytes, name)):
                data = self._graph.step.weights[name]
                if data.nbytes <= LARGEST_CONSTANT or image.room(data.nbytes):
                    tensors[block, name] = image.put(np.ascontiguousarray(data).view(np.uint32).reshape(-1))
                else:
                    far.add(name)
                    if name not in global_tensors:
                        global_tensors[name] = writer.put(np.ascontiguousarray(data).view(np.uint32))
            fixed.append(image.end)
            for i in mine:
                placed, words, globals_ = self._tiles(self._pieces[i], used, image, writer)
                tiles[i] = placed
                register_words[self._pieces[i].team] += words
                in_global += globals_
            images.append(writer.put(image.data()))
            image_bytes.append(4 * len(image.data()))
            fullest = max(fullest, image.end)
        register_image = tuple(writer.put(joined(register_words[team])) for team in range(self._found.teams))
        counts_start = writer.put(counts)
        rings, rings_bytes = self._rings()
        ahead, ahead_elements = self._ahead()
        rings_start = values_bytes * self._found.blocks
        ahead_start = rings_start + rings_bytes
        return Places(
            values=values,
            ahead=ahead,
            rings=rings,
            destinations=tuple(self._destinations),
            tiles=tuple(tiles),
            constants=tuple(constants),
            tensors=tensors,
            global_tensors=global_tensors,
            far_tensors=frozenset(far),
            done_barrier=0,
            counts=counts,
            barrier_bytes=len(counts[0]) * BARRIER,
            values_start=values_start,
            values_bytes=values_bytes,
            scratch=tuple(scratch),
            image_start=image_start,
            images=tuple(images),
            image_bytes=tuple(image_bytes),
            register_image=register_image,
            registers=tuple(used[team] for team in range(self._found.teams)),
            counts_start=counts_start,
            fixed_bytes=tuple(fixed),
            shared_bytes=fullest,
            weights=writer.data(),
            global_tiles=in_global,
            state_bytes=rounded(ahead_start + 4 * ahead_elements, ALIGNMENT),
            rings_start=rings_start,
            ahead_start=ahead_start,
        )

    # ------------------------------------------------------------------------------ who reads what

    def _readers(self) -> None:
        """For each piece the blocks that read it; for each value whether another team does."""
        blocks: list[set[int]] = [set() for _ in self._pieces]
        self._signalled: set[Ref] = set()
        made = [elements_of(piece.task, piece.outputs) for piece in self._pieces]
        for reader in self._pieces:
            for read in self._graph.reads(reader.task, reader.outputs):
                if read.value not in self._graph.kept or self._graph.ring_of(read.value, read.ticks):
                    continue
                for i in self._makers.get(read.value, []):
                    if read.elements is None or len(np.intersect1d(read.elements, made[i], assume_unique=False)):
                        blocks[i].add(self._found.block(reader.team))
                        if self._pieces[i].team != reader.team:
                            self._signalled.add(read.value)
        self._destinations = [tuple(sorted(found)) for found in blocks]

    def _barriers(self) -> tuple[dict[Ref, int], NDArray[np.uint32]]:
        """Two barriers for each value that another team reads, behind those that end a tick."""
        places = {ref: 2 * BARRIER * (i + 1) for i, ref in enumerate(r for r in self._makers if r in self._signalled)}
        counts = np.zeros((self._found.blocks, 2 * (len(places) + 1)), np.uint32)
        counts[:, :2] = self._found.teams
        for i, piece in enumerate(self._pieces):
            if piece.task.makes in places:
                at = places[piece.task.makes] // BARRIER
                for block in self._destinations[i]:
                    counts[block, at : at + 2] += WARPS_A_TEAM
        return places, counts

    def _values(self, kept: Mapping[Ref, Kept], barriers: dict[Ref, int]) -> tuple[dict[Ref, ValuePlace], int]:
        """Offsets at which all blocks that read a value have room for it; those that most blocks read first."""
        where = {ref: sorted({b for i in self._makers[ref] for b in self._destinations[i]}) for ref in kept}
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

    def _tensor_names(self, pieces: list[int]) -> set[str]:
        """The tensors that expressions of some pieces read."""
        names: set[str] = set()
        for i in pieces:
            task = self._pieces[i].task
            refs = [task.makes, *([task.product] if task.product is not None else [])]
            loop = self._graph.loops.get(task.makes)
            refs += list(loop.refs) + list(loop.parts) if loop else []
            seen: set[Ref] = set()
            while refs:
                ref = refs.pop()
                if ref in seen:
                    continue
                seen.add(ref)
                line = self._graph.lines[ref]
                names |= _read_as_they_stand(line)
                inside = ref in (task.makes, task.product) or (loop and ref in loop.refs)
                if inside or not self._graph.makes(ref):
                    refs += [x for x in _followed(line) if not self._graph.makes(x) or (loop and x in loop.refs)]
        return names

    def _tiles(
        self, piece: Piece, used: dict[int, int], image: SharedImage, writer: GlobalImage
    ) -> tuple[tuple[tuple[TilePlace, ...], ...], list[NDArray[np.uint32]], int]:
        """Where each step of each term lies; the words for registers; tiles left in global memory."""
        placed: list[tuple[TilePlace, ...]] = []
        words: list[NDArray[np.uint32]] = []
        in_global = 0
        for number in range(len(piece.terms)):
            steps: list[TilePlace] = []
            for step in range(piece.steps_a_warp(number)):
                data = step_words(piece, number, step)
                of_lane = data.shape[0]
                if used[piece.team] + of_lane <= WORDS_A_TILE * self._device.register_tiles:
                    steps.append(TilePlace("registers", used[piece.team]))
                    used[piece.team] += of_lane
                    words.append(data)
                elif image.room(data.nbytes):
                    steps.append(TilePlace("shared", image.put(tile_by_tile(data, piece.tiles_a_step))))
                else:
                    steps.append(TilePlace("global", writer.put(tile_by_tile(data, piece.tiles_a_step))))
                    in_global += WARPS_A_TEAM * piece.tiles_a_step
            placed.append(tuple(steps))
        return tuple(placed), words, in_global

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


def _read_as_they_stand(line: Line) -> set[str]:
    return set(weights_of(line.op)) if isinstance(line.op, (Constant, Lookup, Upsample)) else set()


def _followed(line: Line) -> tuple[Ref, ...]:
    """What an expression of an operation is written with."""
    if isinstance(line.op, Affine):
        return line.op.addends
    if isinstance(line.op, Delayed):
        return ()
    return operands(line.op)
