"""What all families share: names of built-in networks, weights that are checked by name, random ones."""

import numpy as np
import pytest

from wavejit.errors import InputError
from wavejit.ir.verify import verify
from wavejit.models import BUILTIN_NAMES, FAMILIES, builtin
from wavejit.models.family import Family, Network
from wavejit.models.mel_wavegru import MelWaveGRU
from wavejit.models.mel_wavernn import MelWaveRNN
from wavejit.models.samplernn import SampleRNN
from wavejit.models.wavegru import WaveGRU
from wavejit.models.wavenet import WaveNet
from wavejit.models.wavernn import WaveRNN

SMALL: dict[str, Network] = {
    "wavenet": WaveNet(sample_rate=8000, layers=2, residual_channels=3, skip_channels=4, classes=8),
    "wavernn": WaveRNN(sample_rate=8000, width=4, conditioning_channels=2),
    "mel-wavernn": MelWaveRNN(
        sample_rate=8000,
        bins=3,
        hop_length=4,
        padding=1,
        residual_channels=4,
        residual_blocks=1,
        gru_widths=(5,),
        hidden_widths=(6,),
        auxiliary=((0, 2), (2, 2)),
        auxiliary_channels=4,
        classes=8,
    ),
    "wavegru": WaveGRU(sample_rate=8000, width=5, dense=6, components=2, conditioning_channels=3, hop_length=8),
    "mel-wavegru": MelWaveGRU(
        sample_rate=8000,
        width=5,
        dense=6,
        channels=4,
        hop_length=8,
        conditioning_width=3,
        context=2,
        components=2,
        history=2,
        pitch_taps=3,
        longest_period=9,
    ),
    "samplernn": SampleRNN(sample_rate=8000, width=5, frame_sizes=(4, 2), classes=8, embedding=3),
}


def test_every_family_has_a_small_network_here() -> None:
    assert SMALL.keys() == FAMILIES.keys()


@pytest.mark.parametrize("name", SMALL)
def test_random_weights_are_those_of_the_seed_and_make_a_step(name: str) -> None:
    family, network = FAMILIES[name], SMALL[name]
    weights = family.random_weights(network, seed=1)
    family.check(network, weights, "here")
    assert all(data.dtype == np.float32 for data in weights.values())
    same, other = family.random_weights(network, seed=1), family.random_weights(network, seed=2)
    assert all(np.array_equal(same[key], data) for key, data in weights.items())
    assert all(not np.array_equal(other[key], data) for key, data in weights.items())
    step = family.step(name, network, weights)
    verify(step)
    assert set(weights) <= set(step.weights)  # each is read
    assert step.sample_rate == 8000


@pytest.mark.parametrize("name", SMALL)
def test_wrong_weights_are_refused_by_name(name: str) -> None:
    family, network = FAMILIES[name], SMALL[name]
    weights = family.random_weights(network)
    for key, data in weights.items():
        for wrong, message in (
            ({k: v for k, v in weights.items() if k != key}, "is missing"),
            (weights | {key: data[:-1]}, f"shape .*expected {str(data.shape)[:-1]}"),
            (weights | {key: data[None]}, "shape"),
            (weights | {key: np.where(np.arange(data.size).reshape(data.shape) == 1, np.nan, data)}, "NaN"),
            (weights | {key: np.full_like(data, np.inf)}, "infinite"),
        ):
            with pytest.raises(InputError, match=f"here: weight {key} .*{message.replace('(', '.')}"):
                family.check(network, wrong, "here")
    with pytest.raises(InputError, match=r"here: weight 'more' .*not one that"):
        family.check(network, weights | {"more": np.zeros(1, np.float32)}, "here")


def builtin_of(name: str) -> tuple[Family, Network]:
    found = builtin(name)
    assert found is not None
    return found


def test_builtin_names_give_sizes() -> None:
    family, network = builtin_of("deepvoice-40-64-256")
    assert (family.name, network) == (
        "wavenet",
        WaveNet(sample_rate=16000, layers=40, residual_channels=64, skip_channels=256),
    )
    family, network = builtin_of("wavernn-896")
    assert (family.name, network) == ("wavernn", WaveRNN(sample_rate=24000, width=896))
    elements = sum(int(np.prod(shape)) for shape in family.shapes(network).values())
    assert elements == pytest.approx(3.04e6, rel=0.02)  # as the paper's, computed in facts/papers.md
    family, network = builtin_of("wavegru-1024")
    assert (family.name, network) == ("wavegru", WaveGRU(sample_rate=16000, width=1024, dense=512))
    # Lyra's: 4 bands of 8 logistics.
    assert family.shapes(network)["out.weight"] == (96, 512)
    family, network = builtin_of("samplernn-1024")
    assert (family.name, network) == ("samplernn", SampleRNN(sample_rate=16000, width=1024))
    for name in ("deepvoice-40-64-256", "wavernn-896", "wavegru-1024", "samplernn-1024"):
        assert name in BUILTIN_NAMES


def test_deep_voice_has_the_papers_multiply_adds() -> None:
    family, network = builtin_of("deepvoice-40-64-256")
    shapes = family.shapes(network)
    products = [shape for name, shape in shapes.items() if name.endswith("weight") and "conditioning" not in name]
    # facts/papers.md, 40/64/256: with a head of s and a channels
    assert sum(int(np.prod(shape)) for shape in products) == 40 * (2 * 128 * 64 + 64 * 64 + 256 * 64) + 2 * 65536
    assert sum(int(np.prod(shape)) for shape in products) == 1_605_632


@pytest.mark.parametrize(
    "name",
    [
        "",
        "voice",
        "deepvoice",
        "deepvoice-40-64",
        "deepvoice-40-64-256-1",
        "deepvoice--1-64-256",
        "wavernn-",
        "wavernn-x",
        "Wavernn-896",
        "wavernn-896\n",
        "deepvoice-40-64-256 ",
        "./wavernn-896",
        "wavernn-1e3",
        "wavegru-",
        "wavegru-1024-512",
        "samplernn-",
    ],
)
def test_other_names_are_no_builtins(name: str) -> None:
    assert builtin(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "deepvoice-0-64-256",
        "deepvoice-40-0-256",
        "deepvoice-40-64-0",
        "deepvoice-999-64-256",
        "deepvoice-4-9999-16",
        "deepvoice-4-16-9999",
        "deepvoice-256-8192-8192",
        "wavernn-0",
        "wavernn-1",
        "wavernn-895",
        "wavernn-9998",
        "wavegru-0",
        "wavegru-8193",
        "samplernn-0",
        "samplernn-8192",
    ],
)
def test_impossible_sizes_are_refused_with_the_name(name: str) -> None:
    with pytest.raises(InputError, match=r"expected|cannot be|at most") as refused:
        builtin(name)
    assert "\n" not in str(refused.value)
