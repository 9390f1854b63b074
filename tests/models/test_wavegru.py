"""WaveGRU: the step says what its equations say, and joins its bands as a filter bank does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.models.literal import synthesis, wavegru_parameters
from wavejit.audio.pqmf import delay, join_bands, split_bands
from wavejit.backends.llvm.compile import host_target
from wavejit.backends.reference import Reference, Run
from wavejit.checkpoints.folder import ModelFiles, read_folder, write_folder
from wavejit.errors import InputError
from wavejit.ir.ops import Affine, Step
from wavejit.models import builtin, wavegru
from wavejit.models.wavegru import WaveGRU
from wavejit.passes import lower
from wavejit.runtime.engine import Engine

TICKS = 40
CUTOFFS = {2: 0.285, 4: 0.142}


def small(bands: int = 4, channels: int = 3, **sizes: int) -> tuple[WaveGRU, dict[str, np.ndarray], Step]:
    fields = {"width": 6, "dense": 5, "components": 2, "hop_length": 8} | sizes
    network = WaveGRU(sample_rate=8000, bands=bands, conditioning_channels=channels, **fields)
    weights = wavegru.FAMILY.random_weights(network, seed=3)
    return network, weights, wavegru.FAMILY.step("test", network, weights)


def band_parameters(run: Run, bands: int) -> np.ndarray:
    return np.stack([run.parameters[f"band.{i}"][:, 0] for i in range(bands)], axis=1)


@pytest.mark.parametrize("channels", [0, 3])
@pytest.mark.parametrize("bands", [2, 4])
def test_the_equations(bands: int, channels: int) -> None:
    network, weights, step = small(bands, channels)
    assert (step.samples_per_tick, step.hop_length) == (bands, 8 if channels else 0)
    rng = np.random.default_rng(bands + channels)
    drawn = rng.uniform(-1, 1, (TICKS, bands))
    ticks_a_frame = 8 // bands
    frames = rng.standard_normal((-(-TICKS // ticks_a_frame), channels))
    found = Reference(step).run(TICKS, {"features": frames} if channels else {}, drawn)
    held = np.repeat(frames, ticks_a_frame, axis=0)[:TICKS] if channels else None
    expected = wavegru_parameters(weights, drawn, held)
    assert expected.shape == (TICKS, bands, network.parameters)
    np.testing.assert_allclose(band_parameters(found, bands), expected, rtol=0, atol=1e-9)
    assert np.ptp(expected, axis=0).max() > 1e-2
    heard = synthesis(drawn, CUTOFFS[bands])
    assert np.abs(heard).max() > 1
    # The filters are float32.
    np.testing.assert_allclose(found.samples, np.clip(heard, -1, 1), rtol=0, atol=1e-6)


def test_what_is_heard_never_leaves_its_range() -> None:
    _, _, step = small(channels=0)
    found = Engine(step, host_target()).stream().score(np.random.default_rng(0).choice([-1, 1], (3000, 4)))
    assert found.samples.max() == 1.0
    assert found.samples.min() == -1.0


@pytest.mark.parametrize("bands", [2, 3, 4])
def test_what_was_split_is_heard_again(bands: int) -> None:
    _, _, step = small(bands, 0, hop_length=12)
    signal = np.random.default_rng(0).uniform(-0.5, 0.5, 1200)
    heard = Reference(step).run(1200 // bands, {}, split_bands(signal, bands)).samples
    np.testing.assert_allclose(heard, join_bands(split_bands(signal, bands)), atol=1e-6)
    late = delay(bands)
    error = heard[late:] - signal[:-late]
    assert 10 * np.log10(np.mean(signal**2) / np.mean(error**2)) > 50


@pytest.mark.parametrize("precision", ["int8", "int16", "bfloat16"])
def test_no_format_rounds_the_filters(precision: str) -> None:
    for bands in (2, 3, 4):
        _, _, step = small(bands, 3, width=32, dense=32, hop_length=12)
        lowered = lower(replace(step, precision=precision), host_target())
        formats = {
            name: line.op.format
            for line in lowered.lines.values()
            if isinstance(line.op, Affine)
            for name in line.op.weights
        }
        assert formats["gru.recurrent.weight"] == formats["dense.weight"] == precision
        filters = [format for name, format in formats.items() if name.startswith("synthesis filters")]
        assert filters == ["float32"] * len(filters) != []


def test_the_sizes_of_lyra() -> None:
    family, network = builtin("wavegru-1024") or pytest.fail("a built-in network")
    shapes = family.shapes(network)
    assert shapes["gru.recurrent.weight"] == (3072, 1024)
    assert shapes["dense.weight"] == (512, 1024)
    assert shapes["out.weight"] == (4 * 3 * 8, 512)
    assert shapes["gru.inputs.weight"] == (3072, 4 + 160)
    step = family.step("lyra", network, family.random_weights(network))
    assert (step.sample_rate, step.samples_per_tick, step.hop_length) == (16000, 4, 640)


def test_a_hop_of_part_of_a_step_is_refused() -> None:
    with pytest.raises(InputError, match=r"network\.hop_length is 10, expected a multiple of network\.bands, 4"):
        WaveGRU(sample_rate=8000, width=4, dense=4, hop_length=10)


@pytest.mark.parametrize("bands", [1, 5])
def test_other_numbers_of_bands_are_refused_by_name(bands: int, tmp_path: Path) -> None:
    network, weights, _ = small(channels=0)
    write_folder(tmp_path / "voice", ModelFiles(wavegru.FAMILY, network, weights, None))
    config = tmp_path / "voice" / "config.json"
    config.write_text(config.read_text().replace('"bands": 4', f'"bands": {bands}'))
    with pytest.raises(InputError, match=rf"config\.json: network\.bands is {bands}, expected int"):
        read_folder(tmp_path / "voice")
