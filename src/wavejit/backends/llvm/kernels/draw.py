"""Draws from distributions, and the random numbers that they need."""

from __future__ import annotations

from functools import reduce
from typing import assert_never

from wavejit.backends.draws import LOGISTIC_MARGIN
from wavejit.backends.llvm import functions
from wavejit.backends.llvm.builder import F32, I32, I64, PTR, Function, Type, Value
from wavejit.backends.llvm.isa import ISA
from wavejit.backends.llvm.kernels.lanes import lanes_below
from wavejit.backends.philox import KEY_STEPS, MULTIPLIERS, ROUNDS
from wavejit.ir.layout import DRAW_BLOCKS, DRAW_UNIFORMS, rounded
from wavejit.ir.ops import Categorical, Distribution, Gaussian, Greedy, Logistics

LOWEST = -3.0e38
VECTORS_A_BLOCK = 4


def uniforms(isa: ISA) -> Function:
    """Parameters: out, index and seed (64 bits), draw and stream (32). Writes two numbers in [0, 1).

    Philox 4x32-10 (Salmon et al. 2011); `backends/philox.py` says the same in Python.
    """
    parameters = [("out", PTR), ("index", I64), ("draw", I32), ("seed", I64), ("stream", I32)]
    k = Function("uniforms", parameters, isa.lanes)

    def low(x: Value) -> Value:
        return x.convert("trunc", "i32")

    def multiply(a: Value, constant: int) -> tuple[Value, Value]:
        """The high and the low half of the product."""
        wide = a.convert("zext", "i64") * constant
        return low(wide >> 32), low(wide)

    c0, c1, c2, c3 = low(k["index"]), low(k["index"] >> 32), k["draw"], k["stream"]
    k0, k1 = low(k["seed"]), low(k["seed"] >> 32)
    for _ in range(ROUNDS):
        high0, low0 = multiply(c0, MULTIPLIERS[0])
        high1, low1 = multiply(c2, MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = k0 + KEY_STEPS[0], k1 + KEY_STEPS[1]
    for i, word in enumerate((c0, c1)):
        k.store((word >> 8).convert("uitofp", "float") * 2.0**-24, k["out"], i)
    return k


def draw_name(distribution: Distribution, parameters: int) -> str:
    """The name of the kernel that draws from so many parameters."""
    match distribution:
        case Categorical():
            return f"draw_categorical_{parameters}"
        case Greedy():
            return f"draw_greedy_{parameters}"
        case Logistics(components, least):
            return f"draw_{components}_logistics_{least!r}"
        case Gaussian(least):
            return f"draw_gaussian_{least!r}"
        case _:
            assert_never(distribution)


def draw(distribution: Distribution, parameters: int, isa: ISA) -> Function:
    """Parameters: out (a 32-bit class or a float), parameters, scratch (the uniforms first), 1 / temperature.

    Randomness must not depend on the accuracy asked for: exponentials here are always exact.
    """
    arguments = [("out", PTR), ("parameters", PTR), ("scratch", PTR), ("sharpness", F32)]
    k = Function(draw_name(distribution, parameters), arguments, isa.lanes, isa.fused)
    u0, u1 = k.load(k["scratch"], 0, F32), k.load(k["scratch"], 1, F32)
    match distribution:
        case Categorical():
            k.store(categorical(k, parameters, u0), k["out"])
        case Greedy():
            k.store(greedy(k, parameters), k["out"])
        case Logistics(components, log_scale_min):
            chosen = categorical(k, components, u0).convert("zext", "i64")
            mean = k.load(k["parameters"], chosen + components, F32)
            log_scale = k.maximum(k.load(k["parameters"], chosen + 2 * components, F32), log_scale_min)
            u = u1 * (1 - 2 * LOGISTIC_MARGIN) + LOGISTIC_MARGIN
            rest = (1.0 - u1) * (1 - 2 * LOGISTIC_MARGIN) + LOGISTIC_MARGIN  # 1 - u would lose its digits near 1
            noise = functions.log(k, u) - functions.log(k, rest)
            k.store(within_unit(k, mean + scale(k, log_scale) * noise), k["out"])
        case Gaussian(log_scale_min):
            mean = k.load(k["parameters"], 0, F32)
            log_scale = k.maximum(k.load(k["parameters"], 1, F32), log_scale_min)
            radius = k.call("llvm.sqrt.f32", F32, functions.log(k, 1.0 - u0) * -2.0)
            noise = radius * functions.cosine_of_turns(k, u1)
            k.store(within_unit(k, mean + scale(k, log_scale) * noise), k["out"])
        case _:
            assert_never(distribution)
    return k


def scale(k: Function, log_scale: Value) -> Value:
    """exp(log scale) times the temperature."""
    return functions.exp(k, log_scale, "exact") / k["sharpness"]


def within_unit(k: Function, x: Value) -> Value:
    """`x` held to [-1, 1]."""
    return k.minimum(k.maximum(x, -1.0), 1.0)


def categorical(k: Function, classes: int, u: Value) -> Value:
    """The first class whose cumulative weight exceeds `u` of the whole (32 bits).

    A running sum goes from block to block: within a block vectors are added first, for a sum across a vector takes as
    long as several additions of vectors.
    """
    exponentials = k.at(k["scratch"], DRAW_UNIFORMS)
    cumulative = k.at(k["scratch"], DRAW_UNIFORMS + rounded(classes, DRAW_BLOCKS[1]))
    sharpness = k.broadcast(k["sharpness"])
    highest = k.broadcast(k.reduce("max", largest(k, classes)))
    block = VECTORS_A_BLOCK * k.lanes
    whole, rest = divmod(classes, block)

    def add_block(number: Value, total: Value, vectors: int, bounded: bool) -> Value:
        """The weights of a block's classes, and the total with them."""
        sums = k.splat(0.0)
        for i in range(vectors):
            at = number * block + i * k.lanes
            below = (logits_at(k, at, classes, bounded) - highest) * sharpness
            # `exp` ends at the least normal number; what is less likely than that is never drawn.
            weight = k.select(below > functions.EXP_RANGE[0], functions.exp(k, below, "exact"), 0.0)
            weight = k.select(lanes_below(k, at, classes), weight, 0.0) if bounded else weight
            k.store(weight, exponentials, at)
            sums = sums + weight
        for i in range(vectors, VECTORS_A_BLOCK):
            k.store(k.splat(0.0), exponentials, number * block + i * k.lanes)
        total = total + k.reduce("add", sums)
        k.store(total, cumulative, number)
        return total

    with k.loop(whole, carry=[k.constant(F32, 0.0)]) as loop:
        loop.next(add_block(loop.index, loop.carried[0], VECTORS_A_BLOCK, bounded=False))
    (total,) = loop.results
    if rest:
        total = add_block(k.int64(whole), total, -(-rest // k.lanes), bounded=True)
    target = total * u

    # First the block that the target falls into, then the vector, then the class.
    with k.loop(whole + (rest > 0) - 1, carry=[k.int64(0)]) as loop:
        passed = k.load(cumulative, loop.index, F32) <= target
        loop.next(loop.carried[0] + passed.convert("zext", "i64"))
    (number,) = loop.results
    before = k.select(number.equals(0), k.constant(F32, 0.0), k.load(cumulative, number - 1, F32))
    vector = number * VECTORS_A_BLOCK
    reached = before
    for i in range(VECTORS_A_BLOCK - 1):
        reached = reached + k.reduce("add", k.load(exponentials, number * block + i * k.lanes))
        passed = reached <= target
        vector, before = vector + passed.convert("zext", "i64"), k.select(passed, reached, before)
    within = k.broadcast(before) + prefix_sums(k, k.load(exponentials, vector * k.lanes))
    passed = (within <= k.broadcast(target)).convert("zext", "i32")
    chosen = vector.convert("trunc", "i32") * k.lanes + k.reduce("add", passed)
    return k.minimum(chosen, classes - 1)


def greedy(k: Function, classes: int) -> Value:
    """The first class with the largest logit (32 bits)."""
    highest = k.broadcast(k.reduce("max", largest(k, classes)))
    numbers = k.lane_numbers(Type("i32", k.lanes))
    with k.loop(classes, carry=[k.constant(numbers.type, classes - 1)], step=k.lanes) as loop:
        here = numbers + k.broadcast(loop.index.convert("trunc", "i32"))
        best = k.select(highest <= logits_at(k, loop.index, classes), here, loop.carried[0])
        loop.next(k.minimum(best, loop.carried[0]))
    return -1 * k.reduce("max", loop.results[0] * -1)


def largest(k: Function, classes: int) -> Value:
    """The largest logit of each lane."""
    whole, rest = divmod(classes, VECTORS_A_BLOCK * k.lanes)
    with k.loop(whole, carry=[k.splat(LOWEST)] * VECTORS_A_BLOCK) as loop:
        at = loop.index * (VECTORS_A_BLOCK * k.lanes)
        found = [logits_at(k, at + i * k.lanes, classes, bounded=False) for i in range(VECTORS_A_BLOCK)]
        loop.next(*(k.maximum(x, most) for x, most in zip(found, loop.carried, strict=True)))
    found = loop.results
    found += [logits_at(k, k.int64(classes - rest + i), classes) for i in range(0, rest, k.lanes)]
    return reduce(k.maximum, found)


def logits_at(k: Function, at: Value, classes: int, bounded: bool = True) -> Value:
    """A vector of logits; where it may be at the end, lanes behind the last class are as low as can be."""
    logits = k.load(k["parameters"], at)
    return k.select(lanes_below(k, at, classes), logits, LOWEST) if bounded else logits


def prefix_sums(k: Function, x: Value) -> Value:
    """Lane i: the sum of lanes 0 to i."""
    zero, distance = k.splat(0.0), 1
    while distance < k.lanes:
        order = [k.lanes] * distance + list(range(k.lanes - distance))
        x, distance = x + k.shuffle(x, order, other=zero), 2 * distance
    return x
