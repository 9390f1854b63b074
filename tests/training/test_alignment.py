"""Alignments: what is written comes back, mistakes are named, and pocketsphinx finds the phones of a recording."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wavejit.audio import read_audio
from wavejit.errors import InputError
from wavejit.training.alignment import (
    SAMPLE_RATE,
    AlignedUtterance,
    Alignment,
    Phone,
    describe,
    read_alignment,
    write_alignment,
)
from wavejit.training.pronouncing import pronunciations

NO = AlignedUtterance(
    ("oh", "no"), 60, (Phone("OW1", 0, 0, 3), Phone("SIL", -1, 3, 10), Phone("N", 1, 10, 20), Phone("OW1", 1, 20, 60))
)


def test_an_alignment_comes_back(tmp_path: Path) -> None:
    alignment = Alignment("a test", {"é": NO, "b": NO}, {"c": "is silent"})
    write_alignment(tmp_path / "a.json", alignment)
    assert read_alignment(tmp_path / "a.json") == alignment
    assert (tmp_path / "a.json").read_text().count("\n") == 4  # a line an utterance


def test_figures_of_an_alignment() -> None:
    words = describe(Alignment("a test", {"a": NO}, {"c": "is silent"}))
    assert "1 utterances aligned, 1 failed" in words
    assert "3 phones of 176.7 ms on average, median 100 ms, 33.3 % at 30 ms or below" in words
    assert "leading 0 ms, trailing 0 ms (medians), 1.00 inside" in words


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (b"{", "is no alignment"),
        (b'"frame_rate":100', '"frame_rate":50'),
        (b'["N",', '["Q",'),
        (b'"N",1,', '"N",2,'),
        (b'"SIL",-1', '"SIL",0'),
        (b"10,20]", "10,19]"),
        (b"20,60]", "20,61]"),
        (b"3,10]", "3,3]"),
    ],
)
def test_a_wrong_alignment_is_named(tmp_path: Path, found: bytes, sentence: str) -> None:
    write_alignment(tmp_path / "a.json", Alignment("a test", {"a": NO}, {}))
    content = (tmp_path / "a.json").read_bytes()
    assert found in content
    (tmp_path / "a.json").write_bytes(content.replace(found, b"[" if found == b"{" else sentence.encode()))
    with pytest.raises(InputError, match=r"a\.json'.*(is no alignment|expected)"):
        read_alignment(tmp_path / "a.json")


def test_words_are_said_as_text_to_speech_says_them_and_as_the_dictionary_has_them() -> None:
    said = dict(pronunciations("I read 2 records, Kwyjibo!"))
    assert list(said) == ["I", "read", "two", "records", "kwyjibo"]
    assert set(said["read"]) == {("R", "EH1", "D"), ("R", "IY1", "D")}
    assert said["two"] == (("T", "UW1"),)
    assert len(said["kwyjibo"]) == 1
    with pytest.raises(InputError, match="nothing to say"):
        pronunciations("...")


def test_the_command_ends_in_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "wavejit.training.align", str(tmp_path), "-o"]
    for output, sentence in (("no/a.json", "there is no folder 'no'"), ("a.json", "holds no known layout")):
        ended = subprocess.run([*command, output], capture_output=True, text=True, cwd=tmp_path)
        assert ended.returncode == 2
        assert ended.stderr.startswith("wavejit: ")
        assert sentence in ended.stderr
        assert ended.stderr.count("\n") == 1


SENTENCE = {
    "will": (("W", "IH1", "L"), ("W", "AH0", "L")),
    "we": (("W", "IY1"),),
    "ever": (("EH1", "V", "ER0"),),
    "forget": (("F", "ER0", "G", "EH1", "T"), ("F", "AO1", "R", "G", "EH1", "T")),
    "it": (("IH1", "T"), ("IH0", "T")),
}


def test_pocketsphinx_finds_the_phones_of_a_recording(shared: Path) -> None:
    pytest.importorskip("pocketsphinx", reason="needs pocketsphinx")
    from wavejit.training.sphinx import SphinxAligner

    recording = sorted((shared / "data" / "kathleen").glob("arctic_a0005_*.flac"))[0]
    samples, _ = read_audio(recording, SAMPLE_RATE)
    aligner = SphinxAligner(SENTENCE)
    found = aligner.align(samples, list(SENTENCE))
    assert found == aligner.align(samples, list(SENTENCE))
    assert found.frames == -(-len(samples) // 160)
    spoken = [phone for phone in found.phones if phone.word >= 0]
    for index, said in enumerate(SENTENCE.values()):
        assert tuple(phone.phoneme for phone in spoken if phone.word == index) in said
    # G is the quietest stretch around it: a stop's closure.
    level = np.sqrt(np.mean(samples[: len(samples) // 160 * 160].reshape(-1, 160) ** 2, axis=1))
    closure = next(phone for phone in spoken if phone.phoneme == "G")
    vowel = spoken[spoken.index(closure) + 1]
    assert level[closure.start : closure.end].min() < 0.5 * level[vowel.start : vowel.end].max()

    with pytest.raises(InputError, match="the recording is silent"):
        aligner.align(np.zeros(16000, dtype=np.float32), list(SENTENCE))
    with pytest.raises(InputError, match="5 words do not fit 10 frames"):
        aligner.align(samples[8000:9600], list(SENTENCE))
