"""WaveNet as Deep Voice runs it (Arik et al. 2017, section 3.5 and appendix D)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from wavejit.audio.companding import mu_law_encode, mu_law_table
from wavejit.ir.builder import StepBuilder, Tensor, Tensors, Value, affine, lookup, relu, sigmoid, tanh, total
from wavejit.ir.ops import Categorical, Step
from wavejit.models.family import Drawn, Family, Network, Shapes

Size = Annotated[int, Meta(ge=1, le=8192)]


class WaveNet(Network, frozen=True, kw_only=True):
    """Sizes of a WaveNet; the paper's letters behind them."""

    layers: Annotated[int, Meta(ge=1, le=256)]  # l
    residual_channels: Size  # r
    skip_channels: Size  # s
    classes: Annotated[int, Meta(ge=2, le=65536)] = 256  # a: mu-law
    cycle: Annotated[int, Meta(ge=1, le=16)] = 10  # dilations 1, 2, 4 … 2^(cycle - 1), then again
    conditioning_channels: Annotated[int, Meta(ge=0, le=8192)] = 80  # features a frame; 0: unconditional
    hop_length: Annotated[int, Meta(ge=2, le=65536)] = 200  # samples a frame

    def dilation(self, layer: int) -> int:
        return 2 ** (layer % self.cycle)


def shapes(n: WaveNet) -> Shapes:
    """The weights that a network of these sizes needs."""
    r, s, a, c = n.residual_channels, n.skip_channels, n.classes, n.conditioning_channels
    wanted: Shapes = {"embed_previous": (a, r), "embed_current": (a, r)}
    for i in range(n.layers):
        wanted |= {
            f"layers.{i}.previous.weight": (2 * r, r),
            f"layers.{i}.current.weight": (2 * r, r),
            f"layers.{i}.current.bias": (2 * r,),
            f"layers.{i}.residual.weight": (r, r),
            f"layers.{i}.residual.bias": (r,),
            f"layers.{i}.skip.weight": (s, r),
            f"layers.{i}.skip.bias": (s,),
        }
        if c:
            wanted[f"layers.{i}.conditioning.weight"] = (2 * r, c)
    return wanted | {"head.weight": (a, s), "head.bias": (a,), "out.weight": (a, a), "out.bias": (a,)}


def wavenet(name: str, n: WaveNet, w: Tensors) -> Step:
    """One sample."""
    s = StepBuilder(name, n.sample_rate)
    silence = n.classes // 2
    frame = s.condition("features", n.conditioning_channels, n.hop_length) if n.conditioning_channels else None
    before_last, last = (s.drawn("sample", ago, n.classes, silence) for ago in (2, 1))
    x = tanh(lookup(w["embed_previous"], before_last) + lookup(w["embed_current"], last))
    skips: list[Value] = []
    for i in range(n.layers):
        a = affine(w.linear(f"layers.{i}.previous"), s.delayed(x, n.dilation(i)))
        if frame is not None:
            a = affine(w.linear(f"layers.{i}.conditioning"), frame) + a
        a = a + affine(w.linear(f"layers.{i}.current"), x)
        filtered, gate = a.split(2)
        h = tanh(filtered) * sigmoid(gate)
        x = x + affine(w.linear(f"layers.{i}.residual"), h)
        skips.append(affine(w.linear(f"layers.{i}.skip"), h))
    z = relu(affine(w.linear("head"), relu(total(skips))))
    sample = s.draw("sample", Categorical(), affine(w.linear("out"), z))
    s.emit(lookup(Tensor("mu_law", mu_law_table(n.classes)[:, None]), sample))
    return s.step()


def drawn(n: WaveNet, samples: NDArray[np.float32]) -> Drawn:
    """The class of each sample."""
    return {"sample": mu_law_encode(samples, n.classes)}


FAMILY = Family("wavenet", WaveNet, shapes, wavenet, lambda n: n.conditioning_channels, drawn)
