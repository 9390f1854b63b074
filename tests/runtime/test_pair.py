"""Two threads for one stream: the same bytes, whichever thread does what, and nothing left behind."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cases import WIDE, random_draws, random_frames, steps
from tests.runtime.test_engine import MODELS, named
from wavejit.ir.formats import FormatName
from wavejit.ir.ops import Condition, Draw, Step
from wavejit.ir.target import Target
from wavejit.ir.tasks import tasks_of
from wavejit.passes import PIPELINE, Pass
from wavejit.passes.assign_threads import assign_threads
from wavejit.runtime import cores
from wavejit.runtime.engine import Engine
from wavejit.runtime.pair import SHORTEST, TRY_AGAIN, Choice, Pair

PRECISIONS: tuple[FormatName, ...] = ("float32", "int8", "int16")
CHUNKS = (1, 2, 40, 3, 150, 1, 63)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads run at once; where there is one core, in turns: they offer it to each other as they wait."""
    found = cores.allowed()
    if len(found) < 2:
        monkeypatch.setattr(cores, "allowed", lambda: [found[0], found[0]])


class Always(Choice):
    """One way for every chunk."""

    def __init__(self, is_together: bool) -> None:
        super().__init__()
        self._together = is_together

    def is_together(self, ticks: int) -> bool:
        return self._together


def by(threads: int, engine: Engine) -> Engine:
    """The engine, with all chunks from now on run by one or by two threads."""
    assert engine.pair is not None
    engine.pair.choice = Always(threads == 2)
    return engine


def ran_together(engine: Engine) -> bool:
    """Whether two threads ran the chunks so far."""
    assert engine.pair is not None
    choice = engine.pair.choice
    return choice.together.tick_seconds is not None and choice.alone.tick_seconds is None


@pytest.fixture(
    scope="module",
    params=[(name, precision) for name in MODELS for precision in ("float32", "int8")] + [("wavenet", "int16")],
    ids=lambda param: " ".join(param),
)
def engine(request: pytest.FixtureRequest) -> Engine:
    name, precision = request.param
    return Engine(MODELS[name](), WIDE, precision=precision, threads=2)


def audio(engine: Engine, stream: int = 0) -> list[bytes]:
    """Chunks of several lengths, one after the other."""
    running, made = engine.stream(1, stream), list[bytes]()
    frames, taken = random_frames(engine.source, sum(CHUNKS)), 0
    for ticks in CHUNKS:
        needed = running.frames_in(ticks)
        made.append(running.run(ticks, frames[taken : taken + needed]).tobytes())
        taken += needed
    return made


def test_two_threads_make_what_one_makes(engine: Engine) -> None:
    wanted = audio(by(1, engine))
    assert not ran_together(engine)
    assert audio(by(2, engine)) == wanted
    assert ran_together(engine)


def test_an_engine_for_one_thread_makes_that_too() -> None:
    step = named("deepvoice-4-20-24")
    assert audio(Engine(step, WIDE)) == audio(by(2, Engine(step, WIDE, threads=2)))


def test_two_threads_score_as_one_does(engine: Engine) -> None:
    forced, frames = random_draws(engine.source, 90), random_frames(engine.source, 90)
    wanted = by(1, engine).stream().score(forced, frames)
    found = by(2, engine).stream().score(forced, frames)
    assert ran_together(engine)
    assert found.samples.tobytes() == wanted.samples.tobytes()
    for draw, parameters in wanted.parameters.items():
        assert found.parameters[draw].tobytes() == parameters.tobytes()


@settings(max_examples=12)
@given(step=steps(), precision=st.sampled_from(PRECISIONS), seed=st.integers(0, 2**32 - 1))
def test_whichever_thread_a_task_is_on(step: Step, precision: FormatName, seed: int) -> None:
    """Any assignment gives the same bytes: the schedule is only for speed."""
    rng = np.random.default_rng(seed)

    def scatter(step: Step, target: Target) -> Step:
        kinds = {
            task.makes: type(step.lines[task.ref].op) if task.makes[0] == "value" else None for task in tasks_of(step)
        }
        draws = int(rng.integers(2))
        threads = {
            makes: 0 if kind is Condition else draws if kind is Draw else int(rng.integers(2))
            for makes, kind in kinds.items()
        }
        return replace(step, threads=threads)

    passes = tuple(Pass(p.name, scatter) if p.run is assign_threads else p for p in PIPELINE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wavejit.passes.PIPELINE", passes)
        two = Engine(step, WIDE, precision=precision, threads=2)
    frames = random_frames(step, 60)
    wanted = by(1, two).stream(1).run(60, frames)
    assert by(2, two).stream(1).run(60, frames).tobytes() == wanted.tobytes()
    assert ran_together(two)


def test_two_streams_on_one_engine_of_two_threads() -> None:
    """One of them has the helper, the other runs alone meanwhile."""
    engine = Engine(named("deepvoice-12-32-64"), WIDE, threads=2)
    frames = random_frames(engine.source, 3000)
    wanted = [by(1, engine).stream(1, number).run(3000, frames).tobytes() for number in range(2)]
    by(2, engine)
    begin = threading.Barrier(2)

    def run(number: int) -> bytes:
        begin.wait()
        return engine.stream(1, number).run(3000, frames).tobytes()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, range(2))) == wanted
    assert engine.pair is not None
    assert engine.pair.choice.together.tick_seconds is not None, "one had the helper"


def test_who_finds_the_helper_busy_runs_alone() -> None:
    pair, inner = Pair(), list[bool]()
    assert pair.together(lambda: inner.append(pair.together(nothing, nothing)), nothing)
    assert inner == [False]
    assert pair.together(nothing, nothing), "it is free again"


def nothing() -> None:
    pass


# ------------------------------------------------------------------------------------------ the helper


def helpers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "_help" in thread.name]


def test_the_helper_ends_with_its_engine() -> None:
    before = set(helpers())
    engine = by(2, Engine(named("deepvoice-4-16-32"), WIDE, threads=2))
    engine.stream().run(100, random_frames(engine.source, 100))
    (helper,) = set(helpers()) - before
    assert helper.daemon, "no program waits for it"
    del engine
    gc.collect()
    helper.join(5)
    assert not helper.is_alive()


def test_an_engine_that_runs_nothing_has_no_helper() -> None:
    before = set(helpers())
    Engine(named("deepvoice-4-16-32"), WIDE, threads=2)
    assert set(helpers()) == before


def test_a_parked_helper_takes_no_time() -> None:
    engine = by(2, Engine(named("deepvoice-4-16-32"), WIDE, threads=2))
    engine.stream().run(100, random_frames(engine.source, 100))
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.02


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a thread say where it may run")
def test_threads_may_run_afterwards_where_they_might_before() -> None:
    pair, during = Pair(), list[set[int]]()
    before = os.sched_getaffinity(0)
    assert pair.together(*[lambda: during.append(os.sched_getaffinity(0))] * 2)
    assert os.sched_getaffinity(0) == before
    assert [len(found) for found in during] == [1, 1], "each was on a core of its own"


def test_a_caller_that_is_interrupted_leaves_no_helper_at_work() -> None:
    pair, over = Pair(), list[int]()

    def interrupted() -> None:
        raise KeyboardInterrupt

    def second() -> None:
        time.sleep(0.05)
        over.append(1)

    with pytest.raises(KeyboardInterrupt):
        pair.together(interrupted, second)
    assert over == [1], "the memory that it writes to may go now"
    assert pair.together(nothing, second)
    assert over == [1, 1], "and the next chunk is not over before its own second half is"


# ---------------------------------------------------------------------------------------- one core only


def test_without_a_second_core_chunks_are_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    core = cores.allowed()[:1]
    monkeypatch.setattr(cores, "allowed", lambda: core)
    ran: list[int] = []
    assert not Pair().together(lambda: ran.append(0), lambda: ran.append(1))
    assert not ran
    engine = Engine(named("deepvoice-4-16-32"), WIDE, threads=2)
    assert audio(by(2, engine)) == audio(by(1, engine))
    assert not ran_together(engine)


ON_ONE_CORE = """
import os, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np
import wavejit

model = wavejit.load("deepvoice-12-32-64")
frames = np.zeros((20, 80), np.float32)
alone, two = model.compile(threads=1), model.compile(threads=2)
assert np.array_equal(alone.generate(frames), two.generate(frames))

def fastest(vocoder):
    best = 1e9
    for _ in range(5):
        started = time.process_time()
        vocoder.generate(frames)
        best = min(best, time.process_time() - started)
    return best

shares = []
for _ in range(5):
    shares.append(fastest(alone) / fastest(two))
    if shares[-1] >= 0.75:
        break
print(max(shares))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process say where it may run")
def test_on_one_core_two_threads_are_about_as_fast_as_one() -> None:
    """Time is that of the process, so that other programs on the machine do not count."""
    done = subprocess.run([sys.executable, "-c", ON_ONE_CORE], capture_output=True, text=True, timeout=120, check=True)
    assert float(done.stdout) >= 0.75


# ------------------------------------------------------------------------------------------- the choice


class Clock:
    """A clock that is told the time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("wavejit.runtime.pair.time.monotonic", lambda: self.now)
        monkeypatch.setattr("wavejit.runtime.pair.time.perf_counter", lambda: self.now)


TICKS = 100


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs chunks on a pair whose two ways take as long as is said, and tells which was taken."""
    clock, pair = Clock(monkeypatch), Pair()

    def chunk(alone: float = 0.1, together: float = 0.1, ticks: int = TICKS, later: float = 0.0) -> str:
        taken: list[str] = []

        def way(name: str, seconds: float) -> None:
            taken.append(name)
            clock.now += seconds

        monkeypatch.setattr(pair, "together", lambda first, second: first() is None)
        clock.now += later
        pair.run(ticks, lambda: way("alone", alone), lambda: way("together", together), nothing)
        return taken[0]

    return chunk


def test_alone_first_then_together_then_the_faster(run: Callable[..., str]) -> None:
    assert [run(alone=0.1, together=0.06) for _ in range(5)] == ["alone", *["together"] * 4]


def test_what_was_slower_is_left(run: Callable[..., str]) -> None:
    assert [run(alone=0.1, together=0.15) for _ in range(5)] == ["alone", "together", "alone", "alone", "alone"]


def test_the_slower_way_is_tried_again(run: Callable[..., str]) -> None:
    for _ in range(3):
        run(alone=0.1, together=0.15)
    assert run(alone=0.1, together=0.06, later=TRY_AGAIN) == "together", "a core has become free"
    assert [run(alone=0.1, together=0.06) for _ in range(3)] == ["alone", "together", "together"], "so is the other"
    assert run(alone=0.1, together=0.06, later=TRY_AGAIN) == "alone"
    assert run(alone=0.1, together=0.06) == "together"


def test_a_core_that_is_taken_away_shows(run: Callable[..., str]) -> None:
    assert [run(alone=0.1, together=0.06) for _ in range(3)] == ["alone", "together", "together"]
    assert [run(alone=0.1, together=1.0) for _ in range(3)] == ["together", "alone", "alone"]


def test_short_chunks_are_run_alone(run: Callable[..., str]) -> None:
    run(alone=0.1, together=0.06)
    run(alone=0.1, together=0.06)
    short = round(SHORTEST / 2 / (0.1 / TICKS))
    assert run(ticks=max(short, 0)) == "alone"
    assert run(alone=0.1, together=0.06) == "together"


def test_a_short_chunk_says_nothing_of_the_way(run: Callable[..., str]) -> None:
    run(alone=0.1, together=0.06)
    run(alone=0.1, together=0.06)
    assert run(alone=1e-9, ticks=0) == "alone", "no ticks at all"
    assert run(alone=0.1, together=0.06) == "together"
