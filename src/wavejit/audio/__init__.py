"""Sound in and out: files, mel features and their contract, companding, comparison."""

from wavejit.audio.companding import (
    deemphasis,
    linear_encode,
    linear_table,
    mu_law_decode,
    mu_law_encode,
    mu_law_table,
    preemphasis,
)
from wavejit.audio.contract import FeatureContract
from wavejit.audio.feature_files import read_features, write_features
from wavejit.audio.files import check_audio_path, pcm16, read_audio, write_audio
from wavejit.audio.mel import mel_features, mel_filterbank
from wavejit.audio.metrics import log_mel_correlation
from wavejit.audio.normalisation import BinNormalisation, RangeNormalisation
from wavejit.audio.pqmf import join_bands, split_bands
from wavejit.audio.presets import PRESETS

__all__ = [
    "PRESETS",
    "BinNormalisation",
    "FeatureContract",
    "RangeNormalisation",
    "check_audio_path",
    "deemphasis",
    "join_bands",
    "linear_encode",
    "linear_table",
    "log_mel_correlation",
    "mel_features",
    "mel_filterbank",
    "mu_law_decode",
    "mu_law_encode",
    "mu_law_table",
    "pcm16",
    "preemphasis",
    "read_audio",
    "read_features",
    "split_bands",
    "write_audio",
    "write_features",
]
