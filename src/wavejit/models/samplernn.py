"""SampleRNN with three tiers (Mehri et al. 2017, section 2): each runs a GRU on frames of samples, at its own rate.

What the paper leaves open is as in its authors' code: samples enter the upper tiers between -2 and 2, a tier's output
is as many vectors as the tier below takes steps in the meantime, the first state is learned. Weight normalisation
belongs to training: a weight here is what it makes.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from wavejit.audio.companding import linear_encode, linear_table
from wavejit.errors import InputError
from wavejit.ir.builder import StepBuilder, Tensor, Tensors, Value, affine, concatenate, gru, lookup, relu, total
from wavejit.ir.ops import Categorical, Step
from wavejit.models.family import Drawn, Family, Network, Shapes

Size = Annotated[int, Meta(ge=1, le=8192)]
FrameSize = Annotated[int, Meta(ge=2, le=256)]


class SampleRNN(Network, frozen=True, kw_only=True):
    """Sizes of a SampleRNN."""

    width: Size  # of every tier
    frame_sizes: tuple[FrameSize, FrameSize] = (8, 2)  # FS of tiers 3 and 2: samples a step
    classes: Annotated[int, Meta(ge=2, le=65536)] = 256  # q: linear
    embedding: Size = 256  # of a sample in tier 1

    def __post_init__(self) -> None:
        top, middle = self.frame_sizes
        if top == middle or top % middle:
            raise InputError(
                f"network.frame_sizes is {[top, middle]}, expected the first to be a larger multiple of the second"
            )


def shapes(n: SampleRNN) -> Shapes:
    """The weights that a network of these sizes needs."""
    top, middle = n.frame_sizes
    wanted: Shapes = {}
    for tier, inputs, vectors in (("top", top, top // middle), ("middle", n.width, middle)):
        wanted |= {
            f"{tier}.recurrent.weight": (3 * n.width, n.width),
            f"{tier}.recurrent.bias": (3 * n.width,),
            f"{tier}.inputs.weight": (3 * n.width, inputs),
            f"{tier}.inputs.bias": (3 * n.width,),
            f"{tier}.initial": (n.width,),
            f"{tier}.out.weight": (vectors * n.width, n.width),
            f"{tier}.out.bias": (vectors * n.width,),
        }
    wanted |= {"middle.samples.weight": (n.width, middle), "middle.samples.bias": (n.width,)}
    wanted["embed"] = (n.classes, n.embedding)
    wanted |= {f"bottom.samples.{i}.weight": (n.width, n.embedding) for i in range(middle)}
    for layer, outputs in (("hidden.0", n.width), ("hidden.1", n.width), ("out", n.classes)):
        wanted |= {f"{layer}.weight": (outputs, n.width), f"{layer}.bias": (outputs,)}
    return wanted


def samplernn(name: str, n: SampleRNN, w: Tensors) -> Step:
    """One sample."""
    s = StepBuilder(name, n.sample_rate)
    top, middle = n.frame_sizes
    samples = linear_table(n.classes)[:, None]

    def frame(size: int, table: Tensor) -> list[Value]:
        """The last `size` samples, oldest first, each as its row of `table`."""
        labels = [s.drawn("sample", ago, n.classes, n.classes // 2) for ago in range(size, 0, -1)]
        return [lookup(table, label) for label in labels]

    def tier(name: str, x: Value) -> Value:
        """A step of a GRU, and what it tells the tier below."""
        h = s.state(name, n.width, w[f"{name}.initial"])
        new = gru(w.linear(f"{name}.recurrent"), w.linear(f"{name}.inputs"), h, x)
        s.update(name, new)
        return affine(w.linear(f"{name}.out"), new)

    seen = Tensor("label_to_input", 2 * samples)
    with s.every(top):
        above = tier("top", concatenate(*frame(top, seen)))
    with s.every(middle):
        x = affine(w.linear("middle.samples"), concatenate(*frame(middle, seen))) + s.phase(above, top // middle)
        above = tier("middle", x)
    embedded = [affine(w.linear(f"bottom.samples.{i}"), e) for i, e in enumerate(frame(middle, w["embed"]))]
    x = total(embedded) + s.phase(above, middle)
    for layer in ("hidden.0", "hidden.1"):
        x = relu(affine(w.linear(layer), x))
    sample = s.draw("sample", Categorical(), affine(w.linear("out"), x))
    s.emit(lookup(Tensor("label_to_sample", samples), sample))
    return s.step()


def drawn(n: SampleRNN, samples: NDArray[np.float32]) -> Drawn:
    """The class of each sample."""
    return {"sample": linear_encode(samples, n.classes)}


FAMILY = Family("samplernn", SampleRNN, shapes, samplernn, lambda n: 0, drawn)
