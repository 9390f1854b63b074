"""Folders of recorded speech with its text, in the three layouts in which people have them.

| layout | known by | an utterance |
|---|---|---|
| CMU ARCTIC prompts | `arctic_a0001_*.txt` | `arctic_a0001_17.flac` and, beside it, `arctic_a0001_17.txt` |
| LJ Speech | `metadata.csv` | a line `id|text|normalised text`; `id.wav` in the folder or in `wavs/` |
| manifest | `manifest.csv`, `manifest.tsv` | a line `path|text`, or with a tab; the path from the folder |

Text is UTF-8; a line of a table has no quotation and no header.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wavejit.audio.storage import existing_file, reason
from wavejit.errors import InputError

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff")
"""Where a layout names a recording without its suffix: the first of these that exists is taken."""

_ARCTIC = re.compile(r"(arctic_[ab]\d{4})_\w+")


@dataclass(frozen=True)
class Utterance:
    """One recording of one sentence.

    Attributes:
        name: unique in its corpus, without suffix.
        audio: the recording; it exists.
        text: what was said, as written; not empty.
        prompt: what was to be said. Recordings of one prompt are never split between training and held out.
    """

    name: str
    audio: Path
    text: str
    prompt: str


@dataclass(frozen=True)
class Corpus:
    """The utterances of a folder, by name."""

    folder: Path
    utterances: tuple[Utterance, ...]

    def split(self, held_out: int = 20) -> tuple[tuple[Utterance, ...], tuple[Utterance, ...]]:
        """Utterances to train on, and those held out.

        A prompt is held out by its own hash alone: it stays where it is, whatever joins or leaves the folder.

        Args:
            held_out: of a thousand prompts, about how many are held out; 1 to 999.

        Raises:
            InputError: `held_out` is outside its range, or leaves one side empty.
        """
        if not 1 <= held_out <= 999:
            raise InputError(f"held_out is {held_out}; expected 1 to 999, of a thousand prompts")
        sides: tuple[list[Utterance], list[Utterance]] = ([], [])
        for utterance in self.utterances:
            sides[_place(utterance.prompt) < held_out].append(utterance)
        train, held = sides
        if not train or not held:
            empty = "is held out" if train else "is left to train on"
            raise InputError(
                f"{str(self.folder)!r}: none of {len(self.utterances)} utterances {empty} with held_out of {held_out}"
                " in a thousand; expected some on each side"
            )
        return tuple(train), tuple(held)


def read_corpus(folder: str | os.PathLike[str]) -> Corpus:
    """The corpus in `folder`, whichever of the three layouts it has. No recording is opened.

    Raises:
        InputError: the folder is missing, its layout unknown or ambiguous, it holds no utterance, a recording or a
            text is missing, a text is empty or not UTF-8, a line has the wrong number of fields, a name comes twice.
    """
    path = Path(folder)
    if not path.is_dir():
        raise InputError(f"{str(path)!r} is not a folder; expected one with a corpus")
    files = {entry.name for entry in path.iterdir()}
    tables = sorted(files & {"metadata.csv", "manifest.csv", "manifest.tsv"})
    arctic = sorted(name for name in files if _ARCTIC.fullmatch(Path(name).stem))
    found = tables + (["arctic_*.txt"] if arctic else [])
    if len(found) != 1:
        expected = "one of metadata.csv (LJ Speech), manifest.csv, manifest.tsv, arctic_*.txt (CMU ARCTIC prompts)"
        raise InputError(f"{str(path)!r} holds {' and '.join(found) or 'no known layout'}; expected {expected}")
    match found[0]:
        case "metadata.csv":
            utterances = list(_lj_speech(path))
        case "manifest.csv" | "manifest.tsv" as table:
            utterances = list(_manifest(path, table))
        case _:
            utterances = list(_arctic(path, arctic))
    if not utterances:
        raise InputError(f"{str(path / found[0])!r} names no utterance; expected at least one")
    utterances.sort(key=lambda utterance: utterance.name)
    for before, after in itertools.pairwise(utterances):
        if before.name == after.name:
            raise InputError(f"{str(path)!r}: the utterance {after.name!r} comes twice; expected each once")
    return Corpus(path, tuple(utterances))


def _arctic(folder: Path, files: list[str]) -> Iterator[Utterance]:
    # A recording without text and a text without recording are both mistakes: each stem is asked for both.
    for name in sorted({Path(file).stem for file in files}):
        prompt = _ARCTIC.fullmatch(name)
        assert prompt is not None
        file = folder / f"{name}.txt"
        text = " ".join(_read(file).split())
        yield Utterance(name, _recording((folder / name,), repr(str(file))), _written(text, repr(str(file))), prompt[1])


def _lj_speech(folder: Path) -> Iterator[Utterance]:
    for where, fields in _lines(folder / "metadata.csv", "|"):
        if len(fields) not in (2, 3):
            raise InputError(f"{where}: {len(fields)} fields found; expected id|text|normalised text")
        name, text = fields[0], _written(fields[-1], where)
        yield Utterance(name, _recording((folder / name, folder / "wavs" / name), where), text, _spoken(text))


def _manifest(folder: Path, table: str) -> Iterator[Utterance]:
    separator = "\t" if table.endswith(".tsv") else "|"
    for where, fields in _lines(folder / table, separator):
        if len(fields) != 2:
            shown = "a tab" if separator == "\t" else "|"
            raise InputError(f"{where}: {len(fields)} fields found; expected path and text with {shown} between them")
        audio, text = folder / fields[0], _written(fields[1], where)
        if not audio.is_file():
            raise InputError(f"{where}: there is no recording {str(audio)!r}; expected an audio file")
        yield Utterance(Path(fields[0]).with_suffix("").as_posix(), audio, text, _spoken(text))


def _lines(file: Path, separator: str) -> Iterator[tuple[str, list[str]]]:
    """Where each line stands, for an error, and its fields; empty lines are passed over."""
    for number, line in enumerate(_read(file).splitlines(), start=1):
        if line.strip():
            yield f"{str(file)!r}, line {number}", [field.strip() for field in line.split(separator)]


def _read(file: Path) -> str:
    try:
        return existing_file(file).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{str(file)!r} is not UTF-8 at byte {error.start}; expected text") from None
    except OSError as error:
        raise InputError(f"{str(file)!r} cannot be read: {reason(error)}") from None


def _recording(stems: tuple[Path, ...], where: str) -> Path:
    for stem in stems:
        for suffix in AUDIO_SUFFIXES:
            # Not `with_suffix`: an id may hold a point.
            if (file := stem.parent / (stem.name + suffix)).is_file():
                return file
    looked = " or ".join(repr(str(stem) + ".*") for stem in stems)
    raise InputError(f"{where}: there is no recording {looked}; expected one of {', '.join(AUDIO_SUFFIXES)}")


def _written(text: str, where: str) -> str:
    if not any(character.isalnum() for character in text):
        raise InputError(f"{where}: the text is {text!r}; expected words")
    return text


def _spoken(text: str) -> str:
    """A sentence as it identifies a prompt: neither case nor punctuation makes it another one."""
    return " ".join(re.findall(r"[\w']+", text.lower()))


def _place(prompt: str) -> int:
    """0 to 999, by the prompt alone."""
    return int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:8], "big") % 1000
