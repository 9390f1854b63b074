"""Full scales of the inputs of integer products: proven, found on data, or 0, which is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from tests.backends.cuda.kernels import FAMILIES, HOPPER
from tests.cases import WIDE, random_frames
from wavejit.ir.builder import Linear, StepBuilder, Tensor, Value, affine, relu, tanh
from wavejit.ir.formats import FormatName
from wavejit.ir.graph import users
from wavejit.ir.ops import Affine, Step
from wavejit.ir.verify import IRError, verify
from wavejit.passes import GPU_PIPELINE, lower
from wavejit.passes.choose_formats import MARGIN, choose_formats
from wavejit.passes.wanted import Wanted
from wavejit.runtime.calibrate import calibrated

SIZE = 8


def product(name: str, x: Value) -> Value:
    return affine(Linear(Tensor(name, np.ones((4, x.size), np.float32))), x)


def chosen(
    build: Callable[[StepBuilder, Value], Value],
    ranges: Mapping[str, float],
    clips: Mapping[str, float] | None = None,
    precision: FormatName = "int8",
    exceptions: tuple[tuple[str, FormatName], ...] = (),
) -> Step:
    s = StepBuilder("tiny", 16000)
    s.emit(build(s, s.condition("x", 2 * SIZE, 1)))
    step = replace(s.step(), ranges=ranges, clips=clips or {}, precision=precision, exceptions=exceptions)
    verify(step)
    return choose_formats(step, WIDE)


def scales(step: Step) -> dict[str, float]:
    """By a weight's name."""
    products = [line.op for line in step.lines.values() if isinstance(line.op, Affine)]
    return {name: scale for op in products for name, scale in zip(op.weights, op.full_scales, strict=True)}


def test_a_range_that_was_found_is_taken_with_a_margin() -> None:
    assert scales(chosen(lambda s, x: product("W", x), {"W": 3.0})) == {"W": MARGIN * 3.0}


@pytest.mark.parametrize("precision", ["int8", "mxint8", "int4"])
def test_inputs_of_8_bits_take_the_clip(precision: FormatName) -> None:
    assert scales(chosen(lambda s, x: product("W", x), {"W": 3.0}, {"W": 2.0}, precision)) == {"W": 2.0}
    assert scales(chosen(lambda s, x: product("W", x), {}, {"W": 2.0}, precision)) == {"W": 2.0}


def test_inputs_of_16_bits_keep_the_largest_magnitude() -> None:
    assert scales(chosen(lambda s, x: product("W", x), {"W": 3.0}, {"W": 2.0}, "int16")) == {"W": MARGIN * 3.0}
    assert scales(chosen(lambda s, x: product("W", x), {}, {"W": 2.0}, "int16")) == {"W": 0.0}


def test_a_value_has_one_scale_for_each_format_that_it_is_read_in() -> None:
    """The largest clip of all that read it in 8 bits or could, and its past; the largest range in 16 bits."""

    def build(s: StepBuilder, x: Value) -> Value:
        y = relu(x)
        return product("W", y) + product("V", y) + product("P", s.delayed(y, 3))

    ranges, clips = {"W": 3.0, "V": 3.0, "P": 4.0}, {"W": 1.0, "V": 2.0, "P": 1.5}
    found = chosen(build, ranges, clips, exceptions=(("V", "int16"),))
    assert scales(found) == {"W": 2.0, "V": MARGIN * 4.0, "P": 2.0}
    wanted = Wanted(found, users(found))
    products = [line.op for line in found.lines.values() if isinstance(line.op, Affine)]
    (y,) = [op.inputs[0] for op in products if "W" in op.weights]
    assert wanted.integers(y) == {"int8": 2.0, "int16": MARGIN * 4.0}
    assert scales(chosen(build, ranges, {"W": 1.0})) == dict.fromkeys("WVP", MARGIN * 4.0), "two have no clip"


def test_what_is_proven_needs_no_clip() -> None:
    assert scales(chosen(lambda s, x: product("W", tanh(x)), {"W": 0.5}, {"W": 0.4})) == {"W": 1.0}


def test_what_has_no_range_is_measured() -> None:
    found = chosen(lambda s, x: product("W", x) + product("V", relu(x)), {"V": 3.0, "other": 2.0})
    assert scales(found) == {"W": 0.0, "V": MARGIN * 3.0}


def test_what_is_proven_needs_no_range() -> None:
    assert scales(chosen(lambda s, x: product("W", tanh(x)), {"W": 0.5})) == {"W": 1.0}


def test_a_value_has_one_scale_for_all_that_read_it_its_parts_or_its_past() -> None:
    def build(s: StepBuilder, x: Value) -> Value:
        y = relu(x)
        past = s.delayed(y, 3)
        return product("W", y) + product("V", y) + product("P", past) + product("S", past[0:SIZE])

    found = chosen(build, {"W": 3.0, "P": 4.0, "S": 2.0})
    assert scales(found) == dict.fromkeys("WVPS", MARGIN * 4.0)
    wanted = Wanted(found, users(found))
    products = [line.op for line in found.lines.values() if isinstance(line.op, Affine)]
    (y,) = [op.inputs[0] for op in products if "W" in op.weights]
    assert wanted.integers(y) == {"int8": MARGIN * 4.0}


@pytest.mark.parametrize(("largest", "expected"), [(5.0, MARGIN * 5.0), (0.1, 1.0)])
def test_what_is_proven_joins_what_was_found_of_the_same_value(largest: float, expected: float) -> None:
    """A tanh whose past is something else before the first tick."""

    def build(s: StepBuilder, x: Value) -> Value:
        h = s.state("h", 2 * SIZE, 5.0)
        new = tanh(x)
        s.update("h", new)
        return product("N", new) + product("P", h)

    assert scales(chosen(build, {"P": largest})) == {"N": expected, "P": expected}
    assert scales(chosen(build, {"N": largest})) == {"N": 1.0, "P": 0.0}


def test_a_state_that_is_nothing_but_its_own_past() -> None:
    def build(s: StepBuilder, x: Value) -> Value:
        h = s.state("h", SIZE, 2.0)
        s.update("h", h)
        return product("W", h)

    assert scales(chosen(build, {})) == {"W": 0.0}
    assert scales(chosen(build, {"W": 2.0})) == {"W": MARGIN * 2.0}


def test_a_gpu_multiplies_integers_where_ranges_were_found() -> None:
    """But for what is drawn from, which is worth more bits."""
    found = replace(FAMILIES["wavenet"](), precision="int8")
    ranges = calibrated(found, random_frames(found, 40), 40)

    def wide(step: Step) -> set[str]:
        lines = lower(step, HOPPER.target, passes=GPU_PIPELINE).lines.values()
        products = [line.op for line in lines if isinstance(line.op, Affine)]
        return {name for op in products if op.format == "float16" for name in op.weights}

    assert wide(found) > {"head.weight", "layers.1.current.weight", "out.weight"}
    assert wide(replace(found, ranges=ranges.largest)) == {"out.weight"}
    assert wide(replace(found, ranges=ranges.largest, clips=ranges.clips)) == {"out.weight"}


@pytest.mark.parametrize("largest", [0.0, -1.0, 1e-31, 1e31, float("nan"), float("inf")])
@pytest.mark.parametrize(("field", "word"), [("ranges", "range"), ("clips", "clip")])
def test_a_range_that_cannot_be_is_refused(field: str, word: str, largest: float) -> None:
    found = chosen(lambda s, x: product("W", x), {})
    with pytest.raises(IRError, match=rf"tiny: the {word} of the input of W is .*, expected 1e-30 to 1e\+30"):
        verify(replace(found, **{field: {"W": largest}}))
