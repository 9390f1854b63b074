"""`wavejit import` and `wavejit info`: from another program's file to a folder that says what it is."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.checkpoints.binary_writer import Convolution, Layer, Linear, small_model
from tests.cli.command import Command
from tests.cli.small_voice import NETWORK

FACTS = {
    "model", "family", "sample_rate", "hop_length", "lookahead_frames", "weights", "share_of_zeros",
    "multiply_adds_per_sample", "weight_bytes_per_sample", "state_bytes", "network", "features", "postfilter",
    "licence", "provenance",
}  # fmt: skip


def checkpoint() -> bytes:
    """A small network in geneing's format, with the features that are usual in it: 80 bins, hop 200."""
    rng = np.random.default_rng(0)
    small = small_model(scales=(8, 25))
    layers: list[Layer] = list(small.layers)
    layers[0] = Convolution(rng.standard_normal((4, 80, 5)).astype(np.float32), None)
    inputs = next(i for i, layer in enumerate(layers) if isinstance(layer, Linear))
    layers[inputs] = Linear(rng.standard_normal((8, 84)).astype(np.float32), np.zeros(8, np.float32))
    return replace(small, layers=layers).to_bytes()


def test_import_then_info_then_vocode(wavejit: Command, here: Path) -> None:
    (here / "model.bin").write_bytes(checkpoint())
    (here / "LICENSE").write_text("MIT License\n\nCopyright (c) someone\n")
    imported = wavejit("import", "model.bin", "-o", "voice")
    assert imported.text == ""
    assert "voice: mel-wavernn" in imported.stderr
    assert sorted(path.name for path in (here / "voice").iterdir()) == [
        "LICENSE",
        "config.json",
        "model.safetensors",
    ]
    facts = json.loads(wavejit("info", "voice", "--json").text)
    assert (facts["family"], facts["licence"]) == ("mel-wavernn", "MIT")
    assert facts["provenance"] == "imported from model.bin"
    np.save("one.npy", np.zeros((1, 80), np.float32))
    assert wavejit("vocode", "one.npy", "-m", "voice", "-o", "out.wav").status == 0


def test_import_replaces_a_model(wavejit: Command, workplace: Path) -> None:
    (workplace / "model.bin").write_bytes(checkpoint())
    assert wavejit("import", "model.bin", "-o", "voice", "--format", "binary-wavernn").status == 0
    assert json.loads(wavejit("info", "voice", "--json").text)["features"]["bins"] == 80


@pytest.mark.usefixtures("workplace")
def test_info_of_a_folder(wavejit: Command) -> None:
    facts = json.loads(wavejit("info", "voice", "--json").text)
    assert set(facts) == FACTS
    assert (facts["model"], facts["sample_rate"], facts["hop_length"]) == ("voice", 16000, 50)
    assert facts["lookahead_frames"] == NETWORK.padding
    assert facts["network"]["gru_widths"] == [16]
    assert 0 < facts["multiply_adds_per_sample"] < facts["weights"]
    text = wavejit("info", "voice").text
    assert "mel-wavernn" in text
    assert "random weights" in text


@pytest.mark.parametrize(
    ("name", "rate"),
    [("deepvoice-2-8-16", 16000), ("wavernn-16", 24000), ("wavegru-16", 16000), ("samplernn-16", 16000)],
)
def test_info_of_a_built_in_network(wavejit: Command, name: str, rate: int) -> None:
    facts = json.loads(wavejit("info", name, "--json").text)
    assert set(facts) == FACTS
    assert (facts["model"], facts["sample_rate"], facts["features"]) == (name, rate, None)
