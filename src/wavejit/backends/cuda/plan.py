"""A model's kernel: the smallest partition that keeps all weights near, or else the largest.

Of the partitions whose weights fit in registers and shared memory, a single stream gets the one with the fewest cycles
a tick; several streams side by side get what the GPU has room for. Where none fits, weights are read from the L2 cache,
and the plan says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from wavejit.backends.cuda.device import WARPS_A_TEAM, Device
from wavejit.backends.cuda.graph import Graph
from wavejit.backends.cuda.partition import Partition, Weights, partition
from wavejit.backends.cuda.place import Places, place
from wavejit.backends.cuda.source import kernel_source, primitives
from wavejit.backends.cuda.tiles import COLUMNS_A_WORD, TILE_BYTES
from wavejit.errors import InputError
from wavejit.ir.ops import Affine, Condition, Step

CLUSTERS = (1, 2, 4, 8, 16)
FOR_VALUES = 32 * 1024  # bytes of shared memory, about, that are no room for tiles
TRIES = 3
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
        """How it is spread: "multiprocessor" or "cluster of N"."""
        blocks = self.partition.blocks
        return "multiprocessor" if blocks == 1 else f"cluster of {blocks}"

    @property
    def fits(self) -> bool:
        """Whether all weights stay near."""
        return self.places.global_tiles == 0 and not self.places.far_tensors

    @property
    def threads(self) -> int:
        """Of a block."""
        return 32 * WARPS_A_TEAM * self.partition.teams // self.partition.blocks

    @property
    def ticks_a_second(self) -> float:
        """As estimated; nothing is promised."""
        return self.device.clock / self.partition.cycles

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
        streams: in one pass over the weights: 1 or 4.
        blocks: multiprocessors of a stream; None to choose.

    Raises:
        InputError: a step that this backend cannot run; names what it cannot.
    """
    found = _plans(step, device, streams, CLUSTERS if blocks is None else (blocks,))
    near = [one for one in found if one.fits]
    if not near:
        return min(found, key=lambda one: one.places.global_tiles)
    if streams > 1:
        return near[0]
    best = min(one.partition.cycles for one in near)
    return next(one for one in near if one.partition.cycles <= WORTH_MORE_BLOCKS * best)


def plan_streams(step: Step, device: Device, streams: int) -> Plan:
    """A plan for so many streams side by side: each by itself while the GPU has room for them, else four a pass.

    Raises:
        InputError: a step that this backend cannot run.
    """
    alone = plan(step, device)
    if streams * alone.partition.blocks <= device.multiprocessors:
        return alone
    smaller = [one for one in _plans(step, device, 1, CLUSTERS) if one.fits] or [alone]
    side_by_side = [one for one in smaller if streams * one.partition.blocks <= device.multiprocessors]
    if side_by_side:
        return min(side_by_side, key=lambda one: one.partition.cycles)
    if any(alone.graph.lines[task.makes].clock > 1 for task in alone.graph.tasks):
        return smaller[0]  # their slower clocks do not tick together; launches wait for each other
    return plan(step, device, streams=4)


def _plans(step: Step, device: Device, streams: int, sizes: Sequence[int]) -> list[Plan]:
    """The plans that a device has room for, those on fewer multiprocessors first."""
    _check(step, streams)
    graph = Graph(step)
    if streams > 1 and any(graph.lines[task.makes].clock > 1 for task in graph.tasks):
        raise InputError(
            f"{step.name}: streams cannot share a pass on the cuda backend, for its loop has slower clocks"
        )
    weights = Weights(graph)
    found = [_plan(graph, weights, device, streams, size) for size in sizes if size <= device.largest_cluster]
    possible = [one for one in found if one.places.shared_bytes <= device.shared_bytes]
    if not possible:
        least = min(one.places.shared_bytes for one in found)
        raise InputError(
            f"{step.name}: its values need {least:,} bytes of a multiprocessor's shared memory, "
            f"and {device.arch} has {device.shared_bytes:,}"
        )
    return possible


def _plan(graph: Graph, weights: Weights, device: Device, streams: int, blocks: int) -> Plan:
    """A partition into so many blocks; done again, for what is left for tiles shows when all else is placed."""
    fixed = [FOR_VALUES] * blocks
    tries: list[Plan] = []
    for _ in range(TRIES):
        room = [
            device.register_tiles + max(0, device.shared_bytes - size) // (device.teams * WARPS_A_TEAM * TILE_BYTES)
            for size in fixed
            for _ in range(device.teams)
        ]
        found = partition(graph, weights, blocks, room)
        tries.append(Plan(graph.step, graph, device, streams, found, place(graph, found, device, streams)))
        if tries[-1].fits:
            break
        fixed = list(tries[-1].places.fixed_bytes)
    return min(tries, key=lambda one: one.places.global_tiles)


def _check(step: Step, streams: int) -> None:
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
    if streams not in (1, 4):
        raise InputError(f"streams is {streams}, expected 1 or 4 in one pass for the cuda backend")
