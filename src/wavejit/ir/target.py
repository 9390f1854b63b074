"""What the passes and backends need to know of the machine that the code is for; a value, never looked up."""

from __future__ import annotations

from dataclasses import dataclass

from wavejit.ir.formats import FormatName


@dataclass(frozen=True)
class Target:
    """A machine.

    Attributes:
        isa: the instruction set that kernels are written for: a name in `backends/llvm/isa.py`.
        triple: LLVM's name of architecture, system and object format.
        cpu: LLVM's name of the processor, or "" for the architecture's baseline.
        features: LLVM's feature string, such as "+avx2,+fma".
        lanes: float32 elements of one vector register.
        accumulators: registers that a matrix product may keep its totals in.
        byte_offset: added to 8-bit inputs of products: 128 where the processor wants them unsigned.
        tables: vectors, one or two, that each lane can take a word of in an instruction; 0 if it has none.
        written: blocks of sparse products that the code of a step may have one by one; more would take LLVM too long.
        table_bytes: the largest table that a pass may make; larger ones would leave the near caches.
        measures: whether inputs of integer products can be measured each tick.
        fine: the format of products that are not worth an error, where they are not to be float32.
        wide: the format of products that 8 bits are too few for, and, if nothing is measured, of those with inputs
            of unknown range.
    """

    isa: str
    triple: str
    cpu: str
    features: str
    lanes: int
    accumulators: int
    byte_offset: int = 0
    tables: int = 0
    written: int = 0
    table_bytes: int = 512 * 1024
    measures: bool = True
    fine: FormatName = "float32"
    wide: FormatName = "int16"

    @property
    def vector_bits(self) -> int:
        return 32 * self.lanes

    @property
    def divides_64_bits(self) -> bool:
        """Whether 64-bit integers are divided in place; 32-bit ARM would call a library for it."""
        return not self.triple.startswith("armv7")

    def describe(self) -> str:
        return f"{self.isa} ({self.vector_bits}-bit vectors, {self.triple}{', ' + self.cpu if self.cpu else ''})"
