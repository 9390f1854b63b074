"""`wavejit features`: take features from a recording, as a model or a preset wants them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from wavejit.audio import PRESETS, mel_features, read_audio, write_features
from wavejit.audio.contract import FeatureContract
from wavejit.errors import InputError
from wavejit.model import load


def features(
    recording: Annotated[Path, typer.Argument(help="An audio file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .npz, .safetensors or .npy file.")],
    model: Annotated[str | None, typer.Option("--model", "-m", help="Take the features that this model wants.")] = None,
    preset: Annotated[str | None, typer.Option(help=f"Or one of: {', '.join(PRESETS)}.")] = None,
) -> None:
    """Take mel features from a recording."""
    contract = _contract(model, preset)
    samples, _ = read_audio(recording, contract.sample_rate)
    taken = mel_features(samples, contract)
    write_features(output, taken, contract)
    print(f"{output}: {len(taken)} frames of {contract.bins} bins, {contract.sample_rate} Hz", file=sys.stderr)


def _contract(model: str | None, preset: str | None) -> FeatureContract:
    if (model is None) == (preset is None):
        raise InputError("give either -m MODEL or --preset NAME")
    if model is not None:
        contract = load(model).features
        if contract is None:
            raise InputError(f"{model}: has no features, expected a model folder with features")
        return contract
    return preset_named(preset or "")


def preset_named(name: str) -> FeatureContract:
    """A preset by its name; raises InputError for a name that there is not."""
    if name not in PRESETS:
        raise InputError(f"preset is {name!r}, expected one of {', '.join(PRESETS)}")
    return PRESETS[name]
