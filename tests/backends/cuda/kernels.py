"""Steps for the tests of the CUDA backend: one small network of each family, and how they are planned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

from tests.cases import MEL_WAVERNN, SAMPLERNN, WAVEGRU, WAVENET, WAVERNN, built
from wavejit.backends.cuda.device import DEVICES, Device
from wavejit.backends.cuda.plan import Plan, plan
from wavejit.backends.cuda.tiles import COLUMNS_A_WORD
from wavejit.ir.formats import FormatName
from wavejit.ir.ops import Step
from wavejit.models.mel_wavegru import FAMILY as MEL_WAVEGRU
from wavejit.models.mel_wavegru import MelWaveGRU
from wavejit.models.mel_wavernn import MelWaveRNN
from wavejit.models.samplernn import SampleRNN
from wavejit.models.wavegru import WaveGRU
from wavejit.models.wavenet import WaveNet
from wavejit.models.wavernn import WaveRNN
from wavejit.passes import GPU_PIPELINE, lower

HOPPER = DEVICES["sm_90a"]
FORMATS: tuple[FormatName, ...] = tuple(name for name in get_args(FormatName) if name in COLUMNS_A_WORD)


def wavenet() -> Step:
    network = WaveNet(
        sample_rate=16000,
        layers=3,
        residual_channels=12,
        skip_channels=20,
        classes=64,
        cycle=3,
        conditioning_channels=7,
        hop_length=10,
    )
    return built(WAVENET, network)


def mel_wavernn() -> Step:
    network = MelWaveRNN(
        sample_rate=16000,
        bins=7,
        hop_length=6,
        padding=2,
        residual_channels=9,
        residual_blocks=1,
        gru_widths=(20, 20),
        hidden_widths=(21,),
        auxiliary=((0, 4), (4, 4), (2, 5)),
        auxiliary_channels=8,
        output="logistics",
        classes=64,
        components=3,
        deemphasis=0.86,
    )
    return built(MEL_WAVERNN, network)


def mel_wavegru() -> Step:
    network = MelWaveGRU(
        sample_rate=16000,
        width=20,
        dense=16,
        channels=5,
        hop_length=16,
        conditioning_width=12,
        context=3,
        components=2,
        order=2,
        history=1,
        pitch_taps=3,
        longest_period=12,
    )
    return built(MEL_WAVEGRU, network)


FAMILIES: dict[str, Callable[[], Step]] = {
    "wavenet": wavenet,
    "wavernn": lambda: built(WAVERNN, WaveRNN(sample_rate=16000, width=20, conditioning_channels=3, hop_length=8)),
    "mel-wavernn": mel_wavernn,
    "wavegru": lambda: built(
        WAVEGRU, WaveGRU(sample_rate=16000, width=20, dense=9, conditioning_channels=6, hop_length=40)
    ),
    "mel-wavegru": mel_wavegru,
    "samplernn": lambda: built(
        SAMPLERNN, SampleRNN(sample_rate=16000, width=12, frame_sizes=(4, 2), classes=32, embedding=8)
    ),
}


def planned(
    step: Step,
    precision: FormatName = "float16",
    device: Device = HOPPER,
    blocks: int | None = None,
    streams: int = 1,
) -> Plan:
    """The step's plan for a device."""
    lowered = lower(replace(step, precision=precision), device.target, passes=GPU_PIPELINE)
    return plan(lowered, device, streams, blocks)
