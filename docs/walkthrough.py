"""Keep the printed blocks of the documentation true: each stands under the command that prints it.

    <!-- printed: wavejit explain deepvoice-2-8-16 --passes | changed by: fuse products that add up -->
    ```text
    ...
    ```

What follows a `|` cuts the output: see `CUTS`. `python docs/walkthrough.py` writes the blocks anew; with
`--check` it names the pages whose blocks are no longer what the tool prints.
"""

from __future__ import annotations

import functools
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner

from wavejit import load
from wavejit.backends.llvm.compile import target_of
from wavejit.cli.app import app
from wavejit.ir.show import show_memory, show_packing
from wavejit.passes import lower

DOCS = Path(__file__).parent
PAGES = (DOCS.parent / "README.md", *sorted(DOCS.glob("*.md")))
BLOCK = re.compile(r"(<!-- printed: (.*?) -->\n```\w+\n)(.*?)(^```$)", re.MULTILINE | re.DOTALL)
LAYOUT_TARGET = "aarch64-linux-gnu"  # any machine can write code for it, so that all print the same
GRAPH = ""  # the name of the section before the first pass


@functools.cache
def output(command: str) -> str:
    """What a command prints on standard output."""
    program, *arguments = shlex.split(command)
    if program == "layout":
        return layout(*arguments)
    if program == "header":
        return header(*arguments)
    result = CliRunner().invoke(app, arguments)
    if result.exit_code != 0:
        raise RuntimeError(f"{command}: {result.output}") from result.exception
    return result.stdout


def layout(model: str) -> str:
    """Where the last two passes put weights and values."""
    step = lower(load(model).step, target_of(LAYOUT_TARGET))
    assert step.packing is not None
    assert step.memory is not None
    return f"{show_packing(step.packing)}\n\n{show_memory(step.memory)}"


def header(model: str, target: str, name: str) -> str:
    """The C header that `wavejit compile` writes."""
    return load(model).compile_ahead(target, name=name).files[f"{name}.h"].decode()


def sections(text: str) -> dict[str, list[str]]:
    """The lines of a step after each pass, and before the first."""
    found: dict[str, list[str]] = {GRAPH: []}
    for line in text.splitlines():
        if line.startswith("after: "):
            found[line.removeprefix("after: ")] = []
        elif line.startswith("  %"):
            found[list(found)[-1]].append(line)
    return found


def after(text: str, name: str) -> str:
    """The step after a pass, without the lines that built it."""
    origin = re.compile(r" +; (every \d+)?.*$")
    return "\n".join(origin.sub(r"   ; \1", line).rstrip(" ;") for line in sections(text)[name])


def changed_by(text: str, name: str) -> str:
    """Lines that a pass took out (-) and put in (+)."""
    names = list(sections(text))
    before, now = (after(text, which).splitlines() for which in (names[names.index(name) - 1], name))
    gone = [f"- {line.strip()}" for line in before if line not in now]
    new = [f"+ {line.strip()}" for line in now if line not in before]
    return "\n".join(gone + new) or "(nothing, for this model)"


def function(text: str, name: str) -> str:
    """One function of an LLVM module."""
    return re.findall(rf"^define [^@]*@{name}\(.*?^}}", text, re.MULTILINE | re.DOTALL)[0]


def label(text: str, name: str) -> str:
    """One function of an assembly listing."""
    found = re.findall(rf"^{name}:.*?^\tret$", text, re.MULTILINE | re.DOTALL)[0]
    return found.replace("\t", "    ")


def outline(text: str, _: str) -> str:
    """Of a function: the operations that it stands for, and what it calls."""
    kept = re.compile(r"^(define |}| +; | +call void|loop\w+\.body:)")
    lines = [line for line in text.splitlines() if kept.match(line)]
    return "\n".join(re.sub(r"call void (@\w+)\(.*", r"call \1", line) for line in lines)


def first(text: str, count: str) -> str:
    """The first lines."""
    lines = text.splitlines()
    return "\n".join([*lines[: int(count)], *(["…"] if len(lines) > int(count) else [])])


def without_first(text: str, count: str) -> str:
    """All but the first lines: those that name the machine."""
    return "\n".join(text.splitlines()[int(count) :])


CUTS: dict[str, Callable[[str, str], str]] = {
    "after": after,
    "changed by": changed_by,
    "function": function,
    "label": label,
    "outline": outline,
    "first": first,
    "without the first": without_first,
}


def printed(source: str) -> str:
    """The text that belongs under a marker."""
    command, *cuts = source.split(" | ")
    text = output(command)
    for cut in cuts:
        name, _, argument = cut.partition(": ")
        text = CUTS[name](text, argument)
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def renewed(page: Path) -> str:
    """The page as it should be."""
    text = page.read_text(encoding="utf-8")
    return BLOCK.sub(lambda block: f"{block[1]}{printed(block[2])}\n{block[4]}", text)


def stale_pages() -> list[Path]:
    """The pages with a block that is no longer what the tool prints."""
    return [page for page in PAGES if renewed(page) != page.read_text(encoding="utf-8")]


def main() -> None:
    if "--check" in sys.argv[1:]:
        if stale := stale_pages():
            sys.exit(f"stale: {', '.join(page.name for page in stale)}; run python docs/walkthrough.py")
        return
    for page in stale_pages():
        page.write_text(renewed(page), encoding="utf-8")
        print(f"{page}: renewed")


if __name__ == "__main__":
    main()
