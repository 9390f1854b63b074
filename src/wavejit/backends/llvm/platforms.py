"""Architectures that object files are written for, and what each of their processors is taken to have."""

from __future__ import annotations

from dataclasses import dataclass, replace

from wavejit.backends.llvm.isa import ISA, ISAS
from wavejit.backends.llvm.program import UnsupportedError
from wavejit.ir.target import Target


@dataclass(frozen=True)
class Platform:
    """One architecture; all are little-endian, as packed weights are.

    Attributes:
        isa: the instruction set that all its processors have.
        others: the architecture in whose name `isa.py` has more instruction sets.
        features: what LLVM does not take for granted, and Linux distributions and browsers do.
        pointer_bits: of an address, and so of C's `size_t`.
    """

    isa: str
    others: str
    features: tuple[str, ...]
    pointer_bits: int

    @property
    def isas(self) -> list[ISA]:
        """Instruction sets that make a difference to an object file, which runs one stream: it multiplies no tiles."""
        return [isa for isa in ISAS.values() if isa.architecture in ("", self.others) and isa.tiles is None]


# LLVM knows more architectures; with some of them code like this ends the process.
PLATFORMS = {
    "x86_64": Platform("generic", "x86_64", (), 64),
    "aarch64": Platform("neon", "aarch64", (), 64),
    "arm64": Platform("neon", "aarch64", (), 64),  # as Apple writes it
    "armv7": Platform("generic", "armv7", ("+neon",), 32),
    "riscv64": Platform("generic", "riscv64", ("+m", "+a", "+f", "+d", "+c"), 64),
    "wasm32": Platform("generic", "wasm32", ("+simd128",), 32),
}


def architecture(triple: str) -> str:
    """The first part of an LLVM triple."""
    return triple.split("-")[0]


def normal(triple: str) -> str:
    """A triple in full: LLVM takes the part after the architecture for the vendor, which short ones leave out."""
    match triple.split("-"):
        case [arch, "linux" as system, environment]:
            return f"{arch}-unknown-{system}-{environment}"
        case [arch, "none" as vendor, environment]:
            return f"{arch}-{vendor}-unknown-{environment}"
        case _:
            return triple


def platform(triple: str) -> Platform:
    """The platform of a triple.

    Raises:
        UnsupportedError: it is of another architecture.
    """
    found = PLATFORMS.get(architecture(triple))
    if found is None:
        raise UnsupportedError(f"target is {triple!r}, expected a triple that begins with {', '.join(PLATFORMS)}")
    return found


def platform_target(triple: str, isa: str | None = None) -> Target:
    """Code for a triple that any processor with the instruction set `isa` runs; None for what all of them have.

    Raises:
        UnsupportedError: another architecture, or an instruction set that it does not have.
    """
    known = platform(triple)
    name = known.isa if isa is None else isa
    if name not in (possible := [each.name for each in known.isas]):
        raise UnsupportedError(f"isa is {name!r}, expected one of {architecture(triple)}: {', '.join(possible)}")
    target = ISAS[name].target(normal(triple))
    return replace(target, features=",".join(filter(None, (*known.features, target.features))))
