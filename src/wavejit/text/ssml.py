"""The part of SSML that is spoken, read as it arrives.

`speak`, `p`, `s`, `break`, `say-as` (characters, digits), `sub`, `phoneme` (x-arpabet, x-cmu) and `prosody` (rate,
pitch) do what W3C's SSML 1.1 says; other elements are read through, with a note. Document types are refused, and
with them every entity that could grow.

Source: https://www.w3.org/TR/speech-synthesis11/, sections 3.1 and 3.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal
from xml.parsers import expat

from wavejit.errors import InputError
from wavejit.text.lexicon import Pronunciation
from wavejit.text.segments import AS_IT_IS, Break, End, Note, Prosody, Said, Segment, Text, break_seconds, read_phonemes

_RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "default": 1.0, "fast": 1.25, "x-fast": 1.6}
_PITCHES = {"x-low": 0.7, "low": 0.85, "medium": 1.0, "default": 1.0, "high": 1.15, "x-high": 1.35}
_ALPHABETS = ("x-arpabet", "x-cmu", "arpabet", "cmu")
_SPELLED: dict[str, Literal["characters", "digits"]] = {
    **dict.fromkeys(("characters", "spell-out", "verbatim"), "characters"),
    **dict.fromkeys(("digits", "telephone"), "digits"),
}
_DEEPEST = 64


@dataclass(frozen=True)
class _Frame:
    """What holds inside an element."""

    name: str
    prosody: Prosody = AS_IT_IS
    say_as: Literal["", "characters", "digits"] = ""
    phonemes: Pronunciation = ()
    silent: bool = False  # its text has been replaced


def read_ssml(pieces: Iterable[str]) -> Iterator[Segment]:
    """The segments of a document whose root is `speak`; each as soon as it is known.

    Raises:
        InputError: it is no such document, or an attribute cannot be read; names line and column.
    """
    reader = _Reader()
    for piece in pieces:
        yield from reader.feed(piece)
    yield from reader.feed("", last=True)


class _Reader:
    def __init__(self) -> None:
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._frames: list[_Frame] = []
        self._segments: list[Segment] = []
        self._named: set[str] = set()  # elements whose note has been made
        self._spoken = ""  # inside `phoneme`: the text that it replaces

    def feed(self, piece: str, last: bool = False) -> list[Segment]:
        try:
            # Bytes that are no text cannot be told to the parser.
            self._parser.Parse(piece.encode("utf-8", "replace"), last)
        except expat.ExpatError as error:
            what = expat.ErrorString(error.code)
            raise InputError(f"SSML, line {error.lineno}, column {error.offset + 1}: {what}") from None
        made, self._segments = self._segments, []
        return made

    @property
    def _where(self) -> str:
        return f"SSML, line {self._parser.CurrentLineNumber}, column {self._parser.CurrentColumnNumber + 1}"

    def _doctype(self, *_: object) -> None:
        raise InputError(f"{self._where}: found a document type, expected none: entities are not expanded")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        where = f"{self._where}: <{name}>"
        if not self._frames and name != "speak":
            raise InputError(f"{where}: found as the root, expected <speak>")
        if len(self._frames) >= _DEEPEST:
            raise InputError(f"{where}: is nested deeper than {_DEEPEST}")
        frame = replace(self._frames[-1], name=name) if self._frames else _Frame(name)
        match name:
            case "speak":
                pass
            case "p" | "s" | "paragraph" | "sentence":
                self._segments.append(End(name.startswith("p")))
            case "break":
                self._segments.append(Break(break_seconds(attributes.get("time"), attributes.get("strength"), where)))
            case "say-as":
                frame = self._say_as(frame, attributes.get("interpret-as"), where)
            case "sub":
                alias = _attribute(attributes, "alias", where)
                self._add(Text(alias, frame.prosody), frame)
                frame = replace(frame, silent=True)
            case "phoneme":
                alphabet = attributes.get("alphabet", _ALPHABETS[0])
                if alphabet not in _ALPHABETS:
                    raise InputError(
                        f"{where}: alphabet is {alphabet!r}, expected {_ALPHABETS[0]!r} or {_ALPHABETS[1]!r}"
                    )
                phonemes = read_phonemes(_attribute(attributes, "ph", where), f"{where}: ph")
                self._spoken = ""
                frame = replace(frame, phonemes=phonemes)
            case "prosody":
                frame = replace(frame, prosody=_prosody(frame.prosody, attributes, where))
                self._note_attributes(attributes)
            case _:
                self._note(name, f"<{name}> changes nothing")
        self._frames.append(frame)

    def _end(self, tag: str) -> None:
        frame = self._frames.pop()
        match frame.name:
            case "p" | "s" | "paragraph" | "sentence":
                self._segments.append(End(frame.name.startswith("p")))
            case "phoneme":
                self._add(Said(" ".join(self._spoken.split()), frame.phonemes, frame.prosody), self._frames[-1])
            case _:
                pass

    def _characters(self, text: str) -> None:
        frame = self._frames[-1]
        if frame.phonemes:
            self._spoken += text[: max(0, 200 - len(self._spoken))]
        else:
            self._add(Text(text, frame.prosody, frame.say_as), frame)

    def _add(self, segment: Segment, frame: _Frame) -> None:
        if not frame.silent:
            self._segments.append(segment)

    def _say_as(self, frame: _Frame, kind: str | None, where: str) -> _Frame:
        if kind is None:
            raise InputError(f"{where}: has no interpret-as")
        if kind not in _SPELLED:
            self._note(f"say-as {kind}", f"say-as {kind!r} is read as the text is")
            return frame
        return replace(frame, say_as=_SPELLED[kind])

    def _note_attributes(self, attributes: dict[str, str]) -> None:
        for name in sorted(set(attributes) - {"rate", "pitch"}):
            self._note(f"prosody {name}", f"prosody's {name} changes nothing")

    def _note(self, key: str, text: str) -> None:
        """A note, the first time only."""
        if key not in self._named and len(self._named) < 100:
            self._named.add(key)
            self._segments.append(Note(text))


def _attribute(attributes: dict[str, str], name: str, where: str) -> str:
    if not attributes.get(name, "").strip():
        raise InputError(f"{where}: has no {name}")
    return attributes[name]


def _prosody(outer: Prosody, attributes: dict[str, str], where: str) -> Prosody:
    rate = _factor(attributes.get("rate", "medium"), _RATES, f"{where}: rate")
    pitch = _factor(attributes.get("pitch", "medium"), _PITCHES, f"{where}: pitch")
    return Prosody(_limited(outer.rate * rate), _limited(outer.pitch * pitch))


def _limited(factor: float) -> float:
    return min(4.0, max(0.25, factor))


def _factor(value: str, named: dict[str, float], where: str) -> float:
    """A factor from a name, `120%` (of the usual), `+10%`, or `-2st` (semitones)."""
    value = value.strip()
    if value in named:
        return named[value]
    if found := re.fullmatch(r"([+-])?(\d+(?:\.\d+)?)(%|st)", value):
        number = float(found[2]) * (-1 if found[1] == "-" else 1)
        if found[3] == "st" and found[1] and abs(number) <= 24:
            return 2 ** (number / 12)
        factor = number / 100 + (1 if found[1] else 0)
        if found[3] == "%" and 0 < factor <= 10:
            return factor
    raise InputError(f"{where} is {value!r}, expected a percentage or one of {', '.join(named)}")
