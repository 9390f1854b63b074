"""Text as people write it to the words that are said: numbers, money, dates, abbreviations, addresses.

What comes out is small letters, punctuation, and single capital letters for the names of letters: `the F B I paid
five dollars.` A rule takes what it knows and leaves words, so that their order is all that decides; a rule for
something special (a date) stands before one for its parts (a number).

Own rules, not a library. wetext 0.1.8, the grammars of WeTextProcessing compiled, was tried: five packages, three of
them native, 1.4 s to import, 20 ms a sentence, and it reads `$5.50` as `five point five dollars`, `the 1990s` as
`ninety seconds` and leaves `Henry VIII` and initials alone. num2words is LGPL; inflect brings a run-time type checker
to a function of thirty lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from wavejit.text.abbreviations import say_abbreviations, say_acronyms, say_signs, split_mixed
from wavejit.text.addresses import say_addresses
from wavejit.text.amounts import NUMBER, say_amounts
from wavejit.text.fold import fold
from wavejit.text.lexicon import Lexicon, bundled_lexicon
from wavejit.text.moments import say_moments
from wavejit.text.numbers import cardinal, decimal, fraction, ordinal, plural, roman, spelled_digits


@dataclass(frozen=True)
class Normalised:
    """Words as they are said.

    Attributes:
        text: words in small letters, names of letters as single capitals, `, ; : . ! ? — ( ) "`.
        notes: what was left out, a sentence each.
    """

    text: str
    notes: tuple[str, ...] = ()


_PHONE = re.compile(r"(?<![\w$£€.,/-])(?:\+?(\d{1,3})[ .-])?(?:\((\d{3})\) ?|(\d{3})[ .-])(\d{3})[ .-](\d{4})(?![\w-])")
_SHORT_PHONE = re.compile(r"(?<![\w$£€.,/-])(\d{3})-(\d{4})(?![\w-])")
_DOTTED = re.compile(r"(?<![\w.])[vV]?(\d+(?:\.\d+){2,})(?![\w]|\.\d)")
_VERSION = re.compile(r"\b[vV]\.?(\d+(?:\.\d+)*)\b")
# Behind the name of a program the figures behind the point are a number of their own.
_RELEASE = re.compile(r"\b([Vv]ersion|[Rr]elease|Python|Java|Windows|Linux|Firefox|Android|iOS) (\d+)\.(\d+)\b(?!\.\d)")
_SAID_TOGETHER = re.compile(r"(?<![\w/.])(24/7|9/11|50/50)(?![\w/])")
_FRACTION = re.compile(r"(?<![\w/.,])(?:(\d+)[ -])?(\d{1,3})/(\d{1,3})(?![\w/]|\.\d)")
_ORDINAL = re.compile(rf"(?<![\w.])({NUMBER})(?:st|nd|rd|th)\b")
_RANGE = re.compile(rf"(?<![\w.,–-])({NUMBER})\s?(?:–|(?<! )-(?! ))\s?({NUMBER})(?![\w–-]|\.\d)")
_NEGATIVE = re.compile(rf"(?<![\w.)])[-–](?={NUMBER})")
_PLURAL = re.compile(r"(?<![\w.])(\d+)'?s\b")
_PLAIN = re.compile(NUMBER)
_REGNAL = (
    "Henry|Louis|Charles|George|Edward|James|William|Richard|Elizabeth|Mary|Anne|Catherine|Peter|Paul|John|Pius|Benedict"
    "|Gregory|Leo|Clement|Innocent|Alexander|Nicholas|Frederick|Wilhelm|Philip|Ferdinand|Napoleon|Ramses|Ptolemy|Otto"
    "|Margrethe|Gustav|Christian|Harald|Felipe|Carlos|Juan|Victor|Urban|Boniface|Francis|Ivan|Joseph|Leopold|Rudolf"
)
_REGNAL_NUMERAL = re.compile(rf"\b({_REGNAL})(?: (Paul))? ([IVXL]+)(?='s|[^\w']|$)")
_NUMBERED_NUMERAL = re.compile(
    r"\b(War|Chapter|Part|Volume|Act|Scene|Section|Title|Phase|Type|Class|Book|Bowl|Mark|Apollo|Article|Level|Stage|Grade"
    r"|Appendix|Schedule|Division|Group|Vatican|Rocky|Fantasy|Corps) ([IVXLC]+)(?=[^\w']|$)"
)
_LETTER_A = re.compile(
    r"(?<!^)(?<![.!?\"(] )\bA(?=[^\w' ]|$)|(?<=\b[Pp]lan )A\b|(?<=[Vv]itamin )A\b|(?<=[Hh]epatitis )A\b"
)
_WORD = re.compile(r"[A-Za-z']+")


def normalise(text: str, lexicon: Lexicon | None = None) -> Normalised:
    """The words of `text`, a sentence or a part of one; `lexicon` (the bundled one) knows which acronyms are words."""
    text, notes = fold(text)
    text = re.sub(r"\s+", " ", text).strip()
    text = say_addresses(text)
    text = _say_phones(text)
    text = say_moments(text)
    text = say_amounts(text)
    text = _say_romans(text)
    text = _say_numbers(text)
    text = say_abbreviations(text)
    text = _PLAIN.sub(lambda found: f" {_number(found[0])} ", split_mixed(text))
    text = say_signs(text)
    text = _mark_letters(text)
    text = say_acronyms(text, lexicon or bundled_lexicon())
    return Normalised(_tidy(text), notes)


def _say_phones(text: str) -> str:
    def digits(found: re.Match[str]) -> str:
        return ", ".join(spelled_digits(group) for group in found.groups() if group)

    return _SHORT_PHONE.sub(digits, _PHONE.sub(digits, text))


def _say_romans(text: str) -> str:
    def regnal(found: re.Match[str]) -> str:
        name = " ".join(part for part in (found[1], found[2]) if part)
        follows = found.string[found.end() :]
        if found[3] == "I" and re.match(r" [a-z]", follows) and not follows.startswith(" of "):
            return found[0]  # `the Charles I know`
        number = roman(found[3])
        return f"{name} the {ordinal(str(number))}" if number else found[0]

    def numbered(found: re.Match[str]) -> str:
        number = roman(found[2])
        return f"{found[1]} {cardinal(str(number))}" if number else found[0]

    return _NUMBERED_NUMERAL.sub(numbered, _REGNAL_NUMERAL.sub(regnal, text))


def _say_numbers(text: str) -> str:
    text = _DOTTED.sub(lambda found: " point ".join(map(cardinal, found[1].split("."))), text)
    text = _VERSION.sub(lambda found: "version " + " point ".join(map(cardinal, found[1].split("."))), text)
    text = _RELEASE.sub(lambda found: f"{found[1]} {cardinal(found[2])} point {cardinal(found[3])}", text)
    text = _SAID_TOGETHER.sub(lambda found: " ".join(map(cardinal, found[1].split("/"))), text)
    text = _FRACTION.sub(_fraction, text)
    text = _ORDINAL.sub(lambda found: ordinal(found[1].partition(".")[0]), text)
    text = _RANGE.sub(lambda found: f"{_number(found[1])} to {_number(found[2])}", text)
    text = _NEGATIVE.sub("minus ", text)
    return _PLURAL.sub(lambda found: plural(cardinal(found[1])), text)


def _fraction(found: re.Match[str]) -> str:
    whole, above, below = found.groups()
    said = fraction(above, below)
    if not whole:
        return said
    return f"{cardinal(whole)} and {said if said.split(' ')[0] != 'one' else 'a ' + said.split(' ', 1)[1]}"


def _number(digits: str) -> str:
    return decimal(digits.replace(",", ""))


def _mark_letters(text: str) -> str:
    """Small letters for all words but those in capitals; a single `A` is the article unless it stands like a name."""
    text = _LETTER_A.sub("\x01", text)
    text = re.sub(r"\bA\b(?! [A-Z]\b)", "a", text)
    text = text.replace("\x01", "A")
    return _WORD.sub(lambda found: found[0] if _is_capitals(found[0]) else found[0].lower(), text)


def _is_capitals(word: str) -> bool:
    return re.fullmatch(r"[A-Z]+(?:'?s)?", word) is not None


def _tidy(text: str) -> str:
    """Only words and the punctuation that is heard, with single spaces."""
    text = re.sub(r"\s*(?:–|--+|—)\s*|\s-+\s", " — ", text)
    text = re.sub(r"\.{2,}", "…", text)
    text = re.sub(r"[^A-Za-z' ,;:.!?…—()\"-]", " ", text)
    text = re.sub(r"(?<![A-Za-z])'(?!n')([A-Za-z][^']*)'(?![A-Za-z])", r"\1", text)  # quotes, not apostrophes
    text = re.sub(r"(?<![A-Za-z])'+(?![A-Za-z])|(?<![A-Za-z])-+|-+(?![A-Za-z])", " ", text)
    text = re.sub(r"\s+(?=[,;:.!?…)])", "", text)
    return re.sub(r"\s+", " ", text).strip()
