"""Measure a compiled model and, in the same run, the machine's ceilings for it."""

from __future__ import annotations

import statistics
import time

import msgspec
import numpy as np

from wavejit.benchmark.limits import Limits, limit
from wavejit.ir.cost import cost
from wavejit.model import Model
from wavejit.runtime.caches import level
from wavejit.runtime.calibrate import frames_of_zeros
from wavejit.runtime.engine import Engine, Stream
from wavejit.runtime.roofline import Roofline

ROUND_SECONDS = 0.1  # of sampling between two measurements of the ceiling
ROUNDS_AT_LEAST = 5
MOST_CHUNKS = 100  # before measuring
CALIBRATION_TICKS = 1000  # ranges as they are take as long as good ones


class Measurement(msgspec.Struct, frozen=True):
    """One row of a benchmark; the names are fixed, others' scripts rely on them.

    Attributes:
        realtime_speed: seconds of audio over seconds of computing.
        weight_bytes: read for a sample; with several streams, each byte serves all of them.
        roofline_samples_per_second: what reading those bytes, or the multiply-adds, would allow at best.
        roofline_share: samples a second over that.
        compile_seconds: from the model to code in memory, with whatever the cache held.
    """

    model: str
    backend: str
    target: str
    precision: str
    sparsity: float
    threads: int
    streams: int
    samples_per_second: float
    realtime_speed: float
    weight_bytes: int
    roofline_samples_per_second: float
    roofline_share: float
    compile_seconds: float


def calibrated(model: Model) -> Model:
    """The model with the ranges that it has on what it is measured on: frames of zeros."""
    frames = frames_of_zeros(model.step, CALIBRATION_TICKS) if model.bins else None
    return model.calibrated(frames, CALIBRATION_TICKS)


def measure(model: Model, engine: Engine, seconds: float, sparsity: float = 0.0) -> tuple[Measurement, Limits]:
    """Sample for about `seconds`, in rounds with the ceilings measured between them; medians of all."""
    each, samples = cost(engine.step), engine.samples_per_tick
    weight_bytes, multiply_adds = each.weight_bytes / samples, each.multiply_adds / samples
    roofline = Roofline(engine.target, each.weight_bytes, engine.step.precision, engine.threads)
    streams = [engine.stream(stream=i) for i in range(engine.streams)]
    ticks = max(1, round(_calibrate(engine) * ROUND_SECONDS))
    _settle(engine, streams, max(1, ticks // 20))
    speeds: list[float] = []
    reading: list[float] = []  # bytes a second
    multiplying: list[float] = []  # multiply-adds a second
    ceilings: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(speeds) < ROUNDS_AT_LEAST:
        reading.append(roofline.bytes_per_second())
        multiplying.append(roofline.multiply_adds_per_second())
        ceilings.append(min(reading[-1] / weight_bytes * len(streams), multiplying[-1] / multiply_adds))
        seconds_of(streams, max(1, ticks // 20))  # brings the weights back into the caches
        speeds.append(len(streams) * ticks * samples / seconds_of(streams, ticks))
    speed, ceiling = statistics.median(speeds), statistics.median(ceilings)
    bytes_per_second, multiply_adds_per_second = statistics.median(reading), statistics.median(multiplying)
    by_bytes, by_multiplying = bytes_per_second / weight_bytes * len(streams), multiply_adds_per_second / multiply_adds
    read_from = level(each.weight_bytes, engine.threads)
    limits = Limits(
        multiply_adds=round(multiply_adds, 1),
        multiply_adds_per_byte=round(multiply_adds / weight_bytes * len(streams), 4),
        bytes_per_second=round(bytes_per_second),
        multiply_adds_per_second=round(multiply_adds_per_second),
        level=read_from,
        limit=limit(speed / ceiling, by_bytes, by_multiplying, read_from),
    )
    measured = Measurement(
        model=model.name,
        backend="llvm",
        target=engine.target.isa,
        precision=engine.step.precision,
        sparsity=sparsity,
        threads=engine.threads,
        streams=engine.streams,
        samples_per_second=round(speed, 1),
        realtime_speed=round(speed / model.sample_rate, 3),
        weight_bytes=round(weight_bytes),
        roofline_samples_per_second=round(ceiling, 1),
        roofline_share=round(speed / ceiling, 3),
        compile_seconds=round(engine.compile_seconds, 3),
    )
    return measured, limits


def _settle(engine: Engine, streams: list[Stream], ticks: int) -> None:
    """Let the engine find the best place for its weights."""
    for _ in range(MOST_CHUNKS):
        if engine.places.settled or engine.threads > 1 or engine.streams > 1:
            return
        seconds_of(streams, ticks)


def _calibrate(engine: Engine) -> float:
    """Ticks a second, roughly."""
    streams, ticks, taken = [engine.stream(stream=i) for i in range(engine.streams)], 1, 0.0
    while taken < ROUND_SECONDS / 4:
        ticks *= 2
        taken = seconds_of(streams, ticks)
    return ticks / taken


def seconds_of(streams: list[Stream], ticks: int) -> float:
    """How long some ticks of all streams take, on frames of zeros."""
    engine = streams[0].engine
    frames = [np.zeros((stream.frames_in(ticks), engine.frame_size), np.float32) for stream in streams]
    started = time.perf_counter()
    if len(streams) == 1:
        streams[0].run(ticks, frames[0])
    else:
        engine.run_together(streams, ticks, frames)
    return time.perf_counter() - started
