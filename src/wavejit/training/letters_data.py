"""The dictionary as lessons in reading: which words are held out, and batches of words of one length.

A word is held out by a hash of its stem, so that `walk`, `walks`, `walked` and `walk's` fall on one side: a word whose
inflection was learnt would measure memory. Stems are cut by endings alone, so a rare pair still falls apart.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from wavejit.text.letters_to_sound import LETTERS, LONGEST, START
from wavejit.text.lexicon import Lexicon, Pronunciation
from wavejit.text.phonemes import PHONEMES

HELD_OUT_PERCENT = 5
IGNORED = -100  # a target that no loss is taken of, as PyTorch's cross entropy has it
_ENDING = re.compile(r"('s|s'|'|ings?|eds?|ers?|ies|es|s|ly|y|e|ness)$")

Pair = tuple[str, Pronunciation]


def stem(word: str) -> str:
    """`word` without its endings, as long as three letters are left."""
    while (shorter := _ENDING.sub("", word)) != word and len(shorter) >= 3:
        word = shorter
    return word


def held_out(word: str) -> bool:
    """Whether `word` is kept for the evaluation; the same in every run."""
    digest = hashlib.sha256(stem(word).encode()).digest()
    return int.from_bytes(digest[:4], "little") % 100 < HELD_OUT_PERCENT


def readable(lexicon: Lexicon) -> list[str]:
    """The words of a dictionary that are written in `LETTERS` alone."""
    return [word for word in lexicon if len(word) <= LONGEST and not set(word) - set(LETTERS)]


def pairs(lexicon: Lexicon) -> list[Pair]:
    """Words to learn from, each with each of its pronunciations."""
    return [(word, one) for word in readable(lexicon) if not held_out(word) for one in lexicon.alternatives(word)]


def batches(lessons: list[Pair], size: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """An epoch in an order given by `seed`: letters, phonemes before, and the phonemes, with `IGNORED` behind them.

    A batch holds at most `size` words, all of one length, so that the encoder needs no mask; int64.
    """
    rng = np.random.default_rng(seed)
    lengths: dict[int, list[Pair]] = {}
    for index in rng.permutation(len(lessons)):
        lengths.setdefault(len(lessons[index][0]), []).append(lessons[index])
    cut = [words[at : at + size] for words in lengths.values() for at in range(0, len(words), size)]
    for index in rng.permutation(len(cut)):
        yield _tensors(cut[index])


def batch_count(lessons: list[Pair], size: int) -> int:
    """How many batches an epoch has."""
    return sum(-(-count // size) for count in Counter(len(word) for word, _ in lessons).values())


def _tensors(batch: list[Pair]) -> tuple[Tensor, Tensor, Tensor]:
    letters = torch.tensor([[LETTERS.index(letter) for letter in word] for word, _ in batch])
    steps = 1 + max(len(phonemes) for _, phonemes in batch)
    before = torch.full((len(batch), steps), START)
    after = torch.full((len(batch), steps), IGNORED)
    for row, (_, phonemes) in enumerate(batch):
        classes = torch.tensor([_CLASSES[phoneme] for phoneme in phonemes])
        before[row, 1 : len(classes) + 1] = classes
        after[row, : len(classes)] = classes
        after[row, len(classes)] = START
    return letters, before, after


_CLASSES = {phoneme: index for index, phoneme in enumerate(PHONEMES)}
