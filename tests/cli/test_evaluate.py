"""`wavejit evaluate`: what it prints, for copies by a model and for audio made elsewhere."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.command import Command
from tests.cli.small_voice import FEATURES, HOP, SAMPLE_RATE
from tests.evaluation.signals import noise, voiced
from wavejit import load
from wavejit.audio import log_mel_correlation, mel_features, read_audio, write_audio

QUICK = ("--metrics", "nll,spectrum,pace")  # what needs no library beyond the package's own


@pytest.fixture
def place(workplace: Path) -> Path:
    """With two recordings in `recorded`, and copies 6 dB softer in `made`."""
    for folder in ("recorded", "made"):
        Path(folder).mkdir()
    for name, signal in (("one", voiced(0.5) + noise(0.5, 0.01)), ("two", voiced(0.6, 150) + noise(0.6, 0.01))):
        write_audio(f"recorded/{name}.wav", signal, SAMPLE_RATE)
        write_audio(f"made/{name}.flac", 0.5 * signal, SAMPLE_RATE)
    return workplace


pytestmark = pytest.mark.usefixtures("place")


def told(wavejit: Command, *arguments: str) -> dict[str, Any]:
    return json.loads(wavejit("evaluate", *arguments, "--json").text)


def test_copies_are_those_of_vocode_and_are_measured_beside_their_recordings(wavejit: Command) -> None:
    found = told(wavejit, "voice", "recorded/one.wav", *QUICK, "--seed", "3", "--temperature", "0.5")
    recorded, _ = read_audio("recorded/one.wav")
    made = load("voice").compile().generate(mel_features(recorded, FEATURES), seed=3, temperature=0.5)
    late = round(found["delay"] * SAMPLE_RATE)
    length = min(len(recorded[max(0, -late) :]), len(made[max(0, late) :]))
    pair = (recorded[max(0, -late) :][:length], made[max(0, late) :][:length])
    assert len(made) == FEATURES.frames(len(recorded)) * HOP
    assert found["log_mel_correlation"] == pytest.approx(log_mel_correlation(*pair, SAMPLE_RATE))
    assert found["model"] == "voice"
    assert found["nll"] > np.log(64) - 0.5  # weights are random
    assert found["seconds"] == pytest.approx(length / SAMPLE_RATE)
    assert found["recordings"]["level"] == pytest.approx(20 * np.log10(np.sqrt((pair[0] ** 2).mean())), abs=1e-3)
    assert found["recordings"]["nll"] is None
    assert found["pesq"] is None  # it was not asked for


def test_means_medians_and_clips_agree(wavejit: Command) -> None:
    found = told(wavejit, "voice", "recorded", *QUICK)
    assert [clip["name"] for clip in found["clips"]] == ["one.wav", "two.wav"]
    for measure in ("mcd", "level"):
        values = [clip["made"][measure] for clip in found["clips"]]
        assert found[measure] == pytest.approx(np.mean(values))
        assert found["medians"][measure] == pytest.approx(np.median(values))
    weights = [clip["seconds"] for clip in found["clips"]]
    assert found["nll"] == pytest.approx(np.average([clip["made"]["nll"] for clip in found["clips"]], weights=weights))
    assert [c["name"] for c in told(wavejit, "voice", "recorded", *QUICK, "--limit", "1")["clips"]] == ["one.wav"]


def test_precision_changes_the_likelihood_a_little(wavejit: Command) -> None:
    exact = told(wavejit, "voice", "recorded/one.wav", "--metrics", "nll")["nll"]
    coarse = told(wavejit, "voice", "recorded/one.wav", "--metrics", "nll", "--precision", "int8")["nll"]
    assert coarse != exact
    assert coarse == pytest.approx(exact, rel=0.05)


def test_audio_made_elsewhere(wavejit: Command) -> None:
    pytest.importorskip("librosa", reason="comes with the extra evaluate")
    found = told(wavejit, "--synthesised", "made", "recorded", "--metrics", "spectrum,pace,pesq")
    assert found["level_difference"] == pytest.approx(-6.02, abs=0.02)
    assert found["mcd"] == pytest.approx(0.0, abs=0.2)  # 16 bits are coarser 6 dB below
    assert found["speaking_rate_ratio"] == pytest.approx(1.0)
    assert (found["delay"], found["nll"], found["pesq"], found["log_mel_correlation"]) == (None,) * 4
    assert any("not aligned" in note for note in found["notes"])


def test_rates_meet_at_the_lower(wavejit: Command) -> None:
    write_audio("made/one.flac", voiced(0.5)[::2] * 0 + 0.1, 8000)
    found = told(wavejit, "--synthesised", "made", "recorded", "--limit", "1", "--metrics", "pace")
    assert found["level"] == pytest.approx(-20, abs=0.1)


@pytest.mark.parametrize("texts", ["beside", "manifest", "tabs"])
def test_words_are_counted_where_the_text_is_known(wavejit: Command, texts: str) -> None:
    pytest.importorskip("pocketsphinx", reason="comes with the extra evaluate")
    options: tuple[str, ...] = ()
    if texts == "beside":
        Path("recorded/one.txt").write_text("Four words are here.")
    else:
        between = "|" if texts == "manifest" else "\t"
        Path("said").write_text(f"one{between}4 words{between}Four words are here.\n\ntwo{between}and here\n")
        options = ("--texts", "said")
    found = told(wavejit, "--synthesised", "made", "recorded/one.wav", "--metrics", "words", *options)
    assert found["clips"][0]["words"] == 4
    assert found["word_error_rate"] > 0.5  # humming is no words
    assert found["recordings"]["word_error_rate"] is not None


def test_a_table_for_people(wavejit: Command) -> None:
    text = wavejit("evaluate", "voice", "recorded", "--metrics", "nll,pace,words").text
    assert "voice, 2 clips, 1.0 s" in text
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line}
    assert rows["nll"][2] == "-"
    assert float(rows["longest_silence"][2]) >= 0
    assert "mcd" not in rows
    assert "word_error_rate is left out" in text


def test_spectrograms_are_drawn(wavejit: Command) -> None:
    pytest.importorskip("matplotlib", reason="comes with the extra evaluate")
    assert wavejit("evaluate", "voice", "recorded", "--metrics", "nll", "--plot", "a.png").status == 0
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    assert wavejit("evaluate", "voice", "recorded", "--metrics", "nll", "--plot", "a.svg").status == 0
    drawn = Path("a.svg").read_text()
    assert "one.wav: recording" in drawn
    assert "two.wav: recording" in drawn


# ------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("voice",), "expected a model and recordings"),
        (("voice", "missing.wav"), "'missing.wav' cannot be read"),
        (("voice", "c.wav", *QUICK), "expected at least 0.25 s"),
        (("voice", "a.npz", *QUICK), "'a.npz' is not audio"),
        (("nonsense", "recorded", *QUICK), "nonsense: there is no such model folder"),
        (("deepvoice-2-8-16", "recorded", *QUICK), "expected a model folder with features"),
        (("voice", "recorded", "--metrics", "beauty"), "'beauty', expected some of nll, spectrum"),
        (("voice", "recorded", *QUICK, "--precision", "float17"), "float17"),
        (("voice", "recorded", *QUICK, "--backend", "reference"), "'reference', expected llvm or cuda"),
        (("voice", "recorded", *QUICK, "--seed", "-1"), "seed is -1"),
        (("voice", "recorded", *QUICK, "--temperature", "nan"), "temperature is nan"),
        (("voice", "recorded", *QUICK, "--plot", "a.jpg"), "suffix is '.jpg'"),
        (("voice", "recorded", *QUICK, "--plot", "new/a.png"), "there is no folder 'new'"),
        (("voice", "recorded", *QUICK, "--texts", "missing"), "'missing' cannot be read"),
        (("voice", "recorded", *QUICK, "--texts", "bad"), "'bad', line 1: is 'only a name', expected name|text"),
        (("voice", "recorded", *QUICK, "--texts", "short"), "'short': has no line for 'two'"),
        (("voice", "recorded", *QUICK, "--texts", "c.wav"), "'c.wav' is not UTF-8"),
        (("voice", "empty", *QUICK), "there is no recording"),
        (("--synthesised", "nowhere", "recorded", *QUICK), "'nowhere': is not a folder"),
        (("--synthesised", "empty", "recorded", *QUICK), "none found for 'one.wav', expected one file one.wav"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_refused(wavejit: Command, arguments: tuple[str, ...], words: str) -> None:
    pytest.importorskip("librosa", reason="comes with the extra evaluate")
    pytest.importorskip("matplotlib", reason="comes with the extra evaluate")
    Path("bad").write_text("only a name\n")
    Path("short").write_text("one|said\n")
    Path("empty").mkdir()
    before = sorted(Path().rglob("*"))
    result = wavejit("evaluate", *arguments, *(() if "--metrics" in arguments else QUICK))
    assert words in result.sentence()
    assert result.stdout == b""
    assert sorted(Path().rglob("*")) == before


def test_a_missing_library_is_named_with_the_extra(wavejit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavejit.evaluation.libraries.find_spec", lambda name: None if name == "pesq" else object())
    result = wavejit("evaluate", "voice", "recorded", "--metrics", "nll,pesq")
    assert result.sentence() == 'pesq needs pesq, which is not installed: pip install "wavejit[evaluate]"'
