"""Model families: each turns a configuration and weights into a step that reads like its paper."""

from __future__ import annotations

import re

from wavejit.errors import InputError
from wavejit.models import mel_wavernn, wavenet, wavernn
from wavejit.models.family import Family, Network

FAMILIES: dict[str, Family] = {f.name: f for f in (wavenet.FAMILY, wavernn.FAMILY, mel_wavernn.FAMILY)}

BUILTIN_NAMES = "deepvoice-L-R-S (such as deepvoice-40-64-256) and wavernn-N (such as wavernn-896)"


def builtin(name: str) -> tuple[Family, Network] | None:
    """The network that a built-in name stands for, with sizes from the name; None for any other name."""
    if found := re.fullmatch(r"deepvoice-(\d{1,3})-(\d{1,4})-(\d{1,4})", name):
        layers, residual, skip = map(int, found.groups())
        if not (0 < layers <= 256 and 0 < residual and 0 < skip):
            raise InputError(f"{name}: layers, residual and skip channels cannot be 0, and layers at most 256")
        return wavenet.FAMILY, wavenet.WaveNet(
            sample_rate=16000, layers=layers, residual_channels=residual, skip_channels=skip
        )
    if found := re.fullmatch(r"wavernn-(\d{1,4})", name):
        if int(found[1]) < 2:
            raise InputError(f"{name}: the width is {found[1]}, expected at least 2")
        return wavernn.FAMILY, wavernn.WaveRNN(sample_rate=24000, width=int(found[1]))
    return None
