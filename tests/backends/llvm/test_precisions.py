"""Every format of weights on every instruction set: sums exact, whole models equal to the reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.backends.cuda.kernels import FAMILIES
from tests.cases import (
    HOST_ISAS,
    by_name,
    families,
    random_draws,
    random_frames,
    values_of_run,
    values_of_score,
)
from wavejit.backends.llvm.builder import Function, Value
from wavejit.backends.llvm.compile import host_target
from wavejit.backends.llvm.isa import ISAS
from wavejit.backends.reference import Reference
from wavejit.ir.builder import Linear, StepBuilder, Tensor, affine, concatenate, gru, tanh, total
from wavejit.ir.formats import FORMATS, FormatName
from wavejit.ir.ops import Affine, Step
from wavejit.ir.target import Target
from wavejit.models import builtin
from wavejit.passes.choose_formats import MARGIN
from wavejit.runtime.calibrate import calibrated
from wavejit.runtime.engine import Engine

isas = pytest.mark.parametrize("isa", HOST_ISAS)
precisions = pytest.mark.parametrize("precision", [name for name in FORMATS if name != "float32"])
INTEGERS: list[FormatName] = [name for name in FORMATS if FORMATS[name].limit]
SCALED_BLOCKS: list[FormatName] = [name for name in INTEGERS if FORMATS[name].block_scales]
integers = pytest.mark.parametrize("precision", INTEGERS)
scaled_blocks = pytest.mark.parametrize("precision", SCALED_BLOCKS)


def product(weights: np.ndarray) -> Step:
    """A step that does nothing but multiply its frame."""
    s = StepBuilder("product", 16000)
    x = s.condition("x", weights.shape[1], 1)
    s.emit(affine(Linear(Tensor("w", weights.astype(np.float32))), x))
    return s.step()


def multiplied(weights: np.ndarray, x: np.ndarray, isa: str, precision: FormatName) -> np.ndarray:
    engine = Engine(product(weights), host_target(isa), precision=precision)
    assert any(isinstance(line.op, Affine) and line.op.format == precision for line in engine.step.lines.values())
    return engine.stream().run(1, x[None].astype(np.float32))


@isas
@integers
@settings(max_examples=15)
@given(data=st.data())
def test_integer_sums_are_exact(isa: str, precision: FormatName, data: st.DataObject) -> None:
    """Rows and inputs whose scales are 1 are their own integers: the sum must come out to the last bit."""
    rows, columns = data.draw(st.integers(1, 150)), data.draw(st.integers(8, 100))
    weights, x = whole_numbers(data.draw(st.integers(0, 999)), rows, columns, precision)
    np.testing.assert_array_equal(multiplied(weights, x, isa, precision), weights @ x)


def whole_numbers(seed: int, rows: int, columns: int, precision: FormatName) -> tuple[np.ndarray, np.ndarray]:
    """Weights and inputs that are their own integers: all scales are 1, as the largest weights meet inputs of 0."""
    limit, largest = FORMATS[precision].limit, FORMATS[FORMATS[precision].inputs].limit
    small = 90 if precision == "int16" else limit  # so that float32 holds the sum of all blocks
    rng = np.random.default_rng(seed)
    weights, x = rng.integers(-small, small + 1, (rows, columns)), rng.integers(-127, 128, columns)
    weights[:, 1], x[1] = 0, largest
    for start in range(0, columns, FORMATS[precision].block if FORMATS[precision].block_scales else columns):
        weights[:, start], x[start] = limit, 0
    return weights, x


def with_blocks_of_zeros(
    rows: int, columns: int, precision: FormatName, density: float
) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers of which about `density` of the blocks of 16 rows are kept."""
    weights, x = whole_numbers(rows, rows, columns, precision)
    unit = FORMATS[precision].unit
    kept = np.random.default_rng(1).random((-(-rows // 16), -(-columns // unit))) < density
    kept[:, 0] |= not FORMATS[precision].block_scales  # where the rows' scales come from
    return weights * kept.repeat(16, axis=0)[:rows].repeat(unit, axis=1)[:, :columns], x


@isas
@scaled_blocks
@settings(max_examples=15)
@given(data=st.data())
def test_each_block_has_its_own_scale(isa: str, precision: FormatName, data: st.DataObject) -> None:
    """Blocks of whole numbers times powers of two of their own: the sum comes out to the last bit."""
    rows, columns = data.draw(st.integers(1, 150)), data.draw(st.integers(8, 100))
    seed = data.draw(st.integers(0, 999))
    integers, x = whole_numbers(seed, rows, columns, precision)
    block = FORMATS[precision].block
    scales = 2.0 ** np.random.default_rng(seed).integers(-1, 2, (rows, -(-columns // block)))
    weights = integers * np.repeat(scales, block, axis=1)[:, :columns]
    np.testing.assert_array_equal(multiplied(weights, x, isa, precision), weights @ x)


@pytest.mark.parametrize("precision", [name for name in INTEGERS if FORMATS[name].inputs == "int8"])
@pytest.mark.parametrize("density", [1.0, 0.1])
def test_inputs_with_an_offset(monkeypatch: pytest.MonkeyPatch, precision: FormatName, density: float) -> None:
    """As for processors that multiply unsigned bytes by signed ones: the same sums, whatever this machine has."""
    plain = ISAS["generic"]

    def unsigned(k: Function, word: Value) -> tuple[Value, ...]:
        return tuple((word >> at) & 0xFF for at in range(0, 32, 8))

    monkeypatch.setitem(ISAS, "generic", replace(plain, dots=replace(plain.dots, offset8=128, inputs8=unsigned)))
    for rows, columns in ((5, 8), (70, 133), (64, 300)):
        weights, x = with_blocks_of_zeros(rows, columns, precision, density)
        engine = Engine(product(weights), host_target("generic"), precision=precision)
        sparse = [line.op.block_rows > 0 for line in engine.step.lines.values() if isinstance(line.op, Affine)]
        assert sparse == [density < 1] or rows == 5
        np.testing.assert_array_equal(engine.stream().run(1, x[None].astype(np.float32)), weights @ x)


@isas
@scaled_blocks
@pytest.mark.parametrize("size", [32, 40, 64])
def test_blocks_end_where_a_term_ends(isa: str, precision: FormatName, size: int) -> None:
    """Inputs that lie side by side, whole blocks or not: each term's blocks begin with the term."""
    rng = np.random.default_rng(size)
    s = StepBuilder("terms", 16000)
    x = s.condition("x", 3 * size, 1)
    parts = [tanh(x[i * size : (i + 1) * size]) for i in range(3)]
    weights = (rng.standard_normal((70, 3 * size)) * 10.0 ** rng.uniform(-2, 2, 3 * size)).astype(np.float32)
    s.emit(affine(Linear(Tensor("w", weights)), concatenate(*parts)))
    assert_agree_within_format(s.step(), host_target(isa), precision, 5)
    engine = Engine(s.step(), host_target(isa), precision=precision)
    frame = rng.standard_normal((1, 3 * size)).astype(np.float32)
    expected = Reference(engine.step).run(1, {"x": frame.astype(np.float64)}).samples
    np.testing.assert_allclose(engine.stream().run(1, frame), expected, atol=0.02 * np.abs(expected).max())


@isas
@integers
@pytest.mark.parametrize("columns", [64, 256, 1000, 8192])
@pytest.mark.parametrize("signs", ["same", "opposite", "alternating"])
def test_the_most_extreme_rows_do_not_overflow(isa: str, precision: FormatName, columns: int, signs: str) -> None:
    limit = FORMATS[precision].limit
    x = np.full(columns, FORMATS[FORMATS[precision].inputs].limit)
    weights = np.full((3, columns), limit if signs == "same" else -limit)
    if signs == "alternating":
        weights[:, ::2] = limit
    np.testing.assert_allclose(multiplied(weights, x, isa, precision), weights @ x, rtol=1e-6)


@isas
@precisions
@settings(max_examples=8)
@given(step=families(), ticks=st.integers(1, 25))
def test_families(isa: str, precision: FormatName, step: Step, ticks: int) -> None:
    assert_agree_within_format(step, host_target(isa), precision, ticks)


@isas
@precisions
@pytest.mark.parametrize("name", ["deepvoice-4-64-128", "wavernn-260", "wavegru-130"])
def test_builtin_networks(isa: str, precision: FormatName, name: str) -> None:
    found = builtin(name)
    assert found is not None
    family, network = found
    assert_agree_within_format(
        family.step(name, network, family.random_weights(network)), host_target(isa), precision, 30
    )


@isas
@pytest.mark.parametrize("precision", ["int8", "int16", "int4"])
@pytest.mark.parametrize("family", ["wavenet", "mel-wavernn"])
@pytest.mark.parametrize("shrunk", [1.0, 0.3])
def test_ranges_that_were_found(isa: str, precision: FormatName, family: str, shrunk: float) -> None:
    """With ranges as they are nothing is measured; with smaller ones much is clipped, to what the reference has."""
    step = FAMILIES[family]()
    frames = random_frames(step, 60)
    found = calibrated(step, frames, 60)
    ranges, clips = ({name: shrunk * x for name, x in known.items()} for known in (found.largest, found.clips))
    step = replace(step, ranges=ranges, clips=clips)
    lowered = Engine(step, host_target(isa), precision=precision).step
    products = [line.op for line in lowered.lines.values() if isinstance(line.op, Affine) and line.op.full_scales]
    assert all(scale > 0 for op in products for scale in op.full_scales)
    assert any(scale not in (0, 1) for op in products for scale in op.full_scales)
    assert_agree_within_format(step, host_target(isa), precision, 30)


@isas
@integers
@pytest.mark.parametrize("columns", [8, 64, 8192])
def test_what_is_beyond_its_range_is_clipped_and_nothing_overflows(
    isa: str, precision: FormatName, columns: int
) -> None:
    limit = FORMATS[precision].limit
    weights = np.full((3, columns), limit)
    weights[1] *= -1
    for x in (1e3, -1e3, 1e30, -3e38):
        step = replace(product(weights), ranges={"w": 2.0})
        engine = Engine(step, host_target(isa), precision=precision)
        found = engine.stream().run(1, np.full((1, columns), x, np.float32))
        np.testing.assert_allclose(found, weights @ np.full(columns, np.sign(x) * MARGIN * 2.0), rtol=1e-5)


def assert_agree_within_format(step: Step, target: Target, precision: FormatName, ticks: int) -> None:
    """Teacher-forced: as close as float32 in floating point; in integers an input at a tie may round either way."""
    engine = Engine(step, target, precision=precision)
    stream, reference = engine.stream(), Reference(engine.step)
    ahead = random_frames(step, step.lookahead * step.hop_length, 2)
    if len(ahead):
        stream.prime(ahead)
        reference.prime(by_name(step, ahead))
    frames, forced = random_frames(step, ticks), random_draws(step, ticks)
    found = values_of_score(stream.score(forced, frames if engine.frame_size else None))
    expected = values_of_run(reference.run(ticks, by_name(step, frames), forced.astype(np.float64)))
    format = FORMATS[precision]
    quantum = 1 / FORMATS[format.inputs].limit if format.limit else 1e-5
    for name, values in expected.items():
        error = np.abs(found[name] - values) / max(np.ptp(values), 1e-3)
        assert error.max() <= 6 * quantum, f"{name} differs by {error.max():.2g} of its range"
        assert np.median(error) <= quantum / 4


@precisions
def test_what_a_format_costs(precision: FormatName) -> None:
    """What a format costs, against float32 weights: bounded by its number of bits."""
    family, network = builtin("wavernn-64") or pytest.fail("a built-in network")
    step = family.step("wavernn-64", network, family.random_weights(network))
    forced = random_draws(step, 20)
    exact = Engine(step, host_target()).stream().score(forced).parameters["fine"]
    found = Engine(step, host_target(), precision=precision).stream().score(forced).parameters["fine"]
    error = np.abs(found - exact).max() / np.ptp(exact)
    bound = {"bfloat16": 1e-2, "float16": 1e-3, "int16": 1e-3, "mxint8": 3e-2, "int8": 3e-2, "int4": 0.2}[precision]
    assert 0 < error < bound


def test_a_state_between_gates_has_a_known_scale_and_a_residual_stream_does_not() -> None:
    rng = np.random.default_rng(0)

    def linear(name: str, outputs: int, inputs: int) -> Linear:
        return Linear(Tensor(name, rng.standard_normal((outputs, inputs)).astype(np.float32)))

    s = StepBuilder("bounds", 16000)
    x, h, r = s.condition("x", 16, 1), s.state("h", 16), s.state("r", 16)
    new = gru(linear("recurrent", 48, 16), linear("inputs", 48, 16), h, tanh(x))
    s.update("h", new)
    s.update("r", r + tanh(x))
    s.emit(affine(linear("out", 8, 32), concatenate(new, r)))
    step = Engine(replace(s.step()), host_target(), precision="int8").step
    scales = {
        name: scale
        for line in step.lines.values()
        if isinstance(line.op, Affine)
        for name, scale in zip(line.op.weights, line.op.full_scales, strict=True)
    }
    assert scales == {"recurrent": 1.0, "inputs": 1.0, "out[:,0:16]": 1.0, "out[:,16:32]": 0.0}


def test_a_sum_of_more_terms_than_one_integer_holds() -> None:
    """Seventeen terms of 8,192 inputs, all at full scale: together more than an int32 sum can be."""
    terms, columns = 17, 8192
    assert terms * columns * FORMATS["int8"].limit ** 2 > 2**31
    s = StepBuilder("many", 16000)
    x = tanh(s.condition("x", columns, 1))
    weight = np.ones((16, columns), np.float32)
    s.emit(total([affine(Linear(Tensor(f"w{i}", weight)), x) for i in range(terms)]))
    engine = Engine(s.step(), host_target(), precision="int8")
    found = engine.stream().run(1, np.full((1, columns), 20.0, np.float32))
    np.testing.assert_allclose(found, terms * columns, rtol=1e-5)


def test_bounds_that_grow_are_not_used() -> None:
    """A chain whose values meet twice at each link: its bound grows beyond float32, and must not take for ever."""
    s = StepBuilder("chain", 16000)
    h = tanh(s.condition("x", 16, 1))
    for _ in range(60):
        h = h + h * h
    s.emit(affine(Linear(Tensor("w", np.ones((8, 16), np.float32))), h))
    step = Engine(s.step(), host_target(), precision="int8").step
    assert [line.op.full_scales for line in step.lines.values() if isinstance(line.op, Affine)] == [(0.0,)]


@settings(max_examples=20)
@given(step=families())
def test_known_scales_hold(step: Step) -> None:
    """Whatever is drawn, no input of a product is beyond the scale that it is said to have."""
    lowered = Engine(step, host_target("generic"), precision="int8").step
    reference = Reference(lowered)
    ahead = random_frames(step, step.lookahead * step.hop_length, 2)
    if len(ahead):
        reference.prime(by_name(step, ahead))
    ticks_a_frame = max(1, step.hop_length // step.samples_per_tick)
    for tick in range(12):
        frames = random_frames(step, 1, tick) if tick % ticks_a_frame == 0 else random_frames(step, 0)
        reference.run(1, by_name(step, frames), random_draws(step, 1, tick).astype(np.float64))
        for line in lowered.lines.values():
            if isinstance(line.op, Affine):
                for x, scale in zip(line.op.inputs, line.op.full_scales, strict=False):
                    assert not scale or np.abs(reference.value(x)).max() <= scale * (1 + 1e-6)
