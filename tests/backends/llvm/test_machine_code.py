"""What LLVM makes of a product, which it would spoil unasked, and what a tick asks for before it needs it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest

from wavejit.backends.llvm.compile import assembly
from wavejit.backends.llvm.isa import ISAS
from wavejit.backends.llvm.program import generate
from wavejit.ir.formats import FormatName
from wavejit.ir.ops import Step
from wavejit.ir.target import Target
from wavejit.models import builtin
from wavejit.passes import lower

AVX2 = ISAS["avx2"].target("x86_64-unknown-linux-gnu", "znver3")  # LLVM writes it on any machine
REGISTERS = 16


def network(name: str, precision: FormatName, target: Target = AVX2) -> Step:
    family, found = builtin(name) or pytest.fail("a built-in network")
    step = family.step(name, found, family.random_weights(found))
    return lower(replace(step, precision=precision), target)


@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_a_product_of_integers_keeps_its_totals_in_registers(precision: FormatName) -> None:
    """Sums that LLVM regroups need the inputs of many columns at once, and put them into memory."""
    text = assembly(generate(network("deepvoice-4-64-128", precision), AVX2).text, AVX2)
    (kernel,) = re.findall(rf"\naffine_{precision}_128x64_add1_identity:\n(.*?)\n\tret", text, re.DOTALL)
    assert "%ymm" in kernel
    assert len(re.findall(r"%ymm\d+, -?\d*\(%rsp\)", kernel)) <= REGISTERS


@pytest.mark.parametrize(
    ("isa", "precision", "multiply", "instructions"),
    [
        ("neon_dotprod", "int8", {"sdot"}, {"sdot"}),
        ("neon", "int8", {"smull", "smull2"}, {"smull", "smull2", "addp", "sadalp", "saddlp"}),
        ("neon_dotprod", "int16", {"smlal2"}, {"tbl", "smull", "smlal", "smlal2"}),
        ("neon", "int16", {"smlal2"}, {"tbl", "smull", "smlal", "smlal2"}),
    ],
)
def test_integers_on_arm(isa: str, precision: FormatName, multiply: set[str], instructions: set[str]) -> None:
    """One multiplication, or one for each half, for each vector of weights; no bytes or halves moved on the way."""
    target = ISAS[isa].target("aarch64-unknown-linux-gnu")
    text = assembly(generate(network("deepvoice-4-64-128", precision, target), target).text, target)
    (kernel,) = re.findall(rf"\naffine_{precision}_128x64_add1_identity:\n(.*?)\n\tret", text, re.DOTALL)
    found = Counter(re.findall(r"^\t(\w+)\tv", kernel, re.MULTILINE))
    floats = {"fmul", "fmla", "fadd", "scvtf", "movi", "mov"}
    assert set(found) - floats == instructions
    loads = 128  # of weights: a tile's, or those of an unrolled round
    assert {found[each] for each in multiply} == {loads}


def test_a_long_past_is_asked_for() -> None:
    """deepvoice-12 looks back by 1 to 512 ticks, and by 1 and 2 again: the near ones are still there."""
    text = generate(network("deepvoice-12-64-128", "float32"), AVX2).text
    (run,) = re.findall(r"define void @run\(.*?\n}", text, re.DOTALL)
    lines = 64 * 4 // 64
    far = [ticks for ticks in (*(2**i for i in range(10)), 1, 2) if ticks * 64 >= 512]
    assert run.count("call void @llvm.prefetch") == lines * len(far)


def test_many_streams_ask_for_the_past_before_its_product() -> None:
    """Not all of it as a tick begins: each layer's is asked for by the streams that the product before is done with."""
    text = generate(network("deepvoice-6-32-32", "int8"), AVX2, streams=2).text
    body = text.split("@run_many(")[1].split("\n}")[0]
    before_products = [part.count("@llvm.prefetch") for part in body.split("call void @affine")[:-1]]
    assert sum(count > 0 for count in before_products) >= 6
