"""Sentences as an acoustic model trains on them: phonemes, how many frames each lasts, and the frames."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save
from torch import Tensor

from wavejit.acoustic.networks import AcousticNetwork
from wavejit.acoustic.prosody import contour, frame_rows
from wavejit.acoustic.symbols import Phonemes
from wavejit.audio import FeatureContract, mel_features, read_audio
from wavejit.audio.storage import replace_file
from wavejit.text.phonemes import PAUSE
from wavejit.training.alignment import AlignedUtterance, Alignment
from wavejit.training.corpus import Utterance

MARGIN = 15  # frames of silence that a sentence keeps at each end

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Example:
    """A recorded sentence.

    Attributes:
        rows: of its phonemes, `(phonemes, symbols)`.
        frames: that each lasts, `(phonemes,)`.
        features: `(frames, channels)`, at the level that all sentences are brought to.
    """

    rows: Array
    frames: NDArray[np.int64]
    features: Array


def examples(
    utterances: Sequence[Utterance], alignment: Alignment, contract: FeatureContract, cache: Path
) -> list[Example]:
    """The aligned ones of `utterances`; their features from the folder `cache` where they were taken before."""
    aligned = [u for u in utterances if u.name in alignment.utterances]
    wanted = (contract.to_dict(), [(u.name, u.audio.stat().st_size) for u in aligned])
    file = cache / f"features-{hashlib.sha256(repr(wanted).encode()).hexdigest()[:16]}.safetensors"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        replace_file(
            file, save({u.name: mel_features(read_audio(u.audio, contract.sample_rate)[0], contract) for u in aligned})
        )
    features = load_file(file)
    loudness = {u.name: _loudness(features[u.name], contract) for u in aligned}
    usual = float(np.median(list(loudness.values())))
    made: list[Example] = []
    for u in aligned:
        levelled = features[u.name].copy()
        levelled[:, : contract.bins] = np.maximum(
            levelled[:, : contract.bins] + usual - loudness[u.name], np.log(contract.floor)
        )
        if example := _example(u, alignment.utterances[u.name], levelled):
            made.append(example)
    return made


def _loudness(features: Array, contract: FeatureContract) -> float:
    """The mean level of the louder half of the frames, in the features' logarithm."""
    level = features[:, : contract.bins].mean(1)
    return float(level[level >= np.median(level)].mean())


def _example(utterance: Utterance, aligned: AlignedUtterance, features: Array) -> Example | None:
    """None where the alignment is longer than the recording by more than rounding."""
    phones = list(aligned.phones)
    frames = np.array([phone.end - phone.start for phone in phones])
    begin, end = phones[0].start, min(phones[-1].end, len(features))
    if phones[-1].end - len(features) > 2:
        return None
    frames[-1] -= phones[-1].end - end
    for i, side in ((0, 1), (-1, -1)):
        if phones[i].phoneme == PAUSE and frames[i] > MARGIN:
            cut = int(frames[i] - MARGIN)
            frames[i] = MARGIN
            begin, end = (begin + cut, end) if side == 1 else (begin, end - cut)
    kind = {"?": "question", "!": "exclamation"}.get(utterance.text.rstrip("\"' ")[-1:], "statement")
    phonemes = Phonemes(tuple(p.phoneme for p in phones), tuple(p.word for p in phones), kind)
    return Example(phonemes.rows(), frames, features[begin:end])


@dataclass(frozen=True)
class Batch:
    """Sentences, padded to the longest.

    Attributes:
        rows: `(sentences, phonemes, symbols)`; `lengths`: phonemes of each.
        durations: ln of frames, `(sentences, phonemes)`.
        ln_f0, voicing: points, `(sentences, phonemes, points)`; ln F0 normalised.
        spoken: `(sentences, phonemes)`: 1 for a phoneme, 0 for padding.
        of: the phoneme of each frame, `(sentences, frames)`.
        given: of each frame, what the decoder sees beside the reading, `(sentences, frames, place and pitch)`.
        bins: normalised, `(sentences, frames, bins)`.
        heard: `(sentences, frames)`: 1 for a frame, 0 for padding.
    """

    rows: Tensor
    lengths: Tensor
    durations: Tensor
    ln_f0: Tensor
    voicing: Tensor
    spoken: Tensor
    of: Tensor
    given: Tensor
    bins: Tensor
    heard: Tensor


def batch_of(chosen: Sequence[Example], n: AcousticNetwork, mean: Array, scale: Array) -> Batch:
    """`chosen` as tensors."""
    columns: dict[str, list[Array | NDArray[np.int64]]] = {}

    def put(name: str, data: Any) -> None:
        columns.setdefault(name, []).append(data)

    for example in chosen:
        frames, pitch = example.frames, example.features[:, n.bins :]
        ln_f0, voicing = contour(pitch, frames, n.contour)
        none = np.zeros((len(frames), 0), np.float32)
        put("rows", example.rows)
        put("durations", np.log(frames).astype(np.float32))
        put("ln_f0", (ln_f0 - n.mean_ln_f0) / n.scale_ln_f0)
        put("voicing", voicing)
        put("spoken", np.ones(len(frames), np.float32))
        put("of", np.repeat(np.arange(len(frames)), frames))
        put("given", frame_rows(none, frames, pitch, n.mean_ln_f0, n.scale_ln_f0))
        put("bins", (example.features[:, : n.bins] - mean) / scale)
        put("heard", np.ones(len(pitch), np.float32))
    lengths = torch.tensor([len(example.frames) for example in chosen])
    padded = {
        name: torch.nn.utils.rnn.pad_sequence([torch.from_numpy(np.ascontiguousarray(x)) for x in data], True)
        for name, data in columns.items()
    }
    return Batch(lengths=lengths, **padded)
