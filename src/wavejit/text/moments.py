"""Dates, times of day, years and decades in words; dates in digits are read as Americans write them, month first."""

from __future__ import annotations

import re

from wavejit.text.numbers import cardinal, decade, ordinal, year

MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_SHORT = {month[:3]: month for month in MONTHS} | {"sept": "september"}
_MONTH = rf"(?P<month>(?:{'|'.join(m.title() for m in MONTHS)})\b|(?:{'|'.join(s.title() for s in _SHORT)})\b\.?)"
_DAY = r"(?P<day>[12]\d|3[01]|0?[1-9])(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>1\d{3}|20\d\d)"
_NO_MORE = r"(?![\d/]|[.,-]\d)"

_MONTH_DAY = re.compile(rf"\b{_MONTH} {_DAY}(?:,? {_YEAR})?\b{_NO_MORE}")
_DAY_MONTH = re.compile(rf"\b(?P<the>[Tt]he )?{_DAY} (?:of )?{_MONTH}(?:,? {_YEAR}\b)?{_NO_MORE}")
_MONTH_YEAR = re.compile(rf"\b{_MONTH},? {_YEAR}\b{_NO_MORE}")
_SLASHES = re.compile(rf"(?<![\d/])(?P<month>1[0-2]|0?[1-9])/{_DAY}/(?P<year>\d{{4}}|\d\d)(?![\d/])")
_ISO = re.compile(rf"(?<![\d-])(?P<year>1\d{{3}}|20\d\d)-(?P<month>1[0-2]|0[1-9])-{_DAY}(?![\d-])")
_SPAN = re.compile(r"(?<![\d.,-])(1[1-9]\d\d|20\d\d)\s?[-–]\s?(1[1-9]\d\d|20\d\d|\d\d)(?![\d-]|[.,]\d)")
_DECADE = re.compile(r"(?<![\d.,$£€])(?:'(?=\d\d'?s))?(1\d\d0|20\d0|[1-9]0)'?s\b")
_PLAIN_YEAR = re.compile(r"(?<![\d.,$£€¥₹#/:°+-])(1[1-9]\d\d|20\d\d)(?![\d/:%°]|[.,]\d|-\d)\b")
# Earlier ones look like counts: only a word before tells them.
_EARLY_YEAR = re.compile(r"\b([Ii]n|[Ss]ince|[Uu]ntil|[Bb]efore|[Aa]fter) (10\d\d)(?![\w/:%°-]|[.,]\d)(?! [a-z]+s\b)")
_HALF = r"\s?(?P<half>[aApP])(?:\.\s?[mM]\.|[mM]\b)"
_CLOCK = re.compile(
    rf"(?<![\d:.])(?P<hour>2[0-3]|1\d|0?\d):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?(?![\d:])(?:{_HALF})?"
)
_HOUR = re.compile(rf"(?<![\d:.,])(?P<hour>1[0-2]|[1-9]){_HALF}")


def say_moments(text: str) -> str:
    """`text` with its dates, times, years and decades in words."""
    for pattern in (_ISO, _SLASHES, _MONTH_DAY, _DAY_MONTH, _MONTH_YEAR):
        text = pattern.sub(_date, text)
    text = _CLOCK.sub(_clock, text)
    text = _HOUR.sub(lambda found: f"{cardinal(found['hour'])} {found['half'].upper()} M", text)
    text = _SPAN.sub(
        lambda found: f"{year(found[1])} to {year(found[2]) if len(found[2]) > 2 else cardinal(found[2])}", text
    )
    text = _DECADE.sub(lambda found: decade(found[1]), text)
    text = _EARLY_YEAR.sub(lambda found: f"{found[1]} {year(found[2])}", text)
    return _PLAIN_YEAR.sub(lambda found: year(found[1]), text)


def _date(found: re.Match[str]) -> str:
    parts = found.groupdict()
    name = parts["month"].rstrip(".").lower()
    words = [MONTHS[int(name) - 1] if name.isdecimal() else _SHORT.get(name, name)]
    if parts.get("the"):
        words[0] = f"{parts['the']}{ordinal(parts['day'])} of {words[0]}"
    elif parts.get("day"):
        words.append(ordinal(str(int(parts["day"]))))
    if digits := parts.get("year"):
        words.append(year(digits) if len(digits) == 4 else year(("20" if int(digits) < 50 else "19") + digits))
    return " ".join(words)


def _clock(found: re.Match[str]) -> str:
    hour, minute = int(found["hour"]), int(found["minute"])
    words = [cardinal(str(hour))]
    if minute:
        words.append(("oh " if minute < 10 else "") + cardinal(str(minute)))
    elif not found["half"] and not found["second"]:
        words.append("o'clock" if 0 < hour <= 12 else "hundred")
    if found["second"]:
        words.append(f"and {cardinal(str(int(found['second'])))} seconds")
    if found["half"]:
        words.append(f"{found['half'].upper()} M")
    return " ".join(words)
