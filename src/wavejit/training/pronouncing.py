"""How the words of an utterance may be said: as text to speech would read them, and as the dictionary has them else."""

from __future__ import annotations

from wavejit.text.lexicon import Pronunciation, bundled_lexicon
from wavejit.text.spoken import utterance


def pronunciations(text: str) -> tuple[tuple[str, tuple[Pronunciation, ...]], ...]:
    """The words of `text` as they are normalised, each with the ways to say it, the likeliest here first.

    Raises:
        InputError: nothing in the text can be said, or it cannot be read.
    """
    lexicon = bundled_lexicon()
    return tuple(
        (word.text, tuple(dict.fromkeys((word.phonemes, *lexicon.alternatives(word.text)))))
        for sentence in utterance(text)
        for word in sentence.words
    )
