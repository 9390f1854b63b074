"""Correct a signal until its mel frames are those that it was made from.

A vocoder is told how loud each mel band is to be in each frame, and its draws miss that by some decibels. That can be
measured while it speaks: each round takes the mel frames of the signal, and multiplies its short-time spectrum by what
they lack, phases left alone. Where the features have the pitch, what lies between the harmonics of a voiced frame, and
is mostly noise that the vocoder drew, is made quieter.

Sources: Griffin and Lim 1984, section III: a signal from magnitudes by turns of transform and inverse; here the phases
begin as the vocoder's, and the magnitudes are known as mel bands. Chen and Gersho 1995, section III: post-filters of
speech coders, of which the long-term one is such a comb.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from wavejit.audio.contract import FeatureContract
from wavejit.audio.mel import LOG_SCALES, analysis_window, mel_filterbank
from wavejit.errors import InputError

Array = NDArray[np.float32]

MOST = 2.0  # nats that a round changes an amplitude by: 17 dB
COMB_WHOLE, COMB_GONE = 500.0, 3000.0  # Hz: up to the one the comb is at its deepest, from the other there is none


class Postfilter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a model's audio is corrected.

    Attributes:
        rounds: each makes it better and the sound a window later.
        overshoot: what is lacking is multiplied by, in decibels: the frames that overlap this one take part of it back.
        comb: decibels that a round takes off half way between the harmonics of voiced frames; less above 500 Hz, and
            nothing above 3 kHz. The features must have the pitch where it is not 0.
    """

    rounds: Annotated[int, Meta(ge=1, le=16)] = 2
    overshoot: Annotated[float, Meta(gt=0.0, le=2.0)] = 1.4
    comb: Annotated[float, Meta(ge=0.0, le=40.0)] = 0.0


def check_postfilter(settings: Postfilter, contract: FeatureContract) -> None:
    """Raise InputError, naming the field, where a spectrum cannot be corrected by such features."""
    for field, holds, expected in (
        ("normalisation", contract.normalisation is None, "none"),
        ("preemphasis", contract.preemphasis == 0, "0"),
        ("log", contract.log in LOG_SCALES, f"one of {', '.join(LOG_SCALES)}"),
        ("centre", contract.centre in ("reflect", "zero"), "reflect or zero"),
        ("pitch", contract.pitch or not settings.comb, "true, for the comb"),
        ("window_length", contract.window_length >= 2 * contract.hop_length, "at least two hops"),
    ):
        if not holds:
            raise InputError(
                f"features.{field} is {getattr(contract, field)}, expected {expected}: the post-filter needs that"
            )


class PostfilterStream:
    """A signal on its way through the post-filter, the same for any chunks, byte for byte.

    `push` gives what is ready, `finish` the rest: as many samples as came in, each where it was.
    """

    def __init__(self, settings: Postfilter, contract: FeatureContract, behind: int = 0) -> None:
        """`behind`: samples by which the signal is behind its frames."""
        self._settings, self._contract = settings, contract
        self._rounds = [_Round(settings, contract, behind) for _ in range(settings.rounds)]

    def push(self, samples: ArrayLike, frames: ArrayLike) -> NDArray[np.float32]:
        """Take the next samples, `(samples,)`, and the next frames, `(frames, bins or more)`."""
        known = np.asarray(frames, np.float32)
        wanted = known[:, : self._contract.bins]
        if self._settings.comb:
            wanted = np.concatenate([wanted, _comb(self._contract, self._settings.comb, known)], 1)
        return self._through(np.asarray(samples, np.float32), wanted, last=False)

    def finish(self) -> NDArray[np.float32]:
        """What is left, when no more comes."""
        return self._through(np.zeros(0, np.float32), None, last=True)

    def _through(self, samples: Array, wanted: Array | None, last: bool) -> Array:
        for each in self._rounds:
            samples = each.push(samples, wanted, last)
        return np.clip(samples, -1.0, 1.0)


class _Round:
    """One correction: windows of the signal are transformed, corrected, transformed back and added up."""

    def __init__(self, settings: Postfilter, contract: FeatureContract, behind: int) -> None:
        self.overshoot, self.contract = settings.overshoot, contract
        self.hop, self.window = contract.hop_length, analysis_window(contract).astype(np.float32)
        begin = behind - len(self.window) // 2  # of the window of frame 0
        self.frame = -(begin + len(self.window)) // self.hop + 1  # the first whose window has a sample of the signal
        start = begin + self.frame * self.hop
        self.signal = np.zeros(-start, np.float32)  # from the start of the next window on
        self.sum = np.zeros(len(self.window) - self.hop, np.float32)  # of the windows so far, from there on
        self.wanted: Array | None = None  # mel bins, then the comb, of the frames from `frame`, or 0, on
        self.to_drop = -start  # samples of silence before the signal
        self.taken = self.given = 0

    def push(self, samples: Array, wanted: Array | None, last: bool) -> Array:
        """Samples in, samples out that no later window reaches."""
        if wanted is not None:
            self.wanted = wanted if self.wanted is None else np.concatenate([self.wanted, wanted])
        self.taken += len(samples)
        behind = np.zeros(2 * len(self.window) if last else 0, np.float32)
        self.signal = np.concatenate([self.signal, samples, behind])
        count = (len(self.signal) - len(self.window)) // self.hop + 1
        if not last:
            count = min(count, max(0, -self.frame) + self._known())
        if count <= 0:
            return np.zeros(0, np.float32)
        windows = sliding_window_view(self.signal, len(self.window))[:: self.hop][:count]
        out = self._added_up(self._corrected(windows * self.window))
        self.signal = self.signal[count * self.hop :]
        out = out[min(self.to_drop, len(out)) :]
        self.to_drop -= min(self.to_drop, count * self.hop)
        out = out[: self.taken - self.given] if last else out
        self.given += len(out)
        return out

    def _known(self) -> int:
        """Frames whose mel bins are known and whose windows are still to come."""
        return 0 if self.wanted is None else len(self.wanted)

    def _corrected(self, windows: Array) -> Array:
        """The windows of frames `frame` and following, windowed again."""
        without = min(len(windows), max(0, -self.frame))  # before the first frame nothing is known
        self.frame += len(windows)
        count = min(len(windows) - without, self._known())
        if self.wanted is None or not count:
            return windows * self.window
        wanted, self.wanted = self.wanted[:count], self.wanted[count:]
        bins, comb = wanted[:, : self.contract.bins], wanted[:, self.contract.bins :]
        spectra = np.fft.rfft(windows[without : without + count])
        spectra[:, : comb.shape[1]] *= comb
        to_mel, to_bins = _maps(self.contract)
        # A product a frame: the bytes of a larger one would depend on how many frames there are.
        mel = np.matmul((np.abs(spectra) ** self.contract.magnitude_power)[:, None], to_mel)[:, 0]
        scale = LOG_SCALES[self.contract.log]
        found = scale * np.log(np.maximum(self.contract.floor, mel))
        lacking = self.overshoot / (scale * self.contract.magnitude_power) * (bins - found)
        gains = np.exp(np.matmul(np.clip(lacking, -MOST, MOST)[:, None], to_bins)[:, 0])
        corrected = np.fft.irfft(spectra * gains, len(self.window))
        return np.concatenate([windows[:without], corrected, windows[without + count :]]) * self.window

    def _added_up(self, windows: Array) -> Array:
        """What is done of the sum of all windows."""
        done = len(windows) * self.hop
        total = np.concatenate([self.sum, np.zeros(done, np.float32)])
        for i, window in enumerate(windows):
            total[i * self.hop : i * self.hop + len(window)] += window
        self.sum = total[done:]
        return (total[:done].reshape(-1, self.hop) / _overlap(self.contract)).reshape(-1)


@lru_cache(maxsize=16)
def _maps(contract: FeatureContract) -> tuple[Array, Array]:
    """From magnitudes to mel bands, and from a number a mel band to one a bin: by how far the bin lies in each."""
    filterbank = mel_filterbank(contract)
    peaks = filterbank / np.maximum(filterbank.max(1, keepdims=True), 1e-30)
    to_bins = peaks / np.maximum(peaks.sum(0), 1e-30)
    return np.ascontiguousarray(filterbank.T, np.float32), np.ascontiguousarray(to_bins, np.float32)


def _comb(contract: FeatureContract, decibels: float, frames: Array) -> Array:
    """What amplitudes are multiplied by, `(frames, bins of the FFT up to COMB_GONE)`: 1 at a harmonic."""
    spacing = contract.sample_rate / contract.n_fft
    hertz = np.arange(min(contract.n_fft // 2 + 1, int(COMB_GONE / spacing) + 1), dtype=np.float32) * spacing
    share = np.clip((COMB_GONE - hertz) / (COMB_GONE - COMB_WHOLE), 0.0, 1.0)
    f0, voiced = np.exp(np.clip(frames[:, -2:-1], 0.0, 20.0)), frames[:, -1:] > 0.5
    off_harmonic = 0.5 - 0.5 * np.cos(2 * np.pi * hertz / f0)
    return np.exp(-decibels * np.log(10) / 20 * share * voiced * off_harmonic).astype(np.float32)


@lru_cache(maxsize=16)
def _overlap(contract: FeatureContract) -> Array:
    """The sum of all windows' squares at each sample of a hop, `(hop,)`."""
    window, hop = analysis_window(contract), contract.hop_length
    squares = np.pad(window**2, (0, -len(window) % hop))
    return squares.reshape(-1, hop).sum(0).astype(np.float32)
