"""Model families: each turns a configuration and weights into a step that reads like its paper."""

from __future__ import annotations

import re
from math import prod

import msgspec

from wavejit.errors import InputError
from wavejit.models import mel_wavegru, mel_wavernn, samplernn, wavegru, wavenet, wavernn
from wavejit.models.family import Family, Network

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        wavenet.FAMILY,
        wavernn.FAMILY,
        mel_wavernn.FAMILY,
        wavegru.FAMILY,
        mel_wavegru.FAMILY,
        samplernn.FAMILY,
    )
}

MOST_BUILTIN_WEIGHTS = 1 << 28  # 1 GiB of them
BUILTIN_NAMES = (
    "deepvoice-L-R-S (such as deepvoice-40-64-256), wavernn-N (such as wavernn-896), "
    "wavegru-N (such as wavegru-1024) and samplernn-N (such as samplernn-1024)"
)


def builtin(name: str) -> tuple[Family, Network] | None:
    """The network that a built-in name stands for, with sizes from the name; None for any other name."""
    if found := re.fullmatch(r"deepvoice-(\d{1,5})-(\d{1,5})-(\d{1,5})", name):
        layers, residual, skip = map(int, found.groups())
        sizes = {"sample_rate": 16000, "layers": layers, "residual_channels": residual, "skip_channels": skip}
        return _affordable(name, wavenet.FAMILY, _network(name, wavenet.WaveNet, sizes))
    if found := re.fullmatch(r"wavernn-(\d{1,5})", name):
        sizes = {"sample_rate": 24000, "width": int(found[1])}
        return _affordable(name, wavernn.FAMILY, _network(name, wavernn.WaveRNN, sizes))
    if found := re.fullmatch(r"wavegru-(\d{1,5})", name):
        width = int(found[1])
        sizes = {"sample_rate": 16000, "width": width, "dense": max(1, width // 2)}
        return _affordable(name, wavegru.FAMILY, _network(name, wavegru.WaveGRU, sizes))
    if found := re.fullmatch(r"samplernn-(\d{1,5})", name):
        sizes = {"sample_rate": 16000, "width": int(found[1])}
        return _affordable(name, samplernn.FAMILY, _network(name, samplernn.SampleRNN, sizes))
    return None


def _affordable(name: str, family: Family, network: Network) -> tuple[Family, Network]:
    weights = sum(prod(shape) for shape in family.shapes(network).values())
    if weights > MOST_BUILTIN_WEIGHTS:
        raise InputError(f"{name}: has {weights:,} weights, expected at most {MOST_BUILTIN_WEIGHTS:,}")
    return family, network


def _network(name: str, type_: type[Network], sizes: dict[str, int]) -> Network:
    try:
        return msgspec.convert(sizes, type_)
    except msgspec.ValidationError as error:
        raise InputError(f"{name}: {str(error).lower().replace('`$.', '').replace('`', '')}") from None
