"""Between samples and what a network predicts: mu-law or linear classes, and pre-emphasis."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavejit.errors import InputError


def mu_law_encode(samples: ArrayLike, classes: int = 256) -> NDArray[np.int64]:
    """The nearest class on the mu-law curve with mu = `classes - 1`.

    Args:
        samples: any shape, clipped to [-1, 1].
        classes: how many; at least 2.

    Returns:
        Classes from 0 to `classes - 1`, shape of `samples`.

    Raises:
        InputError: fewer than 2 classes, or samples that are not finite.

    Source: ITU-T G.711's continuous curve, as in van den Oord et al. 2016, section 2.2.
    """
    x, mu = _clipped(samples), _highest(classes)
    return _nearest(np.sign(x) * np.log1p(mu * np.abs(x)) / np.log1p(mu), mu)


def mu_law_decode(encoded: ArrayLike, classes: int = 256) -> NDArray[np.float32]:
    """Samples in [-1, 1] that mu-law classes stand for; shape of `encoded`.

    Raises:
        InputError: a class is not a whole number from 0 to `classes - 1`.
    """
    index = np.asarray(encoded)
    highest = _highest(classes)
    if index.dtype.kind not in "iu":
        raise InputError(f"mu-law classes are {index.dtype}; expected whole numbers")
    if index.size and (index.min() < 0 or index.max() > highest):
        raise InputError(f"mu-law classes reach from {index.min()} to {index.max()}; expected 0 to {highest}")
    return mu_law_table(classes)[index]


def mu_law_table(classes: int = 256) -> NDArray[np.float32]:
    """The sample of each mu-law class: `(classes,)`, rising from -1 to 1."""
    mu = _highest(classes)
    curve = 2.0 * np.arange(classes) / mu - 1.0
    return (np.sign(curve) * np.expm1(np.abs(curve) * np.log1p(mu)) / mu).astype(np.float32)


def linear_encode(samples: ArrayLike, classes: int) -> NDArray[np.int64]:
    """The nearest of `classes` equally spaced values; arguments and errors as in `mu_law_encode`."""
    return _nearest(_clipped(samples), _highest(classes))


def linear_table(classes: int) -> NDArray[np.float32]:
    """The sample of each linear class, `2k / (classes - 1) - 1`: `(classes,)`, from -1 to 1."""
    highest = _highest(classes)
    return (2.0 * np.arange(classes) / highest - 1.0).astype(np.float32)


def preemphasis(samples: ArrayLike, coefficient: float) -> NDArray[np.floating]:
    """`y[t] = x[t] - coefficient * x[t - 1]`, with silence before the start.

    Args:
        samples: `(samples,)`.
        coefficient: in [0, 1).

    Returns:
        `(samples,)`, float64 for float64 and float32 for anything else.

    Raises:
        InputError: the coefficient is outside [0, 1).
    """
    x, c = _signal(samples), _coefficient(coefficient)
    y = x.copy()
    y[1:] -= c * x[:-1]
    return y


def deemphasis(samples: ArrayLike, coefficient: float) -> NDArray[np.floating]:
    """Undo `preemphasis`: `y[t] = x[t] + coefficient * y[t - 1]`; arguments and errors as there.

    1 / (1 - cz) = (1 + cz)(1 + c^2 z^2)(1 + c^4 z^4)...: the recursion becomes a few whole-array
    additions, until the power of c no longer shows in float64.
    """
    x, c = _signal(samples), _coefficient(coefficient)
    y, delay = x.astype(np.float64), 1
    while delay < len(y) and c > 1e-20:
        y[delay:] += c * y[:-delay]
        c, delay = c * c, 2 * delay
    return y.astype(x.dtype)


def _nearest(curve: NDArray[np.float64], highest: int) -> NDArray[np.int64]:
    return np.floor((curve + 1.0) / 2.0 * highest + 0.5).astype(np.int64)


def _clipped(samples: ArrayLike) -> NDArray[np.float64]:
    x = np.asarray(samples, dtype=np.float64)
    if not np.isfinite(x).all():
        raise InputError("samples hold NaN or infinity; expected finite numbers")
    return np.clip(x, -1.0, 1.0)


def _highest(classes: int) -> int:
    if not 2 <= classes <= 65_536:
        raise InputError(f"classes is {classes}; expected 2 to 65536")
    return classes - 1


def _signal(samples: ArrayLike) -> NDArray[np.floating]:
    x = np.asarray(samples)
    return x if x.dtype == np.float64 else x.astype(np.float32)


def _coefficient(coefficient: float) -> float:
    if not 0.0 <= coefficient < 1.0:
        raise InputError(f"pre-emphasis coefficient is {coefficient}; expected from 0 to below 1")
    return float(coefficient)
