"""Products of many streams by tiles: each stream is what it would have been alone, to the last bit."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.backends.llvm.test_precisions import product, whole_numbers
from tests.cases import ALL_ISAS, steps
from tests.runtime.test_together import CHUNKS, MOST, Streams
from wavejit import load
from wavejit.backends.llvm import compile as compiling
from wavejit.backends.llvm.compile import assembly, host_isas, host_target, permit, portable_target
from wavejit.backends.llvm.isa import ISAS
from wavejit.backends.llvm.permission import tiles_permitted
from wavejit.backends.llvm.program import UnsupportedError, generate
from wavejit.backends.llvm.tiles import Tiles
from wavejit.ir.builder import Linear, StepBuilder, Tensor, affine, concatenate, tanh
from wavejit.ir.ops import Step
from wavejit.ir.target import Target
from wavejit.passes import lower
from wavejit.runtime.engine import Engine

NAME = next(isa.name for isa in ISAS.values() if isa.tiles)
INSTRUCTIONS = ("tileload", "tilestore", "tilezero", "tdpb", "ldtilecfg", "tilerelease")
TARGET = ISAS[NAME].target("x86_64-linux-gnu")

needs_tiles = pytest.mark.skipif(NAME not in ALL_ISAS, reason=f"needs a processor and a system with {NAME}")


@pytest.fixture
def tiled(monkeypatch: pytest.MonkeyPatch) -> Target:
    """A target of this machine whose tiles multiply every product of two streams, however small."""
    monkeypatch.setitem(ISAS, NAME, replace(ISAS[NAME], tiles=Tiles(least=2, smallest=0)))
    return host_target(NAME)


def integers(engine: Engine, x: np.ndarray) -> list[np.ndarray]:
    """What streams make together of a frame each."""
    streams = [engine.stream(stream=number) for number in range(len(x))]
    return engine.run_together(streams, 1, [frame[None].astype(np.float32) for frame in x])


@needs_tiles
@pytest.mark.parametrize("streams", [2, 5, 16, 17, 33])
@pytest.mark.parametrize(
    ("rows", "columns"), [(1, 8), (5, 63), (16, 64), (70, 65), (150, 133), (128, 640), (300, 1100)]
)
def test_sums_are_exact(tiled: Target, streams: int, rows: int, columns: int) -> None:
    """Whole numbers, as many tiles as they fill, and rows of other streams beside them."""
    weights, x = whole_numbers(rows + columns, rows, columns, "int8")
    engine = Engine(product(weights), tiled, precision="int8", streams=streams)
    assert "llvm.x86.tdpbusd" in engine.program.text
    signs = np.random.default_rng(streams).choice([-1, 1], (streams, columns))
    for found, frame in zip(integers(engine, x * signs), x * signs, strict=True):
        np.testing.assert_array_equal(found, weights @ frame)


@needs_tiles
@pytest.mark.parametrize("columns", [1000, 8192])
def test_the_most_extreme_rows(tiled: Target, columns: int) -> None:
    weights = np.full((35, columns), 127) * np.where(np.arange(35) % 2, -1, 1)[:, None]
    weights[2, ::2] = -127
    engine = Engine(product(weights), tiled, precision="int8", streams=16)
    assert "llvm.x86.tdpbusd" in engine.program.text
    x = np.full((16, columns), 127) * np.where(np.arange(16) % 3, -1, 1)[:, None]
    for found, frame in zip(integers(engine, x), x, strict=True):
        np.testing.assert_allclose(found, weights @ frame, rtol=1e-6)
        assert found.tobytes() == engine.stream().run(1, frame[None].astype(np.float32)).tobytes()


@needs_tiles
@pytest.mark.parametrize("size", [3, 32, 40, 64, 100])
def test_sums_of_several_runs(tiled: Target, size: int) -> None:
    """Terms with a scale for all and terms with one of their own, past ones and new ones, a bias and an addend."""
    rng = np.random.default_rng(size)
    s = StepBuilder("terms", 16000)
    x = s.condition("x", 2 * size, 3)
    state = s.state("h", size)

    def linear(name: str, columns: int, rows: int = size) -> Linear:
        weight = rng.standard_normal((rows, columns)).astype(np.float32) / np.sqrt(columns)
        return Linear(Tensor(name, weight.astype(np.float32)), Tensor(f"{name}.bias", weight[:, 0].copy()))

    gates = [tanh(x[:size]), tanh(x[size:])]
    h = tanh(affine(linear("a", 3 * size), concatenate(*gates, state)) + affine(linear("b", 2 * size), x))
    s.update("h", h)
    s.emit(affine(linear("c", size, 70), h) + affine(linear("d", 2 * size, 70), concatenate(h, state)))
    streams = Streams(Engine(s.step(), tiled, precision="int8", streams=MOST), MOST)
    for ticks, numbers in ((3, [0]), (20, [0, 1]), (1, [2, 1, 0]), (40, list(range(MOST)))):
        streams.advance(ticks, numbers)
    streams.assert_as_alone()


@needs_tiles
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(step=steps(), chunks=st.lists(CHUNKS, min_size=1, max_size=4))
def test_any_step_with_any_streams(tiled: Target, step: Step, chunks: list[tuple[int, list[int]]]) -> None:
    streams = Streams(Engine(step, tiled, precision="int8", streams=MOST), MOST)
    for ticks, numbers in chunks:
        streams.advance(ticks, numbers)
    streams.assert_as_alone()


@needs_tiles
@pytest.mark.parametrize("name", ["deepvoice-4-64-256", "wavernn-128"])
@pytest.mark.parametrize("streams", [4, 5, 16, 17, 33])
def test_networks(name: str, streams: int) -> None:
    """As they are compiled, with so many streams that tiles pay and with fewer."""
    running = Streams(Engine(load(name).step, host_target(NAME), precision="int8", streams=streams), streams)
    running.advance(30, list(range(streams)))
    running.advance(20, [streams - 1, 0])
    running.advance(7, list(range(streams)))
    running.assert_as_alone()


@needs_tiles
def test_others_are_compiled_without_tiles_where_that_is_asked_for() -> None:
    """The form without is another target, with code of its own in the cache."""
    step = load("deepvoice-4-64-256").step
    with_tiles, without = (
        Engine(step, host_target(name), precision="int8", streams=16) for name in (NAME, "avx512_vnni")
    )
    assert "llvm.x86.tdpbusd" in with_tiles.program.text
    assert "llvm.x86.tdpbusd" not in without.program.text
    made = [
        e.run_together([e.stream(1, i) for i in range(16)], 30, [np.zeros((1, e.frame_size), np.float32)] * 16)
        for e in (with_tiles, without)
    ]
    assert [chunk.tobytes() for chunk in made[0]] == [chunk.tobytes() for chunk in made[1]]


@needs_tiles
def test_several_threads_have_registers_and_memory_of_their_own() -> None:
    engine = Engine(load("deepvoice-4-64-256").step, host_target(NAME), precision="int8", streams=16)
    all_of_them = [Streams(engine, 16) for _ in range(3)]

    def run(streams: Streams) -> None:
        for _ in range(20):
            streams.advance(10, list(range(16)))

    threads = [threading.Thread(target=run, args=(streams,)) for streams in all_of_them]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for streams in all_of_them:
        streams.assert_as_alone()


# --------------------------------------------------------------------------- with and without a machine


def listing(streams: int, name: str = "deepvoice-4-64-256") -> str:
    step = lower(replace(load(name).step, precision="int8"), TARGET)
    return assembly(generate(step, TARGET, streams=streams).text, TARGET)


@pytest.mark.parametrize("streams", [1, 4])
def test_a_few_streams_need_no_tiles(streams: int) -> None:
    found = listing(streams)
    assert not any(instruction in found for instruction in INSTRUCTIONS)


def test_many_streams_use_tiles() -> None:
    """Each entry configures the registers once and releases them."""
    found = listing(16)
    assert all(instruction in found for instruction in INSTRUCTIONS)
    assert found.count("ldtilecfg") == found.count("tilerelease") == 1


def test_small_products_run_as_they_did() -> None:
    found = listing(16, "deepvoice-2-8-16")
    assert "tiles_int8_256x16_after_2" in found, "a part of the head"
    assert "tiles_int8_16x8" not in found, "a layer"


def test_where_the_system_does_not_permit_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "tiles_permitted", lambda: False)
    assert NAME not in [isa.name for isa in host_isas()]
    with pytest.raises(UnsupportedError, match=f"target is '{NAME}', expected one that this machine runs"):
        host_target(NAME)
    with pytest.raises(UnsupportedError, match=f"target is '{NAME}', expected one that this system permits"):
        permit(TARGET)
    permit(ISAS["avx512_vnni"].target("x86_64-linux-gnu"))


def test_the_system_is_asked_only_where_it_would_understand(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("sys.platform", "darwin"), ("platform.machine", lambda: "aarch64")):
        with monkeypatch.context() as patched:
            patched.setattr(name, value)
            assert not tiles_permitted.__wrapped__()


def test_object_files_name_no_instruction_set_that_makes_no_difference_to_them() -> None:
    assert portable_target(None).isa != NAME
    with pytest.raises(UnsupportedError, match=f"target is '{NAME}', expected an instruction set"):
        portable_target(NAME)
