"""What a vocoder in training sounds like: copies of held-out recordings, to hear and to see."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wavejit.audio import join_bands, write_audio
from wavejit.evaluation.measure import Clip
from wavejit.evaluation.plot import draw_spectrograms
from wavejit.model import load
from wavejit.training.speech import Speech

LONGEST = 4.0  # seconds of each recording
TEMPERATURE = 0.7


def write_clips(model: Path, held: Speech, count: int, folder: Path, update: int) -> None:
    """Copies of the first `count` recordings of `held` as `folder/<update>-<i>.wav`, and their spectrograms.

    Args:
        model: the folder of a `mel-wavegru`.
    """
    if not count:
        return
    vocoder = load(model).compile()
    hop, rate, late = vocoder.hop_length, vocoder.sample_rate, vocoder.model.behind
    bands = held.bands.shape[1]
    folder.mkdir(parents=True, exist_ok=True)
    ends = [*held.starts[1:], len(held.frames)]
    clips: list[Clip] = []
    for i, (start, end) in enumerate(zip(held.starts[:count], ends, strict=False)):
        frames = held.frames[start:end][: int(LONGEST * rate / hop)]
        steps = slice(start * hop // bands, (start + len(frames)) * hop // bands)
        recorded = join_bands(held.bands[steps]).astype(np.float32)[late - hop :]
        made = vocoder.generate(frames, temperature=TEMPERATURE)[late:]
        write_audio(folder / f"{update:06}-{i}.wav", made, rate)
        clips.append(Clip(f"update {update}, {i}", recorded, made, rate, None, aligned=True))
    draw_spectrograms(clips, folder / f"{update:06}.png")
