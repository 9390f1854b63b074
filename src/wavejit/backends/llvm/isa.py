"""Instruction sets as values: kernels ask them for lanes and operations, and never which one they are."""

from __future__ import annotations

from dataclasses import dataclass

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
        attributes: LLVM function attributes.
    """

    name: str
    architecture: str
    lanes: int
    accumulators: int
    features: str
    needs: frozenset[str]
    fused: bool
    attributes: str = ""

    def target(self, triple: str, cpu: str = "") -> Target:
        return Target(self.name, triple, cpu, self.features, self.lanes, self.accumulators)


AVX512 = ISA(
    "avx512",
    "x86_64",
    lanes=16,
    accumulators=8,
    # Without the last one LLVM halves the vectors on some processors.
    features="+avx512f,+avx512bw,+avx512dq,+avx512vl,+avx2,+fma,+bmi2,-prefer-256-bit",
    needs=frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx2", "fma", "bmi2"}),
    fused=True,
    attributes='"prefer-vector-width"="512"',
)
AVX2 = ISA("avx2", "x86_64", 8, 8, "+avx2,+fma", frozenset({"avx2", "fma"}), fused=True)
SSE4 = ISA("sse4", "x86_64", 4, 8, "+sse4.2", frozenset({"sse4.2"}), fused=False)
NEON = ISA("neon", "aarch64", 4, 8, "+neon", frozenset({"neon"}), fused=True)
GENERIC = ISA("generic", "", 4, 4, "", frozenset(), fused=False)

ISAS = {isa.name: isa for isa in (AVX512, AVX2, SSE4, NEON, GENERIC)}
"""Widest first for each architecture; `generic` runs anywhere."""
