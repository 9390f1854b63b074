"""Tables of the documentation: what measured them, and where they stand.

A table stands between `<!-- benchmark-table: NAME begin -->` and `<!-- benchmark-table: end -->`, on any of `PAGES`.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from wavejit.audio.storage import replace_file
from wavejit.backends.llvm.compile import version

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "performance.md")


def bench(seconds: float, *arguments: str) -> dict[str, Any]:
    """One run of `wavejit bench --json`, in a process of its own."""
    command = [sys.executable, "-m", "wavejit", "bench", *arguments, "--seconds", str(seconds), "--json"]
    print(" ".join(command[2:]), file=sys.stderr)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[2:])}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> str:
    """Markdown; the first `words` columns are words, the others figures."""
    alignment = ["---"] * words + ["--:"] * (len(headings) - words)
    return "\n".join([_row(headings), f"|{'|'.join(alignment)}|", *map(_row, rows)])


def write(name: str, text: str, seconds: float, pages: Sequence[Path] = PAGES) -> None:
    """Put a table where the pages want it, under a line that says when and where it was measured."""
    begin, end = f"<!-- benchmark-table: {name} begin -->", "<!-- benchmark-table: end -->"
    block = f"{begin}\n\n{machine(seconds)}\n\n{text}\n\n{end}"
    places = 0
    for page in pages:
        new, found = re.subn(
            f"{re.escape(begin)}.*?{re.escape(end)}",
            lambda _: block,
            page.read_text(encoding="utf-8"),
            flags=re.DOTALL,
        )
        if found:
            replace_file(page, new.encode())
        places += found
    if not places:
        sys.exit(f"{begin}: stands on none of {', '.join(page.name for page in pages)}")


def machine(seconds: float) -> str:
    """What it was measured on."""
    cpu = _cpuinfo("model name") or platform.processor() or "unknown processor"
    family, model = _cpuinfo("cpu family"), _cpuinfo("model")
    which = f"{cpu}, family {family}, model {model}" if family and model else cpu
    return (
        f"Measured on {date.today()}: {which}, {platform.system()}, Python {platform.python_version()}, "
        f"{version()}; {seconds:g} s a figure, medians."
    )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cpuinfo(name: str) -> str:
    """A field of the first processor, as Linux tells it; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    fields = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in fields if key.strip() == name), "")
