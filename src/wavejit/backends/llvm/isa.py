"""Instruction sets as values: kernels ask them for lanes and operations, and never which one they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wavejit.backends.llvm import dots
from wavejit.backends.llvm.dots import Dots
from wavejit.backends.llvm.tiles import AMX, Tiles
from wavejit.ir.target import Target


@dataclass(frozen=True)
class ISA:
    """How vector code is written for one kind of processor.

    Attributes:
        name: as in `--target`.
        architecture: the first part of an LLVM triple; "" for any.
        lanes: float32 elements of a vector.
        accumulators: vectors that a product keeps its totals in; leaves registers for weights and inputs.
        features: LLVM's feature string.
        needs: features that a host must have, by LLVM's names.
        fused: whether it multiplies and adds in one instruction with one rounding.
        dots: how it adds up products of integers.
        half: whether it converts float16 to float32 in one instruction.
        written: blocks of sparse products that a step's code may have one by one, instead of lists.
        streams: that can share each load of weights, with the totals of all in registers.
        tiles: registers that multiply the inputs of many streams at once, or None.
        side_by_side: vectors whose long functions are worked out in step: each alone would wait for itself.
        look_up: the instruction by which each lane takes the word of the lane that it names, or "".
        tables: vectors that it takes words of, one or two; 0 without it.
        look_up_floats: the same for floats of two vectors.
        attributes: LLVM function attributes.
    """

    name: str
    architecture: str
    lanes: int
    accumulators: int
    features: tuple[str, ...]
    fused: bool
    dots: Dots
    half: bool
    look_up: str = ""
    tables: int = 0
    look_up_floats: str = ""
    written: int = 0
    streams: int = 1
    tiles: Tiles | None = None
    side_by_side: int = 1
    tuning: str = ""
    attributes: str = ""

    @property
    def needs(self) -> frozenset[str]:
        return frozenset(self.features)

    @property
    def register(self) -> str:
        """LLVM's letter for a vector register, as inline assembly has it; "" in code for any processor."""
        match self.architecture:
            case "x86_64":
                return "v" if "avx512f" in self.features else "x"
            case "aarch64":
                return "w"
            case _:
                return ""

    @property
    def general_register(self) -> str:
        """The same for an address or a number."""
        return "r" if self.architecture else ""

    @property
    def mask_register(self) -> str:
        """The same for a mask of lanes, where a load can fill some lanes and leave the others as they are."""
        return "k" if "avx512f" in self.features else ""

    @property
    def address_register(self) -> str:
        """The same for an address that is to stay as it is; "" where LLVM need not be told.

        On ARM it counts from the last load of an unrolled round, and takes each other load's distance off first.
        """
        return "r" if self.architecture == "aarch64" else ""

    def target(self, triple: str, cpu: str = "") -> Target:
        """This instruction set on a system."""
        features = ",".join([*(f"+{feature}" for feature in self.features), *filter(None, [self.tuning])])
        return Target(
            self.name,
            triple,
            cpu,
            features,
            self.lanes,
            self.accumulators,
            self.dots.offset8,
            self.tables,
            self.written,
            fine="float16" if self.half else "float32",
        )


WRITTEN = 8_000  # take a second or two to compile, once, and fit the second-level cache

_AVX512 = ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx2", "fma", "f16c", "bmi2")
_REGISTERS_512: Mapping[str, Any] = {
    "half": True,
    "look_up": "llvm.x86.avx512.vpermi2var.d.512",
    "tables": 2,
    "look_up_floats": "llvm.x86.avx512.vpermi2var.ps.512",
    "written": WRITTEN,
    "streams": 3,
    "side_by_side": 4,
    # Without this LLVM halves the vectors on some processors.
    "tuning": "-prefer-256-bit",
    "attributes": '"prefer-vector-width"="512"',
}
_REGISTERS_256: Mapping[str, Any] = {
    "half": True,
    "look_up": "llvm.x86.avx2.permd",
    "tables": 1,
    "written": WRITTEN,
}
_PAIRS_512 = dots.pairs("llvm.x86.avx512.pmaddubs.w.512", "llvm.x86.avx512.pmaddw.d.512")
_PAIRS_256 = dots.pairs("llvm.x86.avx2.pmadd.ub.sw", "llvm.x86.avx2.pmadd.wd", "llvm.x86.avx2.psign.b")
_PAIRS_128 = dots.pairs("llvm.x86.ssse3.pmadd.ub.sw.128", "llvm.x86.sse2.pmadd.wd", "llvm.x86.ssse3.psign.b.128")


_AVX2 = ("avx2", "fma", "f16c")
_VNNI = (*_AVX512, "avx512vnni")

ISAS = {
    isa.name: isa
    for isa in (
        ISA(
            "avx512_amx",
            "x86_64",
            16,
            8,
            (*_VNNI, "amx-tile", "amx-int8"),
            True,
            dots.VNNI_512,
            tiles=AMX,
            **_REGISTERS_512,
        ),
        ISA("avx512_vnni", "x86_64", 16, 8, _VNNI, True, dots.VNNI_512, **_REGISTERS_512),
        ISA("avx512", "x86_64", 16, 8, _AVX512, True, _PAIRS_512, **_REGISTERS_512),
        ISA("avx_vnni", "x86_64", 8, 8, (*_AVX2, "avxvnni"), True, dots.VNNI_256, **_REGISTERS_256),
        ISA("avx2", "x86_64", 8, 8, _AVX2, True, _PAIRS_256, **_REGISTERS_256),
        ISA("sse4", "x86_64", 4, 8, ("sse4.2",), False, _PAIRS_128, False),
        ISA("neon_dotprod", "aarch64", 4, 8, ("neon", "dotprod"), True, dots.NEON_DOTPROD, True),
        ISA("neon", "aarch64", 4, 8, ("neon",), True, dots.NEON, True),
        ISA("generic", "", 4, 4, (), False, dots.GENERIC, False),
    )
}
"""Best first for each architecture; `generic` runs anywhere."""
