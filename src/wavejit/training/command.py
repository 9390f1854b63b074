"""What the commands of training share: a user's mistake is one sentence and exit status 2."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from wavejit.errors import InputError


def run_command(command: Callable[..., None]) -> None:
    """Run a function with typer's annotations as the whole program."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    try:
        app()
    except InputError as error:
        print(f"wavejit: {error}", file=sys.stderr)
        sys.exit(2)
