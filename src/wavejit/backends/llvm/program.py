"""From a lowered step to one LLVM module: `run` makes whole chunks of audio, `prime` takes frames ahead.

With two threads, `run_first` and `run_second` together do what `run` does alone, on the same memory. `run_many` does it
for several streams, task by task: the weights of a task come from far once, and for the other streams from the nearest
cache. All take a pointer to a `Request` (runtime/engine.py mirrors `REQUEST`), `run_many` to several.

A tick runs slower clocks first, each a function of its own, then clock 1 inside the loop; each operation is a call of a
kernel, and operations of one shape share it. Values lie where `plan_memory` put them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wavejit.backends.llvm.builder import F32, I64, PTR, Function, Type, Value
from wavejit.backends.llvm.functions import Accuracy
from wavejit.backends.llvm.kernels.tiled import Shape
from wavejit.backends.llvm.scope import Chunk, Module, Scope, Use, ticks_since
from wavejit.backends.llvm.tiles import Tiles
from wavejit.ir.graph import clocks
from wavejit.ir.layout import Memory, Packing
from wavejit.ir.lifetimes import Shared, shared
from wavejit.ir.ops import Condition, Ref, Step
from wavejit.ir.target import Target
from wavejit.ir.tasks import Share, Task, interleaved, shares_of, tasks_of

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

STREAMS_A_PASS = 16  # over the weights, at most: what more streams keep between two tasks leaves the near caches
MOST_SHARED = 64 * 1024  # elements of memory for values that several streams make and read in one tick: on the stack
AWAKE = 4  # streams, a power of two, that finish before the unit that multiplies tiles would fall asleep
LINES_AHEAD = 8  # of weights, for each stream: 8 KB for 16 of them, a part of the nearest cache


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
            functions.append(Many(self, streams).run_many(slow))
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
        room = Room(k, shared(self.step, interleaved(self.step, tasks_of(self.step)), 1, MOST_SHARED))
        with k.loop(request["ticks"], carry=[request["frames"]]) as loop:
            tick = k.load(counter, 0, I64, align=8)
            frames = loop.carried[0]
            for clock in slow:
                with k.when(self.begins(k, tick, clock)):
                    k.call_void(f"tick_{clock}", request["state"], request["weights"], frames, tick)
            scope = self.scope(k, request, tick, loop.index, frames, room.of_stream())
            scope.everything()
            loop.next(self.following_frame(k, tick, frames))
        return k

    def begins(self, k: Function, tick: Value, clock: int) -> Value:
        """Whether a slower clock ticks with this tick."""
        return ticks_since(k, tick, clock, self.target).equals(0)

    def scope(
        self,
        k: Function,
        request: dict[str, Value],
        tick: Value,
        index: Value,
        frames: Value | None,
        elsewhere: Callable[[Ref], Value | None] | None = None,
    ) -> Scope:
        """Clock 1, in the loop over the ticks of a chunk."""
        recorded = sum(self.step.lines[draw.parameters].size for draw in self.module.draws)
        scope = Scope(self.module, k, 1, request["state"], request["weights"], tick)
        scope.frame = frames if 1 in self.frame_clocks else None
        scope.chunk = Chunk(request, index, recorded)
        scope.elsewhere = elsewhere
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
        room = Room(k, shared(self.step, share.tasks, 1, MOST_SHARED, other.tasks))
        start = k.load(k.at(request["state"], self.memory.counters[1]), 0, I64, align=8)
        with k.loop(request["ticks"], carry=[request["frames"]]) as loop:
            tick, frames = start + loop.index, loop.carried[0]
            for clock in slow:
                with k.when(self.begins(k, tick, clock)):
                    progress.wait(loop.index, share.wait_for_slow)
                    k.call_void(f"tick_{clock}", request["state"], request["weights"], frames, tick)
            if -1 in share.publishes:
                progress.publish(loop.index, 1)
            scope = self.scope(k, request, tick, loop.index, frames, room.of_stream())
            self.work(scope, share, progress, loop.index)
            loop.next(self.following_frame(k, tick, frames))
        progress.wait(request["ticks"], 0)
        k.store(start + request["ticks"], k.at(request["state"], self.memory.counters[1]), align=8)
        return k

    def run_second(self, other: Share, share: Share) -> Function:
        """The other thread: its share of clock 1."""
        k = Function("run_second", [("request", PTR)], self.isa.lanes, linkage="")
        request = self.request(k)
        progress = Progress(k, request, self.memory, 1, share.period, other.period)
        room = Room(k, shared(self.step, share.tasks, 1, MOST_SHARED, other.tasks))
        start = k.load(k.at(request["state"], self.memory.counters[1]), 0, I64, align=8)
        with k.loop(request["ticks"]) as loop:
            scope = self.scope(k, request, start + loop.index, loop.index, None, room.of_stream())
            self.work(scope, share, progress, loop.index)
        progress.publish(request["ticks"], 0)
        return k

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


class Room:
    """Memory for values that one tick makes and reads, of one or several streams: the next values come to lie there."""

    def __init__(self, k: Function, shared: Shared) -> None:
        self._k, self._shared, self._start = k, shared, k.room(shared.size)

    def of_stream(self, number: Value | None = None) -> Callable[[Ref], Value | None]:
        """Where a value of that stream, or of the only one, lies, if it is one of them."""

        def found(ref: Ref) -> Value | None:
            if ref not in self._shared.places:
                return None
            of_first = self._k.at(self._start, self._shared.places[ref])
            return of_first if number is None else self._k.at(of_first, number * self._shared.strides[ref])

        return found


@dataclass(frozen=True)
class Tiled:
    """Products of many streams by tiles.

    Attributes:
        shapes: of those tasks that are such products, in order.
        inputs, sums: memory for the largest of them.
    """

    tiles: Tiles
    shapes: dict[Task, Shape]
    inputs: Value
    sums: Value


class Many:
    """Writes `run_many`.

    What a tick alone reads of a stream lies in memory that all tasks use again (`ir/lifetimes.py`). Products that tiles
    multiply do so for all streams at once, and then each stream finishes its own.
    """

    def __init__(self, generator: Generator, streams: int) -> None:
        self.generator, self.module, self.step, self.isa = generator, generator.module, generator.step, generator.isa
        self.k = k = Function("run_many", [("requests", PTR), ("count", I64)], self.isa.lanes, linkage="")
        self.first = generator.request(k, k["requests"])
        self.tasks = interleaved(self.step, tasks_of(self.step))
        self.room = Room(k, shared(self.step, self.tasks, min(streams, STREAMS_A_PASS), MOST_SHARED))
        self.products = [task for task in self.tasks if self.module.product_of(task)]
        self.tiled = self.by_tiles(streams)
        self.index = k.int64(0)  # of the tick in the chunk

    def run_many(self, slow: list[int]) -> Function:
        """`ticks` ticks of each of `count` streams, at most `STREAMS_A_PASS`; they may stand at different ticks.

        All of them read the weights of the first.
        """
        k, g = self.k, self.generator
        if self.tiled is not None:
            self.tiled.tiles.configure(k, k["count"])
        at_once = [task for task in self.tasks if task not in self.products[1:]]
        with k.loop(self.first["ticks"]) as chunk:
            self.index = chunk.index
            with k.loop(k["count"]) as each:
                request, tick = self.stream(each.index)
                for clock in slow:
                    with k.when(g.begins(k, tick, clock)):
                        k.call_void(f"tick_{clock}", request["state"], request["weights"], request["frames"], tick)
                g.scope(k, request, tick, self.index, None).fetch(at_once)
            for task in self.tasks:
                self.task(task)
            with k.loop(k["count"]) as each:
                request, tick = self.stream(each.index)
                g.scope(k, request, tick, self.index, None).count()
                k.store(g.following_frame(k, tick, request["frames"]), self.field(each.index, "frames"), align=8)
        if self.tiled is not None:
            self.tiled.tiles.release(k)
        return k

    def by_tiles(self, streams: int) -> Tiled | None:
        """What products by tiles need, where they may pay for so many streams."""
        tiles, shapes = self.isa.tiles, {task: self.module.tiled(task) for task in self.tasks}
        found = {task: shape for task, shape in shapes.items() if shape is not None}
        if tiles is None or streams < tiles.least or not found:
            return None
        inputs = self.k.room(max(shape.input_words for shape in found.values()))
        sums = self.k.room(max(shape.sum_words(self.isa) for shape in found.values()))
        return Tiled(tiles, found, inputs, sums)

    def task(self, task: Task) -> None:
        """A task of all streams: by tiles where there are enough, or as many at once as have room in registers."""
        k, shape = self.k, self.tiled.shapes.get(task) if self.tiled else None
        if self.tiled is None or shape is None:
            self.some_at_once(task)
            return
        with k.when(k["count"] < self.tiled.tiles.least):
            self.some_at_once(task)
        with k.when(k.int64(self.tiled.tiles.least - 1) < k["count"]):
            self.all_at_once(task, shape, self.tiled)

    def some_at_once(self, task: Task) -> None:
        """A task of all streams, of as many at once as have room in registers."""
        k, at_once = self.k, self.module.streams_at_once(task)
        alone = k.int64(0)  # the first stream that runs it for itself
        if at_once > 1:
            groups = k.emit(f"udiv i64 {k['count'].name}, {at_once}", I64)
            alone = groups * at_once
            with k.loop(groups) as each:
                number = each.index * at_once
                streams = [self.of_stream(number + i) for i in range(at_once)]
                streams[0].together(task, streams[1:])
                self.fetch_for_next(task, streams)
        with k.loop(k["count"] - alone) as each:
            stream = self.of_stream(alone + each.index)
            stream.task(task)
            self.fetch_for_next(task, [stream])

    def fetch_for_next(self, task: Task, streams: Sequence[Scope]) -> None:
        """Ask for what the product after this one reads of some streams: what all of them keep is in no near cache."""
        at = self.products.index(task) + 1 if task in self.products else len(self.products)
        for stream, product in itertools.product(streams, self.products[at : at + 1]):
            stream.fetch([product], least=1)
            stream.fetch_addends(product)

    def all_at_once(self, task: Task, shape: Shape, tiled: Tiled) -> None:
        """A product of all streams, by tiles."""
        k = self.k
        with k.loop(k["count"]) as each:
            self.of_stream(each.index).gather(task, shape, k.at(tiled.inputs, each.index * k.lanes))
        self.of_stream(k.int64(0)).multiply(task, shape, tiled.inputs, tiled.sums)
        with k.loop(k["count"]) as each:
            self.of_stream(each.index).finish(task, k.at(tiled.sums, each.index * k.lanes))
            self.prepare(task, tiled, each.index)

    def prepare(self, task: Task, tiled: Tiled, number: Value) -> None:
        """While a stream finishes a product: what the next one by tiles is going to want.

        That is a unit that is awake, a stream's share of the weights that it begins with, and what the next product
        reads of the stream. A stream finishes with what lies in the nearest cache: that is when other things can come.
        """
        k, order = self.k, list(tiled.shapes)
        with k.when((number & (AWAKE - 1)).equals(0)):
            tiled.tiles.stay_awake(k)
        following = order[(order.index(task) + 1) % len(order)]
        lines = min(LINES_AHEAD, tiled.shapes[following].weight_vectors(self.isa) // STREAMS_A_PASS)
        weights = k.at(self.first["weights"], self.module.weights_of(following))
        share = k.at(weights, number * (lines * k.lanes))
        for line in range(lines):
            k.fetch(k.at(share, line * k.lanes))
        self.fetch_for_next(task, [self.of_stream(number)])

    def stream(self, number: Value) -> tuple[dict[str, Value], Value]:
        """The request of one of the streams, and the tick that it has come to."""
        k, g = self.k, self.generator
        request = g.request(k, k.at(k["requests"], number * (EIGHT_BYTES * len(REQUEST)), "i8"))
        tick = k.load(k.at(request["state"], g.memory.counters[1]), 0, I64, align=8)
        return {**request, "weights": self.first["weights"]}, tick

    def of_stream(self, number: Value) -> Scope:
        """Clock 1 of one of the streams."""
        request, tick = self.stream(number)
        return self.generator.scope(self.k, request, tick, self.index, request["frames"], self.room.of_stream(number))

    def field(self, number: Value, name: str) -> Value:
        """Where a field of one of the requests is."""
        place = [field for field, _ in REQUEST].index(name)
        return self.k.at(self.k["requests"], number * (EIGHT_BYTES * len(REQUEST)) + place * EIGHT_BYTES, "i8")
