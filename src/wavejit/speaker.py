"""Text to speech: sentences to phonemes, to frames, to audio, each as soon as the one before it allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavejit.acoustic.model import Spoken
from wavejit.acoustic.symbols import PAUSE_WORD, Phonemes
from wavejit.errors import InputError
from wavejit.text.phonemes import PAUSE
from wavejit.text.pronounce import bundled_pronouncer
from wavejit.text.spoken import Sentence, utterance
from wavejit.voice import Voice, load_voice

Audio = NDArray[np.float32]

BEGIN_FRAMES, END_FRAMES = 5, 15  # of silence that the vocoder makes about a sentence; more of it is plain zeros
SLOWEST, FASTEST = 0.25, 4.0
FIRST_FRAMES, FRAMES = 20, 50  # of a chunk: the first is short, so that sound begins early


@dataclass(frozen=True)
class PhonemeTiming:
    """When a phoneme is said, seconds from the begin of all audio."""

    phoneme: str
    start: float
    end: float


@dataclass(frozen=True)
class WordTiming:
    """When a word is said, seconds from the begin of all audio."""

    word: str
    start: float
    end: float
    phonemes: tuple[PhonemeTiming, ...]


@dataclass(frozen=True)
class SentenceTiming:
    """When a sentence is said; `notes` are what its text asks for and is not said."""

    start: float
    end: float
    words: tuple[WordTiming, ...]
    notes: tuple[str, ...]


class Speaker:
    """A voice that speaks.

        speaker = wavejit.Speaker()
        audio = speaker.say("Hello, world.")  # float32, (samples,), at speaker.sample_rate

    Any number of threads may call it.
    """

    def __init__(
        self,
        voice: str | Path | None = None,
        precision: str | None = None,
        threads: int | str = 1,
        target: str | None = None,
    ) -> None:
        """Load and compile a voice.

        Args:
            voice: a voice's folder; None for the built-in voice.
            precision: of the vocoder's weights; None for what the voice says.
            threads, target: as for `Model.compile`.

        Raises:
            InputError: there is no such voice, its folder is not sound, or a choice that there is not.
        """
        self.voice: Voice = load_voice(voice)
        config = self.voice.config
        self.vocoder = self.voice.vocoder.compile(precision or config.precision, threads, target=target)
        bundled_pronouncer()  # is read here, so that the first sentence does not wait for it
        self._behind = self.voice.vocoder.behind

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return self.vocoder.sample_rate

    def say(
        self, text: str, speed: float = 1.0, pitch: float = 1.0, seed: int = 0, temperature: float | None = None
    ) -> Audio:
        """All of `text` as audio, float32 `(samples,)` in [-1, 1]; arguments as for `stream`."""
        return np.concatenate(list(self.stream(text, speed, pitch, seed, temperature)))

    def stream(
        self,
        text: str | Iterable[str],
        speed: float = 1.0,
        pitch: float = 1.0,
        seed: int = 0,
        temperature: float | None = None,
        on_sentence: Callable[[SentenceTiming], None] | None = None,
    ) -> Iterator[Audio]:
        """Speak a text sentence by sentence, with the memory of one.

        Args:
            text: plain text or SSML, whole or in pieces; docs/text.md says what is read.
            speed: 2 speaks twice as fast; 0.25 to 4.
            pitch: 2 speaks an octave higher; 0.25 to 4.
            seed: the same seed gives the same audio.
            temperature: of the vocoder's draws; None for what the voice says.
            on_sentence: is called before a sentence's first audio.

        Yields:
            float32 chunks `(samples,)` in [-1, 1].

        Raises:
            InputError: nothing in the text can be said, or a choice is out of its range.
        """
        for name, value in (("speed", speed), ("pitch", pitch)):
            if not SLOWEST <= value <= FASTEST:
                raise InputError(f"{name} is {value:g}, expected {SLOWEST:g} to {FASTEST:g}")
        heat = self.voice.config.temperature if temperature is None else temperature
        self.vocoder.stream((), seed=seed, temperature=heat)  # refuses what is out of range
        return self._speak(utterance(text), speed, pitch, seed, heat, on_sentence)

    def _speak(
        self,
        sentences: Iterable[Sentence],
        speed: float,
        pitch: float,
        seed: int,
        temperature: float,
        on_sentence: Callable[[SentenceTiming], None] | None,
    ) -> Iterator[Audio]:
        said = 0  # samples
        pause = 0.0  # seconds that the sentence before asks for behind it, and only another one gets
        hop = self.vocoder.hop_length
        for number, sentence in enumerate(sentences):
            spoken = self.plan(sentence, speed, pitch)
            silence = self._silence(pause, speed, END_FRAMES) + self._silence(sentence.pause_before, speed)
            if on_sentence:
                on_sentence(timing(sentence, spoken, (said + silence) / self.sample_rate, hop / self.sample_rate))
            if silence:
                yield np.zeros(silence, np.float32)
            yield from self._sound(spoken, seed, number, temperature)
            said += silence + spoken.prosody.total * hop
            pause = sentence.words[-1].pause_after

    def plan(self, sentence: Sentence, speed: float = 1.0, pitch: float = 1.0) -> Spoken:
        """How a sentence will be said."""
        symbols, words = [PAUSE], [PAUSE_WORD]
        pauses = {0: BEGIN_FRAMES}
        factors = [(speed, pitch)]
        for index, word in enumerate(sentence.words):
            symbols += word.phonemes
            words += [index] * len(word.phonemes)
            factors += [(speed * word.prosody.rate, pitch * word.prosody.pitch)] * len(word.phonemes)
            if word.pause_after and index < len(sentence.words) - 1:
                pauses[len(symbols)] = max(1, round(word.pause_after * self._frame_rate / speed))
                symbols.append(PAUSE)
                words.append(PAUSE_WORD)
                factors.append((speed, pitch))
        pauses[len(symbols)] = END_FRAMES
        phonemes = Phonemes((*symbols, PAUSE), (*words, PAUSE_WORD), sentence.kind)
        rates, pitches = np.array([*factors, (speed, pitch)]).T
        return self.voice.acoustic.plan(phonemes, rates, pitches, pauses)

    @property
    def _frame_rate(self) -> float:
        return self.sample_rate / self.vocoder.hop_length

    def _silence(self, seconds: float, speed: float, made: int = 0) -> int:
        """Samples of plain silence behind `made` frames of it."""
        return max(0, round(seconds / speed * self.sample_rate) - made * self.vocoder.hop_length)

    def _sound(self, spoken: Spoken, seed: int, number: int, temperature: float) -> Iterator[Audio]:
        """The audio of a sentence, without what the vocoder is behind its features."""
        skip, left = self._behind, spoken.prosody.total * self.vocoder.hop_length
        gain = np.float32(self.voice.config.gain)
        for chunk in self.vocoder.stream(self._frames(spoken), seed=seed, temperature=temperature, stream=number):
            audio = np.clip(chunk[skip:] * gain, -1, 1)[:left]
            skip, left = max(0, skip - len(chunk)), left - len(audio)
            if len(audio):
                yield audio

    def _frames(self, spoken: Spoken) -> Iterator[Audio]:
        """A sentence's frames in chunks, and its last again until all that the vocoder owes is out."""
        frames = np.zeros((0, self.voice.acoustic.features.channels), np.float32)
        for frames in self.voice.acoustic.frames(spoken, FIRST_FRAMES, FRAMES):
            yield frames
        owed = -(-self._behind // self.vocoder.hop_length)
        yield np.repeat(frames[-1:], owed, 0)


def timing(sentence: Sentence, spoken: Spoken, start: float, frame: float) -> SentenceTiming:
    """When a planned sentence's words and phonemes are said; `start` and `frame` in seconds."""
    ends = start + frame * np.cumsum(spoken.prosody.frames)
    starts = ends - frame * spoken.prosody.frames
    phonemes: dict[int, list[PhonemeTiming]] = {}
    for symbol, word, begin, end in zip(spoken.phonemes.symbols, spoken.phonemes.words, starts, ends, strict=True):
        phonemes.setdefault(word, []).append(PhonemeTiming(symbol, round(float(begin), 3), round(float(end), 3)))
    words = tuple(
        WordTiming(word.text, phonemes[i][0].start, phonemes[i][-1].end, tuple(phonemes[i]))
        for i, word in enumerate(sentence.words)
    )
    return SentenceTiming(round(start, 3), round(float(ends[-1]), 3), words, sentence.notes)
