from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from wavejit.errors import InputError
from wavejit.text.letters_to_sound import LETTERS, bundled_letters_to_sound, decode_weights, encode_weights
from wavejit.text.lexicon import bundled_lexicon, decode, encode
from wavejit.text.phonemes import PHONEMES
from wavejit.text.pronounce import bundled_pronouncer
from wavejit.training.lexicon import read_dictionary


def test_dictionary():
    lexicon = bundled_lexicon()
    assert len(lexicon) > 125_000
    assert [" ".join(one) for one in lexicon.alternatives("read")] == ["R EH1 D", "R IY1 D"]
    assert lexicon.alternatives("zorgleflex") == ()
    assert "Carnegie Mellon" in resources.files("wavejit.text").joinpath("data", "cmudict.license").read_text("utf-8")


def test_a_dictionary_comes_back(tmp_path: Path):
    source = tmp_path / "words.dict"
    source.write_text(";;; a remark\nRead R IY1 D # verb\nread(2) R EH1 D\na AH0\n")
    entries = read_dictionary(source)
    assert entries == {"read": [("R", "IY1", "D"), ("R", "EH1", "D")], "a": [("AH0",)]}
    packed = encode(entries)
    lexicon = decode(packed, "words")
    assert {word: list(lexicon.alternatives(word)) for word in lexicon} == entries
    for damaged in (packed[:-1], b"XXXX" + packed[4:], packed[:20] + b"\0\0" + packed[22:], b""):
        with pytest.raises(InputError, match="words: is no packed dictionary"):
            decode(damaged, "words")


def test_a_dictionary_is_refused_by_line(tmp_path: Path):
    source = tmp_path / "words.dict"
    source.write_text("a AH0\nb XX\n")
    with pytest.raises(InputError, match="line 2: found 'XX' after 'b', expected phonemes"):
        read_dictionary(source)


@pytest.mark.parametrize(
    ("word", "phonemes"),
    [
        ("zebra's", "Z IY1 B R AH0 Z"),
        ("smurf's", "S M ER1 F S"),
        ("keyboards'", "K IY1 B AO2 R D Z"),
        ("rock-climb", "R AA1 K K L AY1 M"),
        ("B's", "B IY1 Z"),
        ("X", "EH1 K S"),
        ("spreadsheeted", "S P R EH1 D SH IY2 T IH0 D"),
        ("blogging", "B L AO1 G IH0 NG"),
        ("thunderbasket", "TH AH1 N D ER0 B AE2 S K AH0 T"),
    ],
)
def test_words_are_derived(word: str, phonemes: str):
    assert " ".join(bundled_pronouncer().pronounce(word)) == phonemes


def test_letters_to_sound_reads_any_letters():
    network = bundled_letters_to_sound()
    for word in ("a", "-", "'", "zzz", "blick", "x" * 100, LETTERS):
        first = network.pronounce(word)
        assert first
        assert set(first) < set(PHONEMES)
        assert network.pronounce(word) == first
    assert network.pronounce("blick") == ("B", "L", "IH1", "K")
    for word in ("", "É", "a b"):
        with pytest.raises(ValueError, match="is no word"):
            network.pronounce(word)


def test_weights_keep_eight_bits():
    content = resources.files("wavejit.text").joinpath("data", "letters_to_sound.safetensors").read_bytes()
    weights = sum(array.size for array in safetensors.numpy.load(content).values())
    assert len(content) < 1.05 * weights, f"{len(content)} bytes for {weights} weights"
    with pytest.raises(InputError, match="is no safetensors file"):
        decode_weights(content[:100], "network")
    with pytest.raises(InputError, match="has no weight"):
        decode_weights(encode_weights({"letters.weight": np.ones((2, 2), np.float32)}), "network")
