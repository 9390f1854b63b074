"""A word to its phonemes: the dictionary, then rules for its inflections, then letters to sound."""

from __future__ import annotations

from functools import cache, lru_cache

from wavejit.text.letters_to_sound import LETTERS, LettersToSound, bundled_letters_to_sound
from wavejit.text.lexicon import Lexicon, Pronunciation, bundled_lexicon
from wavejit.text.phonemes import STRESSES, without_stress

_HISSING = {"S", "Z", "SH", "ZH", "CH", "JH"}
_VOICELESS = {"P", "T", "K", "F", "TH", *_HISSING - {"Z", "ZH", "JH"}}
_VOWEL_LETTERS = "aeiou"
SHORTEST_PART = 5
"""Letters of either half of a compound. Of held-out words with halves of four the network reads more phonemes right."""


class Pronouncer:
    """Words to phonemes, by one dictionary and one network.

    Args:
        lexicon: looked up first.
        network: asked for what no rule derives.
    """

    def __init__(self, lexicon: Lexicon, network: LettersToSound) -> None:
        self.lexicon, self._network = lexicon, network
        self._read = lru_cache(4096)(network.pronounce)

    def pronounce(self, word: str) -> Pronunciation:
        """The phonemes of `word` as `normalise` writes it: small letters, or the name of a letter as a capital."""
        if word[0].isupper():
            return self._letters(word)
        return self._known(word) or self._hyphened(word) or self.derive(word) or self._spell_out(word)

    def _known(self, word: str) -> Pronunciation:
        return next(iter(self.lexicon.alternatives(word)), ())

    def _letters(self, word: str) -> Pronunciation:
        """The names of capitals: `B`, and `B's` for their plural."""
        letters, _, _ = word.partition("'")
        names = [phoneme for letter in letters.lower() for phoneme in self._known(letter + ".")]
        return plural(tuple(names)) if word.endswith(("'s", "s")) else tuple(names)

    def _hyphened(self, word: str) -> Pronunciation:
        parts = [part for part in word.split("-") if part]
        return tuple(phoneme for part in parts for phoneme in self.pronounce(part)) if len(parts) > 1 else ()

    def derive(self, word: str) -> Pronunciation:
        """`word` as an inflection or a compound of words of the dictionary; () where it is none."""
        return self._inflected(word) or self._compound(word)

    def _inflected(self, word: str) -> Pronunciation:
        if word.endswith("'s") and (base := self.pronounce(word[:-2])):
            return plural(base)
        if word.endswith("'") and len(word) > 1:
            return self.pronounce(word[:-1])
        for ending, inflect in (("s", plural), ("ed", past), ("ing", gerund), ("ly", adverb)):
            if word.endswith(ending):
                for stem in _stems(word[: -len(ending)], ending):
                    if len(stem) > 2 and (base := self._known(stem)):
                        return inflect(base)
        return ()

    def _compound(self, word: str) -> Pronunciation:
        for at in range(len(word) - SHORTEST_PART, SHORTEST_PART - 1, -1):
            first, second = self._known(word[:at]), self._known(word[at:])
            if first and second:
                return first + tuple(phoneme.replace("1", "2") for phoneme in second)
        return ()

    def _spell_out(self, word: str) -> Pronunciation:
        return self._read("".join(letter for letter in word if letter in LETTERS))


def _stems(rest: str, ending: str) -> list[str]:
    """What `rest` and `ending` may come from: `tri(ed)` from `try`, `stopp(ed)` from `stop`, `hop(ing)` from `hope`."""
    if ending == "ly":
        return [rest]
    if rest.endswith("ie") and ending == "s":
        return [rest, rest[:-2] + "y"]
    if rest.endswith("i") and ending == "ed":
        return [rest[:-1] + "y"]
    if ending == "s":
        return [rest, *([rest[:-1]] if rest.endswith(("se", "xe", "ze", "che", "she", "oe")) else [])]
    doubled = len(rest) > 3 and rest[-1] == rest[-2] and rest[-1] not in _VOWEL_LETTERS
    return [*([rest[:-1]] if doubled else []), rest + "e", rest] if doubled else [rest, rest + "e"]


def plural(base: Pronunciation) -> Pronunciation:
    """With the sound of `s`: `cats`, `dogs`, `boxes`."""
    if base[-1] in _HISSING:
        return (*base, "IH0", "Z")
    return (*base, "S" if base[-1] in _VOICELESS else "Z")


def past(base: Pronunciation) -> Pronunciation:
    """With the sound of `ed`: `asked`, `begged`, `wanted`."""
    if base[-1] in ("T", "D"):
        return (*base, "IH0", "D")
    return (*base, "T" if base[-1] in _VOICELESS else "D")


def gerund(base: Pronunciation) -> Pronunciation:
    """With the sound of `ing`."""
    return (*base, "IH0", "NG")


def adverb(base: Pronunciation) -> Pronunciation:
    """With the sound of `ly`; a last `L` is not said twice."""
    return (*(base[:-1] if base[-1] == "L" else base), "L", "IY0")


def begins_with_vowel(phonemes: Pronunciation) -> bool:
    """Whether the first sound is a vowel, so that `the` before it is `thee`."""
    return without_stress(phonemes[0]) != phonemes[0] and phonemes[0][-1] in STRESSES


@cache
def bundled_pronouncer() -> Pronouncer:
    """The pronouncer of what comes with wavejit; read once, when first asked for."""
    return Pronouncer(bundled_lexicon(), bundled_letters_to_sound())
