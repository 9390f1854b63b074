"""Text to speech, on a voice that babbles: times, chunks, pauses, and what is refused."""

import shutil
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.speaking import small_voice
from wavejit import InputError, Speaker
from wavejit.speaker import SentenceTiming

TEXT = "Hello, world. It is late!"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_voice(tmp_path_factory.mktemp("voice") / "babble")


@pytest.fixture(scope="module")
def speaker(folder: Path) -> Speaker:
    return Speaker(folder)


def timings_of(speaker: Speaker, text: str, **options: float) -> tuple[np.ndarray, list[SentenceTiming]]:
    said: list[SentenceTiming] = []
    audio = np.concatenate(list(speaker.stream(text, **options, on_sentence=said.append)))  # pyright: ignore[reportArgumentType]
    return audio, said


def test_the_timings_cover_the_audio_in_order(speaker: Speaker) -> None:
    audio, said = timings_of(speaker, TEXT)
    assert [[word.word for word in sentence.words] for sentence in said] == [["hello", "world"], ["it", "is", "late"]]
    assert said[0].start == 0
    words = [word for sentence in said for word in sentence.words]
    for word in words:
        assert word.start == word.phonemes[0].start < word.phonemes[-1].end == word.end
        for before, after in pairwise(word.phonemes):
            assert before.end == pytest.approx(after.start, abs=1e-3)
    assert all(before.end <= after.start for before, after in pairwise(words))
    assert said[-1].end == pytest.approx(len(audio) / speaker.sample_rate, abs=1e-3)
    assert said[1].start - said[0].end == pytest.approx(0.45 - 0.15)  # a sentence's pause, less what the voice makes


def test_the_same_seed_gives_the_same_audio_however_the_text_comes(speaker: Speaker) -> None:
    whole = speaker.say(TEXT, seed=3)
    assert whole.dtype == np.float32
    assert np.abs(whole).max() <= 1
    in_pieces = np.concatenate(list(speaker.stream(iter(TEXT), seed=3)))
    assert np.array_equal(whole, in_pieces)
    assert not np.array_equal(whole, speaker.say(TEXT, seed=4))


def test_a_sentence_sounds_before_the_text_is_over(speaker: Speaker) -> None:
    read: list[int] = []

    def endless() -> Iterator[str]:
        for i in range(10_000):
            read.append(i)
            yield f"This is sentence number {i}. "

    first = list(islice(speaker.stream(endless()), 3))
    assert len(first) == 3
    assert len(read) < 5


def test_speed_shortens_and_pitch_does_not(speaker: Speaker) -> None:
    slow, _ = timings_of(speaker, TEXT)
    fast, _ = timings_of(speaker, TEXT, speed=2.0)
    high, _ = timings_of(speaker, TEXT, pitch=1.5)
    assert len(fast) == pytest.approx(len(slow) / 2, rel=0.15)
    assert len(high) == len(slow)
    assert not np.array_equal(high, slow)


def test_a_break_is_as_long_as_it_asks(speaker: Speaker) -> None:
    plain, _ = timings_of(speaker, "<speak>one two</speak>")
    broken, _ = timings_of(speaker, '<speak>one <break time="700ms"/> two</speak>')
    difference = (len(broken) - len(plain)) / speaker.sample_rate
    assert difference == pytest.approx(0.7, abs=0.15)  # words beside a pause are said a little longer


def test_a_planned_pitch_is_shifted_by_its_factor(speaker: Speaker) -> None:
    from wavejit.text.spoken import utterance

    (sentence,) = utterance("Hello there.")
    low, high = speaker.plan(sentence), speaker.plan(sentence, pitch=2.0)
    np.testing.assert_allclose(high.prosody.ln_f0 - low.prosody.ln_f0, np.log(2), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speed": 0.1}, "speed is 0.1, expected 0.25 to 4"),
        ({"speed": float("nan")}, "speed is nan"),
        ({"pitch": 9.0}, "pitch is 9, expected 0.25 to 4"),
        ({"seed": -1}, "seed is -1"),
        ({"temperature": -1.0}, "temperature is -1"),
    ],
)
def test_choices_out_of_range_are_refused(speaker: Speaker, options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        speaker.say("Hello.", **options)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("text", ["", "   ", "🙂", "漢字"])
def test_a_text_with_nothing_to_say_is_refused(speaker: Speaker, text: str) -> None:
    with pytest.raises(InputError, match="nothing to say"):
        speaker.say(text)


def test_a_voice_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such voice"):
        Speaker(tmp_path / "absent")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gain": 0}, "voice.gain is 0"),
        ({"format": "x"}, "format is 'x', expected 'wavejit-voice-1'"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_damaged_voice_is_refused_by_its_field(
    folder: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    shutil.copytree(folder, tmp_path / "voice")
    file = tmp_path / "voice" / "voice.json"
    file.write_bytes(msgspec.json.encode(msgspec.json.decode(file.read_bytes()) | change))
    with pytest.raises(InputError, match=message):
        Speaker(tmp_path / "voice")


def test_an_acoustic_model_of_other_features_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "voice")
    file = tmp_path / "voice" / "acoustic" / "config.json"
    fields = msgspec.json.decode(file.read_bytes())
    fields["features"]["f_max"] = 3000.0
    file.write_bytes(msgspec.json.encode(fields))
    with pytest.raises(InputError, match="the vocoder wants other features"):
        Speaker(tmp_path / "voice")
