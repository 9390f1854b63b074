"""Numbers as English words, as Americans say them: `one hundred five`, `twenty twenty four`, `twenty first`."""

from __future__ import annotations

_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_POWERS = (
    *("", "thousand", "million", "billion", "trillion", "quadrillion", "quintillion"),
    *("sextillion", "septillion", "octillion", "nonillion", "decillion"),
)
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
LARGEST_DIGITS = 3 * len(_POWERS)  # of a number that has a name; longer ones are read digit by digit


def cardinal(digits: str) -> str:
    """`1204` as `one thousand two hundred four`; commas are ignored. A leading zero, or too many digits: one by one."""
    digits = digits.replace(",", "")
    if len(digits) > LARGEST_DIGITS or (len(digits) > 1 and digits[0] == "0"):
        return spelled_digits(digits)
    number = int(digits)
    if number < 1000:
        return _below_thousand(number)
    words: list[str] = []
    for power in range(len(_POWERS) - 1, -1, -1):
        group, number = divmod(number, 1000**power)
        if group:
            words += [_below_thousand(group), _POWERS[power]]
    return " ".join(words).strip()


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    words = [_SMALL[hundreds], "hundred"] if hundreds else []
    if rest >= 20:
        words += [_TENS[rest // 10], *([_SMALL[rest % 10]] if rest % 10 else [])]
    elif rest or not hundreds:
        words.append(_SMALL[rest])
    return " ".join(words)


def ordinal(digits: str) -> str:
    """`21` as `twenty first`."""
    *before, last = cardinal(digits).split(" ")
    regular = last[:-1] + "ieth" if last.endswith("y") else last + "th"
    return " ".join([*before, _ORDINALS.get(last, regular)])


def decimal(number: str) -> str:
    """`3.14` as `three point one four`; without a point, a cardinal."""
    whole, point, fraction = number.partition(".")
    if not point or not fraction:
        return cardinal(whole)
    return " ".join(([cardinal(whole)] if whole else []) + ["point", spelled_digits(fraction)])


def spelled_digits(digits: str) -> str:
    """`107` as `one zero seven`; what is no digit is left out."""
    return " ".join(_SMALL[int(digit)] for digit in digits if digit.isdecimal())


def year(digits: str) -> str:
    """`1984` as `nineteen eighty four`, `1905` as `nineteen oh five`, `2005` as `two thousand five`."""
    century, rest = int(digits[:-2] or "0"), int(digits[-2:])
    if century == 0 or (century % 10 == 0 and rest < 10):
        return cardinal(str(int(digits)))
    if rest == 0:
        return f"{cardinal(str(century))} hundred"
    return f"{cardinal(str(century))} {'oh ' if rest < 10 else ''}{cardinal(str(rest))}"


def decade(digits: str) -> str:
    """`1990` as `nineteen nineties`, `90` as `nineties`, `1900` as `nineteen hundreds`."""
    return plural(year(digits) if len(digits) > 2 else cardinal(digits))


def plural(words: str) -> str:
    """The last word as a plural: `ninety` as `nineties`, `six` as `sixes`."""
    if words.endswith("y") and words[-2:-1] not in "aeiou":
        return words[:-1] + "ies"
    return words + ("es" if words.endswith(("x", "s", "ch", "sh")) else "s")


def fraction(above: str, below: str) -> str:
    """`3`, `4` as `three quarters`."""
    count, parts = int(above), int(below)
    if parts in (0, 1) or parts > 100:
        return f"{cardinal(above)} over {cardinal(below)}"
    name = {2: "half", 4: "quarter"}.get(parts) or ordinal(below)
    return f"{cardinal(above)} {name if count == 1 else 'halves' if parts == 2 else plural(name)}"


def roman(numeral: str) -> int:
    """The value of a Roman numeral in capitals, 1 to 3999; 0 where it is none as the Romans wrote it."""
    values = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
    digits = [values.get(letter, 0) for letter in numeral]
    number = sum(-a if a < b else a for a, b in zip(digits, [*digits, 0][1:], strict=True))
    return number if 0 < number < 4000 and numeral == _as_roman(number) else 0


def _as_roman(number: int) -> str:
    parts = (
        *((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL")),
        *((10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")),
    )
    numeral = ""
    for value, letters in parts:
        numeral += letters * (number // value)
        number %= value
    return numeral
