"""Start what a recipe asks for: one process, or one a GPU under PyTorch's launcher."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

from wavejit.errors import InputError
from wavejit.training import acoustic, vocoder
from wavejit.training.recipe import AcousticRecipe, prolonged, read_recipe


def launch(recipe: Path, data: Path, out: Path, alignment: Path | None, processes: int, updates: int | None) -> int:
    """Train; returns the exit status.

    Args:
        recipe, data, out: the recipe's file, the corpus, and where state and model go.
        alignment: of an acoustic model's corpus.
        processes: that train a vocoder together; 0 for one a GPU, or one.
        updates: instead of the recipe's; None for those.

    Raises:
        InputError: the recipe, the corpus or the alignment is not sound, or the state in `out` is damaged.
    """
    wanted = prolonged(read_recipe(recipe), updates)
    if isinstance(wanted, AcousticRecipe):
        if alignment is None:
            raise InputError(f"{recipe}: trains an acoustic model, which needs --alignment FILE")
        acoustic.train(wanted, data, alignment, out)
        return 0
    count = processes or torch.cuda.device_count() or 1
    if count == 1 or "WORLD_SIZE" in os.environ:  # alone, or one of those that the launcher has started
        vocoder.train(wanted, data, out)
        return 0
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    again = ["-m", "wavejit", "train", str(recipe), "--data", str(data), "--out", str(out)]
    prolonging = ["--updates", str(updates)] if updates else []
    return subprocess.run([sys.executable, "-m", *launcher, *again, *prolonging]).returncode
