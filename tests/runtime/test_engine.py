"""Engines and streams: the same bytes however the audio is cut, and whatever runs beside it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cases import (
    HOST_ISAS,
    MEL_WAVERNN,
    WIDE,
    MelWaveRNN,
    built,
    compositions,
    one_pole,
    random_draws,
    random_frames,
    sample_rnn,
)
from wavejit.backends.llvm.compile import host_target
from wavejit.ir.ops import Step
from wavejit.models import builtin
from wavejit.runtime.engine import Engine, aligned_zeros

LENGTH = 960
Bytes = bytes


def mel(output: Literal["categorical", "logistics"] = "categorical") -> Step:
    network = MelWaveRNN(
        sample_rate=16000,
        bins=7,
        hop_length=20,
        padding=2,
        residual_channels=9,
        residual_blocks=2,
        gru_widths=(24, 24),
        hidden_widths=(21,),
        auxiliary=((0, 4), (4, 4), (2, 5)),
        auxiliary_channels=8,
        output=output,
        classes=64,
        components=3,
        deemphasis=0.86,
    )
    return built(MEL_WAVERNN, network)


def named(name: str) -> Step:
    found = builtin(name)
    assert found is not None
    family, network = found
    return family.step(name, network, family.random_weights(network))


MODELS = {
    "categorical": mel,
    "logistics": lambda: mel("logistics"),
    "wavenet": lambda: named("deepvoice-4-20-24"),
    "wavernn": lambda: named("wavernn-36"),
    "wavegru": lambda: named("wavegru-36"),
    "samplernn": lambda: named("samplernn-36"),
    "sample-rnn": lambda: sample_rnn().step,
}


@pytest.fixture(scope="module", params=MODELS)
def engine(request: pytest.FixtureRequest) -> Engine:
    return Engine(MODELS[request.param](), WIDE)


def audio(engine: Engine, chunks: list[int], seed: int = 1, stream: int = 0, frames: np.ndarray | None = None) -> bytes:
    """`LENGTH` samples in chunks, the sizes of which repeat."""
    frames = random_frames(engine.source, LENGTH) if frames is None else frames
    running, made, at, taken, i = engine.stream(seed, stream), [], 0, 0, 0
    while at < LENGTH:
        ticks = min(chunks[i % len(chunks)], LENGTH - at)
        needed = running.frames_in(ticks)
        made.append(running.run(ticks, frames[taken : taken + needed]))
        at, taken, i = at + ticks, taken + needed, i + 1
    joined = np.concatenate(made)
    assert len(joined) == LENGTH * engine.samples_per_tick
    return joined.tobytes()


def test_chunks_do_not_matter(engine: Engine) -> None:
    whole = audio(engine, [LENGTH])
    assert len(set(np.frombuffer(whole, np.float32))) > 5, "something is heard"
    for chunks in ([1], [7], [160], [1, 7, 160], [LENGTH - 1]):
        assert audio(engine, chunks) == whole, f"chunks of {chunks}"


def test_streams_beside_each_other_do_not_matter(engine: Engine) -> None:
    alone = [audio(engine, [LENGTH], stream=number) for number in range(9)]
    with ThreadPoolExecutor(9) as pool:
        together = list(pool.map(lambda number: audio(engine, [7, 1, 160], stream=number), range(9)))
    assert together == alone
    assert audio(engine, [LENGTH]) == alone[0]


def test_streams_in_turns_in_one_thread(engine: Engine) -> None:
    frames = random_frames(engine.source, LENGTH)
    streams = [engine.stream(1, number) for number in range(3)]
    made: list[list[np.ndarray]] = [[], [], []]
    for ticks in (1, 7, 160, 40):
        for running, out in zip(streams, made, strict=True):
            first = -(-running.ticks // max(engine.clock, 1))
            out.append(running.run(ticks, frames[first : first + running.frames_in(ticks)]))
    for number, out in enumerate(made):
        joined = np.concatenate(out).tobytes()
        assert audio(engine, [LENGTH], stream=number).startswith(joined)


def test_seeds_and_stream_numbers_matter(engine: Engine) -> None:
    different = {
        audio(engine, [LENGTH], seed, stream)
        for seed, stream in ((1, 0), (2, 0), (1, 1), (1, 2**32 - 1), (2**64 - 1, 0), (1 + 2**32, 0))
    }
    assert len(different) == 6


def test_cold_and_warm_cache_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVEJIT_CACHE_DIR", str(tmp_path))
    for make in MODELS.values():
        cold, warm = Engine(make(), WIDE), Engine(make(), WIDE)
        assert (cold.from_cache, warm.from_cache) == (False, True)
        assert audio(cold, [160]) == audio(warm, [7])


@settings(max_examples=20)
@given(step=compositions(), cut=st.integers(1, 29))
def test_any_step_continues_where_it_stopped(step: Step, cut: int) -> None:
    engine, frames = Engine(step, WIDE), random_frames(step, 30)
    running = engine.stream(5)
    needed = running.frames_in(cut)
    pieces = [running.run(cut, frames[:needed]), running.run(30 - cut, frames[needed:])]
    whole = engine.stream(5).run(30, frames)
    assert np.concatenate(pieces).tobytes() == whole.tobytes()


def test_every_instruction_set_draws_the_same_classes() -> None:
    step = named("deepvoice-3-20-24")
    frames = random_frames(step, 300)
    first, *others = [Engine(step, host_target(isa)).stream(3).run(300, frames) for isa in HOST_ISAS]
    for other in others:
        np.testing.assert_array_equal(other, first)


# ------------------------------------------------------------------------------------------- edges


def test_frames_that_begin_in_the_next_ticks() -> None:
    running = Engine(one_pole(hop_length=4), WIDE).stream()
    assert [running.frames_in(ticks) for ticks in (0, 1, 4, 5, 8, 9)] == [0, 1, 1, 2, 2, 3]
    running.run(3, np.ones((1, 1), np.float32))
    assert [running.frames_in(ticks) for ticks in (1, 2, 5, 6)] == [0, 1, 1, 2]
    unconditional = Engine(named("wavernn-4"), WIDE).stream()
    assert unconditional.frames_in(1000) == 0


def test_running_for_no_ticks() -> None:
    running = Engine(one_pole(), WIDE).stream()
    assert running.run(0, np.zeros((0, 1), np.float32)).shape == (0,)
    assert running.ticks == 0


@pytest.mark.parametrize("shape", [(2, 1), (4, 1), (3, 2), (3,), (3, 1, 1)])
def test_frames_of_another_shape(shape: tuple[int, ...]) -> None:
    running = Engine(one_pole(), WIDE).stream()
    with pytest.raises(ValueError, match=r"frames are \(.*\), expected \(3, 1\)"):
        running.run(3, np.zeros(shape, np.float32))
    assert running.run(1, np.ones((1, 1), np.float32))[0] == 1, "the stream is as it was"


def test_missing_frames() -> None:
    with pytest.raises(ValueError, match=r"frames are \(0, 1\), expected \(3, 1\)"):
        Engine(one_pole(), WIDE).stream().run(3)


def test_forced_draws_of_another_shape() -> None:
    engine = Engine(named("wavernn-4"), WIDE)
    with pytest.raises(ValueError, match=r"forced draws are \(5, 1\), expected \(ticks, 2\)"):
        engine.stream().score(np.zeros((5, 1), np.float32))


def test_frames_may_be_of_any_layout_and_type() -> None:
    frames = random_frames(mel(), 60)
    engine = Engine(mel(), WIDE)
    wanted = engine.stream().run(60, frames).tobytes()
    assert engine.stream().run(60, np.asfortranarray(frames)).tobytes() == wanted
    doubles: Any = frames.astype(np.float64)
    assert engine.stream().run(60, doubles).tobytes() == wanted


def test_one_thread_at_a_time() -> None:
    engine = Engine(named("deepvoice-20-64-256"), WIDE)
    running, started = engine.stream(), threading.Event()
    frames = random_frames(engine.source, 40_000)
    failures: list[BaseException] = []

    def long() -> None:
        started.set()
        running.run(40_000, frames)

    thread = threading.Thread(target=long)
    thread.start()
    started.wait()
    while thread.is_alive() and not failures:
        try:
            running.run(0, frames[:0])
        except RuntimeError as error:
            failures.append(error)
    thread.join()
    assert "one thread at a time" in str(failures[0])
    running.run(1, frames[: running.frames_in(1)])


def test_the_interpreter_is_free_while_native_code_runs() -> None:
    engine = Engine(named("deepvoice-20-64-256"), WIDE)
    frames, counted = random_frames(engine.source, 10_000), [0]
    thread = threading.Thread(target=lambda: engine.stream().run(10_000, frames))
    thread.start()
    while thread.is_alive():
        counted[0] += 1
    assert counted[0] > 100


def test_scoring_records_without_changing_what_is_heard() -> None:
    step = sample_rnn().step
    engine, forced = Engine(step, WIDE), random_draws(step, 50)
    score = engine.stream().score(forced)
    assert score.parameters["sample"].shape == (50, 16)
    sound = step.weights["sound"][forced[:, 0].astype(int), 0]
    np.testing.assert_array_equal(score.samples, sound)


def test_first_values_fill_the_past() -> None:
    step = named("deepvoice-2-8-8")
    engine = Engine(step, WIDE)
    silence = engine.stream().score(np.full((2, 1), 128, np.float32), random_frames(step, 2))
    other = engine.stream().score(np.array([[5], [9]], np.float32), random_frames(step, 2))
    np.testing.assert_array_equal(silence.parameters["sample"][0], other.parameters["sample"][0])
    assert not np.array_equal(silence.parameters["sample"][1], other.parameters["sample"][1])


def test_fresh_streams_do_not_share_memory() -> None:
    engine = Engine(one_pole(0.9), WIDE)
    first = engine.stream()
    first.run(5, np.ones((5, 1), np.float32))
    assert engine.stream().run(1, np.ones((1, 1), np.float32))[0] == 1


def test_memory_begins_on_a_cache_line() -> None:
    for elements in (1, 17, 1000):
        array = aligned_zeros(elements)
        assert array.ctypes.data % 64 == 0
        assert array.shape == (elements,)
        assert not array.any()
