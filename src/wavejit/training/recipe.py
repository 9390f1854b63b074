"""Recipes: what to train, on what, and for how long, as a short TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from wavejit.audio.contract import FeatureContract
from wavejit.checkpoints.config import convert
from wavejit.errors import InputError

Positive = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]


class Optimisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the weights are found: Adam, a rate that rises, stays, and falls along a cosine at the end.

    The flat middle makes a run that can be prolonged: more updates change only where the fall begins.
    """

    updates: Positive
    batch: Positive  # streams, over all processes
    chunk: Positive  # frames of each stream an update
    learning_rate: Annotated[float, Meta(gt=0.0, le=1.0)] = 1e-3
    warm_up: Positive = 300  # updates
    fall: Share = 0.25  # of the updates, at the end
    least_rate: Share = 0.02  # of the learning rate, at the very end
    clip: Annotated[float, Meta(gt=0.0)] = 1.0  # of the gradient's norm
    average: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.999  # decay of the moving average of weights
    seed: int = 0


class Disturbance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is done in training to the past that a step sees.

    A network that has only ever seen true pasts takes the level of what comes from the level of what was, and its own
    draws then die away or swell. One that has seen pasts too loud, too quiet and noisy takes it from the features.
    """

    gain: Annotated[float, Meta(ge=0.0)] = 0.35  # of half of the streams: standard deviation of its logarithm
    noise: Annotated[float, Meta(ge=0.0)] = 0.25  # the most, as a share of each band's level; uniform from 0
    floor: Annotated[float, Meta(ge=0.0)] = 0.001  # noise that is always there, of a band's full scale of 1


class Pruning(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Zeroing blocks while training (Kalchbrenner et al. 2018, section 3.2)."""

    sparsity: Share = 0.0
    block: tuple[Positive, Positive] = (16, 4)
    begin: Annotated[int, Meta(ge=0)] = 1000  # update
    end: Positive = 10000  # update at which the sparsity is reached
    every: Positive = 100  # updates


class Reports(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often a run looks up from its work."""

    validate: Positive = 500  # updates
    save: Positive = 250  # updates
    clips: Annotated[int, Meta(ge=0)] = 2  # held-out clips that are made audible at each validation


class VocoderRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A vocoder: the network's sizes but for what its features say, the features, and the training."""

    network: dict[str, Any]
    features: FeatureContract
    training: Optimisation
    disturbance: Disturbance = Disturbance()
    pruning: Pruning = Pruning()
    reports: Reports = Reports()
    held_out: Annotated[int, Meta(ge=1, le=999)] = 20  # of a thousand prompts


def read_recipe(path: Path) -> VocoderRecipe:
    """The recipe in a file.

    Raises:
        InputError: the file is missing, no TOML, or has a field missing, unknown or impossible.
    """
    try:
        fields = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no recipe: {error}") from None
    return convert(fields, VocoderRecipe, "recipe", path)
