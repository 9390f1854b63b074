"""Recipes: what to train, on what, and for how long, as a short TOML file."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from wavejit.audio.contract import FeatureContract
from wavejit.audio.postfilter import Postfilter
from wavejit.checkpoints.config import convert
from wavejit.errors import InputError

ACOUSTIC = "acoustic"  # the family that is no vocoder

Positive = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]


class Optimisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the weights are found: Adam, a rate that rises, stays, and falls along a cosine at the end.

    The flat middle makes a run that can be prolonged: more updates change only where the fall begins.
    """

    updates: Positive
    batch: Positive  # streams or sentences, over all processes
    chunk: Positive = 4  # frames of each stream an update; sentences are taken whole
    learning_rate: Annotated[float, Meta(gt=0.0, le=1.0)] = 1e-3
    warm_up: Positive = 300  # updates
    fall: Share = 0.25  # of the updates, at the end
    least_rate: Share = 0.02  # of the learning rate, at the very end
    clip: Annotated[float, Meta(gt=0.0)] = 1.0  # of the gradient's norm
    average: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.999  # decay of the moving average of weights
    seed: int = 0

    def rate(self, update: int) -> float:
        """The learning rate of an update."""
        rising = min(1.0, (update + 1) / self.warm_up)
        begin = self.updates * (1 - self.fall)
        fallen = 0.0 if update <= begin else min(1.0, (update - begin) / max(1.0, self.updates - begin))
        falling = self.least_rate + (1 - self.least_rate) * 0.5 * (1 + math.cos(math.pi * fallen))
        return self.learning_rate * rising * falling


class Disturbance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is done in training to the past that a step sees.

    A network that has only ever seen true pasts takes the level of what comes from the level of what was, and its own
    draws then die away or swell. One that has seen pasts too loud, too quiet and noisy takes it from the features. What
    it cannot tell from the past it takes for chance, and draws noise; so that it learns to tell, most pasts are true.
    """

    share: Share = 0.3  # of the streams, each batch others, whose past is disturbed
    gain: Annotated[float, Meta(ge=0.0)] = 0.05  # standard deviation of its logarithm
    noise: Annotated[float, Meta(ge=0.0)] = 0.02  # the most, as a share of each band's level; uniform from 0
    drift: Annotated[float, Meta(ge=0.0)] = 0.1  # the same for noise below the voice's pitch
    floor: Annotated[float, Meta(ge=0.0)] = 0.0003  # noise besides, of a band's full scale of 1


class Pruning(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Zeroing blocks while training (Kalchbrenner et al. 2018, section 3.2)."""

    sparsity: Share = 0.0
    block: tuple[Positive, Positive] = (16, 4)
    begin: Annotated[int, Meta(ge=0)] = 1000  # update
    end: Positive = 10000  # update at which the sparsity is reached
    every: Positive = 100  # updates

    def at(self, update: int) -> float:
        """The share of blocks that are zero after an update: a cubic that slows towards its end."""
        if update < self.begin or not self.sparsity:
            return 0.0
        done = min(1.0, (update - self.begin) / max(1, self.end - self.begin))
        return self.sparsity * (1 - (1 - done) ** 3)


class Reports(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often a run looks up from its work."""

    validate: Positive = 500  # updates
    save: Positive = 250  # updates
    clips: Annotated[int, Meta(ge=0)] = 2  # of a vocoder: held-out ones that are copied and drawn at each validation


class VocoderRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A vocoder: the network's sizes but for what its features say, the features, and the training."""

    network: dict[str, Any]
    features: FeatureContract
    training: Optimisation
    disturbance: Disturbance = Disturbance()
    pruning: Pruning = Pruning()
    postfilter: Postfilter | None = None  # of the model
    reports: Reports = Reports()
    held_out: Annotated[int, Meta(ge=1, le=999)] = 20  # of a thousand prompts


class AcousticRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An acoustic model: the networks' sizes, the features that it makes, and the training, by whole sentences."""

    network: dict[str, Any]
    features: FeatureContract
    training: Optimisation
    reports: Reports = Reports()
    held_out: Annotated[int, Meta(ge=1, le=999)] = 20  # of a thousand prompts


def read_recipe(path: Path) -> VocoderRecipe | AcousticRecipe:
    """The recipe in a file; `network.family` says of what.

    Raises:
        InputError: the file is missing, no TOML, or has a field missing, unknown or impossible.
    """
    try:
        fields = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no recipe: {error}") from None
    family = fields.get("network", {}).get("family") if isinstance(fields.get("network"), dict) else None
    return convert(fields, AcousticRecipe if family == ACOUSTIC else VocoderRecipe, "recipe", path)


def prolonged(recipe: VocoderRecipe | AcousticRecipe, updates: int | None) -> VocoderRecipe | AcousticRecipe:
    """The recipe with another number of updates; None for its own.

    Raises:
        InputError: `updates` is below 1.
    """
    if updates is None:
        return recipe
    if updates < 1:
        raise InputError(f"updates is {updates}, expected at least 1")
    return msgspec.structs.replace(recipe, training=msgspec.structs.replace(recipe.training, updates=updates))
