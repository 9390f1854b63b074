"""Utterances as the network is given them: coefficients, and the pairs that are to be heard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wavejit.audio import read_audio
from wavejit.errors import InputError
from wavejit.training.alignment import SAMPLE_RATE, AlignedUtterance, Alignment
from wavejit.training.corpus import Corpus, Utterance
from wavejit.training.mfcc import mfcc
from wavejit.training.segmentation.pairs import pair_classes

MOST_FRAMES = 2000  # of an utterance that is trained on: one long one would make its whole batch slow


@dataclass(frozen=True)
class Example:
    """An utterance's coefficients `(frames, 20)`, its pairs' classes `(pairs,)`, and its alignment."""

    name: str
    mfcc: NDArray[np.float32]
    pairs: NDArray[np.int64]
    aligned: AlignedUtterance


@dataclass(frozen=True)
class Batch:
    """Utterances padded with zeros to the longest.

    `mfcc` `(batch, frames, 20)`, `pairs` of all one after the other, `frames` and `lengths` (of pairs) `(batch,)`.
    """

    mfcc: Tensor
    pairs: Tensor
    frames: Tensor
    lengths: Tensor


def read_examples(utterances: Sequence[Utterance], alignment: Alignment) -> list[Example]:
    """The aligned ones among `utterances`, in their order.

    Raises:
        InputError: a recording cannot be read, or has another length than its alignment.
    """
    examples: list[Example] = []
    for utterance in utterances:
        if (aligned := alignment.utterances.get(utterance.name)) is None:
            continue
        samples, _ = read_audio(utterance.audio, SAMPLE_RATE)
        coefficients = mfcc(samples)
        if abs(len(coefficients) - aligned.frames) > 1:
            raise InputError(
                f"{str(utterance.audio)!r} has {len(coefficients)} frames, its alignment {aligned.frames}; "
                "expected an alignment of this recording"
            )
        pairs = pair_classes(aligned.phones)
        examples.append(Example(utterance.name, coefficients, pairs, aligned))
    return examples


def split_examples(corpus: Corpus, alignment: Alignment) -> tuple[list[Example], list[Example]]:
    """Examples to train on, and held-out ones.

    Raises:
        InputError: as for `read_examples` and `Corpus.split`, or one side has no aligned utterance.
    """
    train, held = (read_examples(side, alignment) for side in corpus.split())
    if not train or not held:
        raise InputError(
            f"{str(corpus.folder)!r}: {len(train)} aligned utterances to train on and {len(held)} held out"
        )
    return train, held


def batches(examples: Sequence[Example], size: int, seed: int, epoch: int) -> Iterator[Batch]:
    """An epoch's batches, in an order that seed and epoch determine; utterances of about one length go together."""
    random = np.random.default_rng((seed, epoch))
    usable = [example for example in examples if len(example.pairs) < len(example.mfcc) <= MOST_FRAMES]
    # Lengths with some noise: like with like, and yet other neighbours in each epoch.
    keys = [len(example.mfcc) * random.uniform(0.9, 1.1) for example in usable]
    order = np.argsort(keys)
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    for group in random.permutation(len(groups)):
        yield collate([usable[index] for index in groups[group]])


def collate(examples: Sequence[Example]) -> Batch:
    """One batch of `examples`."""
    longest = max(len(example.mfcc) for example in examples)
    padded = np.stack([np.pad(example.mfcc, ((0, longest - len(example.mfcc)), (0, 0))) for example in examples])
    return Batch(
        torch.from_numpy(padded),
        torch.from_numpy(np.concatenate([example.pairs for example in examples])),
        torch.tensor([len(example.mfcc) for example in examples]),
        torch.tensor([len(example.pairs) for example in examples]),
    )
