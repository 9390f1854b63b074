"""Corpora: three layouts give the same utterances, a prompt keeps its side, and each mistake is named."""

from pathlib import Path

import pytest

from wavejit.errors import InputError
from wavejit.training.corpus import Corpus, read_corpus

SENTENCES = {f"arctic_a{number:04}": f"Sentence number {number}, she said." for number in range(1, 201)}


def arctic(folder: Path, prompts: dict[str, str] = SENTENCES, takes: int = 2) -> Path:
    for prompt, text in prompts.items():
        for take in range(takes):
            (folder / f"{prompt}_{take}.flac").touch()
            (folder / f"{prompt}_{take}.txt").write_text(text)
    return folder


def lj_speech(folder: Path, recordings: str) -> Path:
    (folder / "metadata.csv").write_text('LJ1|In "1455,|In "fourteen fifty-five,\n\nLJ2|Two.|Two.\n')
    (folder / recordings).mkdir(exist_ok=True)
    for name in ("LJ1.wav", "LJ2.flac"):
        (folder / recordings / name).touch()
    return folder


def test_arctic_prompts(tmp_path: Path) -> None:
    corpus = read_corpus(arctic(tmp_path))
    assert len(corpus.utterances) == 400
    first = corpus.utterances[0]
    assert (first.name, first.audio) == ("arctic_a0001_0", tmp_path / "arctic_a0001_0.flac")
    assert (first.text, first.prompt) == ("Sentence number 1, she said.", "arctic_a0001")


@pytest.mark.parametrize("recordings", [".", "wavs"])
def test_lj_speech_reads_the_normalised_text_and_takes_quotes_as_they_are(tmp_path: Path, recordings: str) -> None:
    one, two = read_corpus(lj_speech(tmp_path, recordings)).utterances
    assert (one.name, one.text, one.prompt) == ("LJ1", 'In "fourteen fifty-five,', "in fourteen fifty five")
    assert [one.audio, two.audio] == [tmp_path / recordings / "LJ1.wav", tmp_path / recordings / "LJ2.flac"]


@pytest.mark.parametrize(("table", "separator"), [("manifest.csv", "|"), ("manifest.tsv", "\t")])
def test_manifest(tmp_path: Path, table: str, separator: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.5.wav").touch()
    (tmp_path / "b.ogg").touch()
    (tmp_path / table).write_text(f"b.ogg{separator}Bé.\na/1.5.wav{separator}One, two.\n", encoding="utf-8-sig")
    one, two = read_corpus(tmp_path).utterances
    assert (one.name, one.text, one.prompt) == ("a/1.5", "One, two.", "one two")
    assert (two.name, two.audio, two.text) == ("b", tmp_path / "b.ogg", "Bé.")


def test_a_prompt_is_whole_on_one_side_and_keeps_it_whatever_else_is_there(tmp_path: Path) -> None:
    corpus = read_corpus(arctic(tmp_path))
    train, held = corpus.split(held_out=100)
    assert {u.prompt for u in train}.isdisjoint(u.prompt for u in held)
    assert len(train) + len(held) == 400
    assert 20 <= len(held) <= 70  # 40 are expected
    smaller = Corpus(tmp_path, corpus.utterances[::3])
    assert set(smaller.split(held_out=100)[1]) == set(held) & set(smaller.utterances)
    assert set(corpus.split(held_out=50)[1]) <= set(held)


def test_the_held_out_prompts_of_kathleen(shared: Path) -> None:
    """Models say what they never heard: these prompts must not change."""
    corpus = read_corpus(shared / "data" / "kathleen")
    assert (len(corpus.utterances), len({u.prompt for u in corpus.utterances})) == (1620, 1132)
    train, held = corpus.split()
    assert (len(train), len(held), len({u.prompt for u in held})) == (1565, 55, 32)
    assert [held[0].prompt, held[-1].prompt] == ["arctic_a0017", "arctic_b0467"]


def test_lj_speech_itself(shared: Path) -> None:
    corpus = read_corpus(shared / "data" / "ljspeech")
    assert len(corpus.utterances) == 186
    assert corpus.utterances[1].text == "in being comparatively modern."


@pytest.mark.parametrize("held_out", [0, 1000])
def test_a_split_outside_its_range_is_refused(tmp_path: Path, held_out: int) -> None:
    with pytest.raises(InputError, match=f"held_out is {held_out}; expected 1 to 999"):
        read_corpus(arctic(tmp_path)).split(held_out)


def test_a_split_with_an_empty_side_is_refused(tmp_path: Path) -> None:
    corpus = read_corpus(arctic(tmp_path, dict(list(SENTENCES.items())[:1])))
    with pytest.raises(InputError, match=r"none of 2 utterances is held out with held_out of 1 in a thousand"):
        corpus.split(1)


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "holds no known layout; expected one of metadata.csv"),
        ({"metadata.csv": b"", "manifest.csv": b""}, "holds manifest.csv and metadata.csv; expected one"),
        ({"metadata.csv": b"\n"}, "metadata.csv' names no utterance"),
        ({"metadata.csv": b"a|b|c|d"}, "line 1: 4 fields found; expected id|text|normalised text"),
        ({"metadata.csv": b"a|b"}, "there is no recording"),
        ({"manifest.csv": b"a.wav|b"}, "there is no recording"),
        ({"manifest.tsv": b"a.wav|b"}, "1 fields found; expected path and text with a tab"),
        ({"manifest.csv": b"a.wav|...", "a.wav": b""}, "line 1: the text is '...'; expected words"),
        ({"manifest.csv": b"a.wav|\xff", "a.wav": b""}, "is not UTF-8 at byte 6"),
        ({"manifest.csv": b"a.wav|b\na.ogg|b", "a.wav": b"", "a.ogg": b""}, "'a' comes twice"),
        ({"arctic_a0001_1.flac": b""}, "arctic_a0001_1.txt' cannot be read: No such file"),
        ({"arctic_a0001_1.txt": b"One."}, "there is no recording"),
        ({"arctic_a0001_1.txt": b" \n", "arctic_a0001_1.flac": b""}, "arctic_a0001_1.txt': the text is ''"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, files: dict[str, bytes], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        read_corpus(write(tmp_path, files))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder; expected one with a corpus"):
        read_corpus(tmp_path / "absent")
