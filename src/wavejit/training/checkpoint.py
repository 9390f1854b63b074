"""Training state on disk: whole or not at all, so that a run may be killed at any moment and goes on from the last."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from wavejit.errors import InputError


def save_state(file: Path, state: dict[str, Any]) -> None:
    """Write tensors, numbers, text and collections of them; the state that is there is replaced in one step."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        torch.save(state, beside)
        os.replace(beside, file)
    finally:
        beside.unlink(missing_ok=True)


def load_state(file: Path) -> dict[str, Any] | None:
    """The state that was saved; None where there is none. Nothing in the file is executed.

    Raises:
        InputError: the file is damaged, or holds more than data.
    """
    if not file.exists():
        return None
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{file}: is no training state: {' '.join(str(error).split())[:200]}") from None
