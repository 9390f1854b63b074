"""Which precision runs fastest here: measured once for a network and a target, and kept beside the compiled code."""

from __future__ import annotations

import time

import numpy as np

from wavejit.backends.llvm.compile import version
from wavejit.backends.llvm.program import generate
from wavejit.ir.formats import FormatName
from wavejit.ir.ops import Step
from wavejit.ir.target import Target
from wavejit.passes import lower
from wavejit.runtime.cache import cached
from wavejit.runtime.engine import Engine

KEEP_THE_SOUND: tuple[FormatName, ...] = ("float32", "bfloat16", "float16", "int16")  # docs/performance.md
SECONDS = 0.05  # of sampling, in each precision


def fastest_precision(step: Step, target: Target) -> FormatName:
    """The fastest of the precisions that keep a model's sound."""
    program = generate(lower(step, target), target).text  # says all that the speed depends on
    name, _ = cached(("fastest precision", program, repr(target), version()), lambda: _measured(step, target).encode())
    return next(precision for precision in KEEP_THE_SOUND if precision == name.decode())


def _measured(step: Step, target: Target) -> FormatName:
    return max(KEEP_THE_SOUND, key=lambda precision: _speed(Engine(step, target, precision=precision)))


def _speed(engine: Engine) -> float:
    """Ticks a second, on frames of zeros."""
    stream, ticks, taken = engine.stream(), 1, 0.0
    while taken < SECONDS:
        ticks *= 2
        frames = np.zeros((stream.frames_in(ticks), engine.frame_size), np.float32)
        started = time.perf_counter()
        stream.run(ticks, frames)
        taken = time.perf_counter() - started
    return ticks / taken
