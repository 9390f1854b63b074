"""What a model family is: a configuration, the weights that it needs, and the step that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from wavejit.errors import InputError
from wavejit.ir.builder import Tensors
from wavejit.ir.ops import Step

Weights = Mapping[str, NDArray[np.float32]]
Shapes = dict[str, tuple[int, ...]]
Drawn = dict[str, NDArray[Any]]  # what each draw gives, by its name: `(ticks,)`


class Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The sizes of a network; each family adds its own."""

    sample_rate: Annotated[int, msgspec.Meta(ge=1, le=768000)]  # Hz


@dataclass(frozen=True)
class Family:
    """One kind of model.

    Attributes:
        name: as in `config.json`.
        network: the type of its configuration.
        shapes: the weights that a configuration needs.
        build: the step, from configuration and weights.
        bins: features a frame that a configuration wants; 0 without conditioning.
        drawn: what each draw would have given, had it made this audio: classes, or reals in [-1, 1]. Of samples
            `(samples,)` in [-1, 1] at the network's rate; None for a family that cannot say.
        behind: samples by which the audio of a configuration is behind its features.
    """

    name: str
    network: type[Network]
    shapes: Callable[[Any], Shapes]  # of this family's network, here and below
    build: Callable[[str, Any, Tensors], Step]
    bins: Callable[[Any], int]
    drawn: Callable[[Any, NDArray[np.float32]], Drawn] | None = None
    behind: Callable[[Any], int] = lambda network: 0

    def step(self, name: str, network: Network, weights: Weights) -> Step:
        """One tick of the model `name`. Weights must have the shapes that `check` demands."""
        return self.build(name, network, Tensors(weights))

    def check(self, network: Network, weights: Weights, source: str) -> None:
        """Raise InputError where a weight is missing, unknown, misshapen or not finite; `source`: the file."""
        check_weights(self.shapes(network), weights, source, f"the family {self.name}")

    def random_weights(self, network: Network, seed: int = 0) -> dict[str, NDArray[np.float32]]:
        """Seeded weights of the right shapes, scaled by the number of inputs; for measuring and testing."""
        rng = np.random.default_rng(seed)
        weights: dict[str, NDArray[np.float32]] = {}
        for name, shape in self.shapes(network).items():
            scale = 1.0 / np.sqrt(shape[-1]) if name.endswith("weight") else 0.1
            weights[name] = (scale * rng.standard_normal(shape)).astype(np.float32)
        return weights


def check_weights(wanted: Shapes, weights: Weights, source: str, whose: str) -> None:
    """Raise InputError where `weights` are not those `wanted`, or hold what is no number."""
    for name, shape in wanted.items():
        if name not in weights:
            raise InputError(f"{source}: weight {name} {shape} is missing for {whose}")
        found = weights[name]
        if found.shape != shape:
            raise InputError(f"{source}: weight {name} has shape {found.shape}, expected {shape}")
        if not np.isfinite(found).all():
            raise InputError(f"{source}: weight {name} holds NaN or infinite values, expected finite ones")
    for name in weights:
        if name not in wanted:
            raise InputError(f"{source}: weight {name!r} is not one that {whose} knows")
