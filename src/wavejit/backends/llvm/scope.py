"""The operations of one clock, written into one function: each a call of a kernel on where its values lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import assert_never

from wavejit.backends.llvm.builder import F32, I32, I64, Function, Type, Value
from wavejit.backends.llvm.functions import Accuracy
from wavejit.backends.llvm.isa import ISA, ISAS
from wavejit.backends.llvm.kernels.affine import affine
from wavejit.backends.llvm.kernels.affine_kernel import (
    AffineKernel,
    end_of,
    ends_elsewhere,
    streams_at_once,
    without_pattern,
)
from wavejit.backends.llvm.kernels.draw import draw, draw_name, uniforms
from wavejit.backends.llvm.kernels.elementwise import copy, elementwise, formula_of, upsample
from wavejit.backends.llvm.kernels.output import Output
from wavejit.backends.llvm.kernels.quantise import Integers, quantise
from wavejit.backends.llvm.kernels.tiled import Shape, gather, multiply, shape_of
from wavejit.ir.cost import Cost, line_cost
from wavejit.ir.formats import FORMATS, FormatName, input_factor, input_scale, one_known_scale
from wavejit.ir.layout import Integers as IntegerPlace
from wavejit.ir.layout import Loop, Memory, Packing, Ring
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
    Recall,
    Ref,
    Slice,
    Step,
    Upsample,
)
from wavejit.ir.runs import runs_of, value_place
from wavejit.ir.show import show_operation
from wavejit.ir.target import Target
from wavejit.ir.tasks import Task, interleaved, product_of, tasks_of

CACHE_LINE = 16  # elements
LONG_PAST = 512  # elements that are written between a value and its use: nothing else asks for it in time
MOST_FETCHED = 256  # elements of one value
VECTORS_INLINE = 4  # the longest copy that is no call
PIECES_INLINE = 16  # … of integers


@dataclass
class Use:
    """What a kernel does in a tick of clock 1: calls, and the cost of the operations that it runs."""

    calls: float = 0.0
    cost: Cost = field(default_factory=Cost)


class Module:
    """What the functions of one module share: the step, where its values lie, the kernels called so far."""

    def __init__(self, step: Step, packing: Packing, memory: Memory, target: Target, accuracy: Accuracy) -> None:
        self.step, self.packing, self.memory = step, packing, memory
        self.target = target
        self.accuracy: Accuracy = accuracy
        self.isa: ISA = ISAS[target.isa]
        self.draws = [line.op for line in step.lines.values() if isinstance(line.op, Draw)]
        self.kernels: dict[str, Function] = {}
        self.uses: dict[str, Use] = {}
        self._products: dict[tuple[AffineKernel, int, bool], Function] = {}

    def product_of(self, task: Task) -> tuple[Ref, Ref, Affine, Loop | None] | None:
        """The product that a task runs, if it does, and what it makes."""
        ref = product_of(self.step, task)
        op = self.step.lines[ref].op if ref is not None else None
        loop = self.step.loops.get(task.ref)
        return (ref, task.ref, op, loop) if ref is not None and isinstance(op, Affine) else None

    def streams_at_once(self, task: Task) -> int:
        """How many streams run a task at once."""
        found = self.product_of(task)
        return streams_at_once(found[2], self.isa) if found else 1

    def tiled(self, task: Task) -> Shape | None:
        """The shape of the product that a task runs, if tiles multiply it for many streams."""
        found = self.product_of(task)
        if found is None:
            return None
        ref, _, op, loop = found
        parts = len(loop.parts) if loop else 1
        return shape_of(op, self.step.lines[ref].size, parts, self.columns_of(op), self.isa)

    def columns_of(self, op: Affine) -> tuple[tuple[int, ...], ...]:
        """The columns of each run of a product's inputs, by the sum that it adds to."""
        runs = runs_of(self.step, self.memory, op)
        return tuple(tuple(sum(self.step.lines[op.inputs[i]].size for i in r.terms) for r in sums) for sums in runs)

    def weights_of(self, task: Task) -> int:
        """The element of all weights where those of the product that a task runs start."""
        found = self.product_of(task)
        assert found is not None, "the task runs one"
        return self.packing.affine[found[0]]

    def product(self, kernel: AffineKernel, streams: int, made: bool) -> Function:
        """The function of a product's kernel for so many streams at once, and for sums that are `made`."""
        key = kernel, streams, made
        if key not in self._products:
            self._products[key] = self._product(kernel, streams, made)
        return self._products[key]

    def _product(self, kernel: AffineKernel, streams: int, made: bool) -> Function:
        if streams > 1 or made or not ends_elsewhere(kernel, self.isa):
            return affine(kernel, self.isa, self.accuracy, streams, "of_tiles" if made else "own")
        end = affine(end_of(kernel), self.isa, self.accuracy, sums_are="given")
        self.kernels.setdefault(end.name, end)
        return affine(kernel, self.isa, self.accuracy, sums_are="passed_on", end=end.name)

    def call(self, k: Function, clock: int, kernel: Function, arguments: tuple[Value, ...], cost: Cost) -> None:
        """Call a kernel, keeping one of each name, and note what it does."""
        self.kernels.setdefault(kernel.name, kernel)
        use = self.uses.setdefault(without_pattern(kernel.name), Use())
        use.calls += 1 / clock
        use.cost += cost
        k.call_void(kernel.name, *arguments)


def ticks_since(k: Function, tick: Value, clock: int, target: Target) -> Value:
    """How many ticks after the last tick of `clock` this one is."""
    if target.divides_64_bits:
        return k.emit(f"urem i64 {tick.name}, {clock}", I64)

    # By long division, in digits so short that a remainder with a digit behind it has 32 bits.
    def remainder(x: Value) -> Value:
        return k.emit(f"urem i32 {x.name}, {clock}", I32)

    high, low = (tick >> 32).convert("trunc", "i32"), tick.convert("trunc", "i32")
    past, digit_bits, rest = remainder(high), 32 - clock.bit_length(), 32
    while rest:
        bits = min(digit_bits, rest)
        rest -= bits
        past = remainder((past << bits) | ((low >> rest) & ((1 << bits) - 1)))
    return past.convert("zext", "i64")


@dataclass(frozen=True)
class Product:
    """A product as one stream runs it.

    Attributes:
        ref: of the product.
        results, inputs, further: arguments of the kernel: where results go, where inputs lie, what comes behind them.
    """

    ref: Ref
    kernel: AffineKernel
    results: Sequence[Value]
    inputs: Sequence[Value]
    further: Sequence[Value]


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
    elsewhere: Callable[[Ref], Value | None] | None = None  # where a value lies that is not in the stream's memory
    now: Value | None = None  # the tick of clock 1, for slower clocks: two threads count it at the end of a chunk

    def __init__(self, module: Module, k: Function, clock: int, state: Value, weights: Value, tick: Value) -> None:
        self.module, self.k, self.clock = module, k, clock
        self.state, self.weights, self.tick = state, weights, tick
        self.step, self.memory, self.packing = module.step, module.memory, module.packing
        self.addresses: dict[Ref, Value] = {}

    def everything(self) -> None:
        """All tasks of this clock, then the counter."""
        tasks = interleaved(self.step, tasks_of(self.step, self.clock))
        self.fetch(tasks)
        for task in tasks:
            self.task(task)
        self.count()

    def fetch(self, tasks: Sequence[Task], least: int = LONG_PAST) -> None:
        """Ask for what tasks will read of a long past: weights have passed through the cache since it was written.

        Args:
            least: elements of a past that is long.
        """
        asked = {(region[1], back) for task in tasks for region, back in task.reads if region[0] == "past"}
        for ref, back in sorted(asked):
            ring = self.memory.rings[ref]
            if self.step.lines[ref].clock == self.clock and back * ring.stride >= least:
                slot = self.past(ref, back)
                for element in range(0, min(ring.stride, MOST_FETCHED), CACHE_LINE):
                    self.k.fetch(self.k.at(slot, element))

    def fetch_addends(self, task: Task) -> None:
        """Ask for what a product's sums will be added to, if it is not near anyway."""
        found = self.module.product_of(task)
        begun = [found[2].continues] if found and found[2].continues is not None else []
        for x in (*found[2].addends, *begun) if found else ():
            if self.elsewhere is None or self.elsewhere(x) is None:
                for element in range(0, min(self.step.lines[x].size, MOST_FETCHED), CACHE_LINE):
                    self.k.fetch(self.k.at(self.address(x), element))

    def count(self) -> None:
        """The tick is over."""
        self.k.store(self.tick + 1, self.k.at(self.state, self.memory.counters[self.clock]), align=8)

    def task(self, task: Task) -> None:
        """What one task does."""
        kind, ref, format = task.makes
        line = self.step.lines[ref]
        match kind:
            case "past":
                self.remember(ref, line, self.memory.rings[ref])
            case "integers":
                self.quantise(ref, next(name for name in FORMATS if name == format))
            case _:
                self.k.comment(f"%{ref} = {show_operation(line.op)}")
                self.line(ref, line)

    def remember(self, ref: Ref, line: Line, ring: Ring) -> None:
        """Copy a value into its ring, as floats or as integers with their scale."""
        slot = self.slot(ring, self.tick)
        if ring.integers is None:
            self.copy(slot, self.address(ref), line.size)
            return
        place = self.memory.integers[ref, ring.integers]
        self.copy_integers(slot, self.k.at(self.state, place.offset), line.size, FORMATS[ring.integers].bits)
        if not place.full_scale:
            scale = self.k.load(self.state, place.scale, I32)
            self.k.store(scale, slot, ring.stride - 1)

    def line(self, ref: Ref, line: Line) -> None:
        k = self.k
        match line.op:
            case Affine():
                self.affine(ref, ref, line.op)
            case Map() | Combine():
                self.loop(ref, self.step.loops[ref])
            case Concatenate(parts):
                at = 0
                for part in parts:
                    self.copy(k.at(self.buffer(ref), at), self.address(part), self.step.lines[part].size)
                    at += self.step.lines[part].size
            case Recall(of, lag, most):
                self.copy(self.buffer(ref), self.past(of, self.whole_lag(lag, most)), line.size)
            case Upsample():
                self.upsample(ref, line, line.op)
            case Draw():
                self.draw(ref, line.op)
            case Emit(x):
                if self.chunk is not None:
                    out = k.at(self.chunk.request["out"], self.chunk.index * line.size)
                    self.copy(out, self.address(x), line.size)
            case Condition():
                assert self.frame is not None, "conditions are on the clock that the frame is given to"
                self.copy(self.buffer(ref), k.at(self.frame, self.place_in_frame(ref)), line.size)
            case Constant() | Delayed() | Lookup() | Slice() | Phase():  # another clock reads it
                self.copy(self.buffer(ref), self.place(line), line.size)
            case _:
                assert_never(line.op)

    def place_in_frame(self, condition: Ref) -> int:
        """The element of a frame where a condition begins: a frame holds them in the step's order."""
        lines = self.step.lines
        before = list(lines)[: list(lines).index(condition)]
        return sum(lines[ref].size for ref in before if isinstance(lines[ref].op, Condition))

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
                since = ticks_since(k, self.tick, slower.clock // self.clock, self.module.target)
                return k.at(self.address(x), since * (slower.size // parts))
            case _:
                raise AssertionError(f"{show_operation(line.op)} is computed")

    def loop(self, ref: Ref, loop: Loop) -> None:
        """An elementwise loop, alone or at the end of its product."""
        if loop.product is not None:
            op = self.step.lines[loop.product].op
            assert isinstance(op, Affine), "a loop runs at the end of a product"
            self.affine(loop.product, ref, op, loop)
            return
        kernel = elementwise(formula_of(self.step, loop), self.output(ref), self.module.isa, self.module.accuracy)
        self.call(kernel, *self.results(ref), *(self.address(x) for x in loop.inputs))

    def affine(self, ref: Ref, result: Ref, op: Affine, loop: Loop | None = None) -> None:
        """A product and the loop at its end, which makes `result`."""
        self.call_product([self.product(ref, result, op, loop)])

    def together(self, task: Task, others: Sequence[Scope]) -> None:
        """A product of this stream and of others."""
        self.call_product([scope.product_of(task) for scope in (self, *others)])

    def gather(self, task: Task, shape: Shape, at: Value) -> None:
        """Copy the inputs of a product to this stream's row of its tiles."""
        gather(self.k, shape, self.product_of(task).inputs, at)

    def multiply(self, task: Task, shape: Shape, inputs: Value, sums: Value) -> None:
        """The sums of a product, of all streams whose inputs were gathered."""
        cost = line_cost(self.step, self.step.lines[self.product_of(task).ref])
        kernel = self.module.kernels.get(shape.name) or multiply(shape, self.module.isa)
        self.call(kernel, self.k.at(self.weights, self.module.weights_of(task)), inputs, sums, cost=cost)

    def finish(self, task: Task, sums: Value) -> None:
        """A product whose sums are made."""
        self.call_product([self.product_of(task)], sums)

    def product_of(self, task: Task) -> Product:
        """The product that a task runs."""
        found = self.module.product_of(task)
        assert found is not None, "the task runs one"
        return self.product(*found)

    def product(self, ref: Ref, result: Ref, op: Affine, loop: Loop | None) -> Product:
        """A product as this stream runs it; inputs that lie side by side are read as one."""
        inputs: list[Value] = []
        sums = runs_of(self.step, self.memory, op)
        for run in chain.from_iterable(sums):
            x = op.inputs[run.terms[0]]
            inputs.append(self.address(x) if run.start is None else self.k.at(self.state, run.start))
        columns = self.module.columns_of(op)
        sizes = [self.step.lines[x].size for x in op.inputs]
        one_scale = not FORMATS[op.format].block_scales and one_known_scale(op.full_scales, sizes)
        kernel = AffineKernel(
            self.output(result),
            tuple((0,) * len(runs) for runs in columns) if op.block_rows else columns,
            op.bias is not None,
            len(op.addends),
            op.activation,
            op.format,
            op.block_rows,
            op.by_fill,
            len(loop.parts) if loop else 1,
            formula_of(self.step, loop) if loop else None,
            one_scale,
            op.continues is not None,
            op.unfinished,
            self.pattern(ref) if op.written else b"",
        )
        begun = () if op.continues is None else (op.continues,)
        further = [self.address(x) for x in (*op.addends, *(loop.inputs if loop else ()), *begun)]
        if FORMATS[op.format].inputs != "float32" and not one_scale:
            further += [self.scale(op, runs[0].terms[0]) for runs in sums]
        return Product(ref, kernel, self.results(result), inputs, further)

    def pattern(self, ref: Ref) -> bytes:
        """The lists of a sparse product."""
        lists = self.packing.lists[ref]
        return self.packing.data[lists.start : lists.stop].tobytes()

    def call_product(self, streams: Sequence[Product], sums: Value | None = None) -> None:
        """Call a product's kernel with the arguments of one or several streams, and with the sums that are made."""
        ref, kernel = streams[0].ref, streams[0].kernel
        function = self.module.product(kernel, len(streams), sums is not None)
        read = [self.k.at(self.weights, self.packing.affine[ref])]
        if kernel.block_rows:
            read.append(self.k.at(self.weights, self.packing.lists[ref].start))
        if sums is not None:
            read.append(sums)
        cost = line_cost(self.step, self.step.lines[ref]) if sums is None else Cost()
        arguments = [(*s.results, *(s.inputs if sums is None else ()), *s.further) for s in streams]
        self.call(function, *read, *chain.from_iterable(arguments), cost=cost)

    def output(self, ref: Ref) -> Output:
        """What the kernel that makes a value stores of it."""
        return Output(self.step.lines[ref].size, ref in self.memory.buffers, self.integers(ref))

    def integers(self, ref: Ref) -> Integers | None:
        """The integers that the kernel that makes a value makes of it."""
        for (x, format), place in self.memory.integers.items():
            if x == ref and place.by_maker:
                return self.made(x, format, place)
        return None

    def made(self, x: Ref, format: FormatName, place: IntegerPlace) -> Integers:
        """What is made of a value for products of one format."""
        return Integers(self.step.lines[x].size, format, not place.full_scale, place.clipped)

    def results(self, ref: Ref) -> list[Value]:
        """Where a kernel stores a value: the arguments for its `Output`."""
        integers = self.integers(ref)
        found = [self.buffer(ref)] if ref in self.memory.buffers else []
        if integers is not None:
            found += self.integer_arguments(integers.format, self.memory.integers[ref, integers.format])
        return found

    def integer_arguments(self, format: FormatName, place: IntegerPlace) -> list[Value]:
        """Where integers of a format go, and where their scale goes, or the factor of the one that is known."""
        k = self.k
        known = k.constant(F32, float(input_factor(place.full_scale, format))) if place.full_scale else None
        return [k.at(self.state, place.offset), known or k.at(self.state, place.scale)]

    def quantise(self, x: Ref, format: FormatName) -> None:
        """The integers of a value whose maker does not make them."""
        place = self.memory.integers[x, format]
        kernel = quantise(self.made(x, format, place), self.module.isa)
        self.call(kernel, self.address(x), *self.integer_arguments(format, place))

    def scale(self, product: Affine, term: int) -> Value:
        """The scale of the integers of a product's input."""
        x, full_scale = product.inputs[term], product.full_scales[term]
        format = FORMATS[product.format].inputs
        if full_scale:
            return self.k.constant(F32, float(input_scale(full_scale, format)))
        place, op = self.memory.integers.get((x, format)), self.step.lines[x].op
        if place is not None:
            return self.k.load(self.state, place.scale, F32)
        assert isinstance(op, Delayed), "integers without a place are a past value's"
        return self.k.load(self.address(x), self.memory.rings[op.of].stride - 1, F32)

    def upsample(self, ref: Ref, line: Line, op: Upsample) -> None:
        k = self.k
        ratio = self.step.lines[op.x].clock // self.clock
        taps = self.step.weights[op.taps].shape[1]
        row = ticks_since(k, self.tick, ratio, self.module.target) * taps
        filters = k.at(k.at(self.weights, self.packing.tensors[op.taps]), row)
        inputs = [self.address(op.x)] + [self.past(op.x, ago) for ago in range(1, taps)]
        kernel = upsample(line.size, taps, self.module.isa)
        self.call(kernel, self.buffer(ref), filters, *inputs, cost=line_cost(self.step, line))

    def draw(self, ref: Ref, op: Draw) -> None:
        k, chunk = self.k, self.chunk
        assert chunk is not None, "the verifier lets draws on clock 1 only"
        which = self.module.draws.index(op)
        is_class = isinstance(op.distribution, (Categorical, Greedy))
        size = self.step.lines[op.parameters].size
        out, scratch, parameters = (
            self.buffer(ref),
            k.at(self.state, self.memory.scratch),
            self.address(op.parameters),
        )
        stream = chunk.request["stream"].convert("trunc", "i32")
        number = k.constant(I32, which)
        self.call(uniforms(self.module.isa), scratch, self.tick, number, chunk.request["seed"], stream)
        sharpness = 1.0 / chunk.request["temperature"]
        name = draw_name(op.distribution, size)
        kernel = self.module.kernels.get(name) or draw(op.distribution, size, self.module.isa)
        self.call(kernel, out, parameters, scratch, sharpness)
        with k.when(chunk.request["forced"].differs_from_null()):
            forced = k.load(chunk.request["forced"], chunk.index * len(self.module.draws) + which, F32)
            k.store(forced.convert("fptosi", "i32") if is_class else forced, out)
        with k.when(chunk.request["parameters"].differs_from_null()):
            before = sum(self.step.lines[draw.parameters].size for draw in self.module.draws[:which])
            record = k.at(chunk.request["parameters"], chunk.index * chunk.recorded + before)
            recorder = self.module.kernels.setdefault(f"copy_{size}", copy(size, self.module.isa))
            k.call_void(recorder.name, record, parameters)  # not counted: only scoring takes this way

    def whole_lag(self, lag: Ref, most: int) -> Value:
        """A lag as whole ticks from 1 to `most`, whatever it is: nothing outside of the ring is ever read."""
        k = self.k
        # In this order a lag that is not a number becomes 1; what is positive is rounded by cutting it off.
        held = k.minimum(k.maximum(k.constant(F32, 1.0), k.load(self.address(lag), 0, F32)), float(most))
        return (held + 0.5).convert("fptosi", "i32").convert("zext", "i64")

    def past(self, ref: Ref, ticks: Value | int) -> Value:
        """Where the value lies that `ref` had `ticks` ticks of its clock ago."""
        ring, clock = self.memory.rings[ref], self.step.lines[ref].clock
        now = self.tick
        if clock == 1 and self.now is not None:
            now = self.now
        elif clock != self.clock:
            now = self.k.load(self.k.at(self.state, self.memory.counters[clock]), 0, I64, align=8)
            now = now - 1 if clock > self.clock else now  # a slower clock has counted this tick already
        return self.slot(ring, now - ticks)

    def slot(self, ring: Ring, tick: Value) -> Value:
        base = self.k.at(self.state, ring.offset)
        return base if ring.slots == 1 else self.k.at(base, (tick & (ring.slots - 1)) * ring.stride)

    def address(self, ref: Ref) -> Value:
        """Where a value lies; what is only found elsewhere is found when it is first asked for."""
        if (found := self.elsewhere(ref) if self.elsewhere else None) is not None:
            return found
        start = self.static(ref)
        if start is not None:
            return self.k.at(self.state, start)
        if ref not in self.addresses:
            self.addresses[ref] = self.place(self.step.lines[ref])
        return self.addresses[ref]

    def static(self, ref: Ref) -> int | None:
        """The element of the stream's memory where a value lies, if that is always the same."""
        return value_place(self.step, self.memory, ref)

    def buffer(self, ref: Ref) -> Value:
        """Where a value goes."""
        if (found := self.elsewhere(ref) if self.elsewhere else None) is not None:
            return found
        return self.k.at(self.state, self.memory.buffers[ref])

    def copy(self, out: Value, x: Value, size: int) -> None:
        """Copy a value or a part of it; what is short, inline."""
        if size == 1:
            self.k.store(self.k.load(x, 0, I32), out)
        elif size % self.k.lanes == 0 and size <= VECTORS_INLINE * self.k.lanes:
            for at in range(0, size, self.k.lanes):
                self.k.store(self.k.load(x, at), out, at)
        else:
            self.call(copy(size, self.module.isa), out, x)

    def copy_integers(self, out: Value, x: Value, count: int, bits: int) -> None:
        """Copy integers in pieces as they were stored: a processor can pass those on before it has written them."""
        piece = Type(f"i{bits}", self.k.lanes)
        if count % piece.lanes == 0 and count <= PIECES_INLINE * piece.lanes:
            for at in range(0, count, piece.lanes):
                self.k.store(self.k.load(x, at, piece), out, at)
        else:
            self.copy(out, x, -(-count * bits // 32))

    def call(self, kernel: Function, *arguments: Value, cost: Cost | None = None) -> None:
        self.module.call(self.k, self.clock, kernel, arguments, cost or Cost())
