"""What one team does: its pieces in their order, what each waits for, and whom it tells."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import numpy as np

from wavejit.backends.cuda.device import WARPS_A_TEAM
from wavejit.backends.cuda.expressions import Expressions
from wavejit.backends.cuda.partition import Piece
from wavejit.backends.cuda.product import Product
from wavejit.backends.cuda.team_memory import TeamMemory
from wavejit.backends.cuda.tiles import STREAMS_A_GROUP, stream_groups
from wavejit.ir.ops import Categorical, Combine, Delayed, Draw, Emit, Gaussian, Greedy, Logistics, Map, Ref
from wavejit.ir.show import show_line

if TYPE_CHECKING:
    from wavejit.backends.cuda.source import Source


class Team:
    """Writes the function of one team.

    Attributes:
        source: of the whole kernel.
        one: whether a pass has one stream; the four lanes of a quad then share the stores of a row.
        groups: of streams that share a multiplication: how a variable of each ends, `x`, or `x[0]` and `x[1]`.
        memory: what its expressions read.
        elements: those expressions.
        scratch_in_use: whether a warp may still be reading what warps have added up.
    """

    def __init__(self, source: Source, number: int) -> None:
        self.source, self.number = source, number
        self.graph, self.places, self.text = source.graph, source.places, source.text
        self.memory = TeamMemory(source.graph, source.places, source.found.block(number))
        self.elements = Expressions(self.graph, self.memory)
        self.one = source.streams == 1
        count = stream_groups(source.streams)
        self.groups = [""] if count == 1 else [f"[{g}]" for g in range(count)]
        self.scratch_in_use = False
        self._unsettled: dict[Ref, int] = {}  # made by this team since its last barrier, with the clock
        self._teams_of: dict[Ref, set[int]] = {}
        for piece in source.found.pieces:
            self._teams_of.setdefault(piece.task.makes, set()).add(piece.team)

    def write(self) -> None:
        text, words = self.text, self.places.registers[self.number]
        name = f"team_{self.number}"
        parameters = f"const char* weights, const Request* requests, int count{self.source.blocks.parameter}"
        with text.block(f"DEVICE inline void {name}({parameters})"):
            text("const int self = thread() % 128;")
            if words:
                start = self.places.register_image[self.number]
                text(f"const char* from = weights + {start} + 4 * self;")
                text(f"word w[{words}];")
                text(f"UNROLLED for (int n = 0; n < {words}; ++n, from += 512) w[n] = load_kept(from);")
            self._streams()
            with text.block("NOT_UNROLLED for (int i = 0; i < count; ++i)"):
                text("const int of_team = anew(self), warp = of_team / 32, row = of_team % 32 / 4, quad = of_team % 4;")
                text(
                    "const bool rest = row % 2 == 1;  // whether this lane's vector is what rounding took from another"
                )
                text("(void)row; (void)quad; (void)rest;")
                text(f"wait_for_run(memory() + {self.places.done_barrier}, i - 2);")
                for index, piece in enumerate(self.source.found.pieces):
                    if piece.team == self.number:
                        self._piece(index, piece)
                text(f"team_barrier({self._barrier()});")
                text(f"if (warp == 0) {self.source.blocks.end_of_tick()}")
                for group in self.groups:
                    text(f"next_tick(mine{group});")
                    if not self.one:
                        text(f"next_tick(column{group}); next_tick(drawn{group});")
        text()

    def _streams(self) -> None:
        """What a lane must know of the streams that it stores for, reads inputs of, and draws for."""
        of_lane = {"mine": "0"} if self.one else {"mine": "self % 4", "column": "lane() / 8", "drawn": "self / 32"}
        for name, number in of_lane.items():
            numbers = [f"{STREAMS_A_GROUP * g} + {number}" if g else number for g in range(len(self.groups))]
            self._of_groups("Stream", name, [f"stream_at(requests, {number})" for number in numbers])

    def of_groups(self, kind: str, name: str, value: Callable[[str], str]) -> None:
        """Declare a variable of each group of streams, by what names of its others end in."""
        self._of_groups(kind, name, [value(group) for group in self.groups])

    def _of_groups(self, kind: str, name: str, values: Sequence[str]) -> None:
        if len(values) == 1:
            self.text(f"{kind} {name} = {values[0]};")
        else:
            self.text(f"{kind} {name}[{len(values)}] = {{{', '.join(values)}}};")

    @contextmanager
    def each_group(self, stream: str = "mine") -> Generator[str, None, None]:
        """What is written inside is done for each group of streams; expressions read `stream`'s.

        Yields how a variable of the group ends.
        """
        several = len(self.groups) > 1
        group = "[g]" if several else ""
        outer, self.memory.stream = self.memory.stream, stream + group
        with self.text.block(f"UNROLLED for (int g = 0; g < {len(self.groups)}; ++g)") if several else nullcontext():
            yield group
        self.memory.stream = outer

    def _barrier(self) -> int:
        return self.number % (self.source.found.teams // self.source.found.blocks)

    def _piece(self, index: int, piece: Piece) -> None:
        line = self.graph.lines[piece.task.makes]
        last = piece.outputs.stop - 1
        self.text(f"// {show_line(piece.task.makes, line)[:100]}: outputs {piece.outputs.start} to {last}")
        opening = "" if line.clock == 1 else f"if ({self.memory.stream}.every_{line.clock}.phase == 0)"
        with self.text.block(opening):
            self._wait(piece, line.clock)
            if piece.task.product is not None:
                Product(self, index, piece).write()
            elif isinstance(line.op, Draw):
                self._draw(index, piece, line.op)
            elif isinstance(line.op, Emit):
                self._emit(piece, line.op)
            else:
                self._elements(index, piece)
            self._tell(index, piece)
        self._unsettled[piece.task.makes] = line.clock

    def _run_of(self, ref: Ref, ticks: int) -> str:
        """Which run of a value's maker, in this launch, made what it was so many ticks ago."""
        clock = self.graph.lines[ref].clock
        now = "i" if clock == 1 else f"{self.memory.stream}.every_{clock}.ran"
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
            elif read.ticks == 0 and read.value in self._unsettled:
                own = True
        if own:
            self.settle(clock)

    def _from_others(self, piece: Piece, value: Ref) -> bool:
        return self.places.values[value].barrier is not None and self._teams_of[value] != {piece.team}

    def settle(self, clock: int) -> None:
        """All warps have stored what they made."""
        self.text(f"team_barrier({self._barrier()});")
        self._unsettled = {ref: c for ref, c in self._unsettled.items() if clock > 1 and c != clock}
        if clock == 1:
            self.scratch_in_use = False

    def _tell(self, index: int, piece: Piece) -> None:
        """Every warp tells the blocks that read what it made."""
        place = self.places.values.get(piece.task.makes)
        to, run = self.source.blocks.ranks(index), self._run_of(piece.task.makes, 0)
        self.source.blocks.tell(piece.task.makes, run, self.text)
        if place is not None and place.barrier is not None and to:
            which = sum(block << (4 * i) for i, block in enumerate(to))
            self.text(f"tell(memory() + {place.barrier}, {run}, {which}ull, {len(to)});")

    def _elements(self, index: int, piece: Piece) -> None:
        """A loop of elementwise operations, or a copy of what is found elsewhere."""
        text, ref = self.text, piece.task.makes
        first, step = ("of_team", 128) if self.one else ("of_team / 4", 32)
        start, stop = piece.outputs.start, piece.outputs.stop
        with text.block(f"for (int o = {start} + {first}; o < {stop}; o += {step})"), self.each_group():
            line = self.graph.lines[ref]
            if isinstance(line.op, Delayed) and line.classes:
                result = f"of_bits((word){self.memory.label(line.op.of, str(line.op.ticks))})"
            elif ref in self.graph.loops:
                result = self.elements.loop(ref, {}, "o", text)
            elif isinstance(line.op, (Map, Combine)):
                result = self.elements.computed(ref, {}, "o")
            else:
                result = self.elements.found(ref, "o")
            self.store(index, piece, "o", result, None)

    def _draw(self, index: int, piece: Piece, op: Draw) -> None:
        """One warp draws for one stream; its lanes tell one block each."""
        text, source = self.text, self.source
        which = source.draws.index(piece.task.makes)
        offset, size = sum(source.parameter_counts[:which]), source.parameter_counts[which]
        with (
            text.block(f"if (warp == {which % WARPS_A_TEAM})" if self.one else ""),
            self.each_group("mine" if self.one else "drawn"),
        ):
            value, ticks, start = self.graph.place_of(op.parameters)
            text(f"const float* given = (const float*)({self.memory.slot(value, str(ticks))}) + {start};")
            text(f"const Request& r = *{self.memory.stream}.request;")
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
            self.store(index, piece, "0", result, "lane()")

    def _emit(self, piece: Piece, op: Emit) -> None:
        text = self.text
        emits = [ref for ref, line in self.graph.lines.items() if isinstance(line.op, Emit)]
        width = sum(self.graph.lines[ref].size for ref in emits)
        before = sum(self.graph.lines[ref].size for ref in emits[: emits.index(piece.task.makes)])
        first, step = ("of_team", 128) if self.one else ("of_team / 4", 32)
        with text.block(f"for (int o = {first}; o < {piece.task.outputs}; o += {step})"), self.each_group():
            text(
                f"{self.memory.stream}.request->out[i * {width}ll + {before} + o] = {self.elements.element(op.x, 'o')};"
            )

    def store(self, index: int, piece: Piece, element: str, x: str, share: str | None) -> None:
        """Store an element in every format that is read, in every block that reads it."""
        text, ref, to = self.text, piece.task.makes, self.source.blocks.ranks(index)
        kept = self.graph.kept[ref]
        elsewhere = self.source.blocks.elsewhere(ref, self._run_of(ref, 0), self.memory.stream)
        lanes = "lane()" if share == "lane()" else "quad"
        if kept.ring:
            size, slots = self.graph.lines[ref].size, kept.ring
            slot = f"({self.memory.count(ref)} & {slots - 1}u)"
            at = f"{self.memory.stream}.state + RINGS + {self.places.rings[ref]} + ({slot} * {size} + {element}) * 4"
            text(f"{f'if ({lanes} == 0) ' if share else ''}*(volatile float*)({at}) = {x};")
        if elsewhere is not None:
            text(f"{f'if ({lanes} == 0) ' if share else ''}{{")
            text("  const word to = ELSEWHERE;")
            text(f"  char* at = {elsewhere};")
            self._in_formats(ref, element, x)
            text("}")
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
        text(f"  char* at = {self.memory.slot(ref, '0')};")
        self._in_formats(ref, element, x)
        text("}")

    def _in_formats(self, ref: Ref, element: str, x: str) -> None:
        """Store an element at `at` of block `to`, in every format that is read."""
        text, place = self.text, self.places.values[ref]
        for format in place.formats:
            offset, plane = place.formats[format], place.plane[format]
            where = f"at + {offset}" if offset else "at"
            match format:
                case "float32":
                    text(f"  store_word({where} + 4 * ({element}), to, bits_of({x}));")
                case "int8":
                    steps = float(np.float32(127) / np.float32(place.kept.scale))  # as the reference divides
                    text(f"  store_byte({where} + ({element}), to, as_int8({x}, {steps!r}f));")
                case _:
                    text(f"  store_{format}({where}, {plane}, {element}, to, {x});")
