"""Two threads: Deep Voice's layout follows from the dependency graph, and each task has a thread."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cases import WIDE, steps
from wavejit.ir.cost import line_cost
from wavejit.ir.formats import PRECISIONS, FormatName
from wavejit.ir.ops import Affine, Condition, Draw, Emit, Step
from wavejit.ir.tasks import shares_of, tasks_of
from wavejit.models import builtin
from wavejit.passes import lower


def lowered(name: str, precision: FormatName = "float32") -> Step:
    found = builtin(name)
    assert found is not None
    family, network = found
    return lower(replace(family.step(name, network, family.random_weights(network)), precision=precision), WIDE)


def threads_of(step: Step, weight: str) -> list[int]:
    """The threads of the products that read weights of which the name contains `weight`, in order."""
    found: list[int] = []
    for makes, thread in sorted(step.threads.items(), key=lambda item: list(step.lines).index(item[0][1])):
        loop = step.loops.get(makes[1])
        op = step.lines[loop.product if loop and loop.product is not None else makes[1]].op
        if makes[0] == "value" and isinstance(op, Affine) and any(weight in name for name in op.weights):
            found.append(thread)
    return found


def weight_bytes(step: Step, thread: int) -> float:
    total = 0.0
    for makes, its in step.threads.items():
        if its == thread and makes[0] == "value":
            loop = step.loops.get(makes[1])
            total += line_cost(
                step, step.lines[loop.product if loop and loop.product is not None else makes[1]]
            ).weight_bytes
    return total


@settings(max_examples=40)
@given(step=steps(), precision=st.sampled_from(PRECISIONS))
def test_each_task_has_a_thread(step: Step, precision: FormatName) -> None:
    found = lower(replace(step, precision=precision), WIDE)
    tasks = tasks_of(found)
    assert set(found.threads) == {task.makes for task in tasks}
    assert set(found.threads.values()) <= {0, 1}
    first, second = shares_of(found, found.threads)
    assert sorted([*first.tasks, *second.tasks], key=tasks.index) == tasks
    draws = {found.threads[t.makes] for t in tasks if isinstance(found.lines[t.ref].op, Draw) and t.makes[0] == "value"}
    assert len(draws) <= 1, "draws share their scratch"
    frames = [t for t in tasks if isinstance(found.lines[t.ref].op, Condition) and t.makes[0] == "value"]
    assert all(found.threads[task.makes] == 0 for task in frames), "frames are given to the first thread"


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_one_thread_for_the_layers_and_one_behind_it(precision: FormatName) -> None:
    """Layers on one thread, most skips on the other."""
    step = lowered("deepvoice-40-64-256", precision)
    current, residual, skips = (threads_of(step, f".{name}.weight") for name in ("current", "residual", "skip"))
    assert (len(current), len(residual), len(skips)) == (40, 39, 6)
    assert current == [0] * 40
    assert residual == [0] * 39
    assert skips.count(1) >= 4


def test_what_is_heard_is_on_the_thread_that_draws() -> None:
    """The other begins the next tick meanwhile: with past taps, whose sums would be more to hand over than units."""
    step = lowered("deepvoice-40-64-256", "int8")
    ends = [t for t in tasks_of(step) if isinstance(step.lines[t.ref].op, (Draw, Emit))]
    assert {step.threads[task.makes] for task in ends} == {1}
    assert threads_of(step, ".previous.weight").count(0) >= 20
    assert set(threads_of(step, "head.weight") + threads_of(step, "out.weight")) == {1}


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_threads_of_deep_voice_read_about_as_much(precision: FormatName) -> None:
    step = lowered("deepvoice-40-64-256", precision)
    first, second = weight_bytes(step, 0), weight_bytes(step, 1)
    assert max(first, second) < 1.35 * min(first, second)


@pytest.mark.parametrize("name", ["wavernn-512", "wavernn-896"])
def test_the_threads_of_a_wavernn_read_about_as_much(name: str) -> None:
    """No single move leads here from one thread: a recurrent product is a third of all, and must go alone."""
    step = lowered(name, "int8")
    first, second = weight_bytes(step, 0), weight_bytes(step, 1)
    assert max(first, second) < 1.1 * min(first, second)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_recurrent_products_of_a_wavernn_are_on_both(precision: FormatName) -> None:
    step = lowered("wavernn-896", precision)
    coarse, fine = threads_of(step, "coarse.recurrent"), threads_of(step, "fine.recurrent")
    assert (len(coarse), len(fine)) == (1, 1)
    assert coarse != fine


def test_what_is_remembered_is_so_by_its_maker() -> None:
    step = lowered("deepvoice-6-64-256", "int8")
    for task in tasks_of(step):
        kind, ref, _ = task.makes
        if kind == "past":
            makers = {step.threads[t.makes] for t in tasks_of(step) if t.writes & {r for r, _ in task.reads}}
            assert makers <= {step.threads[task.makes]}, f"%{ref}"
