"""Segments cut into sentences, as they arrive: what is kept is never more than one sentence and a little.

A sentence ends at `.`, `!`, `?` or `…` before space, where what follows does not say otherwise (`Dr. Smith`, `U.S.
troops`, `"Really?" she asked`), and at a blank line. Where text is cut into pieces changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from wavejit.text.abbreviations import TAILS, TITLES
from wavejit.text.segments import Break, End, Note, Said, Segment, Text

LONGEST = 2000  # characters of text without an end: it is cut at a space before that

_END = re.compile(r"(?P<stop>[.!?…。！？]+)(?P<closed>[\"')\]”’»]*)(?P<gap>\s+)(?=\S)|(?P<blank>\n\n)(?=\S)")
_SPACE = re.compile(r"\s+")
_LAST_WORD = re.compile(r"([A-Za-z]+(?:\.[A-Za-z]+)*)$")
_OPENING = "\"'([“‘«"


@dataclass(frozen=True)
class Unit:
    """A sentence that has not been read yet: its segments, and whether its paragraph ends with it."""

    segments: tuple[Text | Said | Break | Note, ...]
    paragraph: bool


def cut_sentences(segments: Iterable[Segment]) -> Iterator[Unit]:
    """The sentences of `segments`, each as soon as its end is known."""
    kept: list[Text | Said | Break | Note] = []
    text: Text | None = None  # what may go on

    def unit(paragraph: bool) -> Unit:
        made = Unit(tuple(kept), paragraph)
        kept.clear()
        return made

    for segment in segments:
        if isinstance(segment, Text):
            if text is not None and (text.prosody, text.say_as) != (segment.prosody, segment.say_as):
                kept.append(text)
                text = None
            text = replace(segment, text=_join(text.text if text else "", segment.text))
            while found := _first_end(text.text):
                at, paragraph = found
                kept.append(replace(text, text=text.text[:at]))
                yield unit(paragraph)
                text = replace(text, text=text.text[at:].lstrip())
            continue
        if text is not None:
            kept.append(text)
            text = None
        if isinstance(segment, End):
            yield unit(segment.paragraph)
        else:
            kept.append(segment)
            if len(kept) > LONGEST:
                yield unit(False)
    if text is not None:
        kept.append(text)
    yield unit(True)


def _join(before: str, piece: str) -> str:
    """Both as one text, each run of space as one space, one line feed, or two where there was a blank line."""
    bare = before.rstrip()

    def space(found: re.Match[str]) -> str:
        return "\n" * min(found[0].count("\n"), 2) or " "

    return bare + _SPACE.sub(space, before[len(bare) :] + piece)


def _first_end(text: str) -> tuple[int, bool] | None:
    """Where the first sentence of `text` ends, and whether its paragraph does; None where it may go on."""
    for found in _END.finditer(text):
        if found.start() >= LONGEST:
            break
        if found["blank"] or found["gap"] == "\n\n":
            return found.end(), True
        if found.end() + 1 < len(text) and _ends(text, found):  # quotes are looked through
            return found.end(), False
        if found.end() + 1 >= len(text):
            return None
    if len(text) > LONGEST + 2:
        return (text.rfind(" ", 1, LONGEST) + 1) or LONGEST, False
    return None


def _ends(text: str, found: re.Match[str]) -> bool:
    """Whether the stop that was found ends a sentence, by the words around it."""
    follows = text[found.end()]
    if follows in _OPENING:
        follows = text[found.end() + 1]
    if follows.islower() and (found["closed"] or found["stop"] != "!"):
        return False
    if found["stop"] != ".":
        return True
    word = _LAST_WORD.search(text, max(0, found.start() - 24), found.start())
    if word is None or found["closed"]:
        return True
    last = word[1]
    if last in TITLES or (last in ("No", "no", "Nos") and follows.isdigit()):
        return False
    if last in TAILS:
        return not follows.isdigit()
    initial = len(last) == 1 and last.isupper() and last != "I"  # J. Smith
    return not initial
