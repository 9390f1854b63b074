"""Find on data how large the inputs of products become, so that integers need not measure them each tick.

The step runs in the reference after the passes that come before formats are chosen: its products then have the names
that they will have for every target.

In 16 bits a step is so small that the largest magnitude is the best full scale. In 8 bits the largest may be rare, and
the steps that reach it coarse for all that is not: the full scale with the least error is found as well, from a
histogram of magnitudes. Errors are added up, not their squares: where a few are large, squares keep nearly all of the
range for them, and sounded worse.

Sources: Jacob et al. 2018, section 3.1 (ranges of activations, found on data and fixed); Banner et al. 2019,
"Post-training 4-bit quantization", section 2 (where to clip: what is cut off against what steps round off).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wavejit.backends.reference import Reference
from wavejit.errors import InputError
from wavejit.ir.formats import FORMATS, LARGEST_RANGE, SMALLEST_RANGE
from wavejit.ir.ops import Affine, Condition, Step
from wavejit.passes import BEFORE_FORMATS, lower
from wavejit.runtime.reference import ANY_MACHINE, by_condition

Array = NDArray[np.float32]
EXCERPTS = 8  # that long features are heard in: a second of them may be silence, or one vowel
KEEPS_ALL_PRODUCTS = replace(ANY_MACHINE, table_bytes=0)  # none folded into an embedding: another target may keep it
BINS_AN_OCTAVE = 32  # of magnitudes: 2 % each
LOWEST_BIN = math.floor(BINS_AN_OCTAVE * math.log2(SMALLEST_RANGE))
BINS = math.floor(BINS_AN_OCTAVE * math.log2(LARGEST_RANGE)) - LOWEST_BIN + 1
OCTAVES_TO_CLIP = 4  # below the largest magnitude; four of the eight bits would be left


@dataclass(frozen=True)
class Ranges:
    """How large the inputs of products were on data, by their weights' names.

    Attributes:
        largest: magnitude.
        clips: the full scale with which 8 bits err least; the largest magnitude or less.
    """

    largest: Mapping[str, float]
    clips: Mapping[str, float]


def calibrated(step: Step, frames: Array, ticks: int, seed: int = 0) -> Ranges:
    """How large what each weight is multiplied by was, in a run that draws.

    Args:
        step: as a family built it.
        frames: of all conditions, `(frames, sizes)`, those of the look-ahead too; `(0, 0)` for a step without. Where
            they last for more than `ticks`, excerpts are taken all over them, each from a first state.
        ticks: to run in all, as far as the frames last; excerpts of one length may be a few more.
        seed: of what is drawn.

    Returns:
        without the weights whose inputs were never anything but 0.

    Raises:
        InputError: an input grew beyond what any format can hold.
    """
    plain = lower(replace(step, precision="float32", exceptions=()), KEEPS_ALL_PRODUCTS, passes=BEFORE_FORMATS)
    heard: dict[str, Magnitudes] = {}
    for number, (excerpt, length) in enumerate(_excerpts(step, frames, ticks)):
        _listen(Reference(plain, seed, number), excerpt, length, heard)
    for name, found in heard.items():
        if not found.largest <= LARGEST_RANGE:
            raise InputError(
                f"{step.name}: the input of {name} grew to {found.largest:g}, expected {LARGEST_RANGE:g} at most"
            )
    heard = {name: found for name, found in heard.items() if found.largest >= SMALLEST_RANGE}
    return Ranges(
        {name: found.largest for name, found in heard.items()}, {name: found.clip() for name, found in heard.items()}
    )


class Magnitudes:
    """The magnitudes of an input: their largest, and how many lie in each logarithmic bin."""

    def __init__(self) -> None:
        self.largest = 0.0
        self._counts = np.zeros(BINS, np.int64)

    def add(self, x: NDArray[np.float64]) -> None:
        """Count the values of `x`; zeros, which no full scale changes, are left out."""
        magnitudes = np.abs(x)
        # In this order what is not a number stays.
        self.largest = float(np.maximum(magnitudes.max(), self.largest))
        counted = magnitudes[(magnitudes >= SMALLEST_RANGE) & (magnitudes <= LARGEST_RANGE)]
        bins = np.floor(BINS_AN_OCTAVE * np.log2(counted)).astype(np.int64) - LOWEST_BIN
        self._counts += np.bincount(bins, minlength=BINS)

    def clip(self) -> float:
        """The full scale of least error in 8 bits: the largest magnitude, or an edge of a bin below it.

        What is beyond is clipped. What is not errs by a quarter of a step on average, or becomes 0: about one value in
        500 is clipped at the best.
        """
        bins = np.flatnonzero(self._counts)
        counts, top = self._counts[bins], int(bins[-1])
        magnitudes = 2.0 ** ((bins + LOWEST_BIN + 0.5) / BINS_AN_OCTAVE)
        best, least = self.largest, math.inf
        for last in range(top, max(top - BINS_AN_OCTAVE * OCTAVES_TO_CLIP, 0) - 1, -1):  # the last bin not clipped
            scale = min(2.0 ** ((last + 1 + LOWEST_BIN) / BINS_AN_OCTAVE), self.largest)
            rounded = np.minimum(magnitudes, scale / FORMATS["int8"].limit / 4)
            error = float(counts @ np.where(bins > last, magnitudes - scale, rounded))
            if error < least:
                best, least = scale, error
        return best


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


def _listen(reference: Reference, frames: Array, ticks: int, heard: dict[str, Magnitudes]) -> None:
    """Run `ticks` ticks, and add the inputs of each weight to those heard."""
    step = reference.step
    given, each = by_condition(step, frames), _ticks_a_frame(step)
    reference.prime({name: rows[: step.lookahead] for name, rows in given.items()})
    products = [line.op for line in step.lines.values() if isinstance(line.op, Affine)]
    terms = [term for op in products for term in zip(op.weights, op.inputs, strict=True)]
    for tick in range(ticks):
        frame = step.lookahead + tick // each if each else 0
        reference.run(1, {name: rows[frame : frame + 1] for name, rows in given.items()})
        for name, x in terms:
            heard.setdefault(name, Magnitudes()).add(reference.value(x))
