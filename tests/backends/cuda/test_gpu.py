"""Kernels on a GPU, against the reference: `nox -s gpu`. Skipped where there is none."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest

from tests.backends.cuda.kernels import FAMILIES, FORMATS, planned
from tests.cases import assert_close, by_name, random_draws, random_frames, values_of_run, values_of_score
from wavejit.backends.cuda.compile import compile_text
from wavejit.backends.reference import Reference
from wavejit.errors import InputError
from wavejit.ir.formats import FormatName
from wavejit.ir.ops import Step
from wavejit.models import builtin
from wavejit.runtime.cuda_device import GpuLauncher, device_here
from wavejit.runtime.cuda_engine import CudaEngine
from wavejit.runtime.cuda_open import open_engine

EXPECTED = "WAVEJIT_EXPECT_GPU"  # set where a GPU is expected: its absence is then a failure
TICKS = 200
FAST_FUNCTIONS = 1e-4  # of the parameters' range: a GPU's exponential, 200 ticks long


@pytest.fixture(autouse=True, scope="module")
def gpu() -> None:
    try:
        device_here(None)
    except InputError as error:
        if os.environ.get(EXPECTED):
            pytest.fail(str(error))
        pytest.skip(str(error))


def opened(step: Step, precision: FormatName, streams: int = 1) -> CudaEngine:
    return open_engine(replace(step, precision=precision), None, streams)


def audio(engine: CudaEngine, frames: np.ndarray, chunks: list[int]) -> bytes:
    stream, made = engine.stream(7), []
    for ticks in chunks:
        first = -(-stream.ticks // max(1, engine.clock))
        made.append(stream.run(ticks, frames[first : first + stream.frames_in(ticks)]))
    return np.concatenate(made).tobytes()


def assert_agrees(step: Step, precision: FormatName, ticks: int) -> None:
    assert_engine_agrees(opened(step, precision), precision, ticks)


def assert_engine_agrees(engine: CudaEngine, precision: FormatName, ticks: int) -> None:
    forced, frames = random_draws(engine.step, ticks), random_frames(engine.step, ticks)
    run = Reference(engine.step).run(ticks, by_name(engine.step, frames), forced.astype(float))
    # An input of int8 that lies between two steps may be rounded to either.
    tolerance = 5e-3 if precision == "int8" else FAST_FUNCTIONS
    assert_close(values_of_score(engine.stream().score(forced, frames)), values_of_run(run), tolerance)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("precision", FORMATS)
def test_every_family_and_precision_agrees_with_the_reference(family: str, precision: FormatName) -> None:
    assert_agrees(FAMILIES[family](), precision, TICKS)


@pytest.mark.parametrize("model", ["deepvoice-40-64-256", "wavernn-896"])
def test_a_cluster_agrees_with_the_reference(model: str) -> None:
    family, network = builtin(model) or pytest.fail(f"{model} is built in")
    assert_agrees(family.step(model, network, family.random_weights(network)), "int8", 20)


def on_grid(step: Step, precision: FormatName, blocks: int, streams: int = 1) -> CudaEngine:
    """A small network on several blocks that are no cluster, with so little room that each of some has a part of it."""
    room = {1: 40, 8: 80}[streams] * 1024
    narrow = replace(device_here(None), largest_cluster=1, register_tiles=2, courier_tiles=1, shared_bytes=room)
    found = planned(step, precision, narrow, blocks, streams)
    assert found.name == f"grid of {blocks}"
    return CudaEngine(found, GpuLauncher(found, compile_text(found.text, narrow.arch)), streams)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_grid_agrees_with_the_reference_and_chunks_do_not_matter(family: str) -> None:
    engine = on_grid(FAMILIES[family](), "float16", 5)
    assert_engine_agrees(engine, "float16", TICKS)
    frames = random_frames(engine.step, 1000)
    whole = audio(engine, frames, [1000])
    assert audio(engine, frames, [1, 7, 160, 832]) == whole


def test_streams_on_grids_are_as_if_alone_in_as_many_launches_as_fit() -> None:
    step, blocks = FAMILIES["wavenet"](), device_here(None).multiprocessors
    alone, many = on_grid(step, "float16", 5), on_grid(step, "float16", blocks, 8)
    assert many.launcher.at_once == 1
    frames = [random_frames(alone.step, 300, seed) for seed in range(9)]
    together = many.run_together([many.stream(3, number) for number in range(9)], 300, frames)
    for number, made in enumerate(together):
        assert made.tobytes() == alone.stream(3, number).run(300, frames[number]).tobytes()


@pytest.mark.parametrize("family", FAMILIES)
def test_chunks_do_not_matter(family: str) -> None:
    engine = opened(FAMILIES[family](), "int8")
    frames = random_frames(engine.step, 1000)
    whole = audio(engine, frames, [1000])
    assert audio(engine, frames, [1, 7, 160, 832]) == whole
    assert audio(engine, frames, [1000]) == whole


@pytest.mark.parametrize("family", ["wavenet", "wavernn", "mel-wavegru"])
@pytest.mark.parametrize("in_pass", [4, 8])
def test_streams_side_by_side_are_as_if_alone(family: str, in_pass: int) -> None:
    here = device_here(None).multiprocessors
    alone, many = opened(FAMILIES[family](), "float16"), opened(FAMILIES[family](), "float16", in_pass * here)
    assert many.plan.streams == in_pass
    frames = [random_frames(alone.step, 300, seed) for seed in range(9)]
    streams = [many.stream(3, number) for number in range(9)]
    together = many.run_together(streams, 300, frames)
    for number, made in enumerate(together):
        assert made.tobytes() == alone.stream(3, number).run(300, frames[number]).tobytes()
