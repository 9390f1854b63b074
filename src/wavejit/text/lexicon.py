"""Words and how they are said: the CMU Pronouncing Dictionary, packed.

A packed dictionary is two texts, each compressed with zlib: the words in order of the alphabet, a line each, and
beside each word its pronunciations, a character for each phoneme and a space between alternatives. It is kept as
text in memory, so that loading costs two splits; a pronunciation is spelled out when it is asked for.

Source: `data/cmudict.license` is the notice of the dictionary, `python -m wavejit.training.lexicon` packs it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources

from wavejit.errors import InputError
from wavejit.text.phonemes import PHONEMES

Pronunciation = tuple[str, ...]
"""Phonemes of one word, vowels with their stress; never empty."""

PACKED = "cmudict.bin"
_MAGIC = b"WJLX"
_FIRST = 40  # the character of phoneme 0: printable ones follow, and neither space nor line feed is among them
_CODES = {phoneme: chr(_FIRST + index) for index, phoneme in enumerate(PHONEMES)}


class Lexicon:
    """Words and their pronunciations; nothing in it changes.

    Args:
        coded: for each word in small letters its pronunciations as `encode` writes them.
    """

    def __init__(self, coded: dict[str, str]) -> None:
        self._coded = coded

    def alternatives(self, word: str) -> tuple[Pronunciation, ...]:
        """Every pronunciation of `word` (small letters), the usual one first; () where it is not in here."""
        coded = self._coded.get(word)
        if coded is None:
            return ()
        return tuple(tuple(PHONEMES[ord(code) - _FIRST] for code in one) for one in coded.split(" "))

    def __contains__(self, word: str) -> bool:
        return word in self._coded

    def __iter__(self) -> Iterator[str]:
        return iter(self._coded)

    def __len__(self) -> int:
        return len(self._coded)


def encode(entries: Mapping[str, Sequence[Pronunciation]]) -> bytes:
    """The packed dictionary of `entries`, each with one pronunciation at least."""
    words = sorted(entries)
    coded = (" ".join("".join(_CODES[phoneme] for phoneme in one) for one in entries[word]) for word in words)
    texts = [zlib.compress("\n".join(lines).encode(), 9) for lines in (words, coded)]
    return _MAGIC + struct.pack("<II", *map(len, texts)) + b"".join(texts)


def decode(packed: bytes, name: str) -> Lexicon:
    """The dictionary that `encode` packed.

    Raises:
        InputError: `packed` is something else, or damaged; names `name`.
    """
    try:
        if packed[:4] != _MAGIC:
            raise ValueError(f"begins with {packed[:4]!r}, expected {_MAGIC!r}")
        first, second = struct.unpack_from("<II", packed, 4)
        if len(packed) != 12 + first + second:
            raise ValueError(f"is {len(packed)} bytes long, expected {12 + first + second}")
        words, coded = (zlib.decompress(part).decode() for part in (packed[12 : 12 + first], packed[12 + first :]))
        return Lexicon(dict(zip(words.split("\n"), coded.split("\n"), strict=True)))
    except (ValueError, struct.error, zlib.error) as error:
        raise InputError(f"{name}: is no packed dictionary: {error}") from None


@cache
def bundled_lexicon() -> Lexicon:
    """The dictionary that comes with wavejit; read once, when first asked for."""
    packed = resources.files("wavejit.text").joinpath("data", PACKED).read_bytes()
    return decode(packed, f"wavejit/text/data/{PACKED}")
