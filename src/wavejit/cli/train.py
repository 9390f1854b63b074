"""`wavejit train`: a recipe and a folder of recordings to a model folder."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
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
        int | None, typer.Option(help="Default: one a GPU; without one, one for every two cores.")
    ] = None,
    updates: Annotated[int | None, typer.Option(help="Instead of the recipe's: prolong or shorten a run.")] = None,
) -> None:
    """Train a vocoder or an acoustic model; the same command goes on after it was killed."""
    if importlib.util.find_spec("torch") is None:
        raise InputError("training needs PyTorch, which is not installed; expected `pip install 'wavejit[train]'`")
    import torch

    from wavejit.training.recipe import AcousticRecipe, prolonged, read_recipe

    wanted = prolonged(read_recipe(recipe), updates)
    if isinstance(wanted, AcousticRecipe):
        from wavejit.training.acoustic import train as train_acoustic

        if alignment is None:
            raise InputError(f"{recipe}: trains an acoustic model, which needs --alignment FILE")
        train_acoustic(wanted, data, alignment, out)
        return
    count = processes or torch.cuda.device_count() or max(1, (os.cpu_count() or 1) // 2)
    if count > 1:
        again = [f"--updates={updates}"] if updates else []
        launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        command = ["-m", "wavejit", "train", str(recipe), "--data", str(data), "--out", str(out), "--processes", "1"]
        if "WORLD_SIZE" not in os.environ:
            raise typer.Exit(subprocess.run([sys.executable, "-m", *launcher, *command, *again]).returncode)
    from wavejit.training.vocoder import train as train_vocoder

    train_vocoder(wanted, data, out)
