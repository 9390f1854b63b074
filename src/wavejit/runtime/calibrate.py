"""Find on data how large the inputs of products become, so that integers need not measure them each tick.

The step runs in the reference after the passes that come before formats are chosen: its products then have the names
that they will have for every target.

Source: Jacob et al. 2018, section 3.1 (ranges of activations, found on data and fixed).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wavejit.backends.reference import Reference
from wavejit.errors import InputError
from wavejit.ir.formats import LARGEST_RANGE, SMALLEST_RANGE
from wavejit.ir.ops import Affine, Condition, Step
from wavejit.passes import BEFORE_FORMATS, lower
from wavejit.runtime.reference import ANY_MACHINE, by_condition

Array = NDArray[np.float32]
EXCERPTS = 8  # that long features are heard in: a second of them may be silence, or one vowel
KEEPS_ALL_PRODUCTS = replace(ANY_MACHINE, table_bytes=0)  # none folded into an embedding: another target may keep it


def calibrated(step: Step, frames: Array, ticks: int, seed: int = 0) -> dict[str, float]:
    """The largest magnitude of what each weight was multiplied by, in a run that draws.

    Args:
        step: as a family built it.
        frames: of all conditions, `(frames, sizes)`, those of the look-ahead too; `(0, 0)` for a step without. Where
            they last for more than `ticks`, excerpts are taken all over them, each from a first state.
        ticks: to run in all, as far as the frames last; excerpts of one length may be a few more.
        seed: of what is drawn.

    Returns:
        by a weight's name; without those whose inputs were never anything but 0.

    Raises:
        InputError: an input grew beyond what any format can hold.
    """
    plain = lower(replace(step, precision="float32", exceptions=()), KEEPS_ALL_PRODUCTS, passes=BEFORE_FORMATS)
    largest: dict[str, float] = {}
    for number, (excerpt, length) in enumerate(_excerpts(step, frames, ticks)):
        _listen(Reference(plain, seed, number), excerpt, length, largest)
    for name, found in largest.items():
        if not found <= LARGEST_RANGE:
            raise InputError(f"{step.name}: the input of {name} grew to {found:g}, expected {LARGEST_RANGE:g} at most")
    return {name: found for name, found in largest.items() if found >= SMALLEST_RANGE}


def frames_of_zeros(step: Step, ticks: int) -> Array:
    """Frames that last for `ticks` ticks, those of the look-ahead too, `(frames, sizes)`; none for a step without."""
    each = _ticks_a_frame(step)
    sizes = sum(line.size for line in step.lines.values() if isinstance(line.op, Condition))
    return np.zeros((-(-ticks // each) + step.lookahead if each else 0, sizes), np.float32)


def _ticks_a_frame(step: Step) -> int:
    """0 for a step without conditions."""
    return step.hop_length // step.samples_per_tick


def _excerpts(step: Step, frames: Array, ticks: int) -> list[tuple[Array, int]]:
    """Parts of the frames, those that a part looks ahead to in front, and for how many ticks each is run."""
    each = _ticks_a_frame(step)
    if not each:
        return [(frames, ticks)]
    whole = len(frames) - step.lookahead
    if whole * each <= ticks:
        return [(frames, whole * each)]
    count = min(EXCERPTS, -(-ticks // each))
    length = -(-ticks // count)
    needed = -(-length // each)
    starts = np.linspace(0, whole - needed, count).round().astype(int)
    return [(frames[start : start + needed + step.lookahead], length) for start in starts]


def _listen(reference: Reference, frames: Array, ticks: int, largest: dict[str, float]) -> None:
    """Run `ticks` ticks, and raise `largest` to the inputs that are larger."""
    step = reference.step
    given, each = by_condition(step, frames), _ticks_a_frame(step)
    reference.prime({name: rows[: step.lookahead] for name, rows in given.items()})
    products = [line.op for line in step.lines.values() if isinstance(line.op, Affine)]
    terms = [term for op in products for term in zip(op.weights, op.inputs, strict=True)]
    for tick in range(ticks):
        frame = step.lookahead + tick // each if each else 0
        reference.run(1, {name: rows[frame : frame + 1] for name, rows in given.items()})
        for name, x in terms:
            # In this order what is not a number stays.
            largest[name] = float(np.maximum(np.abs(reference.value(x)).max(), largest.get(name, 0.0)))
