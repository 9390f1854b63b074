"""What a kernel consists of: where its weights lie, what a tick waits for, what the compiler made of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from wavejit.backends.cuda.compile import Compiled, disassembly, weight_loads_in_loop
from wavejit.backends.cuda.device import WARPS_A_TEAM
from wavejit.backends.cuda.partition import Partition, Stop, timeline
from wavejit.backends.cuda.plan import Plan
from wavejit.backends.cuda.tiles import TILE_BYTES
from wavejit.ir.show import show_line


@dataclass(frozen=True)
class TeamRow:
    """One team: where the weights of its pieces lie, in bytes, and what it does."""

    team: int
    block: int
    register_bytes: int
    shared_bytes: int
    global_bytes: int
    pieces: list[str]


@dataclass(frozen=True)
class StopRow:
    """One piece on the way from the end of a tick to the end of the next; cycles from the first one's beginning."""

    team: int
    piece: str
    begin: float
    end: float


@dataclass(frozen=True)
class KernelReport:
    """A kernel.

    Attributes:
        partition: what a stream runs on.
        registers: of a thread.
        shared_bytes: of a block.
        spilled_bytes: of a thread, for want of registers.
        weight_loads_in_loop: instructions that read weights from global memory each tick.
        floor_samples_per_second: of one stream, by the estimate of the critical path.
    """

    model: str
    target: str
    precision: str
    partition: str
    streams_a_pass: int
    registers: int
    shared_bytes: int
    spilled_bytes: int
    weight_loads_in_loop: int
    floor_samples_per_second: float
    cycles: float
    clock: float
    state_bytes: int
    teams: list[TeamRow]
    critical_path: list[StopRow]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def report(plan: Plan, code: Compiled) -> KernelReport:
    """Take a plan and its machine code apart.

    Raises:
        InputError: nvdisasm is not installed.
    """
    found, places = plan.partition, plan.places
    _, path = timeline(plan.graph, found)
    start = path[0].begin if path else 0.0
    return KernelReport(
        model=plan.step.name,
        target=plan.device.arch,
        precision=plan.step.precision,
        partition=plan.name,
        streams_a_pass=plan.streams,
        registers=code.registers,
        shared_bytes=places.shared_bytes,
        spilled_bytes=code.spilled_bytes,
        weight_loads_in_loop=weight_loads_in_loop(disassembly(code.cubin)),
        floor_samples_per_second=round(plan.ticks_a_second * plan.step.samples_per_tick, 1),
        cycles=plan.cycles,
        clock=plan.device.clock,
        state_bytes=places.state_bytes,
        teams=[_team(plan, number) for number in range(found.teams)],
        critical_path=[_stop(plan, found, stop, start) for stop in path],
    )


def _team(plan: Plan, number: int) -> TeamRow:
    bytes_in: Counter[str] = Counter()
    pieces: list[str] = []
    for index, piece in enumerate(plan.partition.pieces):
        if piece.team == number:
            pieces.append(_named(plan, index))
            for steps in plan.places.tiles[index]:
                for step in steps:
                    bytes_in[step.memory] += piece.tiles_a_step * WARPS_A_TEAM * TILE_BYTES
    return TeamRow(
        number, plan.partition.block(number), bytes_in["registers"], bytes_in["shared"], bytes_in["global"], pieces
    )


def _stop(plan: Plan, found: Partition, stop: Stop, start: float) -> StopRow:
    return StopRow(found.pieces[stop.piece].team, _named(plan, stop.piece), stop.begin - start, stop.end - start)


def _named(plan: Plan, index: int) -> str:
    """`%17 (64)`, and which outputs where it is cut."""
    piece = plan.partition.pieces[index]
    name = show_line(piece.task.makes, plan.graph.lines[piece.task.makes]).split(" = ")[0]
    whole = len(piece.outputs) == piece.task.outputs
    return name if whole else f"{name}[{piece.outputs.start}:{piece.outputs.stop}]"
