"""Which team of warps runs which part of a task, and how long a tick takes so.

    %17 (64) on the way from sample to sample       team 0, until its registers and shared memory are full, then team 1
    %10 (128) beside the way (previous taps)        the team that has least
    %36 (256), 512 tiles                            sixteen outputs each on sixteen teams

A team is four warps, one for each scheduler of a multiprocessor. What lies on the longest way from one sample to the
next stays on one team as long as it fits, since handing over costs more than a small product. A large product is cut
by its outputs; tasks that read each other element by element are cut alike, so that an element stays where it is.
Within a team the warps share a product's rows; where these are few, its columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from wavejit.backends.cuda.device import WARPS_A_TEAM, Kind
from wavejit.backends.cuda.graph import Graph, Indices, Read, Task
from wavejit.backends.cuda.tiles import (
    TermTiles,
    Words,
    packed_terms,
    term_tiles,
    unit_outputs,
    unit_rows,
    unit_tiles,
)
from wavejit.ir.ops import Affine, Draw, Emit, Ref

# Cycles; shared memory, shuffles, barriers, distributed shared memory and flags through L2 as measured by others on
# Hopper (docs/gpu.md), tensor cores at half of their rate.
PRODUCT, TILE, BY_COLUMNS, LOOP, DRAW, DRAW_CLASSES = 160, 12, 70, 90, 250, 1.0
GROUP = 60  # for each further group of streams: functions and stores once more
SAME_TEAM, SAME_BLOCK = 30, 70
OTHER_BLOCK: dict[Kind, float] = {"cluster": 350, "grid": 1000}
TILES_A_PIECE = 32  # a larger product is cut
FEW_STEPS = 4  # tiles side by side; with more, and few rows, the warps share the columns
ON_THE_WAY = 0.98  # of the longest way


@dataclass(frozen=True)
class Piece:
    """Some outputs of a task on one team.

    Attributes:
        team: its number in the cluster.
        by_columns: whether the warps share the columns, and add up.
        terms: the tiles of each term of a product.
    """

    task: Task
    outputs: range
    team: int
    by_columns: bool
    terms: tuple[TermTiles, ...]

    @property
    def units(self) -> int:
        return -(-len(self.outputs) // unit_outputs(self.task.parts))

    @property
    def units_a_warp(self) -> int:
        return self.units if self.by_columns else -(-self.units // WARPS_A_TEAM)

    def steps_a_warp(self, term: int) -> int:
        """Tiles side by side that a warp multiplies of a term."""
        steps = self.terms[term].steps
        return -(-steps // WARPS_A_TEAM) if self.by_columns else steps

    @property
    def tiles_a_step(self) -> int:
        """Tiles of a warp that multiply the same part of an input."""
        return self.units_a_warp * unit_tiles(self.task.parts)

    @cached_property
    def tiles(self) -> int:
        """Tiles that each warp multiplies."""
        return self.tiles_a_step * sum(self.steps_a_warp(term) for term in range(len(self.terms)))

    def cycles(self, graph: Graph, groups: int) -> float:
        """From the moment that its inputs are there, for so many groups of streams."""
        further = GROUP * (groups - 1)
        if self.task.product is not None:
            return PRODUCT + TILE * self.tiles * groups + BY_COLUMNS * self.by_columns + further
        op = graph.lines[self.task.makes].op
        if isinstance(op, Draw):
            return (DRAW + DRAW_CLASSES * graph.lines[op.parameters].size) * groups
        return LOOP + further


class Weights:
    """The products' weights as words and, for whatever outputs, as tiles."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._words: dict[Ref, list[Words]] = {}
        self._tiles: dict[tuple[Ref, int, range], tuple[TermTiles, ...]] = {}

    def tiles(self, task: Task, outputs: range) -> tuple[TermTiles, ...]:
        """The tiles of each term for some of a task's outputs; none without a product."""
        if task.product is None:
            return ()
        key = task.product, task.parts, outputs
        if key not in self._tiles:
            line = self._graph.lines[task.product]
            units = unit_rows(line.size, task.parts, outputs)
            self._tiles[key] = tuple(term_tiles(words, units) for words in self.words(task.product))
        return self._tiles[key]

    @cached_property
    def bytes(self) -> int:
        """Of all tiles."""
        whole = (self.tiles(task, range(task.outputs)) for task in self._graph.tasks)
        return sum(term.words.nbytes for terms in whole for term in terms)

    def words(self, product: Ref) -> list[Words]:
        if product not in self._words:
            op, step = self._graph.lines[product].op, self._graph.step
            assert isinstance(op, Affine)
            matrices = [step.weights[name].reshape(self._graph.lines[product].size, -1) for name in op.weights]
            self._words[product], _ = packed_terms(matrices, op.format)
        return self._words[product]


@dataclass(frozen=True)
class Partition:
    """All pieces, in the order in which each team runs its own.

    Attributes:
        pieces: of all teams, in the order of their tasks.
        teams: in the cluster.
        blocks: that they are on.
        kind: of these: one by itself, several that write into each other's shared memory, or several that cannot.
        groups: of streams, that each tile is multiplied for.
        cycles: a tick, as estimated.
    """

    pieces: tuple[Piece, ...]
    teams: int
    blocks: int
    kind: Kind
    groups: int
    cycles: float

    def block(self, team: int) -> int:
        return team * self.blocks // self.teams

    def of(self, team: int) -> list[Piece]:
        """The pieces of one team."""
        return [piece for piece in self.pieces if piece.team == team]


def elements_of(task: Task, outputs: range) -> Indices:
    """The elements of a task's value that some of its outputs are."""
    parts = task.parts if task.product == task.makes else 1
    here = np.arange(outputs.start, outputs.stop)
    return np.concatenate([part * task.outputs + here for part in range(parts)])


def partition(graph: Graph, weights: Weights, blocks: int, kind: Kind, room: Sequence[int], groups: int) -> Partition:
    """Give each task to a team, or its outputs to several.

    Args:
        graph: what there is to do.
        weights: cut into tiles.
        blocks: that the teams are on.
        kind: of these.
        room: for each team, tiles that each of its warps can hold.
        groups: of streams in a pass.
    """
    placed = _Assignment(graph, weights, room, groups).pieces()
    found = Partition(tuple(placed), len(room), blocks, kind, groups, 0.0)
    return replace(found, cycles=timeline(graph, found)[0])


class _Assignment:
    def __init__(self, graph: Graph, weights: Weights, room: Sequence[int], groups: int) -> None:
        self._graph, self._weights, self._teams, self._groups = graph, weights, len(room), groups
        self._tasks = graph.tasks
        self._room = list(room)  # what is left of it
        self._empty = [True] * len(room)
        self._chosen: dict[Ref, list[tuple[int, range]]] = {}
        self._whole = {task.makes: self._piece(task, range(task.outputs), 0) for task in self._tasks}
        self._cuts = self._cut_alike()

    def pieces(self) -> list[Piece]:
        chain = self._on_the_way()
        products = [task for task in self._tasks if task.product is not None]
        products.sort(key=lambda task: (-self._cuts[task.makes], -self._whole[task.makes].tiles))  # large ones first
        team = self._place_chain([t for t in self._tasks if t.makes in chain and self._cuts[t.makes] == 1])
        rest = list(range(min(team + 1, self._teams - 1), self._teams))
        for task in products:
            if task.makes not in self._chosen:
                self._place(task, self._cuts[task.makes], rest)
        for task in reversed(self._tasks):
            if task.makes not in self._chosen:
                self._chosen[task.makes] = [(self._near(task), range(task.outputs))]
        return [self._piece(task, outputs, team) for task in self._tasks for team, outputs in self._chosen[task.makes]]

    def _piece(self, task: Task, outputs: range, team: int) -> Piece:
        terms = self._weights.tiles(task, outputs)
        units = -(-len(outputs) // unit_outputs(task.parts))
        steps = sum(term.steps for term in terms)
        by_columns = bool(terms) and units < WARPS_A_TEAM - 1 and units * unit_tiles(task.parts) * steps > FEW_STEPS
        return Piece(task, outputs, team, by_columns, terms)

    def _cut_alike(self) -> dict[Ref, int]:
        """How many pieces each task is cut into: the same where elements are read one by one."""
        cuts = {task.makes: self._cuts_wanted(task) for task in self._tasks}
        by_name = {task.makes: task for task in self._tasks}
        while True:
            before = dict(cuts)
            for task in self._tasks:
                whole = range(task.outputs)
                for read in self._graph.reads(task, whole):
                    other = by_name.get(read.value)
                    alike = other is not None and other.outputs == task.outputs and read.elements is not None
                    if alike and task.product is not None and by_name[read.value].product is not None:
                        cuts[task.makes] = cuts[read.value] = max(cuts[task.makes], cuts[read.value])
            if cuts == before:
                return cuts

    def _cuts_wanted(self, task: Task) -> int:
        if task.product is None:
            return 1
        units = self._whole[task.makes].units
        tiles = sum(term.words.size for term in self._whole[task.makes].terms) // 128
        return max(1, min(units, self._teams, -(-tiles // TILES_A_PIECE)))

    def _on_the_way(self) -> set[Ref]:
        """The tasks of the longest way through a tick."""
        cost = {
            task.makes: self._whole[task.makes].cycles(self._graph, self._groups) / self._cuts[task.makes] + SAME_TEAM
            for task in self._tasks
        }
        reads = {task.makes: list(self._graph.reads(task, range(task.outputs))) for task in self._tasks}
        before = {ref: [r.value for r in found if r.ticks == 0 and r.value in cost] for ref, found in reads.items()}
        waiting = self._waiting(reads, before)
        down = dict(cost)
        for task in self._tasks:
            down[task.makes] += max((down[x] for x in before[task.makes]), default=0.0)
        up = dict.fromkeys(cost, 0.0)
        for task in reversed(self._tasks):
            for x in before[task.makes]:
                up[x] = max(up[x], up[task.makes] + cost[task.makes])
        longest = max(down[ref] + up[ref] for ref in waiting)
        return {ref for ref in waiting if down[ref] + up[ref] >= ON_THE_WAY * longest}

    def _waiting(self, reads: Mapping[Ref, list[Read]], before: Mapping[Ref, list[Ref]]) -> set[Ref]:
        """The tasks that need what was drawn last, themselves or through others; all where nothing is drawn."""

        def reached(start: set[Ref]) -> set[Ref]:
            found = set(start)
            for task in self._tasks:
                if found & set(before[task.makes]):
                    found.add(task.makes)
            return found

        drawn = reached({task.makes for task in self._tasks if isinstance(self._graph.lines[task.makes].op, Draw)})
        first = {ref for ref, found in reads.items() if any(r.value in drawn and r.ticks == 1 for r in found)}
        return reached(first) or set(before)

    def _place_chain(self, tasks: list[Task]) -> int:
        """Fill team after team; returns the last."""
        team = 0
        for task in tasks:
            tiles = self._whole[task.makes].tiles
            while tiles > self._room[team] and not self._empty[team] and team + 1 < self._teams:
                team += 1
            self._chosen[task.makes] = [(team, range(task.outputs))]
            self._take(team, tiles)
        return team

    def _place(self, task: Task, cuts: int, rest: list[int]) -> None:
        """Cut a task for the teams that have least; where an alike one is, for the same."""
        size = unit_outputs(task.parts)
        units = -(-task.outputs // size)
        alike = [self._chosen[x] for x in self._alike(task) if x in self._chosen and len(self._chosen[x]) == cuts > 1]
        roomy = [
            same for same in alike if all(self._piece(task, o, team).tiles <= self._room[team] for team, o in same)
        ]
        chosen = roomy[0] if roomy else None
        if chosen is None:
            among = rest if len(rest) >= cuts else list(range(self._teams))
            teams = sorted(sorted(among, key=lambda team: -self._room[team])[:cuts])
            edges = [units * i // len(teams) * size for i in range(len(teams))] + [task.outputs]
            chosen = [(team, range(a, b)) for team, a, b in zip(teams, edges, edges[1:], strict=False)]
        self._chosen[task.makes] = chosen
        for team, outputs in chosen:
            self._take(team, self._piece(task, outputs, team).tiles)

    def _take(self, team: int, tiles: int) -> None:
        self._room[team] -= tiles
        self._empty[team] = False

    def _alike(self, task: Task) -> list[Ref]:
        """Tasks with as many outputs, in units of one size, that it reads or that read it."""
        found: list[Ref] = []
        for other in self._tasks:
            if other.outputs == task.outputs and unit_outputs(other.parts) == unit_outputs(task.parts):
                first, second = (task, other) if other.makes in self._whole else (other, task)
                reads = {r.value for t in (first, second) for r in self._graph.reads(t, range(t.outputs))}
                if {task.makes, other.makes} & reads:
                    found.append(other.makes)
        return found

    def _near(self, task: Task) -> int:
        """The team of what reads a task, or else of what it reads."""
        for other in self._tasks:
            if other.makes in self._chosen and other.makes != task.makes:
                reads = self._graph.reads(other, range(other.outputs))
                if any(r.value == task.makes and r.ticks == 0 for r in reads):
                    return self._chosen[other.makes][0][0]
        for read in self._graph.reads(task, range(task.outputs)):
            if read.value in self._chosen:
                return self._chosen[read.value][0][0]
        return 0


TICKS_SIMULATED = 4


@dataclass(frozen=True)
class Stop:
    """A piece on the critical path: when it begins and ends, in cycles, and when it could have begun elsewhere."""

    piece: int
    tick: int
    begin: float
    end: float


def timeline(graph: Graph, found: Partition) -> tuple[float, list[Stop]]:
    """A tick's cycles once ticks repeat, and the way from the end of one to the end of the next.

    Every team runs its pieces in order, and waits for what they read. An estimate: nothing is measured.
    """
    made: dict[tuple[Ref, int], list[Stop]] = {}
    last_of: dict[int, Stop] = {}
    because: dict[Stop, Stop | None] = {}
    reads: Mapping[int, list[tuple[Ref, int]]] = {
        i: list(dict.fromkeys((r.value, r.ticks) for r in graph.reads(piece.task, piece.outputs)))
        for i, piece in enumerate(found.pieces)
    }
    ends: list[Stop] = []
    for tick in range(TICKS_SIMULATED):
        for i, piece in enumerate(found.pieces):
            before = last_of.get(piece.team)
            begin, reason = (before.end, before) if before else (0.0, None)
            for value, ticks in reads[i]:
                for stop in made.get((value, tick - ticks), []):
                    ready = stop.end + _handover(found, found.pieces[stop.piece].team, piece.team)
                    if ready > begin:
                        begin, reason = ready, stop
            stop = Stop(i, tick, begin, begin + piece.cycles(graph, found.groups))
            because[stop] = reason
            last_of[piece.team] = stop
            made.setdefault((piece.task.makes, tick), []).append(stop)
        last = [s for (ref, when), stops in made.items() if when == tick and _ends(graph, ref) for s in stops]
        ends.append(max(last, key=lambda stop: stop.end))
    path: list[Stop] = []
    at: Stop | None = ends[-1]
    while at is not None and at.end > ends[-2].end:
        path.append(at)
        at = because[at]
    return ends[-1].end - ends[-2].end, path[::-1]


def _ends(graph: Graph, ref: Ref) -> bool:
    return isinstance(graph.lines[ref].op, (Draw, Emit))


def _handover(found: Partition, giver: int, taker: int) -> float:
    if giver == taker:
        return SAME_TEAM
    return SAME_BLOCK if found.block(giver) == found.block(taker) else OTHER_BLOCK[found.kind]
