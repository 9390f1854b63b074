"""Companding and pre-emphasis: inverses, monotone, and the published values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavejit.audio import (
    deemphasis,
    linear_encode,
    linear_table,
    mu_law_decode,
    mu_law_encode,
    mu_law_table,
    preemphasis,
)
from wavejit.errors import InputError

CLASSES = st.integers(2, 4096)


@given(CLASSES)
def test_every_class_decodes_to_a_sample_that_encodes_to_it(classes: int) -> None:
    every = np.arange(classes)
    np.testing.assert_array_equal(mu_law_encode(mu_law_table(classes), classes), every)
    np.testing.assert_array_equal(linear_encode(linear_table(classes), classes), every)


@given(CLASSES, st.floats(-1, 1))
def test_decoding_is_near(classes: int, sample: float) -> None:
    decoded = float(mu_law_decode(mu_law_encode(sample, classes), classes))
    curve = [np.sign(v) * np.log1p((classes - 1) * abs(v)) / np.log(classes) for v in (sample, decoded)]
    assert abs(curve[0] - curve[1]) <= 1.0001 / (classes - 1)


@given(CLASSES)
def test_tables_rise_from_minus_one_to_one_and_are_odd(classes: int) -> None:
    for table in (mu_law_table(classes), linear_table(classes)):
        assert table.shape == (classes,)
        assert table.dtype == np.float32
        assert (table[0], table[-1]) == (-1.0, 1.0)
        assert (np.diff(table) > 0).all()
        np.testing.assert_allclose(table, -table[::-1], atol=1e-7)


def test_values_of_the_wavenet_paper() -> None:
    assert mu_law_encode([-1.0, 0.0, 1.0]).tolist() == [0, 128, 255]
    assert mu_law_encode([-7.0, 9.0]).tolist() == [0, 255]
    # sign(x) ln(1 + 255 |x|) / ln 256 at 0.1 is 0.5909.
    assert mu_law_encode(0.1) == np.floor((0.59094 + 1) / 2 * 255 + 0.5)
    assert mu_law_table(256)[200] == pytest.approx((256 ** (2 * 200 / 255 - 1) - 1) / 255, rel=1e-6)
    assert linear_table(1024)[511] == pytest.approx(-1 / 1023)


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 0.999), st.integers(1, 3000), st.integers(0, 99))
def test_deemphasis_undoes_preemphasis(coefficient: float, samples: int, seed: int) -> None:
    x = np.random.default_rng(seed).uniform(-1, 1, samples)
    np.testing.assert_allclose(deemphasis(preemphasis(x, coefficient), coefficient), x, atol=1e-9)


def test_deemphasis_is_the_recursion() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, 5000)
    expected, last = [], 0.0
    for sample in x:
        last = sample + 0.97 * last
        expected.append(last)
    np.testing.assert_allclose(deemphasis(x, 0.97), expected, atol=1e-12)


def test_preemphasis_is_its_equation_and_leaves_its_input() -> None:
    x = np.array([1.0, 1.0, 0.5], dtype=np.float32)
    y = preemphasis(x, 0.5)
    assert y.tolist() == [1.0, 0.5, 0.0]
    assert y.dtype == np.float32
    assert x.tolist() == [1.0, 1.0, 0.5]


@pytest.mark.parametrize(
    "call",
    [
        lambda: mu_law_table(1),
        lambda: linear_table(70_000),
        lambda: mu_law_encode([np.nan]),
        lambda: mu_law_decode([256]),
        lambda: mu_law_decode([-1]),
        lambda: mu_law_decode([0.5]),
        lambda: preemphasis([0.0], 1.0),
        lambda: deemphasis([0.0], -0.1),
    ],
)
def test_nonsense_is_refused(call) -> None:
    with pytest.raises(InputError, match="expected"):
        call()
