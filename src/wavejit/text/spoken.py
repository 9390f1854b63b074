"""Text to sentences of words of phonemes, one sentence at a time.

    for sentence in utterance("Dr. Smith read it. Twice?"):
        print(sentence.kind, [word.phonemes for word in sentence.words])

What is kept is one sentence, so that a text may be as long as a book, or not written yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

from wavejit.errors import InputError
from wavejit.text.fold import fold
from wavejit.text.homographs import read_homograph
from wavejit.text.lexicon import Lexicon, Pronunciation
from wavejit.text.normalise import normalise
from wavejit.text.numbers import spelled_digits
from wavejit.text.pronounce import Pronouncer, begins_with_vowel, bundled_pronouncer
from wavejit.text.segments import AS_IT_IS, LONGEST_BREAK, Break, Note, Prosody, Said, Text, read_plain
from wavejit.text.sentences import Unit, cut_sentences
from wavejit.text.ssml import read_ssml

Kind = Literal["statement", "question", "exclamation"]

PAUSES = {",": 0.2, ";": 0.3, ":": 0.3, "—": 0.25, "…": 0.4, "(": 0.15, ")": 0.15, ".": 0.35, "!": 0.35, "?": 0.35}
"""Seconds of silence that a sign inside a sentence stands for."""

SENTENCE_PAUSE = 0.45  # seconds, behind each sentence
PARAGRAPH_PAUSE = 0.9
CUT_PAUSE = 0.2  # where a sentence is cut for its length, and no sign stands
LONGEST_SENTENCE = 40  # words

_TOKEN = re.compile(r"[A-Za-z']+(?:-[A-Za-z']+)*|[^\sA-Za-z'\-]")
_CONJUNCTIONS = frozenset(
    ("and", "but", "or", "because", "although", "while", "which", "that", "who", "when", "where", "if", "so", "then")
)


@dataclass(frozen=True)
class Word:
    """A word as it is said.

    Attributes:
        text: as it was normalised.
        phonemes: never empty.
        pause_after: silence behind it, seconds.
        prosody: what SSML asks of it.
    """

    text: str
    phonemes: Pronunciation
    pause_after: float = 0.0
    prosody: Prosody = AS_IT_IS


@dataclass(frozen=True)
class Sentence:
    """What is said in one breath, about `LONGEST_SENTENCE` words at most.

    Attributes:
        words: one at least.
        kind: by the sign at its end.
        notes: what the text asks for and is not said, a sentence each.
        pause_before: silence ahead of it that a break asks for, seconds.
    """

    words: tuple[Word, ...]
    kind: Kind = "statement"
    notes: tuple[str, ...] = ()
    pause_before: float = 0.0


def utterance(text: str | Iterable[str], pronouncer: Pronouncer | None = None) -> Iterator[Sentence]:
    """The sentences of `text`, in order, each as soon as its end is known.

    Args:
        text: plain text, or SSML where it begins with `<speak` or `<?xml`; whole, or in pieces, however they are cut.
        pronouncer: the bundled one where it is not given.

    Raises:
        InputError: nothing in it can be said, or a mark cannot be read; the sentence names the place.
    """
    pieces = iter((text,) if isinstance(text, str) else text)
    begin = ""
    for piece in pieces:
        begin = (begin + piece).lstrip("\ufeff \t\r\n")
        if len(begin) >= len("<speak"):
            break
    read = read_ssml if begin.startswith(("<speak", "<?xml")) else read_plain
    pronouncer = pronouncer or bundled_pronouncer()
    said = False
    notes: tuple[str, ...] = ()  # of units without a word: they go to the next one
    pause = 0.0
    for unit in cut_sentences(read(chain((begin,), pieces))):
        sentence = _read_unit(unit, pronouncer)
        if not sentence.words:
            notes = tuple(dict.fromkeys((*notes, *sentence.notes)))[:20]
            pause = min(LONGEST_BREAK, pause + sentence.pause_before)
            if unit.paragraph and said:  # it ends behind a sentence that has been said
                pause = max(pause, PARAGRAPH_PAUSE - SENTENCE_PAUSE)
            continue
        said = True
        sentence = replace(
            sentence, notes=(*notes, *sentence.notes), pause_before=min(LONGEST_BREAK, pause + sentence.pause_before)
        )
        notes, pause = (), 0.0
        yield from _cut(sentence)
    if not said:
        raise InputError(f"the text has nothing to say{': ' + '; '.join(notes) if notes else ''}")


def _read_unit(unit: Unit, pronouncer: Pronouncer) -> Sentence:
    """The sentence of `unit`; without words where nothing in it can be said."""
    words: list[Word] = []
    notes: list[str] = []
    kind: Kind = "statement"
    pause_before = 0.0
    for segment in unit.segments:
        match segment:
            case Text():
                text, left_out = _read_text(segment, pronouncer.lexicon)
                notes += left_out
                kind = _kind_of(text, kind)
                _add_words(words, text, segment.prosody)
            case Said():
                words.append(Word(segment.text, segment.phonemes, 0.0, segment.prosody))
                kind = "statement"  # unless a sign follows
            case Break() if words:
                words[-1] = replace(words[-1], pause_after=max(words[-1].pause_after, segment.seconds))
            case Break():
                pause_before += segment.seconds
            case Note():
                notes.append(segment.text)
    if words:
        least = PARAGRAPH_PAUSE if unit.paragraph else SENTENCE_PAUSE
        words[-1] = replace(words[-1], pause_after=max(words[-1].pause_after, least))
    return Sentence(_pronounce(words, pronouncer), kind, tuple(dict.fromkeys(notes)), pause_before)


def _read_text(segment: Text, lexicon: Lexicon) -> tuple[str, tuple[str, ...]]:
    """The words of a passage, or its characters one by one, or its digits alone; and notes."""
    if not segment.say_as:
        normalised = normalise(segment.text, lexicon)
        return normalised.text, normalised.notes
    text, notes = fold(segment.text)
    if segment.say_as == "digits":
        return spelled_digits(text), notes
    return " ".join(
        spelled_digits(sign) if sign.isdecimal() else sign.upper() for sign in text if sign.isalnum()
    ), notes


def _kind_of(text: str, before: Kind) -> Kind:
    """By the last sign of `text`; as `before` where `text` says nothing."""
    end = text.rstrip("\")' ")
    if not end:
        return before
    return "question" if "?" in end[-3:] else "exclamation" if end.endswith("!") else "statement"


def _add_words(words: list[Word], text: str, prosody: Prosody) -> None:
    """Append the words of `text`; a sign lengthens the pause behind the word before it."""
    for token in _TOKEN.findall(text):
        if any(sign.isalpha() for sign in token):
            words.append(Word(token.strip("'") if token.strip("'") != token[:-1] else token, (), 0.0, prosody))
        elif words and token in PAUSES:
            words[-1] = replace(words[-1], pause_after=max(words[-1].pause_after, PAUSES[token]))


def _pronounce(words: list[Word], pronouncer: Pronouncer) -> tuple[Word, ...]:
    """The words with phonemes, read backwards: an article needs the sound of the word behind it."""
    texts = [word.text.lower() for word in words]
    said: list[Word] = []
    for index in range(len(words) - 1, -1, -1):
        word = words[index]
        phonemes = word.phonemes or read_homograph(
            word.text, texts[max(0, index - 12) : index], texts[index + 1 : index + 12]
        )
        if not phonemes:
            phonemes = _weak(word, said[-1] if said else None) or pronouncer.pronounce(word.text)
        if phonemes:
            said.append(replace(word, phonemes=phonemes))
    return tuple(reversed(said))


def _weak(word: Word, follows: Word | None) -> Pronunciation | None:
    """`the` and `to` as they are said before a vowel and before a consonant; None for other words."""
    if word.text not in ("the", "to"):
        return None
    vowel = follows is not None and not word.pause_after and begins_with_vowel(follows.phonemes)
    if word.text == "the":
        return ("DH", "IY0") if vowel else ("DH", "AH0")
    return ("T", "UW1") if vowel or follows is None or word.pause_after else ("T", "AH0")


def _cut(sentence: Sentence) -> Iterator[Sentence]:
    """The sentence in parts of `LONGEST_SENTENCE` words at most, cut at the best place of their second half."""
    words, pause = sentence.words, sentence.pause_before
    notes = sentence.notes
    while len(words) > LONGEST_SENTENCE:
        at = max(range(LONGEST_SENTENCE // 2, LONGEST_SENTENCE + 1), key=lambda at: (_fitness(words, at), at))
        first = replace(words[at - 1], pause_after=max(words[at - 1].pause_after, CUT_PAUSE))
        yield Sentence((*words[: at - 1], first), "statement", notes, pause)
        words, notes, pause = words[at:], (), 0.0
    yield Sentence(words, sentence.kind, notes, pause)


def _fitness(words: tuple[Word, ...], at: int) -> float:
    """How good a place the one before word `at` is: by the pause there, then by a conjunction."""
    return 10 * words[at - 1].pause_after + (1 if words[at].text in _CONJUNCTIONS else 0)
