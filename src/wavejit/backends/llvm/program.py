"""From a lowered step to one LLVM module: `run` makes whole chunks of audio, `prime` takes frames ahead.

With two threads, `run_first` and `run_second` together do what `run` does alone, on the same memory. `run_many` does it
for several streams, task by task: the weights of a task come from far once, and for the other streams from the nearest
cache. All take a pointer to a `Request` (runtime/engine.py mirrors `REQUEST`), `run_many` to several.

A tick runs slower clocks first, each a function of its own, then clock 1 inside the loop; each operation is a call of a
kernel, and operations of one shape share it. Values lie where `plan_memory` put them.
"""

from __future__ import annotations

from dataclasses import dataclass

from wavejit.backends.llvm.builder import F32, I64, PTR, Function, Type, Value
from wavejit.backends.llvm.functions import Accuracy
from wavejit.backends.llvm.scope import Chunk, Module, Scope, Use, ticks_since
from wavejit.ir.graph import clocks
from wavejit.ir.layout import Memory, Packing
from wavejit.ir.ops import Condition, Step
from wavejit.ir.target import Target
from wavejit.ir.tasks import Share, interleaved, shares_of, tasks_of

REQUEST: tuple[tuple[str, Type], ...] = (
    ("state", PTR),  # one stream's memory
    ("weights", PTR),  # packed
    ("frames", PTR),  # float32, one row for each frame that begins in the chunk
    ("ticks", I64),  # to run; for `prime`, frames to take
    ("out", PTR),  # float32, samples_per_tick for each tick
    ("forced", PTR),  # float32, what each draw is to give, or null
    ("parameters", PTR),  # float32, where to write what each draw drew from, or null
    ("seed", I64),
    ("stream", I64),
    ("temperature", F32),
    ("yield_core", PTR),  # a function that lets another thread have this core, for two threads
)
EIGHT_BYTES = 8  # of each field


class UnsupportedError(ValueError):
    """A step that this backend cannot run; names what it cannot."""


@dataclass(frozen=True)
class Program:
    """A module's text, its kernels with their use, and the accuracy of its functions."""

    text: str
    kernels: dict[str, Use]
    accuracy: Accuracy


def generate(step: Step, target: Target, accuracy: Accuracy = "exact", threads: int = 1, streams: int = 1) -> Program:
    """Write the module of a lowered step: `run`, `prime`, and what two threads or several streams need.

    Raises:
        UnsupportedError: lanes, conditions on several clocks, or a step that was not lowered.
    """
    if step.lanes > 1:
        raise UnsupportedError(f"{step.name}: the llvm backend does not run lanes; the step has {step.lanes}")
    conditions = {line.clock for line in step.lines.values() if isinstance(line.op, Condition)}
    if len(conditions) > 1:
        raise UnsupportedError(
            f"{step.name}: the llvm backend runs conditions on one clock; the step has them on {sorted(conditions)}"
        )
    if step.packing is None or step.memory is None:
        raise UnsupportedError(f"{step.name}: the step has not been lowered")
    return Generator(step, step.packing, step.memory, target, accuracy).program(threads, streams)


SPINS = 2000  # without result before a thread offers its core to another; some microseconds


class Progress:
    """How two threads wait for each other: each counts what it has done where the other can see it."""

    def __init__(
        self, k: Function, request: dict[str, Value], memory: Memory, thread: int, period: int, other_period: int
    ) -> None:
        self._k, self._period, self._other_period = k, period, other_period
        self._mine, self._theirs = (k.at(request["state"], memory.progress[i]) for i in (thread, 1 - thread))
        self._long_waits = k.at(self._mine, 2)
        self._yield = request["yield_core"]
        self._seen = k.room(2)  # of the other's progress, so that what was seen is not asked for again
        k.store(k.int64(0), self._seen, align=8)

    def wait(self, tick: Value, offset: int | None) -> None:
        """Until the other thread has come so far in this tick (`ir/tasks.py`)."""
        k = self._k
        if offset is None:
            return
        target = tick * self._other_period + offset

        def waiting() -> Value:
            progress = k.load_acquire(self._theirs)
            k.store(progress, self._seen, align=8)
            return progress < target

        with k.when(k.load(self._seen, 0, I64, align=8) < target), k.spin(SPINS, waiting):
            k.store(k.load(self._long_waits, 0, I64, align=8) + 1, self._long_waits, align=8)
            k.call_address(self._yield)

    def publish(self, tick: Value, offset: int) -> None:
        """Tell the other thread how far this one is."""
        self._k.store_release(tick * self._period + offset, self._mine)


class Generator:
    """Writes the functions of one module."""

    def __init__(self, step: Step, packing: Packing, memory: Memory, target: Target, accuracy: Accuracy) -> None:
        self.step, self.memory, self.target = step, memory, target
        self.module = Module(step, packing, memory, target, accuracy)
        self.isa = self.module.isa
        conditions = [line for line in step.lines.values() if isinstance(line.op, Condition)]
        self.frame_size = sum(line.size for line in conditions)
        self.frame_clocks = {line.clock for line in conditions}

    def program(self, threads: int, streams: int) -> Program:
        slow = [clock for clock in clocks(self.step) if clock > 1]
        functions = [self.slow_tick(clock) for clock in slow] + [self.prime(), self.run(slow)]
        if threads > 1:
            first, second = shares_of(self.step, self.step.threads)
            functions += [self.run_first(slow, first, second), self.run_second(first, second)]
        if streams > 1:
            functions.append(self.run_many(slow))
        everything = [*self.module.kernels.values(), *functions]
        declarations = sorted(set().union(*(f.declarations for f in everything)))
        header = [
            f"; for {self.target.describe()}",
            f'target triple = "{self.target.triple}"',
        ]
        texts = [f.text(self.isa.attributes) for f in everything]
        text = "\n\n".join(["\n".join(header), "\n".join(declarations), *texts]) + "\n"
        return Program(text, self.module.uses, self.module.accuracy)

    def run(self, slow: list[int]) -> Function:
        """`ticks` ticks of audio."""
        k = Function("run", [("request", PTR)], self.isa.lanes, linkage="")
        request = self.request(k)
        counter = k.at(request["state"], self.memory.counters[1])
        with k.loop(request["ticks"], carry=[request["frames"]]) as loop:
            tick = k.load(counter, 0, I64, align=8)
            frames = loop.carried[0]
            for clock in slow:
                with k.when(self.begins(k, tick, clock)):
                    k.call_void(f"tick_{clock}", request["state"], request["weights"], frames, tick)
            scope = self.scope(k, request, tick, loop.index, frames)
            scope.everything()
            loop.next(self.following_frame(k, tick, frames))
        return k

    def begins(self, k: Function, tick: Value, clock: int) -> Value:
        """Whether a slower clock ticks with this tick."""
        return ticks_since(k, tick, clock, self.target).equals(0)

    def scope(self, k: Function, request: dict[str, Value], tick: Value, index: Value, frames: Value | None) -> Scope:
        """Clock 1, in the loop over the ticks of a chunk."""
        recorded = sum(self.step.lines[draw.parameters].size for draw in self.module.draws)
        scope = Scope(self.module, k, 1, request["state"], request["weights"], tick)
        scope.frame = frames if 1 in self.frame_clocks else None
        scope.chunk = Chunk(request, index, recorded)
        return scope

    def following_frame(self, k: Function, tick: Value, frames: Value) -> Value:
        """Where the frame lies that the next tick may need."""
        for clock in self.frame_clocks:
            frames = k.select(self.begins(k, tick, clock), k.at(frames, self.frame_size), frames)
        return frames

    def run_first(self, slow: list[int], share: Share, other: Share) -> Function:
        """One of two threads: the slower clocks and its share of clock 1; ends when both have."""
        k = Function("run_first", [("request", PTR)], self.isa.lanes, linkage="")
        request = self.request(k)
        progress = Progress(k, request, self.memory, 0, share.period, other.period)
        start = k.load(k.at(request["state"], self.memory.counters[1]), 0, I64, align=8)
        with k.loop(request["ticks"], carry=[request["frames"]]) as loop:
            tick, frames = start + loop.index, loop.carried[0]
            for clock in slow:
                with k.when(self.begins(k, tick, clock)):
                    progress.wait(loop.index, share.wait_for_slow)
                    k.call_void(f"tick_{clock}", request["state"], request["weights"], frames, tick)
            if -1 in share.publishes:
                progress.publish(loop.index, 1)
            self.work(self.scope(k, request, tick, loop.index, frames), share, progress, loop.index)
            loop.next(self.following_frame(k, tick, frames))
        progress.wait(request["ticks"], 0)
        k.store(start + request["ticks"], k.at(request["state"], self.memory.counters[1]), align=8)
        return k

    def run_second(self, other: Share, share: Share) -> Function:
        """The other thread: its share of clock 1."""
        k = Function("run_second", [("request", PTR)], self.isa.lanes, linkage="")
        request = self.request(k)
        progress = Progress(k, request, self.memory, 1, share.period, other.period)
        start = k.load(k.at(request["state"], self.memory.counters[1]), 0, I64, align=8)
        with k.loop(request["ticks"]) as loop:
            self.work(self.scope(k, request, start + loop.index, loop.index, None), share, progress, loop.index)
        progress.publish(request["ticks"], 0)
        return k

    def run_many(self, slow: list[int]) -> Function:
        """`ticks` ticks of each of `count` streams; they may stand at different ticks."""
        k = Function("run_many", [("requests", PTR), ("count", I64)], self.isa.lanes, linkage="")
        ticks = self.request(k, k["requests"])["ticks"]
        at_once = self.isa.streams
        groups = k.emit(f"udiv i64 {k['count'].name}, {at_once}", I64)
        with k.loop(ticks) as chunk:
            with k.loop(k["count"]) as each:
                request, tick = self.stream(k, each.index)
                for clock in slow:
                    with k.when(self.begins(k, tick, clock)):
                        arguments = request["state"], request["weights"], request["frames"], tick
                        k.call_void(f"tick_{clock}", *arguments)
                self.scope(k, request, tick, chunk.index, None).fetch(tasks_of(self.step))
            for task in interleaved(self.step, tasks_of(self.step)):
                alone = k.int64(0)  # the first stream that runs it for itself
                if self.module.streams_at_once(task) > 1:
                    alone = groups * at_once
                    with k.loop(groups) as each:
                        number = each.index * at_once
                        first, *others = (self.of_stream(k, number + i, chunk.index) for i in range(at_once))
                        first.together(task, others)
                with k.loop(k["count"] - alone) as each:
                    self.of_stream(k, alone + each.index, chunk.index).task(task)
            with k.loop(k["count"]) as each:
                request, tick = self.stream(k, each.index)
                self.scope(k, request, tick, chunk.index, None).count()
                k.store(self.following_frame(k, tick, request["frames"]), self.field(k, each.index, "frames"), align=8)
        return k

    def stream(self, k: Function, number: Value) -> tuple[dict[str, Value], Value]:
        """The request of one of several streams, and the tick that it has come to."""
        request = self.request(k, k.at(k["requests"], number * (EIGHT_BYTES * len(REQUEST)), "i8"))
        return request, k.load(k.at(request["state"], self.memory.counters[1]), 0, I64, align=8)

    def of_stream(self, k: Function, number: Value, index: Value) -> Scope:
        """Clock 1 of one of several streams."""
        request, tick = self.stream(k, number)
        return self.scope(k, request, tick, index, request["frames"])

    def field(self, k: Function, number: Value, name: str) -> Value:
        """Where a field of one of several requests is."""
        place = [field for field, _ in REQUEST].index(name)
        return k.at(k["requests"], number * (EIGHT_BYTES * len(REQUEST)) + place * EIGHT_BYTES, "i8")

    def work(self, scope: Scope, share: Share, progress: Progress, index: Value) -> None:
        """One thread's tasks of a tick."""
        scope.fetch(share.tasks)
        for i, task in enumerate(share.tasks):
            progress.wait(index, share.waits[i])
            scope.task(task)
            if i in share.publishes:
                progress.publish(index, i + 2)

    def prime(self) -> Function:
        """Take `ticks` frames: what is on the frames' clock runs, and no audio is made."""
        k = Function("prime", [("request", PTR)], self.isa.lanes, linkage="")
        request = self.request(k)
        tick = k.load(k.at(request["state"], self.memory.counters[1]), 0, I64, align=8)
        with k.loop(request["ticks"], carry=[request["frames"]]) as loop:
            for clock in self.frame_clocks - {1}:
                k.call_void(f"tick_{clock}", request["state"], request["weights"], loop.carried[0], tick)
            loop.next(k.at(loop.carried[0], self.frame_size))
        return k

    def slow_tick(self, clock: int) -> Function:
        """One tick of a slower clock, in the tick `now` of clock 1."""
        parameters = [("state", PTR), ("weights", PTR), ("frame", PTR), ("now", I64)]
        k = Function(f"tick_{clock}", parameters, self.isa.lanes)
        tick = k.load(k.at(k["state"], self.memory.counters[clock]), 0, I64, align=8)
        scope = Scope(self.module, k, clock, k["state"], k["weights"], tick)
        scope.frame, scope.now = k["frame"], k["now"]
        scope.everything()
        return k

    def request(self, k: Function, at: Value | None = None) -> dict[str, Value]:
        """The fields of a request; of the function's own, unless it is said where."""
        start = at or k["request"]
        return {
            name: k.load(k.at(start, i * EIGHT_BYTES, "i8"), 0, type_, align=8)
            for i, (name, type_) in enumerate(REQUEST)
        }
