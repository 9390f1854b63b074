"""The mel-conditioned WaveRNN of the public implementations: one draw a sample, a residual conditioning network.

Batch norms are folded into the convolutions before them, and the stages of upsampling into one polyphase
filter: both when a checkpoint is imported.
"""

from __future__ import annotations

from math import prod
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from wavejit.audio.companding import linear_encode, linear_table, mu_law_encode, mu_law_table, preemphasis
from wavejit.errors import InputError
from wavejit.ir.builder import (
    Linear,
    StepBuilder,
    Tensor,
    Tensors,
    Value,
    affine,
    concatenate,
    gru,
    lookup,
    relu,
)
from wavejit.ir.ops import Categorical, Logistics, Step
from wavejit.models.family import Drawn, Family, Network, Shapes

Size = Annotated[int, Meta(ge=1, le=8192)]


class MelWaveRNN(Network, frozen=True, kw_only=True):
    """Sizes of a mel-conditioned WaveRNN."""

    bins: Size
    hop_length: Annotated[int, Meta(ge=2, le=65536)]  # samples a frame
    padding: Annotated[int, Meta(ge=0, le=64)]  # frames of context on each side
    residual_channels: Size
    residual_blocks: Annotated[int, Meta(ge=0, le=256)]
    gru_widths: Annotated[tuple[Size, ...], Meta(min_length=1, max_length=8)]
    hidden_widths: Annotated[tuple[Size, ...], Meta(max_length=8)]
    auxiliary: tuple[tuple[int, int], ...]  # start and size of the part for each GRU, then for each hidden layer
    auxiliary_channels: Size
    output: Literal["categorical", "logistics"] = "categorical"
    classes: Annotated[int, Meta(ge=2, le=65536)] = 1024
    companding: Literal["linear", "mu-law"] = "linear"
    components: Annotated[int, Meta(ge=1, le=64)] = 10  # of the mixture of logistics
    deemphasis: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.0

    def __post_init__(self) -> None:
        layers = len(self.gru_widths) + len(self.hidden_widths)
        if len(self.auxiliary) != layers:
            raise InputError(f"network.auxiliary has {len(self.auxiliary)} parts, expected {layers}: one a layer")
        for start, size in self.auxiliary:
            if start < 0 or size < 1 or start + size > self.auxiliary_channels:
                raise InputError(
                    f"network.auxiliary has a part [{start}, {size}], expected start and size within "
                    f"{self.auxiliary_channels} channels"
                )
        if len(set(self.gru_widths)) > 1:
            raise InputError(f"network.gru_widths are {self.gru_widths}, expected equal widths: each adds to its input")

    @property
    def parameters(self) -> int:
        return self.classes if self.output == "categorical" else 3 * self.components


def shapes(n: MelWaveRNN) -> Shapes:
    """The weights that a network of these sizes needs."""
    c, width = n.residual_channels, n.gru_widths[0]
    parts = [size for _, size in n.auxiliary]
    wanted: Shapes = {
        "upsample.taps": (n.hop_length, 2 * n.padding + 1),
        "residual.first.weight": (c, (2 * n.padding + 1) * n.bins),
        "residual.first.bias": (c,),
    }
    for i in range(n.residual_blocks):
        for name in ("first", "second"):
            wanted |= {f"residual.blocks.{i}.{name}.weight": (c, c), f"residual.blocks.{i}.{name}.bias": (c,)}
    wanted |= _linear("residual.last", n.auxiliary_channels, c)
    wanted |= _linear("inputs", width, 1 + n.bins + parts[0])
    for i in range(len(n.gru_widths)):
        wanted |= _linear(f"gru.{i}.recurrent", 3 * width, width)
        wanted |= _linear(f"gru.{i}.inputs", 3 * width, width + (parts[i] if i else 0))
    for i, hidden in enumerate(n.hidden_widths):
        wanted |= _linear(f"hidden.{i}", hidden, width + parts[len(n.gru_widths) + i])
        width = hidden
    return wanted | _linear("out", n.parameters, width)


def mel_wavernn(name: str, n: MelWaveRNN, w: Tensors) -> Step:
    """One sample."""
    s = StepBuilder(name, n.sample_rate)
    newest = s.condition("features", n.bins, n.hop_length)  # `padding` frames ahead of the audio
    with s.every(n.hop_length):
        context = [s.delayed(newest, ago) for ago in range(2 * n.padding, 0, -1)]
        auxiliary = residual_network(n, w, concatenate(*context, newest))
    parts = [auxiliary[start : start + size] for start, size in n.auxiliary]
    mel = s.upsample(newest, w["upsample.taps"])

    x = affine(w.linear("inputs"), concatenate(s.state("previous", 1), mel, parts[0]))
    for i, width in enumerate(n.gru_widths):
        inputs = concatenate(x, parts[i]) if i else x
        h = gru(w.linear(f"gru.{i}.recurrent"), w.linear(f"gru.{i}.inputs"), s.state(f"gru.{i}", width), inputs)
        s.update(f"gru.{i}", h)
        x = x + h
    for i, part in enumerate(parts[len(n.gru_widths) :]):
        x = relu(affine(w.linear(f"hidden.{i}"), concatenate(x, part)))

    sample, decoded = draw(s, n, affine(w.linear("out"), x))
    s.update("previous", sample)
    if n.deemphasis:
        feedback = Linear(Tensor("deemphasis", np.full((1, 1), n.deemphasis, np.float32)))
        decoded = decoded + affine(feedback, s.emitted(ago=1))
    s.emit(decoded)
    return s.step(lookahead=n.padding)


def residual_network(n: MelWaveRNN, w: Tensors, context: Value) -> Value:
    """Features around a frame, oldest first, to its auxiliary channels."""
    x = relu(affine(w.linear("residual.first"), context))
    for i in range(n.residual_blocks):
        inner = relu(affine(w.linear(f"residual.blocks.{i}.first"), x))
        x = x + affine(w.linear(f"residual.blocks.{i}.second"), inner)
    return affine(w.linear("residual.last"), x)


def draw(s: StepBuilder, n: MelWaveRNN, parameters: Value) -> tuple[Value, Value]:
    """The sample as the network sees it next, and as it is heard."""
    if n.output == "logistics":
        sample = s.draw("sample", Logistics(n.components), parameters)
        return sample, sample
    label = s.draw("sample", Categorical(), parameters)
    sample = lookup(Tensor("label_to_unit", linear_table(n.classes)[:, None]), label)
    if n.companding == "linear":
        return sample, sample
    return sample, lookup(Tensor("mu_law", mu_law_table(n.classes)[:, None]), label)


def box_upsampling(scales: tuple[int, ...], padding: int, filters: tuple[np.ndarray, ...] | None = None) -> np.ndarray:
    """The polyphase filter `(hop, 2 * padding + 1)` of stages that repeat, then smooth.

    Args:
        scales: repetitions of each stage; their product is the hop.
        padding: frames of context on each side.
        filters: each stage's filter, `(2 * scale + 1,)`; by default the mean over it.

    Returns:
        Row p: weights of the frames from `padding` after this one (first) to `padding` before it (last).

    Raises:
        ValueError: the filters reach beyond the padding.
    """
    hop, context = prod(scales), 2 * padding + 1
    response = np.zeros(2 * context + 1)
    response[context] = 1.0  # a single frame; the others are the margin that the filters run out in
    for i, scale in enumerate(scales):
        smooth = np.full(2 * scale + 1, 1 / (2 * scale + 1)) if filters is None else filters[i]
        response = np.convolve(np.repeat(response, scale), smooth[::-1], mode="same")
    frames = response.reshape(-1, hop)  # what the single frame adds to each frame of audio
    nearby = frames[context - padding : context + padding + 1]
    if frames[: context - padding].any() or frames[context + padding + 1 :].any():
        raise ValueError(f"the filters reach beyond {padding} frames")
    taps = nearby.T.astype(np.float32)
    return taps


def _linear(name: str, outputs: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def drawn(n: MelWaveRNN, samples: NDArray[np.float32]) -> Drawn:
    """Each sample with the emphasis that the network undoes: its class, or as it is."""
    x = np.clip(preemphasis(samples, n.deemphasis), -1.0, 1.0)
    if n.output == "logistics":
        return {"sample": x}
    return {"sample": (linear_encode if n.companding == "linear" else mu_law_encode)(x, n.classes)}


FAMILY = Family("mel-wavernn", MelWaveRNN, shapes, mel_wavernn, lambda n: n.bins, drawn)
