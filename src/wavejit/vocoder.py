"""A compiled model: audio from features, whole or streamed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavejit.audio.postfilter import PostfilterStream
from wavejit.errors import InputError

if TYPE_CHECKING:
    from wavejit.model import Model
    from wavejit.runtime.cuda_engine import CudaEngine, CudaStream
    from wavejit.runtime.engine import Engine, Stream
    from wavejit.runtime.reference import ReferenceEngine, ReferenceStream

Audio = NDArray[np.float32]
CHUNK_SECONDS = 0.1  # of audio that is made before progress is told


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
