"""What a team's expressions read, and where it lies: shared memory, a past in global memory, what has run ahead."""

from __future__ import annotations

from wavejit.backends.cuda.graph import Graph
from wavejit.backends.cuda.place import Places
from wavejit.ir.ops import Ref


class TeamMemory:
    """The memory of a team's expressions (`expressions.Memory`).

    Attributes:
        stream: the C++ variable that knows the stream: of a lane's own, of its column, or of what is drawn.
    """

    def __init__(self, graph: Graph, places: Places, block: int) -> None:
        self.graph, self.places, self.block = graph, places, block
        self.stream = "mine"

    def count(self, ref: Ref) -> str:
        """The tick of a value's clock."""
        clock = self.graph.lines[ref].clock
        return f"{self.stream}.now" if clock == 1 else f"{self.stream}.every_{clock}.count"

    def slot(self, ref: Ref, ticks: str, stream: str | None = None) -> str:
        """Where a kept value lies in shared memory."""
        self.stream, outer = stream or self.stream, self.stream
        place = self.places.values[ref]
        count = self.count(ref) if ticks == "0" else f"{self.count(ref)} - {ticks}"
        found = f"{self.stream}.values + at_{ref} + (({count}) & {place.kept.slots - 1}u) * slot_{ref}"
        self.stream = outer
        return found

    def value(self, ref: Ref, ticks: str, index: str) -> str:
        if ref in self.graph.ahead:
            return f"load_frame({self.exported(ref, ticks)}, {index})"
        if ticks.isdigit() and self.graph.ring_of(ref, int(ticks)):
            return self.ring(ref, ticks, index)
        return f"read({self.slot(ref, ticks)}, {index})"

    def past(self, ref: Ref, lag: str, index: str) -> str:
        if ref in self.graph.ahead or not self.graph.kept[ref].ring:
            return self.value(ref, lag, index)
        return self.ring(ref, lag, index)

    def ring(self, ref: Ref, ticks: str, index: str) -> str:
        """An element of a past in global memory."""
        slots, size = self.graph.kept[ref].ring, self.graph.lines[ref].size
        at = f"((({self.count(ref)} - {ticks}) & {slots - 1}u) * {size} + {index}) * 4"
        return f"load_past({self.stream}.state + RINGS + {self.places.rings[ref]} + {at})"

    def exported(self, ref: Ref, ticks: str) -> str:
        """Where what has run ahead lies."""
        place, line = self.places.ahead[ref], self.graph.lines[ref]
        primed = f" + {self.stream}.primed" if line.clock == self.graph.frame_clock else ""
        at = f"(({self.count(ref)} - {ticks}{primed}) & {place.slots - 1}u) * {line.size}"
        return f"{self.stream}.state + AHEAD + 4ll * ({place.offset} + {at})"

    def label(self, ref: Ref, ticks: str) -> str:
        if self.graph.ring_of(ref, int(ticks)):
            return f"(int)bits_of({self.ring(ref, ticks, '0')})"
        return f"read_class({self.slot(ref, ticks)})"

    def weight(self, name: str, index: str) -> str:
        if (self.block, name) in self.places.tensors:
            return f"read(memory() + {self.places.tensors[self.block, name]}, {index})"
        return f"load_weight(weights + {self.places.global_tensors[name]} + 4 * ({index}))"

    def frame(self, ref: Ref, index: str) -> str:
        before, width = self.graph.part_of_frame(ref)
        return f"load_frame((const char*)({self.stream}.request->frames + i * {width}ll + {before}), {index})"

    def phase(self, clock: int) -> str:
        return f"{self.stream}.every_{clock}.phase"
