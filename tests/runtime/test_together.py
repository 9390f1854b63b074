"""Several streams in one pass over the weights: each is what it would have been alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cases import WIDE, Array, random_frames, steps
from tests.runtime.test_engine import MODELS, mel, named
from tests.test_vocoder import network
from wavejit import InputError, Model, load
from wavejit.checkpoints.folder import ModelFiles
from wavejit.compression.prune import prune
from wavejit.ir.builder import StepBuilder, concatenate
from wavejit.ir.formats import FormatName
from wavejit.ir.ops import Step
from wavejit.models.mel_wavernn import FAMILY as MEL_WAVERNN
from wavejit.runtime.engine import Engine, Stream
from wavejit.vocoder import Vocoder

MOST = 9
CHUNKS = st.tuples(st.integers(0, 30), st.lists(st.integers(0, MOST - 1), min_size=1, unique=True))  # ticks, of which
PRECISIONS: tuple[FormatName, ...] = ("float32", "int8", "int16")


def frames_of(engine: Engine, number: int, ticks: int = 400) -> Array:
    """Frames of one stream: each has its own."""
    return random_frames(engine.source, ticks, seed=number)


def alone(engine: Engine, number: int, ticks: int) -> bytes:
    frames = frames_of(engine, number)
    running = engine.stream(1, number)
    return running.run(ticks, frames[: running.frames_in(ticks)]).tobytes()


class Streams:
    """Streams of one engine, each with what it has made."""

    def __init__(self, engine: Engine, count: int) -> None:
        self.engine = engine
        self.running = [engine.stream(1, number) for number in range(count)]
        self.made: list[list[Array]] = [[] for _ in range(count)]

    def advance(self, ticks: int, numbers: list[int]) -> None:
        """Make `ticks` ticks of some of the streams, together."""
        chosen = [self.running[number] for number in numbers]
        chunks = self.engine.run_together(chosen, ticks, [self._next(number, ticks) for number in numbers])
        for number, chunk in zip(numbers, chunks, strict=True):
            self.made[number].append(chunk)

    def _next(self, number: int, ticks: int) -> Array:
        stream: Stream = self.running[number]
        start = -(-stream.ticks // max(self.engine.clock, 1)) if self.engine.clock else 0
        return frames_of(self.engine, number)[start : start + stream.frames_in(ticks)]

    def assert_as_alone(self) -> None:
        for number, chunks in enumerate(self.made):
            if chunks:
                ticks = self.running[number].ticks
                assert np.concatenate(chunks).tobytes() == alone(self.engine, number, ticks), f"stream {number}"


@pytest.fixture(
    scope="module",
    params=[(name, precision) for name in MODELS for precision in ("float32", "int8")],
    ids=lambda param: " ".join(param),
)
def engine(request: pytest.FixtureRequest) -> Engine:
    name, precision = request.param
    return Engine(MODELS[name](), WIDE, precision=precision, streams=MOST)


@pytest.mark.parametrize("count", [1, 2, 5, MOST])
def test_each_stream_is_as_it_would_be_alone(engine: Engine, count: int) -> None:
    streams = Streams(engine, count)
    for ticks in (1, 90, 7):
        streams.advance(ticks, list(range(count)))
    streams.assert_as_alone()


def test_more_streams_than_one_pass_takes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavejit.runtime.engine.STREAMS_A_PASS", 4)
    streams = Streams(engine, MOST)
    for ticks in (5, 90):
        streams.advance(ticks, list(range(MOST)))
    streams.assert_as_alone()


def test_streams_join_and_leave_between_chunks(engine: Engine) -> None:
    """They stand at different ticks, so that frames and slower clocks begin at different ones."""
    streams = Streams(engine, 5)
    for ticks, numbers in ((3, [0]), (20, [0, 1]), (1, [2, 1, 0]), (40, [4, 2]), (33, [0, 1, 2, 3, 4]), (5, [3])):
        streams.advance(ticks, numbers)
    streams.assert_as_alone()


def test_a_stream_may_go_on_alone(engine: Engine) -> None:
    streams, ticks = Streams(engine, 2), 30
    streams.advance(ticks, [0, 1])
    running, frames = streams.running[0], frames_of(engine, 0)
    start = -(-ticks // engine.clock) if engine.clock else 0
    streams.made[0].append(running.run(25, frames[start : start + running.frames_in(25)]))
    streams.assert_as_alone()


@settings(max_examples=12)
@given(step=steps(), precision=st.sampled_from(PRECISIONS), chunks=st.lists(CHUNKS, min_size=1, max_size=4))
def test_any_step_with_any_streams(step: Step, precision: FormatName, chunks: list[tuple[int, list[int]]]) -> None:
    streams = Streams(Engine(step, WIDE, precision=precision, streams=MOST), MOST)
    for ticks, numbers in chunks:
        streams.advance(ticks, numbers)
    streams.assert_as_alone()


def test_a_frame_of_several_conditions_every_tick() -> None:
    s = StepBuilder("sum", 16000)
    s.emit(concatenate(s.condition("a", 2, 1), s.condition("b", 3, 1)))
    streams = Streams(Engine(s.step(), WIDE, streams=2), 2)
    streams.advance(5, [0, 1])
    streams.assert_as_alone()
    np.testing.assert_array_equal(streams.made[1][0], frames_of(streams.engine, 1)[:5].ravel())


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_pruned_networks(precision: FormatName) -> None:
    step = named("wavegru-96")
    pruned = replace(step, weights=prune(step.weights, 0.9, (16, 4)))
    streams = Streams(Engine(pruned, WIDE, precision=precision, streams=3), 3)
    streams.advance(30, [1])
    streams.advance(50, [0, 1, 2])
    streams.assert_as_alone()


def test_two_threads_beside_several_streams() -> None:
    engine = Engine(named("deepvoice-4-20-24"), WIDE, threads=2, streams=3)
    streams = Streams(engine, 3)
    streams.advance(60, [0, 2])
    streams.advance(60, [0, 1, 2])
    streams.assert_as_alone()


def test_an_engine_for_one_stream_runs_one() -> None:
    streams = Streams(Engine(named("wavernn-36"), WIDE), 1)
    streams.advance(40, [0])
    streams.assert_as_alone()


# --------------------------------------------------------------------------------------------- refusals


def test_streams_that_cannot_be_run_together() -> None:
    engine = Engine(named("wavernn-4"), WIDE, streams=2)
    a, b, c = (engine.stream(1, number) for number in range(3))
    for streams in ([], [a, a], [a, b, c]):
        with pytest.raises(ValueError, match=rf"^{len(streams)} streams, expected 1 to 2 different ones$"):
            engine.run_together(streams, 5, [None] * len(streams))
    assert engine.run_together([a, b], 5, [None, None])[0].tobytes() == engine.stream(1, 0).run(5).tobytes()


def test_frames_of_another_shape_leave_every_stream_as_it_was() -> None:
    engine = Engine(mel(), WIDE, streams=2)
    a, b = engine.stream(1, 0), engine.stream(1, 1)
    good = frames_of(engine, 0)[:1]
    with pytest.raises(ValueError, match=r"^frames are \(2, 7\), expected \(1, 7\)$"):
        engine.run_together([a, b], 20, [good, frames_of(engine, 0)[:2]])
    with pytest.raises(ValueError, match=r"zip\(\) argument 2 is shorter"):
        engine.run_together([a, b], 20, [good])
    assert (a.ticks, b.ticks) == (0, 0)
    assert engine.run_together([a], 20, [good])[0].tobytes() == alone(engine, 0, 20)


def test_a_stream_of_another_engine() -> None:
    engine, other = Engine(named("wavernn-4"), WIDE, streams=2), Engine(named("wavernn-36"), WIDE)
    with pytest.raises(ValueError, match="a stream of another engine"):
        engine.run_together([engine.stream(), other.stream()], 5, [None, None])


def test_a_stream_that_another_thread_runs() -> None:
    engine = Engine(named("wavernn-4"), WIDE, streams=2)
    a, b = engine.stream(1, 0), engine.stream(1, 1)
    with b.alone(), pytest.raises(RuntimeError, match="one thread at a time"):
        engine.run_together([a, b], 5, [None, None])
    assert len(engine.run_together([a, b], 5, [None, None])) == 2, "the first is free again, too"
    assert (a.ticks, b.ticks) == (5, 5)


def test_two_threads_run_their_own_streams_together() -> None:
    engine = Engine(named("wavernn-36"), WIDE, streams=2)
    made: dict[int, list[Array]] = {}

    def run(first: int) -> None:
        made[first] = engine.run_together([engine.stream(1, first), engine.stream(1, first + 1)], 500, [None, None])

    threads = [threading.Thread(target=run, args=(first,)) for first in (0, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for first, chunks in made.items():
        assert [chunk.tobytes() for chunk in chunks] == [alone(engine, first + i, 500) for i in range(2)]


# ---------------------------------------------------------------------------------------- generate_many


def features(lengths: list[int], bins: int = 80) -> list[Array]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((length, bins), dtype=np.float32) for length in lengths]


def assert_one_by_one(vocoder: Vocoder, utterances: list[Array], seed: int = 3, temperature: float = 1.0) -> None:
    made = vocoder.generate_many(utterances, seed, temperature)
    assert len(made) == len(utterances)
    for i, (found, frames) in enumerate(zip(made, utterances, strict=True)):
        assert found.tobytes() == vocoder.generate(frames, seed, temperature, stream=i).tobytes(), f"utterance {i}"


@pytest.mark.parametrize("lengths", [[5], [1, 1], [3, 20, 1, 7, 12], [2] * 10, []])
@pytest.mark.parametrize("streams", [1, 3])
def test_utterances_of_any_lengths(lengths: list[int], streams: int) -> None:
    assert_one_by_one(load("deepvoice-2-16-16").compile(streams=streams), features(lengths))


def test_utterances_that_look_ahead() -> None:
    """Each is primed with its own first frames, whenever it begins."""
    files = ModelFiles(MEL_WAVERNN, network(), MEL_WAVERNN.random_weights(network()), None)
    model = Model("voice", files)
    assert model.step.lookahead == network().padding
    assert_one_by_one(model.compile(streams=2), features([4, 30, 1, 9], network().bins))


def test_seed_temperature_and_single_frames() -> None:
    vocoder = load("deepvoice-2-16-16").compile("int8", streams=2)
    assert_one_by_one(vocoder, features([3, 2, 4]), seed=2**64 - 1, temperature=0.5)
    frame = features([1])[0][0]
    assert_one_by_one(vocoder, [frame, frame])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (lambda: [features([2])[0], features([0])[0]], r"features\[1\] have no frames, expected \(frames, 80\)"),
        (lambda: [features([2], 40)[0]], r"features\[0\] are \(2, 40\), expected \(frames, 80\)"),
        (lambda: [*features([2]), np.full((1, 80), np.nan)], r"features\[1\] hold NaN or infinite values"),
        (lambda: [*features([2]), np.ones((1, 80), int)], r"features\[1\] are int64, expected floating-point"),
    ],
)
def test_bad_features_are_named_by_their_number(given: Callable[[], list[Array]], sentence: str) -> None:
    with pytest.raises(InputError, match=f"^{sentence}"):
        load("deepvoice-2-16-16").compile(streams=2).generate_many(given())


@pytest.mark.parametrize(("seed", "temperature", "what"), [(-1, 1.0, "seed"), (2**64, 1.0, "seed"), (0, -1.0, "temp")])
def test_draws_out_of_range(seed: int, temperature: float, what: str) -> None:
    with pytest.raises(InputError, match=f"^{what}"):
        load("deepvoice-2-16-16").compile(streams=2).generate_many(features([1]), seed, temperature)


@pytest.mark.parametrize("options", [{"backend": "reference"}, {}])
def test_where_there_is_nothing_to_run_together(options: dict[str, str]) -> None:
    name = "deepvoice-2-16-16" if options else "wavernn-4"
    with pytest.raises(
        InputError, match=f"^{name}: generate_many needs compiled code and a model that takes features$"
    ):
        load(name).compile(streams=2, **options).generate_many(features([1]))
