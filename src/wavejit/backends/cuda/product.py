"""A piece of a product: tiles times inputs, and what is done with each total."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from wavejit.backends.cuda.device import WARPS_A_TEAM
from wavejit.backends.cuda.expressions import applied
from wavejit.backends.cuda.partition import Piece
from wavejit.backends.cuda.place import BYTES, TilePlace, sum_groups
from wavejit.backends.cuda.tiles import ROWS, STREAMS_A_GROUP, TILE_BYTES, unit_outputs, unit_tiles
from wavejit.ir.ops import Affine

if TYPE_CHECKING:
    from wavejit.backends.cuda.team import Team


class Product:
    """Writes one piece of a product.

    Args:
        team: that works it out.
        index: of the piece among all.
        piece: of the product.
    """

    def __init__(self, team: Team, index: int, piece: Piece) -> None:
        assert piece.task.product is not None, "the piece of a product"
        op = team.graph.lines[piece.task.product].op
        assert isinstance(op, Affine)
        self.team, self.index, self.piece, self.op = team, index, piece, op
        self.graph, self.places, self.text = team.graph, team.places, team.text

    def write(self) -> None:
        """Multiply, add up, and store what comes of it."""
        text, piece, op, groups = self.text, self.piece, self.op, sum_groups(self.graph, self.piece.task)
        kind = "int" if op.format == "int8" else "float"
        units, tiles = piece.units_a_warp, unit_tiles(piece.task.parts)
        names = [f"c{g}" for g in range(len(groups))]
        of_streams = "" if len(self.team.groups) == 1 else f"[{len(self.team.groups)}]"
        text(" ".join(f"{kind} {name}{of_streams}[{units}][{tiles}][4] = {{}};" for name in names))
        for g, group in enumerate(groups):
            for term in group:
                self._term(term, names[g])
        if piece.by_columns:
            self._by_columns(names, kind)
        else:
            self._by_rows(names)

    def _term(self, term: int, total: str) -> None:
        """Multiply and add up the tiles of one term, run by run of tiles that lie in one memory."""
        text, format = self.text, self.op.format
        value, ticks, start = self.graph.place_of(self.op.inputs[term])
        place = self.places.values[value]
        column = "mine" if self.team.one else "column"
        within = f"{place.formats[format] + start * BYTES[format]}"
        if format in ("float16", "bfloat16"):
            within += f" + (rest ? {place.plane[format]} : 0)"
        if self.piece.terms[term].columns is None:
            within += " + 8 * quad"
        slot = partial(self.team.memory.slot, value, str(ticks))
        with text.block(""):
            self.team.of_groups("const char*", "input", lambda group: f"{slot(column + group)} + {within}")
            steps = self.places.tiles[self.index][term]
            first = 0
            for run in _runs(steps, self._step_size(term)):
                self._run(term, steps[first], range(first, first + run), total)
                first += run

    def _step_size(self, term: int) -> dict[str, int]:
        """How far apart two steps lie: words in registers, bytes in memory."""
        tiles = self.piece.tiles_a_step
        lists = tiles if self.piece.terms[term].columns is not None else 0
        in_memory = WARPS_A_TEAM * (TILE_BYTES * tiles + 128 * lists)
        return {"registers": 4 * tiles + lists, "shared": in_memory, "global": in_memory}

    def _run(self, term: int, place: TilePlace, steps: range, total: str) -> None:
        """Multiply the tiles of steps that lie in one memory, one behind the other."""
        text, piece, format = self.text, self.piece, self.op.format
        tiles = unit_tiles(piece.task.parts)
        count, sparse = piece.units_a_warp * tiles, piece.terms[term].columns is not None
        size = self._step_size(term)[place.memory]
        k = f"(k - {steps.start})" if steps.start else "k"
        with text.block(f"UNROLLED for (int k = {steps.start}; k < {steps.stop}; ++k)"):
            if not sparse:
                last = piece.terms[term].steps - 1
                number = f"least(4 * k + warp, {last})" if piece.by_columns else "k"
                self._inputs(lambda group: f"load_pair(input{group} + 32 * {number})")
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
                    self._inputs(lambda group: f"listed(input{group}, {listed})")
                if len(self.team.groups) > 1:
                    text(f"const Tile tile = {tile};")
                    tile = "tile"
                for group in self.team.groups:
                    text(f"multiply_{format}({total}{group}[n / {tiles}][n % {tiles}], {tile}, x{group});")

    def _inputs(self, pair: Callable[[str], str]) -> None:
        """What a lane multiplies tiles by, for each group of streams."""
        cut = self.op.format == "float32"
        self.team.of_groups("const Pair", "x", lambda group: f"cut({pair(group)}, rest)" if cut else pair(group))

    def _by_rows(self, names: list[str]) -> None:
        """Each lane has the totals of its own rows."""
        text, piece, task = self.text, self.piece, self.piece.task
        outputs, halves = unit_outputs(task.parts), 1 if task.parts % 2 == 0 else 2

        def of_part(name: str, part: int) -> str:
            return f"total({name}[d][{part // 2}], {part % 2})" if halves == 1 else f"total({name}[d][{part}], half)"

        with (
            text.block(f"UNROLLED for (int d = 0; d < {piece.units_a_warp}; ++d)"),
            text.block(f"UNROLLED for (int half = 0; half < {halves}; ++half)"),
        ):
            start = f"{piece.outputs.start} + " if piece.outputs.start else ""
            text(f"const int o = {start}(warp + 4 * d) * {outputs} + 8 * half + row;")
            with text.block(f"if (o < {piece.outputs.stop})"), self.team.each_group() as group:
                sums = [[of_part(name + group, part) for part in range(task.parts)] for name in names]
                self._outputs(sums, "quad" if self.team.one else None)

    def _by_columns(self, names: list[str], kind: str) -> None:
        """The warps' totals meet in scratch; then each thread has outputs of its own."""
        text, piece, task, streams = self.text, self.piece, self.piece.task, self.team.source.streams
        tiles, clock = unit_tiles(task.parts), self.graph.lines[task.makes].clock
        rows = piece.units * tiles * ROWS
        if self.team.scratch_in_use or clock > 1:
            self.team.settle(clock)
        text(f"{kind}* scratch = ({kind}*)(memory() + {self.places.scratch[self.team.number]});")
        store = "if (quad == 0) " if self.team.one else ""
        number = "quad" if len(self.team.groups) == 1 else f"{STREAMS_A_GROUP} * g + quad"
        stream = "" if self.team.one else f" * {streams} + {number}"
        for g, name in enumerate(names):
            with (
                text.block(f"UNROLLED for (int n = 0; n < {piece.units * tiles}; ++n)"),
                self.team.each_group() as group,
            ):
                for half in (0, 1):
                    at = f"(({g * WARPS_A_TEAM} + warp) * {rows} + 16 * n + {8 * half} + row){stream}"
                    text(f"{store}scratch[{at}] = total({name}{group}[n / {tiles}][n % {tiles}], {half});")
        self.team.settle(clock)
        self.team.scratch_in_use = True
        outputs = unit_outputs(task.parts)
        first, step = ("of_team", 128) if self.team.one else ("of_team / 4", 32)
        with text.block(f"for (int n = {first}; n < {len(piece.outputs)}; n += {step})"), self.team.each_group():
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
            self._outputs(sums, None)

    def _outputs(self, sums: list[list[str]], share: str | None) -> None:
        """From the sums of output `o` to what is stored.

        Args:
            sums: for each group of terms and each part, an expression.
            share: what numbers the lanes that have the same output, and share the stores; None if one lane has it.
        """
        text, piece, task, op = self.text, self.piece, self.piece.task, self.op
        constants = f"memory() + {self.places.constants[self.index]}"
        count = len(piece.outputs)
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
            total = f"{' + '.join(terms)} + bias{part}{self.team.elements.addends(op, row)}"
            text(f"const float p{part} = {applied(op.activation, total)};")
            parts.append(f"p{part}")
        loop = self.graph.loops.get(task.makes)
        if loop is not None and loop.product is not None:
            names = dict(zip(loop.parts, parts, strict=True))
            result = self.team.elements.loop(task.makes, names, "o", text)
            self.team.store(self.index, piece, "o", result, share)
            return
        for part, name in enumerate(parts):
            self.team.store(self.index, piece, f"{part * task.outputs} + o" if part else "o", name, share)


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
