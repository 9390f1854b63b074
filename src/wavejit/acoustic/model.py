"""An acoustic model: a folder, compiled, that makes the frames of a sentence."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavejit.acoustic.networks import AcousticNetwork, decoder, prosody, reader, shapes
from wavejit.acoustic.prosody import Prosody, frame_rows
from wavejit.acoustic.symbols import Phonemes
from wavejit.audio.contract import FeatureContract
from wavejit.checkpoints.config import read_config
from wavejit.checkpoints.files import read_file
from wavejit.errors import InputError
from wavejit.ir.builder import Tensors
from wavejit.models.family import Weights, check_weights

FORMAT = "wavejit-acoustic-1"
CONFIG, WEIGHTS = "config.json", "model.safetensors"
LONGEST_PHONEME = 200  # frames: what a broken prediction is held to

Array = NDArray[np.float32]


class AcousticConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`config.json` of an acoustic model; `features` are what it makes, and what its vocoder must want."""

    format: str
    network: AcousticNetwork
    features: FeatureContract
    licence: str = ""
    provenance: str = ""


@dataclass(frozen=True)
class Spoken:
    """A sentence that has been planned, and not made sound yet: its phonemes, how each is said, and its reading."""

    phonemes: Phonemes
    prosody: Prosody
    reading: Array


class AcousticModel:
    """Compiled networks; nothing in it changes, so any number of threads may use it."""

    def __init__(self, config: AcousticConfig, weights: Weights) -> None:
        from wavejit.backends.llvm.compile import host_target
        from wavejit.runtime.engine import Engine

        self.config = config
        n, w, target = config.network, Tensors(weights), host_target()
        self._forward = Engine(reader(n, w, "forward"), target)
        self._backward = Engine(reader(n, w, "backward"), target)
        self._prosody = Engine(prosody(n, w), target)
        self._decoder = Engine(decoder(n, w), target, precision="float32")

    @property
    def features(self) -> FeatureContract:
        """What its frames are."""
        return self.config.features

    def plan(
        self,
        phonemes: Phonemes,
        speed: ArrayLike = 1.0,
        pitch: ArrayLike = 1.0,
        pauses: Mapping[int, int] | None = None,
    ) -> Spoken:
        """Durations and pitch of a sentence.

        Args:
            phonemes: one at least.
            speed, pitch: factors of the voice's own, one for all or one for each phoneme.
            pauses: frames of phonemes that are to last so long, by their index.
        """
        rows, n = phonemes.rows(), self.config.network
        forward = self._forward.stream().run(len(rows), rows).reshape(-1, n.reader)
        backward = self._backward.stream().run(len(rows), np.ascontiguousarray(rows[::-1])).reshape(-1, n.reader)
        reading = np.concatenate([forward, backward[::-1]], 1)
        said = self._prosody.stream().run(len(rows), reading).reshape(-1, n.prosodic).astype(np.float64)
        frames = np.exp(np.minimum(said[:, 0], np.log(LONGEST_PHONEME))) / np.asarray(speed, np.float64)
        frames = np.maximum(1, np.round(frames)).astype(np.int64)
        for index, lasting in (pauses or {}).items():
            frames[index] = lasting
        ln_f0 = said[:, 1 : 1 + n.contour] * n.scale_ln_f0 + n.mean_ln_f0
        ln_f0 += np.broadcast_to(np.log(pitch), len(rows))[:, None]
        voicing = 1 / (1 + np.exp(-np.clip(said[:, 1 + n.contour :], -30, 30)))
        return Spoken(phonemes, Prosody(frames, ln_f0.astype(np.float32), voicing.astype(np.float32)), reading)

    def frames(self, spoken: Spoken, first: int = 50, chunk: int = 50) -> Iterator[Array]:
        """The features of a planned sentence, `(frames, channels)`: `first` frames, then `chunk` at a time."""
        n, stream = self.config.network, self._decoder.stream()
        pitch = spoken.prosody.pitch()
        rows = frame_rows(spoken.reading, spoken.prosody.frames, pitch, n.mean_ln_f0, n.scale_ln_f0)
        for start, end in itertools.pairwise([0, *range(first, len(rows), chunk), len(rows)]):
            mel = stream.run(end - start, rows[start:end]).reshape(-1, n.bins)
            yield np.concatenate([mel, pitch[start:end]], 1)


def load_acoustic(folder: Path) -> AcousticModel:
    """The acoustic model in `folder`.

    Raises:
        InputError: a file is missing or damaged, or a field or a weight is not as the networks need it.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    config = read_config(folder / CONFIG, AcousticConfig, "acoustic", FORMAT)
    try:
        weights = load(read_file(folder / WEIGHTS, 1 << 30))
    except SafetensorError as error:
        raise InputError(f"{folder / WEIGHTS}: is no safetensors file: {error}") from None
    weights = {name: np.ascontiguousarray(data, np.float32) for name, data in weights.items()}
    check_weights(shapes(config.network), weights, str(folder / WEIGHTS), "an acoustic model")
    return AcousticModel(config, weights)
