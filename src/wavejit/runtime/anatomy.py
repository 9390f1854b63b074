"""What an engine consists of: its kernels, where bytes and operations go, what waits for the last sample."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from wavejit.ir.cost import cost
from wavejit.ir.graph import clocks
from wavejit.passes.order import critical
from wavejit.runtime.engine import Engine


@dataclass(frozen=True)
class KernelRow:
    """One kernel, per sample."""

    kernel: str
    calls: float
    multiply_adds: float
    weight_bytes: float


@dataclass(frozen=True)
class Anatomy:
    """An engine's parts; counts are per sample of audio.

    Attributes:
        critical_operations: operations between one sample's draw and the next sample's.
        packed_bytes: all weights as packed, with padding.
        stream_bytes: memory of one stream.
    """

    model: str
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
    kernels: list[KernelRow]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def anatomy(engine: Engine) -> Anatomy:
    """Take an engine apart."""
    step, samples = engine.step, engine.samples_per_tick
    assert step.packing is not None, "an engine's step is lowered"
    assert step.memory is not None, "an engine's step is lowered"
    total = cost(step)
    rows = [
        KernelRow(name, use.calls / samples, use.cost.multiply_adds / samples, use.cost.weight_bytes / samples)
        for name, use in engine.program.kernels.items()
    ]
    return Anatomy(
        model=step.name,
        target=engine.target.describe(),
        accuracy=engine.accuracy,
        sample_rate=step.sample_rate,
        operations=len(step.lines),
        critical_operations=len(critical(step)),
        clocks=clocks(step),
        multiply_adds=total.multiply_adds / samples,
        weight_bytes=total.weight_bytes / samples,
        packed_bytes=step.packing.data.nbytes,
        stream_bytes=4 * step.memory.size,
        kernels=sorted(rows, key=lambda row: (-row.weight_bytes, -row.calls)),
    )
