"""Audio files: values survive, and whatever goes wrong leaves the old file and no traceback."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from wavejit.audio import pcm16, read_audio, write_audio
from wavejit.errors import InputError

TONE = (0.5 * np.sin(np.arange(8000) * 2 * np.pi * 440 / 16000)).astype(np.float32)


@pytest.mark.parametrize(
    ("subtype", "tolerance"),
    [
        ("PCM_U8", 2**-7),
        ("PCM_16", 2**-15),
        ("PCM_24", 2**-23),
        ("PCM_32", 2**-24),
        ("FLOAT", 0),
        ("DOUBLE", 0),
    ],
)
def test_reads_every_width(tmp_path: Path, subtype: str, tolerance: float) -> None:
    soundfile.write(tmp_path / "a.wav", TONE, 16000, subtype=subtype)
    samples, rate = read_audio(tmp_path / "a.wav")
    assert (rate, samples.dtype, samples.shape) == (16000, np.float32, (8000,))
    np.testing.assert_allclose(samples, TONE, atol=tolerance)


def test_channels_are_averaged(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.stack([TONE, -0.5 * TONE], axis=1), 16000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav")[0], 0.25 * TONE, atol=1e-7)


def test_long_files_come_back_whole(tmp_path: Path) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (1 << 18) + 5).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", x, 16000, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav")[0], x)


@pytest.mark.parametrize(("rate", "length"), [(24000, 12000), (8000, 4000), (22050, 11025)])
def test_resampling_keeps_the_tone(tmp_path: Path, rate: int, length: int) -> None:
    soundfile.write(tmp_path / "a.wav", TONE, 16000, subtype="FLOAT")
    samples, found = read_audio(tmp_path / "a.wav", rate)
    assert (found, len(samples)) == (rate, length)
    inner = slice(500, -500)
    expected = 0.5 * np.sin(np.arange(length) * 2 * np.pi * 440 / rate)
    np.testing.assert_allclose(samples[inner], expected[inner], atol=1e-4)


def test_resampling_leaves_no_alias(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(np.arange(48000) * 2 * np.pi * 9000 / 48000)
    soundfile.write(tmp_path / "a.wav", tone, 48000, subtype="FLOAT")
    assert np.abs(read_audio(tmp_path / "a.wav", 16000)[0][1000:-1000]).max() < 1e-6


def test_an_overshoot_is_clipped_and_integers_in_floats_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", 2.5 * TONE, 16000, subtype="FLOAT")
    assert np.abs(read_audio(tmp_path / "a.wav")[0]).max() == 1.0
    soundfile.write(tmp_path / "b.wav", 32767 * TONE, 16000, subtype="FLOAT")
    with pytest.raises(InputError, match=r"b\.wav' has samples up to 16383.*expected them in \[-1, 1\]"):
        read_audio(tmp_path / "b.wav")


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    soundfile.write(folder / "empty.wav", np.zeros(0), 16000)
    soundfile.write(folder / "nan.wav", np.array([0.1, np.nan]), 16000, subtype="FLOAT")
    soundfile.write(folder / "whole.flac", TONE, 16000)
    (folder / "cut.flac").write_bytes((folder / "whole.flac").read_bytes()[:60])
    (folder / "noise.wav").write_bytes(os.urandom(1000))
    (folder / "nothing.wav").touch()
    (folder / "a.raw").write_bytes(bytes(100))
    return {
        "empty": (folder / "empty.wav", "no samples"),
        "nan": (folder / "nan.wav", "NaN"),
        "cut": (folder / "cut.flac", "not audio|no samples"),
        "noise": (folder / "noise.wav", "not audio"),
        "nothing": (folder / "nothing.wav", "not audio"),
        "raw": (folder / "a.raw", "not audio"),
        "missing": (folder / "missing.wav", "No such file"),
        "folder": (folder, "is a folder"),
        "device": (Path(os.devnull), "not a regular file"),
        "long name": (folder / ("x" * 300 + ".wav"), "too long"),
        "null": (folder / "a\0b.wav", "null"),
        "through a file": (folder / "noise.wav" / "a.wav", "Not a directory"),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "empty",
        "nan",
        "cut",
        "noise",
        "nothing",
        "raw",
        "missing",
        "folder",
        "device",
        "long name",
        "null",
        "through a file",
    ],
)
def test_what_cannot_be_read_is_one_sentence_with_its_name(tmp_path: Path, kind: str) -> None:
    path, words = bad_files(tmp_path)[kind]
    with pytest.raises(InputError, match=words) as error:
        read_audio(path)
    message = str(error.value)
    assert repr(str(path)) in message
    assert "\n" not in message
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__ or error.value.__context__ is None


def test_one_sample_cannot_be_resampled_to_none(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", TONE[:1], 48000)
    with pytest.raises(InputError, match="0 samples from 48000 to 16000 Hz"):
        read_audio(tmp_path / "a.wav", 16000)
    with pytest.raises(InputError, match="sample_rate is 0"):
        read_audio(tmp_path / "a.wav", 0)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".aiff", ".aif", ".au", ".w64", ".caf", ".WAV"])
def test_lossless_formats_hold_pcm16_exactly(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_audio(path, TONE, 16000)
    assert soundfile.info(path).subtype == "PCM_16"
    np.testing.assert_array_equal(read_audio(path)[0], np.frombuffer(pcm16(TONE), "<i2") / np.float32(32768))


@pytest.mark.parametrize(("suffix", "container"), [(".ogg", "OGG"), (".opus", "OGG"), (".mp3", "MP3"), (".oga", "OGG")])
def test_lossy_formats_sound_alike(tmp_path: Path, suffix: str, container: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_audio(path, np.tile(TONE, 4), 16000)
    assert soundfile.info(path).format == container
    assert (soundfile.info(path).subtype == "OPUS") == (suffix == ".opus")
    samples, _ = read_audio(path, 16000)
    assert np.sqrt(np.mean(samples[4000:20000] ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_raw_is_pcm16(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.raw", TONE, 16000)
    assert (tmp_path / "a.raw").read_bytes() == pcm16(TONE)


@given(st.lists(st.integers(-32768, 32767), min_size=1))
def test_sixteen_bits_survive(values: list[int]) -> None:
    samples = np.array(values, dtype=np.float32) / 32768
    assert np.frombuffer(pcm16(samples), "<i2").tolist() == values


def test_pcm16_rounds_and_clips() -> None:
    assert np.frombuffer(pcm16([2.0, -2.0, 1.0, 0.6 / 32768, -0.6 / 32768, 0.4 / 32768]), "<i2").tolist() == [
        32767,
        -32768,
        32767,
        1,
        -1,
        0,
    ]


@pytest.mark.parametrize(
    ("name", "samples", "rate", "words"),
    [
        ("a.xyz", TONE, 16000, r"suffix '\.xyz'; expected one of .*flac.*wav"),
        ("a", TONE, 16000, "no suffix; expected one of"),
        ("a.wav", TONE[:0], 16000, "at least one"),
        ("a.wav", TONE[None], 16000, r"\(1, 8000\)"),
        ("a.wav", np.zeros(4, dtype=np.int16), 16000, "int16"),
        ("a.wav", np.array([np.inf]), 16000, "infinity"),
        ("a.wav", TONE, 0, "sample_rate is 0"),
        ("a.opus", TONE, 22050, "cannot hold this at 22050 Hz"),
        ("missing/a.wav", TONE, 16000, "No such file"),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path: Path, name: str, samples, rate: int, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        write_audio(tmp_path / name, samples, rate)
    assert repr(str(tmp_path / name)) in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_a_failure_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "a.wav"
    write_audio(path, TONE, 16000)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, step, full)
    with pytest.raises(InputError, match=r"a\.wav' cannot be written: No space left on device"):
        write_audio(path, -TONE, 16000)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_larger_than_the_system_allows_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_audio(path, TONE[:100], 16000)
    before = path.read_bytes()
    code = (
        "import resource, sys, numpy\nfrom wavejit.audio import write_audio\n"
        "from wavejit.errors import InputError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: write_audio(sys.argv[1], numpy.zeros(100_000), 16000)\n"
        "except InputError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert "cannot be written: File too large" in done.stdout
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_devices_and_folders_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "null.wav").symlink_to(os.devnull)
    (tmp_path / "folder.wav").mkdir()
    for name in ("null.wav", "folder.wav"):
        with pytest.raises(InputError, match=r"cannot be written: it is (a folder|not a regular file)"):
            write_audio(tmp_path / name, TONE, 16000)
    assert not Path(os.devnull).is_file()


def test_a_link_and_permissions_stay(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", TONE, 16000)
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "a.wav").stat().st_mode & 0o777 == 0o666 & ~mask
    (tmp_path / "a.wav").chmod(0o640)
    (tmp_path / "link.wav").symlink_to("a.wav")
    write_audio(tmp_path / "link.wav", -TONE, 16000)
    assert (tmp_path / "link.wav").is_symlink()
    assert (tmp_path / "a.wav").stat().st_mode & 0o777 == 0o640
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav")[0], -TONE, atol=1e-4)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"):
        write_audio(tmp_path / "a.wav", TONE, 16000)
