"""Products that draws read, cut in two and made where the whole lies."""

from __future__ import annotations

import pytest

from tests.cases import HOST_ISAS, WIDE, by_name, random_frames
from wavejit import load
from wavejit.backends.llvm.compile import host_target
from wavejit.backends.reference import Reference
from wavejit.ir.ops import Affine, Concatenate, Draw, Step
from wavejit.ir.tasks import made_in_place, tasks_of
from wavejit.runtime.engine import Engine


def drawn_from(step: Step) -> list[int]:
    return [line.op.parameters for line in step.lines.values() if isinstance(line.op, Draw)]


def test_the_output_of_a_wavenet_is_two_products() -> None:
    step = Engine(load("deepvoice-2-8-16").step, WIDE).step
    (logits,) = drawn_from(step)
    whole = step.lines[logits].op
    assert isinstance(whole, Concatenate)
    first, second = (step.lines[part] for part in whole.parts)
    assert isinstance(first.op, Affine)
    assert isinstance(second.op, Affine)
    assert first.size + second.size == 256
    assert first.size % (WIDE.lanes * WIDE.accumulators) == 0
    assert first.op.inputs == second.op.inputs


def test_they_are_made_in_place() -> None:
    step = Engine(load("deepvoice-2-8-16").step, WIDE).step
    (logits,) = drawn_from(step)
    assert step.memory is not None
    assert made_in_place(step, step.memory, logits)
    assert not any(task.ref == logits for task in tasks_of(step)), "nothing is left to do"
    (draw,) = (
        task for task in tasks_of(step) if isinstance(step.lines[task.ref].op, Draw) and task.makes[0] == "value"
    )
    op = step.lines[logits].op
    assert isinstance(op, Concatenate)
    assert {("value", part, "") for part in op.parts} <= {region for region, _ in draw.reads}


def test_what_one_tile_holds_stays_whole() -> None:
    """Parameters of a mixture: too few rows for two tiles."""
    step = Engine(load("wavegru-130").step, WIDE).step
    assert not any(isinstance(step.lines[ref].op, Concatenate) for ref in drawn_from(step))


@pytest.mark.parametrize("isa", HOST_ISAS)
@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_is_drawn(isa: str, threads: int) -> None:
    engine = Engine(load("deepvoice-2-8-16").step, host_target(isa), threads=threads)
    frames = random_frames(engine.source, 40)
    found = engine.stream(seed=3).run(40, frames)
    expected = Reference(engine.source, seed=3).run(40, by_name(engine.source, frames)).samples
    assert abs(found - expected).max() < 1e-5
