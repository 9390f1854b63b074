"""The builder: values with operators, states, clocks, and where a line was built."""

import numpy as np
import pytest

from wavejit.ir.builder import (
    Linear,
    StepBuilder,
    Tensor,
    Tensors,
    affine,
    concatenate,
    exp,
    gru,
    relu,
    sigmoid,
    tanh,
    total,
)
from wavejit.ir.ops import Affine, Combine, Delayed, Gaussian, Map, Recall, Slice


def builder() -> StepBuilder:
    return StepBuilder("model", 16000)


def test_operators_build_operations() -> None:
    s = builder()
    x, y = s.condition("x", 4, 1), s.condition("y", 4, 1)
    sums = (Combine("add", 0, 1), x + y), (Combine("subtract", 0, 1), x - y), (Combine("multiply", 0, 1), x * y)
    maps = (Map("tanh", 0), tanh(x)), (Map("sigmoid", 0), sigmoid(x)), (Map("relu", 0), relu(x))
    for op, made in (*sums, *maps, (Map("exp", 0), exp(x))):
        assert s._lines[made.ref].op == op


def test_slices_are_pythons() -> None:
    s = builder()
    x = s.condition("x", 9, 1)
    for where in (slice(2, 5), slice(-3, None), slice(None), slice(4, 100)):
        start, stop, _ = where.indices(9)
        made = x[where]
        assert s._lines[made.ref].op == Slice(x.ref, start, stop - start)
        assert made.size == stop - start
    assert [part.size for part in x.split(3)] == [3, 3, 3]
    with pytest.raises(TypeError, match="a slice of a value has step 1, found 2"):
        x[::2]


def test_a_total_adds_from_the_first() -> None:
    s = builder()
    a, b, c = (s.condition(name, 2, 1) for name in "abc")
    assert total([a]) is a
    made = total([a, b, c])
    assert s._lines[made.ref].op == Combine("add", made.ref - 1, c.ref)
    assert s._lines[made.ref - 1].op == Combine("add", a.ref, b.ref)


def test_a_line_knows_where_it_was_built() -> None:
    s = builder()
    x = s.condition("x", 2, 1)
    line = test_a_line_knows_where_it_was_built.__code__.co_firstlineno + 2
    assert s._lines[x.ref].where == f"test_builder.py:{line}"


def test_states_lead_from_tick_to_tick() -> None:
    s = builder()
    h = s.state("h", 3, Tensor("first", np.ones(3, np.float32)))
    new = tanh(h)
    s.update("h", new)
    s.emit(h)
    assert s.step().lines[h.ref].op == Delayed(new.ref, 1, "first")


def test_a_state_without_update_is_an_error() -> None:
    s = builder()
    s.emit(s.state("h", 3))
    with pytest.raises(ValueError, match="state h is never updated"):
        s.step()


def test_a_state_is_recalled_before_and_after_it_is_made() -> None:
    s = builder()
    lag = s.condition("lag", 1, 4)
    h = s.state("h", 3)
    before = s.recalled("h", lag, 7)
    new = tanh(h + before)
    s.update("h", new)
    after = s.recalled("h", lag, 9)
    same = s.recalled(h, lag, 5)
    s.emit(after + same)
    step = s.step()
    assert step.lines[before.ref].op == Recall(new.ref, lag.ref, 7)
    assert step.lines[after.ref].op == Recall(new.ref, lag.ref, 9)
    assert step.lines[same.ref].op == Recall(h.ref, lag.ref, 5), "a value, not the state that it is the past of"
    assert [step.lines[x.ref].clock for x in (before, after, same)] == [1, 1, 1], "recalled each tick"
    assert before.size == 3


def test_past_draws_and_samples_are_found_when_the_step_is_finished() -> None:
    s = builder()
    last, before = s.emitted(1, 2), s.drawn("y", 3)
    y = s.draw("y", Gaussian(), concatenate(before, before))
    sound = concatenate(y, y)
    s.emit(sound + last)
    step = s.step()
    assert step.lines[before.ref].op == Delayed(y.ref, 3)
    assert step.samples_per_tick == 2
    assert step.lines[last.ref].op.of == y.ref + 2  # type: ignore[union-attr]


def test_past_samples_need_samples() -> None:
    s = builder()
    s.emitted(1)
    with pytest.raises(ValueError, match="nothing is emitted"):
        s.step()


def test_clocks() -> None:
    s = builder()
    x = s.condition("x", 4, 8)
    with s.every(4):
        y = tanh(x)
        with s.every(2):
            z = tanh(y)
        past = s.delayed(x, 1)
    w = tanh(z)
    assert [s._lines[v.ref].clock for v in (x, y, z, past, w)] == [8, 4, 2, 8, 1]


def test_an_error_inside_a_clock_leaves_it() -> None:
    s = builder()
    with pytest.raises(RuntimeError), s.every(4):
        raise RuntimeError
    assert s._lines[s.condition("x", 1, 1).ref].clock == 1
    x = tanh(s.condition("y", 1, 4))
    assert s._lines[x.ref].clock == 1


def test_hop_length_counts_samples() -> None:
    s = builder()
    s.emit(s.condition("x", 4, 50))
    assert s.step().hop_length == 200
    assert s.step().samples_per_tick == 4


def test_tensors_find_weight_and_bias() -> None:
    square, row = np.ones((1, 1), np.float32), np.ones(1, np.float32)
    tensors = Tensors({"a.weight": square, "a.bias": row, "b.weight": square})
    assert tensors.linear("a").bias is not None
    assert tensors.linear("b").bias is None


def test_affine_and_gru_shapes() -> None:
    s = builder()
    h, x = s.state("h", 5), s.condition("x", 3, 1)
    recurrent = Linear(Tensor("R", np.zeros((15, 5), np.float32)))
    inputs = Linear(Tensor("W", np.zeros((15, 3), np.float32)), Tensor("b", np.zeros(15, np.float32)))
    new = gru(recurrent, inputs, h, x)
    assert new.size == 5
    assert [line.op.bias for line in s._lines.values() if isinstance(line.op, Affine)] == [None, "b"]
    assert affine(inputs, x).size == 15
