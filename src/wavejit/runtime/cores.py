"""Which processor cores threads may be pinned to: one of each physical core, none twice in this process."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_LOCK = threading.Lock()
_TAKEN: set[int] = set()


def allowed() -> list[int]:
    """One logical processor of each physical core that the calling thread may run on."""
    if sys.platform != "linux":
        return list(range(os.cpu_count() or 1))
    return list({_physical(cpu): cpu for cpu in sorted(os.sched_getaffinity(0), reverse=True)}.values())


@contextmanager
def taken(count: int) -> Generator[list[int] | None, None, None]:
    """So many cores that nobody else in this process has taken, or None if there are not as many."""
    with _LOCK:
        free = [cpu for cpu in allowed() if cpu not in _TAKEN][:count]
        mine = free if len(free) == count else None
        _TAKEN.update(mine or ())
    try:
        yield mine
    finally:
        with _LOCK:
            _TAKEN.difference_update(mine or ())


@contextmanager
def pinned(cpu: int) -> Generator[None, None, None]:
    """Keep the calling thread on one processor, where the system can."""
    if sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@cache
def yield_address() -> int:
    """The address of the system's function that offers this core to another thread."""
    function = ctypes.windll.kernel32.SwitchToThread if sys.platform == "win32" else ctypes.CDLL(None).sched_yield
    return ctypes.cast(function, ctypes.c_void_p).value or 0


@cache
def _physical(cpu: int) -> str:
    """What processors that share a core have in common."""
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(cpu)
