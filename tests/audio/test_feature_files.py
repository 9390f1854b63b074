"""Feature files: what agrees comes back, what converts exactly is converted, the rest is refused by name."""

import contextlib
import io
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save_file

from wavejit.audio import (
    PRESETS,
    BinNormalisation,
    mel_features,
    read_features,
    untrusted_arrays,
    write_audio,
    write_features,
)
from wavejit.errors import InputError

CONTRACT = PRESETS["tacotron2"]
FEATURES = np.random.default_rng(0).normal(-4, 2, (30, 80)).astype(np.float32)
SUFFIXES = [".npy", ".npz", ".safetensors"]


def save(path: Path, array: NDArray[Any], name: str = "features", **metadata: Any) -> Path:
    match path.suffix:
        case ".npy":
            np.save(path, array)
        case ".npz":
            fields: dict[str, Any] = {name: array, **{k: np.array(v) for k, v in metadata.items()}}
            np.savez(path, **fields)
        case ".safetensors":
            save_file({name: array}, path, metadata={k: str(v) for k, v in metadata.items()})
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("preset", PRESETS)
def test_round_trip(tmp_path: Path, suffix: str, preset: str) -> None:
    contract = PRESETS[preset]
    features = np.resize(FEATURES, (30, contract.bins))
    path = tmp_path / f"a{suffix}"
    write_features(path, features, contract)
    read = read_features(path, contract)
    assert (read.dtype, read.flags.c_contiguous) == (np.float32, True)
    np.testing.assert_array_equal(read, features)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("shape", ["bins first", "batch", "batch, bins first", "float64", "float16", "fortran"])
def test_layouts_that_others_write(tmp_path: Path, suffix: str, shape: str) -> None:
    layouts = {
        "bins first": np.ascontiguousarray(FEATURES.T),
        "batch": FEATURES[None],
        "batch, bins first": np.ascontiguousarray(FEATURES.T[None]),
        "float64": FEATURES.astype(np.float64),
        "float16": FEATURES.astype(np.float16),
        "fortran": np.asfortranarray(FEATURES) if suffix != ".safetensors" else FEATURES,
    }
    path = save(tmp_path / f"a{suffix}", layouts[shape])
    np.testing.assert_allclose(read_features(path, CONTRACT), FEATURES, rtol=1e-3 if shape == "float16" else 0)


def test_big_endian_numbers_are_read(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npy", FEATURES.astype(">f4"))
    np.testing.assert_array_equal(read_features(path, CONTRACT), FEATURES)


def test_where_both_axes_fit_the_first_is_time(tmp_path: Path) -> None:
    square = np.arange(6400, dtype=np.float32).reshape(80, 80)
    np.testing.assert_array_equal(read_features(save(tmp_path / "a.npy", square), CONTRACT), square)


@pytest.mark.parametrize("name", ["mel", "anything"])
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_the_array_is_found(tmp_path: Path, name: str, suffix: str) -> None:
    path = save(tmp_path / f"a{suffix}", FEATURES, name=name)
    np.testing.assert_array_equal(read_features(path, CONTRACT), FEATURES)


def test_one_of_several_arrays_must_have_a_known_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", mel=FEATURES, f0=FEATURES[:, 0])
    np.testing.assert_array_equal(read_features(tmp_path / "a.npz", CONTRACT), FEATURES)
    np.savez(tmp_path / "b.npz", x=FEATURES, y=FEATURES)
    with pytest.raises(InputError, match="arrays x, y; expected one named features or mel"):
        read_features(tmp_path / "b.npz", CONTRACT)


def test_features_of_audio_are_taken_at_the_contracts_rate(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(np.arange(44100) * 0.05)
    write_audio(tmp_path / "a.wav", tone[:22050], 22050)
    expected = mel_features(tone[:22050], CONTRACT)
    np.testing.assert_allclose(read_features(tmp_path / "a.wav", CONTRACT).mean(), expected.mean(), atol=0.5)
    write_audio(tmp_path / "b.wav", tone, 44100)
    assert read_features(tmp_path / "b.wav", CONTRACT).shape == expected.shape
    write_audio(tmp_path / "c.wav", tone[:100], 22050)
    with pytest.raises(InputError, match=r"c\.wav' has 100 samples; expected at least 1024"):
        read_features(tmp_path / "c.wav", msgspec.structs.replace(CONTRACT, centre="none"))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((30, 80), dtype=np.int16), "int16"),
        (np.zeros((30, 80), dtype=np.complex64), "complex64|C64"),
        (np.zeros((30, 81), dtype=np.float32), r"\(30, 81\); expected \(frames, 80\)"),
        (np.zeros((0, 80), dtype=np.float32), "no frames"),
        (np.zeros(80, dtype=np.float32), r"\(80,\)"),
        (np.zeros((2, 30, 80), dtype=np.float32), r"\(2, 30, 80\)"),
        (np.full((30, 80), np.nan, dtype=np.float32), "nan in frame 0, bin 0"),
        (np.full((30, 80), -np.inf, dtype=np.float32), "-inf"),
        (np.full((30, 80), 1e300), "inf"),
    ],
)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_wrong_arrays_are_named(tmp_path: Path, suffix: str, array: NDArray[Any], words: str) -> None:
    if suffix == ".safetensors":
        words = words.replace("int16", "I16")
    path = save(tmp_path / f"a{suffix}", array)
    with pytest.raises(InputError, match=words) as error:
        read_features(path, CONTRACT)
    assert repr(str(path)) in str(error.value)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("sample_rate", 24000, "sample_rate is 24000; expected 22050"),
        ("hop_length", 300, "hop_length is 300; expected 256"),
        ("f_max", 7600.0, "f_max is 7600; expected 8000"),
        ("mel_scale", "htk", "mel_scale is htk; expected slaney"),
        ("log", "none", "log is none; expected natural"),
        ("log", "log2", "log is log2; expected natural"),
        ("floor", 1e-4, "floor is 0.0001; expected 1e-05"),
        ("bins", "many", "bins is 'many'; expected 80"),
        ("normalisation", '{"type":"range"}', "normalisation is RangeNormalisation.*; expected none"),
        ("normalisation", "{", "normalisation is '{'; expected none"),
    ],
)
def test_metadata_that_disagrees_is_refused(tmp_path: Path, suffix: str, field: str, value: Any, words: str) -> None:
    path = save(tmp_path / f"a{suffix}", FEATURES, **{field: value})
    with pytest.raises(InputError, match=words) as error:
        read_features(path, CONTRACT)
    assert repr(str(path)) in str(error.value)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_metadata_that_agrees_or_is_unknown_is_accepted(tmp_path: Path, suffix: str) -> None:
    fields = {
        "sample_rate": 22050,
        "floor": np.float32(1e-5),
        "log": "natural",
        "normalisation": "none",
        "by": "x",
    }
    path = save(tmp_path / f"a{suffix}", FEATURES, **fields)
    np.testing.assert_array_equal(read_features(path, CONTRACT), FEATURES)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("wanted", ["natural", "log10", "decibel"])
@pytest.mark.parametrize("found", ["natural", "log10", "decibel"])
def test_logarithms_are_converted(tmp_path: Path, suffix: str, wanted: str, found: str) -> None:
    x = np.random.default_rng(0).uniform(-0.5, 0.5, 5000)
    theirs, ours = (msgspec.structs.replace(CONTRACT, log=log) for log in (found, wanted))
    write_features(tmp_path / f"a{suffix}", mel_features(x, theirs), theirs)
    np.testing.assert_allclose(read_features(tmp_path / f"a{suffix}", ours), mel_features(x, ours), rtol=2e-6)


def test_normalised_logarithms_are_not_converted(tmp_path: Path) -> None:
    statistics = BinNormalisation(mean=(0.0,) * 80, variance=(1.0,) * 80)
    theirs = msgspec.structs.replace(CONTRACT, normalisation=statistics)
    write_features(tmp_path / "a.npz", FEATURES, theirs)
    with pytest.raises(InputError, match="log is natural; expected log10"):
        read_features(tmp_path / "a.npz", msgspec.structs.replace(theirs, log="log10"))


def header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (header((1 << 40, 80)), "announces .* the file holds 320"),
        (header((2**62, 2**62, 80)), "announces"),
        (header((0, 2**62, 2**62)), "an array can have"),
        (header((1,) * 70), "an array can have"),
        (header((4, 80)).replace(b"4, ", b"4  "), "whole numbers between commas"),
        (header((-4, 80)), "without descr, fortran_order and shape"),
        (header((4, 80), "|O"), "dtype object"),
        (header((4, 80), "|V4"), "V4"),
        (header((4, 80), "<f3"), "dtype <f3"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535, "header"),
        (b"\x93NUMPY\x02\x00" + b"\xff" * 100, "header of 4294967295 bytes"),
        (b"\x93NUMPY\x04\x00" + bytes(100), "version 1, 2 or 3"),
        (b"\x93NUMPY", "header"),
        (b"", "header"),
        (b"PK not NumPy", "header"),
    ],
)
def test_hostile_npy_headers(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.npy").write_bytes(content + bytes(320))
    with pytest.raises(InputError, match=words):
        read_features(tmp_path / "a.npy", CONTRACT)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("features.npy", content + bytes(320))
    with pytest.raises(InputError, match=words):
        read_features(tmp_path / "a.npz", CONTRACT)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    bomb = np.array([Bomb()], dtype=object)
    np.save(tmp_path / "a.npy", bomb, allow_pickle=True)
    np.savez(tmp_path / "a.npz", features=bomb)
    np.savez(tmp_path / "b.npz", features=FEATURES, log=np.array(Bomb(), dtype=object))
    for name in ("a.npy", "a.npz", "b.npz"):
        with pytest.raises(InputError, match="dtype object"):
            read_features(tmp_path / name, CONTRACT)
    assert not (tmp_path / "exploded").exists()


def test_decompression_bombs_are_refused_before_they_expand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untrusted_arrays, "MAX_BYTES", 1 << 20)
    np.savez_compressed(tmp_path / "a.npz", features=np.zeros((10_000, 80), dtype=np.float32))
    assert (tmp_path / "a.npz").stat().st_size < 50_000
    np.save(tmp_path / "a.npy", np.zeros((10_000, 80), dtype=np.float32))
    save_file({"features": np.zeros((10_000, 80), dtype=np.float32)}, tmp_path / "a.safetensors")
    np.savez_compressed(tmp_path / "b.npz", features=FEATURES, log=np.array("x" * 200_000))
    for name in ("a.npz", "a.npy", "a.safetensors", "b.npz"):
        with pytest.raises(InputError, match=r"has \d+ bytes; expected at most"):
            read_features(tmp_path / name, CONTRACT)


def test_archives_of_another_kind_are_refused(tmp_path: Path) -> None:
    npy = io.BytesIO()
    np.save(npy, FEATURES)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("features.npy", npy.getvalue())
    with pytest.raises(InputError, match="compression 14"):
        read_features(tmp_path / "a.npz", CONTRACT)
    with zipfile.ZipFile(tmp_path / "b.npz", "w"):
        pass
    with pytest.raises(InputError, match="arrays none"):
        read_features(tmp_path / "b.npz", CONTRACT)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    suffix=st.sampled_from(SUFFIXES),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 10**6),
)
def test_damaged_files_raise_input_errors_only(
    tmp_path: Path, suffix: str, changes: list[tuple[int, int]], cut: int
) -> None:
    path = tmp_path / f"a{suffix}"
    write_features(path, FEATURES[:2], CONTRACT)
    content = bytearray(path.read_bytes())
    for place, value in changes:
        # Half of the changes hit the first bytes, where headers are.
        content[place % (len(content) if place % 2 else 150)] = value
    path.write_bytes(content[: cut % len(content)] if cut % 3 == 0 else content)
    with contextlib.suppress(InputError):
        features = read_features(path, CONTRACT)
        assert features.shape[1] == 80
        assert np.isfinite(features).all()


@pytest.mark.parametrize(
    ("name", "features", "words"),
    [
        ("a.txt", FEATURES, r"suffix '\.txt'; expected \.npy, \.npz or \.safetensors"),
        ("a.npy", FEATURES[:, :79], r"\(30, 79\); expected floats of shape \(frames, 80\)"),
        ("a.npy", FEATURES[:0], r"\(0, 80\)"),
        ("a.npy", np.full((1, 80), np.nan), "nan in frame 0, bin 0"),
        ("missing/a.npz", FEATURES, "cannot be written: No such file"),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path: Path, name: str, features: NDArray[Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        write_features(tmp_path / name, features, CONTRACT)
    assert repr(str(tmp_path / name)) in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["missing.npy", ""])
def test_missing_files_and_folders(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"No such file|is a folder"):
        read_features(tmp_path / name, CONTRACT)
