"""Money, percentages, temperatures and measures in words."""

from __future__ import annotations

import re

from wavejit.text.numbers import cardinal, decimal

NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+"
_SIGN = r"(?:(?<![\w.)])(?P<minus>[-–])\s?)?"
_SCALE = r"(?:\s?(?P<scale>hundred|thousand|million|billion|trillion|[KMB](?![\w])|bn\b|mn\b))?"
_SCALES = {"K": "thousand", "M": "million", "B": "billion", "bn": "billion", "mn": "million"}
_COINS = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
_MONEY = re.compile(rf"{_SIGN}(?:US)?(?P<coin>[$£€¥₹])\s?(?P<minus2>-)?(?P<number>{NUMBER}){_SCALE}")
_MONEY_BEHIND = re.compile(rf"(?<![\w.,]){_SIGN}(?P<number>{NUMBER}){_SCALE}\s?(?P<coin>[£€¥₹])")
_CENTS = re.compile(rf"(?<![\w.,])(?P<number>{NUMBER})\s?¢")
_PERCENT = re.compile(rf"(?<![\w.,]){_SIGN}(?P<number>{NUMBER})(?:\s?[-–]\s?(?P<upper>{NUMBER}))?\s?%")
_DEGREES = re.compile(rf"(?<![\w.,]){_SIGN}(?P<number>{NUMBER})\s?(?:°|deg\b)(?:\s?(?P<scale>[CFK]\b))?")
_SCALES_OF_HEAT = {"C": " celsius", "F": " fahrenheit", "K": " kelvin"}

# How a unit is written, and how one and several of it are said.
_UNITS = {
    "km": ("kilometer", ""),
    "m": ("meter", ""),
    "cm": ("centimeter", ""),
    "mm": ("millimeter", ""),
    "nm": ("nanometer", ""),
    "mi": ("mile", ""),
    "ft": ("foot", "feet"),
    "yd": ("yard", ""),
    "kg": ("kilogram", ""),
    "g": ("gram", ""),
    "mg": ("milligram", ""),
    "lb": ("pound", ""),
    "lbs": ("pound", ""),
    "oz": ("ounce", ""),
    "l": ("liter", ""),
    "L": ("liter", ""),
    "ml": ("milliliter", ""),
    "mL": ("milliliter", ""),
    "Hz": ("hertz", "hertz"),
    "kHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"),
    "KB": ("kilobyte", ""),
    "kB": ("kilobyte", ""),
    "MB": ("megabyte", ""),
    "GB": ("gigabyte", ""),
    "TB": ("terabyte", ""),
    "W": ("watt", ""),
    "kW": ("kilowatt", ""),
    "V": ("volt", ""),
    "kWh": ("kilowatt hour", ""),
    "ms": ("millisecond", ""),
    "s": ("second", ""),
    "sec": ("second", ""),
    "min": ("minute", ""),
    "h": ("hour", ""),
    "hr": ("hour", ""),
    "hrs": ("hour", ""),
    "dB": ("decibel", ""),
    "mph": ("mile per hour", "miles per hour"),
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "kph": ("kilometer per hour", "kilometers per hour"),
    "m/s": ("meter per second", "meters per second"),
    "mpg": ("mile per gallon", "miles per gallon"),
    "in": ("inch", "inches"),
}
_POWERS = {"2": "square ", "3": "cubic "}
_MEASURE = re.compile(
    rf"(?<![\w.,]){_SIGN}(?P<number>{NUMBER})(?:\s?(?P<to>[-–x×])\s?(?P<upper>{NUMBER}))?(?P<gap>[ -]?)"
    rf"(?P<unit>{'|'.join(sorted(map(re.escape, _UNITS), key=len, reverse=True))})"
    r"(?:\^(?P<power>[23]))?(?![\w/])(?P<dot>\.?)"
)


def say_amounts(text: str) -> str:
    """`text` with its money, percentages, temperatures and measures in words."""
    text = _MONEY_BEHIND.sub(_money, _MONEY.sub(_money, text))
    text = _CENTS.sub(lambda found: f"{_number(found)} {'cent' if found['number'] == '1' else 'cents'}", text)
    text = _PERCENT.sub(lambda found: f"{_number(found)} percent", text)
    text = _DEGREES.sub(_degrees, text)
    return _MEASURE.sub(_measure, text)


def _number(found: re.Match[str]) -> str:
    """The number that was found, with its sign, or both ends of a range."""
    parts = found.groupdict()
    words = ("minus " if parts.get("minus") or parts.get("minus2") else "") + decimal(parts["number"].replace(",", ""))
    if parts.get("upper"):
        words += (" by " if parts.get("to") in ("x", "×") else " to ") + decimal(parts["upper"].replace(",", ""))
    return words


def _money(found: re.Match[str]) -> str:
    one, several, small_one, small_several = _COINS[found["coin"]]
    if scale := found["scale"]:
        return f"{_number(found)} {_SCALES.get(scale, scale)} {several}"
    number = found["number"].replace(",", "")
    whole, _, part = number.partition(".")
    if len(part) != 2 or not small_one:  # `$2.5` and `$1.125` are no coins
        return f"{_number(found)} {one if number == '1' else several}"
    words: list[str] = []
    if int(whole or "0") or not int(part):
        words.append(f"{cardinal(str(int(whole or '0')))} {one if whole == '1' else several}")
    if int(part):
        words.append(f"{cardinal(str(int(part)))} {small_one if part == '01' else small_several}")
    return ("minus " if found["minus"] or found.groupdict().get("minus2") else "") + " and ".join(words)


def _degrees(found: re.Match[str]) -> str:
    if found["scale"] == "K":
        return f"{_number(found)} kelvin"
    one = found["number"] == "1"
    return f"{_number(found)} {'degree' if one else 'degrees'}{_SCALES_OF_HEAT.get(found['scale'] or '', '')}"


def _measure(found: re.Match[str]) -> str:
    unit = found["unit"]
    if unit == "in" and not found["dot"]:  # `5 in the morning`
        return found[0]
    if unit == "s" and not found["gap"]:  # `the 20s`, `747s`
        return found[0]
    one, several = _UNITS[unit]
    single = found["number"] == "1" and not found["upper"]
    name = one if single or found["gap"] == "-" else several or one + "s"
    dot = found["dot"] if found.end() == len(found.string) and unit != "in" else ""
    return f"{_number(found)} {_POWERS.get(found['power'] or '', '')}{name}{dot}"
