"""What the acoustic model reads of a sentence: a row of numbers a phoneme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wavejit.text.phonemes import PAUSE, PHONEMES

KINDS = ("statement", "question", "exclamation")
PAUSE_WORD = -1

_CLASS = {phoneme: i for i, phoneme in enumerate(PHONEMES)}
_FLAGS = 5  # begins a word, ends a word, before a pause, behind a pause, how far into the sentence
SYMBOL_SIZE = len(PHONEMES) + _FLAGS + len(KINDS)


@dataclass(frozen=True)
class Phonemes:
    """The phonemes of a sentence, with pauses between and about its words.

    Attributes:
        symbols: of `text/phonemes.py`.
        words: of each phoneme, the index of its word; `PAUSE_WORD` for a pause.
        kind: of the sentence, one of `KINDS`.
    """

    symbols: tuple[str, ...]
    words: tuple[int, ...]
    kind: str = "statement"

    def __post_init__(self) -> None:
        if len(self.symbols) != len(self.words):
            raise ValueError(f"{len(self.symbols)} phonemes of {len(self.words)} words, expected as many")

    def rows(self) -> NDArray[np.float32]:
        """`(phonemes, SYMBOL_SIZE)`."""
        rows = np.zeros((len(self.symbols), SYMBOL_SIZE), np.float32)
        rows[np.arange(len(self.symbols)), [_CLASS[symbol] for symbol in self.symbols]] = 1
        flags = rows[:, len(PHONEMES) :]
        begins, ends = edges(self.words)
        silent = [symbol == PAUSE for symbol in self.symbols]
        flags[:, 0], flags[:, 1] = begins, ends
        flags[:, 2], flags[:, 3] = [*silent[1:], True], [True, *silent[:-1]]
        flags[:, 4] = np.linspace(0, 1, len(rows)) if len(rows) > 1 else 0
        flags[:, _FLAGS + KINDS.index(self.kind)] = 1
        return rows


def edges(words: Sequence[int]) -> tuple[list[bool], list[bool]]:
    """Of each phoneme: whether it begins its word, and whether it ends it."""
    begins = [i == 0 or words[i - 1] != word for i, word in enumerate(words)]
    ends = [*begins[1:], True]
    return begins, ends
