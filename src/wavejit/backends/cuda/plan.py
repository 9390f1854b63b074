"""A model's kernel: the smallest partition that keeps all weights near, a multiprocessor, a cluster or a grid.

Of the partitions whose weights fit in registers and shared memory, a single stream gets the one with the fewest cycles
a tick, and a grid only where no cluster is among them; several streams side by side get what the GPU has room for, one,
four or eight in a pass over the weights. Where none fits, weights are read from the L2 cache each tick, which takes its
time, and the plan says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from wavejit.backends.cuda.blocks import primitives, threads_a_block
from wavejit.backends.cuda.device import WARPS_A_TEAM, Device
from wavejit.backends.cuda.graph import Graph
from wavejit.backends.cuda.partition import Partition, Weights, partition
from wavejit.backends.cuda.place import Places, place
from wavejit.backends.cuda.source import kernel_source
from wavejit.backends.cuda.tiles import COLUMNS_A_WORD, TILE_BYTES, stream_groups
from wavejit.errors import InputError
from wavejit.ir.ops import Affine, Condition, Step

STREAMS_A_PASS = (1, 4, 8)
FOR_VALUES = 32 * 1024  # bytes of shared memory, about, that are no room for tiles
TRIES = 3
TILE_FROM_L2 = 24  # cycles of a multiprocessor, which reads about 22 bytes in each
WORTH_MORE_BLOCKS = 1.03  # so many times the fewest cycles are as good, on fewer multiprocessors


@dataclass(frozen=True)
class Plan:
    """How a step runs on a device.

    Attributes:
        step: after the passes for GPUs.
        graph: its tasks.
        device: that it is for.
        streams: in one pass over the weights.
        partition: tasks on teams.
        places: of values and weights.
    """

    step: Step
    graph: Graph
    device: Device
    streams: int
    partition: Partition
    places: Places

    @property
    def name(self) -> str:
        """How it is spread: "multiprocessor", "cluster of N" or "grid of N"."""
        found = self.partition
        return found.kind if found.blocks == 1 else f"{found.kind} of {found.blocks}"

    @property
    def fits(self) -> bool:
        """Whether all weights stay near."""
        return self.places.global_tiles == 0 and not self.places.far_tensors

    @property
    def threads(self) -> int:
        """Of a block."""
        return threads_a_block(self.partition)

    @cached_property
    def cycles(self) -> float:
        """A tick, as estimated; nothing is promised."""
        far = [0] * self.partition.blocks
        for piece, terms in zip(self.partition.pieces, self.places.tiles, strict=True):
            steps = sum(place.memory == "global" for term in terms for place in term)
            far[self.partition.block(piece.team)] += steps * piece.tiles_a_step * WARPS_A_TEAM
        return self.partition.cycles + TILE_FROM_L2 * max(far)

    @property
    def ticks_a_second(self) -> float:
        """As estimated, of one stream."""
        return self.device.clock / self.cycles

    def cycles_of(self, streams: int) -> float:
        """A tick of so many streams, as estimated: those that the GPU has no room for wait for the others."""
        passes, at_once = -(-streams // self.streams), max(1, self.device.multiprocessors // self.partition.blocks)
        return -(-passes // at_once) * self.cycles

    def side_by_side(self, streams: int) -> bool:
        """Whether the GPU has room for so many streams at once."""
        return -(-streams // self.streams) * self.partition.blocks <= self.device.multiprocessors

    @cached_property
    def source(self) -> str:
        """The kernels, but for the primitives."""
        return kernel_source(self.graph, self.partition, self.places, self.device, self.streams)

    @property
    def text(self) -> str:
        """What NVRTC compiles."""
        return "\n".join([primitives("device.cuh"), primitives("common.cuh"), self.source])


def plan(step: Step, device: Device, streams: int = 1, blocks: int | None = None) -> Plan:
    """Choose a partition for a lowered step.

    Args:
        step: lowered by `GPU_PIPELINE`.
        device: that it is for.
        streams: in one pass over the weights: 1, 4 or 8.
        blocks: multiprocessors of a stream; None to choose.

    Raises:
        InputError: a step that this backend cannot run; names what it cannot.
    """
    return _Planner(step, device).best(streams, blocks)


def plan_streams(step: Step, device: Device, streams: int) -> Plan:
    """A plan for so many streams side by side.

    As few share a pass as the GPU has room for; where even eight a pass are too many at once, it is what makes most
    samples a second, as estimated.

    Raises:
        InputError: a step that this backend cannot run.
    """
    planner = _Planner(step, device)
    alone = planner.best(1)
    if alone.side_by_side(streams):
        return alone
    found = [alone]
    for in_pass in STREAMS_A_PASS if planner.can_share else STREAMS_A_PASS[:1]:
        these = planner.plans(in_pass)
        fitting = [one for one in these if one.fits and one.side_by_side(streams)]
        if fitting:
            return min(fitting, key=lambda one: one.cycles)
        found += these
    return min(found, key=lambda one: one.cycles_of(streams))


class _Planner:
    """The plans of one step for one device."""

    def __init__(self, step: Step, device: Device) -> None:
        _check(step)
        self._step, self._device, self._graph = step, device, Graph(step)
        self._weights = Weights(self._graph)

    @property
    def can_share(self) -> bool:
        """Whether streams can share a pass: slower clocks of theirs do not tick together."""
        return all(self._graph.lines[task.makes].clock == 1 for task in self._graph.tasks)

    def best(self, streams: int, blocks: int | None = None) -> Plan:
        """The one with the fewest cycles whose weights all stay near, or one on fewer blocks that is as good."""
        if streams not in STREAMS_A_PASS:
            raise InputError(f"streams is {streams}, expected 1, 4 or 8 in one pass for the cuda backend")
        if streams > 1 and not self.can_share:
            raise InputError(
                f"{self._step.name}: streams cannot share a pass on the cuda backend, for its loop has slower clocks"
            )
        found = self.plans(streams) if blocks is None else list(self._possible(streams, [blocks]))
        if not found:
            raise InputError(
                f"{self._step.name}: its values need more than the {self._device.shared_bytes:,} bytes of a "
                f"multiprocessor's shared memory on {self._device.arch}"
            )
        least = min(one.cycles for one in found)
        return next(one for one in found if one.cycles <= WORTH_MORE_BLOCKS * least)

    def plans(self, streams: int) -> list[Plan]:
        """Those whose weights fit on one multiprocessor or a cluster; where none do, these and grids.

        Of grids, those up to the smallest whose weights fit: each block more costs the others more hand-overs.
        """
        found = list(self._possible(streams, self._device.clusters))
        near = [one for one in found if one.fits]
        if near:
            return near
        for one in self._possible(streams, self._device.grids):
            found.append(one)
            if one.places.global_tiles == 0:
                break
        return found

    def _possible(self, streams: int, sizes: Sequence[int]) -> Iterator[Plan]:
        """The plans on so many blocks whose values have room there, the smallest first.

        Where the weights do not fit on so many blocks, all but the largest number are left out.
        """
        roomy = [size for size in sizes if self._weights.bytes <= size * self._device.tile_bytes]
        found = (self._plan(streams, size) for size in roomy or sizes[-1:])
        return (one for one in found if one.places.shared_bytes <= self._device.shared_bytes)

    def _plan(self, streams: int, blocks: int) -> Plan:
        """A partition into so many blocks; done again, for what is left for tiles shows when all else is placed."""
        graph, kind = self._graph, self._device.kind_of(blocks)
        device = self._device.with_couriers() if kind == "grid" else self._device
        fixed = [FOR_VALUES] * blocks
        tries: list[Plan] = []
        for _ in range(TRIES):
            room = [
                device.register_tiles + max(0, device.shared_bytes - size) // (device.teams * WARPS_A_TEAM * TILE_BYTES)
                for size in fixed
                for _ in range(device.teams)
            ]
            found = partition(graph, self._weights, blocks, kind, room, stream_groups(streams))
            tries.append(Plan(graph.step, graph, self._device, streams, found, place(graph, found, device, streams)))
            if tries[-1].fits:
                break
            fixed = list(tries[-1].places.fixed_bytes)
        return min(tries, key=lambda one: one.places.global_tiles)


def _check(step: Step) -> None:
    if step.lanes > 1:
        raise InputError(f"{step.name}: the cuda backend does not run lanes; the step has {step.lanes}")
    conditions = {line.clock for line in step.lines.values() if isinstance(line.op, Condition)}
    if len(conditions) > 1:
        raise InputError(
            f"{step.name}: the cuda backend runs conditions on one clock; the step has them on {sorted(conditions)}"
        )
    formats = {line.op.format for line in step.lines.values() if isinstance(line.op, Affine)}
    if formats - set(COLUMNS_A_WORD):
        found = ", ".join(sorted(formats - set(COLUMNS_A_WORD)))
        raise InputError(f"{step.name}: the cuda backend has no {found} weights, expected {', '.join(COLUMNS_A_WORD)}")
