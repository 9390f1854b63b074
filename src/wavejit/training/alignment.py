"""Which phoneme is spoken when: a corpus's alignment, and its file.

The file is JSON: `frame_rate`, `source`, `utterances` by name, and `failed`, the reasons by name. A phone is
`[phoneme, word, start, end]`: the phoneme with its stress, the index of its word in `words` (-1 for a pause), and
frames of 10 ms. The phones of an utterance follow each other from 0 to `frames` without a gap.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping

import msgspec
import numpy as np

from wavejit.audio.storage import existing_file, replace_file
from wavejit.errors import InputError
from wavejit.text.phonemes import PAUSE, PHONEMES

FRAME_RATE = 100  # of alignments, in Hz
SAMPLE_RATE = 16_000  # of the audio that is aligned, in Hz
FRAME_LENGTH = SAMPLE_RATE // FRAME_RATE  # in samples
SHORTEST = 3  # frames of a phone, at least: the three states of a hidden Markov model

_KNOWN = frozenset(PHONEMES)


class Phone(msgspec.Struct, frozen=True, array_like=True):
    """One phoneme as it was spoken, from frame `start` up to frame `end`."""

    phoneme: str
    word: int
    start: int
    end: int


class AlignedUtterance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The words of an utterance, its length in frames, and its phones."""

    words: tuple[str, ...]
    frames: int
    phones: tuple[Phone, ...]

    @property
    def boundaries(self) -> tuple[int, ...]:
        """Where one phone ends and the next begins, in frames; one fewer than phones."""
        return tuple(phone.start for phone in self.phones[1:])


class Alignment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The alignment of a corpus.

    Attributes:
        source: what made it.
        utterances: by name.
        failed: by name, why an utterance has no alignment.
        frame_rate: in Hz; always 100.
    """

    source: str
    utterances: Mapping[str, AlignedUtterance]
    failed: Mapping[str, str]
    frame_rate: int = FRAME_RATE


def read_alignment(path: str | os.PathLike[str]) -> Alignment:
    """The alignment that `write_alignment` wrote.

    Raises:
        InputError: the file is missing, is no alignment, or an utterance's phones have gaps, unknown phonemes or
            words; names the file and the utterance.
    """
    file = existing_file(path)
    try:
        alignment = msgspec.json.decode(file.read_bytes(), type=Alignment)
    except msgspec.DecodeError as error:
        raise InputError(f"{str(file)!r} is no alignment: {error}") from None
    if alignment.frame_rate != FRAME_RATE:
        raise InputError(f"{str(file)!r}: frame_rate is {alignment.frame_rate}; expected {FRAME_RATE}")
    for name, utterance in alignment.utterances.items():
        if mistake := _mistake(utterance):
            raise InputError(f"{str(file)!r}, utterance {name!r}: {mistake}")
    return alignment


def write_alignment(path: str | os.PathLike[str], alignment: Alignment) -> None:
    """Write JSON, a line an utterance; the file is replaced when all of it is written.

    Raises:
        InputError: the file cannot be written.
    """
    fields = {name: msgspec.to_builtins(getattr(alignment, name)) for name in ("frame_rate", "source", "failed")}
    head = msgspec.json.encode(fields)[:-1]
    lines = (
        msgspec.json.encode(name) + b":" + msgspec.json.encode(utterance)
        for name, utterance in alignment.utterances.items()
    )
    replace_file(path, head + b',"utterances":{\n' + b",\n".join(lines) + b"\n}}\n")


def describe(alignment: Alignment) -> str:
    """Figures by which a reader sees that an alignment is sane; one line each."""
    utterances = [utterance for utterance in alignment.utterances.values() if utterance.phones]
    if not utterances:
        return f"0 utterances aligned, {len(alignment.failed)} failed"
    phones = [phone for utterance in utterances for phone in utterance.phones]
    lengths = np.array([phone.end - phone.start for phone in phones if phone.phoneme != PAUSE])
    first = [u.phones[0].end if u.phones[0].phoneme == PAUSE else 0 for u in utterances]
    last = [u.frames - u.phones[-1].start if u.phones[-1].phoneme == PAUSE else 0 for u in utterances]
    inner = sum(phone.phoneme == PAUSE for u in utterances for phone in u.phones[1:-1])
    ms = 1000 / FRAME_RATE
    short = f"{100 * (lengths <= SHORTEST).mean():.1f} % at {ms * SHORTEST:.0f} ms or below"
    return "\n".join(
        [
            f"{len(utterances)} utterances aligned, {len(alignment.failed)} failed",
            f"{len(lengths)} phones of {ms * lengths.mean():.1f} ms on average, "
            f"median {ms * np.median(lengths):.0f} ms, {short}",
            f"pauses: leading {ms * np.median(first):.0f} ms, trailing {ms * np.median(last):.0f} ms (medians), "
            f"{inner / len(utterances):.2f} inside an utterance",
        ]
    )


def _mistake(utterance: AlignedUtterance) -> str:
    """What is wrong with an utterance's phones, as a sentence; empty where nothing is."""
    phones, words = utterance.phones, len(utterance.words)
    if not phones:
        return "has no phones; expected at least one"
    for index, phone in enumerate(phones):
        if phone.phoneme not in _KNOWN:
            return f"phone {index} is {phone.phoneme!r}; expected a phoneme of the CMU dictionary or {PAUSE}"
        if not (phone.word == -1 if phone.phoneme == PAUSE else 0 <= phone.word < words):
            return f"phone {index} is in word {phone.word}; expected -1 for a pause and else 0 to {words - 1}"
        if phone.end <= phone.start:
            return f"phone {index} is from {phone.start} to {phone.end}; expected an end after its start"
    for before, after in itertools.pairwise(phones):
        if before.end != after.start:
            return f"a phone ends at {before.end} and the next starts at {after.start}; expected no gap"
    found = f"{phones[0].start} to {phones[-1].end}"
    return "" if found == f"0 to {utterance.frames}" else f"phones are from {found}; expected 0 to {utterance.frames}"
