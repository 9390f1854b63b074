"""Kernels run on the host: the text of a plan, compiled by the system's C++ compiler above emulated primitives."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from wavejit.backends.cuda.blocks import primitives
from wavejit.backends.cuda.plan import Plan
from wavejit.runtime.cuda_engine import REQUEST

HERE = Path(__file__).parent
COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")

ENTRIES = """
struct Ticks { const char* weights; const Request* requests; int count; char* handed; };
struct Primes { const char* weights; const Request* requests; int ticks, primed; };

extern "C" int run_ticks(const char* weights, const Request* requests, int count, char* handed, int passes, int blocks,
                         int threads, int shared_bytes, unsigned long long seed) {
  Ticks with = {weights, requests, count, handed};
  return launch(passes, blocks, handed != nullptr, threads, shared_bytes, seed,
                [](void* p) { Ticks* t = (Ticks*)p; ticks(t->weights, t->requests, t->count GRIDS_OWN); }, &with);
}
"""
FRAMES_ENTRY = """
extern "C" int run_frames(const char* weights, const Request* requests, int ticks, int primed, int streams) {
  Primes with = {weights, requests, ticks, primed};
  return launch(streams, 1, false, 64, 0, 1,
                [](void* p) { Primes* t = (Primes*)p; frames(t->weights, t->requests, t->ticks, t->primed); }, &with);
}
"""


@cache
def _library(text: str) -> ctypes.CDLL:
    """The text, compiled and loaded."""
    assert COMPILER is not None, "a C++ compiler"
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "kernel.cpp", Path(folder) / "kernel.so"
        source.write_text(text, encoding="utf-8")
        command = [COMPILER, "-std=c++17", "-O1", "-w", "-fno-strict-aliasing", "-shared", "-fPIC"]
        subprocess.run([*command, f"-I{HERE}", str(source), "-o", str(library)], check=True)
        return ctypes.CDLL(str(library))


class HostLauncher:
    """Launches a plan's kernels on the host: the interface of `runtime/cuda_device.py`."""

    def __init__(self, plan: Plan, order: int = 0, at_once: int | None = None) -> None:
        self.plan, self.order, self.at_once = plan, order, at_once
        self.launches: list[int] = []  # of the loop: the passes of each
        has_frames, grid = bool(plan.graph.ahead_tasks), plan.partition.kind == "grid"
        entries = ENTRIES.replace(" GRIDS_OWN", ", t->handed" if grid else "")
        text = "\n".join(
            ['#include "emulation.hpp"', primitives("common.cuh"), plan.source, entries, FRAMES_ENTRY * has_frames]
        )
        self._library = _library(text)
        self.weights = self.upload(plan.places.weights)

    def upload(self, data: np.ndarray) -> np.ndarray:
        """A copy that kernels can read, on a boundary of 128 bytes."""
        raw = np.zeros(data.nbytes + 128, np.uint8)
        start = -raw.ctypes.data % 128
        raw[start : start + data.nbytes] = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        return raw[start : start + data.nbytes]

    def empty(self, size: int) -> np.ndarray:
        """Room for so many bytes."""
        return self.upload(np.zeros(size, np.uint8))

    def download(self, buffer: np.ndarray) -> np.ndarray:
        """What lies in a buffer, as bytes."""
        return buffer.copy()

    def address(self, buffer: np.ndarray) -> int:
        return buffer.ctypes.data

    def frames(self, requests: np.ndarray, streams: int, ticks: int, primed: int) -> None:
        """Launch the conditioning network."""
        arguments = (ctypes.c_void_p(self.address(self.weights)), ctypes.c_void_p(self.address(requests)))
        assert self._library.run_frames(*arguments, ticks, primed, streams), "the kernel stands still"

    def ticks(self, requests: np.ndarray, first: int, passes: int, count: int) -> None:
        """Launch the loop."""
        plan = self.plan
        self.launches.append(passes)
        room = self.empty(passes * plan.places.handed_bytes)
        addresses = (
            self.address(self.weights),
            self.address(requests) + first * plan.streams * REQUEST.itemsize,
            self.address(room) if plan.places.handed_bytes else None,
        )
        weights, requested, handed = map(ctypes.c_void_p, addresses)
        shape = (passes, plan.partition.blocks, plan.threads, plan.places.shared_bytes)
        order = ctypes.c_ulonglong(self.order)
        ended = self._library.run_ticks(weights, requested, count, handed, *shape, order)
        assert ended, "the kernel stands still"
