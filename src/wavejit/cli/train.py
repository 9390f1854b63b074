"""`wavejit train`: a recipe and a folder of recordings to a model folder."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from wavejit.errors import InputError


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe, such as recipes/kathleen-cpu.toml.")],
    data: Annotated[Path, typer.Option("--data", "-d", help="A folder of recordings with their texts.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="State, reports and the model; a run goes on from its state.")
    ],
    alignment: Annotated[
        Path | None, typer.Option(help="When each phoneme is spoken; an acoustic model needs it.")
    ] = None,
    processes: Annotated[
        int, typer.Option(min=0, help="That train a vocoder together. Default: one a GPU, or one.")
    ] = 0,
    updates: Annotated[int | None, typer.Option(help="Instead of the recipe's: prolong or shorten a run.")] = None,
) -> None:
    """Train a vocoder or an acoustic model; the same command goes on after it was killed."""
    if importlib.util.find_spec("torch") is None:
        raise InputError("training needs PyTorch, which is not installed; expected `pip install 'wavejit[train]'`")
    from wavejit.training.launch import launch

    raise typer.Exit(launch(recipe, data, out, alignment, processes, updates))
