"""What Linux wants to be asked for before a process uses it: memory that each thread then keeps for tile registers."""

from __future__ import annotations

import ctypes
import platform
import sys
from functools import cache

ARCH_PRCTL = 158  # of x86-64
ARCH_REQ_XCOMP_PERM = 0x1023
XFEATURE_XTILEDATA = 18


@cache
def tiles_permitted() -> bool:
    """Whether this process may use tile registers, all its threads included; asked for once."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    call = ctypes.CDLL(None).syscall
    call.restype = ctypes.c_long
    arguments = ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return call(*map(ctypes.c_long, arguments)) == 0
