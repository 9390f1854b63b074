"""Native code gives what the reference gives, on every instruction set of this machine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cases import (
    HOST_ISAS,
    WIDE,
    assert_agree,
    assert_close,
    by_name,
    compositions,
    mel_wavernns,
    one_pole,
    random_draws,
    random_frames,
    reference_score,
    sample_rnn,
    samplernns,
    values_of_run,
    values_of_score,
    wavegrus,
    wavenets,
    wavernns,
)
from wavejit.backends.llvm.compile import host_target
from wavejit.backends.reference import Reference
from wavejit.ir.builder import Linear, StepBuilder, Tensor, affine, concatenate, lookup, tanh
from wavejit.ir.ops import Categorical, Gaussian, Greedy, Logistics, Map, Step
from wavejit.models import builtin
from wavejit.runtime.engine import Engine

isas = pytest.mark.parametrize("isa", HOST_ISAS)
few = settings(max_examples=12)
ticks = st.integers(1, 40)


@isas
@few
@given(step=wavenets(), ticks=ticks)
def test_wavenet(isa: str, step: Step, ticks: int) -> None:
    assert_agree(step, host_target(isa), ticks)


@isas
@few
@given(step=wavernns(), ticks=ticks)
def test_wavernn(isa: str, step: Step, ticks: int) -> None:
    assert_agree(step, host_target(isa), ticks)


@isas
@few
@given(step=mel_wavernns(), ticks=ticks)
def test_mel_wavernn(isa: str, step: Step, ticks: int) -> None:
    assert_agree(step, host_target(isa), ticks, prime=step.lookahead)


@isas
@settings(max_examples=25)
@given(step=compositions(), ticks=ticks)
def test_any_operations(isa: str, step: Step, ticks: int) -> None:
    assert_agree(step, host_target(isa), ticks)


@isas
@few
@given(step=wavegrus(), ticks=ticks)
def test_wavegru(isa: str, step: Step, ticks: int) -> None:
    assert_agree(step, host_target(isa), ticks)


@isas
@few
@given(step=samplernns(), ticks=ticks)
def test_samplernn(isa: str, step: Step, ticks: int) -> None:
    assert_agree(step, host_target(isa), ticks)


@isas
def test_sample_rnn(isa: str) -> None:
    assert_agree(sample_rnn().step, host_target(isa), 41)


@isas
@pytest.mark.parametrize("name", ["deepvoice-3-64-256", "wavernn-130", "wavegru-70", "samplernn-40"])
def test_builtin_networks(isa: str, name: str) -> None:
    found = builtin(name)
    assert found is not None
    family, network = found
    assert_agree(family.step(name, network, family.random_weights(network)), host_target(isa), 20)


@isas
@pytest.mark.parametrize("rows", [1, 129, 300, 700])
@pytest.mark.parametrize("columns", [1, 3, 400])
def test_large_products(isa: str, rows: int, columns: int) -> None:
    rng = np.random.default_rng(rows + columns)
    s = StepBuilder("product", 16000)
    x = s.condition("x", columns, 1)
    weight = (rng.standard_normal((rows, columns)) / np.sqrt(columns)).astype(np.float32)
    layer = Linear(Tensor("w", weight), Tensor("b", rng.standard_normal(rows).astype(np.float32)))
    s.emit(tanh(affine(layer, x)))
    assert_agree(s.step(), host_target(isa), 3)


def test_fast_functions_stay_within_the_promise() -> None:
    """`fast` is allowed 1.2e-4 in each tanh; the parameters of small networks stay within 1e-3 of their range."""
    found = builtin("deepvoice-4-33-40")
    assert found is not None
    family, network = found
    step = family.step("fast", network, family.random_weights(network))
    exact, fast = (
        Engine(step, WIDE, accuracy).stream().score(random_draws(step, 40), random_frames(step, 40))
        for accuracy in ("exact", "fast")
    )
    assert_close(values_of_score(fast), values_of_score(exact), 1e-3)
    assert not np.array_equal(fast.parameters["sample"], exact.parameters["sample"])


# ---------------------------------------------------------------------- what drawn steps may not reach


def test_conditions_on_every_tick() -> None:
    """A frame every tick: the one-pole filter of the builder's docstring."""
    step = one_pole(0.5)
    found = Engine(step, WIDE).stream().run(4, np.array([[1], [0], [0], [2]], np.float32))
    np.testing.assert_array_equal(found, [1, 0.5, 0.25, 2.125])


@pytest.mark.parametrize(("first", "second"), [(1, 1), (2, 1), (1, 2), (4, 3), (3, 2)])
def test_a_delay_of_a_delay(first: int, second: int) -> None:
    s = StepBuilder("delays", 16000)
    s.emit(s.delayed(s.delayed(s.condition("x", 3, 1), first), second))
    assert_agree(s.step(), WIDE, 17)


def test_states_that_change_places() -> None:
    s = StepBuilder("swap", 16000)
    a, b = s.state("a", 2, Tensor("first", np.array([1, 2], np.float32))), s.state("b", 2, 0.25)
    s.update("a", b)
    s.update("b", a)
    s.emit(concatenate(a, b))
    assert_agree(s.step(), WIDE, 7)


def test_a_delay_of_a_slice_of_a_delay() -> None:
    s = StepBuilder("slices", 16000)
    x = s.condition("x", 5, 1)
    s.emit(s.delayed(s.delayed(x, 1)[1:3], 2) + x[3:5])
    assert_agree(s.step(), WIDE, 9)


def test_a_delay_of_a_lookup_of_a_past_draw() -> None:
    """The draw comes first, and is remembered first: the row of the class before it must have been found by then."""
    s = StepBuilder("lookups", 16000)
    drawn = s.draw("k", Categorical(), s.condition("x", 4, 1))
    before = s.delayed(drawn, 1)
    s.emit(s.delayed(lookup(Tensor("table", np.arange(8, dtype=np.float32).reshape(4, 2)), before), 1))
    assert_agree(s.step(), WIDE, 20)


def test_delays_of_a_slow_value_at_a_fast_clock_count_fast_ticks() -> None:
    s = StepBuilder("delays", 16000)
    with s.every(2):
        held = s.condition("x", 3, 4) + s.condition("y", 3, 4)
    s.emit(s.delayed(tanh(held + held), 3))
    assert_agree(s.step(), WIDE, 17)


def test_past_of_a_slower_clock_read_by_a_faster_and_back() -> None:
    s = StepBuilder("clocks", 16000)
    frame = s.condition("x", 2, 6)
    with s.every(6):
        fast_before = s.state("fast", 2, 0.5)  # of clock 1
        slow = tanh(frame + fast_before)
    slow_before = s.state("slow", 2, -0.5)  # of clock 6, a tick of which is six of ours
    fast = tanh(slow_before + slow + s.state("own", 2, 0.5))
    s.update("fast", fast)
    s.update("slow", slow)
    s.update("own", fast)
    s.emit(concatenate(fast, slow))
    assert_agree(s.step(), WIDE, 20)


def test_readers_with_different_first_values() -> None:
    """Where a ring is shared, an upsampling filter's past begins with 0 whatever its neighbour says."""
    s = StepBuilder("first", 16000)
    x = s.condition("x", 3, 4)
    taps = Tensor("taps", np.arange(12, dtype=np.float32).reshape(4, 3))
    s.emit(s.upsample(x, taps) + s.delayed(x, 2, 5.0))
    step = s.step()
    engine, refusal = None, ""
    try:
        engine = Engine(step, WIDE)
    except ValueError as error:
        refusal = str(error)  # a sentence is as good as the right sound
    frames = random_frames(step, 17)
    wanted = Reference(step).run(17, by_name(step, frames)).samples
    if engine is None:
        assert "first value" in refusal
    else:
        np.testing.assert_allclose(engine.stream().run(17, frames), wanted, atol=1e-4)


def test_draws_that_differ_only_in_their_least_scale() -> None:
    s = StepBuilder("scales", 16000)
    x = s.condition("x", 3, 1)
    s.emit(
        concatenate(
            s.draw("a", Gaussian(-20.0), x[:2]),
            s.draw("b", Gaussian(-2.0), x[:2]),
            s.draw("c", Logistics(1, -20.0), x),
            s.draw("d", Logistics(1, -2.0), x),
        )
    )
    step, frames = s.step(), np.tile(np.array([0, -9, -9], np.float32), (20, 1))
    found = Engine(step, WIDE).stream(3).run(20, frames)
    np.testing.assert_allclose(found, Reference(step, 3).run(20, by_name(step, frames)).samples, atol=1e-5)


def test_draws_keep_their_numbers_when_one_waits_for_nothing() -> None:
    """The second draw does not need the sample before; it must not overtake the first."""
    rng = np.random.default_rng(0)
    s = StepBuilder("draws", 16000)
    frame = s.condition("x", 3, 2)
    layer = Linear(Tensor("w", rng.standard_normal((4, 1)).astype(np.float32)))
    first = s.draw("first", Categorical(), affine(layer, s.emitted(1)))
    second = s.draw("second", Greedy(), frame)
    table = Tensor("table", rng.standard_normal((4, 1)).astype(np.float32))
    s.emit(lookup(table, first) + lookup(table, second))
    step = s.step()
    assert_agree(step, WIDE, 12)
    frames = random_frames(step, 12)
    wanted = Reference(step, 7).run(12, by_name(step, frames)).samples
    np.testing.assert_allclose(Engine(step, WIDE).stream(7).run(12, frames), wanted, atol=1e-6)


def test_an_unused_condition_keeps_its_place_in_the_frame() -> None:
    s = StepBuilder("unused", 16000)
    s.condition("a", 2, 2)
    s.emit(s.condition("b", 3, 2))
    assert_agree(s.step(), WIDE, 7)


def test_priming_runs_what_is_on_the_frames_clock() -> None:
    s = StepBuilder("prime", 16000)
    frame = s.condition("x", 2, 4)
    with s.every(8):
        slow = s.state("h", 2, 0.5)
        s.update("h", slow * slow)
    s.emit(s.delayed(frame, 1) + slow)
    assert_agree(s.step(), WIDE, 20, prime=2)


def test_a_step_without_draws_can_be_scored() -> None:
    step = one_pole()
    score = Engine(step, WIDE).stream().score(np.zeros((4, 0), np.float32), np.ones((4, 1), np.float32))
    np.testing.assert_allclose(score.samples, [1, 1.5, 1.75, 1.875])
    assert score.parameters == {}


def test_every_function_alone_and_after_a_product() -> None:
    rng = np.random.default_rng(0)
    s = StepBuilder("functions", 16000)
    x = s.condition("x", 21, 1)
    layer = Linear(Tensor("w", (rng.standard_normal((21, 21)) / 5).astype(np.float32)))
    parts = []
    for function in ("identity", "relu", "tanh", "sigmoid", "exp", "negate"):
        parts += [s.add(Map(function, x.ref)), s.add(Map(function, affine(layer, x).ref))]
    s.emit(concatenate(*parts))
    for isa in HOST_ISAS:
        assert_agree(s.step(), host_target(isa), 5)


def test_scoring_after_running_continues_the_stream() -> None:
    step = sample_rnn().step
    engine, forced = Engine(step, WIDE), random_draws(step, 30)
    stream = engine.stream()
    first, second = stream.score(forced[:7]), stream.score(forced[7:])
    joined = {name: np.concatenate([first.parameters[name], second.parameters[name]]) for name in first.parameters}
    wanted = values_of_run(reference_score(step, 30))
    assert_close({"samples": np.concatenate([first.samples, second.samples]), **joined}, wanted, 1e-5)
