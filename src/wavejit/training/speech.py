"""Recordings as a vocoder trains on them: features and bands of all clips, one behind the other."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from wavejit.audio import FeatureContract, mel_features, read_audio, split_bands
from wavejit.audio.storage import replace_file
from wavejit.training.corpus import Utterance

QUIET = 10 ** (-40 / 20)  # of a clip's loudest frame: below it, a clip has not begun or is over
MARGIN = 0.2  # s of quiet kept at each end

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Speech:
    """Clips one behind the other, each whole frames long.

    Attributes:
        frames: features, `(frames, channels)`.
        bands: of the filter bank, `(frames * steps a frame, bands)`, behind the audio by half of its delay.
        starts: the first frame of each clip, `(clips,)`.
    """

    frames: Array
    bands: Array
    starts: NDArray[np.int64]


def prepare(utterances: Sequence[Utterance], contract: FeatureContract, bands: int, cache: Path) -> Speech:
    """The speech of `utterances`, from the folder `cache` where they were prepared before."""
    wanted = (contract.to_dict(), bands, [(u.name, u.audio.stat().st_size) for u in utterances])
    file = cache / f"speech-{hashlib.sha256(repr(wanted).encode()).hexdigest()[:16]}.safetensors"
    if not file.exists():
        clips = [_clip(utterance, contract, bands) for utterance in utterances]
        starts = np.cumsum([0] + [len(frames) for frames, _ in clips[:-1]])
        arrays = {
            "frames": np.concatenate([frames for frames, _ in clips]),
            "bands": np.concatenate([band for _, band in clips]),
            "starts": starts.astype(np.int64),
        }
        cache.mkdir(parents=True, exist_ok=True)
        replace_file(file, save(arrays))
    return Speech(**load_file(file))


def _clip(utterance: Utterance, contract: FeatureContract, bands: int) -> tuple[Array, Array]:
    samples, _ = read_audio(utterance.audio, contract.sample_rate)
    samples = trimmed(samples, contract)
    frames = len(samples) // contract.hop_length
    features = mel_features(samples, contract)[:frames]
    steps = frames * contract.hop_length // bands
    return features, split_bands(samples, bands)[:steps].astype(np.float32)


def trimmed(samples: Array, contract: FeatureContract) -> Array:
    """A clip without the silence before and behind it, but for a margin."""
    begin, end = speech_span(samples, contract)
    return samples[begin:end]


def speech_span(samples: Array, contract: FeatureContract) -> tuple[int, int]:
    """The first and the last sample of a clip's speech, with a margin of silence."""
    hop = contract.hop_length
    levels = np.sqrt(np.mean(samples[: len(samples) // hop * hop].reshape(-1, hop) ** 2, 1))
    loud = np.flatnonzero(levels > QUIET * levels.max())
    margin = int(MARGIN * contract.sample_rate)
    return max(0, loud[0] * hop - margin), min(len(samples), (loud[-1] + 1) * hop + margin)
