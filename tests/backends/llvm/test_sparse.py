"""Products whose blocks of zeros are left out: the same sums in every format, and less to read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backends.llvm.test_precisions import assert_agree_within_format, product
from tests.cases import HOST_ISAS
from wavejit.backends.llvm.compile import host_target
from wavejit.compression.prune import prune
from wavejit.ir.cost import cost
from wavejit.ir.formats import FORMATS, FormatName, nonzero_blocks
from wavejit.ir.ops import Affine, Step
from wavejit.models import builtin
from wavejit.passes import lower
from wavejit.runtime.engine import Engine

isas = pytest.mark.parametrize("isa", HOST_ISAS)
formats = pytest.mark.parametrize("precision", list(FORMATS))


def sparse(name: str, sparsity: float, block: tuple[int, int] = (16, 4)) -> Step:
    family, network = builtin(name) or pytest.fail("a built-in network")
    return family.step(name, network, prune(family.random_weights(network), sparsity, block))


def block_rows(step: Step) -> list[int]:
    return [line.op.block_rows for line in step.lines.values() if isinstance(line.op, Affine)]


@isas
@formats
@pytest.mark.parametrize("name", ["deepvoice-4-64-128", "wavernn-260", "wavegru-130"])
def test_sparse_networks(isa: str, precision: FormatName, name: str) -> None:
    step = sparse(name, 0.8)
    assert any(block_rows(Engine(step, host_target(isa), precision=precision).step))
    assert_agree_within_format(step, isa, precision, 30)


@isas
@formats
@settings(max_examples=12)
@given(data=st.data())
def test_any_pattern_is_multiplied_exactly(isa: str, precision: FormatName, data: st.DataObject) -> None:
    """Whole numbers small enough for every format: the sums come out to the last bit, whatever is left out."""
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    rows, columns = data.draw(st.integers(16, 300)), data.draw(st.integers(8, 90))
    limit = FORMATS[precision].limit or 127
    weights = rng.integers(-100, 101, (rows, columns)) * (rng.random((rows, columns)) < data.draw(st.floats(0, 0.05)))
    x = rng.integers(-100, 101, columns)
    weights[:, 0], x[0], x[1], weights[:, 1] = 0, 0, limit, 0
    weights[::16, 1] = 0
    if FORMATS[precision].limit:  # scales of 1: each row has a weight of the format's largest, on an input of 0
        weights[:, 0] = limit
    engine = Engine(product(weights), host_target(isa), precision=precision)
    found = engine.stream().run(1, x[None].astype(np.float32))
    np.testing.assert_array_equal(found, weights @ x)


def test_zeros_are_found_and_a_matrix_without_them_stays_dense() -> None:
    target = host_target()
    for sparsity, expected in ((0.0, False), (0.3, False), (0.9, True)):
        step = lower(sparse("wavernn-256", sparsity, (target.lanes, 4)), target)
        assert any(block_rows(step)) == expected


def test_zeros_that_make_no_block_are_kept() -> None:
    step = sparse("wavernn-256", 0.8, (1, 1))
    assert not any(block_rows(lower(step, host_target())))


def test_a_sparse_product_costs_its_blocks() -> None:
    target = host_target("generic")
    weights = np.zeros((64, 32), np.float32)
    weights[0, 0] = weights[63, 31] = weights[63, 30] = 1.0
    step = lower(replace(product(weights), precision="int8"), target)
    (high,) = block_rows(step)
    assert high % target.lanes == 0
    assert nonzero_blocks(weights, high, "int8").sum() == 2
    assert cost(step).multiply_adds == 2 * high * 4
    assert cost(step).weight_bytes == 2 * high * 4 + 64 * 4  # blocks; scales of the rows
    assert step.packing is not None
    lists = 2 * (64 // high + 2)  # 16 bits for each list's length and each block's column
    assert step.packing.data.nbytes == 2 * high * 4 + 64 * 4 + -(-lists // 16) * 16


def test_a_matrix_of_zeros_is_its_bias() -> None:
    found = Engine(product(np.zeros((40, 20))), host_target()).stream().run(1, np.ones((1, 20), np.float32))
    np.testing.assert_array_equal(found, np.zeros(40))
