"""Pack a dictionary in the format of CMU: `python -m wavejit.training.lexicon cmudict.dict PACKED`.

A line of such a file is a word, a space, its phonemes, and perhaps `# a remark`. Another pronunciation of a word is
a line of its own, its word followed by `(2)`. Lines that begin with `;;;` are remarks.

Source: https://github.com/cmusphinx/cmudict, with its licence beside it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from wavejit.audio.storage import existing_file, replace_file
from wavejit.errors import InputError
from wavejit.text.lexicon import Pronunciation, encode
from wavejit.text.phonemes import PAUSE, PHONEMES

_ALTERNATIVE = re.compile(r"\(\d+\)$")


def read_dictionary(path: Path) -> dict[str, list[Pronunciation]]:
    """The words of a file in the format of CMU, in small letters, each with its pronunciations in their order.

    Raises:
        InputError: the file cannot be read, or a line is not a word and its phonemes; names the line.
    """
    entries: dict[str, list[Pronunciation]] = {}
    known = set(PHONEMES) - {PAUSE}
    for number, line in enumerate(existing_file(path).read_text("utf-8", errors="replace").splitlines(), 1):
        if line.startswith(";;;") or not line.strip():
            continue
        word, *phonemes = line.split("#", 1)[0].split()
        unknown = next((phoneme for phoneme in phonemes if phoneme not in known), None)
        if unknown is not None or not phonemes:
            found = f"{unknown!r}" if unknown is not None else "nothing"
            raise InputError(f"{path}: line {number}: found {found} after {word!r}, expected phonemes of CMU's ARPAbet")
        pronunciations = entries.setdefault(_ALTERNATIVE.sub("", word).lower(), [])
        if tuple(phonemes) not in pronunciations:
            pronunciations.append(tuple(phonemes))
    if not entries:
        raise InputError(f"{path}: holds no word; expected a dictionary in the format of CMU")
    return entries


def main(
    dictionary: Annotated[Path, typer.Argument(help="A dictionary in the format of CMU.")],
    packed: Annotated[Path, typer.Argument(help="The file to write.")],
) -> None:
    """Pack a dictionary for the package."""
    entries = read_dictionary(dictionary)
    content = encode(entries)
    replace_file(packed, content)
    count = sum(map(len, entries.values()))
    print(f"{packed}: {len(entries):,} words, {count:,} pronunciations, {len(content):,} bytes")


if __name__ == "__main__":
    typer.run(main)
