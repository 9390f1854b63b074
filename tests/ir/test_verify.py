"""Each way in which a step can be wrong has a sentence that names operation, shapes and the line that built it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from tests.cases import one_pole, steps
from wavejit.ir.builder import Linear, StepBuilder, Tensor, Value, affine, lookup, tanh
from wavejit.ir.ops import (
    Affine,
    Categorical,
    Combine,
    Concatenate,
    Constant,
    Delayed,
    Draw,
    Emit,
    Gaussian,
    Line,
    Logistics,
    Lookup,
    Map,
    Operation,
    Phase,
    Recall,
    Slice,
    Step,
    Upsample,
)
from wavejit.ir.verify import IRError, check_finite, verify


def weight(*shape: int) -> Tensor:
    return Tensor("w", np.zeros(shape, np.float32))


def builder() -> tuple[StepBuilder, Value]:
    """A step under construction, and a frame `(4,)` on clock 6."""
    s = StepBuilder("model", 16000)
    return s, s.condition("x", 4, 6)


def label(s: StepBuilder, x: Value) -> Value:
    return s.draw("k", Categorical(), x)


def recall_a_class(s: StepBuilder, x: Value) -> Value:
    lag = x[:1]
    return s.recalled(label(s, x), lag, 5)


def add(op: Callable[[Value], Operation], tensor: Tensor | None = None) -> Callable[[StepBuilder, Value], object]:
    def build(s: StepBuilder, x: Value) -> object:
        if tensor is not None:
            s.tensor(tensor)
        return s.add(op(x))

    return build


BUILT_WRONGLY: dict[str, Callable[[StepBuilder, Value], object]] = {
    r"model: Affine: w is \(3, 5\) for input \(4,\)": lambda s, x: affine(Linear(weight(3, 5)), x),
    r"model: Affine: bias b is \(2,\), expected \(3,\)": lambda s, x: affine(
        Linear(weight(3, 4), Tensor("b", np.zeros(2, np.float32))), x
    ),
    r"model: Affine: weight w is \(4,\), expected 2 axes": lambda s, x: affine(Linear(weight(4)), x),
    r"model: Affine: 1 weights for 2 inputs": add(lambda x: Affine(("w",), (x.ref, x.ref)), weight(3, 4)),
    r"model: Affine: addend %0 is \(4,\), expected \(3,\)": add(
        lambda x: Affine(("w",), (x.ref,), None, (x.ref,)), weight(3, 4)
    ),
    r"model: Affine: there is no weight missing": add(lambda x: Affine(("missing",), (x.ref,))),
    r"model: Affine: %1 is a class, expected a real vector": lambda s, x: affine(Linear(weight(2, 1)), label(s, x)),
    r"model: Constant: weight w is \(2, 2\), expected 1 axes": lambda s, x: s.constant(weight(2, 2)),
    r"model: Condition: an empty condition": lambda s, x: s.condition("y", 0, 1),
    r"model: Combine: operands are \(4,\) and \(2,\)": lambda s, x: x + x[:2],
    r"model: Slice: \[2:7\] of \(4,\)": add(lambda x: Slice(x.ref, 2, 5)),
    r"model: Slice: \[1:1\] of \(4,\)": lambda s, x: x[1:1],
    r"model: Concatenate: nothing to concatenate": add(lambda x: Concatenate(())),
    r"model: Delayed: a delay of 0 ticks, expected at least 1": lambda s, x: s.delayed(x, 0),
    r"model: Delayed: first value w is not \(4,\)": add(lambda x: Delayed(x.ref, 1, "w"), weight(3)),
    r"model: Delayed: first class 4.* of 4": lambda s, x: s.delayed(label(s, x), 1, 4),
    r"model: Recall: lag %0 is \(4,\), expected \(1,\)": lambda s, x: s.recalled(x, x, 5),
    r"model: Recall: a lag of at most 0 ticks, expected 1 to 4194304": lambda s, x: s.recalled(x, x[:1], 0),
    r"model: Recall: a lag of at most 4194305 ticks, exp.*": lambda s, x: s.recalled(x, x[:1], 2**22 + 1),
    r"model: Recall: %1 is a class, expected a real vector": lambda s, x: s.recalled(x, label(s, x), 5),
    r"model: Recall: %2 is a class, expected a real vector": recall_a_class,
    r"model: Lookup: table w has 3 rows for 4 classes": lambda s, x: lookup(weight(3, 2), label(s, x)),
    r"model: Lookup: table w has 3 rows for 0 classes": lambda s, x: lookup(weight(3, 2), x),
    r"model: Upsample: weight w is \(6,\), expected 2 axes": lambda s, x: s.upsample(x, weight(6)),
    r"model: Phase: \(4,\) does not divide into 3 parts": lambda s, x: s.phase(x, 3),
    r"model: Draw: 4 parameters for 2 logistics": lambda s, x: s.draw("y", Logistics(2), x),
    r"model: Draw: 4 parameters for a Gaussian, expected 2": lambda s, x: s.draw("y", Gaussian(), x),
    r"model: Emit: %1 is a class, expected a real vector": lambda s, x: s.emit(label(s, x)),
}


@pytest.mark.parametrize("message", BUILT_WRONGLY)
def test_errors_of_building_name_the_line(message: str) -> None:
    s, x = builder()
    with pytest.raises(IRError, match=rf"^{message} \(test_verify.py:\d+\)$"):
        BUILT_WRONGLY[message](s, x)


def slower(s: StepBuilder, x: Value) -> Value:
    """An operation on clock 4, which cannot read clock 6."""
    with s.every(4):
        return tanh(x)


def wrong_at_the_end(name: str) -> Step:
    s, x = builder()
    match name:
        case "clock":
            s.emit(slower(s, x))
        case "upsample":
            s.emit(s.upsample(x, weight(5, 2)))
        case "phase":
            s.emit(s.phase(x, 2))
        case "recalled":
            with s.every(4):
                lag = s.constant(weight(1))
                s.recalled(x, lag, 5)
        case "fast lag":
            lag = s.constant(weight(1))
            with s.every(3):
                s.recalled(x, lag, 5)
        case "slow draw":
            with s.every(6):
                drawn = s.draw("y", Gaussian(), x[:2])
            s.emit(drawn)
        case "two draws":
            first, second = s.draw("y", Gaussian(), x[:2]), s.draw("y", Gaussian(), x[2:])
            s.emit(first + second)
        case "silent":
            tanh(x)
        case "two emits":
            s.emit(x)
            s.emit(x)
        case "slow emit":
            with s.every(6):
                s.emit(x)
        case "look-ahead":
            s.emit(x)
            return s.step(lookahead=-1)
    return s.step()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "clock",
            r"%1 \(4\) = tanh %0: on clock 4 reads %0 of clock 6, which is not a multiple of it \(test_ver",
        ),
        (
            "upsample",
            r"%1 \(4\) = upsample %0 by w: has 5 phases for 6 ticks of its input \(test_verify.py:\d+\)",
        ),
        (
            "recalled",
            r"%2 \(4\) = recall %0, %1, most 5: on clock 4 reads the past of %0 of clock 6; one must divide the other",
        ),
        ("fast lag", r"recall %0, %1, most 5: on clock 3 reads %1 of clock 1, which is not a multiple of it"),
        ("phase", r"%1 \(2\) = phase %0 in 2: has 2 phases for 6 ticks of its input \(test_verify.py:\d+\)"),
        (
            "slow draw",
            r"draw y from gaussian %1: draws on a slower clock; draws belong to clock 1 \(test_verify",
        ),
        ("two draws", "model: two draws share a name: y, y"),
        ("silent", "model: a step emits once, on clock 1; found 0 emits"),
        ("two emits", "model: a step emits once, on clock 1; found 2 emits"),
        ("slow emit", "model: a step emits once, on clock 1"),
        ("look-ahead", "model: lanes, lane lag and look-ahead cannot be negative"),
    ],
)
def test_errors_of_the_whole(name: str, message: str) -> None:
    with pytest.raises(IRError, match=message):
        wrong_at_the_end(name)


def spoiled(change: Callable[[dict[int, Line]], object]) -> Step:
    step = one_pole()
    lines = dict(step.lines)
    change(lines)
    return replace(step, lines=lines)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda lines: lines.update({3: replace(lines[3], op=Combine("add", 0, 99))}),
            "names %99, which does not exist",
        ),
        (lambda lines: lines.update({0: lines.pop(0)}), "reads %0 before it is made"),
        (
            lambda lines: lines.update({1: replace(lines[1], op=Delayed(77, 1))}),
            "names %77, which does not exist",
        ),
        (lambda lines: lines.update({2: replace(lines[2], size=2)}), r"is declared \(2,\) but makes \(1,\)"),
        (
            lambda lines: lines.update({2: replace(lines[2], classes=2)}),
            r"is declared a class of 2 but makes \(1,\)",
        ),
        (lambda lines: lines.update({3: replace(lines[3], clock=0)}), "has clock 0"),
    ],
)
def test_errors_of_a_pass(change: Callable[[dict[int, Line]], object], message: str) -> None:
    with pytest.raises(IRError, match=rf"one-pole: %\d.*{message}"):
        verify(spoiled(change))


def test_what_is_delayed_may_come_later() -> None:
    verify(one_pole())


def test_a_class_cannot_begin_as_a_weight() -> None:
    """The bits of a float are no class: a table would be read behind its end."""
    s, x = builder()
    first = s.tensor(weight(1))
    drawn = label(s, x)
    with pytest.raises(IRError, match="first"):
        s.add(Delayed(drawn.ref, 1, first))


@settings(max_examples=30)
@given(step=steps())
def test_drawn_steps_are_well_formed(step: Step) -> None:
    verify(step)
    check_finite(step)


def test_weights_must_be_float32_and_finite() -> None:
    step = one_pole()
    with pytest.raises(IRError, match="weight feedback is float64, expected float32"):
        check_finite(replace(step, weights={"feedback": np.ones((1, 1))}))
    with pytest.raises(IRError, match="weight feedback holds a value that is not finite"):
        check_finite(replace(step, weights={"feedback": np.full((1, 1), np.nan, np.float32)}))


def test_every_operation_is_covered_above() -> None:
    kinds = {Affine, Combine, Concatenate, Constant, Delayed, Recall, Draw, Emit, Lookup, Map, Phase, Slice, Upsample}
    named = {message.split(":")[1].split(r"\ ")[0].strip() for message in BUILT_WRONGLY}
    assert {kind.__name__ for kind in kinds} - named <= {"Map"}  # fits any operand
