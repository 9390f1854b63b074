"""Values of many streams in memory that is used again: none lies where another is still to be read."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cases import WIDE, steps
from wavejit import load
from wavejit.ir.lifetimes import Shared, lifetimes, shared
from wavejit.ir.ops import Step
from wavejit.ir.tasks import interleaved, shares_of, tasks_of
from wavejit.passes import lower


@settings(max_examples=40)
@given(step=steps(), streams=st.integers(1, 16), most=st.sampled_from([0, 100, 5000, 10**6]))
def test_values_that_live_together_lie_apart(step: Step, streams: int, most: int) -> None:
    lowered = lower(step, WIDE)
    tasks = interleaved(lowered, tasks_of(lowered))
    found, lives = shared(lowered, tasks, streams, most), lifetimes(lowered, tasks)
    ends = {ref: start + streams * found.strides[ref] for ref, start in found.places.items()}
    assert max(ends.values(), default=0) == found.size <= most
    for ref, start in found.places.items():
        assert start % 16 == 0
        assert found.strides[ref] >= lowered.lines[ref].size
    for a, b in itertools.combinations(found.places, 2):
        together = lives[a].start < lives[b].stop and lives[b].start < lives[a].stop
        assert not together or ends[a] <= found.places[b] or ends[b] <= found.places[a]


@settings(max_examples=40)
@given(step=steps())
def test_a_value_lives_until_its_last_reader(step: Step) -> None:
    lowered = lower(step, WIDE)
    tasks = interleaved(lowered, tasks_of(lowered))
    for ref, life in lifetimes(lowered, tasks).items():
        assert tasks[life.start].ref == ref
        for i, task in enumerate(tasks):
            if (("value", ref, ""), 0) in task.reads:
                assert i in life


@settings(max_examples=40)
@given(step=steps())
def test_what_another_thread_reads_keeps_its_place(step: Step) -> None:
    lowered = lower(step, WIDE)
    first, second = shares_of(lowered, lowered.threads)
    for mine, others in ((first.tasks, second.tasks), (second.tasks, first.tasks)):
        places = shared(lowered, mine, 1, 10**6, others).places
        assert places.keys() <= {task.ref for task in mine}
        assert not places.keys() & {ref for task in others for (_, ref, _), _ in task.reads}


def test_most_of_a_threads_values_are_its_own() -> None:
    lowered = lower(replace(load("deepvoice-20-16-16").step, precision="int8"), WIDE)
    first, second = shares_of(lowered, lowered.threads)
    assert len(shared(lowered, first.tasks, 1, 10**6, second.tasks).places) > 20


def test_deeper_networks_take_no_more() -> None:
    """A layer's values take the places of those of the layers before."""
    found: list[Shared] = []
    for layers in (4, 20):
        lowered = lower(replace(load(f"deepvoice-{layers}-16-16").step, precision="int8"), WIDE)
        found.append(shared(lowered, interleaved(lowered, tasks_of(lowered)), 16, 10**6))
    assert len(found[1].places) >= len(found[0].places) + 2 * 16, "each layer has a past's product and a sum"
    assert found[0].size == found[1].size
