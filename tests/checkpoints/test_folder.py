"""The model folder: it comes back as it was written, is refused by the field, and is never half written."""

import errno
import json
import os
import re
import resource
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.checkpoints.binary_writer import small_features
from tests.checkpoints.small_models import NETWORKS, same, small
from wavejit.audio import PRESETS, BinNormalisation, FeatureContract
from wavejit.audio.postfilter import Postfilter
from wavejit.checkpoints import folder as folder_module
from wavejit.checkpoints.folder import CONFIG, WEIGHTS, read_folder, write_folder
from wavejit.errors import InputError
from wavejit.models.mel_wavernn import MelWaveRNN


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as refused:
        call()
    assert str(refused.value).replace("\0", "").isprintable()  # one line, and nothing that steers a terminal
    return str(refused.value)


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    write_folder(tmp_path / "voice", small("mel-wavernn"))
    return tmp_path / "voice"


@pytest.mark.parametrize("name", NETWORKS)
def test_round_trip(tmp_path: Path, name: str) -> None:
    model = small(name)
    write_folder(tmp_path / "a" / "b" / "voice", model)
    found = read_folder(tmp_path / "a" / "b" / "voice")
    assert same(found, model)
    found.family.step(name, found.network, found.weights)
    assert sorted(os.listdir(tmp_path / "a" / "b" / "voice")) == ["LICENSE", CONFIG, WEIGHTS]
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_published_contract_comes_back(tmp_path: Path, preset: str) -> None:
    check_contract(tmp_path / "voice", PRESETS[preset])


def test_statistics_of_bins_come_back(tmp_path: Path) -> None:
    normalisation = BinNormalisation(mean=(0.1,) * 8, variance=(1 / 3,) * 8)
    check_contract(tmp_path / "voice", msgspec.structs.replace(small_features(), normalisation=normalisation))


def check_contract(folder: Path, contract: FeatureContract) -> None:
    model = small("mel-wavernn")
    network = msgspec.structs.replace(
        model.network, bins=contract.bins, hop_length=contract.hop_length, sample_rate=contract.sample_rate
    )
    model = replace(model, network=network, weights=model.family.random_weights(network), features=contract)
    write_folder(folder, model)
    assert same(read_folder(folder), model)


def test_a_post_filter_comes_back(voice: Path, tmp_path: Path) -> None:
    model = replace(small("mel-wavernn"), postfilter=Postfilter(rounds=3, comb=0.0, overshoot=0.7))
    write_folder(tmp_path / "filtered", model)
    assert read_folder(tmp_path / "filtered").postfilter == model.postfilter
    assert read_folder(voice).postfilter is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"postfilter": {"rounds": 0}}, "postfilter.rounds"),
        ({"postfilter": {"turns": 2}}, "turns"),
        ({"postfilter": 2}, "postfilter"),
        ({"postfilter": {}, "features": small_features().to_dict() | {"preemphasis": 0.9}}, "features.preemphasis"),
    ],
)
def test_a_post_filter_that_cannot_be_is_refused(voice: Path, changes: dict[str, object], message: str) -> None:
    config = json.loads((voice / CONFIG).read_text("utf-8"))
    (voice / CONFIG).write_text(json.dumps(config | changes), "utf-8")
    found = refusal(lambda: read_folder(voice))
    assert str(voice / CONFIG) in found
    assert message in found


def test_ranges_come_back(voice: Path, tmp_path: Path) -> None:
    ranges, clips = {"out.weight": 1 / 3, "hidden.0.weight[:,0:5]": 2.0}, {"out.weight": 0.1}
    for changes in ({"ranges": ranges}, {"clips": clips}, {"ranges": ranges, "clips": clips}):
        write_folder(tmp_path / "calibrated", replace(small("mel-wavernn"), **changes))
        found = read_folder(tmp_path / "calibrated")
        assert {"ranges": found.ranges, "clips": found.clips} == {"ranges": {}, "clips": {}} | changes
    assert read_folder(voice).ranges == read_folder(voice).clips == {}
    assert not {"ranges", "clips"} & set(json.loads((voice / CONFIG).read_text("utf-8")))


@pytest.mark.parametrize("field", ["ranges", "clips"])
@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        (None, " is None, expected an object of weights' names and numbers"),
        ([1.0], " is an array of 1, expected an object of weights' names and numbers"),
        ({"out.weight": 0}, "['out.weight'] is 0, expected a number from 1e-30 to 1e+30"),
        ({"out.weight": -1.5}, "['out.weight'] is -1.5, expected"),
        ({"out.weight": 1e31}, "['out.weight'] is 1e+31, expected"),
        ({"out.weight": 10**400}, "['out.weight'] is 1000000000"),
        ({"out.weight": True}, "['out.weight'] is True, expected"),
        ({"out.weight": "1"}, "['out.weight'] is '1', expected"),
        ({"out.weight": None}, "['out.weight'] is None, expected"),
        ({"a\n\x1b[31m": {}}, r"['a\n\x1b[31m'] is an object of 0, expected"),
    ],
)
def test_ranges_that_cannot_be_are_refused(voice: Path, field: str, ranges: object, message: str) -> None:
    config = json.loads((voice / CONFIG).read_text("utf-8"))
    (voice / CONFIG).write_text(json.dumps(config | {field: ranges}), "utf-8")
    found = refusal(lambda: read_folder(voice))
    assert found.startswith(f"{voice / CONFIG}: {field}{message}")


@pytest.mark.parametrize("field", ["ranges", "clips"])
def test_ranges_that_could_not_be_read_again_are_not_written(tmp_path: Path, field: str) -> None:
    model = replace(small("mel-wavernn"), **{field: {"out.weight": float("nan")}})
    assert f"{field}['out.weight'] is nan" in refusal(lambda: write_folder(tmp_path / "new", model))
    assert os.listdir(tmp_path) == []


def test_files_are_as_documented(voice: Path) -> None:
    config = json.loads((voice / CONFIG).read_text("utf-8"))
    assert list(config) == ["format", "family", "network", "features", "weights", "licence", "provenance"]
    assert (config["format"], config["family"], config["weights"]) == ("wavejit-1", "mel-wavernn", "float32")
    assert config["features"] == small_features().to_dict()
    assert config["network"]["gru_widths"] == [5, 5]
    weights = load_file(voice / WEIGHTS)
    assert all(np.array_equal(weights[name], data) for name, data in small("mel-wavernn").weights.items())
    assert stat.S_IMODE(voice.stat().st_mode) == 0o777 & ~umask()


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# ------------------------------------------------------------------------------------------- config.json


def with_config(voice: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """The refusal of a folder whose configuration was changed."""
    fields = json.loads((voice / CONFIG).read_text())
    change(fields)
    (voice / CONFIG).write_text(json.dumps(fields))
    message = refusal(lambda: read_folder(voice))
    assert str(voice / CONFIG) in message
    return message


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("format", "wavejit-2", "format is 'wavejit-2', expected wavejit-1"),
        ("format", None, "format is None, expected text"),
        ("family", "lpcnet", "family is 'lpcnet', expected one of wavenet, wavernn, mel-wavernn, wavegru, mel-"),
        ("family", ["wavenet"], "family is an array of 1, expected text"),
        ("family", "x" * 10_000, "family is 'xxxx"),
        ("family", "a\nb", r"family is 'a\\nb'"),
        ("weights", "int8", "weights is 'int8', expected float32"),
        ("licence", 3, "licence is 3, expected text"),
        ("extra", 1, "'extra' is not a field, expected format, family"),
        ("new\nline", 1, r"'new\\nline' is not a field"),
        ("network", None, "network is None, expected object"),
        ("network", [], "network is an array of 0, expected object"),
        ("network", "x", "network is 'x', expected object"),
        ("network.bins", "8", "network.bins is '8', expected int"),
        ("network.bins", 8.5, "network.bins is 8.5, expected int"),
        ("network.bins", 0, "network.bins is 0, expected int >= 1"),
        ("network.bins", 9, r"features.bins is 8, expected 9 as in the network"),
        ("network.hop_length", 10**400, "network.hop_length|number out of range"),
        ("network.hop_length", 5, "features.hop_length is 6, expected 5 as in the network"),
        ("network.sample_rate", 16000, "features.sample_rate is 8000, expected 16000"),
        ("network.sample_rate", 0, "network.sample_rate is 0, expected int >= 1"),
        ("network.sample_rate", True, "network.sample_rate is True, expected int"),
        ("network.gru_widths", [5, 6], "network.gru_widths are .5, 6., expected equal widths"),
        ("network.gru_widths", [], "network.gru_widths is an array of 0, expected array of length >= 1"),
        ("network.gru_widths", [5, "x"], "network.gru_widths.* expected int"),
        ("network.auxiliary", [[0, 2]], "network.auxiliary has 1 parts, expected 3"),
        ("network.auxiliary", [[0, 2], [2, 2], [4, 4]], r"network.auxiliary has a part \[4, 4\], expected"),
        ("network.auxiliary", [[0, 2], [2, 2], [4, 4, 4]], r"network.auxiliary.*expected array of length 2"),
        ("network.output", "gaussian", "network.output: invalid enum value 'gaussian'"),
        ("network.output", "a\n\x1b[31m", r"network.output: invalid enum value 'a\\n\\x1b\[31m'"),
        ("network.extra", 1, "network has a field 'extra', which is not one that it knows"),
        ("network.deemphasis", 1.0, "network.deemphasis is 1.0, expected float < 1.0"),
        ("features", None, "features is missing, expected the contract of its 8 bins"),
        ("features", 7, "features is 7, expected object"),
        ("features.hop_length", 0, "features.hop_length is 0; expected a whole number from 1"),
        ("features.hop_length", "6", "features.hop_length is '6', expected int"),
        ("features.f_max", 9000.0, "features.f_max is 9000.0; expected from 1 to 4000 Hz"),
        ("features.mel_scale", "bark", "features.mel_scale: invalid enum value 'bark'"),
        ("features.extra", {}, "features has a field 'extra'"),
        ("features.normalisation", {"type": "range", "low": "x"}, "features.normalisation.low is 'x', expected"),
        ("features.normalisation", {"type": "bins", "mean": [1], "variance": [1]}, "features.normalisation.mean"),
        ("features.normalisation", {"type": "none"}, "features.normalisation.type: invalid value 'none'"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(voice: Path, field: str, value: object, message: str) -> None:
    def change(fields: dict[str, Any]) -> None:
        *groups, last = field.split(".")
        for group in groups:
            fields = fields[group]
        fields[last] = value

    found = with_config(voice, change)
    assert len(found) < 500
    assert re.search(message, found), found


@pytest.mark.parametrize("field", ["family", "network", "network.bins", "features.f_max", "features.bins"])
def test_a_missing_field_is_named(voice: Path, field: str) -> None:
    def change(fields: dict[str, Any]) -> None:
        *groups, last = field.split(".")
        for group in groups:
            fields = fields[group]
        del fields[last]

    assert field in with_config(voice, change)


def test_an_unconditional_network_has_no_features(tmp_path: Path) -> None:
    write_folder(tmp_path / "voice", small("unconditional wavernn"))
    message = with_config(tmp_path / "voice", lambda c: c.update(features=small_features().to_dict()))
    assert "features is present, expected none: the network is unconditional" in message


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b"[" * 100_000, b"{" + b'"a":{' * 5000, b"\xff\xfe", b'"\\ud800"', b"\0" * 100,
     b"1" * 100_000, b"{} {}", b"NaN", b'{"a": 1e999}', b" " * (1 << 20) + b" "],
)  # fmt: skip
def test_what_is_no_configuration_is_refused(voice: Path, text: bytes) -> None:
    (voice / CONFIG).write_bytes(text)
    message = refusal(lambda: read_folder(voice))
    assert str(voice / CONFIG) in message
    assert len(message) < 500


# -------------------------------------------------------------------------------------- model.safetensors


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.uint8, np.bool_])
def test_weights_of_another_type_are_refused_by_name(voice: Path, dtype: type) -> None:
    weights = dict(small("mel-wavernn").weights)
    save_file(weights | {"inputs.bias": weights["inputs.bias"].astype(dtype)}, voice / WEIGHTS)
    message = refusal(lambda: read_folder(voice))
    assert f"{voice / WEIGHTS}: weight inputs.bias has dtype" in message
    assert "expected F32" in message


def test_bfloat16_is_refused_by_name(voice: Path) -> None:
    header = b'{"inputs.bias":{"dtype":"BF16","shape":[5],"data_offsets":[0,10]}}'
    (voice / WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header + bytes(10))
    assert "weight inputs.bias has dtype BF16" in refusal(lambda: read_folder(voice))


def test_wrong_weights_are_refused_by_name(voice: Path) -> None:
    weights = dict(small("mel-wavernn").weights)
    bias = weights["out.bias"]
    for wrong, message in (
        ({k: v for k, v in weights.items() if k != "out.bias"}, r"weight out.bias \(8,\) is missing"),
        (weights | {"out.bias": bias[:3]}, r"weight out.bias has shape \(3,\), expected \(8,\)"),
        (weights | {"out.bias": bias[:, None]}, r"weight out.bias has shape \(8, 1\)"),
        (weights | {"out.bias": bias * np.float32(np.nan)}, "weight out.bias holds NaN"),
        (weights | {"out.bias": bias + np.float32(np.inf)}, "weight out.bias holds NaN or infinite"),
        (weights | {"more\nweights": bias}, r"weight 'more\\nweights' is not one that the family mel-wavernn knows"),
    ):
        save_file(wrong, voice / WEIGHTS)
        assert re.search(message, found := refusal(lambda: read_folder(voice))), found
        assert str(voice / WEIGHTS) in found


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 7, b"\0" * 8, b"\xff" * 8, b"\xff" * 100, (2).to_bytes(8, "little") + b"{}",
     (10**9).to_bytes(8, "little") + b"{}", (3).to_bytes(8, "little") + b"[1]", b"PK\x03\x04" + b"\0" * 50,
     (17).to_bytes(8, "little") + b'{"a":["\\u001b["]}'],
)  # fmt: skip
def test_what_is_no_safetensors_file_is_refused(voice: Path, content: bytes) -> None:
    (voice / WEIGHTS).write_bytes(content)
    assert str(voice / WEIGHTS) in refusal(lambda: read_folder(voice))


def test_a_header_that_announces_more_than_there_is_is_refused(voice: Path) -> None:
    header = b'{"out.bias":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'
    (voice / WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))
    assert str(voice / WEIGHTS) in refusal(lambda: read_folder(voice))


# ------------------------------------------------------------------------------------------ missing files


def test_missing_files_and_folders_in_their_place(voice: Path, tmp_path: Path) -> None:
    assert "no-such" in refusal(lambda: read_folder(tmp_path / "no-such"))
    for name in (WEIGHTS, CONFIG):
        (voice / name).unlink()
        assert str(voice / name) in refusal(lambda: read_folder(voice))
        (voice / name).mkdir()
        assert "is a folder; expected a file" in refusal(lambda: read_folder(voice))
    (tmp_path / "file").write_bytes(b"")
    assert str(tmp_path / "file") in refusal(lambda: read_folder(tmp_path / "file"))
    assert "null" in refusal(lambda: read_folder(Path("a\0b")))


def test_loops_and_devices_are_refused(voice: Path) -> None:
    for name in (WEIGHTS, CONFIG):
        (voice / name).unlink()
        (voice / name).symlink_to(voice / name)
        assert "cannot be read" in refusal(lambda: read_folder(voice))
        (voice / name).unlink()
        os.mkfifo(voice / name)  # to open it would wait for ever
        assert "is not a regular file" in refusal(lambda: read_folder(voice))


def test_permissions_are_told(voice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    message = refusal(lambda: read_folder(voice))
    assert message == f"{voice / CONFIG}: cannot be read: Permission denied"


# ---------------------------------------------------------------------------------------------- writing


def entries(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_model_is_replaced_whole(voice: Path) -> None:
    os.chmod(voice, 0o750)
    write_folder(voice, small("unconditional wavenet", licence_text=""))
    assert same(read_folder(voice), small("unconditional wavenet", licence_text=""))
    assert entries(voice) == [CONFIG, WEIGHTS]  # the licence was the other model's
    assert stat.S_IMODE(voice.stat().st_mode) == 0o750
    assert os.listdir(voice.parent) == ["voice"]


def test_an_empty_folder_and_a_link_are_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    write_folder(tmp_path / "link", small("wavernn"))
    assert (tmp_path / "link").is_symlink()
    assert same(read_folder(tmp_path / "empty"), small("wavernn"))
    assert sorted(os.listdir(tmp_path)) == ["empty", "link"]


def test_a_relative_path_and_a_long_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(Path("v" * 250), small("wavernn"))
    assert same(read_folder(Path("v" * 250)), small("wavernn"))
    assert "cannot be written: File name too long" in refusal(lambda: write_folder(Path("v" * 300), small("wavernn")))
    assert os.listdir(tmp_path) == ["v" * 250]


def test_other_files_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_bytes(b"mine")
    (tmp_path / "loop").symlink_to("loop")
    before = entries(tmp_path)
    model = small("wavernn")
    assert "is a file, expected a folder" in refusal(lambda: write_folder(tmp_path / "file", model))
    assert "holds other files" in refusal(lambda: write_folder(tmp_path / "folder", model))
    assert "cannot be written" in refusal(lambda: write_folder(tmp_path / "file" / "voice", model))
    assert "cannot be written" in refusal(lambda: write_folder(tmp_path / "loop", model))
    assert "cannot be written" in refusal(lambda: write_folder(tmp_path / "a\0b", model))
    assert entries(tmp_path) == before
    assert (tmp_path / "file").read_bytes() == b"mine"


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch, fails: str) -> Iterator[None]:
    """A disk that fills up: `fails` names the call, or limits what a file may hold."""
    with monkeypatch.context() as patch:
        if fails == "file size":
            soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2500, hard))  # config.json fits, the weights do not
            try:
                yield
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            return

        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        module, _, name = fails.rpartition(".")
        patch.setattr({"os": os, "tempfile": folder_module.tempfile, "Path": Path}[module], name, full)
        yield


FAILURES = ["os.fsync", "os.rename", "tempfile.mkdtemp", "Path.open", "Path.mkdir", "file size"]


@pytest.mark.parametrize("fails", FAILURES)
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    with full_disk(monkeypatch, fails):
        message = refusal(lambda: write_folder(tmp_path / "new", small("mel-wavernn")))
    assert message.startswith(f"{tmp_path / 'new'}: cannot be written: ")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("fails", FAILURES)
def test_a_full_disk_leaves_the_model_that_was_there(voice: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    with full_disk(monkeypatch, fails):
        refusal(lambda: write_folder(voice, replace(small("mel-wavernn"), provenance="another")))
    assert same(read_folder(voice), small("mel-wavernn"))
    assert os.listdir(voice.parent) == ["voice"]


def test_a_move_that_fails_midway_is_undone(voice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename, moves = os.rename, []

    def second_fails(source: Path, target: Path) -> None:
        moves.append(target)
        if len(moves) == 2:
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", second_fails)
    assert "Input/output error" in refusal(lambda: write_folder(voice, small("wavernn")))
    assert len(moves) == 3
    assert same(read_folder(voice), small("mel-wavernn"))
    assert os.listdir(voice.parent) == ["voice"]


def test_a_model_that_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    model = small("mel-wavernn")
    assert isinstance(model.network, MelWaveRNN)
    bias = model.weights["out.bias"]
    for broken, message in (
        (replace(model, weights=model.weights | {"out.bias": bias * np.float32(np.nan)}), "out.bias holds NaN"),
        (replace(model, features=None), "features is missing"),
        (replace(model, features=small_features(bins=9)), "features.bins is 9, expected 8"),
        (replace(model, network=msgspec.structs.replace(model.network, classes=1)), "network.classes is 1"),
        (replace(model, network=msgspec.structs.replace(model.network, sample_rate=-1)), "network.sample_rate is -1"),
    ):
        assert message in refusal(lambda broken=broken: write_folder(tmp_path / "voice", broken))
    assert os.listdir(tmp_path) == []


def test_importing_the_package_is_light() -> None:
    # In a package of its own: `wavejit` itself decides what else a user's import costs.
    code = (
        "import sys, types; package = types.ModuleType('wavejit'); package.__path__ = [sys.argv[1]];"
        "sys.modules['wavejit'] = package; import wavejit.checkpoints;"
        "print(*(m for m in ('numpy', 'safetensors', 'soundfile', 'msgspec', 'torch') if m in sys.modules))"
    )
    source = str(Path(folder_module.__file__).parents[1])
    found = subprocess.run([sys.executable, "-c", code, source], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_importing_the_folder_reads_no_safetensors() -> None:
    code = "import sys, wavejit.checkpoints.folder; print('safetensors' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
