"""A small model of each family, as it is stored."""

import numpy as np

from tests.checkpoints.binary_writer import small_features
from wavejit.checkpoints.folder import ModelFiles
from wavejit.models import FAMILIES
from wavejit.models.family import Network
from wavejit.models.mel_wavernn import MelWaveRNN
from wavejit.models.samplernn import SampleRNN
from wavejit.models.wavegru import WaveGRU
from wavejit.models.wavenet import WaveNet
from wavejit.models.wavernn import WaveRNN

NETWORKS: dict[str, tuple[str, Network]] = {
    "wavenet": (
        "wavenet",
        WaveNet(
            sample_rate=8000,
            layers=2,
            residual_channels=3,
            skip_channels=4,
            classes=8,
            conditioning_channels=8,
            hop_length=6,
        ),
    ),
    "unconditional wavenet": (
        "wavenet",
        WaveNet(sample_rate=8000, layers=1, residual_channels=3, skip_channels=4, classes=8, conditioning_channels=0),
    ),
    "wavernn": ("wavernn", WaveRNN(sample_rate=8000, width=4, conditioning_channels=8, hop_length=6)),
    "unconditional wavernn": ("wavernn", WaveRNN(sample_rate=8000, width=4)),
    "mel-wavernn": (
        "mel-wavernn",
        MelWaveRNN(
            sample_rate=8000,
            bins=8,
            hop_length=6,
            padding=2,
            residual_channels=4,
            residual_blocks=1,
            gru_widths=(5, 5),
            hidden_widths=(6,),
            auxiliary=((0, 2), (2, 2), (4, 3)),
            auxiliary_channels=7,
            classes=8,
            deemphasis=0.5,
        ),
    ),
    "wavegru": (
        "wavegru",
        WaveGRU(sample_rate=8000, width=4, dense=3, bands=3, components=2, conditioning_channels=8, hop_length=6),
    ),
    "unconditional wavegru": (
        "wavegru",
        WaveGRU(sample_rate=8000, width=4, dense=3, components=2, conditioning_channels=0, hop_length=8),
    ),
    "samplernn": (
        "samplernn",
        SampleRNN(sample_rate=8000, width=4, frame_sizes=(6, 3), classes=8, embedding=3),
    ),
}


def small(name: str, **changes: object) -> ModelFiles:
    family, network = NETWORKS[name]
    features = small_features() if FAMILIES[family].bins(network) else None
    weights = FAMILIES[family].random_weights(network, seed=len(name))
    fields: dict[str, object] = {
        "licence": "MIT",
        "provenance": "drawn\nat random — ü",
        "licence_text": "MIT License\n",
    }
    return ModelFiles(FAMILIES[family], network, weights, features, **(fields | changes))  # type: ignore[arg-type]


def same(one: ModelFiles, other: ModelFiles) -> bool:
    """Whether two models are equal, weights bit for bit."""
    keys = one.weights.keys() == other.weights.keys()
    return (
        keys
        and (one.config, one.licence_text) == (other.config, other.licence_text)
        and all(
            data.dtype == other.weights[name].dtype and np.array_equal(data, other.weights[name])
            for name, data in one.weights.items()
        )
    )
