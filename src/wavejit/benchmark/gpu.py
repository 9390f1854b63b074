"""Measure a compiled model on a GPU."""

from __future__ import annotations

import statistics
import time

import numpy as np

from wavejit.benchmark.measure import ROUND_SECONDS, ROUNDS_AT_LEAST, Measurement
from wavejit.ir.cost import cost
from wavejit.model import Model
from wavejit.runtime.cuda_engine import CudaEngine, CudaStream


def measure_on_gpu(model: Model, engine: CudaEngine, seconds: float, sparsity: float = 0.0) -> Measurement:
    """Sample for about `seconds`, in rounds; the median of their speeds.

    The ceiling is not measured here: it is what the plan's critical path would allow (`wavejit explain --backend
    cuda`), for each pass that has a place on the GPU at once.
    """
    samples = engine.samples_per_tick
    streams = [engine.stream(stream=number) for number in range(engine.streams)]
    ticks, taken = 64, 0.0
    while taken < ROUND_SECONDS / 4:
        ticks *= 2
        taken = seconds_of(engine, streams, ticks)
    ticks = max(1, round(ticks * ROUND_SECONDS / taken))
    speeds: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(speeds) < ROUNDS_AT_LEAST:
        speeds.append(len(streams) * ticks * samples / seconds_of(engine, streams, ticks))
    plan = engine.plan
    passes = -(-len(streams) // plan.streams)
    at_once = min(passes, max(1, plan.device.multiprocessors // plan.partition.blocks))
    ceiling = plan.ticks_a_second * samples * min(len(streams), at_once * plan.streams)
    speed = statistics.median(speeds)
    return Measurement(
        model=model.name,
        backend="cuda",
        target=plan.device.arch,
        precision=engine.step.precision,
        sparsity=sparsity,
        threads=1,
        streams=len(streams),
        samples_per_second=round(speed, 1),
        realtime_speed=round(speed / model.sample_rate, 3),
        weight_bytes=round(cost(engine.step).weight_bytes / samples),
        roofline_samples_per_second=round(ceiling, 1),
        roofline_share=round(speed / ceiling, 3),
        compile_seconds=round(engine.compile_seconds, 3),
    )


def seconds_of(engine: CudaEngine, streams: list[CudaStream], ticks: int) -> float:
    """How long some ticks of all streams take, on frames of zeros; copies to and from the GPU are in it."""
    frames = [np.zeros((stream.frames_in(ticks), engine.frame_size), np.float32) for stream in streams]
    started = time.perf_counter()
    engine.run_together(streams, ticks, frames)
    return time.perf_counter() - started
