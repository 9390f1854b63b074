"""The engine of the CUDA backend: a step planned for a GPU, its weights there; streams run on it.

What launches kernels is handed in: a GPU (`runtime/cuda_device.py`), or an emulation of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wavejit.backends.cuda.place import MOST_FRAMES, PLANES, ValuePlace
from wavejit.backends.cuda.plan import Plan
from wavejit.backends.draws import MIN_TEMPERATURE
from wavejit.ir.ops import Condition, Draw, Emit, Ref
from wavejit.runtime.engine import Score
from wavejit.runtime.place_in_time import PlaceInTime

Array = NDArray[np.float32]
Buffer = Any  # of the launcher: memory that kernels can read

REQUEST = np.dtype(
    [
        ("tick", np.int64),
        ("state", np.uint64),
        ("frames", np.uint64),
        ("out", np.uint64),
        ("forced", np.uint64),
        ("parameters", np.uint64),
        ("seed", np.uint64),
        ("stream", np.uint32),
        ("temperature", np.float32),
        ("primed", np.int64),
    ]
)
"""`Request` in backends/cuda/common.cuh."""
UNCONDITIONAL_TICKS = 8192  # that one launch runs, where no frames end it


class Launcher(Protocol):
    """What runs kernels.

    Attributes:
        at_once: passes that one launch of the loop may have; None where others then wait by themselves.
    """

    at_once: int | None

    def upload(self, data: NDArray[Any]) -> Buffer:
        """A copy that kernels can read."""
        ...

    def empty(self, size: int) -> Buffer:
        """Zeros, so many bytes."""
        ...

    def download(self, buffer: Buffer) -> NDArray[np.uint8]:
        """What lies there now."""
        ...

    def address(self, buffer: Buffer) -> int:
        """As kernels see it."""
        ...

    def frames(self, requests: Buffer, streams: int, ticks: int, primed: int) -> None:
        """Launch the conditioning network for some streams."""
        ...

    def ticks(self, requests: Buffer, first: int, passes: int, count: int) -> None:
        """Launch the loop for so many passes from the first on, each with `streams` streams."""
        ...


class CudaEngine:
    """A planned step on a launcher.

    Attributes:
        plan: how it runs.
        step: the lowered step.
        streams: that run side by side, at most.
        compile_seconds: from the step to code that can be launched.
    """

    def __init__(self, plan: Plan, launcher: Launcher, streams: int = 1, compile_seconds: float = 0.0) -> None:
        self.plan, self.step, self.launcher = plan, plan.step, launcher
        self.streams, self.compile_seconds = streams, compile_seconds
        lines = self.step.lines.values()
        self.conditions = [line.op for line in lines if isinstance(line.op, Condition)]
        self.clock = max((line.clock for line in lines if isinstance(line.op, Condition)), default=0)
        self.draws = [line.op for line in lines if isinstance(line.op, Draw)]
        self.samples_per_tick = sum(line.size for line in lines if isinstance(line.op, Emit))
        self.frame_size = sum(condition.size for condition in self.conditions)
        self.first_state = first_state(plan)

    def describe(self) -> str:
        """Backend, target and partition, in a few words."""
        return f"{self.step.precision} weights, CUDA for {self.plan.device.arch}, {self.plan.name} a stream"

    def stream(self, seed: int = 0, stream: int = 0, temperature: float = 1.0) -> CudaStream:
        """A new stream at its beginning; `stream` numbers those that share a seed."""
        return CudaStream(self, seed, stream, temperature)

    def run_together(self, streams: Sequence[CudaStream], ticks: int, frames: Sequence[Array | None]) -> list[Array]:
        """Make `ticks * samples_per_tick` samples of each stream, side by side on the GPU.

        Each stream's audio is what it would have made alone, as far as rounding allows where streams share a pass.
        """
        given = [s.checked(f, s.frames_in(ticks)) for s, f in zip(streams, frames, strict=True)]
        with ExitStack() as busy:
            for stream in streams:
                busy.enter_context(stream.alone())
            return [score.samples for score in self.launch(streams, ticks, given)]

    def launch(
        self,
        streams: Sequence[CudaStream],
        ticks: int,
        frames: Sequence[Array],
        forced: Array | None = None,
    ) -> list[Score]:
        """Run streams side by side; with `forced` draws, their parameters are recorded."""
        found: list[list[Score]] = [[] for _ in streams]
        done, taken = 0, [0] * len(streams)
        most = MOST_FRAMES * self.clock if self.clock else UNCONDITIONAL_TICKS
        while done < ticks or not found[0]:
            count = min(ticks - done, most)
            given = []
            for i, stream in enumerate(streams):
                needed = stream.frames_in(count)
                given.append(frames[i][taken[i] : taken[i] + needed])
                taken[i] += needed
            part = None if forced is None else forced[done : done + count]
            for kept, score in zip(found, self._launch(streams, count, given, part), strict=True):
                kept.append(score)
            done += count
        return [_joined(scores) for scores in found]

    def _launch(
        self, streams: Sequence[CudaStream], ticks: int, frames: Sequence[Array], forced: Array | None
    ) -> list[Score]:
        launcher, wide = self.launcher, self.plan.streams
        passes = -(-len(streams) // wide)
        spare = [self.spare_state() for _ in range(passes * wide - len(streams))]
        sizes = [self.step.lines[draw.parameters].size for draw in self.draws]
        out = [launcher.empty(4 * max(1, ticks * self.samples_per_tick)) for _ in range(passes * wide)]
        recorded = launcher.empty(4 * max(1, ticks * sum(sizes))) if forced is not None else None
        given = [launcher.upload(np.append(np.ravel(each), np.float32(0))) for each in frames]
        draws = None if forced is None else launcher.upload(np.append(np.ravel(forced), np.float32(0)))
        requests = np.zeros(passes * wide, REQUEST)
        for i, request in enumerate(requests):
            real = i < len(streams)
            stream = streams[i] if real else streams[0]
            request["tick"], request["seed"], request["stream"] = stream.ticks, stream.seed, stream.number
            request["state"] = launcher.address(stream.state if real else spare[i - len(streams)])
            request["temperature"], request["primed"] = stream.temperature, stream.primed
            request["frames"] = launcher.address(given[i if real else 0])
            request["out"] = launcher.address(out[i])
            if draws is not None and recorded is not None:
                request["forced"] = launcher.address(draws)
                request["parameters"] = launcher.address(recorded) if real else 0
        uploaded = launcher.upload(requests)
        if self.plan.graph.ahead_tasks:
            launcher.frames(uploaded, len(streams), ticks, 0)
        at_once = launcher.at_once or passes
        for first in range(0, passes, at_once):
            launcher.ticks(uploaded, first, min(at_once, passes - first), ticks)
        parameters: dict[str, Array] = {}
        if recorded is not None:
            rows = launcher.download(recorded).view(np.float32)[: ticks * sum(sizes)].reshape(ticks, -1)
            parts = np.split(rows, np.cumsum(sizes), axis=1)[:-1]
            parameters = {draw.name: part for draw, part in zip(self.draws, parts, strict=True)}
        for stream in streams:
            stream.ticks += ticks
        size = ticks * self.samples_per_tick
        return [Score(launcher.download(out[i]).view(np.float32)[:size], parameters) for i in range(len(streams))]

    def spare_state(self) -> Buffer:
        """What a pass with fewer streams than it has room for writes into."""
        return self.launcher.upload(self.first_state)

    def prime(self, stream: CudaStream, frames: Array) -> None:
        """Take frames ahead of the audio that they lead to."""
        launcher = self.launcher
        if not self.plan.graph.ahead_tasks:
            raise ValueError("frames are given ahead, but this model has no network that runs ahead")
        request = np.zeros(1, REQUEST)
        given = launcher.upload(np.append(np.ravel(frames), np.float32(0)))
        request["tick"], request["primed"] = stream.ticks, stream.primed
        request["state"], request["frames"] = launcher.address(stream.state), launcher.address(given)
        launcher.frames(launcher.upload(request), 1, 0, len(frames))
        stream.primed += len(frames)


class CudaStream(PlaceInTime):
    """One stream of audio: its memory on the GPU and its place in time. One thread at a time may run it."""

    def __init__(self, engine: CudaEngine, seed: int, stream: int, temperature: float) -> None:
        super().__init__(engine.clock, engine.frame_size)
        self.engine = engine
        self.primed = 0  # frames taken ahead of the audio
        self.seed, self.number, self.temperature = seed, stream, max(temperature, MIN_TEMPERATURE)
        self.state = engine.launcher.upload(engine.first_state)

    def prime(self, frames: Array) -> None:
        """Take frames `(frames, frame size)` ahead of the audio that they lead to."""
        with self.alone():
            self.engine.prime(self, self.checked(frames, len(frames)))

    def run(self, ticks: int, frames: Array | None = None) -> Array:
        """Make audio, `(ticks * samples_per_tick,)`; `frames` are those that begin in these ticks."""
        with self.alone():
            return self.engine.launch([self], ticks, [self.checked(frames, self.frames_in(ticks))])[0].samples

    def score(self, forced: Array, frames: Array | None = None) -> Score:
        """Run with draws given, `(ticks, draws)`, and record what each would have been drawn from."""
        ticks = len(forced)
        if forced.shape != (ticks, len(self.engine.draws)):
            raise ValueError(f"forced draws are {forced.shape}, expected (ticks, {len(self.engine.draws)})")
        given = np.ascontiguousarray(forced, np.float32)
        with self.alone():
            return self.engine.launch([self], ticks, [self.checked(frames, self.frames_in(ticks))], given)[0]


def first_state(plan: Plan) -> NDArray[np.uint8]:
    """A stream's memory before its first tick: past values as the step says, and zeros."""
    places, graph = plan.places, plan.graph
    state = np.zeros(places.state_bytes, np.uint8)
    for ref, place in places.values.items():
        slot = _slot(plan, ref, place)
        for block in places.holders[ref]:
            start = block * places.values_bytes + place.offset
            state[start : start + place.stride * place.kept.slots] = np.tile(slot, place.kept.slots)
        if place.kept.ring:
            start, size = places.rings_start + places.rings[ref], 4 * graph.lines[ref].size
            state[start : start + size * place.kept.ring] = np.tile(slot[:size], place.kept.ring)
    for ref, place in places.ahead.items():
        first = _initial(plan, ref)
        start, size = places.ahead_start + 4 * place.offset, graph.lines[ref].size * place.slots
        state[start : start + 4 * size] = np.tile(first, place.slots).view(np.uint8)
    return state


def _initial(plan: Plan, ref: Ref) -> Array:
    first, size = plan.graph.initial(ref), plan.graph.lines[ref].size
    if isinstance(first, str):
        return np.ascontiguousarray(plan.step.weights[first], np.float32)
    if plan.graph.lines[ref].classes:
        return np.full(size, int(first), np.int32).view(np.float32)
    return np.full(size, first, np.float32)


def _slot(plan: Plan, ref: Ref, place: ValuePlace) -> NDArray[np.uint8]:
    """What each slot of a value begins with, in all formats."""
    slot, first = np.zeros(place.stride, np.uint8), _initial(plan, ref)
    for name, offset in place.formats.items():
        planes: list[NDArray[Any]]
        match name:
            case "float32":
                planes = [first]
            case "float16":
                high = np.clip(first, -65504, 65504).astype(np.float16)
                planes = [high, (first - high.astype(np.float32)).astype(np.float16)]
            case "bfloat16":
                high = _bfloat16(first)
                rest = first - (high.astype(np.uint32) << np.uint32(16)).view(np.float32)
                planes = [high, _bfloat16(rest)]
            case _:
                scaled = np.rint(first * np.float32(127 / place.kept.scale))
                planes = [np.clip(scaled, -127, 127).astype(np.int8)]
        assert len(planes) == PLANES[name]
        for i, plane in enumerate(planes):
            start = offset + i * place.plane[name]
            slot[start : start + plane.nbytes] = plane.view(np.uint8)
    return slot


def _bfloat16(x: Array) -> NDArray[np.uint16]:
    bits = np.ascontiguousarray(x).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)


def _joined(scores: Sequence[Score]) -> Score:
    if len(scores) == 1:
        return scores[0]
    names = scores[0].parameters
    parameters = {name: np.concatenate([score.parameters[name] for score in scores]) for name in names}
    return Score(np.concatenate([score.samples for score in scores]), parameters)
