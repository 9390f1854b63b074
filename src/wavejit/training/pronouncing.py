"""How each word of a text may be said."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from wavejit.audio.storage import existing_file
from wavejit.errors import InputError
from wavejit.text.phonemes import PHONEMES

Pronunciation = tuple[str, ...]
"""Phonemes of one word, vowels with their stress; never empty."""

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*'?")
_ENTRY = re.compile(r"(\S+?)(?:\(\d+\))?\s+([A-Z0-2 ]+)")
_VOICELESS = frozenset({"P", "T", "K", "F", "TH"})
_SIBILANTS = frozenset({"S", "Z", "SH", "ZH", "CH", "JH"})


def pronunciations(
    text: str, dictionary: Mapping[str, tuple[Pronunciation, ...]]
) -> tuple[tuple[str, tuple[Pronunciation, ...]], ...]:
    """The words of `text` in small letters, each with its alternatives, the usual one first.

    A possessive that the dictionary lacks is said as its noun with the ending that follows from its last phoneme.

    Args:
        text: English, numbers written as words.
        dictionary: by word in small letters.

    Raises:
        InputError: a word is not in the dictionary.
    """
    words = tuple(word.lower() for word in _WORD.findall(text))
    found = tuple((word, _alternatives(word, dictionary)) for word in words)
    if unknown := sorted({word for word, alternatives in found if not alternatives}):
        raise InputError(f"no pronunciation of {', '.join(unknown)}; expected words of the dictionary")
    return found


def read_dictionary(path: str | os.PathLike[str]) -> dict[str, tuple[Pronunciation, ...]]:
    """A dictionary in the CMU Pronouncing Dictionary's form.

    A line is a word and its phonemes with stress; `word(2)` is an alternative; `#` and `;;;` begin a comment.

    Raises:
        InputError: the file is missing or not UTF-8, or a line is something else; names the line.
    """
    file = existing_file(path)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{str(file)!r} is not UTF-8 at byte {error.start}; expected a dictionary") from None
    entries: dict[str, list[Pronunciation]] = {}
    for number, line in enumerate(lines, start=1):
        written = "" if line.startswith(";;;") else line.split("#")[0].strip()
        if not written:
            continue
        entry = _ENTRY.fullmatch(written)
        phonemes = tuple(entry[2].split()) if entry else ()
        if entry is None or not set(phonemes) <= set(PHONEMES):
            raise InputError(f"{str(file)!r}, line {number}: {written[:60]!r} found; expected a word and its phonemes")
        entries.setdefault(entry[1].lower(), []).append(phonemes)
    return {word: tuple(alternatives) for word, alternatives in entries.items()}


def _alternatives(word: str, dictionary: Mapping[str, tuple[Pronunciation, ...]]) -> tuple[Pronunciation, ...]:
    # An apostrophe at the end is a closing quotation mark more often than a letter left out.
    for form in (word, word.rstrip("'")):
        if form in dictionary:
            return dictionary[form]
    if word.endswith("'s"):
        return tuple((*noun, *_possessive(noun[-1])) for noun in dictionary.get(word[:-2], ()))
    return ()


def _possessive(last: str) -> Pronunciation:
    """What 's sounds like after a phoneme."""
    if last in _SIBILANTS:
        return ("AH0", "Z")
    return ("S",) if last in _VOICELESS else ("Z",)
