"""What native code consists of: its kernels, where bytes and operations go, what waits for the last sample."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from wavejit.backends.llvm.program import Program
from wavejit.ir.cost import cost
from wavejit.ir.graph import clocks
from wavejit.ir.ops import Step
from wavejit.ir.target import Target
from wavejit.ir.tasks import Share, shares_of
from wavejit.passes.order import critical


@dataclass(frozen=True)
class KernelRow:
    """One kernel, per sample."""

    kernel: str
    calls: float
    multiply_adds: float
    weight_bytes: float


@dataclass(frozen=True)
class ThreadRow:
    """What one of two threads would do a tick: its tasks, how often it waits for the other; bytes a sample."""

    tasks: int
    waits: int
    weight_bytes: float


@dataclass(frozen=True)
class Anatomy:
    """The parts; counts are per sample of audio.

    Attributes:
        critical_operations: operations between one sample's draw and the next sample's.
        packed_bytes: all weights as packed, with padding.
        stream_bytes: memory of one stream.
    """

    model: str
    precision: str
    target: str
    accuracy: str
    sample_rate: int
    operations: int
    critical_operations: int
    clocks: list[int]
    multiply_adds: float
    weight_bytes: float
    packed_bytes: int
    stream_bytes: int
    two_threads: list[ThreadRow]
    kernels: list[KernelRow]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def anatomy(step: Step, target: Target, program: Program) -> Anatomy:
    """Take a lowered step and its program apart."""
    assert step.packing is not None, "a lowered step is packed"
    assert step.memory is not None, "a lowered step has its memory planned"
    samples, total = step.samples_per_tick, cost(step)
    rows = [
        KernelRow(name, use.calls / samples, use.cost.multiply_adds / samples, use.cost.weight_bytes / samples)
        for name, use in program.kernels.items()
    ]
    return Anatomy(
        model=step.name,
        precision=step.precision,
        target=target.describe(),
        accuracy=program.accuracy,
        sample_rate=step.sample_rate,
        operations=len(step.lines),
        critical_operations=len(critical(step)),
        clocks=clocks(step),
        multiply_adds=total.multiply_adds / samples,
        weight_bytes=total.weight_bytes / samples,
        packed_bytes=step.packing.data.nbytes,
        stream_bytes=4 * step.memory.size,
        two_threads=[_thread_row(step, share) for share in shares_of(step, step.threads)],
        kernels=sorted(rows, key=lambda row: (-row.weight_bytes, -row.calls)),
    )


def _thread_row(step: Step, share: Share) -> ThreadRow:
    loops = {ref: loop.product for ref, loop in step.loops.items() if loop.product is not None}
    values = [loops.get(task.ref, task.ref) for task in share.tasks if task.makes[0] == "value"]
    waits = sum(wait is not None for wait in share.waits)
    return ThreadRow(len(share.tasks), waits, cost(step, values).weight_bytes / step.samples_per_tick)
