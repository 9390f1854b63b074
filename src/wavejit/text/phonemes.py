"""The phonemes of English as the CMU dictionary writes them, and the pauses between words.

Source: the CMU Pronouncing Dictionary's ARPAbet; a vowel ends in its stress, 0 none, 1 primary, 2 secondary.
"""

from __future__ import annotations

VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
CONSONANTS = (
    *("B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N"),
    *("NG", "P", "R", "S", "SH", "T", "TH", "V", "W", "Y", "Z", "ZH"),
)
STRESSES = ("0", "1", "2")
PAUSE = "SIL"  # silence, of any length

PHONEMES = (PAUSE, *CONSONANTS, *(vowel + stress for vowel in VOWELS for stress in STRESSES))
"""Every symbol that the models know; a symbol's index is its class."""


def without_stress(phoneme: str) -> str:
    """`AH0` as `AH`; a consonant or the pause as it is."""
    return phoneme[:-1] if phoneme[-1] in STRESSES else phoneme
