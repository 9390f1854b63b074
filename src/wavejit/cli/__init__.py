"""The command `wavejit`: a command a file. Bad input ends in one sentence and exit status 2."""

from __future__ import annotations

import os
import sys

from wavejit.errors import InputError


def main() -> None:
    """Run the command line; the entry point of the package."""
    from wavejit.cli.app import app

    try:
        app()
    except InputError as error:
        print(f"wavejit: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # Whoever read our output has had enough; what is still buffered must not fail a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
