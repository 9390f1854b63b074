"""Batches of a vocoder's training: parallel streams that walk through the speech, a chunk an update."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
        frames: `(frames before + chunk frames + context - 1, batch, channels)`.
        heard: the bands as the network's own draws might have left them, with those of the frames before and of as
            many steps more as a predictor needs, `(steps, batch, bands)`.
        lags: how many steps ago what a step sees of a period ago was, `(chunk frames, batch, pitch taps)`.
        bands: to be predicted, `(chunk steps, batch, bands)`.
        carried: `(batch,)`: 1 where the chunk goes on from the last, 0 where it begins anew.
    """

    frames: Array
    heard: Array
    lags: NDArray[np.int64]
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
        self.first, self.last = first_place(network), len(speech.frames) - chunk - 2
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
        heard = self._disturbed(batch.heard)
        carried = (~self.fresh).astype(np.float32)
        self.places += self.chunk
        self.fresh = (self.rng.random(len(self.places)) < self.LEAP) | (self.places >= self.last)
        self.places[self.fresh] = self.rng.integers(self.first, self.last, int(self.fresh.sum()))
        return replace(batch, heard=heard, carried=carried)

    def _disturbed(self, heard: Array) -> Array:
        """The past as the network's own draws might have left it."""
        d, rng, places = self.disturbance, self.rng, self.places
        disturbed = (rng.random(len(places)) < d.share).astype(np.float32)

        def up_to(most: float) -> Array:
            """An amount for each stream, `(batch, 1)`."""
            return (most * disturbed * rng.random(len(places), np.float32))[:, None]

        gain = np.exp(d.gain * disturbed * rng.standard_normal(len(places), np.float32))[:, None]
        level = self.levels[places]
        noise = (up_to(d.noise) * level + d.floor * disturbed[:, None]) * rng.standard_normal(heard.shape, np.float32)
        drift = up_to(d.drift) * level * slow_noise(rng, heard.shape)
        return (gain * heard + noise + drift).astype(np.float32, copy=False)


def slow_noise(rng: np.random.Generator, shape: tuple[int, ...], steps: int = 24) -> Array:
    """Noise below the voice's pitch, of a standard deviation near 1: straight lines between values `steps` apart."""
    knots = rng.standard_normal((shape[0] // steps + 2, *shape[1:]), np.float32)
    part = (np.arange(steps, dtype=np.float32) / steps).reshape(-1, *[1] * (len(shape) - 1))
    lines = knots[:-1, None] * (1 - part) + knots[1:, None] * part
    return lines.reshape(-1, *shape[1:])[: shape[0]].astype(np.float32, copy=False)


def levels(bands: Array, steps_a_frame: int) -> Array:
    """The root mean square of each band in each frame, `(frames, bands)`."""
    return np.sqrt(np.mean(bands.reshape(-1, steps_a_frame, bands.shape[1]) ** 2, 1))


def cut(frames: Array, bands: Array, lags: Array, n: MelWaveGRU, places: NDArray[np.int64], chunk: int) -> Batch:
    """The chunks of audio that begin with the frames `places`."""
    before = frames_before(n)
    wide = np.arange(before + chunk + n.context - 1)[:, None] + (places - before - n.context + 2)
    steps_a_frame = n.hop_length // n.bands
    begin = places * steps_a_frame
    heard = np.arange(-before * steps_a_frame - n.order, chunk * steps_a_frame)[:, None] + begin
    times = np.arange(chunk * steps_a_frame)[:, None] + begin
    reach = n.pitch_taps // 2
    near = lags[np.arange(chunk)[:, None] + places][..., None] + np.arange(-reach, reach + 1)
    lag = np.floor(np.clip(near, 1, n.longest_period + reach) + 0.5).astype(np.int64)
    return Batch(frames[wide], bands[heard], lag, bands[times], np.ones(len(places), np.float32))


def frames_before(n: MelWaveGRU) -> int:
    """Frames before a chunk in which an excitation may lie that it sees."""
    return -(-(n.longest_period + n.pitch_taps // 2) // (n.hop_length // n.bands))


def first_place(n: MelWaveGRU) -> int:
    """The first frame with everything before it that a chunk needs."""
    return n.context + frames_before(n) + -(-n.order // (n.hop_length // n.bands))


def periods(frames: Array, n: MelWaveGRU) -> Array:
    """Steps a pitch period of the audio that begins with each frame, `(frames,)`."""
    ln_f0 = frames[:, -2]
    following = np.append(ln_f0[1:], ln_f0[-1:])
    return np.exp(np.log(n.sample_rate / n.bands) - 0.5 * (ln_f0 + following)).astype(np.float32)
