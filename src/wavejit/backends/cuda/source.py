"""The kernel's text: for each team a function with the loop over ticks, its weights in registers before it.

word w[96]; …                                   the weights that this team keeps
for (int i = 0; i < ticks; ++i) {
  { // %17 (64) on team 0: outputs 0 to 63
    wait_for_run(…)                             another team's results
    multiply_float16(c[0][0], kept(w + 4), x)   tiles
    const float v15 = hyperbolic_tangent(…)     what the step says of each output
    store_word(…)                               to each block that reads it
    tell(…)                                     that it is there
  }
  …
"""

from __future__ import annotations

from wavejit.backends.cuda.blocks import Cluster, Grid, threads_a_block
from wavejit.backends.cuda.device import Device
from wavejit.backends.cuda.frames import Frames
from wavejit.backends.cuda.graph import Graph
from wavejit.backends.cuda.partition import Partition
from wavejit.backends.cuda.place import Places
from wavejit.backends.cuda.team import Team
from wavejit.backends.cuda.text import Text
from wavejit.ir.ops import Draw
from wavejit.ir.show import show_line


def kernel_source(graph: Graph, found: Partition, places: Places, device: Device, streams: int) -> str:
    """All kernels of a model, without the primitives that they are written in."""
    return "\n".join(Source(graph, found, places, device, streams).lines()) + "\n"


class Source:
    """Writes the text of one plan."""

    def __init__(self, graph: Graph, found: Partition, places: Places, device: Device, streams: int) -> None:
        self.graph, self.found, self.places, self.device, self.streams = graph, found, places, device, streams
        self.step = graph.step
        self.blocks = (Grid if found.kind == "grid" else Cluster)(found, places, streams)
        self.text = Text()
        # Clocks that the loop counts: of what it runs, and of what it reads.
        self.clocks = sorted({line.clock for line in graph.lines.values()} - {1})
        self.draws = [ref for ref, line in graph.lines.items() if isinstance(line.op, Draw)]
        self.parameter_counts = [
            graph.lines[line.op.parameters].size for line in graph.lines.values() if isinstance(line.op, Draw)
        ]

    def lines(self) -> list[str]:
        self.text.lines += self.blocks.library()
        self._header()
        self._stream()
        for team in range(self.found.teams):
            Team(self, team).write()
        self._kernel()
        if self.graph.ahead_tasks:
            Frames(self.graph, self.places, self.text).write()
        return self.text.lines

    def _header(self) -> None:
        text, step = self.text, self.step
        text(f"// {step.name}, {step.precision}, for {self.device.arch}")
        text(
            f"// {self.found.blocks} multiprocessors, {self.streams} stream(s), {self.found.teams} teams of four warps"
        )
        text()
        p = self.places
        text(f"const int VALUES = {p.values_start};        // bytes from the start of shared memory")
        text(f"const int A_STREAM = {p.values_bytes};      // bytes of one stream's values")
        text(f"const long long RINGS = {p.rings_start};    // bytes from the start of a stream's state")
        text(f"const long long AHEAD = {p.ahead_start};")
        text()
        for ref, place in p.values.items():
            line = self.graph.lines[ref]
            name = show_line(ref, line).split(" = ")[0]
            slots = f"{name}, {place.kept.slots} slots"
            text(f"const int at_{ref} = {place.offset}, slot_{ref} = {place.stride};  // {slots}")
        text()

    def _stream(self) -> None:
        """What a lane must know of a stream."""
        text = self.text
        with text.block("struct Stream"):
            text("const Request* request;")
            text("char* values;")
            text("char* state;")
            for field, _ in self.blocks.of_stream:
                text(field)
            text("word now;                // tick")
            text("word primed;")
            for clock in self.clocks:
                text(f"Clock every_{clock};")
        text.lines[-1] += ";"
        text()
        with text.block("DEVICE inline Stream stream_at(const Request* requests, int number)"):
            text("Stream s;")
            text("s.request = requests + number;")
            for _, value in self.blocks.of_stream:
                text(value)
            text("s.values = memory() + VALUES + number * A_STREAM;")
            text("s.state = s.request->state;")
            text("s.now = (word)s.request->tick;")
            text("s.primed = (word)s.request->primed;")
            for clock in self.clocks:
                text(f"s.every_{clock} = clock_at(s.request->tick, {clock}u);")
            text("return s;")
        text()
        with text.block("DEVICE inline void next_tick(Stream& s)"):
            text("++s.now;")
            for clock in self.clocks:
                text(f"advance(s.every_{clock}, {clock}u);")
        text()

    def _kernel(self) -> None:
        text, p = self.text, self.places
        per_block = self.found.teams // self.found.blocks
        text(f"DEVICE const unsigned IMAGES[] = {{{', '.join(map(str, p.images))}}};")
        text(f"DEVICE const unsigned IMAGE_BYTES[] = {{{', '.join(map(str, p.image_bytes))}}};")
        self.blocks.tables(text)
        text()
        bounds = f"LAUNCH_BOUNDS({threads_a_block(self.found)})"
        parameters = f"const char* weights, const Request* requests, int count{self.blocks.parameter}"
        with text.block(f"KERNEL void {bounds} ticks({parameters})"):
            text(f"const word block = {self.blocks.number};")
            text(f"const Request* group = requests + block_number() / {self.found.blocks} * {self.streams};")
            self.blocks.begin(text)
            text(f"const char* counts = weights + {p.counts_start} + block * {p.barrier_bytes // 2};")
            text(f"begin_launch(group, {self.streams}, block, counts, {p.barrier_bytes // 8}, VALUES, A_STREAM,")
            text(f"             weights + IMAGES[block], {p.image_start}, IMAGE_BYTES[block]);")
            text(self.blocks.barrier)
            with self.blocks.teams(text), text.block(f"switch (block * {per_block} + thread() / 128)"):
                for team in range(self.found.teams):
                    text(f"case {team}: team_{team}(weights, group, count{self.blocks.argument}); break;")
            text(self.blocks.barrier)
            text(f"end_launch(group, {self.streams}, block, VALUES, A_STREAM);")
        text()
