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

from collections.abc import Generator
from contextlib import contextmanager
from importlib.resources import files

from wavejit.backends.cuda.device import WARPS_A_TEAM, Device
from wavejit.backends.cuda.expressions import Expressions, applied
from wavejit.backends.cuda.frames import Frames
from wavejit.backends.cuda.graph import Graph
from wavejit.backends.cuda.partition import Partition, Piece
from wavejit.backends.cuda.place import BYTES, Places, TilePlace, sum_groups
from wavejit.backends.cuda.tiles import ROWS, TILE_BYTES, unit_outputs, unit_tiles
from wavejit.ir.formats import FormatName
from wavejit.ir.ops import (
    Affine,
    Categorical,
    Combine,
    Condition,
    Delayed,
    Draw,
    Emit,
    Gaussian,
    Greedy,
    Logistics,
    Map,
    Ref,
)
from wavejit.ir.show import show_line


class Text:
    """Lines of C++, indented by the blocks that they are in."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._depth = 0

    def __call__(self, text: str = "") -> None:
        self.lines.append("  " * self._depth + text if text else "")

    @contextmanager
    def block(self, opening: str) -> Generator[None, None, None]:
        """Braces around what is written inside."""
        self(f"{opening} {{" if opening else "{")
        self._depth += 1
        yield
        self._depth -= 1
        self("}")


def primitives(name: str) -> str:
    """A part of the text that is the same for all models."""
    return files("wavejit.backends.cuda").joinpath(name).read_text(encoding="utf-8")


def kernel_source(graph: Graph, found: Partition, places: Places, device: Device, streams: int) -> str:
    """All kernels of a model, without the primitives that they are written in."""
    return "\n".join(Source(graph, found, places, device, streams).lines()) + "\n"


class Source:
    """Writes the text of one plan."""

    def __init__(self, graph: Graph, found: Partition, places: Places, device: Device, streams: int) -> None:
        self.graph, self.found, self.places, self.device, self.streams = graph, found, places, device, streams
        self.step = graph.step
        self.text = Text()
        # Clocks that the loop counts: of what it runs, and of what it reads.
        self.clocks = sorted({line.clock for line in graph.lines.values()} - {1})
        self.draws = [ref for ref, line in graph.lines.items() if isinstance(line.op, Draw)]
        self.parameter_counts = [
            graph.lines[line.op.parameters].size for line in graph.lines.values() if isinstance(line.op, Draw)
        ]

    def lines(self) -> list[str]:
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
            text("word now;                // tick")
            text("word primed;")
            for clock in self.clocks:
                text(f"Clock every_{clock};")
        text.lines[-1] += ";"
        text()
        with text.block("DEVICE inline Stream stream_at(const Request* requests, int number)"):
            text("Stream s;")
            text("s.request = requests + number;")
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
        text()
        bounds = f"LAUNCH_BOUNDS({per_block * 128})"
        with text.block(f"KERNEL void {bounds} ticks(const char* weights, const Request* requests, int count)"):
            text("const word block = block_in_cluster();")
            text(f"const Request* group = requests + block_number() / {self.found.blocks} * {self.streams};")
            text(f"const char* counts = weights + {p.counts_start} + block * {p.barrier_bytes // 2};")
            text(f"begin_launch(group, {self.streams}, block, counts, {p.barrier_bytes // 8}, VALUES, A_STREAM,")
            text(f"             weights + IMAGES[block], {p.image_start}, IMAGE_BYTES[block]);")
            text("cluster_barrier();")
            with text.block(f"switch (block * {per_block} + thread() / 128)"):
                for team in range(self.found.teams):
                    text(f"case {team}: team_{team}(weights, group, count); break;")
            text("cluster_barrier();")
            text(f"end_launch(group, {self.streams}, block, VALUES, A_STREAM);")
        text()


class Team:
    """Writes what one team does. It is also the memory that its expressions read."""

    def __init__(self, source: Source, number: int) -> None:
        self.source, self.number = source, number
        self.graph, self.places, self.text = source.graph, source.places, source.text
        self.block = source.found.block(number)
        self.pieces = [(i, piece) for i, piece in enumerate(source.found.pieces) if piece.team == number]
        self.one = source.streams == 1
        self.stream = "mine"
        self.write_element = Expressions(self.graph, self)
        self.unsettled: dict[Ref, int] = {}  # made by this team since its last barrier, with the clock
        self.scratch_in_use = False
        self.waited: set[tuple[Ref, int]] = set()
        self.teams_of: dict[Ref, set[int]] = {}
        for piece in source.found.pieces:
            self.teams_of.setdefault(piece.task.makes, set()).add(piece.team)

    # -------------------------------------------------------------------------- what expressions read

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
        conditions = [x for x, line in self.graph.lines.items() if isinstance(line.op, Condition)]
        width = sum(self.graph.lines[x].size for x in conditions)
        before = sum(self.graph.lines[x].size for x in conditions[: conditions.index(ref)])
        return f"load_frame((const char*)({self.stream}.request->frames + i * {width}ll + {before}), {index})"

    def phase(self, clock: int) -> str:
        return f"{self.stream}.every_{clock}.phase"

    # ----------------------------------------------------------------------------------- the function

    def write(self) -> None:
        text, words = self.text, self.places.registers[self.number]
        name = f"team_{self.number}"
        with text.block(f"DEVICE inline void {name}(const char* weights, const Request* requests, int count)"):
            text("const int self = thread() % 128;")
            if words:
                start = self.places.register_image[self.number]
                text(f"const char* from = weights + {start} + 4 * self;")
                text(f"word w[{words}];")
                text(f"UNROLLED for (int n = 0; n < {words}; ++n, from += 512) w[n] = load_kept(from);")
            mine = "0" if self.one else "self % 4"
            text(f"Stream mine = stream_at(requests, {mine});")
            if not self.one:
                text("Stream column = stream_at(requests, lane() / 8), drawn = stream_at(requests, self / 32);")
            with text.block("NOT_UNROLLED for (int i = 0; i < count; ++i)"):
                text("const int of_team = anew(self), warp = of_team / 32, row = of_team % 32 / 4, quad = of_team % 4;")
                text(
                    "const bool rest = row % 2 == 1;  // whether this lane's vector is what rounding took from another"
                )
                text("(void)row; (void)quad; (void)rest;")
                text(f"wait_for_run(memory() + {self.places.done_barrier}, i - 2);")
                for index, piece in self.pieces:
                    self._piece(index, piece)
                text(f"team_barrier({self._barrier()});")
                everyone = sum(block << (4 * block) for block in range(self.source.found.blocks))
                done, blocks = self.places.done_barrier, self.source.found.blocks
                text(f"if (warp == 0) tell(memory() + {done}, i, {everyone}ull, {blocks});")
                text("next_tick(mine);")
                if not self.one:
                    text("next_tick(column); next_tick(drawn);")
        text()

    def _barrier(self) -> int:
        return self.number % (self.source.found.teams // self.source.found.blocks)

    def _piece(self, index: int, piece: Piece) -> None:
        line = self.graph.lines[piece.task.makes]
        last = piece.outputs.stop - 1
        self.text(f"// {show_line(piece.task.makes, line)[:100]}: outputs {piece.outputs.start} to {last}")
        opening = "" if line.clock == 1 else f"if ({self.stream}.every_{line.clock}.phase == 0)"
        with self.text.block(opening):
            self._wait(piece, line.clock)
            if piece.task.product is not None:
                self._product(index, piece)
            elif isinstance(line.op, Draw):
                self._draw(index, piece, line.op)
            elif isinstance(line.op, Emit):
                self._emit(piece, line.op)
            else:
                self._elements(index, piece)
            self._tell(index, piece)
        self.unsettled[piece.task.makes] = line.clock

    def _run_of(self, ref: Ref, ticks: int) -> str:
        """Which run of a value's maker, in this launch, made what it was so many ticks ago."""
        clock = self.graph.lines[ref].clock
        now = "i" if clock == 1 else f"{self.stream}.every_{clock}.ran"
        return f"{now} - {ticks}" if ticks else now

    def _wait(self, piece: Piece, clock: int) -> None:
        """For what other teams make, and for the team's own warps."""
        own = False
        seen: set[tuple[Ref, int]] = set()
        for read in self.graph.reads(piece.task, piece.outputs):
            key = read.value, read.ticks
            if key in seen or read.value in self.graph.ahead or read.value not in self.places.values:
                continue
            seen.add(key)
            # What is two ticks old is there: no tick begins before all teams have ended the last but one.
            if read.ticks > 1 or (read.ticks == 1 and self.graph.lines[read.value].clock > 1):
                continue
            if self._from_others(piece, read.value):
                barrier = self.places.values[read.value].barrier
                self.text(f"wait_for_run(memory() + {barrier}, {self._run_of(read.value, read.ticks)});")
            elif read.ticks == 0 and read.value in self.unsettled:
                own = True
        if own:
            self._settle(clock)

    def _from_others(self, piece: Piece, value: Ref) -> bool:
        return self.places.values[value].barrier is not None and self.teams_of[value] != {piece.team}

    def _settle(self, clock: int) -> None:
        """All warps have stored what they made."""
        self.text(f"team_barrier({self._barrier()});")
        self.unsettled = {ref: c for ref, c in self.unsettled.items() if clock > 1 and c != clock}
        if clock == 1:
            self.scratch_in_use = False

    def _tell(self, index: int, piece: Piece) -> None:
        """Every warp tells the blocks that read what it made."""
        place = self.places.values.get(piece.task.makes)
        to = self.places.destinations[index]
        if place is not None and place.barrier is not None and to:
            which = sum(block << (4 * i) for i, block in enumerate(to))
            self.text(f"tell(memory() + {place.barrier}, {self._run_of(piece.task.makes, 0)}, {which}ull, {len(to)});")

    # ---------------------------------------------------------------------------------------- products

    def _product(self, index: int, piece: Piece) -> None:
        op = self.graph.lines[piece.task.product or 0].op
        assert isinstance(op, Affine)
        text, groups = self.text, sum_groups(self.graph, piece.task)
        kind = "int" if op.format == "int8" else "float"
        units, tiles = piece.units_a_warp, unit_tiles(piece.task.parts)
        names = [f"c{g}" for g in range(len(groups))]
        text(" ".join(f"{kind} {name}[{units}][{tiles}][4] = {{}};" for name in names))
        for g, group in enumerate(groups):
            for term in group:
                self._term(index, piece, op, term, names[g])
        if piece.by_columns:
            self._by_columns(index, piece, op, names, kind)
        else:
            self._by_rows(index, piece, op, names)

    def _term(self, index: int, piece: Piece, op: Affine, term: int, total: str) -> None:
        """Multiply and add up the tiles of one term, run by run of tiles that lie in one memory."""
        text, format = self.text, op.format
        value, ticks, start = self.graph.place_of(op.inputs[term])
        place = self.places.values[value]
        column = "mine" if self.one else "column"
        at = f"{self.slot(value, str(ticks), column)} + {place.formats[format] + start * BYTES[format]}"
        if format in ("float16", "bfloat16"):
            at += f" + (rest ? {place.plane[format]} : 0)"
        sparse = piece.terms[term].columns is not None
        with text.block(""):
            text(f"const char* input = {at}{'' if sparse else ' + 8 * quad'};")
            steps = self.places.tiles[index][term]
            first = 0
            for run in _runs(steps, self._step_size(piece, term)):
                self._run(piece, format, term, steps[first], range(first, first + run), total)
                first += run

    def _step_size(self, piece: Piece, term: int) -> dict[str, int]:
        """How far apart two steps lie: words in registers, bytes in memory."""
        tiles = piece.tiles_a_step
        lists = tiles if piece.terms[term].columns is not None else 0
        in_memory = WARPS_A_TEAM * (TILE_BYTES * tiles + 128 * lists)
        return {"registers": 4 * tiles + lists, "shared": in_memory, "global": in_memory}

    def _run(self, piece: Piece, format: FormatName, term: int, place: TilePlace, steps: range, total: str) -> None:
        text, tiles = self.text, unit_tiles(piece.task.parts)
        count, sparse = piece.units_a_warp * tiles, piece.terms[term].columns is not None
        size = self._step_size(piece, term)[place.memory]
        k = f"(k - {steps.start})" if steps.start else "k"
        with text.block(f"UNROLLED for (int k = {steps.start}; k < {steps.stop}; ++k)"):
            if not sparse:
                last = piece.terms[term].steps - 1
                number = f"least(4 * k + warp, {last})" if piece.by_columns else "k"
                pair = f"load_pair(input + 32 * {number})"
                text(f"const Pair x = {f'cut({pair}, rest)' if format == 'float32' else pair};")
            units = f"UNROLLED for (int n = 0; n < {count}; ++n)"
            with text.block(units):
                if place.memory == "registers":
                    tile, listed = (
                        f"kept(w + {place.start} + {size} * {k} + 4 * n)",
                        f"w[{place.start + 4 * count} + {size} * {k} + n]",
                    )
                else:
                    base = f"memory() + {place.start}" if place.memory == "shared" else f"weights + {place.start}"
                    load = "load_tile" if place.memory == "shared" else "load_weights"
                    tile = f"{load}({base} + {size} * {k} + (4 * n + warp) * 512 + 16 * lane())"
                    where = f"{base} + {2048 * count} + {size} * {k} + (4 * n + warp) * 128 + 4 * lane()"
                    listed = f"*(const word*)({where})" if place.memory == "shared" else f"load_kept({where})"
                if sparse:
                    pair = f"listed(input, {listed})"
                    text(f"const Pair x = {f'cut({pair}, rest)' if format == 'float32' else pair};")
                text(f"multiply_{format}({total}[n / {tiles}][n % {tiles}], {tile}, x);")

    def _by_rows(self, index: int, piece: Piece, op: Affine, names: list[str]) -> None:
        """Each lane has the totals of its own rows."""
        text, task = self.text, piece.task
        outputs, halves = unit_outputs(task.parts), 1 if task.parts % 2 == 0 else 2

        def of_part(name: str, part: int) -> str:
            return f"total({name}[d][{part // 2}], {part % 2})" if halves == 1 else f"total({name}[d][{part}], half)"

        with (
            text.block(f"UNROLLED for (int d = 0; d < {piece.units_a_warp}; ++d)"),
            text.block(f"UNROLLED for (int half = 0; half < {halves}; ++half)"),
        ):
            start = f"{piece.outputs.start} + " if piece.outputs.start else ""
            text(f"const int o = {start}(warp + 4 * d) * {outputs} + 8 * half + row;")
            with text.block(f"if (o < {piece.outputs.stop})"):
                sums = [[of_part(name, part) for part in range(task.parts)] for name in names]
                self._outputs(index, piece, op, sums, "quad" if self.one else None)

    def _by_columns(self, index: int, piece: Piece, op: Affine, names: list[str], kind: str) -> None:
        """The warps' totals meet in scratch; then each thread has outputs of its own."""
        text, task, streams = self.text, piece.task, self.source.streams
        tiles, clock = unit_tiles(task.parts), self.graph.lines[task.makes].clock
        rows = piece.units * tiles * ROWS
        if self.scratch_in_use or clock > 1:
            self._settle(clock)
        text(f"{kind}* scratch = ({kind}*)(memory() + {self.places.scratch[self.number]});")
        store = "if (quad == 0) " if self.one else ""
        stream = "" if self.one else f" * {streams} + quad"
        for g, name in enumerate(names):
            with text.block(f"UNROLLED for (int n = 0; n < {piece.units * tiles}; ++n)"):
                for half in (0, 1):
                    at = f"(({g * WARPS_A_TEAM} + warp) * {rows} + 16 * n + {8 * half} + row){stream}"
                    text(f"{store}scratch[{at}] = total({name}[n / {tiles}][n % {tiles}], {half});")
        self._settle(clock)
        self.scratch_in_use = True
        outputs = unit_outputs(task.parts)
        first, step = ("of_team", 128) if self.one else ("of_team / 4", 32)
        with text.block(f"for (int n = {first}; n < {len(piece.outputs)}; n += {step})"):
            text(f"const int o = {piece.outputs.start} + n, tile = n / {outputs} * {tiles}, r = n % {outputs};")
            sums: list[list[str]] = []
            for g in range(len(names)):
                of_parts: list[str] = []
                for part in range(task.parts):
                    below, within = (part // 2, 8 * (part % 2)) if outputs < ROWS else (part, 0)
                    where = f"(tile + {below}) * 16 + {within} + r"
                    starts = [(g * WARPS_A_TEAM + warp) * rows for warp in range(WARPS_A_TEAM)]
                    a, b, c, d = (f"scratch[({start} + {where}){stream}]" for start in starts)
                    text(f"const {kind} t{g}_{part} = ({a} + {b}) + ({c} + {d});")
                    of_parts.append(f"t{g}_{part}")
                sums.append(of_parts)
            self._outputs(index, piece, op, sums, None)

    def _outputs(self, index: int, piece: Piece, op: Affine, sums: list[list[str]], share: str | None) -> None:
        """From the sums of output `o` to what is stored.

        Args:
            index, piece, op: of the product.
            sums: for each group of terms and each part, an expression.
            share: what numbers the lanes that have the same output, and share the stores; None if one lane has it.
        """
        text, task = self.text, piece.task
        constants = f"memory() + {self.places.constants[index]}"
        count = len(piece.outputs)
        names: dict[Ref, str] = {}
        parts: list[str] = []
        for part in range(task.parts):
            where = f"o - {piece.outputs.start - part * count}" if piece.outputs.start - part * count else "o"
            text(f"const float bias{part} = read({constants}, {where});")
            if op.format == "int8":
                terms = [
                    f"(float){of_group[part]} * read({constants} + {4 * (g + 1) * task.parts * count}, {where})"
                    for g, of_group in enumerate(sums)
                ]
            else:
                terms = [of_group[part] for of_group in sums]
            row = f"{part * task.outputs} + o" if part else "o"
            total = f"{' + '.join(terms)} + bias{part}{self.write_element.addends(op, row)}"
            text(f"const float p{part} = {applied(op.activation, total)};")
            parts.append(f"p{part}")
        loop = self.graph.loops.get(task.makes)
        if loop is not None and loop.product is not None:
            names |= dict(zip(loop.parts, parts, strict=True))
            result = self.write_element.loop(task.makes, names, "o", text)
            self._store(index, piece, "o", result, share)
            return
        for part, name in enumerate(parts):
            self._store(index, piece, f"{part * task.outputs} + o" if part else "o", name, share)

    # ---------------------------------------------------------------------------------- everything else

    def _elements(self, index: int, piece: Piece) -> None:
        """A loop of elementwise operations, or a copy of what is found elsewhere."""
        text, ref = self.text, piece.task.makes
        first, step = ("of_team", 128) if self.one else ("of_team / 4", 32)
        start, stop = piece.outputs.start, piece.outputs.stop
        with text.block(f"for (int o = {start} + {first}; o < {stop}; o += {step})"):
            line = self.graph.lines[ref]
            if isinstance(line.op, Delayed) and line.classes:
                result = f"of_bits((word){self.label(line.op.of, str(line.op.ticks))})"
            elif ref in self.graph.loops:
                result = self.write_element.loop(ref, {}, "o", text)
            elif isinstance(line.op, (Map, Combine)):
                result = self.write_element.computed(ref, {}, "o")
            else:
                result = self.write_element.found(ref, "o")
            self._store(index, piece, "o", result, None)

    def _draw(self, index: int, piece: Piece, op: Draw) -> None:
        """One warp draws for one stream; its lanes tell one block each."""
        text, source = self.text, self.source
        which = source.draws.index(piece.task.makes)
        offset, size = sum(source.parameter_counts[:which]), source.parameter_counts[which]
        outer, self.stream = self.stream, "mine" if self.one else "drawn"
        with text.block(f"if (warp == {which % WARPS_A_TEAM})" if self.one else ""):
            value, ticks, start = self.graph.place_of(op.parameters)
            text(f"const float* given = (const float*)({self.slot(value, str(ticks))}) + {start};")
            text(f"const Request& r = *{self.stream}.request;")
            text(f"const Uniforms u = uniforms(r.tick + i, {which}u, r.seed, r.stream);")
            match op.distribution:
                case Categorical():
                    drawn = f"draw_categorical(given, {size}, u.first, r.temperature)"
                case Greedy():
                    drawn = f"draw_greedy(given, {size})"
                case Logistics(components, least):
                    drawn = f"draw_logistics(given, {components}, {float(least)!r}f, u, r.temperature)"
                case Gaussian(least):
                    drawn = f"draw_gaussian(given, {float(least)!r}f, u, r.temperature)"
            kind = "int" if self.graph.lines[piece.task.makes].classes else "float"
            forced = f"r.forced[i * {len(source.draws)}ll + {which}]"
            text(f"const {kind} d = r.forced ? ({kind}){forced} : {drawn};")
            with text.block("if (r.parameters)"):
                width = sum(source.parameter_counts)
                text(f"float* to = r.parameters + i * {width}ll + {offset};")
                text(f"for (int n = lane(); n < {size}; n += 32) to[n] = given[n];")
            result = "of_bits((word)d)" if kind == "int" else "d"
            self._store(index, piece, "0", result, "lane()")
        self.stream = outer

    def _emit(self, piece: Piece, op: Emit) -> None:
        text = self.text
        emits = [ref for ref, line in self.graph.lines.items() if isinstance(line.op, Emit)]
        width = sum(self.graph.lines[ref].size for ref in emits)
        before = sum(self.graph.lines[ref].size for ref in emits[: emits.index(piece.task.makes)])
        first, step = ("of_team", 128) if self.one else ("of_team / 4", 32)
        with text.block(f"for (int o = {first}; o < {piece.task.outputs}; o += {step})"):
            text(f"{self.stream}.request->out[i * {width}ll + {before} + o] = {self.write_element.element(op.x, 'o')};")

    def _store(self, index: int, piece: Piece, element: str, x: str, share: str | None) -> None:
        """Store an element in every format that is read, in every block that reads it."""
        text, ref, to = self.text, piece.task.makes, self.places.destinations[index]
        kept, place = self.graph.kept[ref], self.places.values[ref]
        lanes = "lane()" if share == "lane()" else "quad"
        if kept.ring:
            size, slots = self.graph.lines[ref].size, kept.ring
            at = f"RINGS + {self.places.rings[ref]} + (({self.count(ref)} & {slots - 1}u) * {size} + {element}) * 4"
            text(f"{f'if ({lanes} == 0) ' if share else ''}*(volatile float*)({self.stream}.state + {at}) = {x};")
        if not to:
            return
        which = sum(block << (4 * i) for i, block in enumerate(to))
        many = 32 if share == "lane()" else 4
        if len(to) == 1:
            text(f"{f'if ({lanes} == 0) ' if share else ''}{{")
            text(f"  const word to = {to[0]};")
        else:
            first, step = (lanes, many) if share else ("0", 1)
            text(f"for (int n = {first}; n < {len(to)}; n += {step}) {{")
            text(f"  const word to = (word)({which}ull >> (4 * n)) & 15u;")
        text(f"  char* at = {self.slot(ref, '0')};")
        for format in kept.formats:
            offset, plane = place.formats[format], place.plane[format]
            where = f"at + {offset}" if offset else "at"
            match format:
                case "float32":
                    text(f"  store_word({where} + 4 * ({element}), to, bits_of({x}));")
                case "int8":
                    text(f"  store_byte({where} + ({element}), to, as_int8({x}, {127 / kept.scale!r}f));")
                case _:
                    text(f"  store_{format}({where}, {plane}, {element}, to, {x});")
        text("}")


def _runs(steps: tuple[TilePlace, ...], size: dict[str, int]) -> list[int]:
    """How many steps each time follow each other in one memory."""
    runs: list[int] = []
    for i, place in enumerate(steps):
        before = steps[i - 1] if i else None
        follows = before and before.memory == place.memory and place.start == before.start + size[place.memory]
        if follows:
            runs[-1] += 1
        else:
            runs.append(1)
    return runs
