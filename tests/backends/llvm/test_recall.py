"""Delays that vary: native code reads the tick that the reference reads, whatever the lag is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backends.llvm.object_files import read_elf
from tests.backends.llvm.test_ahead import built as program_of
from tests.backends.llvm.test_ahead import of_step, output
from tests.cases import (
    HOST_ISAS,
    TRIPLES,
    WIDE,
    Array,
    assert_agree,
    by_name,
    long_term_predictor,
    predictor_frames,
    tensor,
)
from tests.runtime.test_pair import Always
from wavejit.backends.llvm.ahead import compile_ahead
from wavejit.backends.llvm.compile import host_target, portable_target
from wavejit.backends.reference import Reference
from wavejit.ir.builder import Linear, StepBuilder, Tensor, affine, concatenate, exp, tanh
from wavejit.ir.formats import FormatName
from wavejit.ir.ops import Affine, Condition, Step
from wavejit.ir.target import Target
from wavejit.ir.tasks import tasks_of
from wavejit.passes import PIPELINE, Pass, lower
from wavejit.passes.assign_threads import assign_threads
from wavejit.runtime.engine import Engine

isas = pytest.mark.parametrize("isa", HOST_ISAS)

MOST = 12
# Sums with whole numbers are exact in float32: both backends have the same lag, ties too.
EIGHTHS = st.integers(-40, 8 * (MOST + 9)).map(lambda n: n / 8)
STRANGE = st.sampled_from((float("nan"), float("inf"), float("-inf"), 3e38, -3e38, 0.0, -0.0, 1e-40, 2.0**31, 2.0**63))
PERIODS = st.lists(st.one_of(EIGHTHS, STRANGE), min_size=1, max_size=9)
ODD_PERIODS = [7.3, float("nan"), 2.5, 40.0, -3.0, 1.0, 11.5]


# ------------------------------------------------------------------------------------------ which tick


def echo(size: int, most: int, hop_length: int, kept: int) -> Step:
    """What the frame of `lag` ticks ago was; the ring also holds more of the past than may be recalled."""
    s = StepBuilder("echo", 16000)
    lag = s.condition("lag", 1, hop_length)
    x = s.condition("x", size, hop_length)
    now = x + s.constant(Tensor("zero", np.zeros(size, np.float32)))  # on clock 1
    count = s.state("count", 1)
    s.update("count", count + s.constant(Tensor("one", np.ones(1, np.float32))))
    told = concatenate(now, count)  # each tick another
    s.emit(concatenate(s.recalled(told, lag, most), s.delayed(told, kept)))
    return s.step()


def literal_echo(frames: Array, size: int, most: int, hop_length: int, kept: int, ticks: int) -> Array:
    told = np.array([[*frames[tick // hop_length, 1 : 1 + size], tick] for tick in range(ticks)], np.float32)
    rows: list[Array] = []
    for tick in range(ticks):
        lag = float(frames[tick // hop_length, 0])
        lag = 1 if np.isnan(lag) else int(np.floor(min(max(lag, 1), most) + 0.5))
        rows += [told[tick - ago] if ago <= tick else np.zeros(size + 1, np.float32) for ago in (lag, kept)]
    return np.concatenate(rows)


@isas
@settings(max_examples=15)
@given(
    size=st.integers(1, 20),
    most=st.sampled_from((1, 2, 3, 8, 9, 30)),
    kept=st.sampled_from((1, 20)),
    hop_length=st.integers(1, 4),
    lags=st.lists(st.one_of(st.floats(width=32), EIGHTHS), min_size=1, max_size=60),
)
def test_any_lag(isa: str, size: int, most: int, kept: int, hop_length: int, lags: list[float]) -> None:
    """The frame's own float32, of any bits: beyond the range, fractional, at a tie, infinite, not a number."""
    step, ticks = echo(size, most, hop_length, kept), 40
    frames = predictor_frames(step, ticks, lags)
    wanted = literal_echo(frames, size, most, hop_length, kept, ticks)
    np.testing.assert_array_equal(Engine(step, host_target(isa)).stream().run(ticks, frames), wanted)
    np.testing.assert_array_equal(Reference(step).run(ticks, by_name(step, frames)).samples, wanted)


def test_halves_are_rounded_up() -> None:
    step = echo(1, 9, 1, 1)
    lags = [0.5, 1.49999988, 1.5, 2.5, 3.49999976, 3.5, 8.5, 9.49]
    frames = predictor_frames(step, 40, [1.0] * 30 + lags)
    counts = Engine(step, WIDE).stream().run(40, frames).reshape(40, -1)[:, 1]
    assert list(np.arange(30, 38) - counts[30:38]) == [1, 1, 2, 3, 3, 4, 9, 9]


# ------------------------------------------------------------------------------------- within a network


@isas
@settings(max_examples=10)
@given(periods=PERIODS, hop_length=st.integers(1, 4), size=st.sampled_from((1, 4, 16)))
def test_a_long_term_predictor(isa: str, periods: list[float], hop_length: int, size: int) -> None:
    step, ticks = long_term_predictor(size, hop_length, MOST), 40
    frames = predictor_frames(step, ticks, periods)
    found = Engine(step, host_target(isa)).stream().run(ticks, frames)
    np.testing.assert_allclose(found, Reference(step).run(ticks, by_name(step, frames)).samples, atol=1e-5)


@isas
@settings(max_examples=8)
@given(periods=PERIODS)
def test_a_long_term_predictor_in_int8(isa: str, periods: list[float]) -> None:
    """Vectors that are long enough for integers: what is recalled is kept as floats, its integers made each tick."""
    step, ticks = long_term_predictor(16, 3, MOST), 25
    engine = Engine(step, host_target(isa), precision="int8")
    inputs = [line.op for line in engine.step.lines.values() if isinstance(line.op, Affine) and line.op.full_scales]
    assert any("inputs.weight" in name for op in inputs for name in op.weights), "products of recalled values"
    frames = predictor_frames(step, ticks, periods)
    wanted = Reference(engine.step).run(ticks, by_name(step, frames)).samples
    error = np.abs(engine.stream().run(ticks, frames) - wanted) / np.ptp(wanted)
    assert error.max() <= 6 / 127, "an input at a tie may round either way"
    assert np.median(error) <= 1 / 127 / 4


def test_a_past_of_one_clock_recalled_on_another() -> None:
    """Slow ticks recall what clock 1 made; clock 1 recalls slow ticks, and counts them as such."""
    rng = np.random.default_rng(0)
    s = StepBuilder("clocks", 16000)
    frame = s.condition("x", 5, 6)
    fast_past = s.state("fast", 3)
    with s.every(6):
        lag = exp(affine(Linear(tensor(rng, "lag", 1, 5)), frame))
        slow = tanh(s.recalled("fast", lag, 9) + frame[:3])
    two = s.constant(Tensor("two", np.full(1, 1.75, np.float32)))
    fast = tanh(slow + s.recalled(slow, two, 3) - fast_past)
    s.update("fast", fast)
    s.emit(concatenate(fast, s.recalled(frame, lag, 4), s.recalled(fast, lag, 20)))
    assert_agree(s.step(), WIDE, 70)


def test_recalled_values_of_recalled_and_delayed_ones() -> None:
    s = StepBuilder("nested", 16000)
    x, lags = s.condition("x", 7, 2), exp(s.condition("lags", 3, 2))
    once = s.recalled(x[2:6], lags[0:1], 3)
    twice = s.recalled(s.delayed(once, 2), s.recalled(lags[1:2], lags[2:3], 2), 5)
    s.emit(concatenate(s.delayed(twice, 1), s.recalled(twice[1:3], s.delayed(lags[1:2], 1), 2)))
    assert_agree(s.step(), WIDE, 40)


# ------------------------------------------------------------------------------ chunks, streams, threads


def chunked(engine: Engine, chunks: tuple[int, ...], frames: Array) -> Array:
    stream, taken, made = engine.stream(), 0, list[Array]()
    for ticks in chunks:
        needed = stream.frames_in(ticks)
        made.append(stream.run(ticks, frames[taken : taken + needed]))
        taken += needed
    return np.concatenate(made)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_chunks_make_no_difference(precision: FormatName) -> None:
    step = long_term_predictor(16)
    engine, frames = Engine(step, WIDE, precision=precision), predictor_frames(step, 120, ODD_PERIODS)
    assert chunked(engine, (1, 2, 40, 3, 50, 1, 23), frames).tobytes() == engine.stream().run(120, frames).tobytes()


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_streams_at_different_ticks(precision: FormatName) -> None:
    step = long_term_predictor(16)
    engine = Engine(step, WIDE, precision=precision, streams=3)
    frames = [predictor_frames(step, 90, ODD_PERIODS[i:], seed=i) for i in range(3)]
    streams, made, taken = [engine.stream() for _ in range(3)], [list[Array]() for _ in range(3)], [0, 0, 0]
    for ticks, numbers in ((5, [0]), (20, [0, 1]), (1, [2, 1, 0]), (33, [2, 0])):
        given: list[Array | None] = []
        for i in numbers:
            start, taken[i] = taken[i], taken[i] + streams[i].frames_in(ticks)
            given.append(frames[i][start : taken[i]])
        for i, chunk in zip(numbers, engine.run_together([streams[i] for i in numbers], ticks, given), strict=True):
            made[i].append(chunk)
    for i, stream in enumerate(streams):
        alone = engine.stream().run(stream.ticks, frames[i][: taken[i]])
        assert np.concatenate(made[i]).tobytes() == alone.tobytes(), f"stream {i}"


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("seed", range(4))
def test_two_threads_whichever_recalls(precision: FormatName, seed: int) -> None:
    """Tasks thrown onto two threads, the nearest and the farthest past in turns: the same bytes."""
    step, rng = long_term_predictor(16, 3, most=8), np.random.default_rng(seed)

    def scatter(step: Step, target: Target) -> Step:
        def thread(ref: int) -> int:
            return 0 if isinstance(step.lines[ref].op, Condition) else int(rng.integers(2))

        return replace(step, threads={task.makes: thread(task.ref) for task in tasks_of(step)})

    passes = tuple(Pass(p.name, scatter) if p.run is assign_threads else p for p in PIPELINE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wavejit.passes.PIPELINE", passes)
        engine = Engine(step, WIDE, precision=precision, threads=2)
    frames = predictor_frames(step, 400, [1.0, 8.0, *ODD_PERIODS])
    assert engine.pair is not None
    made: list[bytes] = []
    for together in (False, True):
        engine.pair.choice = Always(together)
        made.append(engine.stream().run(400, frames).tobytes())
    assert made[0] == made[1]


# ------------------------------------------------------------------------------------------ ahead of time


@pytest.mark.parametrize("pull", [1, 50, 1000])
def test_an_object_file_recalls_the_same(tmp_path_factory: pytest.TempPathFactory, pull: int) -> None:
    step = long_term_predictor()
    program = program_of(of_step(step, portable_target(None)), tmp_path_factory.mktemp("recall"))
    frames = predictor_frames(step, 60, ODD_PERIODS)
    found = output(program, 3, pull, 0, 0, 1, 0, frames=frames)
    np.testing.assert_array_equal(found, Engine(step, host_target()).stream().run(60, frames))


@pytest.mark.parametrize("triple", ["x86_64-linux-gnu", *(triple for triple in TRIPLES if "wasm" not in triple)])
def test_a_lag_is_rounded_without_a_library(triple: str) -> None:
    target = portable_target(triple)
    code = compile_ahead(lower(long_term_predictor(), target), target, "exact", "v").files["v.o"]
    assert read_elf(code).undefined == set()
