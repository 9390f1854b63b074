"""Products whose blocks of zeros are left out: the same sums in every format, and less to read."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backends.llvm.test_precisions import assert_agree_within_format, product
from tests.cases import HOST_ISAS
from wavejit.backends.llvm.compile import host_target
from wavejit.compression.prune import prune
from wavejit.ir.builder import Linear, StepBuilder, Tensor, affine, concatenate, gru, relu, tanh
from wavejit.ir.cost import cost
from wavejit.ir.formats import FORMATS, FormatName, nonzero_blocks
from wavejit.ir.ops import Affine, Step
from wavejit.models import builtin
from wavejit.passes import lower
from wavejit.runtime.engine import Engine

# Every instruction set as it is; of those whose code has blocks one by one, the widest with lists too.
WRITING = [isa for isa in HOST_ISAS if host_target(isa).written]
TARGETS = {isa: host_target(isa) for isa in HOST_ISAS}
TARGETS |= {f"{isa} lists": replace(host_target(isa), written=0) for isa in WRITING[:1]}
isas = pytest.mark.parametrize("isa", TARGETS)
formats = pytest.mark.parametrize("precision", list(FORMATS))


def sparse(name: str, sparsity: float, block: tuple[int, int] = (16, 4)) -> Step:
    family, network = builtin(name) or pytest.fail("a built-in network")
    return family.step(name, network, prune(family.random_weights(network), sparsity, block))


def block_rows(step: Step) -> list[int]:
    return [line.op.block_rows for line in step.lines.values() if isinstance(line.op, Affine)]


@isas
@formats
@pytest.mark.parametrize("name", ["deepvoice-2-64-128", "wavernn-132", "wavegru-130"])
def test_sparse_networks(isa: str, precision: FormatName, name: str) -> None:
    step = sparse(name, 0.8, (16, FORMATS[precision].unit if FORMATS[precision].block_scales else 4))
    assert any(block_rows(Engine(step, TARGETS[isa], precision=precision).step))
    assert_agree_within_format(step, TARGETS[isa], precision, 30)


@isas
@formats
@settings(max_examples=12)
@given(data=st.data())
def test_any_pattern_is_multiplied_exactly(isa: str, precision: FormatName, data: st.DataObject) -> None:
    """Whole numbers small enough for every format: the sums come out to the last bit, whatever is left out."""
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    rows, columns = data.draw(st.integers(16, 300)), data.draw(st.integers(8, 90))
    format = FORMATS[precision]
    limit, most = format.limit or 127, min(format.limit or 100, 100)
    weights = rng.integers(-most, most + 1, (rows, columns))
    high, wide = data.draw(st.sampled_from(((1, 1), (1, 4), (4, 4), (8, 2))))
    there = rng.random((-(-rows // high), -(-columns // wide))) < data.draw(st.floats(0, 0.05 if high == 1 else 0.2))
    weights *= there.repeat(high, axis=0)[:rows].repeat(wide, axis=1)[:, :columns]
    x = rng.integers(-100, 101, columns)
    weights[:, 0], x[0], x[1], weights[:, 1] = 0, 0, FORMATS[format.inputs].limit or 127, 0
    if format.limit:  # scales of 1: each row, or block of one, has a weight of the largest, on an input of 0
        for start in range(0, columns, format.block if format.block_scales else columns):
            weights[:, start], x[start] = limit, 0
    if format.block_scales:  # which are left out together
        kept = rng.random((-(-rows // 16), -(-columns // format.block))) < data.draw(st.floats(0, 0.5))
        weights *= kept.repeat(16, axis=0)[:rows].repeat(format.block, axis=1)[:, :columns]
    engine = Engine(product(weights), TARGETS[isa], precision=precision)
    found = engine.stream().run(1, x[None].astype(np.float32))
    np.testing.assert_array_equal(found, weights @ x)


def test_zeros_are_found_and_a_matrix_without_them_stays_dense() -> None:
    target = host_target()
    for sparsity, expected in ((0.0, False), (0.3, False), (0.9, True)):
        step = lower(sparse("wavernn-256", sparsity, (target.lanes, 4)), target)
        assert any(block_rows(step)) == expected


@isas
@pytest.mark.parametrize("precision", ["float32", "int16", "int8"])
@pytest.mark.parametrize("high", [4, 8])
@pytest.mark.parametrize("fill", [False, True])
def test_blocks_lower_than_a_vector(
    isa: str, precision: FormatName, high: int, fill: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Lyra prunes: each group of lanes takes words of its own, and groups share vectors as they lie, or by fill."""
    target = TARGETS[isa]
    choice = import_module("wavejit.passes.leave_out_zeros")  # the package has the pass itself by this name
    monkeypatch.setattr(choice, "GROUPS", (high,))
    monkeypatch.setattr(choice, "COST_OF_PLACES", 1e9)  # each lane for itself is too dear
    for name in ("COST_OF_WAIT", "COST_OF_PUTTING"):
        monkeypatch.setattr(choice, name, 0.0 if fill else 1000.0)
    if target.lanes <= high:
        pytest.skip(f"a vector has {target.lanes} lanes")
    wide = FORMATS[precision].unit
    step = sparse("wavernn-256", 0.94, (high, wide))
    lowered = lower(replace(step, precision=precision), target)
    low = [op for line in lowered.lines.values() if isinstance(op := line.op, Affine) and op.block_rows == high]
    assert low
    assert any(op.by_fill for op in low) == fill
    assert_agree_within_format(step, TARGETS[isa], precision, 30)


@isas
@pytest.mark.parametrize("precision", ["float32", "int16", "int8"])
@pytest.mark.parametrize("rows", [16, 100, 261])
def test_rows_by_lanes_that_differ_much(
    isa: str, precision: FormatName, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few full rows between nearly empty ones: the sums come out to the last bit, each in its own place."""
    target = TARGETS[isa]
    by_lane_costs_nothing(monkeypatch)
    rng = np.random.default_rng(rows)
    weights = uneven(rng, rows, 200)
    limit = FORMATS[precision].limit or 127
    weights[:, 0] = limit  # scales of 1
    x = rng.integers(-100, 101, 200)
    x[0], x[1], weights[:, 1] = 0, FORMATS[FORMATS[precision].inputs].limit or 127, 0
    engine = Engine(product(weights), target, precision=precision)
    assert not target.tables or block_rows(engine.step) == [1]
    np.testing.assert_array_equal(engine.stream().run(1, x[None].astype(np.float32)), weights @ x)


@isas
@pytest.mark.parametrize("precision", ["float32", "int16", "int8"])
@pytest.mark.parametrize("size", [64, 90])
def test_gates_by_lanes(isa: str, precision: FormatName, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of all gates share vectors, and each total is found again: with bias and addends, or without."""
    rng = np.random.default_rng(size)
    by_lane_costs_nothing(monkeypatch)

    def linear(name: str, outputs: int, inputs: int, bias: bool = True) -> Linear:
        weights = (uneven(rng, outputs, inputs) / 100).astype(np.float32)
        offsets = rng.standard_normal(outputs).astype(np.float32)
        return Linear(Tensor(name, weights), Tensor(f"{name}.bias", offsets) if bias else None)

    s = StepBuilder("gates", 16000)
    x, h = tanh(s.condition("x", 200, 1)), s.state("h", size)
    new = gru(linear("recurrent", 3 * size, size), linear("inputs", 3 * size, 200), h, x)
    s.update("h", new)
    s.emit(
        relu(
            affine(linear("out", 100, size, bias=False), new)
            + affine(linear("skip", 100, 200), x)
            + s.condition("y", 100, 1)
        )
    )
    step = s.step()
    lowered = Engine(step, TARGETS[isa], precision=precision).step
    assert not TARGETS[isa].tables or block_rows(lowered).count(1) > 1
    assert_agree_within_format(step, TARGETS[isa], precision, 20)


@isas
def test_what_lies_between_inputs_is_not_looked_at(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of one value are read by one list; a row that takes nothing multiplies no number from between them by 0."""
    by_lane_costs_nothing(monkeypatch)
    weights = uneven(np.random.default_rng(0), 64, 46).astype(np.float32)
    s = StepBuilder("parts", 16000)
    x = s.condition("x", 96, 1)
    s.emit(affine(Linear(Tensor("w", weights)), concatenate(x[:20], x[70:])))
    engine = Engine(s.step(), TARGETS[isa])
    assert not TARGETS[isa].tables or block_rows(engine.step) == [1]
    frame = np.arange(96, dtype=np.float32)
    frame[20:70] = np.nan
    found = engine.stream().run(1, frame[None])
    np.testing.assert_array_equal(found, weights @ np.concatenate([frame[:20], frame[70:]]))


def by_lane_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = import_module("wavejit.passes.leave_out_zeros")
    for name in ("LISTED", "WRITTEN"):
        monkeypatch.setattr(choice, name, replace(getattr(choice, name), window=-1.0, scaled=0.0))
    monkeypatch.setattr(choice, "GROUPS", ())
    monkeypatch.setattr(choice, "COST_OF_WAIT", 0.0)
    monkeypatch.setattr(choice, "COST_OF_PLACES", 0.0)


def uneven(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Whole numbers up to 100 in rows of which one in ten is full and the others are nearly empty."""
    density = np.where(np.arange(rows) % 10 == 3, 1.0, 0.02)
    return rng.integers(-100, 101, (rows, columns)) * (rng.random((rows, columns)) < density[:, None])


@pytest.mark.parametrize(
    ("share", "most", "written"),
    [(0.03, 1000, True), (0.03, 10, False), (0.2, 1000, False)],
    ids=["few", "many", "long lists"],
)
def test_few_blocks_are_written_out(share: float, most: int, written: bool) -> None:
    """Neither many blocks, whose code would take long to make, nor long lists, whose code would take long to come."""
    if not host_target().written:
        pytest.skip("the code of this processor has lists")
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((256, 256)) * (rng.random((16, 64)) < share).repeat(16, axis=0).repeat(4, axis=1)
    step = lower(replace(product(weights), precision="int8"), replace(host_target(), written=most))
    (op,) = [line.op for line in step.lines.values() if isinstance(line.op, Affine)]
    assert op.block_rows
    assert op.written == written


def test_layers_share_what_follows_written_sums() -> None:
    """No two layers have the same zeros: each has code of its own for its sums, and all have one gate."""
    if not host_target().written:
        pytest.skip("the code of this processor has lists")
    text = Engine(sparse("deepvoice-6-32-32", 0.9), host_target(), precision="int8").program.text
    functions = text.split("define internal ")[1:]
    begin = [text for text in functions if "tanh_sigmoid" in text.split("(")[0] and "written" in text.split("(")[0]]
    gates = {name for text in begin for name in re.findall(r"tail call void @(\w+)", text)}
    assert len(begin) == 6
    assert len(gates) <= 2  # one of a sum that was begun, one of a sum that was not
    assert not any("fma" in text for text in begin)


@isas
@pytest.mark.parametrize("rows", [16, 40])
def test_scaled_on_the_way_before_they_overflow(isa: str, rows: int) -> None:
    """Every word that is left has the largest weights, on the largest inputs: 16 of them are just below 2^31."""
    columns = 1024
    weights = np.zeros((rows, columns))
    weights[:, np.arange(columns) % 8 < 2] = FORMATS["int16"].limit
    x = np.full(columns, FORMATS["int16"].limit)
    engine = Engine(product(weights), TARGETS[isa], precision="int16")
    assert any(block_rows(engine.step))
    found = engine.stream().run(1, x[None].astype(np.float32))
    np.testing.assert_allclose(found, weights @ x, rtol=1e-6)


def test_zeros_that_make_no_block_are_kept() -> None:
    step = sparse("wavernn-256", 0.6, (1, 1))
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


@pytest.mark.parametrize(("precision", "bits"), [("int4", 4), ("mxint8", 8)])
def test_a_sparse_product_costs_the_scales_of_its_blocks(precision: FormatName, bits: int) -> None:
    target = host_target("generic")
    weights = np.zeros((64, 96), np.float32)
    weights[0, 0] = weights[63, 63] = weights[63, 40] = 7.0
    step = lower(replace(product(weights), precision=precision), target)
    (high,) = block_rows(step)
    assert high % target.lanes == 0
    kept = 2 * high * (4 * bits + 4)  # bytes of two blocks of 32 columns, with a word of each row
    assert cost(step).weight_bytes == kept
    assert cost(step).multiply_adds == 2 * high * 32
    assert step.packing is not None
    lists = 2 * (64 // high + 2)
    assert step.packing.data.nbytes == kept + -(-lists // 16) * 16
    engine = Engine(product(weights), target, precision=precision)
    found = engine.stream().run(1, np.ones((1, 96), np.float32))
    np.testing.assert_array_equal(found, weights.sum(axis=1))


def test_a_matrix_of_zeros_is_its_bias() -> None:
    found = Engine(product(np.zeros((40, 20))), host_target()).stream().run(1, np.ones((1, 20), np.float32))
    np.testing.assert_array_equal(found, np.zeros(40))


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_streams_that_share_long_lists(precision: FormatName) -> None:
    """Lists of eight blocks and more have several sums: as many for three streams as for one, in the same order."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((256, 256)).astype(np.float32)
    share = np.where(np.arange(16) == 5, 0.5, 0.03)[:, None]  # of blocks: one long list, and short ones
    weights *= (rng.random((16, 64)) < share).repeat(16, axis=0).repeat(4, axis=1)
    engine = Engine(product(weights), host_target(), precision=precision, streams=3)
    streams = [engine.stream(stream=i) for i in range(3)]
    frames = [rng.standard_normal((20, 256), dtype=np.float32) for _ in streams]
    alone = [engine.stream(stream=i).run(20, given) for i, given in enumerate(frames)]
    (op,) = [line.op for line in engine.step.lines.values() if isinstance(line.op, Affine)]
    assert op.block_rows
    np.testing.assert_array_equal(engine.run_together(streams, 20, frames), alone)
