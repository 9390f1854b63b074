"""What a text is before it is cut into sentences: runs of text, and what is marked in it.

In plain text two marks are known: `{HH AH0 L OW1}`, phonemes in place of a word, and `<break time="500ms"/>`. All
other signs are text. `wavejit.text.ssml` reads the rest of SSML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from wavejit.errors import InputError
from wavejit.text.lexicon import Pronunciation
from wavejit.text.phonemes import PAUSE, PHONEMES, VOWELS

LONGEST_BREAK = 10.0  # seconds


@dataclass(frozen=True)
class Prosody:
    """How a passage is to be said: factors of the voice's own rate and pitch; 1 changes nothing."""

    rate: float = 1.0
    pitch: float = 1.0


AS_IT_IS = Prosody()


@dataclass(frozen=True)
class Text:
    """A run of text; `say_as` spells it where it is `characters` or `digits`."""

    text: str
    prosody: Prosody = AS_IT_IS
    say_as: Literal["", "characters", "digits"] = ""


@dataclass(frozen=True)
class Said:
    """A word whose phonemes are given."""

    text: str
    phonemes: Pronunciation
    prosody: Prosody = AS_IT_IS


@dataclass(frozen=True)
class Break:
    """Silence of so many seconds."""

    seconds: float


@dataclass(frozen=True)
class End:
    """A sentence, or a paragraph, ends here whatever its last sign is."""

    paragraph: bool


@dataclass(frozen=True)
class Note:
    """Something that the text asks for and that is not done."""

    text: str


Segment = Text | Said | Break | End | Note

_MARK = re.compile(r"\{([^{}]*)\}|<break\b([^<>]*)>")
_TIME = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ms|s)")
_LONGEST_MARK = 400  # characters; what has not closed by then is text
_STRENGTHS = {"none": 0.0, "x-weak": 0.1, "weak": 0.2, "medium": 0.35, "strong": 0.6, "x-strong": 1.0}
_KNOWN = (set(PHONEMES) - {PAUSE}) | set(VOWELS)


def read_plain(pieces: Iterable[str]) -> Iterator[Segment]:
    """The segments of plain text, however it is cut into pieces; each as soon as it is known.

    Raises:
        InputError: braces hold what are no phonemes, or a break has no time; names it.
    """
    text = ""
    for piece in pieces:
        text += piece
        yield from _marks(text[: (known := _known(text))])
        text = text[known:]
    yield from _marks(text)


def _known(text: str) -> int:
    """How much of `text` the pieces that follow cannot change: all but a mark that has not closed."""
    start = max(text.rfind("{"), text.rfind("<"))
    open_ = start >= 0 and len(text) - start < _LONGEST_MARK and not re.search("[}>]", text[start:])
    return start if open_ else len(text)


def _marks(text: str) -> Iterator[Segment]:
    at = 0
    for found in _MARK.finditer(text):
        if len(found[0]) > _LONGEST_MARK:
            continue
        if found.start() > at:
            yield Text(text[at : found.start()])
        at = found.end()
        if found[1] is not None:
            yield Said(found[0], read_phonemes(found[1], found[0]))
        else:
            yield Break(_break_of(found[0], found[2]))
    if at < len(text):
        yield Text(text[at:])


def _break_of(mark: str, attributes: str) -> float:
    named = dict(re.findall(r"""([\w-]+)\s*=\s*["']([^"']*)["']""", attributes))
    return break_seconds(named.get("time"), named.get("strength"), mark)


def break_seconds(time: str | None, strength: str | None, where: str) -> float:
    """The length of a break from its attributes, in seconds; without any, that of strength `medium`.

    Raises:
        InputError: one cannot be read, or is too long; the sentence begins with `where`.
    """
    if time is None:
        if strength is not None and strength not in _STRENGTHS:
            raise InputError(f"{where}: strength is {strength!r}, expected one of {', '.join(_STRENGTHS)}")
        return _STRENGTHS[strength or "medium"]
    found = _TIME.fullmatch(time.strip())
    if not found:
        raise InputError(f'{where}: time is {time!r}, expected seconds or milliseconds, such as "500ms"')
    seconds = float(found[1]) / (1000 if found[2] == "ms" else 1)
    if seconds > LONGEST_BREAK:
        raise InputError(f"{where}: time is {time!r}, expected at most {LONGEST_BREAK:g} s")
    return seconds


def read_phonemes(written: str, where: str) -> Pronunciation:
    """Phonemes from `HH AH0 L OW1`; a vowel without stress has none.

    Raises:
        InputError: it holds something else, or nothing; the sentence begins with `where`.
    """
    phonemes = [phoneme.upper() for phoneme in written.split()]
    unknown = next((phoneme for phoneme in phonemes if phoneme not in _KNOWN), None)
    if unknown is not None or not phonemes:
        found = repr(unknown) if unknown is not None else "nothing"
        raise InputError(f"{where}: found {found}, expected phonemes of CMU's ARPAbet, such as HH AH0 L OW1")
    return tuple(phoneme + "0" if phoneme in VOWELS else phoneme for phoneme in phonemes)
