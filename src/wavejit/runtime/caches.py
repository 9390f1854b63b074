"""The caches of this machine, and which of them a number of bytes is read from when they are read over and over."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CPU = Path("/sys/devices/system/cpu/cpu0")
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


@dataclass(frozen=True)
class Cache:
    """One level of cache for data.

    Attributes:
        name: "L1", "L2" …
        size: in bytes.
        shared: whether several cores share it.
    """

    name: str
    size: int
    shared: bool


def level(read_bytes: float, threads: int = 1) -> str:
    """Where bytes are read from, each thread its part: the first level with room for them.

    Returns:
        "L1", "L2" …; "memory" where none has room; "" where the system does not tell its caches.
    """
    for found in caches():
        if (read_bytes if found.shared else read_bytes / threads) <= found.size:
            return found.name
    return "memory" if caches() else ""


@cache
def caches(cpu: Path = CPU) -> tuple[Cache, ...]:
    """The caches for data of a processor, the nearest first, as Linux tells them; none elsewhere."""
    try:
        core = (cpu / "topology/thread_siblings_list").read_text()
        folders = sorted((cpu / "cache").glob("index*"), key=lambda folder: folder.name)
        found = [_cache(folder, core) for folder in folders if (folder / "type").read_text() != "Instruction\n"]
    except OSError:
        return ()
    return tuple(sorted((one for one in found if one), key=lambda one: one.name))


def _cache(folder: Path, core: str) -> Cache | None:
    """One cache; `core`: the processors of one core, as the system lists them."""
    size = re.fullmatch(r"(\d+)([KMG])\n", (folder / "size").read_text())
    if size is None:
        return None
    shared = (folder / "shared_cpu_list").read_text() != core
    return Cache(f"L{(folder / 'level').read_text().strip()}", int(size[1]) * UNITS[size[2]], shared)
