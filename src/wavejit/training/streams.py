"""Batches of a vocoder's training: parallel streams that walk through the speech, a chunk an update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavejit.models.mel_wavegru import MelWaveGRU
from wavejit.training.recipe import Disturbance
from wavejit.training.speech import Speech

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """What one update trains on.

    Attributes:
        frames: `(chunk frames + context - 1, batch, channels)`.
        past: `(steps, batch, past)`: bands before each step, newest first, then those about a period ago.
        bands: to be predicted, `(steps, batch, bands)`.
        carried: `(batch,)`: 1 where the chunk goes on from the last, 0 where it begins anew.
    """

    frames: Array
    past: Array
    bands: Array
    carried: Array


class Streams:
    """Streams at places of their own, which move on by a chunk a batch and now and then leap elsewhere."""

    LEAP = 0.02  # of the streams, each batch

    def __init__(
        self, speech: Speech, network: MelWaveGRU, batch: int, chunk: int, disturbance: Disturbance, seed: int
    ) -> None:
        """`chunk`: frames of each stream a batch."""
        self.speech, self.network, self.chunk, self.disturbance = speech, network, chunk, disturbance
        self.rng = np.random.default_rng(seed)
        self.steps_a_frame = network.hop_length // network.bands
        self.bands = speech.bands * np.array(network.band_gains, np.float32)
        self.levels = levels(self.bands, self.steps_a_frame)
        self.periods = periods(speech.frames, network)
        self.first, self.last = network.context, len(speech.frames) - chunk - 2
        self.places = self.rng.integers(self.first, self.last, batch)
        self.fresh = np.ones(batch, bool)

    def state(self) -> dict[str, Any]:
        """Where the streams are, for a checkpoint."""
        return {"rng": self.rng.bit_generator.state, "places": self.places, "fresh": self.fresh}

    def restore(self, state: dict[str, Any]) -> None:
        self.rng.bit_generator.state = state["rng"]
        self.places, self.fresh = state["places"], state["fresh"]

    def next(self) -> Batch:
        batch = cut(self.speech.frames, self.bands, self.periods, self.network, self.places, self.chunk)
        past = self._disturbed(batch.past)
        carried = (~self.fresh).astype(np.float32)
        self.places += self.chunk
        self.fresh = (self.rng.random(len(self.places)) < self.LEAP) | (self.places >= self.last)
        self.places[self.fresh] = self.rng.integers(self.first, self.last, int(self.fresh.sum()))
        return Batch(batch.frames, past, batch.bands, carried)

    def _disturbed(self, past: Array) -> Array:
        """The past as the network's own draws might have left it."""
        d, rng, streams = self.disturbance, self.rng, len(self.places)
        gain = np.exp(d.gain * rng.standard_normal(streams) * (rng.random(streams) < 0.5)).astype(np.float32)
        share = (d.noise * rng.random((streams, 1))).astype(np.float32)
        frames = self.places + np.arange(self.chunk)[:, None]
        level = np.repeat(share * self.levels[frames] + np.float32(d.floor), self.steps_a_frame, 0)
        level = np.tile(level, past.shape[-1] // level.shape[-1])
        return gain[:, None] * past + level * rng.standard_normal(past.shape, np.float32)


def levels(bands: Array, steps_a_frame: int) -> Array:
    """The root mean square of each band in each frame, `(frames, bands)`."""
    return np.sqrt(np.mean(bands.reshape(-1, steps_a_frame, bands.shape[1]) ** 2, 1))


def cut(frames: Array, bands: Array, lags: Array, n: MelWaveGRU, places: NDArray[np.int64], chunk: int) -> Batch:
    """The chunks of audio that begin with the frames `places`."""
    wide = np.arange(chunk + n.context - 1)[:, None] + (places - n.context + 2)
    steps_a_frame = n.hop_length // n.bands
    times = places * steps_a_frame + np.arange(chunk * steps_a_frame)[:, None]  # (steps, batch)
    before = times[..., None] - np.arange(1, n.history + 1)
    reach = n.pitch_taps // 2
    near = lags[times // steps_a_frame][..., None] + np.arange(-reach, reach + 1)
    lag = np.floor(np.clip(near, 1, n.longest_period + reach) + 0.5).astype(np.int64)
    sources = np.concatenate([before, times[..., None] - lag], -1)
    past = bands[np.maximum(sources, 0)].reshape(*times.shape, n.past)
    return Batch(frames[wide], past, bands[times], np.ones(len(places), np.float32))


def periods(frames: Array, n: MelWaveGRU) -> Array:
    """Steps a pitch period of the audio that begins with each frame, `(frames,)`."""
    ln_f0 = frames[:, -2]
    following = np.append(ln_f0[1:], ln_f0[-1:])
    return np.exp(np.log(n.sample_rate / n.bands) - 0.5 * (ln_f0 + following)).astype(np.float32)
