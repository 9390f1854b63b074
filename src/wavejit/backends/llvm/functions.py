"""exp, log, tanh and sigmoid over vectors, in two accuracies.

`exact` is within 2 ulp of the true value; `fast` trades that for fewer operations, within the bounds below,
which the tests measure over the whole range. `log`, `sine` and `cosine` serve the draws alone.
"""

from __future__ import annotations

from typing import Literal

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
FAST_TANH_SATURATION = 4.97  # where the fraction below reaches 1
ROUNDER = 12582912.0  # 1.5 * 2^23: adding it leaves the nearest integer in the low bits


def exp(k: Function, x: Value, accuracy: Accuracy) -> Value:
    """e to the x, with x held to the range of normal numbers."""
    x = k.minimum(k.maximum(x, EXP_RANGE[0]), EXP_RANGE[1])
    whole, r = _reduced(k, x)
    inner = _expm1_inner(k, r, accuracy)
    one = k.constant(x.type, 1.0)
    return k.multiply_add(inner, r, one) * _power_of_two(k, whole)


def tanh(k: Function, x: Value, accuracy: Accuracy) -> Value:
    """The hyperbolic tangent."""
    if accuracy == "fast":
        return _fast_tanh(k, x)
    bits = k.bitcast(x, "i32")
    sign = bits & -0x80000000
    magnitude = k.minimum(k.bitcast(bits & 0x7FFFFFFF, "float"), TANH_SATURATION)
    # tanh(|x|) = e / (e + 2) with e = exp(2|x|) - 1, which keeps its precision near 0.
    whole, r = _reduced(k, magnitude + magnitude)
    power = _power_of_two(k, whole)
    small = _expm1_inner(k, r, accuracy) * r
    e = k.multiply_add(small, power, power - 1.0)
    return k.bitcast(k.bitcast(e / (e + 2.0), "i32") | sign, "float")


def sigmoid(k: Function, x: Value, accuracy: Accuracy) -> Value:
    """1 / (1 + exp(-x))."""
    if accuracy == "fast":
        half = k.constant(x.type, 0.5)
        return k.multiply_add(_fast_tanh(k, x * 0.5), half, half)
    return 1.0 / (exp(k, -x, accuracy) + 1.0)


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


def _expm1_inner(k: Function, r: Value, accuracy: Accuracy) -> Value:
    """(exp(r) - 1) / r for |r| <= ln 2 / 2: polynomials whose largest error in exp(r) is least."""
    if accuracy == "fast":
        return _polynomial(k, r, [0.0415138482, 0.167874737, 0.500030137, 0.999966836])
    return _polynomial(k, r, [0.000197676728, 0.00139458979, 0.0083335689, 0.0416662726, 0.166666652, 0.500000008, 1.0])


def _fast_tanh(k: Function, x: Value) -> Value:
    """Lambert's continued fraction, cut after the seventh power."""
    x = k.minimum(k.maximum(x, -FAST_TANH_SATURATION), FAST_TANH_SATURATION)
    z = x * x
    above = _polynomial(k, z, [1.0, 378.0, 17325.0, 135135.0]) * x
    below = _polynomial(k, z, [28.0, 3150.0, 62370.0, 135135.0])
    return k.minimum(k.maximum(above / below, -1.0), 1.0)


def _polynomial(k: Function, x: Value, coefficients: list[float]) -> Value:
    """Horner's scheme, highest power first."""
    total = k.constant(x.type, coefficients[0])
    for coefficient in coefficients[1:]:
        total = k.multiply_add(total, x, k.constant(x.type, coefficient))
    return total
