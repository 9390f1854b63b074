"""Contracts of published vocoders, under the names that people know them by."""

from types import MappingProxyType

from wavejit.audio.contract import FeatureContract
from wavejit.audio.normalisation import RangeNormalisation

TACOTRON2 = FeatureContract(sample_rate=22050, hop_length=256, window_length=1024, n_fft=1024, bins=80, f_max=8000.0)
"""Source: NVIDIA Tacotron 2 and WaveGlow."""

HIFIGAN = FeatureContract(
    sample_rate=22050, hop_length=256, window_length=1024, n_fft=1024, bins=80, f_max=8000.0, centre="same"
)
"""Tacotron 2's but for the padding. HiFi-GAN adds 1e-9 under the magnitude's square root as well, which
shows only within a few dB of the floor. Source: Kong et al. 2020 and their code."""

VOCOS = FeatureContract(
    sample_rate=24000,
    hop_length=256,
    window_length=1024,
    n_fft=1024,
    bins=100,
    f_max=12000.0,
    mel_scale="htk",
    mel_norm="none",
    floor=1e-7,
)
"""torchaudio's defaults with amplitudes. Source: Siuzdak 2023, the 24 kHz mel configuration."""

FATCHORD = FeatureContract(
    sample_rate=22050,
    hop_length=275,
    window_length=1100,
    n_fft=2048,
    bins=80,
    f_min=40.0,
    f_max=11025.0,
    log="decibel",
    normalisation=RangeNormalisation(minimum_db=-100.0),
)
"""Source: fatchord's WaveRNN; no reference level is subtracted from the mel."""

PARALLEL_WAVEGAN = FeatureContract(
    sample_rate=24000,
    hop_length=300,
    window_length=1200,
    n_fft=2048,
    bins=80,
    f_min=80.0,
    f_max=7600.0,
    log="log10",
    floor=1e-10,
)
"""Before normalisation: each model brings its data's statistics, to be added as a `BinNormalisation`.
Source: kan-bayashi's ParallelWaveGAN."""

TACOTRON_16K = FeatureContract(
    sample_rate=16000,
    hop_length=200,
    window_length=800,
    n_fft=2048,
    bins=80,
    f_min=95.0,
    f_max=7600.0,
    log="decibel",
    normalisation=RangeNormalisation(minimum_db=-100.0, reference_db=20.0, low=-4.0, high=4.0),
)
"""Source: the 16 kHz settings of geneing's fork of Rayhane Mamah's Tacotron 2; no pre-emphasis."""

PRESETS: MappingProxyType[str, FeatureContract] = MappingProxyType(
    {
        "tacotron2": TACOTRON2,
        "hifigan": HIFIGAN,
        "vocos": VOCOS,
        "fatchord": FATCHORD,
        "parallel-wavegan": PARALLEL_WAVEGAN,
        "tacotron-16k": TACOTRON_16K,
    }
)
