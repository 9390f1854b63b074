"""Recordings with what is compared with them: made by a model from their features, or found in a folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from wavejit.audio import read_audio, read_features
from wavejit.errors import InputError
from wavejit.evaluation.alignment import aligned, constant_delay
from wavejit.evaluation.likelihood import negative_log_likelihood
from wavejit.evaluation.measure import Clip
from wavejit.evaluation.recordings import Recording, counterpart, read_recording
from wavejit.vocoder import Vocoder

DELAY_CLIPS = 10  # that the delay is found from


def copy_synthesis(
    vocoder: Vocoder,
    recordings: Sequence[Recording],
    measures: Collection[str],
    seed: int = 0,
    temperature: float = 1.0,
    on_clip: Callable[[], None] = lambda: None,
) -> tuple[list[Clip], int]:
    """Each recording's features to audio, as `wavejit vocode` does it, without the model's constant delay.

    A recording is compared at the level at which its features are taken: that of the file.

    Args:
        vocoder: native code of a model with features.
        recordings: at any rate; they are compared at the model's.
        measures: the likelihood is found where "nll" is among them.
        seed, temperature: as for `Vocoder.generate`.
        on_clip: called after each recording.

    Returns:
        The clips, and the delay in samples.
    """
    contract = vocoder.model.features
    if contract is None:
        raise InputError(f"{vocoder.model.name}: has no features, expected a model folder with features")
    clips: list[Clip] = []
    for recording in recordings:
        recorded, rate = read_recording(recording.path, contract.sample_rate)
        frames = read_features(recording.path, contract)
        nll = negative_log_likelihood(vocoder, recorded, frames) if "nll" in measures else None
        made = vocoder.generate(frames, seed, temperature)
        clips.append(Clip(recording.path.name, recorded, made, rate, recording.text, True, nll))
        on_clip()
    pairs = [(clip.recorded, clip.made) for clip in clips[:DELAY_CLIPS]]
    delay = constant_delay(pairs, contract.sample_rate)
    return [_without_delay(clip, delay) for clip in clips], delay


def found_in_folder(folder: Path, recordings: Sequence[Recording]) -> list[Clip]:
    """Each recording beside the file of its name in `folder`, both at the lower of their sample rates.

    Raises:
        InputError: a recording has no counterpart, or several.
    """
    clips: list[Clip] = []
    for recording in recordings:
        other = counterpart(folder, recording.path)
        recorded, rate = read_recording(recording.path, None)
        made, other_rate = read_recording(other, None)
        lower = min(rate, other_rate)
        if rate > lower:
            recorded, _ = read_audio(recording.path, lower)
        if other_rate > lower:
            made, _ = read_audio(other, lower)
        clips.append(Clip(recording.path.name, recorded, made, lower, recording.text, aligned=False))
    return clips


def _without_delay(clip: Clip, delay: int) -> Clip:
    recorded, made = aligned(clip.recorded, clip.made, delay)
    return replace(clip, recorded=recorded, made=made)
