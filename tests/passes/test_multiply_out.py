"""Linear layers are multiplied out where that is less work, and what is heard stays the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from tests.cases import WIDE, assert_close, mel_wavernns, reference_score, values_of_run
from tests.passes.test_rewrites import clocks, layer, printed, step, weight
from wavejit.ir.builder import Linear, StepBuilder, Tensor, Value, affine, concatenate, relu, tanh
from wavejit.ir.ops import Affine, Step
from wavejit.passes.multiply_out import multiply_out
from wavejit.passes.slow_down import slow_down
from wavejit.passes.split_concatenations import split_concatenations


def multiplied_out(before: Step) -> Step:
    return multiply_out(split_concatenations(before, WIDE), WIDE)


def two_layers(columns: int, v: Linear | None = None, w: Linear | None = None) -> Step:
    first, second = v or layer("V", 16, columns, bias=True), w or layer("W", 24, 16, bias=True)
    return step(lambda s: affine(second, affine(first, s.condition("x", columns, 1))))


def test_a_product_with_what_a_narrow_layer_makes() -> None:
    before = two_layers(2)
    found = multiplied_out(before)
    assert printed(found) == [
        "%0 (2) = condition x (2)",
        "%2 (24) = affine W @ V @ %0 + b_W + W @ b_V",
        "%3 (24) = emit %2",
    ]
    w, v, b_w, b_v = (before.weights[name].astype(np.float64) for name in ("W", "V", "b_W", "b_V"))
    np.testing.assert_array_equal(found.weights["W @ V"], (w @ v).astype(np.float32))
    np.testing.assert_allclose(found.weights["b_W + W @ b_V"], b_w + w @ b_v, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("columns", "less"), [(1, True), (4, True), (5, False), (16, False)])
def test_only_where_a_quarter_of_the_work_is_left(columns: int, less: bool) -> None:
    before = two_layers(columns)
    assert (printed(multiplied_out(before)) != printed(before)) == less


@pytest.mark.parametrize(("kept", "less"), [(8, True), (7, False)])
def test_weights_that_are_zeros_are_no_work(kept: int, less: bool) -> None:
    """What is multiplied out is dense: two columns where every row had `kept` weights."""
    w = np.ones((24, 16), np.float32)
    w[:, kept:] = 0.0
    before = two_layers(2, w=Linear(Tensor("W", w)))
    assert (printed(multiplied_out(before)) != printed(before)) == less


def test_a_layer_that_is_not_linear_stays() -> None:
    before = step(lambda s: affine(layer("W", 24, 16), relu(affine(layer("V", 16, 2), s.condition("x", 2, 1)))))
    assert printed(multiplied_out(before)) == printed(before)


def test_the_frames_part_is_made_once_a_frame() -> None:
    def build(s: StepBuilder) -> Value:
        mel = s.upsample(s.condition("mel", 30, 200), weight("taps", 200, 2))
        x = affine(layer("V", 16, 31), concatenate(s.emitted(1), mel))
        return affine(layer("O", 1, 40), tanh(affine(layer("W", 40, 16), x)))

    before = step(build)
    found = slow_down(multiplied_out(before), WIDE)
    assert printed(found) == [
        "%0 (30) = condition mel (30)",
        "%2 (1) = delayed %7, 1",
        "%9 (40) = affine W @ V[:,1:31] @ %0",
        "%10 (40) = upsample %9 by taps",
        "%5 (40) = affine W @ V[:,0:1] @ %2 + %10",
        "%6 (40) = tanh %5",
        "%7 (1) = affine O @ %6",
        "%8 (1) = emit %7",
    ]
    assert clocks(found)[9] == 200
    assert_close(values_of_run(reference_score(found, 9)), values_of_run(reference_score(before, 9)), 1e-5)


def residual(bounded: bool) -> Step:
    """A product with the sum of a narrow layer's values and others."""

    def build(s: StepBuilder) -> Value:
        x = affine(layer("V", 16, 2, bias=True), s.condition("x", 2, 1))
        other = s.condition("y", 16, 1)
        return affine(layer("W", 24, 16, bias=True), x + (tanh(other) if bounded else other))

    return step(build)


def test_of_a_sum_the_part_that_is_linear() -> None:
    before = residual(bounded=True)
    found = multiplied_out(before)
    assert printed(found) == [
        "%0 (2) = condition x (2)",
        "%2 (16) = condition y (16)",
        "%3 (16) = tanh %2",
        "%7 (24) = affine W @ V @ %0 + W @ b_V",
        "%5 (24) = affine W @ %3 + b_W + %7",
        "%6 (24) = emit %5",
    ]
    assert_close(values_of_run(reference_score(found, 5)), values_of_run(reference_score(before, 5)), 1e-5)


def test_not_of_a_sum_whose_other_part_would_have_to_be_measured() -> None:
    before = residual(bounded=False)
    assert printed(multiplied_out(before)) == printed(before)


def test_the_same_term_twice_counts_twice() -> None:
    def build(s: StepBuilder) -> Value:
        x = affine(layer("V", 16, 2), s.condition("x", 2, 1))
        s.tensor(weight("W", 24, 16))
        return s.add(Affine(("W", "W"), (x.ref, x.ref)))

    before = step(build)
    found = multiply_out(before, WIDE)
    assert all("W" not in line.op.weights for line in found.lines.values() if isinstance(line.op, Affine))
    assert_close(values_of_run(reference_score(found, 3)), values_of_run(reference_score(before, 3)), 1e-5)


@settings(max_examples=20)
@given(step=mel_wavernns())
def test_a_mel_wavernn_sounds_the_same(step: Step) -> None:
    wanted = values_of_run(reference_score(step, 13))
    assert_close(values_of_run(reference_score(multiplied_out(step), 13)), wanted, 1e-5)
