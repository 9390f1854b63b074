"""Ranges that are found on data: what they are, where on the data, and under which names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.backends.cuda.kernels import FAMILIES, HOPPER
from tests.cases import WIDE, random_frames
from wavejit.errors import InputError
from wavejit.ir.builder import Linear, StepBuilder, Tensor, Value, affine, concatenate
from wavejit.ir.ops import Affine, Step
from wavejit.ir.target import Target
from wavejit.passes import BEFORE_FORMATS, lower
from wavejit.runtime.calibrate import EXCERPTS, calibrated, frames_of_zeros

SIZE = 8


def diagonal(name: str, *factors: float) -> Linear:
    return Linear(Tensor(name, np.concatenate([f * np.eye(SIZE) for f in factors], axis=1).astype(np.float32)))


def step(build: Callable[[Value], Value], hop_length: int = 1, lookahead: int = 0) -> Step:
    s = StepBuilder("tiny", 16000)
    s.emit(build(s.condition("x", SIZE, hop_length)))
    return s.step(lookahead)


def frames(*values: float) -> np.ndarray:
    """Frames of one number each."""
    return np.repeat(np.array(values, np.float32)[:, None], SIZE, axis=1)


def test_the_largest_magnitude_that_each_input_had() -> None:
    def build(x: Value) -> Value:
        y = affine(diagonal("A", 2.0), x)
        return affine(diagonal("W", 1.0, 1.0), concatenate(x, y)) + affine(diagonal("P", 1.0), x.builder.delayed(y, 1))

    found = calibrated(step(build), frames(1.0, -2.0, 3.0), 3)
    assert found == {"A": 3.0, "W[:,0:8]": 3.0, "W[:,8:16]": 6.0, "P": 4.0}


def test_what_is_0_throughout_has_no_range() -> None:
    found = calibrated(step(lambda x: affine(diagonal("W", 1.0), x)), frames(0.0, 0.0), 2)
    assert found == {}


def test_long_features_are_heard_in_excerpts_from_end_to_end() -> None:
    tiny = step(lambda x: affine(diagonal("W", 1.0), x))
    peaks = {peak: calibrated(tiny, frames(*np.eye(100)[peak]), 2 * EXCERPTS) for peak in range(100)}
    heard = [peak for peak, found in peaks.items() if found == {"W": 1.0}]
    assert heard == [frame for start in range(0, 100, 14) for frame in (start, start + 1)]


@pytest.mark.parametrize(("ticks", "largest"), [(1, 1), (3, 1), (4, 10), (29, 10), (30, 10), (1000, 10)])
def test_no_more_ticks_than_asked_for_nor_frames_than_there_are(ticks: int, largest: int) -> None:
    """Ten frames of 3 ticks, each larger than those before: what is heard of the last one needs a second excerpt."""
    tiny = step(lambda x: affine(diagonal("W", 1.0), x)[0:1], hop_length=3)
    assert calibrated(tiny, frames(*range(1, 11)), ticks) == {"W": largest}


def test_frames_that_are_looked_ahead_to_come_first() -> None:
    def build(x: Value) -> Value:
        return affine(diagonal("W", 1.0), x.builder.delayed(x, 2))

    delayed = step(build, hop_length=2, lookahead=2)
    assert calibrated(delayed, frames(1.0, 2.0, 3.0, 4.0), 4) == {"W": 2.0}, "two frames behind the newest, the fourth"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("target", [WIDE, HOPPER.target, replace(WIDE, table_bytes=0)], ids=["cpu", "gpu", "no tables"])
def test_products_of_every_target_have_ranges(family: str, target: Target) -> None:
    found = FAMILIES[family]()
    given = random_frames(found, 60 if found.hop_length else 0)
    ranges = calibrated(found, given, 60)
    lowered = lower(found, target, passes=BEFORE_FORMATS)
    names = {name for line in lowered.lines.values() if isinstance(line.op, Affine) for name in line.op.weights}
    assert names <= set(ranges)


def test_a_seed_is_a_run() -> None:
    found = FAMILIES["wavernn"]()
    given = random_frames(found, 30)
    runs = [calibrated(found, given, 30, seed) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


def test_frames_of_zeros_last_as_long_as_asked() -> None:
    found = FAMILIES["mel-wavernn"]()  # 6 ticks a frame, a look-ahead of 2 frames, 7 bins
    assert frames_of_zeros(found, 13).shape == (5, 7)
    assert frames_of_zeros(FAMILIES["samplernn"](), 13).shape == (0, 0)


def test_a_value_that_grows_without_end_is_refused() -> None:
    s = StepBuilder("growing", 16000)
    h = s.state("h", SIZE, 1.0)
    s.update("h", affine(diagonal("R", 10.0), h))
    s.emit(h)
    with pytest.raises(InputError, match=r"growing: the input of R grew to 1e\+39, expected 1e\+30 at most"):
        calibrated(s.step(), np.zeros((0, 0), np.float32), 40)
