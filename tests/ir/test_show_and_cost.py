"""How a step is printed, and what it costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.cases import WIDE, sample_rnn
from wavejit.ir.builder import Linear, StepBuilder, Tensor, affine, concatenate, lookup
from wavejit.ir.cost import cost
from wavejit.ir.formats import FormatName
from wavejit.ir.ops import (
    Affine,
    Categorical,
    Condition,
    Delayed,
    Draw,
    Gaussian,
    Greedy,
    Line,
    Logistics,
    Map,
    Operation,
    Recall,
    Step,
)
from wavejit.ir.show import show, show_operation
from wavejit.ir.target import Target
from wavejit.models import builtin
from wavejit.passes import lower


def ones(name: str, *shape: int) -> Tensor:
    return Tensor(name, np.ones(shape, np.float32))


def named(name: str) -> Step:
    found = builtin(name)
    assert found is not None
    family, network = found
    return family.step(name, network, family.random_weights(network))


def test_show() -> None:
    s = StepBuilder("tiny", 16000)
    with s.every(4):
        x = s.condition("x", 3, 8)
        slow = affine(Linear(ones("W", 2, 3), ones("b", 2)), x)
    k = s.draw("k", Categorical(), slow)
    s.emit(lookup(ones("E", 2, 1), k))
    rows = show(s.step(lookahead=2)).splitlines()
    assert rows[0] == "step tiny  16000 Hz  1 sample(s) a tick  2 frames of look-ahead"
    line, file = test_show.__code__.co_firstlineno, "test_show_and_cost.py"
    wanted = [
        ("%0 (3) = condition x (3)", f"every 8, {file}:{line + 3}"),
        ("%1 (2) = affine W @ %0 + b", f"every 4, {file}:{line + 4}"),
        ("%2 (class 2) = draw k from categorical %1", f"{file}:{line + 5}"),
        ("%3 (1) = lookup E, %2", f"{file}:{line + 6}"),
        ("%4 (1) = emit %3", f"{file}:{line + 6}"),
    ]
    assert rows[1:] == [f"  {text:<41}  ; {notes}" for text, notes in wanted]


@pytest.mark.parametrize(
    ("op", "text"),
    [
        (Delayed(3, 5), "delayed %3, 5"),
        (Delayed(3, 5, 0.25), "delayed %3, 5, first 0.25"),
        (Delayed(3, 5, "h0", 2), "delayed %3, 5, first h0, lane -2"),
        (Recall(3, 4, 512), "recall %3, %4, most 512"),
        (Affine(("A", "B"), (1, 2), "b", (3,)), "affine A @ %1 + B @ %2 + b + %3"),
        (Affine(("A",), (1,), None, (), "relu"), "relu(affine A @ %1)"),
        (Affine(tuple("ABCDEF"), (1, 2, 3, 4, 5, 6)), "affine A @ %1 + B @ %2 + … 3 more … + F @ %6"),
        (Map("negate", 1), "negate %1"),
        (Draw("s", Logistics(10), 1), "draw s from 10 logistics %1"),
        (Draw("s", Gaussian(), 1), "draw s from gaussian %1"),
        (Draw("s", Greedy(), 1), "draw s from greedy %1"),
    ],
)
def test_show_operations(op: Operation, text: str) -> None:
    assert show_operation(op) == text


def test_show_lanes() -> None:
    s = StepBuilder("subscale", 24000, lanes=8, lane_lag=3)
    s.emit(s.condition("x", 1, 1))
    assert show(s.step()).splitlines()[0] == "step subscale  24000 Hz  8 sample(s) a tick  8 lanes, 3 ticks apart"


def test_deep_voice_takes_as_many_multiply_adds_as_it_should() -> None:
    """1,605,632 a sample in the loop itself; a frame's 409,600 come once in 200 samples after the passes."""
    step = named("deepvoice-40-64-256")
    per_layer = 128 * 64 + 128 * 64 + 64 * 64 + 256 * 64
    loop = 40 * per_layer + 2 * 256 * 256
    assert loop == 1_605_632
    assert cost(step).multiply_adds == loop + 40 * 128 * 80
    # Nothing hears the last layer's residual connection.
    unheard = 64 * 64
    assert cost(lower(step, WIDE)).multiply_adds == loop - unheard + 40 * 128 * 80 / 200


def test_bytes_of_weights_and_state_by_hand() -> None:
    s = StepBuilder("tiny", 16000)
    x = s.condition("x", 3, 8)
    y = affine(Linear(ones("W", 5, 7), ones("b", 5)), concatenate(s.emitted(1, 5), x[:2]))
    past = s.delayed(y, 6) + s.delayed(y, 2)
    with s.every(4):
        slow = affine(Linear(ones("V", 4, 3)), x)
    up = s.upsample(slow, ones("taps", 4, 3))
    s.emit(past + concatenate(up, up[:1]))
    found = cost(s.step())
    assert found.multiply_adds == 5 * 7 + 4 * 3 / 4 + 4 * 3
    assert found.weight_bytes == 4 * (5 * 7 + 5 + 4 * 3 / 4 + 3)
    assert found.state_bytes == 4 * (5 * 1 + 5 * 6 + 4 * 2)


def test_a_recalled_value_is_kept_as_long_as_it_may_be_asked_for() -> None:
    s = StepBuilder("tiny", 16000)
    x = s.condition("x", 3, 1)
    s.emit(s.delayed(x, 2) + s.recalled(x, x[:1], 7) + s.recalled(x, x[1:2], 4))
    assert cost(s.step()).state_bytes == 4 * 3 * 7


@pytest.mark.parametrize(("precision", "bits"), [("int4", 4), ("mxint8", 8)])
def test_bytes_of_blocks_with_scales_by_hand(precision: FormatName, bits: int) -> None:
    """Two terms of 64 and 40 columns: a scale for each row and block of 32 columns, the last of the second shorter."""
    s = StepBuilder("blocks", 16000)
    weights = Linear(ones("W", 48, 104), ones("b", 48))
    s.emit(affine(weights, concatenate(s.condition("x", 64, 1), s.condition("y", 40, 1))))
    step = lower(replace(s.step(), precision=precision), WIDE)
    assert "affine[" + precision in show(step)
    expected = 48 * (104 * bits / 8 + 4 * (2 + 2) + 4)
    assert cost(step).weight_bytes == expected
    assert step.packing is not None
    assert step.packing.data.nbytes == expected


def test_lookups_read_one_row() -> None:
    s = StepBuilder("tiny", 16000)
    k = s.draw("k", Categorical(), s.condition("x", 9, 1))
    s.emit(lookup(ones("E", 9, 5), k))
    assert cost(s.step()).weight_bytes == 4 * 5
    assert cost(s.step()).multiply_adds == 0


def test_slower_clocks_count_by_their_share() -> None:
    step = sample_rnn().step
    top, middle = 10 * 12 + 10 * 10 + 24 * 10, 12 * 6 + 12 * 12 + 10 * 12
    assert cost(step).multiply_adds == top / 4 + middle / 2 + 5 * 3 + 16 * 5


def test_cost_of_a_part_has_no_state() -> None:
    step = sample_rnn().step
    refs = [ref for ref, line in step.lines.items() if isinstance(line.op, Affine) and line.clock == 4]
    found = cost(step, refs)
    assert found.multiply_adds == (10 * 12 + 10 * 10 + 24 * 10) / 4
    assert found.state_bytes == 0


def test_state_of_lanes_counts_each() -> None:
    s = StepBuilder("lanes", 24000, lanes=4)
    s.emit(s.delayed(s.condition("x", 3, 1), 2))
    assert cost(s.step()).state_bytes == 4 * 4 * 3 * 2


def test_a_target_describes_itself() -> None:
    target = Target("avx2", "x86_64-linux-gnu", "znver5", "+avx2", lanes=8, accumulators=8)
    assert target.vector_bits == 256
    assert target.describe() == "avx2 (256-bit vectors, x86_64-linux-gnu, znver5)"


def test_a_line_is_on_clock_1_unless_said() -> None:
    assert Line(Condition("x", 2), 2).clock == 1
