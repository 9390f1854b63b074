"""An engine: a step compiled for a target, its weights packed; streams run on it, each with its own memory."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from wavejit.backends.draws import MIN_TEMPERATURE
from wavejit.backends.llvm.builder import F32, PTR
from wavejit.backends.llvm.compile import Loaded, object_code, permit, version
from wavejit.backends.llvm.first_state import first_slot
from wavejit.backends.llvm.functions import Accuracy
from wavejit.backends.llvm.program import REQUEST, STREAMS_A_PASS, Program, generate
from wavejit.ir.formats import FormatName
from wavejit.ir.ops import Condition, Draw, Emit, Step
from wavejit.ir.target import Target
from wavejit.passes import lower
from wavejit.runtime.cache import cached
from wavejit.runtime.cores import yield_address
from wavejit.runtime.pair import Pair
from wavejit.runtime.place_in_time import PlaceInTime
from wavejit.runtime.placement import Places, aligned_zeros

Array = NDArray[np.float32]

READ_PAST = 2048  # elements behind the last that may be read, and count for nothing: a tile of weights of eight vectors


def first_state(step: Step, target: Target) -> Array:
    """A stream's memory before its first tick: past values as the step says, and zeros."""
    assert step.memory is not None, "lowering plans memory"
    state = aligned_zeros(step.memory.size)
    for ref, ring in step.memory.rings.items():
        slots = state[ring.offset : ring.offset + ring.slots * ring.stride].reshape(ring.slots, ring.stride)
        slots.view(np.uint32)[:] = first_slot(step, ref, ring, target)
    return state


class _Request(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_void_p if type_ == PTR else ctypes.c_float if type_ == F32 else ctypes.c_int64)
        for name, type_ in REQUEST
    ]


# Calls release the interpreter's lock.
_Entry = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Request))
_ManyEntry = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Request), ctypes.c_int64)


@dataclass(frozen=True)
class Score:
    """A teacher-forced run: audio `(ticks * samples_per_tick,)`, and each draw's parameters `(ticks, size)`."""

    samples: Array
    parameters: Mapping[str, Array]


class Engine:
    """Compiled code and packed weights; any number of threads may use it, for nothing that is computed changes.

    Attributes:
        step: the lowered step.
        target: what the code is for.
        program: the module's text and its kernels.
        threads, streams: that it was compiled for.
        pair: what runs chunks on two threads; None with one.
        places: where the packed weights lie.
        compile_seconds: from the step to code in memory.
        from_cache: whether the machine code was found on disk.
    """

    def __init__(
        self,
        step: Step,
        target: Target,
        accuracy: Accuracy = "exact",
        precision: FormatName | None = None,
        threads: int = 1,
        streams: int = 1,
    ) -> None:
        started = time.perf_counter()
        permit(target)
        self.source = step
        self.step = lower(replace(step, precision=precision) if precision else step, target)
        self.target, self.accuracy = target, accuracy
        self.threads, self.pair = threads, Pair() if threads > 1 else None
        self.streams = streams
        self.program: Program = generate(self.step, target, accuracy, threads, streams)
        key = (self.program.text, repr(target), version())
        code, self.from_cache = cached(key, lambda: object_code(self.program.text, target))
        names = ("run", "prime", *(("run_first", "run_second") if self.pair else ()))
        self._loaded = Loaded(step.name, code, (*names, *(("run_many",) if streams > 1 else ())))
        self._many = _ManyEntry(self._loaded.address("run_many")) if streams > 1 else None
        self._entries = {name: _Entry(self._loaded.address(name)) for name in names}
        assert self.step.packing is not None, "lowering packs"
        packed = self.step.packing.data
        weights = aligned_zeros(len(packed) + READ_PAST)
        weights[: len(packed)].view(np.uint32)[:] = packed
        self.places = Places(weights)
        self._fresh = first_state(self.step, target)
        self.conditions = [line.op for line in self.step.lines.values() if isinstance(line.op, Condition)]
        self.clock = max((line.clock for line in self.step.lines.values() if isinstance(line.op, Condition)), default=0)
        self.draws = [line.op for line in self.step.lines.values() if isinstance(line.op, Draw)]
        self.samples_per_tick = sum(line.size for line in self.step.lines.values() if isinstance(line.op, Emit))
        self.compile_seconds = time.perf_counter() - started

    def describe(self) -> str:
        """Backend, target and accuracy, in a few words."""
        threads = f", {self.threads} threads" if self.threads > 1 else ""
        how = f"native code for {self.target.describe()}, {self.accuracy} functions"
        return f"{self.step.precision} weights, {how}{threads}"

    @property
    def progress(self) -> tuple[int, ...]:
        """The elements of a stream's memory where two threads count."""
        assert self.step.memory is not None, "lowering plans memory"
        return self.step.memory.progress if self.pair else ()

    @property
    def frame_size(self) -> int:
        """Elements of a conditioning frame."""
        return sum(condition.size for condition in self.conditions)

    def stream(self, seed: int = 0, stream: int = 0, temperature: float = 1.0) -> Stream:
        """A new stream at its beginning; `stream` numbers those that share a seed."""
        return Stream(self, seed, stream, temperature)

    def fresh_state(self) -> Array:
        state = aligned_zeros(len(self._fresh))
        state[:] = self._fresh
        return state

    def call(self, entry: str, request: _Request) -> None:
        """Enter native code, without the interpreter's lock."""
        if entry == "run" and self.pair is None:
            self.places.read(request.ticks, partial(self._timed, request))
            return
        request.weights = self.places.best.ctypes.data
        if entry == "run" and self.pair is not None:
            request.yield_core = yield_address()
            alone, first, second = (partial(self._enter, name, request) for name in ("run", "run_first", "run_second"))
            self.pair.run(request.ticks, alone, first, second)
        else:
            self._enter(entry, request)

    def run_together(self, streams: Sequence[Stream], ticks: int, frames: Sequence[Array | None]) -> list[Array]:
        """Make `ticks * samples_per_tick` samples of each stream, several in each pass over the weights.

        Each stream's audio is what it would have made alone. They may stand at different ticks, and others may take
        part in the next call.
        """
        if not 1 <= len(streams) <= self.streams or len(set(map(id, streams))) < len(streams):
            raise ValueError(f"{len(streams)} streams, expected 1 to {self.streams} different ones")
        if any(stream.engine is not self for stream in streams):
            raise ValueError("a stream of another engine, expected streams of this one")
        if self._many is None:
            return [stream.run(ticks, each) for stream, each in zip(streams, frames, strict=True)]
        out = [np.empty(ticks * self.samples_per_tick, np.float32) for _ in streams]
        given = [s.checked(each, s.frames_in(ticks)) for s, each in zip(streams, frames, strict=True)]
        with ExitStack() as busy:
            for stream in streams:
                busy.enter_context(stream.alone())
            requests = (_Request * len(streams))(
                *(s.request(ticks, f, o) for s, f, o in zip(streams, given, out, strict=True))
            )
            for request in requests:
                request.weights = self.places.best.ctypes.data
            for first in range(0, len(streams), STREAMS_A_PASS):
                count = min(STREAMS_A_PASS, len(streams) - first)
                self._many(ctypes.byref(requests[first]), count)
        for stream in streams:
            stream.ticks += ticks
        return out

    def _timed(self, request: _Request, weights: Array) -> float:
        """Run a chunk with the weights of one place; returns its seconds."""
        request.weights = weights.ctypes.data
        started = time.perf_counter()
        self._enter("run", request)
        return time.perf_counter() - started

    def _enter(self, entry: str, request: _Request) -> None:
        self._entries[entry](ctypes.byref(request))


class Stream(PlaceInTime):
    """One stream of audio: its memory and its place in time. One thread at a time may run it."""

    def __init__(self, engine: Engine, seed: int, stream: int, temperature: float) -> None:
        super().__init__(engine.clock, engine.frame_size)
        self.engine = engine
        self._state = engine.fresh_state()
        self._seed, self._stream, self._temperature = seed, stream, max(temperature, MIN_TEMPERATURE)

    def prime(self, frames: Array) -> None:
        """Take frames `(frames, frame size)` ahead of the audio that they lead to."""
        frames = self.checked(frames, len(frames))
        self._call("prime", len(frames), frames)

    def run(self, ticks: int, frames: Array | None = None) -> Array:
        """Make audio, `(ticks * samples_per_tick,)`; `frames` are those that begin in these ticks."""
        out = np.empty(ticks * self.engine.samples_per_tick, np.float32)
        self._call("run", ticks, self.checked(frames, self.frames_in(ticks)), out)
        self.ticks += ticks
        return out

    def score(self, forced: Array, frames: Array | None = None) -> Score:
        """Run with draws given, `(ticks, draws)`, and record what each would have been drawn from."""
        ticks, sizes = (
            len(forced),
            [self.engine.step.lines[draw.parameters].size for draw in self.engine.draws],
        )
        if forced.shape != (ticks, len(sizes)):
            raise ValueError(f"forced draws are {forced.shape}, expected (ticks, {len(sizes)})")
        out = np.empty(ticks * self.engine.samples_per_tick, np.float32)
        parameters = np.empty((ticks, sum(sizes)), np.float32)
        given = np.ascontiguousarray(forced, np.float32)
        self._call("run", ticks, self.checked(frames, self.frames_in(ticks)), out, given, parameters)
        self.ticks += ticks
        parts = np.split(parameters, np.cumsum(sizes), axis=1)[:-1]
        return Score(out, {draw.name: part for draw, part in zip(self.engine.draws, parts, strict=True)})

    def request(
        self,
        ticks: int,
        frames: Array,
        out: Array | None = None,
        forced: Array | None = None,
        parameters: Array | None = None,
    ) -> _Request:
        """What native code is asked for; the arrays must outlive the call."""
        return _Request(
            state=self._state.ctypes.data,
            frames=frames.ctypes.data,
            ticks=ticks,
            out=None if out is None else out.ctypes.data,
            forced=None if forced is None else forced.ctypes.data,
            parameters=None if parameters is None else parameters.ctypes.data,
            seed=ctypes.c_int64(self._seed).value,
            stream=self._stream,
            temperature=self._temperature,
        )

    def _call(self, entry: str, ticks: int, frames: Array, *arrays: Array | None) -> None:
        with self.alone():
            for progress in self.engine.progress:
                self._state[progress : progress + 4] = 0  # two threads count from the start of a chunk
            self.engine.call(entry, self.request(ticks, frames, *arrays))
