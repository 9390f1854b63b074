"""`wavejit say` as a user meets it, on a voice that babbles."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.command import Command
from tests.speaking import small_voice
from wavejit.audio import read_audio

TEXT = "Hello, world. It is late!"


@pytest.fixture
def babble(here: Path) -> Path:
    small_voice(here / "babble")
    return here


def test_text_to_a_file_with_its_timings(babble: Path, wavejit: Command) -> None:
    told = wavejit("say", TEXT, "-o", "out.wav", "--voice", "babble", "--timings", "json")
    timings = json.loads(told.text)
    samples, rate = read_audio("out.wav")
    assert rate == 8000
    assert timings["duration"] == pytest.approx(len(samples) / rate, abs=1e-3)
    assert [word["word"] for word in timings["sentences"][0]["words"]] == ["hello", "world"]
    assert timings["sentences"][1]["words"][-1]["phonemes"][0]["phoneme"] == "L"
    assert "x real time, first audio after" in told.stderr


def test_raw_audio_is_what_the_file_holds(babble: Path, wavejit: Command) -> None:
    assert wavejit("say", TEXT, "-o", "out.wav", "--voice", "babble").status == 0
    raw = wavejit("say", TEXT, "--output-raw", "--voice", "babble")
    assert raw.status == 0
    np.testing.assert_array_equal(
        np.frombuffer(raw.stdout, "<i2"), np.rint(read_audio("out.wav")[0] * 32768).astype("<i2")
    )


def test_text_from_a_file_and_from_standard_input(
    babble: Path, wavejit: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("text.txt").write_text("\ufeff" + TEXT, encoding="utf-8")
    outputs = []
    for source in ([TEXT], ["-f", "text.txt"], []):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
        told = wavejit("say", *source, "--output-raw", "--voice", "babble")
        assert told.status == 0, told.stderr
        outputs.append(told.stdout)
    assert outputs[0] == outputs[1] == outputs[2] != b""


def test_subtitles_number_the_sentences(babble: Path, wavejit: Command) -> None:
    lines = wavejit("say", TEXT, "-o", "out.flac", "--voice", "babble", "--timings", "srt").text.splitlines()
    assert lines[0] == "1"
    assert lines[1].startswith("00:00:00,000 --> 00:00:0")
    assert lines[2] == "hello world"
    assert lines[4:7:2] == ["2", "it is late"]


def test_what_is_left_out_is_noted(babble: Path, wavejit: Command) -> None:
    told = wavejit("say", "Hello 漢字 there.", "-o", "out.wav", "--voice", "babble")
    assert told.status == 0
    assert "wavejit: " in told.stderr.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Hello."], "give either -o FILE or --output-raw"),
        (["Hello.", "-f", "x.txt", "-o", "o.wav"], "give either a text or -f FILE"),
        (["", "-o", "o.wav"], "the text has nothing to say"),
        (["-f", "x.txt", "-o", "o.wav"], "'x.txt' cannot be read: No such file or directory"),
        (["-f", "latin.txt", "-o", "o.wav"], "'latin.txt' is not UTF-8"),
        (["Hello.", "-o", "o.xyz"], "'o.xyz' has the suffix '.xyz'"),
        (["Hello.", "-o", "no/o.wav"], "'no/o.wav' cannot be written"),
        (["Hello.", "-o", "o.wav", "--speed", "9"], "speed is 9, expected 0.25 to 4"),
        (["Hello.", "-o", "o.wav", "--timings", "xml"], "--timings is 'xml', expected one of json, srt"),
        (["Hello.", "--output-raw", "--timings", "json"], "--timings go to standard output"),
        (["Hello.", "-o", "o.wav", "--precision", "int9"], "precision is 'int9'"),
        (["Hello.", "-o", "o.wav", "--voice", "absent"], "there is no such voice"),
        (["<speak>Hello <break time='x'/></speak>", "-o", "o.wav"], "break"),
    ],
)
def test_bad_input_is_refused_and_leaves_the_file(
    babble: Path, wavejit: Command, arguments: list[str], message: str
) -> None:
    Path("o.wav").write_bytes(b"kept")
    Path("latin.txt").write_bytes("Hé!".encode("latin-1"))
    voice = [] if "--voice" in arguments else ["--voice", "babble"]
    assert message in wavejit("say", *arguments, *voice).last_sentence()
    assert Path("o.wav").read_bytes() == b"kept"
    assert not list(Path().glob(".wavejit-*"))
