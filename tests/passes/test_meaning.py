"""No pass changes what is heard: the reference gives the same before and after each, on drawn steps."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.cases import NARROW, WIDE, assert_close, reference_score, steps, values_of_run
from wavejit.ir.ops import Draw, Step
from wavejit.ir.verify import verify
from wavejit.passes import PIPELINE, lower

TICKS = 13


def heard(step: Step) -> dict:
    return values_of_run(reference_score(step, TICKS))


@pytest.mark.parametrize("target", [WIDE, NARROW], ids=["wide", "narrow"])
@settings(max_examples=40)
@given(step=steps())
def test_each_pass_preserves_what_is_heard(target, step: Step) -> None:
    wanted = heard(step)
    draws = [line.op.name for line in step.lines.values() if isinstance(line.op, Draw)]
    for rewrite in PIPELINE:
        step = rewrite.run(step, target)
        verify(step)
        assert_close(heard(step), wanted, 1e-5)
        found = [line.op.name for line in step.lines.values() if isinstance(line.op, Draw)]
        assert found == draws, f"{rewrite.name}: draws are numbered by their order"


@settings(max_examples=15)
@given(step=steps())
def test_lowering_twice_gives_the_same(step: Step) -> None:
    first, second = lower(step, WIDE), lower(step, WIDE)
    assert first.lines == second.lines
    assert first.packing is not None
    assert second.packing is not None
    assert first.packing.data.tobytes() == second.packing.data.tobytes()
    assert first.memory == second.memory
