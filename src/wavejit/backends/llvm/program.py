"""From a lowered step to one LLVM module: `run` makes whole chunks of audio, `prime` takes frames ahead.

Both take a pointer to a `Request` (runtime/engine.py mirrors `REQUEST`). A tick runs slower clocks first, each a
function of its own, then clock 1 inside the loop of `run`; each operation is a call of a kernel, and operations
of one shape share it. Values lie where `plan_memory` put them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

from wavejit.backends.llvm.builder import F32, I32, I64, PTR, Function, Type, Value
from wavejit.backends.llvm.clusters import Cluster, clusters
from wavejit.backends.llvm.functions import Accuracy
from wavejit.backends.llvm.isa import ISA, ISAS
from wavejit.backends.llvm.kernels.affine import AffineKernel, affine
from wavejit.backends.llvm.kernels.draw import draw, draw_name, uniforms
from wavejit.backends.llvm.kernels.elementwise import copy, elementwise, upsample
from wavejit.ir.cost import Cost, line_cost
from wavejit.ir.graph import clocks
from wavejit.ir.layout import Memory, Packing, Ring
from wavejit.ir.ops import (
    Affine,
    Categorical,
    Combine,
    Concatenate,
    Condition,
    Constant,
    Delayed,
    Draw,
    Emit,
    Greedy,
    Line,
    Lookup,
    Map,
    Phase,
    Ref,
    Slice,
    Step,
    Upsample,
)
from wavejit.ir.show import show_operation
from wavejit.ir.target import Target

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
)
EIGHT_BYTES = 8  # of each field


class UnsupportedError(ValueError):
    """A step that this backend cannot run; names what it cannot."""


@dataclass
class Use:
    """What a kernel does in a tick of clock 1: calls, and the cost of the operations that it runs."""

    calls: float = 0.0
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True)
class Program:
    """A module's text, and its kernels with their use."""

    text: str
    kernels: dict[str, Use]


def generate(step: Step, target: Target, accuracy: Accuracy = "exact") -> Program:
    """Write the module of a lowered step.

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
    return Generator(step, step.packing, step.memory, target, accuracy).program()


class Generator:
    """Writes the functions of one step."""

    def __init__(self, step: Step, packing: Packing, memory: Memory, target: Target, accuracy: Accuracy) -> None:
        self.step, self.packing, self.memory = step, packing, memory
        self.target = target
        self.accuracy: Accuracy = accuracy
        self.isa: ISA = ISAS[target.isa]
        self.clusters: dict[Ref, Cluster] = clusters(step)
        self.draws = [line.op for line in step.lines.values() if isinstance(line.op, Draw)]
        self.kernels: dict[str, Function] = {}
        self.uses: dict[str, Use] = {}

    def program(self) -> Program:
        slow = [clock for clock in clocks(self.step) if clock > 1]
        functions = [self.slow_tick(clock) for clock in slow] + [self.prime(), self.run(slow)]
        everything = [*self.kernels.values(), *functions]
        declarations = sorted(set().union(*(f.declarations for f in everything)))
        header = [
            f"; {self.step.name} for {self.target.describe()}",
            f'target triple = "{self.target.triple}"',
        ]
        texts = [f.text(self.isa.attributes) for f in everything]
        return Program("\n\n".join(["\n".join(header), "\n".join(declarations), *texts]) + "\n", self.uses)

    def run(self, slow: list[int]) -> Function:
        """`ticks` ticks of audio."""
        k = Function("run", [("request", PTR)], self.isa.lanes, linkage="")
        request = self.request(k)
        counter = k.at(request["state"], self.memory.counters[1])
        width = sum(line.size for line in self.step.lines.values() if isinstance(line.op, Condition))
        recorded = sum(self.step.lines[draw.parameters].size for draw in self.draws)
        with k.loop(request["ticks"], carry=[request["frames"]]) as loop:
            tick = k.load(counter, 0, I64, align=8)
            frames = loop.carried[0]
            for clock in slow:
                begins = self.phase(k, tick, clock).equals(0)
                with k.when(begins):
                    k.call_void(f"tick_{clock}", request["state"], request["weights"], frames)
                if clock in self.condition_clocks():
                    frames = k.select(begins, k.at(frames, width), frames)
            scope = Scope(self, k, 1, request["state"], request["weights"], tick)
            scope.chunk = Chunk(request, loop.index, recorded)
            scope.lines()
            loop.next(frames)
        return k

    def prime(self) -> Function:
        """Take `ticks` frames: what is on the frames' clock runs, and no audio is made."""
        k = Function("prime", [("request", PTR)], self.isa.lanes, linkage="")
        request = self.request(k)
        width = sum(line.size for line in self.step.lines.values() if isinstance(line.op, Condition))
        with k.loop(request["ticks"], carry=[request["frames"]]) as loop:
            for clock in self.condition_clocks():
                k.call_void(f"tick_{clock}", request["state"], request["weights"], loop.carried[0])
            loop.next(k.at(loop.carried[0], width))
        return k

    def slow_tick(self, clock: int) -> Function:
        """One tick of a slower clock."""
        parameters = [("state", PTR), ("weights", PTR), ("frame", PTR)]
        k = Function(f"tick_{clock}", parameters, self.isa.lanes)
        tick = k.load(k.at(k["state"], self.memory.counters[clock]), 0, I64, align=8)
        scope = Scope(self, k, clock, k["state"], k["weights"], tick)
        scope.frame = k["frame"]
        scope.lines()
        return k

    def request(self, k: Function) -> dict[str, Value]:
        return {
            name: k.load(k.at(k["request"], i * EIGHT_BYTES, "i8"), 0, type_, align=8)
            for i, (name, type_) in enumerate(REQUEST)
        }

    def condition_clocks(self) -> set[int]:
        return {line.clock for line in self.step.lines.values() if isinstance(line.op, Condition)} - {1}

    def phase(self, k: Function, tick: Value, clock: int) -> Value:
        """How many ticks after the last tick of `clock` this one is."""
        return k.emit(f"urem i64 {tick.name}, {clock}", I64)

    def call(self, k: Function, clock: int, kernel: Function, arguments: tuple[Value, ...], cost: Cost) -> None:
        """Call a kernel, keeping one of each name, and note what it does."""
        self.kernels.setdefault(kernel.name, kernel)
        use = self.uses.setdefault(kernel.name, Use())
        use.calls += 1 / clock
        use.cost += cost
        k.call_void(kernel.name, *arguments)


@dataclass
class Chunk:
    """Where the loop of `run` stands: what was asked for, the tick of the chunk, parameters recorded a tick."""

    request: dict[str, Value]
    index: Value
    recorded: int


class Scope:
    """The operations of one clock, written into one function."""

    chunk: Chunk | None = None  # of clock 1
    frame: Value | None = None  # of the conditions' clock

    def __init__(self, g: Generator, k: Function, clock: int, state: Value, weights: Value, tick: Value) -> None:
        self.g, self.k, self.clock = g, k, clock
        self.state, self.weights, self.tick = state, weights, tick
        self.step, self.memory, self.packing = g.step, g.memory, g.packing
        self.addresses: dict[Ref, Value] = {}
        self.conditions = 0  # elements of the frame read so far

    def lines(self) -> None:
        """All operations of this clock, then the copies into rings, then the counter."""
        mine = [(ref, line) for ref, line in self.step.lines.items() if line.clock == self.clock]
        for ref, line in mine:
            self.k.comment(f"%{ref} = {show_operation(line.op)}")
            self.line(ref, line)
        for ref, line in mine:
            if ref in self.memory.rings:
                self.copy(self.slot(self.memory.rings[ref], self.tick), self.address(ref), line.size)
        counter = self.k.at(self.state, self.memory.counters[self.clock])
        self.k.store(self.tick + 1, counter, align=8)

    def line(self, ref: Ref, line: Line) -> None:
        k = self.k
        match line.op:
            case Affine():
                self.affine(ref, line, line.op)
            case Map() | Combine():
                if ref in self.g.clusters:
                    cluster = self.g.clusters[ref]
                    inputs = [self.address(x) for x in cluster.inputs]
                    self.call(elementwise(cluster.kernel, self.g.isa, self.g.accuracy), self.buffer(ref), *inputs)
            case Concatenate(parts):
                at = 0
                for part in parts:
                    self.copy(k.at(self.buffer(ref), at), self.address(part), self.step.lines[part].size)
                    at += self.step.lines[part].size
            case Upsample():
                self.upsample(ref, line, line.op)
            case Draw():
                self.draw(ref, line.op)
            case Emit(x):
                if self.chunk is not None:
                    out = k.at(self.chunk.request["out"], self.chunk.index * line.size)
                    self.copy(out, self.address(x), line.size)
            case Condition():
                frame = self.frame if self.frame is not None else self.state
                self.copy(self.buffer(ref), k.at(frame, self.conditions), line.size)
                self.conditions += line.size
            case Constant() | Delayed() | Lookup() | Slice() | Phase():
                if ref in self.memory.buffers:  # another clock reads it
                    self.copy(self.buffer(ref), self.place(line), line.size)
                elif self.static(ref) is None:
                    self.addresses[ref] = self.place(line)
            case _:
                assert_never(line.op)

    def place(self, line: Line) -> Value:
        """Where a value lies that is not computed but only found."""
        k = self.k
        match line.op:
            case Constant(weight):
                return k.at(self.weights, self.packing.tensors[weight])
            case Lookup(table, index):
                row = k.load(self.address(index), 0, I32).convert("zext", "i64")
                table_at = k.at(self.weights, self.packing.tensors[table])
                return k.at(table_at, row * self.packing.table_stride[table])
            case Delayed(of, ticks):
                return self.past(of, ticks)
            case Slice(x, start):
                return k.at(self.address(x), start)
            case Phase(x, parts):
                slower = self.step.lines[x]
                since = self.g.phase(k, self.tick, slower.clock // self.clock)
                return k.at(self.address(x), since * (slower.size // parts))
            case _:
                raise AssertionError(f"{show_operation(line.op)} is computed")

    def affine(self, ref: Ref, line: Line, op: Affine) -> None:
        """Inputs that lie one behind the other are read as one."""
        columns: list[int] = []
        inputs: list[Value] = []
        end: int | None = None
        for x in op.inputs:
            size, start = self.step.lines[x].size, self.static(x)
            if start is not None and start == end:
                columns[-1] += size
            else:
                columns.append(size)
                inputs.append(self.address(x))
            end = None if start is None else start + size
        kernel = AffineKernel(line.size, tuple(columns), op.bias is not None, len(op.addends), op.activation)
        weights = self.k.at(self.weights, self.packing.affine[ref])
        addends = [self.address(x) for x in op.addends]
        name, made = kernel.name, self.g.kernels
        function = made[name] if name in made else affine(kernel, self.g.isa, self.g.accuracy)
        self.call(function, weights, self.buffer(ref), *inputs, *addends, cost=line_cost(self.step, line))

    def upsample(self, ref: Ref, line: Line, op: Upsample) -> None:
        k = self.k
        ratio = self.step.lines[op.x].clock // self.clock
        taps = self.step.weights[op.taps].shape[1]
        row = self.g.phase(k, self.tick, ratio) * taps
        filters = k.at(k.at(self.weights, self.packing.tensors[op.taps]), row)
        inputs = [self.address(op.x)] + [self.past(op.x, ago) for ago in range(1, taps)]
        kernel = upsample(line.size, taps, self.g.isa)
        self.call(kernel, self.buffer(ref), filters, *inputs, cost=line_cost(self.step, line))

    def draw(self, ref: Ref, op: Draw) -> None:
        k, chunk = self.k, self.chunk
        assert chunk is not None, "the verifier lets draws on clock 1 only"
        which = self.g.draws.index(op)
        is_class = isinstance(op.distribution, (Categorical, Greedy))
        size = self.step.lines[op.parameters].size
        out, scratch, parameters = (
            self.buffer(ref),
            k.at(self.state, self.memory.scratch),
            self.address(op.parameters),
        )
        stream = chunk.request["stream"].convert("trunc", "i32")
        number = k.constant(I32, which)
        self.call(uniforms(self.g.isa), scratch, self.tick, number, chunk.request["seed"], stream)
        sharpness = 1.0 / chunk.request["temperature"]
        name = draw_name(op.distribution, size)
        kernel = self.g.kernels.get(name) or draw(op.distribution, size, self.g.isa)
        self.call(kernel, out, parameters, scratch, sharpness)
        with k.when(chunk.request["forced"].differs_from_null()):
            forced = k.load(chunk.request["forced"], chunk.index * len(self.g.draws) + which, F32)
            k.store(forced.convert("fptosi", "i32") if is_class else forced, out)
        with k.when(chunk.request["parameters"].differs_from_null()):
            before = sum(self.step.lines[draw.parameters].size for draw in self.g.draws[:which])
            record = k.at(chunk.request["parameters"], chunk.index * chunk.recorded + before)
            recorder = self.g.kernels.setdefault(f"copy_{size}", copy(size, self.g.isa))
            k.call_void(recorder.name, record, parameters)  # not counted: only scoring takes this way

    def past(self, ref: Ref, ticks: int) -> Value:
        """Where the value lies that `ref` had `ticks` ticks of its clock ago."""
        ring, clock = self.memory.rings[ref], self.step.lines[ref].clock
        now = self.tick
        if clock != self.clock:
            now = self.k.load(self.k.at(self.state, self.memory.counters[clock]), 0, I64, align=8)
            now = now - 1 if clock > self.clock else now  # a slower clock has counted this tick already
        return self.slot(ring, now - ticks)

    def slot(self, ring: Ring, tick: Value) -> Value:
        base = self.k.at(self.state, ring.offset)
        return base if ring.slots == 1 else self.k.at(base, (tick & (ring.slots - 1)) * ring.stride)

    def address(self, ref: Ref) -> Value:
        """Where a value lies."""
        start = self.static(ref)
        return self.k.at(self.state, start) if start is not None else self.addresses[ref]

    def static(self, ref: Ref) -> int | None:
        """The element of the stream's memory where a value lies, if that is always the same."""
        op = self.step.lines[ref].op
        if ref in self.memory.buffers:
            return self.memory.buffers[ref]
        if isinstance(op, Slice):
            within = self.static(op.x)
            return None if within is None else within + op.start
        return None

    def buffer(self, ref: Ref) -> Value:
        return self.k.at(self.state, self.memory.buffers[ref])

    def copy(self, out: Value, x: Value, size: int) -> None:
        """Copy a value or a part of it; single elements inline."""
        if size == 1:
            self.k.store(self.k.load(x, 0, I32), out)
        else:
            self.call(copy(size, self.g.isa), out, x)

    def call(self, kernel: Function, *arguments: Value, cost: Cost | None = None) -> None:
        self.g.call(self.k, self.clock, kernel, arguments, cost or Cost())
