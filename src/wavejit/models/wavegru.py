"""WaveGRU: a GRU that draws several bands of the signal each step, joined by a filter bank.

Sources: Kalchbrenner et al. 2018 (one GRU, sparse in blocks), Yu et al. 2020 (bands from one network), Kleijn et al.
2021 (both, with mixtures of logistics); the sizes of `wavegru-1024` are those of Lyra 0.0.2, the codec that the last
describes. Lyra's conditioning network is left out: frames go into the gates as they are, and are held.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from wavejit.audio.pqmf import TICKS_A_FILTER, delay, split_bands, synthesis_matrix
from wavejit.errors import InputError
from wavejit.ir.builder import Linear, StepBuilder, Tensor, Tensors, Value, affine, concatenate, gru, relu
from wavejit.ir.ops import Logistics, Step
from wavejit.models.family import Drawn, Family, Network, Shapes

Size = Annotated[int, Meta(ge=1, le=8192)]


class WaveGRU(Network, frozen=True, kw_only=True):
    """Sizes of a WaveGRU; `bands` samples of audio a step."""

    width: Size  # of the GRU's state
    dense: Size  # of the layer between state and outputs
    # A filter bank of at most 4: products of so few columns stay float32 in every format, and so does the sound.
    bands: Annotated[int, Meta(ge=2, le=4)] = 4
    components: Annotated[int, Meta(ge=1, le=64)] = 8  # of each band's mixture of logistics
    conditioning_channels: Annotated[int, Meta(ge=0, le=8192)] = 160  # features a frame; 0: unconditional
    hop_length: Annotated[int, Meta(ge=2, le=65536)] = 640  # samples a frame, whole steps

    def __post_init__(self) -> None:
        if self.hop_length % self.bands:
            raise InputError(
                f"network.hop_length is {self.hop_length}, expected a multiple of network.bands, {self.bands}"
            )

    @property
    def parameters(self) -> int:
        """Of a band's mixture: weight, mean and scale of each component."""
        return 3 * self.components


def shapes(n: WaveGRU) -> Shapes:
    """The weights that a network of these sizes needs."""
    return {
        "gru.recurrent.weight": (3 * n.width, n.width),
        "gru.recurrent.bias": (3 * n.width,),
        "gru.inputs.weight": (3 * n.width, n.bands + n.conditioning_channels),
        "gru.inputs.bias": (3 * n.width,),
        "dense.weight": (n.dense, n.width),
        "dense.bias": (n.dense,),
        "out.weight": (n.bands * n.parameters, n.dense),
        "out.bias": (n.bands * n.parameters,),
    }


def wavegru(name: str, n: WaveGRU, w: Tensors) -> Step:
    """One value of each band, and the samples that they end."""
    s = StepBuilder(name, n.sample_rate)
    x = s.state("bands", n.bands)
    if n.conditioning_channels:
        x = concatenate(x, s.condition("features", n.conditioning_channels, n.hop_length // n.bands))
    h = gru(w.linear("gru.recurrent"), w.linear("gru.inputs"), s.state("gru", n.width), x)
    s.update("gru", h)
    parameters = affine(w.linear("out"), relu(affine(w.linear("dense"), h))).split(n.bands)
    bands = concatenate(*(s.draw(f"band.{i}", Logistics(n.components), p) for i, p in enumerate(parameters)))
    s.update("bands", bands)
    s.emit(limited(join_bands(s, n, bands)))
    return s.step()


def join_bands(s: StepBuilder, n: WaveGRU, bands: Value) -> Value:
    """The samples of this step: the synthesis filters of `audio/pqmf.py` over the bands of this one and 15 before."""
    past = [s.delayed(bands, ago) for ago in range(1, TICKS_A_FILTER)]
    filters = Tensor("synthesis filters", synthesis_matrix(n.bands).astype(np.float32))
    return affine(Linear(filters), concatenate(bands, *past))


def limited(x: Value, most: float = 1.0) -> Value:
    """`x` held to [-most, most], and exact within: bands that are drawn apart can add up to more than 1."""
    upper, lower = (
        x.builder.constant(Tensor(f"{at:g} x {x.size}", np.full(x.size, at, np.float32))) for at in (most, -most)
    )
    return x - relu(x - upper) + relu(lower - x)


def drawn(n: WaveGRU, samples: NDArray[np.float32]) -> Drawn:
    """The value of each band; joined again, they are `behind` the audio."""
    values = np.clip(split_bands(samples, n.bands), -1.0, 1.0)
    return {f"band.{i}": band for i, band in enumerate(values.T)}


FAMILY = Family("wavegru", WaveGRU, shapes, wavegru, lambda n: n.conditioning_channels, drawn, lambda n: delay(n.bands))
