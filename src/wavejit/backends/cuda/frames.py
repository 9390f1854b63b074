"""The conditioning network's kernel: a block a stream, before each launch of the loop, for all its frames at once.

It does a few hundredths of the work and waits for nothing, so it is written to be short: each operation is done by the
whole block, and barriers lie between; weights are read from global memory, in float32.
"""

from __future__ import annotations

from math import gcd

from wavejit.backends.cuda.expressions import Expressions, applied
from wavejit.backends.cuda.graph import Graph, Task
from wavejit.backends.cuda.place import Places
from wavejit.backends.cuda.text import Text
from wavejit.ir.ops import Affine, Combine, Condition, Map, Ref
from wavejit.ir.show import show_line


class Frames:
    """Writes the kernel, and is the memory that its expressions read."""

    def __init__(self, graph: Graph, places: Places, text: Text) -> None:
        self.graph, self.places, self.text = graph, places, text
        self.elements = Expressions(graph, self)
        self.clocks = sorted({graph.lines[task.makes].clock for task in graph.ahead_tasks}, reverse=True)
        self.frame_clock = graph.frame_clock

    def count(self, ref: Ref) -> str:
        return f"count_{self.graph.lines[ref].clock}"

    def value(self, ref: Ref, ticks: str, index: str) -> str:
        return f"read({self.slot(ref, ticks)}, {index})"

    def slot(self, ref: Ref, ticks: str) -> str:
        """Where a value lies."""
        place, line = self.places.ahead[ref], self.graph.lines[ref]
        return f"state + 4ll * ({place.offset} + (({self.count(ref)} - {ticks}) & {place.slots - 1}u) * {line.size})"

    def past(self, ref: Ref, lag: str, index: str) -> str:
        return self.value(ref, lag, index)

    def label(self, ref: Ref, ticks: str) -> str:
        raise AssertionError("nothing is drawn ahead")

    def weight(self, name: str, index: str) -> str:
        return f"load_weight(weights + {self.places.global_tensors[name]} + 4ll * ({index}))"

    def frame(self, ref: Ref, index: str) -> str:
        before, _ = self.graph.part_of_frame(ref)
        return f"frame[{before} + {index}]"

    def phase(self, clock: int) -> str:
        return f"(word)(tick % {clock})"

    def write(self) -> None:
        """Write the functions of each clock, then the kernel."""
        text = self.text
        arguments = "const char* weights, char* state, const float* frame, long long tick"
        counts = ", ".join(f"word count_{clock}" for clock in self.clocks)
        for clock in self.clocks:
            with text.block(f"DEVICE inline void every_{clock}({arguments}, {counts})"):
                for task in self.graph.ahead_tasks:
                    if self.graph.lines[task.makes].clock == clock:
                        self._task(task)
            text()
        names = ", ".join(f"count_{clock}" for clock in self.clocks)
        width = sum(line.size for line in self.graph.lines.values() if isinstance(line.op, Condition))
        step = gcd(*self.clocks)
        with text.block("KERNEL void frames(const char* weights, const Request* requests, int ticks, int primed)"):
            text("const Request& r = requests[block_number()];")
            text("char* state = r.state + AHEAD;")
            text("const float* frame = r.frames;")
            with text.block("for (int n = 0; n < primed; ++n)"):
                text("const long long tick = r.tick;")
                for clock in self.clocks:
                    own = "(word)(r.primed + n)" if clock == self.frame_clock else "0"
                    text(f"const word count_{clock} = {own};")
                if self.frame_clock in self.clocks:
                    text(f"every_{self.frame_clock}(weights, state, frame, tick, {names});")
                text(f"frame += {width};")
            with text.block(
                f"for (long long tick = (r.tick + {step - 1}) / {step} * {step}; tick < r.tick + ticks; tick += {step})"
            ):
                for clock in self.clocks:
                    primed = " + r.primed" if clock == self.frame_clock else ""
                    text(f"const word count_{clock} = (word)(tick / {clock}{primed});")
                for clock in self.clocks:
                    text(f"if (tick % {clock} == 0) every_{clock}(weights, state, frame, tick, {names});")
                if self.frame_clock in self.clocks:
                    text(f"if (tick % {self.frame_clock} == 0) frame += {width};")
        text()

    def _task(self, task: Task) -> None:
        text, line = self.text, self.graph.lines[task.makes]
        text(f"// {show_line(task.makes, line)[:100]}")
        if task.product is None:
            with text.block(f"NOT_UNROLLED for (int o = thread(); o < {line.size}; o += block_threads())"):
                if task.makes in self.graph.loops:
                    result = self.elements.loop(task.makes, {}, "o", text)
                elif isinstance(line.op, (Map, Combine)):
                    result = self.elements.computed(task.makes, {}, "o")
                else:
                    result = self.elements.found(task.makes, "o")
                text(f"{self._store(task.makes, 'o')} = {result};")
        else:
            self._product(task)
        text("block_barrier();")

    def _product(self, task: Task) -> None:
        """A warp an output: lanes share the columns of its rows."""
        text = self.text
        assert task.product is not None
        op = self.graph.lines[task.product].op
        assert isinstance(op, Affine)
        with text.block(f"NOT_UNROLLED for (int o = thread() / 32; o < {task.outputs}; o += block_threads() / 32)"):
            parts: list[str] = []
            for part in range(task.parts):
                row = f"({part * task.outputs} + o)" if part else "o"
                text(f"float sum{part} = 0.0f;")
                for name, x in zip(op.weights, op.inputs, strict=True):
                    columns = self.graph.lines[x].size
                    value, ticks, start = self.graph.place_of(x)
                    given = self.value(value, str(ticks), f"{start} + n" if start else "n")
                    weight = self.weight(name, f"{row} * {columns} + n")
                    loop = f"NOT_UNROLLED for (int n = lane(); n < {columns}; n += 32)"
                    text(f"{loop} sum{part} += {weight} * {given};")
                text(f"sum{part} = sum_of_lanes(sum{part});")
                bias = "" if op.bias is None else f" + {self.weight(op.bias, row)}"
                total = f"sum{part}{bias}{self.elements.addends(op, row)}"
                text(f"const float p{part} = {applied(op.activation, total)};")
                parts.append(f"p{part}")
            elementwise = self.graph.loops.get(task.makes)
            if elementwise is not None and elementwise.product is not None:
                names = dict(zip(elementwise.parts, parts, strict=True))
                result = self.elements.loop(task.makes, names, "o", text)
                text(f"if (lane() == 0) {self._store(task.makes, 'o')} = {result};")
                return
            for part, name in enumerate(parts):
                at = f"{part * task.outputs} + o" if part else "o"
                text(f"if (lane() == 0) {self._store(task.makes, at)} = {name};")

    def _store(self, ref: Ref, index: str) -> str:
        return f"((volatile float*)({self.slot(ref, '0')}))[{index}]"
