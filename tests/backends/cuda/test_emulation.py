"""Kernels run on the host, thread by thread, against the reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.backends.cuda.emulation import COMPILER, HostLauncher
from tests.backends.cuda.kernels import FAMILIES, FORMATS, HOPPER, planned
from tests.cases import (
    WAVERNN,
    assert_close,
    built,
    by_name,
    compositions,
    linear,
    random_draws,
    random_frames,
    tensor,
    values_of_run,
    values_of_score,
)
from wavejit.backends.cuda.plan import Plan
from wavejit.backends.reference import Reference
from wavejit.compression.prune import prune
from wavejit.ir.builder import StepBuilder, affine, lookup, tanh
from wavejit.ir.formats import FormatName
from wavejit.ir.ops import Categorical, Step
from wavejit.models.wavernn import WaveRNN
from wavejit.runtime.calibrate import calibrated
from wavejit.runtime.cuda_engine import CudaEngine, CudaStream
from wavejit.runtime.engine import Score

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler, to run kernels on the host")
TICKS = 14
TOLERANCE = 2e-5  # of the parameters' range: inputs keep 22 bits, of bfloat16 16


def score(plan: Plan, order: int = 0, ticks: int = TICKS, cut: int = 0) -> Score:
    """A teacher-forced run of a plan, in two launches where `cut` says so."""
    engine = CudaEngine(plan, HostLauncher(plan, order))
    forced, frames = random_draws(plan.step, ticks), random_frames(plan.step, ticks)
    stream = engine.stream()
    if not cut:
        return stream.score(forced, frames)
    taken = stream.frames_in(cut)
    first, second = stream.score(forced[:cut], frames[:taken]), stream.score(forced[cut:], frames[taken:])
    names = {name: np.concatenate([first.parameters[name], second.parameters[name]]) for name in first.parameters}
    return Score(np.concatenate([first.samples, second.samples]), names)


def parameters(plan: Plan, order: int = 0) -> bytes:
    """All that was worked out to be drawn from: samples alone are what was forced."""
    return b"".join(rows.tobytes() for rows in score(plan, order).parameters.values())


def wanted(step: Step, ticks: int = TICKS) -> dict[str, np.ndarray]:
    """What the reference makes of the same."""
    run = Reference(step).run(ticks, by_name(step, random_frames(step, ticks)), random_draws(step, ticks).astype(float))
    return dict(values_of_run(run))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("precision", FORMATS)
def test_every_family_and_precision_agrees_with_the_reference(family: str, precision: FormatName) -> None:
    plan = planned(FAMILIES[family](), precision, blocks=2)
    assert_close(values_of_score(score(plan, cut=5)), wanted(plan.step), TOLERANCE)


@pytest.mark.parametrize("family", FAMILIES)
def test_ranges_that_were_found_agree_with_the_reference(family: str) -> None:
    """Scales beyond 1, and inputs beyond their scale."""
    step = FAMILIES[family]()
    found = calibrated(step, random_frames(step, 60 if step.hop_length else 0), 60)
    clips = {name: 0.7 * largest for name, largest in found.largest.items()}
    plan = planned(replace(step, ranges=found.largest, clips=clips), "int8", blocks=2)
    # An input of int8 that lies between two steps may be rounded to either.
    assert_close(values_of_score(score(plan, cut=5)), wanted(plan.step), 2e-3)


@pytest.mark.parametrize("tiles", [0, 3])
def test_weights_in_shared_and_in_global_memory_are_the_same(tiles: int) -> None:
    few = replace(HOPPER, register_tiles=tiles, shared_bytes=40 * 1024)
    plan = planned(FAMILIES["wavernn"](), "float16", few, blocks=1)
    assert {place.memory for piece in plan.places.tiles for term in piece for place in term} >= {"shared", "global"}
    assert_close(values_of_score(score(plan)), wanted(plan.step), TOLERANCE)


@pytest.mark.parametrize("precision", FORMATS)
@pytest.mark.parametrize("tiles", [1, 40])
def test_sparse_tiles_agree_with_the_reference(precision: FormatName, tiles: int) -> None:
    step = built(WAVERNN, WaveRNN(sample_rate=16000, width=256))
    sparse = replace(step, weights=prune(step.weights, 0.9, (16, 4)))
    plan = planned(sparse, precision, replace(HOPPER, register_tiles=tiles), blocks=1)
    dense = planned(step, precision, blocks=1)
    assert any(term.columns is not None for piece in plan.partition.pieces for term in piece.terms)
    assert (
        sum(piece.tiles for piece in plan.partition.pieces) < sum(piece.tiles for piece in dense.partition.pieces) / 2
    )
    # An input of int8 that lies between two steps may be rounded to either.
    assert_close(
        values_of_score(score(plan, ticks=5)), wanted(plan.step, 5), 2e-3 if precision == "int8" else TOLERANCE
    )


@settings(max_examples=5, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    step=compositions(),
    precision=st.sampled_from(FORMATS),
    blocks=st.sampled_from((1, 2, 4)),
    tiles=st.sampled_from((0, 2, 40)),
    order=st.integers(0, 99),
)
def test_any_step_agrees_with_the_reference(
    step: Step, precision: FormatName, blocks: int, tiles: int, order: int
) -> None:
    plan = planned(step, precision, replace(HOPPER, register_tiles=tiles), blocks)
    assert_close(values_of_score(score(plan, order, 17, cut=5)), wanted(plan.step, 17), 2e-4)


@pytest.mark.parametrize("order", [10, 13, 24])  # in which two barriers a value, not four, stood still
def test_what_no_sample_waits_for_may_be_behind(order: int) -> None:
    """A large product of a past value is only emitted: what makes that value is up to two runs ahead of it."""
    rng = np.random.default_rng(0)
    s = StepBuilder("behind", 16000)
    drawn = s.drawn("class", 1, 8)
    made = tanh(lookup(tensor(rng, "table", 8, 16), drawn))
    s.draw("class", Categorical(), affine(linear(rng, "out", 8, 16), made))
    past = s.delayed(made, 1)
    s.emit(tanh(affine(linear(rng, "second", 64, 96), tanh(affine(linear(rng, "first", 96, 16), past)))))
    plan = planned(s.step(), "float16", blocks=2)
    assert_close(values_of_score(score(plan, order, 60)), wanted(plan.step, 60), TOLERANCE)


@pytest.mark.parametrize("family", ["wavenet", "samplernn"])
def test_the_order_of_threads_does_not_matter(family: str) -> None:
    plan = planned(FAMILIES[family](), blocks=4)
    first, *others = (parameters(plan, order) for order in range(3))
    assert others == [first, first]


def audio(stream: CudaStream, frames: np.ndarray, chunks: list[int]) -> bytes:
    made: list[np.ndarray] = []
    for ticks in chunks:
        first = -(-stream.ticks // max(1, stream.engine.clock))
        made.append(stream.run(ticks, frames[first : first + stream.frames_in(ticks)]))
    return np.concatenate(made).tobytes()


@pytest.mark.parametrize("family", ["wavenet", "mel-wavernn"])
def test_chunks_do_not_matter(family: str) -> None:
    plan = planned(FAMILIES[family](), "int8", blocks=2)
    engine, frames = CudaEngine(plan, HostLauncher(plan)), random_frames(plan.step, 60)
    whole = audio(engine.stream(7), frames, [60])
    assert len(set(np.frombuffer(whole, np.float32))) > 5, "something is heard"
    assert audio(engine.stream(7), frames, [1, 22, 7, 30]) == whole
    assert audio(engine.stream(8), frames, [60]) != whole


def test_frames_ahead_are_taken() -> None:
    plan = planned(FAMILIES["wavenet"]())
    stream, reference = CudaEngine(plan, HostLauncher(plan)).stream(), Reference(plan.step)
    ahead, frames, forced = (
        random_frames(plan.step, 30, 2),
        random_frames(plan.step, TICKS),
        random_draws(plan.step, TICKS),
    )
    stream.prime(ahead)
    reference.prime(by_name(plan.step, ahead))
    run = reference.run(TICKS, by_name(plan.step, frames), forced.astype(float))
    assert_close(values_of_score(stream.score(forced, frames)), values_of_run(run), TOLERANCE)


@pytest.mark.parametrize(
    ("family", "precision", "in_pass"),
    [("wavenet", "int8", 4), ("mel-wavegru", "int8", 4), ("mel-wavegru", "float16", 8), ("wavernn", "float32", 8)],
)
def test_streams_that_share_a_pass_are_as_if_alone(family: str, precision: FormatName, in_pass: int) -> None:
    step, count = FAMILIES[family](), in_pass + 1
    alone, shared = planned(step, precision, blocks=1), planned(step, precision, blocks=1, streams=in_pass)
    engines = [CudaEngine(alone, HostLauncher(alone)), CudaEngine(shared, HostLauncher(shared, order=5), in_pass)]
    frames = [random_frames(alone.step, 60, seed) for seed in range(count)]
    made: list[list[bytes]] = []
    for engine in engines:
        streams = [engine.stream(3, number) for number in range(count)]
        early = streams[1].run(9, frames[1][: streams[1].frames_in(9)])  # the others join later
        given = []
        for stream, each in zip(streams, frames, strict=True):
            first = -(-stream.ticks // max(1, engine.clock))
            given.append(each[first : first + stream.frames_in(20)])
        made.append([early.tobytes(), *(x.tobytes() for x in engine.run_together(streams, 20, given))])
    assert made[0] == made[1]
    assert len(set(made[0])) == count + 1


def test_draws_are_those_of_the_reference() -> None:
    for family in ("wavenet", "wavegru"):
        plan = planned(FAMILIES[family](), "float32")
        stream, reference = CudaEngine(plan, HostLauncher(plan)).stream(11, 5, 0.8), Reference(plan.step, 11, 5, 0.8)
        frames = random_frames(plan.step, 40)
        run = reference.run(40, by_name(plan.step, frames))
        assert np.abs(stream.run(40, frames) - run.samples).max() < 1e-4


def test_a_barrier_that_is_left_out_is_noticed() -> None:
    plan = planned(FAMILIES["wavernn"](), blocks=1)
    right = parameters(plan)
    lines = plan.source.splitlines()
    barriers = [i for i, line in enumerate(lines) if "team_barrier(" in line]
    noticed = 0
    for left_out in barriers[:4]:
        broken = replace(plan)
        broken.__dict__["source"] = "\n".join(line for i, line in enumerate(lines) if i != left_out)
        noticed += any(parameters(broken, order) != right for order in range(3))
    assert noticed >= 2, "not each: warps may have met elsewhere"
