"""The networks of the acoustic model, as steps on the clocks of phonemes and of frames.

Source: the talk's small recurrent networks; Arik et al. 2017, section 3.3 (durations, voicing and F0 from phonemes),
with mel frames behind them instead of the vocoder's own conditioning.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from wavejit.acoustic.symbols import SYMBOL_SIZE
from wavejit.ir.builder import StepBuilder, Tensors, affine, concatenate, gru, relu
from wavejit.ir.ops import Step
from wavejit.models.family import Shapes

Size = Annotated[int, Meta(ge=1, le=4096)]
Direction = Literal["forward", "backward"]

PLACE = 3  # where a frame lies in its phoneme: share of it, frames from its begin, frames to its end
PITCH = 2  # of a frame: normalised ln F0, voicing


class AcousticNetwork(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sizes of an acoustic model, and the speaker's mean pitch."""

    reader: Size = 128  # of each direction's GRU over phonemes
    prosody: Size = 128  # of the layer before durations and pitch
    contour: Annotated[int, Meta(ge=1, le=50)] = 5  # points of pitch a phoneme
    decoder: Size = 256  # of both GRUs over frames
    bins: Size = 80
    symbols: Size = SYMBOL_SIZE
    mean_ln_f0: Annotated[float, Meta(ge=3.0, le=7.0)] = 5.3
    scale_ln_f0: Annotated[float, Meta(gt=0.0, le=2.0)] = 0.25

    @property
    def reading(self) -> int:
        """What the reader says of a phoneme, both directions."""
        return 2 * self.reader

    @property
    def prosodic(self) -> int:
        """What the prosody of a phoneme is: ln of frames, points of ln F0, points of voicing (log odds)."""
        return 1 + 2 * self.contour

    @property
    def framed(self) -> int:
        """What the decoder is given a frame."""
        return self.reading + PLACE + PITCH


def shapes(n: AcousticNetwork) -> Shapes:
    """The weights that a network of these sizes needs."""
    wanted = _linear("read.dense", n.reader, n.symbols)
    for direction in ("forward", "backward"):
        wanted |= _gru(f"read.{direction}", n.reader, n.reader)
    wanted |= _linear("prosody.dense", n.prosody, n.reading) | _linear("prosody.out", n.prosodic, n.prosody)
    wanted |= _linear("decode.dense", n.decoder, n.framed)
    wanted |= _gru("decode.first", n.decoder, n.decoder) | _gru("decode.second", n.decoder, n.decoder)
    return wanted | _linear("decode.out", n.bins, 2 * n.decoder)


def reader(n: AcousticNetwork, w: Tensors, direction: Direction) -> Step:
    """A phoneme and those before it; `backward` is given them from the last to the first."""
    s = StepBuilder(f"reader-{direction}", 1)
    x = relu(affine(w.linear("read.dense"), s.condition("phoneme", n.symbols, 1)))
    name = f"read.{direction}"
    h = gru(w.linear(f"{name}.recurrent"), w.linear(f"{name}.inputs"), s.state("gru", n.reader), x)
    s.update("gru", h)
    s.emit(h)
    return s.step()


def prosody(n: AcousticNetwork, w: Tensors) -> Step:
    """How a phoneme is said: `prosodic` numbers."""
    s = StepBuilder("prosody", 1)
    x = relu(affine(w.linear("prosody.dense"), s.condition("reading", n.reading, 1)))
    s.emit(affine(w.linear("prosody.out"), x))
    return s.step()


def decoder(n: AcousticNetwork, w: Tensors) -> Step:
    """The mel bins of a frame."""
    s = StepBuilder("decoder", 1)
    x = relu(affine(w.linear("decode.dense"), s.condition("frame", n.framed, 1)))
    for name in ("decode.first", "decode.second"):
        h = gru(w.linear(f"{name}.recurrent"), w.linear(f"{name}.inputs"), s.state(name, n.decoder), x)
        s.update(name, h)
        x, below = h, x
    s.emit(affine(w.linear("decode.out"), concatenate(x, below)))
    return s.step()


def _linear(name: str, outputs: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _gru(name: str, width: int, inputs: int) -> Shapes:
    return _linear(f"{name}.recurrent", 3 * width, width) | _linear(f"{name}.inputs", 3 * width, inputs)
