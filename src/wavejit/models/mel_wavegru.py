"""The voice's vocoder: a WaveGRU of several bands that draws what linear prediction leaves of them.

How loud a band is and where it resonates, the features say: from them come, for each frame, a predictor of each band
and the level of its error. The network draws the error, the excitation, in units of that level, and sees what it drew
before: just now and a pitch period ago, for a voiced excitation is much like the one a period before it.

Sources: Valin and Skoglund 2019, LPCNet, section 3 (the excitation of a linear predictor); Subramani et al. 2022,
End-to-end LPC, section 3 (reflection coefficients from features, so that any predictor is stable); Tian et al. 2020,
FeatherWave, section 2 (a predictor in each band); Valin et al. 2024, FARGAN, section 2 (pitch prediction from the
network's own output); Kleijn et al. 2021 (mixtures of logistics, sparse GRU).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from wavejit.audio.pqmf import TICKS_A_FILTER, delay, split_bands, synthesis_matrix
from wavejit.errors import InputError
from wavejit.ir.builder import (
    Linear,
    StepBuilder,
    Tensor,
    Tensors,
    Value,
    affine,
    concatenate,
    exp,
    gru,
    negate,
    relu,
    tanh,
    total,
)
from wavejit.ir.ops import Logistics, Step
from wavejit.models.family import Drawn, Family, Network, Shapes
from wavejit.models.wavegru import limited

Size = Annotated[int, Meta(ge=1, le=8192)]

LOG_LEVEL_MIN = -8.0  # of a predictor's error: about that of silence in 12 bits
LOUDEST = 8.0  # that the network sees of excitations and bands, in units of their levels
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
    order: Annotated[int, Meta(ge=1, le=32)] = 8  # of each band's predictor
    history: Annotated[int, Meta(ge=1, le=64)] = 4  # steps before this one whose bands and excitations it sees
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
        """Values that a step sees of what was drawn before: bands, excitations, and what is predicted from them."""
        return (2 * self.history + self.pitch_taps + 1) * self.bands


def shapes(n: MelWaveGRU) -> Shapes:
    """The weights that a network of these sizes needs."""
    return {
        "silence": (n.channels,),
        **_linear("conditioning.0", n.conditioning_width, n.context * n.channels),
        **_linear("conditioning.1", n.conditioning_width, n.conditioning_width),
        **_linear("reflections", n.order * n.bands, n.conditioning_width),
        **_linear("levels", 2 * n.bands, n.conditioning_width),
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
        frames = [*(s.delayed(newest, ago, initial=w["silence"]) for ago in range(n.context - 1, 0, -1)), newest]
        c = relu(affine(w.linear("conditioning.0"), concatenate(*frames)))
        c = relu(affine(w.linear("conditioning.1"), c))
        period = period_in_steps(n, frames[-2], frames[-1])
        coefficients = predictor(tanh(affine(w.linear("reflections"), c)).split(n.order))
        log_level, log_loudness = at_least(LOG_LEVEL_MIN, affine(w.linear("levels"), c)).split(2)
        level, one_over_level, one_over_loudness = exp(log_level), exp(negate(log_level)), exp(negate(log_loudness))

    bands = s.state("bands", n.bands)
    before = [bands, *(s.delayed(bands, ago) for ago in range(1, max(n.order, n.history)))]
    predicted = total([a * x for a, x in zip(coefficients, before, strict=False)])

    excitation = s.state("excitation", n.bands)
    just_now = [excitation, *(s.delayed(excitation, ago) for ago in range(1, n.history))]
    reach = n.pitch_taps // 2
    most = n.longest_period + reach
    a_period_ago = [s.recalled("excitation", period + number(s, near), most) for near in range(-reach, reach + 1)]
    normalised = [x * one_over_loudness for x in (predicted, *before[: n.history])]
    past = limited(concatenate(*just_now, *a_period_ago, *normalised), LOUDEST)

    h = gru(w.linear("gru.recurrent"), w.linear("gru.inputs"), s.state("gru", n.width), concatenate(past, c))
    s.update("gru", h)
    y = relu(affine(w.linear("dense"), concatenate(h, past)))
    parameters = of_bands(s, n, affine(w.linear("out"), y), predicted, level, log_level).split(n.bands)
    mixture = Logistics(n.components, LOG_SCALE_MIN)
    drawn = concatenate(*(s.draw(f"band.{i}", mixture, p) for i, p in enumerate(parameters)))
    s.update("bands", drawn)
    s.update("excitation", (drawn - predicted) * one_over_level)
    s.emit(limited(join_bands(s, n, drawn)))
    return s.step()


def predictor(reflections: Sequence[Any]) -> list[Any]:
    """What multiplies the values 1, 2, … steps ago, from reflection coefficients, each within -1 and 1.

    Levinson's recursion: a predictor of one step more is the shorter one less its own mirror image. Of anything that
    can be multiplied and subtracted: the values of a step, the tensors of training.
    """
    found: list[Any] = []
    for k in reflections:
        found = [*(a - k * mirrored for a, mirrored in zip(found, reversed(found), strict=True)), k]
    return found


def of_bands(
    s: StepBuilder, n: MelWaveGRU, parameters: Value, predicted: Value, level: Value, log_level: Value
) -> Value:
    """The mixtures of the excitations as mixtures of the bands: moved to what is predicted, stretched by the level."""
    weights, means, log_scales = np.eye(3, dtype=np.float32).repeat(n.components, 1)

    def placed(name: str, where: NDArray[np.float32], x: Value) -> Value:
        of_each_band = np.kron(np.eye(n.bands, dtype=np.float32), where[:, None])
        return affine(Linear(Tensor(name, of_each_band)), x)

    with s.every(n.hop_length // n.bands):
        stretch = placed("means", means, level) + s.constant(Tensor("others", np.tile(weights + log_scales, n.bands)))
        moved = placed("log scales", log_scales, log_level)
    return parameters * stretch + (placed("means", means, predicted) + moved)


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


def at_least(least: float, x: Value) -> Value:
    """The larger of `x` and `least`."""
    limit = x.builder.constant(Tensor(f"{least:g}", np.full(x.size, least, np.float32)))
    return relu(x - limit) + limit


def number(s: StepBuilder, x: float, name: str = "") -> Value:
    """A constant, `(1,)`."""
    return s.constant(Tensor(name or f"{x:+g} steps", np.array([x], np.float32)))


def _linear(name: str, outputs: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def behind(n: MelWaveGRU) -> int:
    """Samples by which the audio is behind its features: a frame, and the filter bank's delay."""
    return n.hop_length + delay(n.bands)


def drawn(n: MelWaveGRU, samples: NDArray[np.float32]) -> Drawn:
    """The value of each band; joined again, they are `behind` the audio."""
    values = np.clip(split_bands(samples, n.bands) * n.band_gains, -1.0, 1.0)
    values = np.pad(values, ((n.hop_length // n.bands, 0), (0, 0)))[: len(values)]
    return {f"band.{i}": band for i, band in enumerate(values.T)}


FAMILY = Family("mel-wavegru", MelWaveGRU, shapes, mel_wavegru, lambda n: n.channels, drawn, behind)
