"""The ceiling is a positive figure of this machine, and reads all of what it is told to."""

import pytest

from tests.cases import HOST_ISAS
from wavejit.backends.llvm.compile import host_target
from wavejit.runtime.roofline import Roofline


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("isa", HOST_ISAS)
def test_ceilings(isa: str, threads: int) -> None:
    roofline = Roofline(host_target(isa), 64 * 1024, threads=threads)
    assert 1e8 < roofline.bytes_per_second() < 1e13
    assert 1e7 < roofline.multiply_adds_per_second() < 1e13
    assert abs(sum(roofline.read_bytes) - 64 * 1024) <= 2048 * 4 * threads


def test_less_than_a_block_is_one_block() -> None:
    assert Roofline(host_target("generic"), 1).bytes_per_second() > 0
