"""Single kernels at the sizes where they go wrong, with NaN behind every array."""

from __future__ import annotations

import numpy as np
import pytest

from tests.backends.llvm.native import Native, padded
from tests.backends.test_philox import KNOWN_ANSWERS, Words
from tests.cases import HOST_ISAS
from wavejit.backends.llvm.builder import F32, I32, I64, PTR, Function
from wavejit.backends.llvm.isa import ISAS
from wavejit.backends.llvm.kernels.affine import affine
from wavejit.backends.llvm.kernels.affine_kernel import AffineKernel
from wavejit.backends.llvm.kernels.draw import uniforms
from wavejit.backends.llvm.kernels.elementwise import copy
from wavejit.backends.llvm.kernels.output import Output
from wavejit.backends.llvm.kernels.products import LOADS_A_ROUND
from wavejit.ir.layout import rounded
from wavejit.ir.ops import Affine, Condition, Line, Step
from wavejit.passes.pack_weights import pack_weights
from wavejit.passes.plan_memory import plan_memory
from wavejit.runtime.engine import aligned_zeros

isas = pytest.mark.parametrize("isa", HOST_ISAS)


def exported(k: Function) -> Function:
    k._linkage = ""
    return k


def product(isa: str, rows: int, columns: int, weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """`weight @ x` by the kernel, with weights packed as the pass packs them."""
    kind = ISAS[isa]
    lines = {0: Line(Condition("x", columns), columns), 1: Line(Affine(("w",), (0,)), rows)}
    step = Step("product", 1, lines, {"w": weight.astype(np.float32)})
    packing = pack_weights(plan_memory(step, kind.target("")), kind.target("")).packing
    assert packing is not None
    kernel = affine(AffineKernel(Output(rows), ((columns,),), False, 0, "identity"), kind, "exact")
    out = padded(np.zeros(rounded(rows, 16)))
    weights = aligned_zeros(packing.data.size)
    weights[:] = packing.data.view(np.float32)
    Native(isa, kernel.name, exported(kernel))(weights, out, padded(x))
    assert np.isnan(out[rounded(rows, 16) :]).all(), "wrote behind the last vector"
    return out[:rows]


def edge_rows(isa: str) -> list[int]:
    lanes, tile = ISAS[isa].lanes, ISAS[isa].lanes * ISAS[isa].accumulators
    return [1, lanes - 1, lanes, lanes + 1, tile, tile + 1, 129, 300, 700]


@isas
def test_rows_at_the_edges_of_vectors_and_tiles(isa: str) -> None:
    rng = np.random.default_rng(0)
    for rows in edge_rows(isa):
        for columns in (1, 2, 3):
            weight, x = rng.standard_normal((rows, columns)), rng.standard_normal(columns)
            np.testing.assert_allclose(product(isa, rows, columns, weight, x), weight @ x, atol=1e-5)


@isas
@pytest.mark.parametrize("rows", [1, 5, 40, 150])
def test_columns_at_the_edges_of_unrolled_rounds(isa: str, rows: int) -> None:
    rng = np.random.default_rng(1)
    vectors = -(-min(rows, ISAS[isa].lanes * ISAS[isa].accumulators) // ISAS[isa].lanes)
    a_round = LOADS_A_ROUND // vectors
    for columns in {a_round - 1, a_round, a_round + 1, 2 * a_round - 1, 2 * a_round, 2 * a_round + 3, 517}:
        weight, x = rng.standard_normal((rows, columns)), rng.standard_normal(columns)
        np.testing.assert_allclose(product(isa, rows, columns, weight, x), weight @ x, atol=1e-4)


@isas
@pytest.mark.parametrize("columns", [256, 512, 513, 1030])
def test_long_rows_of_ones_add_up(isa: str, columns: int) -> None:
    """Peers overflow with 256 ones, or stop at 512 columns."""
    assert np.all(product(isa, 20, columns, np.ones((20, columns)), np.ones(columns)) == columns)


@isas
def test_each_weight_is_read_once_and_meets_its_input(isa: str) -> None:
    """A peer reads one block twice: with powers of two as inputs, each row tells which weights it met."""
    rows, columns = 150, 23
    weight = np.random.default_rng(2).integers(0, 2, (rows, columns))
    x = 2.0 ** np.arange(columns)
    np.testing.assert_array_equal(product(isa, rows, columns, weight, x), weight @ x)


@isas
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 15, 16, 17, 33])
def test_a_copy_touches_nothing_else(isa: str, size: int) -> None:
    out, x = np.full(64, -1, np.float32), np.arange(64, dtype=np.float32)
    Native(isa, f"copy_{size}", exported(copy(size, ISAS[isa])))(out, x)
    np.testing.assert_array_equal(out[:size], x[:size])
    assert np.all(out[size:] == -1)


@isas
@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_answers_as_published(isa: str, counter: Words, key: Words, answer: Words) -> None:
    """The kernel gives the high 24 bits of the first two words."""
    parameters = [("out", PTR), ("index", I64), ("draw", I64), ("seed", I64), ("stream", I64)]
    k = Function("numbers", parameters, ISAS[isa].lanes, linkage="")
    draw, stream = k["draw"].convert("trunc", "i32"), k["stream"].convert("trunc", "i32")
    k.call_void("uniforms", k["out"], k["index"], draw, k["seed"], stream)
    out = np.zeros(2, np.float32)
    numbers = Native(isa, "numbers", uniforms(ISAS[isa]), k)
    numbers(out, counter[0] | counter[1] << 32, counter[2], key[0] | key[1] << 32, counter[3])
    assert list(out) == [(answer[0] >> 8) / 2**24, (answer[1] >> 8) / 2**24]


@isas
def test_sums_and_maxima_across_a_vector(isa: str) -> None:
    k = Function("reduce", [("x", PTR), ("out", PTR)], ISAS[isa].lanes, linkage="")
    k.store(k.reduce("add", k.load(k["x"])), k["out"], 0)
    k.store(k.reduce("max", k.load(k["x"])), k["out"], 1)
    lanes = ISAS[isa].lanes
    for place in range(lanes):
        x = -np.ones(lanes, np.float32)
        x[place] = 100
        out = np.zeros(2, np.float32)
        Native(isa, "reduce", k)(x, out)
        assert list(out) == [100 - (lanes - 1), 100]


def test_builder_constants_are_what_was_written() -> None:
    k = Function("f", [], 4)
    assert k.constant(F32, 0.1).name == "0x3FB99999A0000000"
    assert k.constant(I32, 0xFFFFFFFF).name == "-1"
    assert k.constant(I64, 2**63).name == str(-(2**63))
    assert k.splat(1.0).name == "splat (float 0x3FF0000000000000)"


def test_a_loop_must_carry_on_what_it_carries() -> None:
    k = Function("f", [], 4)
    with pytest.raises(AssertionError, match="carries"), k.loop(3, carry=[k.splat(0.0)]) as loop:
        loop.next()
