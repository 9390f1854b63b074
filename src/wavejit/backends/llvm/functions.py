"""exp, log, tanh and sigmoid over vectors, in two accuracies.

`exact` is within 2 ulp of the true value: exp 1, log 1, tanh 1.5, sigmoid 1.7. `fast` trades that for fewer
operations, within the bounds below. The tests measure both over the whole range. `log` and `cosine_of_turns` serve
the draws alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal

import numpy as np

from wavejit.backends.llvm.builder import Function, Value

Accuracy = Literal["exact", "fast"]

FAST_TANH_ERROR = 1e-4  # absolute, anywhere; the sigmoid has half of it
FAST_EXP_ERROR = 4e-6  # relative, from -87 to 88

LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = (
    0.693359375,
    -2.12194440054690583e-4,
)  # the high part has few bits: products with it are exact
EXP_RANGE = (-87.33, 88.37)  # beyond: not normal numbers
TANH_SATURATION = 9.02  # float32 tanh is 1 beyond
NEAR = 0.625  # below, tanh is x + x^3 P(x^2), with these coefficients of P
NEAR_TANH = [-0.005704042501747608, 0.020637862384319305, -0.05373915657401085, 0.133314311504364, -0.3333328068256378]
FAST_TANH_SATURATION = 4.97  # where the fraction below is just less than 1
FAR_SIGMOID = -5.0
ROUNDER = 12582912.0  # 1.5 * 2^23: adding it leaves the nearest integer in the low bits


def exp(k: Function, x: Value, accuracy: Accuracy) -> Value:
    """e to the x, with x held to the range of normal numbers."""
    small, power = _exp_parts(k, x, accuracy)
    return k.multiply_add(small, power, power)


def tanh(k: Function, x: Value, accuracy: Accuracy) -> Value:
    """The hyperbolic tangent: an odd polynomial near 0, (e - 1) / (e + 1) with e = exp(2|x|) elsewhere."""
    if accuracy == "fast":
        return _fast_tanh(k, x)
    bits = k.bitcast(x, "i32")
    sign = bits & -0x80000000
    magnitude = k.bitcast(bits & 0x7FFFFFFF, "float")
    z = magnitude * magnitude
    near = k.multiply_add(_polynomial(k, z, NEAR_TANH) * z, magnitude, magnitude)
    held = k.minimum(magnitude, TANH_SATURATION)
    small, power = _exp_parts(k, held + held, accuracy)
    e = k.multiply_add(small, power, power - 1.0)
    result = k.select(magnitude < NEAR, near, e / (e + 2.0))
    return k.bitcast(k.bitcast(result, "i32") | sign, "float")


def sigmoid(k: Function, x: Value, accuracy: Accuracy) -> Value:
    """1 / (1 + exp(-x)), the sum rounded once; far below 0, where that would round twice, t - t^2 + … of t = exp(x)."""
    if accuracy == "fast":
        return _sigmoid_of_tanh(k, _fast_tanh(k, x * 0.5))
    far = (x < FAR_SIGMOID) & (x > EXP_RANGE[0])  # lower still exp(x) is held, while 1 / exp(-x) goes on falling
    small, power = _exp_parts(k, k.select(far, x, -x), accuracy)
    t = k.multiply_add(small, power, power)
    series = k.multiply_add(-(t * t), 1.0 - t * (1.0 - t), t)
    return k.select(far, series, 1.0 / k.multiply_add(small, power, power + 1.0))


def fast_pair(k: Function, functions: Sequence[str], x: Sequence[Value]) -> list[Value]:
    """tanh or sigmoid of each of two vectors, `fast`, worked out in step: both come from one tanh."""
    halved = [value if name == "tanh" else value * 0.5 for name, value in zip(functions, x, strict=True)]
    results = k.parted(_fast_tanh(k, k.joined(halved)), len(x))
    return [y if name == "tanh" else _sigmoid_of_tanh(k, y) for name, y in zip(functions, results, strict=True)]


def log(k: Function, x: Value) -> Value:
    """The natural logarithm of a positive normal number, within 2 ulp.

    x = m 2^n with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s) with s = (m - 1) / (m + 1), as a series in s^2.
    """
    bits = k.bitcast(x, "i32")
    shifted = bits + (0x3F800000 - 0x3F3504F3)
    exponent = (shifted >> 23) - 127
    mantissa = k.bitcast((shifted & 0x7FFFFF) + 0x3F3504F3, "float")
    f = mantissa - 1.0
    s = f / (mantissa + 1.0)
    z = s * s
    tail = _polynomial(k, z, [2 / 11, 2 / 9, 2 / 7, 2 / 5, 2 / 3]) * z
    n = exponent.convert("sitofp", "float")
    # 2s = f - s f, so that the largest term is exact.
    series = f - s * (f - tail)
    return k.multiply_add(n, k.constant(x.type, LN2_HIGH), k.multiply_add(n, k.constant(x.type, LN2_LOW), series))


def cosine_of_turns(k: Function, u: Value) -> Value:
    """cos(2 pi u) for u in [0, 1), within 3e-7: 1 - 2 sin(pi u)^2 about the nearest extreme."""
    distance = k.select(u > 0.5, 1.0 - u, u)  # the cosine is even about 1/2
    far = distance > 0.25
    d = k.select(far, 0.5 - distance, distance) * 6.283185307179586
    z = d * d
    c = _polynomial(k, z, [2.08767569878681e-9, -2.755731922398589e-7, 2.48015873015873e-5, -1.388888888888889e-3,
                           4.1666666666666664e-2, -0.5, 1.0])  # fmt: skip
    return k.select(far, -c, c)


def _reduced(k: Function, x: Value) -> tuple[Value, Value]:
    """n and r with x = n ln 2 + r and |r| <= ln 2 / 2; n still holds `ROUNDER`."""
    shifted = k.multiply_add(x, k.constant(x.type, LOG2_E), k.constant(x.type, ROUNDER))
    n = shifted - ROUNDER
    r = k.multiply_add(n, k.constant(x.type, -LN2_HIGH), x)
    return shifted, k.multiply_add(n, k.constant(x.type, -LN2_LOW), r)


def _power_of_two(k: Function, shifted: Value) -> Value:
    """2^n from n + `ROUNDER`: n's bits moved to where the exponent is."""
    return k.bitcast((k.bitcast(shifted, "i32") << 23) + 0x3F800000, "float")


def _exp_parts(k: Function, x: Value, accuracy: Accuracy) -> tuple[Value, Value]:
    """exp(r) - 1 and 2^n with exp(x) = exp(r) 2^n, |r| <= ln 2 / 2; polynomials of least largest error in exp(r)."""
    shifted, r = _reduced(k, k.minimum(k.maximum(x, EXP_RANGE[0]), EXP_RANGE[1]))
    if accuracy == "fast":
        small = _polynomial(k, r, [0.0415138482, 0.167874737, 0.500030137, 0.999966836]) * r
    else:
        inner = _polynomial(k, r, [0.000197676728, 0.00139458979, 0.0083335689, 0.0416662726, 0.166666652, 0.500000008])
        small = k.multiply_add(r * r, inner, r)
    return small, _power_of_two(k, shifted)


def _sigmoid_of_tanh(k: Function, tanh_of_half: Value) -> Value:
    half = k.constant(tanh_of_half.type, 0.5)
    return k.multiply_add(tanh_of_half, half, half)


def _fast_tanh(k: Function, x: Value) -> Value:
    """Lambert's continued fraction, cut after the seventh power, or in pieces where lanes can look them up."""
    if k.look_up and x.type.lanes >= k.lanes:
        return _tanh_in_pieces(k, x)
    x = k.minimum(k.maximum(x, -FAST_TANH_SATURATION), FAST_TANH_SATURATION)
    z = x * x
    above = _polynomial(k, z, [1.0, 378.0, 17325.0, 135135.0]) * x
    return above / _polynomial(k, z, [28.0, 3150.0, 62370.0, 135135.0])


PIECES = 32  # as many as an instruction looks up
PIECE = 0.165
SATURATION = PIECE * (PIECES - 0.75)  # within the last one, where tanh is so close to 1 that it may be 1


def _tanh_in_pieces(k: Function, x: Value) -> Value:
    """x times tanh(x) / x, which is a parabola of |x| for each piece: no division, and few operations."""
    x = k.minimum(k.maximum(x, -SATURATION), SATURATION)
    magnitude = k.bitcast(k.bitcast(x, "i32") & 0x7FFFFFFF, "float")
    piece = k.multiply_add(magnitude, k.constant(x.type, 1 / PIECE), k.constant(x.type, ROUNDER))  # in the low bits
    square, slope, start = (k.looked_up(table, k.bitcast(piece, "i32")) for table in _parabolas())
    return k.multiply_add(k.multiply_add(square, magnitude, slope), magnitude, start) * x


@cache
def _parabolas() -> list[list[float]]:
    """For each piece, the parabola through tanh(x) / x at Chebyshev's points, highest power first.

    Pieces lie about the multiples of `PIECE`. The first parabola is 1 and level at 0, the last leads to a tanh of 1.
    """
    nodes = (1 + np.cos(np.pi * (2 * np.arange(3) + 1) / 6)) / 2
    points = PIECE * (np.arange(1, PIECES)[:, None] - 0.5 + nodes)
    points[-1, 0] = SATURATION
    wanted = np.tanh(points)
    wanted[-1, 0] = 1 - 1e-7
    powers = np.stack([points**2, points, np.ones_like(points)], axis=-1)
    fits = np.linalg.solve(powers, (wanted / points)[..., None])[..., 0]
    end = PIECE / 2
    first = (np.tanh(end) / end - 1) / end**2, 0.0, 1.0
    return [[coefficient, *others] for coefficient, others in zip(first, fits.T.tolist(), strict=True)]


def _polynomial(k: Function, x: Value, coefficients: list[float]) -> Value:
    """Horner's scheme, highest power first."""
    total = k.constant(x.type, coefficients[0])
    for coefficient in coefficients[1:]:
        total = k.multiply_add(total, x, k.constant(x.type, coefficient))
    return total
