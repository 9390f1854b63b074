"""Formats of weights: what rounding and quantising make of numbers, and that no sum can overflow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavejit.ir.formats import (
    BLOCK_COLUMNS,
    FORMATS,
    LONGEST_ROW,
    NIBBLE_FACTOR,
    quantise_blocks,
    quantise_rows,
    quantise_vector,
    round_weights,
    scale_groups,
)

INTEGERS = ("int16", "int8")
SCALED_BLOCKS = ("mxint8", "int4")


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


@pytest.mark.parametrize("name", SCALED_BLOCKS)
@given(data=st.data())
def test_quantised_blocks_are_near(name, data: st.DataObject) -> None:
    """Within half a scale, but for what saturates at the largest magnitude."""
    block, limit = FORMATS[name].block, FORMATS[name].limit
    columns = data.draw(st.integers(1, 3 * block))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    weights = rng.standard_normal((5, columns)) * 10.0 ** rng.uniform(-9, 9, (5, 1))
    weights[:, :block] *= 10.0 ** rng.uniform(-3, 3, (5, 1))
    weights[2] = 0
    integers, scales = quantise_blocks(weights.astype(np.float32), name)
    assert integers.shape == weights.shape
    assert scales.shape == (5, -(-columns // block))
    assert (integers[2] == 0).all()
    np.testing.assert_array_equal(scales, round_weights(scales, "bfloat16"))
    steps = np.repeat(scales.astype(np.float64), block, axis=1)[:, :columns]
    error = np.abs(integers * steps - weights) / steps
    assert np.abs(integers).max() <= limit
    assert error[np.abs(integers) < limit].max() <= 0.501
    assert error.max() < 1
    largest = np.maximum.reduceat(np.abs(integers), range(0, columns, block), axis=1)
    assert (largest[[0, 1, 3, 4]] >= (64 if name == "mxint8" else limit)).all()


def test_block_floating_point_has_the_exponents_of_the_microscaling_formats() -> None:
    """The scale is 2^floor(log2 of the largest), the integers 64ths of it, saturating at 127 of them."""
    weights = np.array([[1.0, 0.5, -1 / 64], [1.999, 1.0, 0.0], [0.75, -0.004, 0.0]], np.float32)
    integers, scales = quantise_blocks(weights, "mxint8")
    np.testing.assert_array_equal(scales[:, 0], [1 / 64, 1 / 64, 1 / 128])
    np.testing.assert_array_equal(integers, [[64, 32, -1], [127, 64, 0], [96, -1, 0]])


@pytest.mark.parametrize("name", SCALED_BLOCKS)
@pytest.mark.parametrize("size", [1e-45, 1e-38, 3e38])
def test_blocks_of_the_smallest_and_the_largest_numbers(name, size: float) -> None:
    weights = np.full((1, 3), size, np.float32)
    integers, scales = quantise_blocks(weights, name)
    assert np.finfo(np.float32).tiny <= scales[0, 0] / NIBBLE_FACTOR
    assert np.isfinite(scales).all()
    np.testing.assert_allclose(integers * scales.astype(np.float64), weights, rtol=0.02, atol=2.0**-121)


def test_smaller_blocks_err_less() -> None:
    """What `BLOCK_COLUMNS` is chosen by: the error of int4 with a scale for each row, and with one for each block."""
    weights = np.random.default_rng(0).standard_normal((400, 512)).astype(np.float32)
    integers, scales = quantise_blocks(weights, "int4")
    in_blocks = np.std(integers * np.repeat(scales, BLOCK_COLUMNS, axis=1) - weights)
    integers, scales = quantise_rows(weights, "int4")
    assert in_blocks == pytest.approx(0.097, abs=0.002)
    assert np.std(integers * scales[:, None] - weights) == pytest.approx(0.135, abs=0.002)


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
    for format, factor in ((FORMATS["mxint8"], 1), (FORMATS["int4"], NIBBLE_FACTOR)):
        largest = format.block * format.limit * factor
        assert largest < 2**15  # of the sum that is stored with a block's scale
        assert largest * (int8.limit + 128) < 2**20  # of the products, with an offset or without: exact in float32


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
