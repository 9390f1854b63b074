"""exp, log, tanh, sigmoid and cosine over the whole float range, against NumPy in float64.

Measured over all floats near the worst (LLVM 22; fused on AVX, unfused on SSE), in ulp: exp 0.97, log 0.95, tanh 1.50,
sigmoid 1.7. `fast`: exp 2.9e-6 of the value, tanh 9.6e-5, sigmoid 4.8e-5.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.backends.llvm.native import elementwise
from tests.cases import HOST_ISAS
from wavejit.backends.llvm import functions
from wavejit.backends.llvm.builder import Function, Value

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]
Native = Callable[[Array], Array]

EXACT_ULP = {"exp": 1.5, "log": 1.5, "tanh": 1.7, "sigmoid": 1.8}

LARGEST = float(np.finfo(np.float32).max)
SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)
EVERY_EXPONENT = np.arange(0, 0x7F800000, 10007, dtype=np.uint32).view(np.float32)  # subnormals too


@functools.cache
def native(isa: str, name: str, accuracy: str = "") -> Native:
    function = getattr(functions, name)

    def call(k: Function, x: Value) -> Value:
        return function(k, x, accuracy) if accuracy else function(k, x)

    return elementwise(isa, call)


def sweep(low: float, high: float, dense: tuple[float, float] | None = None) -> Array:
    """Floats of every exponent and both signs from `low` to `high`, and a dense row of them."""
    row = np.linspace(*(dense or (low, high)), 1 << 20).astype(np.float32)
    everything = np.concatenate([row, EVERY_EXPONENT, -EVERY_EXPONENT])
    return everything[(everything >= low) & (everything <= high)]


def worst_ulp(found: Array, wanted: Doubles) -> float:
    """The largest error in units of the last place of the true value."""
    unit = np.spacing(np.abs(wanted.astype(np.float32))).astype(np.float64)
    return float(np.max(np.abs(found - wanted) / unit))


def logistic(x: Doubles) -> Doubles:
    return 1 / (1 + np.exp(-x))


isas = pytest.mark.parametrize("isa", HOST_ISAS)


@isas
def test_exact_exp(isa: str) -> None:
    x = sweep(*functions.EXP_RANGE)
    assert worst_ulp(native(isa, "exp", "exact")(x), np.exp(x.astype(np.float64))) < EXACT_ULP["exp"]


@isas
def test_exact_log(isa: str) -> None:
    x = np.concatenate([sweep(SMALLEST_NORMAL, LARGEST, (0.25, 4.0)), sweep(0.99, 1.01)])
    x = x[x != 1]
    assert worst_ulp(native(isa, "log")(x), np.log(x.astype(np.float64))) < EXACT_ULP["log"]
    assert native(isa, "log")(np.ones(1, np.float32))[0] == 0


@isas
def test_exact_tanh(isa: str) -> None:
    x = np.concatenate([sweep(-LARGEST, LARGEST, (-12.0, 12.0)), sweep(0.0, 0.1)])
    assert worst_ulp(native(isa, "tanh", "exact")(x), np.tanh(x.astype(np.float64))) < EXACT_ULP["tanh"]


@isas
def test_exact_sigmoid(isa: str) -> None:
    x = sweep(-87.0, LARGEST, (-87.0, 30.0))
    assert worst_ulp(native(isa, "sigmoid", "exact")(x), logistic(x.astype(np.float64))) < EXACT_ULP["sigmoid"]


@isas
def test_fast_exp(isa: str) -> None:
    x = sweep(-87.0, 88.0)
    error = np.abs(native(isa, "exp", "fast")(x) / np.exp(x.astype(np.float64)) - 1)
    assert error.max() <= functions.FAST_EXP_ERROR
    assert error.max() < 4e-6


@isas
def test_fast_tanh(isa: str) -> None:
    x = sweep(-LARGEST, LARGEST, (-12.0, 12.0))
    found = native(isa, "tanh", "fast")(x)
    error = np.abs(found - np.tanh(x.astype(np.float64)))
    assert error.max() <= functions.FAST_TANH_ERROR
    assert np.abs(found).max() <= 1
    # Near 0 it is the identity, so that small signals survive.
    small = np.abs(x) < 1e-3
    assert np.all(np.abs(found[small] - x[small]) <= 1e-6 * np.abs(x[small]) + 1.5e-45)


@isas
def test_fast_sigmoid(isa: str) -> None:
    x = sweep(-LARGEST, LARGEST, (-24.0, 24.0))
    found = native(isa, "sigmoid", "fast")(x)
    with np.errstate(over="ignore"):
        error = np.abs(found - logistic(x.astype(np.float64)))
    assert error.max() <= functions.FAST_TANH_ERROR / 2 + 1e-7
    assert found.min() >= 0
    assert found.max() <= 1


@isas
@pytest.mark.parametrize("accuracy", ["exact", "fast"])
def test_edges(isa: str, accuracy: str) -> None:
    edges = np.array([np.inf, LARGEST, 0.0, -0.0, -LARGEST, -np.inf], np.float32)
    tanh = native(isa, "tanh", accuracy)(edges)
    np.testing.assert_allclose(tanh, [1, 1, 0, 0, -1, -1], atol=1e-6)
    assert list(np.signbit(tanh)) == [False, False, False, True, True, True]
    np.testing.assert_allclose(native(isa, "sigmoid", accuracy)(edges), [1, 1, 0.5, 0.5, 0, 0], atol=1e-6)
    # exp is held to the range of normal numbers: neither infinite nor 0.
    low, high = (np.exp(limit) for limit in functions.EXP_RANGE)
    np.testing.assert_allclose(
        native(isa, "exp", accuracy)(edges), [high, high, 1, 1, low, low], rtol=functions.FAST_EXP_ERROR
    )


@isas
def test_exact_is_exact_where_it_saturates(isa: str) -> None:
    assert np.all(native(isa, "tanh", "exact")(sweep(9.02, LARGEST)) == 1)
    assert np.all(native(isa, "tanh", "exact")(sweep(-LARGEST, -9.02)) == -1)
    assert np.all(native(isa, "sigmoid", "exact")(sweep(17.4, LARGEST)) == 1)
    least = native(isa, "sigmoid", "exact")(sweep(-LARGEST, -88.0))
    assert np.all((least > 0) & (least < SMALLEST_NORMAL))


@isas
def test_subnormal_numbers_pass_through_tanh(isa: str) -> None:
    x = np.array([1e-45, 1e-40, -1e-40, SMALLEST_NORMAL], np.float32)
    np.testing.assert_array_equal(native(isa, "tanh", "exact")(x), x)


@isas
@pytest.mark.parametrize("accuracy", ["exact", "fast"])
@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid"])
def test_not_a_number_stays_one(isa: str, name: str, accuracy: str) -> None:
    """What went wrong before is not to be heard as a plausible number."""
    assert np.isnan(native(isa, name, accuracy)(np.full(1, np.nan, np.float32)))[0]


@isas
def test_cosine_of_turns(isa: str) -> None:
    u = (np.arange(0, 1 << 24, 5) * 2.0**-24).astype(np.float32)
    found = native(isa, "cosine_of_turns")(u)
    assert np.abs(found - np.cos(2 * np.pi * u.astype(np.float64))).max() <= 3e-7
    quarters = native(isa, "cosine_of_turns")(np.array([0, 0.25, 0.5, 0.75], np.float32))
    np.testing.assert_allclose(quarters, [1, 0, -1, 0], atol=3e-7)
