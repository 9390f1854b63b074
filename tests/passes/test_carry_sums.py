"""Integer sums that one product begins and another ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.backends.llvm.test_sparse import by_lane_costs_nothing
from tests.cases import HOST_ISAS, WIDE, Array, by_name, random_frames
from wavejit.backends.llvm.compile import host_target
from wavejit.backends.reference import Reference
from wavejit.ir.builder import Linear, StepBuilder, Tensor, Value, affine, concatenate, relu, sigmoid, tanh
from wavejit.ir.formats import FormatName
from wavejit.ir.ops import Affine, Step
from wavejit.ir.show import show_line
from wavejit.ir.verify import IRError, verify
from wavejit.runtime.engine import Engine

TERMS = 11  # more than are joined into one product


def layer(name: str, rows: int, columns: int, seed: int, extreme: bool = False, sparse: bool = False) -> Linear:
    rng = np.random.default_rng(seed)
    weights = np.sign(rng.standard_normal((rows, columns))) if extreme else rng.standard_normal((rows, columns))
    if sparse:
        weights *= rng.random((rows, columns // 4)).repeat(4, axis=1) < 0.1
    bias = Tensor(f"{name}.bias", rng.standard_normal(rows).astype(np.float32))
    return Linear(Tensor(name, weights.astype(np.float32)), bias)


def many_terms(rows: int, columns: int, *, extreme: bool = False, sparse: bool = False, gated: bool = False) -> Step:
    """The sum of many products of values below 1, and perhaps gates of it."""
    s = StepBuilder("sums", 16000)
    x = s.condition("x", TERMS * columns, 1)

    def term(i: int) -> Value:
        return affine(layer(f"w{i}", rows, columns, i, extreme, sparse), tanh(x[i * columns : (i + 1) * columns]))

    total = term(0)
    for i in range(1, TERMS):
        total = total + term(i)
    half = rows // 2
    s.emit(tanh(total[:half]) * sigmoid(total[half : 2 * half]) if gated else relu(total))
    return s.step()


def products(step: Step) -> list[Affine]:
    return [line.op for line in step.lines.values() if isinstance(line.op, Affine)]


def as_reference(engine: Engine, ticks: int = 5, scale: float = 1.0) -> tuple[Array, NDArray[np.float64]]:
    """What an engine makes, and the reference."""
    frames = scale * random_frames(engine.source, ticks)
    expected = Reference(engine.step).run(ticks, by_name(engine.source, frames)).samples
    return engine.stream().run(ticks, frames), expected


def test_a_sum_of_many_products_is_one_sum_of_integers() -> None:
    found = Engine(many_terms(48, 16), WIDE, precision="int8").step
    first, *middle, last = products(found)
    assert first.unfinished
    assert first.continues is None
    assert all(op.unfinished and op.continues is not None for op in middle)
    assert not last.unfinished
    assert last.continues is not None
    assert all(op.bias is None for op in (first, *middle))
    assert last.bias is not None
    assert all(op.scaled_with == last.scaled_with for op in (first, *middle))
    assert sorted(last.scaled_with) == sorted(f"w{i}" for i in range(TERMS))
    shown = [show_line(ref, line) for ref, line in found.lines.items() if isinstance(line.op, Affine)]
    assert "= sums[int8] w0 @" in shown[0]
    assert "affine[int8] sums %" in shown[-1]


def test_it_is_what_one_product_of_all_would_be() -> None:
    """To the last integer: the reference scales the whole sum, however many products make it."""
    carried = Engine(many_terms(48, 16), WIDE, precision="int8").step
    *_, last = products(carried)
    order = sorted(range(TERMS), key=lambda i: last.scaled_with.index(f"w{i}"))
    s = StepBuilder("one product", 16000)
    x = s.condition("x", TERMS * 16, 1)
    together = np.concatenate([layer(f"w{i}", 48, 16, i).weight.data for i in order], axis=1)
    assert last.bias is not None
    bias = Tensor("bias", carried.weights[last.bias])
    ordered = concatenate(*(x[16 * i : 16 * i + 16] for i in order))
    s.emit(relu(affine(Linear(Tensor("w", together), bias), tanh(ordered))))
    one = Engine(s.step(), WIDE, precision="int8").step
    assert len(products(one)) == 1
    frames = by_name(carried, random_frames(carried, 5))
    found, expected = (Reference(step).run(5, frames).samples for step in (carried, one))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "int16", "mxint8"])
def test_other_formats_scale_as_they_go(precision: FormatName) -> None:
    found = Engine(many_terms(48, 16), WIDE, precision=precision).step
    assert not any(op.unfinished or op.continues is not None for op in products(found))


def test_measured_inputs_are_not_carried() -> None:
    """Their scales differ from tick to tick."""
    s = StepBuilder("measured", 16000)
    x = s.condition("x", 160, 1)
    total = affine(layer("w0", 32, 16, 0), x[0:16])
    for i in range(1, 10):
        total = total + affine(layer(f"w{i}", 32, 16, i), x[16 * i : 16 * i + 16])
    s.emit(total)
    assert not any(op.unfinished for op in products(Engine(s.step(), WIDE, precision="int8").step))


def test_totals_in_an_order_of_their_own_are_not_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    if not host_target().tables:
        pytest.skip("no lane of this processor takes words of its own")
    by_lane_costs_nothing(monkeypatch)
    engine = Engine(many_terms(64, 64, sparse=True), host_target(), precision="int8")
    carried = [op for op in products(engine.step) if op.unfinished or op.continues is not None]
    assert any(op.by_fill for op in products(engine.step))
    assert not any(op.by_fill for op in carried)
    found, expected = as_reference(engine)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("isa", HOST_ISAS)
@settings(max_examples=8, deadline=None)
@given(
    rows=st.integers(8, 70),
    columns=st.integers(8, 40),
    gated=st.booleans(),
    extreme=st.booleans(),
)
def test_any_shape_on_any_instruction_set(isa: str, rows: int, columns: int, gated: bool, extreme: bool) -> None:
    step = many_terms(rows, columns, gated=gated, extreme=extreme)
    engine = Engine(step, host_target(isa), precision="int8")
    assert any(op.continues is not None for op in products(engine.step))
    found, expected = as_reference(engine, scale=50.0 if extreme else 1.0)
    np.testing.assert_allclose(found, expected, atol=2e-5 * max(1.0, float(np.abs(expected).max())))


@pytest.mark.parametrize("isa", HOST_ISAS)
@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (96, 32)])
def test_sparse_ones(isa: str, rows: int, columns: int) -> None:
    engine = Engine(many_terms(rows, columns, sparse=True), host_target(isa), precision="int8")
    found, expected = as_reference(engine)
    np.testing.assert_allclose(found, expected, atol=2e-5 * float(np.abs(expected).max()))


@pytest.mark.parametrize("streams", [2, 3, 7])
def test_streams_have_sums_of_their_own(streams: int) -> None:
    engine = Engine(many_terms(80, 20), WIDE, precision="int8", streams=streams)
    frames = [random_frames(engine.source, 6, seed=i) for i in range(streams)]
    running = [engine.stream(stream=i) for i in range(streams)]
    together = engine.run_together(running, 6, frames)
    for i, chunk in enumerate(together):
        assert chunk.tobytes() == engine.stream(stream=i).run(6, frames[i]).tobytes()


def test_two_threads_hand_sums_on() -> None:
    step = many_terms(64, 64)
    one, two = (Engine(step, WIDE, precision="int8", threads=threads) for threads in (1, 2))
    frames = random_frames(step, 20)
    assert one.stream().run(20, frames).tobytes() == two.stream().run(20, frames).tobytes()


def test_a_sum_is_read_by_nothing_else() -> None:
    """The verifier says so: bare integers mean nothing to other operations."""
    found = Engine(many_terms(48, 16), WIDE, precision="int8").step
    refs = [ref for ref, line in found.lines.items() if isinstance(line.op, Affine) and line.op.unfinished]
    lines = dict(found.lines)
    last = next(ref for ref, line in lines.items() if isinstance(line.op, Affine) and not line.op.unfinished)
    op = lines[last].op
    assert isinstance(op, Affine)
    lines[last] = replace(lines[last], op=replace(op, continues=None, addends=(refs[0],)))
    with pytest.raises(IRError, match="bare integers"):
        verify(replace(found, lines=lines))
