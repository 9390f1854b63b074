"""Two threads share a tick: no schedule of theirs lets a task see what it would not see on one thread.

What a thread may rely on is only what its waits so far have told it. The other thread can be anywhere from there on, so
that a task is safe on every schedule if all that must be over before it, and is not, comes after it by the other's
waits: each pair of tasks that touch one place, one of them writing, is checked for that. No search is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cases import WIDE, compositions, families, long_term_predictor, sample_rnn, steps
from wavejit.ir.builder import StepBuilder, Tensor, tanh
from wavejit.ir.formats import FormatName
from wavejit.ir.graph import clocks
from wavejit.ir.layout import Region
from wavejit.ir.ops import Affine, Condition, Draw, Emit, Recall, Step, Upsample
from wavejit.ir.tasks import SLOW, Share, Task, interleaved, needs_of, shares_of, tasks_of
from wavejit.models import builtin
from wavejit.passes import lower

Place = tuple[Region, int]  # a region, and which slot of a ring
Shares = tuple[Share, Share]

PRECISIONS: tuple[FormatName, ...] = ("float32", "int8", "int16")


@dataclass(frozen=True)
class Event:
    """What a thread does between two of its waits, and what it can rely on by then.

    Attributes:
        thread: 0 or 1.
        done: the thread's progress when it is over.
        known: the progress of the other thread that its waits have shown.
    """

    thread: int
    done: int
    known: int
    what: str

    def ordered_after(self, before: Event) -> bool:
        return self.thread == before.thread or self.known >= before.done


@dataclass
class Trace:
    """The places touched so far, in the order of one thread."""

    step: Step
    broken: list[str] = field(default_factory=list[str])
    _writer: dict[Place, Event] = field(default_factory=dict[Place, Event])
    _readers: dict[Place, list[Event]] = field(default_factory=dict[Place, list[Event]])

    def touch(self, event: Event, reads: Iterator[Place], writes: Iterator[Place]) -> None:
        for place in reads:
            self._check(event, place, [self._writer[place]] if place in self._writer else [])
            self._readers.setdefault(place, []).append(event)
        for place in writes:
            before = [self._writer[place]] if place in self._writer else []
            self._check(event, place, before + self._readers.pop(place, []))
            self._writer[place] = event

    def _check(self, event: Event, place: Place, before: list[Event]) -> None:
        self.broken += [f"{event} meets {other} at {place}" for other in before if not event.ordered_after(other)]


def place(step: Step, region: Region, tick: int) -> Place:
    """Where the version of `tick` lies."""
    assert step.memory is not None
    kind, ref, _ = region
    return region, tick % step.memory.rings[ref].slots if kind == "past" else 0


def race(step: Step, shares: Shares, ticks: int) -> list[str]:
    """What two threads may do to each other in the first `ticks` ticks."""
    trace, order = Trace(step), [task.makes for task in tasks_of(step)]
    slow = {clock: tasks_of(step, clock) for clock in clocks(step) if clock > 1}
    thread_of = {task.makes: (thread, i) for thread, share in enumerate(shares) for i, task in enumerate(share.tasks)}
    known = [0, 0]

    def event(thread: int, tick: int, wait: int | None, done: int, what: object) -> Event:
        """A wait, and what follows it."""
        if wait is not None:
            known[thread] = max(known[thread], tick * shares[1 - thread].period + wait)
        return Event(thread, tick * shares[thread].period + done, known[thread], f"{what} in tick {tick}")

    for tick in range(ticks):
        for clock, tasks in slow.items():
            if tick % clock == 0:
                read = {(region, back) for task in tasks for region, back in task.reads if is_fast_past(step, region)}
                trace.touch(
                    event(0, tick, shares[0].wait_for_slow, 1, f"clock {clock}"),
                    (place(step, region, tick - back) for region, back in read),
                    iter([(SLOW, 0)]),
                )
        for makes in order:
            thread, i = thread_of[makes]
            task = shares[thread].tasks[i]
            trace.touch(
                event(thread, tick, shares[thread].waits[i], i + 2, makes),
                (place(step, region, tick - back) for region, back in task.reads),
                (place(step, region, tick) for region in task.writes),
            )
    return trace.broken


def is_fast_past(step: Step, region: Region) -> bool:
    """Whether a slower clock reads here what clock 1 remembers."""
    kind, ref, _ = region
    return kind == "past" and step.lines[ref].clock == 1


def actions(step: Step, shares: Shares, thread: int, ticks: int) -> Iterator[tuple[bool, int]]:
    """What one thread does in a chunk: waits for the other's progress (False), or publishes its own (True)."""
    share, other = shares[thread], shares[1 - thread]
    slow = [clock for clock in clocks(step) if clock > 1]
    for tick in range(ticks):
        if thread == 0 and share.wait_for_slow is not None and any(tick % clock == 0 for clock in slow):
            yield False, tick * other.period + share.wait_for_slow
        if thread == 0 and -1 in share.publishes:
            yield True, tick * share.period + 1
        for i, wait in enumerate(share.waits):
            if wait is not None:
                yield False, tick * other.period + wait
            if i in share.publishes:
                yield True, tick * share.period + i + 2
    yield (False, ticks * other.period) if thread == 0 else (True, ticks * share.period)


def finishes(step: Step, shares: Shares, ticks: int) -> bool:
    """Whether both threads come to their end when each sees only what the other publishes.

    Progress only grows: whether they do is the same on every schedule, so one is tried, where each runs as far as it
    may.
    """
    published, left = [0, 0], [list(actions(step, shares, thread, ticks))[::-1] for thread in (0, 1)]
    while any(left):
        moved = False
        for thread in (0, 1):
            while left[thread]:
                publishes, progress = left[thread][-1]
                if not publishes and published[1 - thread] < progress:
                    break
                if publishes:
                    assert progress >= published[thread], "progress never falls"
                    published[thread] = progress
                left[thread].pop()
                moved = True
        if not moved:
            return False
    return True


def lowered(step: Step, precision: FormatName) -> Step:
    return lower(replace(step, precision=precision), WIDE)


def enough(step: Step) -> int:
    """Ticks in which each clock has run several times."""
    return 3 * max(clock if clock < 16 else 1 for clock in clocks(step)) + 9


@settings(max_examples=40)
@given(step=steps(), precision=st.sampled_from(PRECISIONS))
def test_the_threads_that_are_assigned_neither_race_nor_wait_forever(step: Step, precision: FormatName) -> None:
    found = lowered(step, precision)
    shares = shares_of(found, found.threads)
    assert not race(found, shares, enough(found))
    assert finishes(found, shares, enough(found))


def any_threads(data: st.DataObject, step: Step) -> Mapping[Region, int]:
    """Any assignment that native code can run: frames on the first thread, draws on one, since they share scratch."""

    def thread_of(task: Task) -> int:
        match step.lines[task.ref].op if task.makes[0] == "value" else None:
            case Condition():
                return 0
            case Draw():
                return draws
            case _:
                return data.draw(threads)

    threads = st.integers(0, 1)
    draws = data.draw(threads)
    return {task.makes: thread_of(task) for task in tasks_of(step)}


@settings(max_examples=60)
@given(step=st.one_of(compositions(), families()), precision=st.sampled_from(PRECISIONS), data=st.data())
def test_whichever_thread_a_task_is_on(step: Step, precision: FormatName, data: st.DataObject) -> None:
    found = lowered(step, precision)
    shares = shares_of(found, any_threads(data, found))
    assert not race(found, shares, enough(found))
    assert finishes(found, shares, enough(found))


@settings(max_examples=30)
@given(thread=st.integers(0, 1), bits=st.integers(0))
def test_tiers_that_read_what_another_thread_drew(thread: int, bits: int) -> None:
    """Slower clocks run on the first thread, and wait for past samples where the second draws them."""
    step = lowered(sample_rnn().step, "float32")
    tasks = tasks_of(step)
    threads = {
        task.makes: thread if isinstance(step.lines[task.ref].op, Draw) else bits >> i & 1
        for i, task in enumerate(tasks)
    }
    shares = shares_of(step, threads)
    assert not race(step, shares, 40)
    assert finishes(step, shares, 40)


def all_that_may_be_recalled(step: Step, share: Share) -> Share:
    """The share with each lag between 1 and the longest among what its tasks read."""

    def widened(task: Task) -> Task:
        op = step.lines[task.ref].op if task.makes[0] == "value" else None
        if not isinstance(op, Recall):
            return task
        past: Region = ("past", op.of, "")
        return replace(task, reads=task.reads | {(past, ticks) for ticks in range(1, op.most + 1)})

    return replace(share, tasks=tuple(map(widened, share.tasks)))


@settings(max_examples=30)
@given(most=st.sampled_from((1, 2, 7, 8)), precision=st.sampled_from(PRECISIONS), data=st.data())
def test_no_lag_meets_what_the_other_thread_overwrites(most: int, precision: FormatName, data: st.DataObject) -> None:
    found = lowered(long_term_predictor(16, 3, most), precision)
    first, second = shares_of(found, any_threads(data, found))
    shares = all_that_may_be_recalled(found, first), all_that_may_be_recalled(found, second)
    assert not race(found, shares, 30)
    assert finishes(found, (first, second), 30)


@pytest.mark.parametrize("extreme", [1, 8])
def test_the_nearest_and_the_farthest_past_are_both_waited_for(monkeypatch: pytest.MonkeyPatch, extreme: int) -> None:
    """The first thread makes and remembers what the second recalls; without either extreme they meet."""
    s = StepBuilder("echo", 16000)
    lag = s.constant(Tensor("lag", np.full(1, 3, np.float32)))
    s.emit(s.recalled(tanh(s.condition("x", 4, 1)), lag, 8))
    found = lowered(s.step(), "float32")
    recalls = {ref for ref, line in found.lines.items() if isinstance(line.op, (Recall, Emit))}
    threads = {task.makes: int(task.ref in recalls) for task in tasks_of(found)}

    def without(step: Step, clock: int = 1) -> list[Task]:
        reads = {task.makes: task.reads for task in tasks_of(step, clock)}
        kept = {makes: {r for r in read if r[0][0] != "past" or r[1] != extreme} for makes, read in reads.items()}
        return [replace(task, reads=frozenset(kept[task.makes])) for task in tasks_of(step, clock)]

    def races() -> list[str]:
        first, second = (all_that_may_be_recalled(found, share) for share in shares_of(found, threads))
        return race(found, (first, second), 30)

    assert not races()
    monkeypatch.setattr("wavejit.ir.tasks.tasks_of", without)
    assert races()


def test_a_filter_on_the_clock_of_its_input_waits_for_its_past() -> None:
    s = StepBuilder("filter", 16000)
    s.emit(s.upsample(tanh(s.condition("x", 4, 1)), Tensor("taps", np.ones((1, 5), np.float32))))
    found = lowered(s.step(), "float32")
    (filtered,) = [task for task in tasks_of(found) if isinstance(found.lines[task.ref].op, Upsample)]
    past = {(region[0], back) for region, back in filtered.reads}
    assert past == {("value", 0), ("past", 1), ("past", 4)}
    for thread in (0, 1):
        threads = {task.makes: thread if task.makes[0] == "past" else 1 - thread for task in tasks_of(found)}
        assert not race(found, shares_of(found, threads), 20)


def named(name: str, precision: FormatName = "float32") -> Step:
    found = builtin(name)
    assert found is not None
    family, network = found
    return lowered(family.step(name, network, family.random_weights(network)), precision)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["deepvoice-6-64-256", "wavernn-512", "wavernn-896"])
def test_no_wait_is_there_for_nothing(name: str, precision: FormatName) -> None:
    step = named(name, precision)
    shares = shares_of(step, step.threads)
    assert not race(step, shares, 20)
    waits = [(thread, i) for thread in (0, 1) for i, wait in enumerate(shares[thread].waits) if wait is not None]
    assert waits
    for thread, i in waits:
        share = shares[thread]
        without = replace(share, waits=(*share.waits[:i], None, *share.waits[i + 1 :]))
        changed = (without, shares[1]) if thread == 0 else (shares[0], without)
        assert race(step, changed, 20), f"thread {thread} need not wait before {share.tasks[i].makes}"


def test_a_wait_one_task_short_is_a_race() -> None:
    step = named("deepvoice-6-64-256")
    shares = shares_of(step, step.threads)
    for thread, share in enumerate(shares):
        for i, wait in enumerate(share.waits):
            if wait is not None:
                short = replace(share, waits=(*share.waits[:i], wait - 1, *share.waits[i + 1 :]))
                assert race(step, (short, shares[1]) if thread == 0 else (shares[0], short), 20)


def test_what_is_never_published_is_waited_for_without_end() -> None:
    step = named("deepvoice-6-64-256")
    first, second = shares_of(step, step.threads)
    assert finishes(step, (first, second), 20)
    assert not finishes(step, (replace(first, publishes=frozenset[int]()), second), 20)
    assert not finishes(step, (first, replace(second, publishes=frozenset[int]())), 20)


@settings(max_examples=60)
@given(step=steps(), precision=st.sampled_from(PRECISIONS))
def test_what_is_put_between_keeps_the_order_of_what_it_needs(step: Step, precision: FormatName) -> None:
    found = lower(replace(step, precision=precision), WIDE)
    for clock in clocks(found):
        tasks = tasks_of(found, clock)
        order = interleaved(found, tasks)
        assert sorted(map(tasks.index, order)) == list(range(len(tasks)))
        for task, needs in zip(tasks, needs_of(found, tasks), strict=True):
            for other, back in needs:
                assert back or order.index(tasks[other]) < order.index(task)


def test_past_taps_run_while_the_layer_before_ends() -> None:
    """Each is ahead of its layer by one task: the residual product of the layer before."""
    family, network = builtin("deepvoice-6-64-256") or pytest.fail("a built-in network")
    found = lower(family.step("wavenet", network, family.random_weights(network)), WIDE)
    order = [task for task in interleaved(found, tasks_of(found)) if task.makes[0] == "value"]

    def weight(task: Task) -> str:
        loop = found.loops.get(task.ref)
        op = found.lines[loop.product if loop and loop.product is not None else task.ref].op
        return op.weights[0] if isinstance(op, Affine) else ""

    names = [weight(task).removesuffix(".weight") for task in order]
    for layer in range(1, 6):
        at = names.index(f"layers.{layer}.previous")
        assert names[at - 1] == f"layers.{layer - 1}.current"
        assert names[at + 1 : at + 3] == [f"layers.{layer - 1}.residual", f"layers.{layer}.current"]
