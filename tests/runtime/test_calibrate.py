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
from wavejit.ir.formats import quantise_vector
from wavejit.ir.ops import Affine, Step
from wavejit.ir.target import Target
from wavejit.passes import BEFORE_FORMATS, lower
from wavejit.runtime.calibrate import EXCERPTS, Magnitudes, Ranges, calibrated, frames_of_zeros

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
    assert found.largest == {"A": 3.0, "W[:,0:8]": 3.0, "W[:,8:16]": 6.0, "P": 4.0}


def test_what_is_0_throughout_has_no_range() -> None:
    found = calibrated(step(lambda x: affine(diagonal("W", 1.0), x)), frames(0.0, 0.0), 2)
    assert found == Ranges({}, {})


def test_long_features_are_heard_in_excerpts_from_end_to_end() -> None:
    tiny = step(lambda x: affine(diagonal("W", 1.0), x))
    peaks = {peak: calibrated(tiny, frames(*np.eye(100)[peak]), 2 * EXCERPTS) for peak in range(100)}
    heard = [peak for peak, found in peaks.items() if found.largest == {"W": 1.0}]
    assert heard == [frame for start in range(0, 100, 14) for frame in (start, start + 1)]


def magnitudes(*values: np.ndarray) -> Magnitudes:
    heard = Magnitudes()
    for x in values:
        heard.add(x)
    return heard


def error(x: np.ndarray, clip: float) -> float:
    """What 8 bits with that full scale take off, on average."""
    integers, scale = quantise_vector(x.astype(np.float32), clip, "int8")
    return float(np.abs(x - integers * scale).mean())


NORMAL = np.random.default_rng(1).normal(size=(500, 200))
UNIFORM = np.random.default_rng(2).uniform(-3, 3, (500, 200))


@pytest.mark.parametrize("factor", [1e-25, 1.0, 1e25])
def test_a_few_outliers_are_clipped(factor: float) -> None:
    heard = magnitudes(*factor * NORMAL, factor * np.array([50.0, -50.0]))
    assert heard.largest == 50 * factor
    assert 2.7 * factor < heard.clip() < 3.5 * factor, "one normal value in 500 is beyond 3.1"


def test_what_is_evenly_spread_keeps_nearly_all_of_its_range() -> None:
    assert 2.9 < magnitudes(*UNIFORM).clip() <= 3.0
    assert magnitudes(np.full(8, 2.5), np.full(8, -2.5)).clip() == 2.5


@pytest.mark.parametrize(
    "x", [NORMAL, UNIFORM, NORMAL**3, np.maximum(NORMAL, 0)], ids=["normal", "uniform", "cubed", "rectified"]
)
def test_no_other_full_scale_errs_less(x: np.ndarray) -> None:
    heard = magnitudes(*x)
    found = error(x.ravel(), heard.clip())
    assert found <= 1.02 * min(error(x.ravel(), heard.largest * 2 ** (-i / 8)) for i in range(33))


def test_zeros_do_not_change_the_clip() -> None:
    assert magnitudes(NORMAL, np.zeros(10**6)).clip() == magnitudes(NORMAL).clip()


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e31])
def test_what_no_format_holds_is_not_counted_but_told(value: float) -> None:
    heard = magnitudes(np.array([value, 1.0]), np.array([2.0]))
    assert not heard.largest <= 1e30


@pytest.mark.parametrize("value", [1e-30, 1e30])
def test_the_smallest_and_the_largest_range_have_bins(value: float) -> None:
    assert magnitudes(np.array([value])).clip() == value


@pytest.mark.parametrize(("ticks", "largest"), [(1, 1), (3, 1), (4, 10), (29, 10), (30, 10), (1000, 10)])
def test_no_more_ticks_than_asked_for_nor_frames_than_there_are(ticks: int, largest: int) -> None:
    """Ten frames of 3 ticks, each larger than those before: what is heard of the last one needs a second excerpt."""
    tiny = step(lambda x: affine(diagonal("W", 1.0), x)[0:1], hop_length=3)
    assert calibrated(tiny, frames(*range(1, 11)), ticks).largest == {"W": largest}


def test_frames_that_are_looked_ahead_to_come_first() -> None:
    def build(x: Value) -> Value:
        return affine(diagonal("W", 1.0), x.builder.delayed(x, 2))

    delayed = step(build, hop_length=2, lookahead=2)
    largest = calibrated(delayed, frames(1.0, 2.0, 3.0, 4.0), 4).largest
    assert largest == {"W": 2.0}, "two frames behind the newest, the fourth"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("target", [WIDE, HOPPER.target, replace(WIDE, table_bytes=0)], ids=["cpu", "gpu", "no tables"])
def test_products_of_every_target_have_ranges(family: str, target: Target) -> None:
    found = FAMILIES[family]()
    given = random_frames(found, 60 if found.hop_length else 0)
    ranges = calibrated(found, given, 60)
    lowered = lower(found, target, passes=BEFORE_FORMATS)
    names = {name for line in lowered.lines.values() if isinstance(line.op, Affine) for name in line.op.weights}
    assert names <= ranges.largest.keys() == ranges.clips.keys()
    assert all(0 < clip <= ranges.largest[name] for name, clip in ranges.clips.items())


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
