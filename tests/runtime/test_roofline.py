"""The ceiling is a positive figure of this machine, and reads all of what it is told to."""

import pytest

from tests.cases import HOST_ISAS
from wavejit.backends.llvm.ceiling import ceilings
from wavejit.backends.llvm.compile import host_target
from wavejit.ir.formats import PRECISIONS, FormatName
from wavejit.runtime.roofline import Roofline


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("isa", HOST_ISAS)
def test_ceilings(isa: str, threads: int) -> None:
    roofline = Roofline(host_target(isa), 64 * 1024, threads=threads)
    assert 1e8 < roofline.bytes_per_second() < 1e13
    assert 1e7 < roofline.multiply_adds_per_second() < 1e13
    assert abs(sum(roofline.read_bytes) - 64 * 1024) <= 2048 * 4 * threads


@pytest.mark.parametrize("format", PRECISIONS)
def test_each_format_has_a_ceiling(format: FormatName) -> None:
    """In its inputs' arithmetic: a word of four or eight columns takes in as many products as there are inputs."""
    assert 1e7 < Roofline(host_target(), 4096, format).multiply_adds_per_second() < 1e13
    made = ceilings(host_target(), format)
    assert made.products == made.elements * {"int16": 2, "mxint8": 4, "int8": 4, "int4": 4}.get(format, 1)


def test_less_than_a_block_is_one_block() -> None:
    assert Roofline(host_target("generic"), 1).bytes_per_second() > 0
