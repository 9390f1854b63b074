"""Word errors, on paper and as the recogniser hears them."""

from pathlib import Path

import pytest

from wavejit.evaluation.words import recognised, word_error_rate, words_of


def test_words_are_compared_without_punctuation() -> None:
    assert words_of("Author of the danger trail, Philip Steels, etc.")[-3:] == ["philip", "steels", "etc"]
    assert words_of("Don’t — it's 5!") == ["don't", "it's", "5"]
    assert words_of(" … ") == []


@pytest.mark.parametrize(
    ("found", "errors"),
    [("a b c d", 0), ("a x c d", 1), ("a c d", 1), ("a b b c d", 1), ("b c d a", 2), ("", 4), ("p q r s t", 5)],
)
def test_each_replaced_missing_or_added_word_is_an_error(found: str, errors: int) -> None:
    assert word_error_rate(["a", "b", "c", "d"], found.split()) == errors / 4


def test_a_recording_is_understood_for_the_most_part_and_always_alike(shared: Path) -> None:
    pytest.importorskip("pocketsphinx", reason="comes with the extra evaluate")
    from wavejit.audio import read_audio

    path = sorted((shared / "data" / "kathleen").glob("arctic_a0190_*.flac"))[0]
    samples, rate = read_audio(path)
    first = recognised(samples, rate)
    assert word_error_rate(words_of(path.with_suffix(".txt").read_text()), first) < 0.5
    start = samples[: rate // 2]
    before = recognised(start, rate)
    recognised(0.1 * start[::-1], rate)
    assert recognised(start, rate) == before
