"""The licence that stands beside a checkpoint: found on import, kept in the model folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

LICENCE = "LICENSE"  # as it is called in a model folder
NAMES = (LICENCE, "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt", "COPYING")
MAX_BYTES = 1 << 20
TITLE_LINES = 2  # that may name it: CC0's first says whose it is, its second what it is

SPDX_NAMES = (
    (r"MIT License", "MIT"),
    (r"Apache License", "Apache-2.0"),
    (r"BSD 2-Clause", "BSD-2-Clause"),
    (r"BSD 3-Clause", "BSD-3-Clause"),
    (r"CC0 1\.0", "CC0-1.0"),
    (r"Mozilla Public License,? Version 2\.0", "MPL-2.0"),
    (r"Creative Commons Attribution 4\.0", "CC-BY-4.0"),
)


class Licence(NamedTuple):
    """A licence.

    Attributes:
        name: the SPDX identifier where it is recognised, else the text's first line; "" where there is none.
        text: in full; "" where there is none.
    """

    name: str = ""
    text: str = ""


def find_licence(folder: Path) -> Licence:
    """The licence that stands in `folder`; an empty one where none does that can be read as text."""
    for name in NAMES:
        text = _text(folder / name)
        if text.strip():
            return Licence(licence_name(text), text)
    return Licence()


def licence_name(text: str) -> str:
    """The short name of a licence's text."""
    if stated := re.search(r"SPDX-License-Identifier:\s*([\w.+-]{1,80})", text):
        return stated[1]
    titles = [" ".join(line.split()) for line in text.splitlines() if line.strip()][:TITLE_LINES]
    for pattern, name in SPDX_NAMES:
        if any(re.search(pattern, title, re.IGNORECASE) for title in titles):
            return name
    return titles[0][:80] if titles else ""


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError):
        return ""  # beside a model that can be read, a licence that cannot is as if it were absent
    return content.decode("utf-8", "replace") if len(content) <= MAX_BYTES and b"\0" not in content else ""
