"""Formats of weights: what rounding and quantising make of numbers, and that no sum can overflow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavejit.ir.formats import (
    FORMATS,
    LONGEST_ROW,
    quantise_rows,
    quantise_vector,
    round_weights,
    scale_groups,
)

INTEGERS = ("int16", "int8")


@given(st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False))
def test_bfloat16_is_the_nearest_with_eight_bits(x: float) -> None:
    found = float(round_weights(np.array([x], np.float32), "bfloat16")[0])
    assert np.float32(found).view(np.uint32) & 0xFFFF == 0
    if x:
        spacing = 2.0 ** (np.floor(np.log2(abs(np.float32(x)))) - 7)
        assert abs(found - x) <= spacing / 2


def test_bfloat16_ties_go_to_even() -> None:
    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8], np.float32)
    np.testing.assert_array_equal(round_weights(ties, "bfloat16"), [1.0, 1 + 2**-6])


def test_float16_saturates_instead_of_overflowing() -> None:
    np.testing.assert_array_equal(round_weights(np.array([1e6, -1e6], np.float32), "float16"), [65504, -65504])


@pytest.mark.parametrize("name", INTEGERS)
@given(data=st.data())
def test_quantised_rows_are_near(name, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    weights = (rng.standard_normal((5, 9)) * 10.0 ** rng.uniform(-9, 9, (5, 1))).astype(np.float32)
    weights[2] = 0
    integers, scales = quantise_rows(weights, name)
    assert np.abs(integers).max() == FORMATS[name].limit
    assert (integers[2] == 0).all()
    assert (np.abs(integers * scales[:, None].astype(np.float64) - weights) <= 0.501 * scales[:, None]).all()


@pytest.mark.parametrize("name", INTEGERS)
def test_a_vector_is_measured_or_held_to_its_full_scale(name) -> None:
    limit = FORMATS[name].limit
    x = np.array([-2.0, 0.5, 1.0], np.float32)
    integers, scale = quantise_vector(x, 0.0, name)
    assert integers[0] == -limit
    assert scale == pytest.approx(2 / limit)
    integers, scale = quantise_vector(x, 1.0, name)
    assert list(integers) == [-limit, round(limit / 2), limit]
    assert (quantise_vector(np.zeros(3, np.float32), 0.0, name)[0] == 0).all()


def test_no_integer_sum_can_overflow() -> None:
    int16, int8 = FORMATS["int16"], FORMATS["int8"]
    assert int16.block * int16.limit**2 < 2**31 <= (int16.block + 1) * int16.limit**2
    assert LONGEST_ROW * int8.limit * (int8.limit + 128) < 2**31


def test_neighbours_of_one_known_scale_share_a_sum() -> None:
    assert scale_groups((1.0, 1.0, 0.0, 0.0, 2.0, 1.0), [8] * 6) == [
        range(2),
        range(2, 3),
        range(3, 4),
        range(4, 5),
        range(5, 6),
    ]
    assert scale_groups((), []) == []


def test_no_shared_sum_is_longer_than_its_integers_allow() -> None:
    half = LONGEST_ROW // 2
    assert scale_groups((1.0,) * 5, [half] * 5) == [range(2), range(2, 4), range(4, 5)]
    assert scale_groups((1.0,) * 3, [half, half, 1]) == [range(2), range(2, 3)]
