"""`wavejit import`: another program's checkpoint to a model folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from wavejit.checkpoints import IMPORTERS, import_checkpoint
from wavejit.cli.features import preset_named


def import_(
    checkpoint: Annotated[Path, typer.Argument(help="A file that another program made.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The model folder to write.")],
    format: Annotated[
        str | None, typer.Option(help=f"One of: {', '.join(IMPORTERS)}. Default: as the file looks.")
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(help="Preset of the features it was trained on, where the file does not say."),
    ] = None,
) -> None:
    """Turn a checkpoint of another program into a model folder."""
    from wavejit.checkpoints.folder import write_folder

    model = import_checkpoint(checkpoint, format, None if features is None else preset_named(features))
    write_folder(output, model)
    weights = sum(data.size for data in model.weights.values())
    print(f"{output}: {model.family.name}, {weights:,} weights, {model.network.sample_rate} Hz", file=sys.stderr)
