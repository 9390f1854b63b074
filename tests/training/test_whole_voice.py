"""The way from recordings to a voice, by the commands of docs/voice.md, on a few recordings and a few updates."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from wavejit.audio import read_audio
from wavejit.cli import main

pytest.importorskip("torch", reason="training needs PyTorch")
pytest.importorskip("pocketsphinx", reason="alignment needs pocketsphinx")

ROOT = Path(__file__).parents[2]
TRAINED, HELD_OUT = 20, 4  # recordings


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["wavejit", *map(str, arguments)])
    with pytest.raises(SystemExit) as ending:
        main()
    assert ending.value.code in (0, None)


@pytest.mark.slow
def test_recordings_become_a_voice_that_speaks(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wavejit.training.align import align_corpus
    from wavejit.training.alignment import write_alignment
    from wavejit.training.corpus import read_corpus
    from wavejit.training.segmentation.__main__ import segmentation
    from wavejit.training.voice import join
    from wavejit.voice import FORMAT, VoiceConfig

    data = tmp_path / "recordings"
    data.mkdir()
    train, held_out = read_corpus(shared / "data" / "kathleen").split(20)
    for utterance in (*train[:TRAINED], *held_out[:HELD_OUT]):
        for file in (utterance.audio, utterance.audio.with_suffix(".txt")):
            shutil.copy(file, data)
    write_alignment(tmp_path / "alignment.json", align_corpus(read_corpus(data)))
    segmentation(data, tmp_path / "alignment.json", tmp_path / "segmented", epochs=30, channels=4, layers=1, width=16)
    vocoder, acoustic = tmp_path / "vocoder", tmp_path / "acoustic"
    command(monkeypatch, "train", ROOT / "recipes/kathleen-cpu.toml", "-d", data, "-o", vocoder, "--updates", "6")
    command(
        monkeypatch, "train", ROOT / "recipes/kathleen-acoustic-cpu.toml", "-d", data, "-o", acoustic,
        "--alignment", tmp_path / "segmented" / "alignment.json", "--updates", "30",
    )  # fmt: skip
    config = VoiceConfig(format=FORMAT, name="A few")
    join(acoustic / "model", vocoder / "model", tmp_path / "voice", config, shared / "data/kathleen/LICENSE")
    command(monkeypatch, "say", "Hello there.", "--voice", tmp_path / "voice", "-o", tmp_path / "hello.wav")
    samples, rate = read_audio(tmp_path / "hello.wav")
    assert rate == 24_000
    assert 0.3 < len(samples) / rate < 5
    assert np.std(samples) > 1e-3
