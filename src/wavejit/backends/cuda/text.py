"""Lines of C++, indented by the blocks that they are in."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


class Text:
    """Lines of C++, indented by the blocks that they are in."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._depth = 0

    def __call__(self, text: str = "") -> None:
        self.lines.append("  " * self._depth + text if text else "")

    @contextmanager
    def block(self, opening: str) -> Generator[None, None, None]:
        """Braces around what is written inside."""
        self(f"{opening} {{" if opening else "{")
        self._depth += 1
        yield
        self._depth -= 1
        self("}")
