"""Loops at the end of products, and where the integers of values are made and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.backends.cuda.kernels import FAMILIES
from tests.cases import WIDE
from wavejit.backends.llvm.isa import ISAS
from wavejit.ir.builder import Linear, StepBuilder, Tensor, Value, affine, concatenate, lookup, sigmoid, tanh
from wavejit.ir.formats import FormatName
from wavejit.ir.graph import runs_ahead
from wavejit.ir.layout import Loop, Memory
from wavejit.ir.ops import Affine, Categorical, Combine, Delayed, Map, Recall, Slice, Step
from wavejit.ir.runs import Run, list_of, runs_of
from wavejit.passes import lower
from wavejit.passes.choose_formats import choose_formats
from wavejit.passes.fuse_elementwise import fuse_elementwise
from wavejit.passes.fuse_products import fuse_products
from wavejit.passes.plan_memory import plan_memory
from wavejit.runtime.reference import ANY_MACHINE

RNG = np.random.default_rng(0)


def layer(name: str, rows: int, columns: int) -> Linear:
    return Linear(Tensor(name, RNG.standard_normal((rows, columns)).astype(np.float32)))


def step(build: Callable[[StepBuilder], Value], precision: FormatName = "float32") -> Step:
    s = StepBuilder("tiny", 16000)
    s.emit(build(s))
    found = s.step()
    return choose_formats(replace(found, precision=precision), WIDE)


def loops(found: Step) -> list[Loop]:
    return list(fuse_elementwise(found, WIDE).loops.values())


def kinds(found: Step, loop: Loop) -> list[str]:
    """The functions of a loop's operations."""
    ops = [found.lines[ref].op for ref in loop.refs]
    return [op.function for op in ops if isinstance(op, (Map, Combine))]


# ------------------------------------------------------------------------------------------------ loops


def test_a_chain_is_one_loop() -> None:
    found = step(lambda s: tanh(s.condition("x", 4, 1)) * sigmoid(s.condition("y", 4, 1)))
    (loop,) = loops(found)
    assert kinds(found, loop) == ["tanh", "sigmoid", "multiply"]
    assert (loop.inputs, loop.product, loop.parts) == ((0, 2), None, ())


def test_gates_run_at_the_end_of_their_product() -> None:
    def build(s: StepBuilder) -> Value:
        both = affine(layer("W", 8, 3), s.condition("x", 3, 1))
        return tanh(both[0:4]) * sigmoid(both[4:8])

    found = step(build)
    (loop,) = loops(found)
    assert kinds(found, loop) == ["tanh", "sigmoid", "multiply"]
    assert isinstance(found.lines[loop.product or 0].op, Affine)
    assert (loop.inputs, len(loop.parts)) == ((), 2)


def test_parts_are_in_the_order_of_the_rows() -> None:
    def build(s: StepBuilder) -> Value:
        both = affine(layer("W", 8, 3), s.condition("x", 3, 1))
        second, first = both[4:8], both[0:4]
        return sigmoid(second) * tanh(first)

    found = step(build)
    (loop,) = loops(found)
    ops = [found.lines[part].op for part in loop.parts]
    assert [op.start for op in ops if isinstance(op, Slice)] == [0, 4]


@pytest.mark.parametrize("last", [7, 6])
def test_a_product_of_which_rows_are_left_over_lends_nothing(last: int) -> None:
    def build(s: StepBuilder) -> Value:
        both = affine(layer("W", 8, 3), s.condition("x", 3, 1))
        return tanh(both[0:3]) * sigmoid(both[last - 3 : last])

    assert [loop.product for loop in loops(step(build))] == [None]


def test_a_product_that_is_read_elsewhere_is_stored() -> None:
    def build(s: StepBuilder) -> Value:
        x = affine(layer("W", 4, 3), s.condition("x", 3, 1))
        return concatenate(tanh(x) + s.condition("y", 4, 1), x)

    found = step(build)
    (loop,) = loops(found)
    assert loop.product is None
    planned = plan_memory(fuse_elementwise(found, WIDE), WIDE)
    assert planned.memory is not None
    assert loop.inputs[0] in planned.memory.buffers


def test_a_value_inside_a_loop_that_is_read_elsewhere_ends_one_of_its_own() -> None:
    def build(s: StepBuilder) -> Value:
        inner = tanh(s.condition("x", 4, 1))
        return concatenate(sigmoid(inner), inner)

    found = step(build)
    assert [kinds(found, loop) for loop in loops(found)] == [["sigmoid"], ["tanh"]]


def test_loops_keep_to_one_size_and_one_clock() -> None:
    sizes = step(lambda s: sigmoid(tanh(s.condition("x", 4, 1))[0:2]))
    assert len(loops(sizes)) == 2
    clocks = step(lambda s: tanh(tanh(s.condition("x", 4, 1)) + slow(s)))
    assert sorted(kinds(clocks, loop) for loop in loops(clocks)) == [["tanh"], ["tanh", "add", "tanh"]]


def slow(s: StepBuilder) -> Value:
    with s.every(4):
        return tanh(s.constant(Tensor("c", np.ones(4, np.float32))))


def test_what_is_in_registers_has_no_place() -> None:
    def build(s: StepBuilder) -> Value:
        both = affine(layer("W", 8, 3), s.condition("x", 3, 1))
        return tanh(both[0:4]) * sigmoid(both[4:8])

    planned = plan_memory(fuse_elementwise(step(build), WIDE), WIDE)
    assert planned.memory is not None
    (loop,) = planned.loops.values()
    assert {loop.product, *loop.parts, *loop.refs[:-1]}.isdisjoint(planned.memory.buffers)
    assert loop.refs[-1] in planned.memory.buffers


# --------------------------------------------------------------------------------------------- integers


def recurrent(s: StepBuilder) -> Value:
    """A state that only its own next product reads, and is heard through another."""
    h = s.state("h", 16)
    new = tanh(affine(layer("R", 16, 16), h))
    s.update("h", new)
    return affine(layer("O", 2, 16), new)


def memory_of(found: Step) -> Memory:
    planned = lower(found, WIDE)
    assert planned.memory is not None
    return planned.memory


def test_a_past_that_only_integer_products_read_is_kept_as_integers() -> None:
    cases: tuple[tuple[FormatName, FormatName | None], ...] = (("int8", "int8"), ("int16", "int16"), ("float32", None))
    for precision, integers in cases:
        memory = memory_of(step(recurrent, precision))
        ((ref, ring),) = memory.rings.items()
        assert ring.integers == integers
        assert (ref in memory.buffers) == (integers is None), "floats are stored where something reads them"
        assert [place.by_maker for place in memory.integers.values()] == ([True] if integers else [])


def test_a_past_that_is_read_otherwise_too_is_kept_as_floats() -> None:
    def build(s: StepBuilder) -> Value:
        h = s.state("h", 16)
        new = tanh(affine(layer("R", 16, 16), h))
        s.update("h", new)
        return affine(layer("O", 2, 16), new) + h[0:2]

    memory = memory_of(step(build, "int8"))
    ((ref, ring),) = memory.rings.items()
    assert ring.integers is None
    assert ref in memory.buffers


def test_a_past_that_is_recalled_is_kept_as_floats() -> None:
    """Without it, two integer products would be the only readers of that past."""

    def build(s: StepBuilder) -> Value:
        h = s.state("h", 16)
        before = s.recalled("h", s.condition("lag", 1, 1), 5)
        s.update("h", tanh(affine(layer("R", 16, 16), h)))
        return affine(layer("O", 2, 16), before)

    found = lower(step(build, "int8"), WIDE)
    assert found.memory is not None
    (recall,) = [ref for ref, line in found.lines.items() if isinstance(line.op, Recall)]
    ((ref, ring),) = found.memory.rings.items()
    assert (ring.integers, ring.slots) == (None, 8)
    assert {ref, recall} <= set(found.memory.buffers)
    products = [line.op for line in found.lines.values() if isinstance(line.op, Affine)]
    assert [op.full_scales for op in products] == [(1.0,), (1.0,)], "what is recalled is bounded as what it was"
    assert (recall, "int8") in found.memory.integers


def test_integers_of_what_no_kernel_makes_are_made_by_its_first_reader() -> None:
    def build(s: StepBuilder) -> Value:
        return affine(layer("W", 4, 8), s.condition("x", 8, 1))

    memory = memory_of(step(build, "int8"))
    assert [place.by_maker for place in memory.integers.values()] == [False]


# ---------------------------------------------------------------------------------- products and runs


def test_what_waits_and_what_is_ahead_are_kept_apart() -> None:
    """WaveNet's tap of the past is worked out before the layer that waits for the last sample, and added to it."""

    def build(s: StepBuilder) -> Value:
        last = lookup(Tensor("E", np.ones((4, 16), np.float32)), s.drawn("k", 1, 4))
        x = tanh(last)
        total = affine(layer("P", 4, 16), s.delayed(x, 3)) + affine(layer("C", 4, 16), x)
        s.draw("k", Categorical(), total)
        return total

    fused = fuse_products(step(build), WIDE)
    ahead, waits = [line.op for line in fused.lines.values() if isinstance(line.op, Affine)]
    assert isinstance(fused.lines[ahead.inputs[0]].op, Delayed)
    assert (ahead.weights, waits.weights) == (("P",), ("C",))
    assert len(waits.addends) == 1


def runs(count: int, size: int, precision: FormatName = "float32", delayed: bool = False) -> list[list[Run]]:
    """The runs of one product with several inputs, each made by a tanh."""

    def build(s: StepBuilder) -> Value:
        xs = [tanh(s.condition(f"x{i}", size, 1)) for i in range(count)]
        xs += [s.delayed(xs[0], 1)] if delayed else []
        return affine(layer("W", 4, size * len(xs)), concatenate(*xs))

    lowered = lower(step(build, precision), WIDE)
    (op,) = [line.op for line in lowered.lines.values() if isinstance(line.op, Affine)]
    assert lowered.memory is not None
    return runs_of(lowered, lowered.memory, op)


def test_inputs_side_by_side_are_read_as_one() -> None:
    ((run,),) = runs(3, 16)
    assert (run.terms, run.steps) == ((0, 1, 2), (0, 16, 32))


def test_inputs_apart_are_read_one_by_one() -> None:
    (found,) = runs(2, 5)
    assert [run.terms for run in found] == [(0,), (1,)]


def test_a_past_value_is_a_run_of_its_own() -> None:
    (found,) = runs(2, 16, delayed=True)
    assert [run.terms for run in found] == [(0, 1), (2,)]
    assert found[0].start is not None
    assert found[1].start is None, "its slot changes from tick to tick"


def test_a_list_of_blocks_says_how_many_and_which() -> None:
    assert list_of([3, 7, 65535]).tolist() == [3, 3, 7, 65535]
    assert list_of([]).tolist() == [0]


@pytest.mark.parametrize("measures", [True, False])
@pytest.mark.parametrize("family", ["samplernn", "mel-wavernn"])
def test_products_on_a_slower_clock_get_a_format_as_others_do_or_that_of_what_runs_ahead(
    family: str, measures: bool
) -> None:
    found = replace(FAMILIES[family](), precision="int8")
    target = replace(WIDE, measures=measures, wide="bfloat16", fine="float16")
    waits = "int8" if measures else "bfloat16"
    formats: set[FormatName] = set()
    for ref, line in choose_formats(found, target).lines.items():
        if isinstance(line.op, Affine) and line.clock > 1:
            few_columns = min(found.lines[x].size for x in line.op.inputs) < 8
            wanted = "float16" if few_columns or ref in runs_ahead(found) else waits
            assert line.op.format == (wanted if line.size >= 64 or not few_columns else "float32")
            formats.add(line.op.format)
    assert formats - {"float32"} == ({waits} if family == "samplernn" else {"float16"})


@pytest.mark.parametrize(
    ("precision", "exceptions", "wanted"),
    [
        ("float32", (), "float32"),
        ("float32", (("out", "int8"),), "float32"),
        ("int8", (("upsample", "float32"),), "float16"),
        ("int8", (("", "float32"),), "float32"),
    ],
)
def test_what_runs_ahead_stays_float32_where_that_is_asked_for(
    precision: FormatName, exceptions: tuple[tuple[str, FormatName], ...], wanted: str
) -> None:
    asked = replace(FAMILIES["mel-wavernn"](), precision=precision, exceptions=exceptions)
    found = choose_formats(asked, replace(WIDE, fine="float16"))
    ops = [found.lines[ref].op for ref in runs_ahead(found)]
    formats = {op.format for op in ops if isinstance(op, Affine)}
    assert wanted in formats
    assert formats <= {wanted, "float32"}


@pytest.mark.parametrize(
    ("rows", "columns", "precision", "wanted"),
    [
        (64, 7, "int8", "float16"),
        (64, 1, "bfloat16", "float16"),
        (64, 7, "float32", "float32"),
        (63, 7, "int8", "float32"),
        (63, 8, "int8", "int8"),
    ],
)
def test_few_columns_are_not_worth_an_error(rows: int, columns: int, precision: FormatName, wanted: str) -> None:
    s = StepBuilder("narrow", 16000)
    x = s.state("x", columns)
    s.update("x", tanh(x))
    s.emit(affine(Linear(Tensor("W", np.ones((rows, columns), np.float32))), x))
    found = choose_formats(replace(s.step(), precision=precision), replace(WIDE, fine="float16"))
    (op,) = [line.op for line in found.lines.values() if isinstance(line.op, Affine) and line.op.weights == ("W",)]
    assert op.format == wanted


@pytest.mark.parametrize("precision", ["bfloat16", "int16", "int8"])
def test_what_runs_ahead_has_the_same_format_in_the_reference(precision: FormatName) -> None:
    found = replace(FAMILIES["mel-wavernn"](), precision=precision)
    of_targets = [
        {
            line.op.weights: line.op.format
            for line in lower(found, target).lines.values()
            if isinstance(line.op, Affine) and line.clock > 1
        }
        for target in (ANY_MACHINE, ISAS["avx2"].target("x86_64-unknown-linux-gnu"))
    ]
    assert of_targets[0] == of_targets[1]
    assert "float16" in of_targets[0].values()
