"""Import a WaveRNN exported by geneing's C++ tools: a flat binary file with sparse matrices.

Little endian. A header of four int32: residual blocks, upsampling stages, hop, padding. Then the layers
(`binary_layers`) of a mel-conditioned WaveRNN with one GRU, in the order in which the features meet them.

An element size of 2 has been described in two ways: as that of the sparse values alone, and as that of every
value in the layer (so the exporter's own C++ reader). The lengths tell which one a file follows: the other
reading does not end where the file does.
"""

from __future__ import annotations

import struct
from math import ceil, prod
from pathlib import Path

import numpy as np

from wavejit.audio.contract import FeatureContract
from wavejit.audio.presets import TACOTRON_16K
from wavejit.checkpoints.binary_layers import Kind, Layers
from wavejit.checkpoints.binary_reader import Array, Reader
from wavejit.checkpoints.files import read_file
from wavejit.checkpoints.folder import ModelFiles
from wavejit.errors import InputError
from wavejit.models import mel_wavernn
from wavejit.models.mel_wavernn import MelWaveRNN, box_upsampling

MAX_FILE_BYTES = 1 << 28
HEADER = (("residual blocks", 0, 256), ("upsampling stages", 1, 8), ("hop", 1, 4096), ("padding", 0, 16))
MAX_STRETCH = 1024  # of one stage; with hop and padding it bounds the time that the filters take to compose


def is_binary_wavernn(start: bytes) -> bool:
    """Whether a file that begins with `start` (20 bytes or more) is in this format."""
    if len(start) < 20:
        return False
    *header, kind = struct.unpack_from("<5i", start)
    plausible = all(low <= value <= high for value, (_, low, high) in zip(header, HEADER, strict=True))
    return plausible and kind == Kind.CONVOLUTION


def import_binary_wavernn(path: Path, features: FeatureContract | None = None) -> ModelFiles:
    """Read a model.

    Args:
        path: the file.
        features: what its features are, for the file does not say: their hop and bins must be the file's.
            By default those of the exporter's 16 kHz networks.

    Raises:
        InputError: the file is truncated, is something else, or does not make a network.
    """
    contract = TACOTRON_16K if features is None else features
    data = read_file(path, MAX_FILE_BYTES)
    try:
        return _read_model(Reader(path, data), contract, half_vectors=False)
    except InputError as error:
        try:
            return _read_model(Reader(path, data), contract, half_vectors=True)
        except InputError:
            raise error from None


def _read_model(r: Reader, features: FeatureContract, half_vectors: bool) -> ModelFiles:
    blocks, stages, hop, padding = (r.integer(what, low, high) for what, low, high in HEADER)
    if hop != features.hop_length:
        raise r.fail(f"hop is {hop}, expected {features.hop_length} as in the features")
    layers = Layers(r, half_vectors)
    weights: dict[str, Array] = {}

    def put(name: str, layer: tuple[Array, Array]) -> int:
        weights[f"{name}.weight"], weights[f"{name}.bias"] = layer
        return len(layer[1])

    channels = put("residual.first", layers.normalised_convolution(features.bins, 2 * padding + 1))
    for i in range(blocks):
        for part in ("first", "second"):
            put(f"residual.blocks.{i}.{part}", layers.normalised_convolution(channels, 1, channels))
    auxiliary = put("residual.last", layers.convolution(channels, 1))
    half = auxiliary // 2
    if half < 2:
        raise r.fail(f"there are {auxiliary} auxiliary channels, expected at least 4")
    if (stretch := layers.stretch()) != hop:
        raise r.fail(f"auxiliary channels are repeated {stretch} times, expected the hop, {hop}")
    weights["upsample.taps"] = _upsampling(layers, stages, hop, padding)

    width = put("inputs", layers.linear(1 + features.bins + half - 1))
    of_inputs, recurrent = layers.gru(width)
    put("gru.0.inputs", of_inputs)
    put("gru.0.recurrent", recurrent)
    hidden = put("hidden.0", layers.linear(width + auxiliary - half))
    classes = put("out", layers.linear(hidden))
    if classes < 2:
        raise r.fail(f"there are {classes} classes, expected at least 2")
    layers.end()
    network = MelWaveRNN(
        sample_rate=features.sample_rate,
        bins=features.bins,
        hop_length=hop,
        padding=padding,
        residual_channels=channels,
        residual_blocks=blocks,
        auxiliary_channels=auxiliary,
        auxiliary=((0, half - 1), (half, auxiliary - half)),  # the exporter's network leaves one row out
        gru_widths=(width,),
        hidden_widths=(hidden,),
        classes=classes,
    )
    mel_wavernn.FAMILY.check(network, weights, str(r.path))
    return ModelFiles(mel_wavernn.FAMILY, network, weights, features, provenance=f"imported from {r.path.name}")


def _upsampling(layers: Layers, stages: int, hop: int, padding: int) -> Array:
    """The stages as one polyphase filter, `(hop, 2 * padding + 1)`."""
    scales: list[int] = []
    filters: list[np.ndarray] = []
    for _ in range(stages):
        scales.append(layers.stretch())
        if scales[-1] > MAX_STRETCH or hop % prod(scales):
            raise layers.reader.fail(f"stages stretch by {scales}, expected a product of {hop}")
        filters.append(layers.filter(2 * scales[-1] + 1).astype(np.float64))
    if prod(scales) != hop:
        raise layers.reader.fail(f"stages stretch by {scales}, expected a product of {hop}")
    reach = ceil(sum(1 / prod(scales[:i]) for i in range(stages)))
    if padding < reach:
        raise layers.reader.fail(f"the filters reach {reach} frames, expected at most the padding, {padding}")
    with np.errstate(over="ignore", invalid="ignore"):
        return layers.finite(box_upsampling(tuple(scales), padding, tuple(filters)))
