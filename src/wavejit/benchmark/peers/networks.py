"""What every peer starts from: a network's weights as arrays to multiply with, and what a peer must offer.

The arrangement is in the peers' favour. Layers are stacked, so that all previous taps, which are known when a
sample begins, take one batched product, and all skip connections one product at its end. Features are held
constant, so that their products are biases computed beforehand.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from wavejit.audio.companding import mu_law_table
from wavejit.models.family import Network, Weights
from wavejit.models.wavenet import WaveNet
from wavejit.models.wavernn import WaveRNN

Floats = NDArray[np.float32]
Classes = NDArray[np.int64]
SomeNetwork = TypeVar("SomeNetwork", bound=WaveNet | WaveRNN)


def constant_frame(network: WaveNet | WaveRNN) -> Floats:
    """The features that are held for as long as a peer runs, `(conditioning_channels,)`."""
    return np.random.default_rng(0).standard_normal(network.conditioning_channels).astype(np.float32)


class Runner(ABC, Generic[SomeNetwork]):
    """One network in one framework, one stream, sample by sample.

    Attributes:
        remark: what a reader of its speed must know of this installation; mostly empty.
    """

    remark = ""

    def __init__(self, network: SomeNetwork, weights: Weights, threads: int) -> None:
        """Take the network in; `threads`: how many the framework may use."""
        self.network, self.threads = network, threads

    @abstractmethod
    def run(self, ticks: int, forced: Classes | None = None) -> tuple[Classes, Floats]:
        """Run `ticks` samples on from where the last call ended.

        Args:
            ticks: how many.
            forced: what each draw is to give, `(ticks, draws)`; None to draw.

        Returns:
            What was drawn, `(ticks, draws)`, and the logits, `(ticks, draws, classes)`; none, `(0, ...)`,
            without `forced`: a user who generates keeps no logits.
        """

    @abstractmethod
    def reset(self) -> None:
        """Go back to the silence before the first sample."""

    def limited(self) -> AbstractContextManager[object]:
        """Inside it the framework uses `threads` threads; after it, as many as before."""
        return nullcontext()

    def logits(self, forced: Classes) -> Floats:
        """Teacher-forced logits from silence on, `(ticks, draws, classes)`; `forced`: `(ticks, draws)`."""
        self.reset()
        with self.limited():
            return self.run(len(forced), forced)[1]

    def generate(self, samples: int) -> Floats:
        """That many samples of audio, `(samples,)`, on from where the last call ended."""
        with self.limited():
            return audio(self.network, self.run(samples)[0])


def audio(network: Network, drawn: Classes) -> Floats:
    """The samples that drawn classes `(ticks, draws)` stand for, in [-1, 1], `(ticks,)`."""
    if isinstance(network, WaveNet):
        return mu_law_table(network.classes)[drawn[:, 0]]
    return ((drawn[:, 0] * 256 + drawn[:, 1]) / 32767.5 - 1).astype(np.float32)


class WaveNetArrays:
    """A WaveNet's weights, stacked over its layers; L layers, r residual, s skip channels, a classes.

    Attributes:
        embed_previous, embed_current: `(a, r)`.
        previous, current: `(L, 2r, r)`.
        bias: of both, with the constant features' share, `(L, 2r)`.
        residual, residual_bias: `(L, r, r)` and `(L, r)`.
        skip, skip_bias: of all layers' outputs side by side, `(s, L r)` and `(s,)`.
        head, head_bias, out, out_bias: `(a, s)`, `(a,)`, `(a, a)`, `(a,)`.
        dilations, starts: `(L,)`; the delay lines lie one after the other in `(sum(dilations), r)`, and layer
            i's input of dilation i ago stands in row `starts[i] + tick % dilations[i]`, where this tick's goes.
    """

    def __init__(self, n: WaveNet, weights: Weights) -> None:
        frame = constant_frame(n)

        def stack(name: str) -> Floats:
            return np.stack([weights[f"layers.{i}.{name}"] for i in range(n.layers)])

        self.embed_previous, self.embed_current = weights["embed_previous"], weights["embed_current"]
        self.previous, self.current = stack("previous.weight"), stack("current.weight")
        self.bias = stack("current.bias")
        if n.conditioning_channels:
            self.bias = self.bias + stack("conditioning.weight") @ frame
        self.residual, self.residual_bias = stack("residual.weight"), stack("residual.bias")
        self.skip = np.ascontiguousarray(np.concatenate(stack("skip.weight"), axis=1))
        self.skip_bias = stack("skip.bias").sum(axis=0)
        self.head, self.head_bias = weights["head.weight"], weights["head.bias"]
        self.out, self.out_bias = weights["out.weight"], weights["out.bias"]
        self.dilations: Classes = np.array([n.dilation(i) for i in range(n.layers)])
        self.starts: Classes = np.cumsum(self.dilations) - self.dilations

    def delay_lines(self) -> Floats:
        """Fresh delay lines, `(sum(dilations), r)`."""
        return np.zeros((int(self.dilations.sum()), self.bias.shape[1] // 2), np.float32)


class WaveRNNArrays:
    """A WaveRNN's weights, coarse half above fine half; N the width, gates in the order u, r, e.

    Attributes:
        recurrent: of the last state, known when a sample begins, `(3 N, N)`.
        inputs: of the last sample's bytes in [-1, 1], `(3 N, 2)`.
        inputs_coarse: what the fine half sees of this sample's coarse byte, `(3 N / 2,)`.
        bias: of the inputs, with the constant features' share, `(3 N,)`.
        hidden, hidden_bias, out, out_bias: for each byte, `(N / 2, N / 2)`, `(N / 2,)`, `(256, N / 2)`, `(256,)`.
    """

    def __init__(self, n: WaveRNN, weights: Weights) -> None:
        bytes_ = ("coarse", "fine")

        def both(name: str) -> Floats:
            return np.concatenate([weights[f"{byte}.{name}"] for byte in bytes_])

        self.recurrent, self.bias = both("recurrent.weight"), both("inputs.bias")
        if n.conditioning_channels:
            self.bias = self.bias + both("conditioning.weight") @ constant_frame(n)
        fine = weights["fine.inputs.weight"]
        self.inputs = np.ascontiguousarray(np.concatenate([weights["coarse.inputs.weight"], fine[:, :2]]))
        self.inputs_coarse = np.ascontiguousarray(fine[:, 2])
        self.hidden = [weights[f"{byte}.hidden.weight"] for byte in bytes_]
        self.hidden_bias = [weights[f"{byte}.hidden.bias"] for byte in bytes_]
        self.out = [weights[f"{byte}.out.weight"] for byte in bytes_]
        self.out_bias = [weights[f"{byte}.out.bias"] for byte in bytes_]
