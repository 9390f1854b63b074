"""Any Unicode text as the characters that English is written in, with a note of what was left out.

Compatibility forms (NFKC), typographic quotes, dashes and accents are folded. Emoji, other scripts and signs without
a name are left out: a voice that guesses at them would say something that nobody wrote.
"""

from __future__ import annotations

import re
import unicodedata

_PLAIN = {
    **dict.fromkeys("‘’‚‛′ʼʹ`´", "'"),
    **dict.fromkeys("“”„‟″«»‹›", '"'),
    **dict.fromkeys("‐‑", "-"),
    **dict.fromkeys("−–‒", "–"),  # a minus reads like the dash between two numbers; `normalise` tells them apart
    **dict.fromkeys("—―⸺⸻", "—"),
    **dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff\ufe0f\ufe0e\u200e\u200f™®©", ""),
    "ß": "ss",
    "æ": "ae",
    "Æ": "Ae",
    "œ": "oe",
    "Œ": "Oe",
    "ø": "o",
    "Ø": "O",
    "ł": "l",
    "Ł": "L",
    "đ": "d",
    "Đ": "D",
    "ð": "d",
    "Ð": "D",
    "þ": "th",
    "Þ": "Th",
    "ı": "i",
    "µ": "micro ",
    "⁄": "/",
    "∕": "/",
    "№": "No. ",
    "²": "^2",
    "³": "^3",
    "·": " ",
    "•": ", ",
    "…": "...",
    "¡": "",
    "¿": "",
    "。": ".",
    "、": ",",
    "÷": " divided by ",
    "≈": " about ",
    "≤": " at most ",
    "≥": " at least ",
    "±": " plus or minus ",
}
_TABLE = str.maketrans(_PLAIN)
_FRACTION = re.compile(r"(\d?)([¼-¾⅐-⅞])")
_KEPT = re.compile(r"[\x20-\x7e\n–—£€¥₹¢°×]")


def fold(text: str) -> tuple[str, tuple[str, ...]]:
    """`text` in ASCII and a few signs (`– — £ € ¥ ₹ ¢ ° ×`), and a note where something had to be left out."""
    if text.isascii() and text.isprintable():
        return text, ()
    # `2½` is `2 1/2`, not 21 halves.
    text = _FRACTION.sub(lambda found: f"{found[1]} {unicodedata.normalize('NFKC', found[2])}", text)
    text = unicodedata.normalize("NFKC", text.translate(_TABLE)).translate(_TABLE)
    folded: list[str] = []
    left_out: dict[str, None] = {}  # in order, each once
    for character in unicodedata.normalize("NFKD", text):
        if unicodedata.combining(character):
            continue
        if _KEPT.match(character):
            folded.append(character)
            continue
        folded.append(" ")
        if not character.isspace() and unicodedata.category(character) not in ("Cc", "Cf", "Cs"):
            left_out[character] = None
    return "".join(folded), _notes(list(left_out))


def _notes(left_out: list[str]) -> tuple[str, ...]:
    if not left_out:
        return ()
    shown = " ".join(left_out[:8]) + (" …" if len(left_out) > 8 else "")
    return (f"left out, no English sound: {shown}",)
