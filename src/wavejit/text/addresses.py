"""E-mail and web addresses, hashtags and mentions, as they are read aloud."""

from __future__ import annotations

import re

from wavejit.text.numbers import cardinal

_HOST = r"(?:[a-z0-9](?:[a-z0-9-]{0,62})\.)+"
_KNOWN = "com|org|net|edu|gov|io|info|co|uk|us|de|fr|eu|ca|au|jp|ch|dev|app|ai|me|tv|biz|int|mil"
EMAIL = re.compile(rf"\b[\w.+-]{{1,64}}@{_HOST}[a-z]{{2,24}}\b", re.IGNORECASE)
WEB = re.compile(
    rf"\b(?:(?P<scheme>https?|ftp)://|(?=www\.))(?P<rest>[^\s<>\"]+)"
    rf"|\b(?P<bare>{_HOST}(?:{_KNOWN})\b(?:/[^\s<>\"]*)?)",
    re.IGNORECASE,
)
TAG = re.compile(r"(?<![\w&])([#@])([A-Za-z_]\w*)")

_SIGNS = {
    ".": "dot",
    "@": "at",
    "/": "slash",
    "-": "dash",
    "_": "underscore",
    "+": "plus",
    ":": "colon",
    "?": "question mark",
    "=": "equals",
    "&": "and",
    "%": "percent",
    "#": "hash",
    "~": "tilde",
}
_SPELLED = {
    "www",
    "http",
    "https",
    "ftp",
    "html",
    "php",
    "uk",
    "us",
    "eu",
    "tv",
    "io",
    "ai",
    "de",
    "fr",
    "au",
    "jp",
    "ch",
}
_PART = re.compile(r"[A-Za-z]+|\d+|[^A-Za-z\d]")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=\d)|_")


def say_addresses(text: str) -> str:
    """`text` with its addresses, hashtags and mentions in words."""
    text = EMAIL.sub(lambda found: f" {_read(found[0])} ", text)
    text = WEB.sub(_web, text)
    return TAG.sub(lambda found: f"{'hashtag' if found[1] == '#' else 'at'} {_CAMEL.sub(' ', found[2])}", text)


def _web(found: re.Match[str]) -> str:
    address = found["bare"] or found["rest"]
    kept = address.rstrip(".,;:!?)]}'\"")
    behind = address[len(kept) :]
    kept = kept.rstrip("/")
    scheme = f"{_letters(found['scheme'])} colon slash slash " if found["scheme"] else ""
    return f" {scheme}{_read(kept)}{behind} "


def _read(address: str) -> str:
    words: list[str] = []
    for part in _PART.findall(address):
        if part.isdecimal():
            words.append(cardinal(part))
        elif part.isalpha():
            words.append(_letters(part) if part.lower() in _SPELLED else part.lower())
        else:
            words.append(_SIGNS.get(part, " "))
    return " ".join(words)


def _letters(word: str) -> str:
    return " ".join(word.upper())
