"""What a kernel's text says of the blocks that it runs on: a cluster, or a grid that hands over through global memory.

A multiprocessor by itself is a cluster of one. `handover.py` says what is handed over and how, for both.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib.resources import files

from wavejit.backends.cuda.device import COURIER_THREADS, THREADS_A_TEAM
from wavejit.backends.cuda.partition import Partition
from wavejit.backends.cuda.place import Places
from wavejit.backends.cuda.text import Text
from wavejit.ir.ops import Ref

LANES = 32


def primitives(name: str) -> str:
    """A part of the text that is the same for all models."""
    return files("wavejit.backends.cuda").joinpath(name).read_text(encoding="utf-8")


def threads_a_block(found: Partition) -> int:
    """Threads of a block: its teams', and in a grid its courier's."""
    return THREADS_A_TEAM * found.teams // found.blocks + COURIER_THREADS * (found.kind == "grid")


class Cluster:
    """Blocks that write into each other's shared memory.

    Attributes:
        parameter: what the kernel and each team take besides weights, requests and ticks.
        argument: the same, as it is handed on.
        number: of a block among those of its pass.
        barrier: where all blocks meet that could write to one that has not begun, or has ended.
        of_stream: what a lane must know besides of a stream, and from which number in its pass.
    """

    parameter = argument = ""
    number = "block_in_cluster()"
    barrier = "cluster_barrier();"
    of_stream: Sequence[tuple[str, str]] = ()

    def __init__(self, found: Partition, places: Places, streams: int) -> None:
        self.found, self.places, self.streams = found, places, streams

    def library(self) -> list[str]:
        """What its kernels are written in besides `common.cuh`."""
        return []

    def tables(self, text: Text) -> None:
        """Write what is known of each block before the kernel."""

    def begin(self, text: Text) -> None:
        """Write what a block does first."""

    @contextmanager
    def teams(self, text: Text) -> Generator[None, None, None]:
        """Where the teams are called."""
        yield

    def end_of_tick(self) -> str:
        """Tell all that a team has ended a tick."""
        blocks = self.found.blocks
        everyone = sum(block << (4 * block) for block in range(blocks))
        return f"tell(memory() + {self.places.done_barrier}, i, {everyone}ull, {blocks});"

    def ranks(self, index: int) -> tuple[int, ...]:
        """The blocks in whose shared memory a piece's outputs are stored, by their numbers in the cluster."""
        return self.places.destinations[index]

    def tell(self, ref: Ref, run: str, text: Text) -> None:
        """Tell others than those that a piece stores into that it has made its part of a run."""

    def elsewhere(self, ref: Ref, run: str, stream: str) -> str | None:
        """Where a value is stored besides, for others to fetch."""


class Grid(Cluster):
    """Blocks anywhere on the GPU; one is alone in its cluster."""

    parameter, argument = ", char* handed", ", handed"
    barrier = "block_barrier();"
    of_stream = (("int number;              // in its pass", "s.number = number;"),)

    @property
    def number(self) -> str:
        return f"block_number() % {self.found.blocks}"

    def library(self) -> list[str]:
        return primitives("grid.cuh").splitlines()

    def tables(self, text: Text) -> None:
        starts, counts = zip(*self.places.errands, strict=True)
        text(f"const long long HANDED = {self.places.handed_bytes};  // bytes that a pass hands over")
        text(f"DEVICE const unsigned ERRANDS[] = {{{', '.join(map(str, starts))}}};")
        text(f"DEVICE const int ERRAND_COUNTS[] = {{{', '.join(map(str, counts))}}};")

    def begin(self, text: Text) -> None:
        text(f"handed += block_number() / {self.found.blocks} * HANDED;")

    @contextmanager
    def teams(self, text: Text) -> Generator[None, None, None]:
        """Beside the teams, whose warps are the first, one warp is the courier."""
        teams = threads_a_block(self.found) - COURIER_THREADS
        each = -(-max(count for _, count in self.places.errands) // LANES)
        with text.block(f"if (thread() >= {teams})"):
            text("give_registers();")
            text("const Errand* errands = (const Errand*)(memory() + ERRANDS[block]);")
            text(f"if (thread() < {teams + LANES})")
            of_block = "errands, ERRAND_COUNTS[block], handed, count, memory() + VALUES, A_STREAM"
            text(f"  courier<{each}, {self.streams}>(group, {of_block});")
            text("have_registers_back();")
        with text.block("else"):
            text("take_registers();")
            yield
            text("give_registers_back();")

    def end_of_tick(self) -> str:
        return "tell_couriers(handed, i);"

    def ranks(self, index: int) -> tuple[int, ...]:
        return tuple(0 for _ in self.places.destinations[index])

    def tell(self, ref: Ref, run: str, text: Text) -> None:
        if ref in self.places.carried:
            text(f"tell_couriers(handed + {self.places.carried[ref].counters}, {run});")

    def elsewhere(self, ref: Ref, run: str, stream: str) -> str | None:
        if ref not in self.places.carried:
            return None
        slot = f"(({run}) & 1) * {self.streams} + {stream}.number"
        return f"handed + {self.places.carried[ref].offset} + ({slot}) * slot_{ref}"
