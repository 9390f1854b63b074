"""The operations of one clock, written into one function: each a call of a kernel on where its values lie."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

import numpy as np

from wavejit.backends.llvm.builder import F32, I32, I64, Function, Value
from wavejit.backends.llvm.clusters import Cluster, clusters
from wavejit.backends.llvm.functions import Accuracy
from wavejit.backends.llvm.isa import ISA, ISAS
from wavejit.backends.llvm.kernels.affine import AffineKernel, affine
from wavejit.backends.llvm.kernels.draw import draw, draw_name, uniforms
from wavejit.backends.llvm.kernels.elementwise import copy, elementwise, upsample
from wavejit.backends.llvm.kernels.quantise import quantise
from wavejit.ir.cost import Cost, line_cost
from wavejit.ir.formats import FORMATS, FormatName, nonzero_blocks, scale_groups
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
        self.clusters: dict[Ref, Cluster] = clusters(step)
        self.draws = [line.op for line in step.lines.values() if isinstance(line.op, Draw)]
        self.kernels: dict[str, Function] = {}
        self.uses: dict[str, Use] = {}

    def call(self, k: Function, clock: int, kernel: Function, arguments: tuple[Value, ...], cost: Cost) -> None:
        """Call a kernel, keeping one of each name, and note what it does."""
        self.kernels.setdefault(kernel.name, kernel)
        use = self.uses.setdefault(kernel.name, Use())
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

    def __init__(self, module: Module, k: Function, clock: int, state: Value, weights: Value, tick: Value) -> None:
        self.module, self.k, self.clock = module, k, clock
        self.state, self.weights, self.tick = state, weights, tick
        self.step, self.memory, self.packing = module.step, module.memory, module.packing
        self.addresses: dict[Ref, Value] = {}
        self.quantised: set[Ref] = set()  # inputs whose integers are made
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
                if ref in self.module.clusters:
                    cluster = self.module.clusters[ref]
                    inputs = [self.address(x) for x in cluster.inputs]
                    self.call(
                        elementwise(cluster.kernel, self.module.isa, self.module.accuracy), self.buffer(ref), *inputs
                    )
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
                assert self.frame is not None, "conditions are on the clock that the frame is given to"
                self.copy(self.buffer(ref), k.at(self.frame, self.conditions), line.size)
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
                since = ticks_since(k, self.tick, slower.clock // self.clock, self.module.target)
                return k.at(self.address(x), since * (slower.size // parts))
            case _:
                raise AssertionError(f"{show_operation(line.op)} is computed")

    def affine(self, ref: Ref, line: Line, op: Affine) -> None:
        """A product; inputs of one sum that lie one behind the other are read as one."""
        integer = FORMATS[op.format].limit > 0
        sizes = [self.step.lines[x].size for x in op.inputs]
        sums = scale_groups(op.full_scales, sizes) if integer else [range(len(op.inputs))]
        columns: list[tuple[int, ...]] = []
        inputs: list[Value] = []
        for terms in sums:
            runs: list[int] = []
            end: int | None = None
            for x in (op.inputs[i] for i in terms):
                size = self.step.lines[x].size
                start = self.memory.quantised[x] if integer else self.static(x)
                if start is not None and start == end and not op.block_rows:
                    runs[-1] += size
                else:
                    runs.append(size)
                    inputs.append(self.k.at(self.state, start) if start is not None else self.address(x))
                # In whole words only: a row is padded to words where a term ends.
                words, rest = divmod(size * (FORMATS[op.format].bytes if integer else 4), 4)
                end = None if start is None or rest or size % FORMATS[op.format].columns else start + words
            columns.append(tuple(runs))
        weights_of_terms = [self.step.weights[name] for name in op.weights]
        masks = (
            tuple(nonzero_blocks(term, op.block_rows, op.format) for term in weights_of_terms)
            if op.block_rows
            else None
        )
        kernel = AffineKernel(
            line.size, tuple(columns), op.bias is not None, len(op.addends), op.activation, op.format, masks
        )
        weights = self.k.at(self.weights, self.packing.affine[ref])
        addends = [self.address(x) for x in op.addends]
        if integer:
            for x, full_scale in zip(op.inputs, op.full_scales, strict=True):
                self.quantise(x, full_scale, op.format)
            addends += [self.scale(op.inputs[terms.start], op.full_scales[terms.start], op.format) for terms in sums]
        name, made = kernel.name, self.module.kernels
        function = made[name] if name in made else affine(kernel, self.module.isa, self.module.accuracy)
        self.call(function, weights, self.buffer(ref), *inputs, *addends, cost=line_cost(self.step, line))

    def quantise(self, x: Ref, full_scale: float, format: FormatName) -> None:
        """Make the integers of an input, once a tick."""
        if x in self.quantised:
            return
        self.quantised.add(x)
        k, measured = self.k, full_scale == 0
        kernel = quantise(self.step.lines[x].size, format, measured, self.module.isa)
        third = k.at(self.state, self.memory.scales[x]) if measured else k.constant(F32, full_scale)
        self.call(kernel, k.at(self.state, self.memory.quantised[x]), self.address(x), third)

    def scale(self, x: Ref, full_scale: float, format: FormatName) -> Value:
        """The scale of an input's integers."""
        if full_scale:
            return self.k.constant(F32, float(np.float32(full_scale) / np.float32(FORMATS[format].limit)))
        return self.k.load(self.state, self.memory.scales[x], F32)

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
            self.call(copy(size, self.module.isa), out, x)

    def call(self, kernel: Function, *arguments: Value, cost: Cost | None = None) -> None:
        self.module.call(self.k, self.clock, kernel, arguments, cost or Cost())
