"""The voice inside the package: it is there, small, and says what is written."""

from pathlib import Path

import numpy as np
import pytest

from wavejit import Speaker
from wavejit.audio import log_mel_correlation, mel_features, read_audio
from wavejit.audio.pitch import fundamental_frequency
from wavejit.training.corpus import read_corpus
from wavejit.voice import builtin_folder

TEXT = "Hello, world. It is 7:45 on May 5th, and this costs $3.50."
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    return Speaker()


def test_it_is_small_and_states_its_licence(speaker: Speaker) -> None:
    files = [file for file in builtin_folder().rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 8 * MEGABYTE
    assert {file.name for file in files} >= {"voice.json", "README.md", "LICENSE"}
    assert speaker.voice.config.licence == "CC0-1.0"
    assert speaker.voice.config.provenance


def test_it_speaks_like_a_woman_at_a_fit_level(speaker: Speaker) -> None:
    audio = speaker.say(TEXT, seed=1)
    assert speaker.sample_rate == 24_000
    assert 4 < len(audio) / speaker.sample_rate < 10
    f0 = fundamental_frequency(audio, speaker.sample_rate, 240)
    voiced = f0[f0 > 0]
    assert 0.35 < len(voiced) / len(f0) < 0.85
    assert 140 < np.median(voiced) < 260
    assert np.mean((voiced > 90) & (voiced < 400)) > 0.97
    frames = audio[: len(audio) // 480 * 480].reshape(-1, 480)
    levels = 20 * np.log10(np.sqrt((frames**2).mean(1)) + 1e-9)
    assert -30 < np.percentile(levels, 75) < -15
    assert np.abs(audio).max() < 1


def test_pitch_and_speed_are_heard(speaker: Speaker) -> None:
    plain, high = (speaker.say("Many men were there.", pitch=factor) for factor in (1.0, 1.3))
    f0 = [fundamental_frequency(audio, speaker.sample_rate, 240) for audio in (plain, high)]
    medians = [np.median(values[values > 0]) for values in f0]
    assert medians[1] / medians[0] == pytest.approx(1.3, rel=0.08)
    fast = speaker.say("Many men were there.", speed=1.5)
    assert len(fast) == pytest.approx(len(plain) / 1.5, rel=0.12)


def test_what_is_said_is_understood(speaker: Speaker, tmp_path: Path) -> None:
    """A small recogniser, told only that one of three sentences comes, hears which."""
    pocketsphinx = pytest.importorskip("pocketsphinx", reason="needs pocketsphinx")
    import soxr

    sentences = ("author of the danger trail", "for the twentieth time that evening", "not at this particular case")
    grammar = tmp_path / "three.jsgf"
    grammar.write_text(f"#JSGF V1.0; grammar three; public <s> = {' | '.join(sentences)};")
    for sentence in sentences:
        audio = soxr.resample(speaker.say(sentence.capitalize() + "."), speaker.sample_rate, 16_000)
        decoder = pocketsphinx.Decoder(jsgf=str(grammar), loglevel="FATAL")
        decoder.start_utt()
        decoder.process_raw((np.clip(audio * 2, -1, 1) * 32767).astype("<i2").tobytes(), full_utt=True)
        decoder.end_utt()
        assert decoder.hyp() is not None
        assert decoder.hyp().hypstr == sentence


def test_no_sentence_begins_with_a_click(speaker: Speaker) -> None:
    audio = speaker.say("Many men were there.", seed=2)
    assert np.abs(audio[:480]).max() < 0.01 < 0.1 < np.abs(audio).max()


def test_copies_are_like_the_recordings(speaker: Speaker, shared: Path) -> None:
    """What the vocoder and its post-filter make of the features of recordings that were held out of training."""
    contract = speaker.vocoder.model.features
    assert contract is not None
    for utterance in read_corpus(shared / "data" / "kathleen").split(20)[1][:2]:
        samples, rate = read_audio(utterance.audio, speaker.sample_rate)
        made = speaker.vocoder.generate(mel_features(samples, contract), temperature=speaker.voice.config.temperature)
        late = speaker.vocoder.model.behind
        assert log_mel_correlation(samples[: len(made) - late], made[late:], rate) > 0.97
        assert abs(20 * np.log10(made.std() / samples.std())) < 1.0
