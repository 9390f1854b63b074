"""Which recordings are evaluated, and what is said in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavejit.audio import read_audio
from wavejit.audio.storage import existing_file, reason
from wavejit.errors import InputError

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".opus")
SHORTEST_SECONDS = 0.25  # that PESQ takes
LARGEST_TEXT = 1 << 24  # bytes


@dataclass(frozen=True)
class Recording:
    """A file of sound, and what is said in it where that is known."""

    path: Path
    text: str | None


def recordings(paths: Sequence[Path], texts: Path | None, limit: int | None) -> list[Recording]:
    """The files, those of folders in order of their names, with their texts.

    Args:
        paths: audio files, or folders of them.
        texts: a manifest; None to look for a `.txt` of the same name beside each file.
        limit: take the first so many.

    Raises:
        InputError: there is none, a file is missing, or the manifest lacks one.
    """
    files = [file for path in paths for file in (_inside(path) if path.is_dir() else [existing_file(path)])][:limit]
    if not files:
        raise InputError("there is no recording, expected at least one audio file or a folder of them")
    if texts is None:
        return [Recording(file, _beside(file)) for file in files]
    said = read_manifest(texts)
    for file in files:
        if file.stem not in said:
            raise InputError(f"{str(texts)!r}: has no line for {file.stem!r}, expected one for each recording")
    return [Recording(file, said[file.stem]) for file in files]


def read_manifest(path: Path) -> Mapping[str, str]:
    """Texts by the file names of their recordings without suffix: a line each, `name|text` or `name<tab>text`.

    Of more than two fields the last counts, as in LJ Speech's `metadata.csv`.
    """
    said: dict[str, str] = {}
    for number, line in enumerate(_read_text(path).splitlines(), 1):
        fields = line.split("|" if "|" in line else "\t")
        if not line.strip():
            continue
        if len(fields) < 2:
            raise InputError(f"{str(path)!r}, line {number}: is {line[:80]!r}, expected name|text")
        said[Path(fields[0].strip()).stem] = fields[-1].strip()
    return said


def read_recording(path: Path, sample_rate: int | None) -> tuple[NDArray[np.float32], int]:
    """Samples `(samples,)` and their rate; raises InputError where they are too few to measure."""
    samples, rate = read_audio(path, sample_rate)
    if len(samples) < SHORTEST_SECONDS * rate:
        raise InputError(f"{str(path)!r} has {len(samples) / rate:.3f} s; expected at least {SHORTEST_SECONDS} s")
    return samples, rate


def counterpart(folder: Path, recording: Path) -> Path:
    """The audio file in `folder` that has the recording's name, whatever its suffix."""
    if not folder.is_dir():
        raise InputError(f"{str(folder)!r}: is not a folder, expected one of synthesised audio")
    found = [path for path in _inside(folder) if path.stem == recording.stem]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise InputError(
            f"{str(folder)!r}: {names} found for {recording.name!r}, expected one file {recording.stem}.wav"
        )
    return found[0]


def _inside(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _beside(file: Path) -> str | None:
    text = file.with_suffix(".txt")
    return _read_text(text).strip() if text.is_file() else None


def _read_text(path: Path) -> str:
    file = existing_file(path)
    if file.stat().st_size > LARGEST_TEXT:
        raise InputError(f"{str(path)!r} has {file.stat().st_size} bytes; expected a text of at most {LARGEST_TEXT}")
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{str(path)!r} is not UTF-8; expected text") from None
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {reason(error)}") from None
