"""How what a piece makes gets to the blocks that read it.

    cluster    its maker writes it into the shared memory of each of them, and each of its warps arrives at a barrier
               there
    grid       its maker writes it into global memory, and each of its warps adds to a counter there; in each block that
               reads it a courier, a warp that does nothing else, waits for the counter, copies the value into shared
               memory, and arrives at the barrier for all (grid.cuh)

In both a team waits for nothing but barriers of its own block, and what it reads lies in its shared memory. In a grid,
what is read only where it is made is written there at once; a courier brings the whole of a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wavejit.backends.cuda.device import WARPS_A_TEAM
from wavejit.backends.cuda.graph import Graph
from wavejit.backends.cuda.images import ALIGNMENT
from wavejit.backends.cuda.partition import Partition, elements_of
from wavejit.ir.layout import rounded
from wavejit.ir.ops import Ref

BARRIER = 8  # bytes
BARRIERS = 4  # of a value: each serves every fourth run
DONE = 0  # where the barriers lie that end a tick, in bytes from the start of a block's memory
COUNTERS = 8  # bytes of a pair: each serves every other run
AT_ONCE = 2  # runs of a value that global memory holds: no team begins a tick before all have ended the last but one


@dataclass(frozen=True)
class Carried:
    """A value that couriers bring.

    Attributes:
        blocks: whose couriers do.
        arrivals: at its counter, each run: of all warps that make it.
        counters: bytes from the start of what a pass hands over to its two counters.
        offset: the same, to the value: the slots of two runs, each with all streams of the pass.
    """

    blocks: tuple[int, ...]
    arrivals: int
    counters: int
    offset: int


class Handover:
    """Who reads what, in a partition.

    Attributes:
        destinations: for each piece, the blocks into whose shared memory it writes.
        carried_to: for each value, the blocks that a courier brings it to.
        signalled: the values that another team reads than the one that makes them.
    """

    def __init__(self, graph: Graph, found: Partition) -> None:
        self._found = found
        self._makers: dict[Ref, list[int]] = {}
        for i, piece in enumerate(found.pieces):
            self._makers.setdefault(piece.task.makes, []).append(i)
        self.signalled: set[Ref] = set()
        readers = self._readers(graph)
        self.carried_to = self._carried_to(readers) if found.kind == "grid" else {}
        self.destinations = tuple(
            tuple(sorted(blocks - set(self.carried_to.get(piece.task.makes, ()))))
            for piece, blocks in zip(found.pieces, readers, strict=True)
        )

    def _readers(self, graph: Graph) -> list[set[int]]:
        """For each piece the blocks that read it."""
        pieces = self._found.pieces
        blocks: list[set[int]] = [set() for _ in pieces]
        made = [elements_of(piece.task, piece.outputs) for piece in pieces]
        for reader in pieces:
            for read in graph.reads(reader.task, reader.outputs):
                if read.value not in graph.kept or graph.ring_of(read.value, read.ticks):
                    continue
                for i in self._makers.get(read.value, []):
                    if read.elements is None or len(np.intersect1d(read.elements, made[i], assume_unique=False)):
                        blocks[i].add(self._found.block(reader.team))
                        if pieces[i].team != reader.team:
                            self.signalled.add(read.value)
        return blocks

    def _carried_to(self, readers: list[set[int]]) -> dict[Ref, tuple[int, ...]]:
        """For each value the blocks that read some of it that others make."""
        found: dict[Ref, set[int]] = {}
        for piece, blocks in zip(self._found.pieces, readers, strict=True):
            elsewhere = blocks - {self._found.block(piece.team)}
            if elsewhere:
                found.setdefault(piece.task.makes, set()).update(elsewhere)
        return {ref: tuple(sorted(blocks)) for ref, blocks in found.items()}

    def holders(self, ref: Ref) -> list[int]:
        """The blocks in whose shared memory a value lies."""
        written = {block for i in self._makers[ref] for block in self.destinations[i]}
        return sorted(written.union(self.carried_to.get(ref, ())))

    def barriers(self) -> dict[Ref, int]:
        """Where each value's barriers lie in a block's memory, behind those that end a tick."""
        signalled = (ref for ref in self._makers if ref in self.signalled)
        return {ref: BARRIERS * BARRIER * (i + 1) for i, ref in enumerate(signalled)}

    def counts(self, barriers: Mapping[Ref, int]) -> NDArray[np.uint32]:
        """How often each barrier of each block is arrived at before it opens: `(blocks, barriers)`."""
        counts = np.zeros((self._found.blocks, BARRIERS * (len(barriers) + 1)), np.uint32)
        counts[:, :BARRIERS] = 1 if self._found.kind == "grid" else self._found.teams
        for i, piece in enumerate(self._found.pieces):
            if piece.task.makes in barriers:
                at = barriers[piece.task.makes] // BARRIER
                for block in self.destinations[i]:
                    counts[block, at : at + BARRIERS] += WARPS_A_TEAM
        for ref, blocks in self.carried_to.items():
            at = barriers[ref] // BARRIER
            counts[list(blocks), at : at + BARRIERS] = 1
        return counts

    @property
    def ends_of_a_tick(self) -> int:
        """How many say each tick that they have ended it: teams, and couriers."""
        return self._found.teams + self._found.blocks

    def carried(self, sizes: Mapping[Ref, int]) -> tuple[dict[Ref, Carried], int]:
        """What a pass hands over through global memory, and its bytes.

        Args:
            sizes: of a slot of each value, of all streams, in bytes.
        """
        found: dict[Ref, Carried] = {}
        if self._found.kind != "grid":
            return found, 0
        at = rounded(COUNTERS * (1 + len(self.carried_to)), ALIGNMENT)  # those that end a tick are the first
        for i, (ref, blocks) in enumerate(self.carried_to.items()):
            found[ref] = Carried(blocks, WARPS_A_TEAM * len(self._makers[ref]), COUNTERS * (i + 1), at)
            at += rounded(AT_ONCE * sizes[ref], ALIGNMENT)
        return found, at
