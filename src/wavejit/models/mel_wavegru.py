"""The voice's vocoder: a WaveGRU of several bands that sees its own past a pitch period ago.

A voiced sample is much like the one a period before it; a network that is shown that one need not carry a period of
waveform in its state. Where the period is, the features say.

Sources: Yu et al. 2020, DurIAN, section 3 (one network draws several bands); Valin et al. 2024, FARGAN, section 2
(pitch prediction from the network's own output); Kleijn et al. 2021 (mixtures of logistics, sparse GRU).
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from wavejit.audio.pqmf import TICKS_A_FILTER, split_bands, synthesis_matrix
from wavejit.errors import InputError
from wavejit.ir.builder import Linear, StepBuilder, Tensor, Tensors, Value, affine, concatenate, exp, gru, relu
from wavejit.ir.ops import Logistics, Step
from wavejit.models.family import Drawn, Family, Network, Shapes
from wavejit.models.wavegru import limited

Size = Annotated[int, Meta(ge=1, le=8192)]

LOG_SCALE_MIN = -10.0  # of a logistic: a band, whose full scale is 1, is known no closer than to 16 bits


class MelWaveGRU(Network, frozen=True, kw_only=True):
    """Sizes of a mel-conditioned WaveGRU."""

    width: Size  # of the GRU's state
    dense: Size  # of the layer between state and outputs
    channels: Annotated[int, Meta(ge=3, le=8192)]  # of the features; the last two are ln F0 and voicing
    hop_length: Annotated[int, Meta(ge=2, le=65536)]  # samples a frame, whole steps
    conditioning_width: Size
    context: Annotated[int, Meta(ge=2, le=64)] = 5  # frames that condition a frame of audio, which ends before the last
    bands: Annotated[int, Meta(ge=2, le=4)] = 4
    band_gains: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)  # that bring each band's largest values near 1
    components: Annotated[int, Meta(ge=1, le=64)] = 4  # of each band's mixture of logistics
    history: Annotated[int, Meta(ge=1, le=64)] = 4  # steps before this one that the network sees
    pitch_taps: Annotated[int, Meta(ge=1, le=15)] = 5  # steps about a period ago that it sees; odd
    longest_period: Annotated[int, Meta(ge=8, le=4096)] = 96  # steps

    def __post_init__(self) -> None:
        if self.hop_length % self.bands:
            raise InputError(
                f"network.hop_length is {self.hop_length}, expected a multiple of network.bands, {self.bands}"
            )
        if len(self.band_gains) != self.bands or not all(0 < gain < 1e6 for gain in self.band_gains):
            raise InputError(f"network.band_gains are {self.band_gains}, expected {self.bands} numbers above 0")
        if self.pitch_taps % 2 == 0:
            raise InputError(f"network.pitch_taps is {self.pitch_taps}, expected an odd number")

    @property
    def parameters(self) -> int:
        """Of a band's mixture: weight, mean and scale of each component."""
        return 3 * self.components

    @property
    def past(self) -> int:
        """Values of bands drawn before that a step sees."""
        return (self.history + self.pitch_taps) * self.bands


def shapes(n: MelWaveGRU) -> Shapes:
    """The weights that a network of these sizes needs."""
    return {
        **_linear("conditioning.0", n.conditioning_width, n.context * n.channels),
        **_linear("conditioning.1", n.conditioning_width, n.conditioning_width),
        **_linear("gru.recurrent", 3 * n.width, n.width),
        **_linear("gru.inputs", 3 * n.width, n.past + n.conditioning_width),
        **_linear("dense", n.dense, n.width + n.past),
        **_linear("out", n.bands * n.parameters, n.dense),
    }


def mel_wavegru(name: str, n: MelWaveGRU, w: Tensors) -> Step:
    """One value of each band, and the samples that they end.

    A frame's audio comes while the frame after it is the newest.
    """
    s = StepBuilder(name, n.sample_rate)
    steps_a_frame = n.hop_length // n.bands
    newest = s.condition("features", n.channels, steps_a_frame)
    with s.every(steps_a_frame):
        frames = [*(s.delayed(newest, ago) for ago in range(n.context - 1, 0, -1)), newest]
        c = relu(affine(w.linear("conditioning.0"), concatenate(*frames)))
        c = relu(affine(w.linear("conditioning.1"), c))
        period = period_in_steps(n, frames[-2], frames[-1])

    bands = s.state("bands", n.bands)
    before = [bands, *(s.delayed(bands, ago) for ago in range(1, n.history))]
    reach = n.pitch_taps // 2
    most = n.longest_period + reach
    a_period_ago = [s.recalled("bands", period + number(s, near), most) for near in range(-reach, reach + 1)]
    past = concatenate(*before, *a_period_ago)

    h = gru(w.linear("gru.recurrent"), w.linear("gru.inputs"), s.state("gru", n.width), concatenate(past, c))
    s.update("gru", h)
    y = relu(affine(w.linear("dense"), concatenate(h, past)))
    parameters = affine(w.linear("out"), y).split(n.bands)
    mixture = Logistics(n.components, LOG_SCALE_MIN)
    drawn = concatenate(*(s.draw(f"band.{i}", mixture, p) for i, p in enumerate(parameters)))
    s.update("bands", drawn)
    s.emit(limited(join_bands(s, n, drawn)))
    return s.step()


def period_in_steps(n: MelWaveGRU, begin: Value, end: Value) -> Value:
    """Steps a pitch period of the audio between two frames, `(1,)`: by the mean of their ln F0."""
    s, ln_f0 = begin.builder, slice(n.channels - 2, n.channels - 1)
    halves = Tensor("half of each", np.full((1, 2), -0.5, np.float32))
    steps_a_second = number(s, np.log(n.sample_rate / n.bands), "ln of steps a second")
    return exp(affine(Linear(halves), concatenate(begin[ln_f0], end[ln_f0])) + steps_a_second)


def join_bands(s: StepBuilder, n: MelWaveGRU, bands: Value) -> Value:
    """The samples of this step: the synthesis filters over the bands of this one and 15 before, their gains undone."""
    past = [s.delayed(bands, ago) for ago in range(1, TICKS_A_FILTER)]
    filters = synthesis_matrix(n.bands) / np.tile(n.band_gains, TICKS_A_FILTER)
    return affine(Linear(Tensor("synthesis filters", filters.astype(np.float32))), concatenate(bands, *past))


def number(s: StepBuilder, x: float, name: str = "") -> Value:
    """A constant, `(1,)`."""
    return s.constant(Tensor(name or f"{x:+g} steps", np.array([x], np.float32)))


def _linear(name: str, outputs: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def drawn(n: MelWaveGRU, samples: NDArray[np.float32]) -> Drawn:
    """The value of each band; joined again, they are a frame and `pqmf.delay` samples behind the audio."""
    values = np.clip(split_bands(samples, n.bands) * n.band_gains, -1.0, 1.0)
    values = np.pad(values, ((n.hop_length // n.bands, 0), (0, 0)))[: len(values)]
    return {f"band.{i}": band for i, band in enumerate(values.T)}


FAMILY = Family("mel-wavegru", MelWaveGRU, shapes, mel_wavegru, lambda n: n.channels, drawn)
