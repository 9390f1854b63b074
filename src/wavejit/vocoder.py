"""The Python interface: load a model, compile it, make audio."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavejit.audio.contract import FeatureContract
from wavejit.audio.postfilter import PostfilterStream
from wavejit.checkpoints.folder import ModelFiles, read_folder
from wavejit.errors import InputError
from wavejit.ir.formats import FORMATS, PRECISIONS, FormatName
from wavejit.ir.ops import Step
from wavejit.models import BUILTIN_NAMES, builtin

if TYPE_CHECKING:
    from wavejit.backends.cuda.plan import Plan
    from wavejit.backends.llvm.ahead import CLibrary
    from wavejit.backends.llvm.program import Program
    from wavejit.ir.target import Target
    from wavejit.runtime.cuda_engine import CudaEngine, CudaStream
    from wavejit.runtime.engine import Engine, Stream
    from wavejit.runtime.reference import ReferenceEngine, ReferenceStream

Audio = NDArray[np.float32]
BACKENDS = ("llvm", "cuda", "reference")
Accuracy = Literal["exact", "fast"]
ACCURACIES = ("auto", "exact", "fast")
AUTO = "auto"
MOST_STREAMS = 64
MOST_ON_A_GPU = 4096
C_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
CHUNK_SECONDS = 0.1  # of audio that is made before progress is told


def load(model: str | Path) -> Model:
    """Load a model folder, or a built-in network with random weights by its name (for measuring).

    Raises:
        InputError: there is no such folder or name, or the folder is not a sound model.
    """
    folder = Path(model)
    if folder.is_dir():
        return Model(folder.resolve().name or "model", read_folder(folder))
    found = builtin(str(model))
    if found is None:
        raise InputError(f"{model}: there is no such model folder, and the built-in networks are {BUILTIN_NAMES}")
    family, network = found
    return Model(str(model), ModelFiles(family, network, family.random_weights(network), None))


@dataclass(frozen=True)
class Model:
    """A model that is loaded but not compiled.

    Attributes:
        name: its folder's name, or a built-in name.
        files: family, configuration, weights, features, licence and provenance.
    """

    name: str
    files: ModelFiles

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return self.files.network.sample_rate

    @property
    def features(self) -> FeatureContract | None:
        """What its features must be; None for an unconditional or built-in model."""
        return self.files.features

    @property
    def bins(self) -> int:
        """Features a frame; 0 for an unconditional model."""
        return self.files.family.bins(self.files.network)

    @property
    def behind(self) -> int:
        """Samples by which the audio is behind its features."""
        return self.files.family.behind(self.files.network)

    @cached_property
    def step(self) -> Step:
        """What one tick computes."""
        return self.files.family.step(self.name, self.files.network, self.files.weights)

    def pruned(self, sparsity: float, block: tuple[int, int]) -> Model:
        """This model with that share of its matrices' blocks zeroed, for measuring; `compression/prune.py` says how."""
        from wavejit.compression.prune import prune

        files = replace(self.files, weights=prune(self.files.weights, sparsity, block))
        return Model(self.name, files)

    def compile(
        self,
        precision: str = "float32",
        threads: int | str = 1,
        streams: int = 1,
        backend: str = "llvm",
        target: str | None = None,
        accuracy: str = AUTO,
    ) -> Vocoder:
        """Compile the sample loop.

        Args:
            precision: of weights: "float32", "bfloat16", "float16", "int16", "mxint8", "int8" or "int4". The
                smaller they are, the faster a model runs that is bound by reading them; `ir/formats.py` says what
                each computes. "auto" takes the fastest here of those that no model was heard to suffer from: those
                of 16 and 32 bits. Layers may be excepted by the beginning of their weights' names:
                "int8,hidden=int16".
            threads: that one stream may run on: 1 or 2, or "auto" for as many as there are cores, at most 2. The
                audio is the same, byte for byte; the second is used while that is faster, which is measured.
            streams: that may share a pass over the weights (`Vocoder.generate_many`), 1 to 64; on a GPU, that run side
                by side, 1 to 4096. Any number of independent streams may run beside each other whatever this is.
            backend: "llvm" for native code, "cuda" for one kernel on an NVIDIA GPU (float32, bfloat16, float16 and
                int8), "reference" for NumPy in float64.
            target: an instruction set of this machine, such as "avx2", or for cuda an architecture such as "sm_90a";
                None for what is here.
            accuracy: of tanh, sigmoid and exp: "exact" (2 ulp) or "fast" (rational, 1e-4); "auto" is fast for
                integers of 8 bits and fewer, whose steps are coarser.

        Raises:
            InputError: a choice that there is not.
        """
        _check("backend", backend, BACKENDS)
        _check("threads", threads, (1, 2, AUTO))
        most = MOST_ON_A_GPU if backend == "cuda" else MOST_STREAMS
        if not 1 <= streams <= most:
            raise InputError(f"streams is {streams}, expected 1 to {most}")
        if backend == "reference":
            from wavejit.runtime.reference import ReferenceEngine

            step, _ = _choices(self.step, precision, accuracy)
            return Vocoder(self, ReferenceEngine(step))
        if backend == "cuda":
            if threads not in (1, AUTO):
                raise InputError(f"threads is {threads}, expected 1 for the cuda backend: a GPU has its own")
            from wavejit.runtime.cuda_open import open_engine

            _check("accuracy", accuracy, (AUTO,))
            step = self.asked("float16" if precision == AUTO else precision)
            return Vocoder(self, open_engine(step, target, streams))
        from wavejit.backends.llvm.compile import host_target
        from wavejit.backends.llvm.program import UnsupportedError
        from wavejit.runtime.cores import allowed
        from wavejit.runtime.engine import Engine
        from wavejit.runtime.fastest import fastest_precision

        try:
            chosen = host_target(target)
            if precision == AUTO:
                precision = fastest_precision(self.step, chosen)
            step, functions = _choices(self.step, precision, accuracy)
            count = min(2, len(allowed())) if threads == AUTO else int(threads)
            return Vocoder(self, Engine(step, chosen, functions, threads=count, streams=streams))
        except UnsupportedError as error:
            raise InputError(str(error)) from None

    def program(
        self,
        precision: str = "float32",
        target: str | None = None,
        accuracy: str = AUTO,
        on_pass: Callable[[str, Step], None] | None = None,
    ) -> tuple[Step, Target, Program]:
        """The native program without compiling it: the lowered step, what it is for, and LLVM's text.

        Args:
            precision, accuracy: as for `compile`.
            target: an instruction set of this machine, or an LLVM triple such as "aarch64-linux-gnu".
            on_pass: called with each pass's name and result.
        """
        from wavejit.backends.llvm.compile import target_of
        from wavejit.backends.llvm.program import UnsupportedError, generate
        from wavejit.passes import ignore, lower

        asked, functions = _choices(self.step, precision, accuracy)
        try:
            chosen = target_of(target)
            step = lower(asked, chosen, on_pass or ignore)
            return step, chosen, generate(step, chosen, functions)
        except UnsupportedError as error:
            raise InputError(str(error)) from None

    def kernel(
        self,
        precision: str = "float16",
        target: str | None = None,
        streams: int = 1,
        on_pass: Callable[[str, Step], None] | None = None,
    ) -> Plan:
        """The plan of the CUDA backend's kernel, and its text, for any GPU; needs none.

        Args:
            precision: as for `compile`.
            target: an architecture such as "sm_90a", which is the default.
            streams: that run side by side.
            on_pass: called with each pass's name and result.
        """
        from wavejit.backends.cuda.device import device_of
        from wavejit.backends.cuda.plan import plan_streams
        from wavejit.passes import GPU_PIPELINE, ignore, lower

        device = device_of(target)
        lowered = lower(self.asked(precision), device.target, on_pass or ignore, GPU_PIPELINE)
        return plan_streams(lowered, device, streams)

    def asked(self, precision: str) -> Step:
        """The step with the precision that is asked for, as `compile` takes it."""
        return _choices(self.step, precision, AUTO)[0]

    def compile_ahead(
        self,
        target: str | None = None,
        isa: str | None = None,
        precision: str = "float32",
        accuracy: str = AUTO,
        name: str | None = None,
    ) -> CLibrary:
        """Compile the sample loop into an object file for C, for this machine's kind or another.

        Args:
            target: an LLVM triple such as "aarch64-linux-gnu"; an instruction set, for systems like this one; None for
                this system and its widest vectors.
            isa: the instruction set for a triple; None for what every processor of the architecture has.
            precision, accuracy: as for `compile`.
            name: a C identifier that files and functions begin with; None for the model's name made one.

        Raises:
            InputError: a choice that there is not.
        """
        from wavejit.backends.llvm.ahead import compile_ahead
        from wavejit.backends.llvm.compile import portable_target
        from wavejit.backends.llvm.program import UnsupportedError
        from wavejit.passes import lower

        asked, functions = _choices(self.step, precision, accuracy)
        name = c_name(self.name) if name is None else name
        if not C_IDENTIFIER.fullmatch(name):
            raise InputError(f"name is {name!r}, expected a C identifier: letters, digits and _, no digit first")
        try:
            chosen = portable_target(target, isa)
            return compile_ahead(lower(asked, chosen), chosen, functions, name, self._notes())
        except UnsupportedError as error:
            raise InputError(str(error)) from None

    def _notes(self) -> tuple[str, ...]:
        """What a header says about the model: where it is from, what it is trained on."""
        notes = [f"Model: {self.name}."]
        if self.files.provenance:
            notes.append(f"From: {self.files.provenance}.")
        if self.files.licence:
            notes.append(f"Licence of the weights, which the object holds: {self.files.licence}.")
        if self.features is not None:
            fields = ", ".join(f"{name} {value}" for name, value in msgspec.to_builtins(self.features).items())
            notes.append(f"Features: {fields}.")
        if self.files.postfilter is not None:
            notes.append("Without the model's post-filter: pull gives the samples as they are drawn.")
        return tuple(notes)


def c_name(name: str) -> str:
    """A C identifier that is as much of `name` as can be."""
    found = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return found if C_IDENTIFIER.fullmatch(found) else f"model_{found}"


def _choices(step: Step, precision: str, accuracy: str) -> tuple[Step, Accuracy]:
    """The step with the precision asked for, and the accuracy of its functions."""
    base, *rest = precision.split(",")
    weights = _format("precision", base)
    exceptions: list[tuple[str, FormatName]] = []
    for item in rest:
        beginning, equals, name = item.partition("=")
        if not equals or not any(weight.startswith(beginning) for weight in step.weights):
            raise InputError(
                f"precision has {item!r}, expected such as hidden=int16, and a weight whose name begins so"
            )
        exceptions.append((beginning, _format(f"precision of {beginning}", name)))
    _check("accuracy", accuracy, ACCURACIES)
    coarse = 0 < FORMATS[weights].limit <= 127
    fast = accuracy == "fast" or (accuracy == AUTO and coarse)
    return replace(step, precision=weights, exceptions=tuple(exceptions)), "fast" if fast else "exact"


def _format(what: str, name: str) -> FormatName:
    _check(what, name, PRECISIONS)
    return next(precision for precision in PRECISIONS if precision == name)


def _check(what: str, found: object, known: Sequence[object]) -> None:
    if found not in known:
        raise InputError(f"{what} is {found!r}, expected {' or '.join(map(str, known))} in this version")


class Vocoder:
    """A compiled model. It holds no state of a stream: any number of streams, from any threads, may use it.

    What it makes has been through the model's post-filter, where it has one; `engine` makes the samples as drawn.

    Attributes:
        model: what was compiled.
        engine: the compiled code; it can say what it consists of.
    """

    def __init__(self, model: Model, engine: Engine | CudaEngine | ReferenceEngine) -> None:
        self.model = model
        self.engine = engine
        self.sample_rate = model.sample_rate
        self.hop_length = model.step.hop_length
        """Samples of audio for each frame; 0 for an unconditional model."""
        settings, contract = model.files.postfilter, model.features
        self._postfilter = (
            partial(PostfilterStream, settings, contract, model.behind) if settings and contract else None
        )

    def describe(self) -> str:
        """What runs it, in a few words."""
        return self.engine.describe()

    def generate(
        self,
        features: ArrayLike | None = None,
        seed: int = 0,
        temperature: float = 1.0,
        stream: int = 0,
        samples: int | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Audio:
        """Make audio.

        Args:
            features: `(frames, bins)`, as the model's contract says; None for an unconditional model.
            seed: 0 to 2**64 - 1; the same seed gives the same audio.
            temperature: 1 draws as the model predicts, 0 takes the likeliest.
            stream: number of the stream among those with this seed, 0 to 2**32 - 1.
            samples: how many, for an unconditional model.
            on_progress: called with the samples made since the last call.

        Returns:
            float32 `(frames * hop_length,)` or `(samples,)`, in [-1, 1].

        Raises:
            InputError: features of another shape, not finite, or none at all; a seed or temperature out of range.
        """
        frames = self._source(features, samples)
        made: list[Audio] = []
        for chunk in self.stream(frames, seed=seed, temperature=temperature, stream=stream):
            made.append(chunk)
            if on_progress is not None:
                on_progress(len(chunk))
            if samples is not None and sum(map(len, made)) >= samples:
                break
        audio = np.concatenate(made) if made else np.zeros(0, np.float32)
        return audio if samples is None else audio[:samples]

    def generate_many(self, features: Sequence[ArrayLike], seed: int = 0, temperature: float = 1.0) -> list[Audio]:
        """Make the audio of several utterances, as many at once as the vocoder was compiled for (`streams`).

        Args:
            features: of each, as for `generate`; the i-th is stream number i.
            seed, temperature: as for `generate`.

        Returns:
            what `generate(features[i], seed, temperature, stream=i)` returns for each, byte for byte.

        Raises:
            InputError: as `generate`; an unconditional model; the reference backend.
        """
        from wavejit.runtime.cuda_engine import CudaEngine
        from wavejit.runtime.engine import Engine
        from wavejit.runtime.together import Utterance, run_all

        if not isinstance(self.engine, (Engine, CudaEngine)) or not self.model.bins:
            raise InputError(f"{self.model.name}: generate_many needs compiled code and a model that takes features")
        self._check_draws(seed, temperature, 0)
        lookahead = self.model.step.lookahead
        utterances: list[Utterance] = []
        for i, item in enumerate(features):
            found = self.checked(item, f"features[{i}]")
            if not len(found):
                raise InputError(f"features[{i}] have no frames, expected (frames, {self.model.bins}) with at least 1")
            padded = np.concatenate([found, np.zeros((lookahead, self.model.bins), np.float32)])
            begin = partial(self.engine.stream, seed, i, temperature)
            utterances.append(Utterance(begin, padded[:lookahead], padded[lookahead:]))
        frames_at_once = max(1, round(CHUNK_SECONDS * self.sample_rate / self.hop_length))
        made = run_all(self.engine, utterances, frames_at_once)
        if self._postfilter is None:
            return made
        corrections = [self._postfilter() for _ in made]
        return [
            np.concatenate([through.push(audio, self.checked(item)), through.finish()])
            for through, audio, item in zip(corrections, made, features, strict=True)
        ]

    def stream(
        self,
        frames: Iterable[ArrayLike] | None = None,
        seed: int = 0,
        temperature: float = 1.0,
        stream: int = 0,
    ) -> Generator[Audio, None, None]:
        """Take frames as they come and yield audio as soon as the model's look-ahead allows.

        Args:
            frames: each item one frame `(bins,)` or several `(n, bins)`. None for an unconditional model, which
                then streams without end.
            seed, temperature, stream: as for `generate`.

        Yields:
            float32 chunks; joined, they are what `generate` returns for the frames joined, byte for byte. A post-filter
            gives each sample later, by a window of the features a round.
        """
        running = self._begin(seed, temperature, stream)
        if frames is None:
            return self._endless(running)
        return self._following(running, frames) if self._postfilter is None else self._corrected(running, frames)

    def _begin(self, seed: int, temperature: float, stream: int) -> Stream | CudaStream | ReferenceStream:
        self._check_draws(seed, temperature, stream)
        return self.engine.stream(seed, stream, temperature)

    def _check_draws(self, seed: int, temperature: float, stream: int) -> None:
        if not 0 <= seed < 2**64:
            raise InputError(f"seed is {seed}, expected 0 to 2**64 - 1")
        if not 0 <= stream < 2**32:
            raise InputError(f"stream is {stream}, expected 0 to 2**32 - 1")
        if not (np.isfinite(temperature) and temperature >= 0):
            raise InputError(f"temperature is {temperature}, expected a number from 0")

    def _endless(self, running: Stream | CudaStream | ReferenceStream) -> Generator[Audio, None, None]:
        if self.model.bins:
            raise InputError(f"{self.model.name}: features are missing, expected (frames, {self.model.bins})")
        while True:
            yield running.run(max(1, round(CHUNK_SECONDS * self.sample_rate / self.engine.samples_per_tick)))

    def _following(
        self, running: Stream | CudaStream | ReferenceStream, frames: Iterable[ArrayLike]
    ) -> Generator[Audio, None, None]:
        if not self.model.bins:
            raise InputError(f"{self.model.name}: features are given, but the model is unconditional")
        waiting = self.model.step.lookahead
        ticks_a_frame = self.hop_length // self.engine.samples_per_tick
        for item in self._padded(frames, waiting):
            ahead, here = item[:waiting], item[waiting:]
            if len(ahead):
                running.prime(ahead)
                waiting -= len(ahead)
            if len(here):
                yield running.run(len(here) * ticks_a_frame, here)

    def _corrected(
        self, running: Stream | CudaStream | ReferenceStream, frames: Iterable[ArrayLike]
    ) -> Generator[Audio, None, None]:
        """`_following`, through the post-filter."""
        assert self._postfilter is not None
        correction, new = self._postfilter(), [np.zeros((0, self.model.bins), np.float32)]

        def noted() -> Generator[Audio, None, None]:
            for item in frames:
                new.append(self.checked(item))
                yield new[-1]

        for chunk in self._following(running, noted()):
            yield correction.push(chunk, np.concatenate(new))
            del new[1:]
        yield correction.finish()

    def _padded(self, frames: Iterable[ArrayLike], lookahead: int) -> Generator[Audio, None, None]:
        """The frames as arrays, then silence for the look-ahead of the last ones."""
        for item in frames:
            yield self.checked(item)
        yield np.zeros((lookahead, self.model.bins), np.float32)

    def checked(self, features: ArrayLike, name: str = "features") -> Audio:
        """Features as float32 `(frames, bins)`; raises InputError where they cannot be, by their name."""
        try:
            found = np.asarray(features)
        except ValueError:
            raise InputError(f"{name} are rows of different lengths, expected (frames, bins)") from None
        if found.dtype.kind != "f":
            raise InputError(f"{name} are {found.dtype}, expected floating-point numbers")
        if found.ndim == 1:
            found = found[None]
        if found.ndim != 2 or found.shape[1] != self.model.bins:
            raise InputError(f"{name} are {found.shape}, expected (frames, {self.model.bins})")
        with np.errstate(over="ignore"):
            found = np.ascontiguousarray(found, np.float32)
        if not np.isfinite(found).all():
            raise InputError(f"{name} hold NaN or infinite values, expected finite ones")
        return found

    def _source(self, features: ArrayLike | None, samples: int | None) -> Iterable[Audio] | None:
        """What `generate` streams: blocks of frames, so that progress can be told."""
        if features is None:
            if self.model.bins:
                raise InputError(f"{self.model.name}: features are missing, expected (frames, {self.model.bins})")
            if samples is None or samples < 0:
                raise InputError(f"samples is {samples}, expected how many samples to make")
            return None
        if samples is not None:
            raise InputError("samples are given beside features, which already say how long the audio is")
        if not self.model.bins:
            raise InputError(f"{self.model.name}: features are given, but the model is unconditional")
        found = self.checked(features)
        if not len(found):
            raise InputError(f"features have no frames, expected (frames, {self.model.bins}) with at least 1")
        block = max(1, round(CHUNK_SECONDS * self.sample_rate / self.hop_length))
        return (found[i : i + block] for i in range(0, len(found), block))
