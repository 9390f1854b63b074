"""WaveRNN with the dual softmax (Kalchbrenner et al. 2018, section 2, equation 2)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from wavejit.audio.companding import linear_encode
from wavejit.errors import InputError
from wavejit.ir.builder import (
    Linear,
    StepBuilder,
    Tensor,
    Tensors,
    Value,
    affine,
    concatenate,
    lookup,
    relu,
    sigmoid,
    tanh,
)
from wavejit.ir.ops import Categorical, Step
from wavejit.models.family import Drawn, Family, Network, Shapes

BYTE = np.arange(256)[:, None]
UNIT = Tensor("byte_to_unit", (BYTE / 127.5 - 1).astype(np.float32))
COARSE = Tensor("coarse_to_sample", (BYTE * 256 / 32767.5 - 1).astype(np.float32))
FINE = Tensor("fine_to_sample", (BYTE / 32767.5).astype(np.float32))


class WaveRNN(Network, frozen=True, kw_only=True):
    """Sizes of a WaveRNN; a 16-bit sample is drawn as a coarse and a fine byte."""

    width: Annotated[int, Meta(ge=2, le=8192)]  # of the state; one half for each byte
    conditioning_channels: Annotated[int, Meta(ge=0, le=8192)] = 0  # features a frame; 0: unconditional
    hop_length: Annotated[int, Meta(ge=2, le=65536)] = 200  # samples a frame

    def __post_init__(self) -> None:
        if self.width % 2:
            raise InputError(f"network.width is {self.width}, expected an even number")


def shapes(n: WaveRNN) -> Shapes:
    """The weights that a network of these sizes needs."""
    half, c = n.width // 2, n.conditioning_channels
    wanted: Shapes = {}
    for byte, inputs in (("coarse", 2), ("fine", 3)):
        wanted |= {
            f"{byte}.recurrent.weight": (3 * half, n.width),
            f"{byte}.inputs.weight": (3 * half, inputs),
            f"{byte}.inputs.bias": (3 * half,),
            f"{byte}.hidden.weight": (half, half),
            f"{byte}.hidden.bias": (half,),
            f"{byte}.out.weight": (256, half),
            f"{byte}.out.bias": (256,),
        }
        if c:
            wanted[f"{byte}.conditioning.weight"] = (3 * half, c)
    return wanted


def wavernn(name: str, n: WaveRNN, w: Tensors) -> Step:
    """One 16-bit sample in two draws."""
    s = StepBuilder(name, n.sample_rate)
    half = n.width // 2
    frame = s.condition("features", n.conditioning_channels, n.hop_length) if n.conditioning_channels else None

    def gates(byte: str, inputs: Value) -> Value:
        total = affine(w.linear(f"{byte}.inputs"), inputs)
        return total if frame is None else total + affine(w.linear(f"{byte}.conditioning"), frame)

    def logits(byte: str, y: Value) -> Value:
        return affine(w.linear(f"{byte}.out"), relu(affine(w.linear(f"{byte}.hidden"), y)))

    h_c, h_f = s.state("coarse", half), s.state("fine", half)
    h = concatenate(h_c, h_f)
    last = concatenate(
        lookup(UNIT, s.drawn("coarse", 1, 256, initial=128)), lookup(UNIT, s.drawn("fine", 1, 256, initial=0))
    )
    y_c = gated_update(w.linear("coarse.recurrent"), h, h_c, gates("coarse", last))
    coarse = s.draw("coarse", Categorical(), logits("coarse", y_c))
    y_f = gated_update(w.linear("fine.recurrent"), h, h_f, gates("fine", concatenate(last, lookup(UNIT, coarse))))
    fine = s.draw("fine", Categorical(), logits("fine", y_f))
    s.update("coarse", y_c)
    s.update("fine", y_f)
    s.emit(lookup(COARSE, coarse) + lookup(FINE, fine))
    return s.step()


def gated_update(recurrent: Linear, h: Value, own: Value, inputs: Value) -> Value:
    """The next state of one half: u * h + (1 - u) * e, gates in the order u, r, e."""
    u_h, r_h, e_h = affine(recurrent, h).split(3)
    u_x, r_x, e_x = inputs.split(3)
    u, r = sigmoid(u_h + u_x), sigmoid(r_h + r_x)
    e = tanh(r * e_h + e_x)
    return e + u * (own - e)


def drawn(n: WaveRNN, samples: NDArray[np.float32]) -> Drawn:
    """The bytes of each sample."""
    coarse, fine = np.divmod(linear_encode(samples, 1 << 16), 256)
    return {"coarse": coarse, "fine": fine}


FAMILY = Family("wavernn", WaveRNN, shapes, wavernn, lambda n: n.conditioning_channels, drawn)
