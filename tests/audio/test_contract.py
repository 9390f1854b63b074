"""The contract refuses what cannot be, and survives its own JSON."""

import json
import subprocess
import sys

import msgspec
import pytest

from wavejit.audio import PRESETS, BinNormalisation, FeatureContract, RangeNormalisation
from wavejit.errors import InputError

BASE = PRESETS["tacotron2"]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_json(name: str) -> None:
    contract = PRESETS[name]
    assert FeatureContract.from_dict(json.loads(json.dumps(contract.to_dict()))) == contract


def test_bin_statistics_survive_json() -> None:
    statistics = BinNormalisation(mean=(0.5,) * 80, variance=(2.0,) * 80)
    contract = msgspec.structs.replace(PRESETS["parallel-wavegan"], normalisation=statistics)
    assert FeatureContract.from_dict(json.loads(json.dumps(contract.to_dict()))) == contract


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sample_rate", 0),
        ("sample_rate", 22050.0),
        ("hop_length", -1),
        ("hop_length", True),
        ("window_length", 1025),
        ("n_fft", 1 << 20),
        ("bins", 0),
        ("f_min", -1.0),
        ("f_min", 8000.0),
        ("f_max", 11026.0),
        ("f_max", float("nan")),
        ("f_max", 10**400),
        ("mel_scale", "bark"),
        ("mel_norm", None),
        ("magnitude_power", 1.5),
        ("centre", "left"),
        ("log", "log2"),
        ("floor", 0.0),
        ("floor", float("inf")),
        ("preemphasis", 1.0),
        ("normalisation", "range"),
    ],
)
def test_an_impossible_value_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"{field} is .*; expected "):
        msgspec.structs.replace(BASE, **{field: value})


@pytest.mark.parametrize(
    ("normalisation", "field"),
    [
        (RangeNormalisation(), "log"),
        (BinNormalisation(mean=(0.0,) * 79, variance=(1.0,) * 80), r"normalisation\.mean"),
        (BinNormalisation(mean=(0.0,) * 80, variance=(0.0,) * 80), r"normalisation\.variance"),
        (BinNormalisation(mean=(float("nan"),) * 80, variance=(1.0,) * 80), r"normalisation\.mean"),
    ],
)
def test_a_normalisation_that_does_not_fit_is_refused(normalisation: object, field: str) -> None:
    with pytest.raises(InputError, match=f"{field} is .*; expected "):
        msgspec.structs.replace(BASE, normalisation=normalisation)


@pytest.mark.parametrize("changes", [{"minimum_db": 0.0}, {"low": 1.0}, {"reference_db": float("inf")}])
def test_an_impossible_range_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"normalisation\.\w+ is "):
        msgspec.structs.replace(PRESETS["fatchord"], normalisation=RangeNormalisation(**changes))


@pytest.mark.parametrize(
    ("change", "word"),
    [({"hop": 256}, "hop"), ({"bins": "80"}, "bins"), ({"log": "log2"}, "log"), ({"n_fft": 2**80}, "n_fft")],
)
def test_a_dictionary_is_refused_by_file_and_field(change: dict[str, object], word: str) -> None:
    with pytest.raises(InputError, match=rf"^model/config\.json: .*{word}"):
        FeatureContract.from_dict({**BASE.to_dict(), **change}, source="model/config.json")


def test_a_missing_field_is_named() -> None:
    fields = BASE.to_dict()
    del fields["hop_length"]
    with pytest.raises(InputError, match="hop_length"):
        FeatureContract.from_dict(fields)


@pytest.mark.parametrize(
    ("centre", "frames"), [("reflect", 11), ("zero", 11), ("same", 10), ("none", 7)], ids=lambda v: str(v)
)
def test_frames_of_ten_hops(centre: str, frames: int) -> None:
    assert msgspec.structs.replace(BASE, centre=centre).frames(2560) == frames


def test_importing_audio_loads_no_codec() -> None:
    code = "import sys, wavejit.audio; print({'soundfile', 'soxr', 'safetensors', 'librosa'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
