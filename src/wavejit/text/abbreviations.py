"""Abbreviations, acronyms and signs in words, and which of them a full stop belongs to."""

from __future__ import annotations

import re

from wavejit.text.lexicon import Lexicon

# Before a name, or a number: a sentence never ends behind one.
TITLES = {
    "Mr": "mister",
    "Mrs": "missus",
    "Ms": "miz",
    "Dr": "doctor",
    "Prof": "professor",
    "Rev": "reverend",
    "Gen": "general",
    "Col": "colonel",
    "Capt": "captain",
    "Lt": "lieutenant",
    "Sgt": "sergeant",
    "Cpl": "corporal",
    "Maj": "major",
    "Adm": "admiral",
    "Cmdr": "commander",
    "Sen": "senator",
    "Gov": "governor",
    "Hon": "honorable",
    "Pres": "president",
    "Rep": "representative",
    "Mt": "mount",
    "Ft": "fort",
    "Messrs": "messieurs",
    "Fr": "father",
    "St": "saint",
    "Fig": "figure",
    "fig": "figure",
    "vs": "versus",
    "e.g": "for example",
    "i.e": "that is",
    "cf": "compare",
    "approx": "approximately",
    "pp": "pages",
    "Vol": "volume",
    "vol": "volume",
    "viz": "namely",
}
# Behind a word: a sentence may end here, if what follows begins like one.
TAILS = {
    "Jr": "junior",
    "Sr": "senior",
    "Inc": "incorporated",
    "Ltd": "limited",
    "Co": "company",
    "Corp": "corporation",
    "etc": "et cetera",
    "Ave": "avenue",
    "Rd": "road",
    "Blvd": "boulevard",
    "Ln": "lane",
    "Sq": "square",
    "Dept": "department",
    "dept": "department",
    "Bros": "brothers",
    "Assn": "association",
    "Univ": "university",
    "est": "established",
    "Jan": "january",
    "Feb": "february",
    "Mar": "march",
    "Apr": "april",
    "Aug": "august",
    "Sept": "september",
    "Sep": "september",
    "Oct": "october",
    "Nov": "november",
    "Dec": "december",
    "Mon": "monday",
    "Tue": "tuesday",
    "Tues": "tuesday",
    "Wed": "wednesday",
    "Thu": "thursday",
    "Thurs": "thursday",
    "Fri": "friday",
    "Sat": "saturday",
    "Sun": "sunday",
    "al": "al",
    "misc": "miscellaneous",
}
_WORDS = {**TITLES, **TAILS}
_ABBREVIATION = re.compile(rf"(?<![\w.@])({'|'.join(sorted(map(re.escape, _WORDS), key=len, reverse=True))})\.")
# What people leave the stop out of; the others are words without it.
_BARE = re.compile(r"\b(Mr|Mrs|Ms|Dr|Jr|Sgt|Capt|Lt|Blvd|vs|etc)\b(?!\.)")
_STREET = re.compile(r"(?<=[a-z]) (St|Dr)\.(?! [A-Z][a-z])")  # behind a name: Elm St., Ocean Dr.
_SAINT = re.compile(r"\bSt\b\.?(?= [A-Z][a-z])")
_NUMBER = re.compile(r"\b[Nn]os?\. ?(?=\d)|(?<!\w)#\s?(?=\d)")
_INITIALS = re.compile(r"\b(?:[A-Za-z]\.){2,}(?:[A-Za-z]\b)?")  # U.S., a.m., J.R.R.
_PHD = re.compile(r"\bPh\.?D\b\.?")
_SLASHED = (
    (re.compile(r"\bw/o\b"), "without"),
    (re.compile(r"\bw/(?=\s|[a-z])"), "with "),
    (re.compile(r"\band/or\b"), "and or"),
)
_ALL_CAPITALS = re.compile(r"\b[A-Z][A-Z]+(?:'?s)?\b")
_MIXED = re.compile(r"\b(?=[A-Za-z-]*\d)(?=[\d-]*[A-Za-z])[A-Za-z\d]+(?:-[A-Za-z\d]+)*\b")
_SIGNS = (
    *((" & ", " and "), ("&", " and "), ("+", " plus "), ("=", " equals "), ("×", " times "), ("%", " percent ")),
    *(("@", " at "), ("°", " degrees "), ("<", " less than "), (">", " greater than "), ("^", " ")),
)


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Short words that are shouted more often than they are initials.
_SHOUTED = _set(
    "NO YES NOT AND THE ALL YOU ARE BUT FOR NOW OUT NEW TOO WHO WHY HOW CAN DID HAS WAS SO TO DO GO BE MY ME WE HE"
    " IF OF ON IN IS BY AN AT UP OR AS OK OH SEE END ANY OUR ONE TWO BIG BAD DAY MAN OLD WAY GET GOT HER HIM HIS ITS"
    " LET MAY"
)
# Initials that are said as a word; others of four letters are words where the dictionary has them.
_SAID = _set("PIN SIM RAM ROM AIDS NASA NATO UNESCO UNICEF OPEC NAFTA RADAR LASER SCUBA FEMA OSHA SWAT COVID")
_SPELLED = _set("US IT HTML HTTP HTTPS JSON ACLU NAACP YMCA NCAA ESPN HBO")


def say_abbreviations(text: str) -> str:
    """`text` with titles, streets, initials and the like as words; capitals that are left are names of letters."""
    text = _NUMBER.sub("number ", text)
    text = _PHD.sub("P H D", text)
    text = _STREET.sub(lambda found: {"St": " street", "Dr": " drive"}[found[1]] + _stop(found), text)
    text = _SAINT.sub("saint", text)
    for pattern, words in _SLASHED:
        text = pattern.sub(words, text)
    text = _ABBREVIATION.sub(lambda found: _WORDS[found[1]] + _stop(found), text)
    text = _BARE.sub(lambda found: _WORDS[found[1]], text)
    return _INITIALS.sub(lambda found: " ".join(found[0].replace(".", "").upper()) + _stop(found), text)


def _stop(found: re.Match[str]) -> str:
    """The full stop that ends both the abbreviation and the text."""
    return "." if found.end() == len(found.string) and found[0].endswith(".") else ""


def say_acronyms(text: str, lexicon: Lexicon) -> str:
    """`text` with what is in capitals as words or as letters; mixtures of letters and digits cut into both."""
    words = re.findall(r"[A-Za-z]{2,}", text)
    shouting = len(words) > 2 and all(word.isupper() for word in words)

    def acronym(found: re.Match[str]) -> str:
        whole = found[0]
        letters = whole.rstrip("s").rstrip("'") if whole[-1] == "s" else whole
        behind = whole[len(letters) :]
        if (
            letters in _SAID
            or letters in _SHOUTED
            or (shouting and letters.lower() in lexicon and letters not in _SPELLED)
        ):
            return whole.lower()
        if len(letters) > 3 and letters not in _SPELLED and letters.lower() in lexicon:
            return whole.lower()
        if len(letters) > 5 and letters not in _SPELLED and re.search("[AEIOUY]", letters):
            return whole.lower()  # too long to be spelled: a word that the dictionary does not have
        return " ".join(letters) + ("'s" if behind else "")

    return _ALL_CAPITALS.sub(acronym, text)


def split_mixed(text: str) -> str:
    """`MP3` as `MP 3`, `F-16` as `F 16`; a prefix in small letters stays a word."""

    def cut(found: re.Match[str]) -> str:
        parts = re.findall(r"[A-Za-z]+|\d+", found[0])
        return " ".join(part.upper() if part.isalpha() and len(part) == 1 else part for part in parts)

    return _MIXED.sub(cut, text)


def say_signs(text: str) -> str:
    """`text` with the signs that have a name in words."""
    for sign, words in _SIGNS:
        text = text.replace(sign, words)
    return re.sub(r"(?<=\w)\s?/\s?(?=\w)", " or ", text)
