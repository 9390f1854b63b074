"""`wavejit vocode`: what it writes, and that the same choices give the same bytes."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.cli.command import Command
from tests.cli.small_voice import FEATURES, FRAMES, HOP, SAMPLE_RATE, random_features, tone
from wavejit import load
from wavejit.audio import log_mel_correlation, mel_features, pcm16, read_audio, write_audio, write_features

pytestmark = pytest.mark.usefixtures("workplace")


def samples(path: str) -> bytes:
    return soundfile.read(path, dtype="int16")[0].tobytes()


RECORDED = FEATURES.frames(len(tone()))


@pytest.mark.parametrize(("source", "frames"), [("a.npz", FRAMES), ("b.npy", 1), ("c.wav", RECORDED)])
def test_features_and_recordings_become_audio(wavejit: Command, source: str, frames: int) -> None:
    result = wavejit("vocode", source, "-m", "voice", "-o", "out.wav")
    assert result.text == ""
    assert "out.wav: " in result.stderr
    assert "x real time" in result.stderr
    info = soundfile.info("out.wav")
    assert (info.samplerate, info.channels, info.subtype) == (SAMPLE_RATE, 1, "PCM_16")
    assert info.frames == frames * HOP


def test_features_in_safetensors_give_what_those_in_npz_give(wavejit: Command) -> None:
    write_features("a.safetensors", random_features(), FEATURES)
    for source in ("a.npz", "a.safetensors"):
        assert wavejit("vocode", source, "-m", "voice", "-o", f"{source}.wav").status == 0
    assert samples("a.npz.wav") == samples("a.safetensors.wav")


def test_the_file_holds_what_the_package_generates(wavejit: Command) -> None:
    assert wavejit("vocode", "a.npz", "-m", "voice", "-o", "out.wav", "--seed", "7").status == 0
    assert samples("out.wav") == pcm16(load("voice").compile().generate(random_features(), seed=7))


def test_copy_synthesis_takes_the_features_that_the_model_wants(wavejit: Command) -> None:
    assert wavejit("features", "c.wav", "-m", "voice", "-o", "c.npz").status == 0
    for source in ("c.wav", "c.npz"):
        assert wavejit("vocode", source, "-m", "voice", "-o", f"{source}.wav").status == 0
    assert samples("c.wav.wav") == samples("c.npz.wav")


@pytest.mark.parametrize("kind", ["stereo", "integer", "another rate"])
def test_recordings_are_converted(wavejit: Command, kind: str) -> None:
    match kind:
        case "stereo":
            soundfile.write("d.flac", np.stack([tone(), tone()], axis=1), SAMPLE_RATE)
        case "integer":
            soundfile.write("d.flac", (tone() * 32768).astype(np.int16), SAMPLE_RATE)
        case _:
            write_audio("d.flac", tone(), 22050)
    result = wavejit("vocode", "d.flac", "-m", "voice", "-o", "out.wav")
    assert result.status == 0, result.stderr
    length = len(tone()) if kind != "another rate" else round(len(tone()) * SAMPLE_RATE / 22050)
    assert soundfile.info("out.wav").frames == FEATURES.frames(length) * HOP


def test_several_inputs_fill_a_folder(wavejit: Command) -> None:
    assert wavejit("vocode", "a.npz", "b.npy", "c.wav", "-m", "voice", "-o", "made").text == ""
    assert sorted(path.name for path in Path("made").iterdir()) == ["a.wav", "b.wav", "c.wav"]
    assert wavejit("vocode", "a.npz", "-m", "voice", "-o", "alone.wav").status == 0
    assert samples("made/a.wav") == samples("alone.wav")  # those beside it change nothing


def test_an_output_that_is_a_folder_is_written_into(wavejit: Command) -> None:
    Path("made").mkdir()
    assert wavejit("vocode", "a.npz", "-m", "voice", "-o", "made").status == 0
    assert soundfile.info("made/a.wav").frames == FRAMES * HOP


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_the_suffix_names_the_format(wavejit: Command, suffix: str) -> None:
    assert wavejit("vocode", "a.npz", "-m", "voice", "-o", f"out.{suffix}").status == 0
    assert read_audio(f"out.{suffix}")[1] == SAMPLE_RATE


def test_raw_output_is_the_samples_of_the_file(wavejit: Command) -> None:
    raw = wavejit("vocode", "a.npz", "c.wav", "-m", "voice", "--output-raw")
    assert raw.status == 0
    assert wavejit("vocode", "a.npz", "c.wav", "-m", "voice", "-o", "made").status == 0
    assert raw.stdout == samples("made/a.wav") + samples("made/c.wav")


def test_the_same_seed_gives_the_same_bytes(wavejit: Command) -> None:
    def spoken(*options: str) -> bytes:
        result = wavejit("vocode", "a.npz", "-m", "voice", "--output-raw", *options)
        assert result.status == 0, result.stderr
        return result.stdout

    assert spoken() == spoken("--seed", "0")
    assert spoken("--seed", "5") == spoken("--seed", "5")
    assert spoken("--seed", "5") != spoken("--seed", "6")
    assert spoken("--seed", str(2**64 - 1)) != spoken("--seed", "0")
    # The likeliest sample is the same whatever was drawn.
    assert spoken("--temperature", "0", "--seed", "5") == spoken("--temperature", "0", "--seed", "6")


@pytest.mark.parametrize(
    "options", [("--backend", "reference"), ("--target", "generic"), ("--accuracy", "fast")], ids=" ".join
)
def test_other_ways_to_compute_give_audio_as_long(wavejit: Command, options: tuple[str, str]) -> None:
    assert wavejit("vocode", "b.npy", "-m", "voice", "-o", "out.wav", *options).status == 0
    assert soundfile.info("out.wav").frames == HOP


@pytest.mark.parametrize("threads", ["2", "auto"])
def test_threads_change_nothing_that_is_heard(wavejit: Command, threads: str) -> None:
    for count, out in (("1", "one.wav"), (threads, "more.wav")):
        assert wavejit("vocode", "a.npz", "-m", "voice", "-o", out, "--threads", count).status == 0
    assert samples("one.wav") == samples("more.wav")


def test_the_fastest_precision_is_said(wavejit: Command) -> None:
    result = wavejit("vocode", "b.npy", "-m", "voice", "-o", "out.wav", "--precision", "auto")
    assert result.status == 0
    assert any(f"{name} weights" in result.stderr for name in ("float32", "bfloat16", "float16", "int16"))


def test_a_trained_voice_sounds_like_its_recording(wavejit: Command, shared: Path, here: Path) -> None:
    folder = shared / "checkpoints" / "geneing_wavernn"
    result = wavejit("import", folder / "model.bin", "-o", "trained")
    assert result.text == ""
    assert (here / "trained" / "LICENSE").read_text() == (folder / "LICENSE").read_text()
    result = wavejit("vocode", folder / "mel-northandsouth_52_f000076.npy", "-m", "trained", "-o", "out.wav")
    assert result.text == ""  # progress is for the terminal
    made, rate = read_audio("out.wav")
    recorded, _ = read_audio(folder / "mel-northandsouth_52_f000076.wav", rate)
    assert len(made) / rate == pytest.approx(7.85, abs=0.01)
    assert log_mel_correlation(made, recorded, rate) >= 0.97


def test_features_states_what_it_took(wavejit: Command) -> None:
    assert wavejit("features", "c.wav", "--preset", "vocos", "-o", "c.npz").text == ""
    saved = np.load("c.npz")
    assert int(str(saved["sample_rate"])) == 24000
    recording, _ = read_audio("c.wav", SAMPLE_RATE)
    assert wavejit("features", "c.wav", "-m", "voice", "-o", "c.npy").status == 0
    np.testing.assert_array_equal(np.load("c.npy"), mel_features(recording, FEATURES))
