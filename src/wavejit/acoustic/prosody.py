"""Durations and pitch of a sentence, and what they say of each frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wavejit.acoustic.networks import PITCH, PLACE

Array = NDArray[np.float32]
Integers = NDArray[np.int64]

FRAMES_COUNTED = 30  # from a phoneme's begin and to its end; further ones look alike
COUNT_SCALE = 0.1


@dataclass(frozen=True)
class Prosody:
    """How the phonemes of a sentence are said.

    Attributes:
        frames: of each phoneme, `(phonemes,)`, 1 at least.
        ln_f0: at points spread evenly over each phoneme, `(phonemes, points)`; F0 in Hz.
        voicing: at the same points, from 0 to 1.
    """

    frames: Integers
    ln_f0: Array
    voicing: Array

    @property
    def total(self) -> int:
        """Frames of the sentence."""
        return int(self.frames.sum())

    def pitch(self) -> Array:
        """Of each frame ln F0, on straight lines from point to point, and 1 where it is voiced: `(frames, 2)`."""
        ends = np.cumsum(self.frames)
        points = self.ln_f0.shape[1]
        share = (np.arange(points) + 0.5) / points
        times = ((ends - self.frames)[:, None] + self.frames[:, None] * share).ravel()
        frames = np.arange(self.total) + 0.5
        ln_f0 = np.interp(frames, times, self.ln_f0.ravel())
        voiced = np.interp(frames, times, self.voicing.ravel()) > 0.5
        return np.stack([ln_f0, voiced], 1).astype(np.float32)


def contour(pitch: Array, frames: Integers, points: int) -> tuple[Array, Array]:
    """The points of ln F0 and of voicing that `Prosody` has, from those of each frame, `(frames, 2)`."""
    ends = np.cumsum(frames)
    share = (np.arange(points) + 0.5) / points
    times = (ends - frames)[:, None] + frames[:, None] * share - 0.5
    at = np.arange(len(pitch))
    ln_f0, voicing = (np.interp(times.ravel(), at, column).reshape(times.shape) for column in pitch.T)
    return ln_f0.astype(np.float32), voicing.astype(np.float32)


def frame_rows(reading: Array, frames: Integers, pitch: Array, mean: float, scale: float) -> Array:
    """What the decoder is given.

    Args:
        reading: of each phoneme, `(phonemes, reading)`.
        frames: of each phoneme.
        pitch: ln F0 and voicing of each frame, `(frames, 2)`.
        mean, scale: of the speaker's ln F0.

    Returns:
        `(frames, reading + PLACE + PITCH)`.
    """
    of = np.repeat(np.arange(len(frames)), frames)
    since = np.arange(len(of)) - (np.cumsum(frames) - frames)[of]
    rows = np.empty((len(of), reading.shape[1] + PLACE + PITCH), np.float32)
    rows[:, : reading.shape[1]] = reading[of]
    place = rows[:, reading.shape[1] :]
    place[:, 0] = (since + 0.5) / frames[of]
    place[:, 1] = COUNT_SCALE * np.minimum(since, FRAMES_COUNTED)
    place[:, 2] = COUNT_SCALE * np.minimum(frames[of] - 1 - since, FRAMES_COUNTED)
    place[:, 3] = (pitch[:, 0] - mean) / scale * pitch[:, 1]
    place[:, 4] = pitch[:, 1]
    return rows
