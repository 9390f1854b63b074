"""Whether the words are understood: the word error rate of a small recogniser."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from wavejit.audio import pcm16
from wavejit.evaluation.opinion import RATE, resampled

if TYPE_CHECKING:
    from pocketsphinx import Decoder


def words_of(text: str) -> list[str]:
    """The words of a text in small letters, without punctuation; numbers and abbreviations stay as they are written."""
    return re.findall(r"[a-z0-9]+(?:'[a-z]+)*", text.lower().replace("’", "'"))


def recognised(samples: ArrayLike, sample_rate: int) -> list[str]:
    """What PocketSphinx understands with its general US English model, which knows no names and errs often.

    Args:
        samples: `(samples,)`, in [-1, 1].
        sample_rate: in Hz.
    """
    decoder = _decoder()
    decoder.start_utt()
    decoder.process_raw(pcm16(resampled(samples, sample_rate)), full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return words_of(found.hypstr) if found is not None else []


def word_error_rate(wanted: list[str], found: list[str]) -> float:
    """Words replaced, left out and added over the words wanted, of which there is at least one; it can exceed 1."""
    costs = np.arange(len(found) + 1)
    for i, word in enumerate(wanted, 1):
        before, costs = costs, np.empty_like(costs)
        costs[0] = i
        for j, other in enumerate(found, 1):
            costs[j] = min(before[j] + 1, costs[j - 1] + 1, before[j - 1] + (word != other))
    return float(costs[-1]) / len(wanted)


@cache
def _decoder() -> Decoder:
    from pocketsphinx import Decoder

    # Means are taken of each utterance alone: what was decoded before must not change what is understood now.
    return Decoder(samprate=RATE, cmn="batch", loglevel="FATAL")
