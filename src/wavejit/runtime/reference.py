"""The reference behind the interface of an engine, for checking one against the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wavejit.backends.reference import Reference
from wavejit.ir.ops import Condition, Step
from wavejit.ir.target import Target
from wavejit.passes import lower

Array = NDArray[np.float32]
ANY_MACHINE = Target("reference", "", "", "", lanes=1, accumulators=1, fine="float16")


class ReferenceEngine:
    """Runs a step in NumPy, in float64."""

    def __init__(self, step: Step) -> None:
        # Formats are chosen by the passes; float32 is run as its family wrote it.
        plain = step.precision == "float32" and not step.exceptions
        self.step = step if plain else lower(step, ANY_MACHINE)
        self.samples_per_tick = step.samples_per_tick
        self._precision = step.precision

    def describe(self) -> str:
        return f"the NumPy reference, weights in {self._precision}"

    def stream(self, seed: int = 0, stream: int = 0, temperature: float = 1.0) -> ReferenceStream:
        """A new stream at its beginning."""
        return ReferenceStream(self, seed, stream, temperature)


class ReferenceStream:
    """One stream of the reference."""

    def __init__(self, engine: ReferenceEngine, seed: int, stream: int, temperature: float) -> None:
        self._step = engine.step
        self._reference = Reference(engine.step, seed, stream, temperature)

    def prime(self, frames: Array) -> None:
        self._reference.prime(by_condition(self._step, frames))

    def run(self, ticks: int, frames: Array | None = None) -> Array:
        named = {} if frames is None else by_condition(self._step, frames)
        return self._reference.run(ticks, named).samples.astype(np.float32)


def by_condition(step: Step, frames: Array) -> dict[str, NDArray[np.float64]]:
    """The columns of frames `(frames, sizes)` that each condition of a step is, as the reference takes them."""
    conditions = [line.op for line in step.lines.values() if isinstance(line.op, Condition)]
    stops = np.cumsum([condition.size for condition in conditions])
    columns = frames.astype(np.float64)
    return {c.name: columns[:, stop - c.size : stop] for c, stop in zip(conditions, stops, strict=True)}
