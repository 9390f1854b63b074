"""Alignment of an utterance by pocketsphinx: hidden Markov models of US English that come with it.

Two passes, as its documentation has them: the words with pauses where they fit, each word in the pronunciation that
fits best; then the phones. It knows no stress: its dictionary is written here from pronunciations with stress, so
that the one that it chose gives the stress back.

Source: Huggins-Daines et al. 2006, PocketSphinx.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pocketsphinx import Decoder, get_model_path

from wavejit.errors import InputError
from wavejit.text.lexicon import Pronunciation
from wavejit.text.phonemes import PAUSE, without_stress
from wavejit.training.alignment import FRAME_LENGTH, SAMPLE_RATE, AlignedUtterance, Phone

WINDOW = 410  # samples of a frame of pocketsphinx's: 25.6 ms
MARGIN = 30  # frames of quiet put before and after: where a clip is cut close, no pause would be found
SILENCE_PROBABILITY = 0.5  # of a pause after a word; pocketsphinx's own 0.005 lets words swallow short pauses
LEVEL = 0.1  # root mean square to which an utterance is brought
BEAMS = ((1e-48, 7e-29), (1e-90, 1e-70), (1e-200, 1e-150))
"""Beams of states and phones, and of words: pocketsphinx's own, then wider, for what was lost."""

# Frame t sees the samples from 160 t on. With so many before them, the middle between its window's centre and that
# of the frame before is sample 160 t of the recording: where we say that frame t starts.
_BEFORE = (WINDOW - FRAME_LENGTH) // 2


class SphinxAligner:
    """Aligns utterances whose words are all known beforehand.

    Args:
        dictionary: each word's alternatives; at least one word.
    """

    def __init__(self, dictionary: Mapping[str, tuple[Pronunciation, ...]]) -> None:
        self._keys = {word: f"w{index}" for index, word in enumerate(sorted(dictionary))}
        self._stressed: dict[str, Pronunciation] = {}
        for word, key in self._keys.items():
            # Pronunciations that differ in stress alone are one to pocketsphinx: the usual one stands for them.
            distinct = {tuple(map(without_stress, said)): said for said in reversed(dictionary[word])}
            for number, said in enumerate(reversed(distinct.values()), start=1):
                self._stressed[key if number == 1 else f"{key}({number})"] = said

    def align(self, samples: NDArray[np.float32], words: Sequence[str]) -> AlignedUtterance:
        """The phones of an utterance.

        Args:
            samples: `(samples,)`, at 16 kHz.
            words: what is said; words of the dictionary.

        Raises:
            InputError: the words were not found in the recording, with the widest beams either.
        """
        sound, frames = _prepare(samples)
        for decoder in self._decoders:
            if phones := self._attempt(decoder, sound, words, frames):
                return AlignedUtterance(tuple(words), frames, phones)
        raise InputError(f"{len(words)} words do not fit {frames} frames of the recording; expected what is said in it")

    def _attempt(self, decoder: Decoder, sound: bytes, words: Sequence[str], frames: int) -> tuple[Phone, ...]:
        decoder.set_align_text(" ".join(self._keys[word] for word in words))
        _decode(decoder, sound)
        if decoder.hyp() is None:
            return ()
        try:
            decoder.set_alignment()
            _decode(decoder, sound)
            entries = [(word.name, [phone.start for phone in word]) for word in decoder.get_alignment()]
        except (RuntimeError, TypeError):  # a path that breaks off: there is nothing to align, or to iterate over
            return ()
        spoken = [name for name, _ in entries if name in self._stressed]
        if [name.partition("(")[0] for name in spoken] != [self._keys[word] for word in words]:
            return ()
        return self._phones(entries, frames)

    def _phones(self, entries: list[tuple[str, list[int]]], frames: int) -> tuple[Phone, ...]:
        """Phones without gaps from pocketsphinx's words; what is no word is a pause, and neighbouring pauses one.

        Empty where a phone lies wholly in the margins.
        """
        starts: list[tuple[str, int, int]] = []  # phoneme, word, first frame
        word = -1
        for name, firsts in entries:
            if name in self._stressed:
                word += 1
                starts += [(phoneme, word, first) for phoneme, first in zip(self._stressed[name], firsts, strict=True)]
            elif not starts or starts[-1][0] != PAUSE:
                starts.append((PAUSE, -1, firsts[0]))
        places = [min(max(first - MARGIN, 0), frames) for _, _, first in starts]
        ends = [*places[1:], frames]
        phones = [
            Phone(phoneme, spoken, start, end)
            for (phoneme, spoken, _), start, end in zip(starts, places, ends, strict=True)
        ]
        phones = [phone for phone in phones if phone.phoneme != PAUSE or phone.end > phone.start]
        whole = all(phone.end > phone.start for phone in phones) and phones[0].start == 0
        return tuple(phones) if whole else ()

    @property
    def _decoders(self) -> Iterator[Decoder]:
        yield self._usual
        yield from self._wide

    @cached_property
    def _usual(self) -> Decoder:
        return self._decoder(*BEAMS[0])

    @cached_property
    def _wide(self) -> tuple[Decoder, ...]:
        return tuple(self._decoder(*beams) for beams in BEAMS[1:])

    def _decoder(self, beam: float, word_beam: float) -> Decoder:
        with tempfile.NamedTemporaryFile("w", suffix=".dict") as file:
            file.writelines(f"{key} {' '.join(map(without_stress, said))}\n" for key, said in self._stressed.items())
            file.flush()
            return Decoder(
                hmm=get_model_path("en-us/en-us"),
                lm=None,
                dict=file.name,
                samprate=SAMPLE_RATE,
                cmn="batch",
                beam=beam,
                pbeam=beam,
                wbeam=word_beam,
                silprob=SILENCE_PROBABILITY,
                # The best path of the lattice may begin with <s> for one frame, too short for the second pass.
                bestpath=False,
                loglevel="FATAL",
            )


def _prepare(samples: NDArray[np.float32]) -> tuple[bytes, int]:
    """16-bit samples at one level between two margins, so that pocketsphinx's frames are ours; how many are ours."""
    frames = -(-len(samples) // FRAME_LENGTH)
    level = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    if level < 1e-6:
        raise InputError("the recording is silent; expected speech")
    scaled = samples * min(LEVEL / level, 0.99 / float(np.abs(samples).max()))
    whole = np.pad(scaled, (0, frames * FRAME_LENGTH - len(samples))).reshape(frames, FRAME_LENGTH)
    # The margins are as loud as the recording's own quiet: digital silence is like nothing that the models know.
    quiet = float(np.quantile(np.sqrt(np.mean(whole**2, axis=1)), 0.05)) + 1e-4
    margin = np.random.default_rng(0).standard_normal((2, _BEFORE + MARGIN * FRAME_LENGTH)) * quiet
    padded = np.concatenate([margin[0], whole.reshape(-1), margin[1]])
    return np.rint(padded.clip(-1, 1) * 32767).astype("<i2").tobytes(), frames


def _decode(decoder: Decoder, sound: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(sound, full_utt=True)
    decoder.end_utt()
