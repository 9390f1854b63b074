"""The command `wavejit`: a command a file. Bad input ends in one sentence and exit status 2."""

from __future__ import annotations

import os
import sys

from wavejit.errors import InputError


def main() -> None:
    """Run the command line; the entry point of the package."""
    from wavejit.cli.app import app

    try:
        status = app(standalone_mode=False) or 0
        sys.stdout.flush()  # here, where it can still be told that the disk is full
        sys.exit(status)
    except InputError as error:
        print(f"wavejit: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # Whoever read our output has had enough; what is still buffered must not fail a second time.
        _forget_stdout()
        sys.exit(0)
    except OSError as error:
        _forget_stdout()
        print(f"wavejit: {error.filename or 'standard output'}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    except MemoryError:
        print("wavejit: there is not enough memory for this", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        # Wrong usage: a class of typer's or, before typer had its own, of click's.
        explain = getattr(error, "format_message", None)
        if explain is None:
            raise
        if words := explain().rstrip("."):
            print(f"wavejit: {words}; `wavejit --help` tells more", file=sys.stderr)
        sys.exit(2)


def _forget_stdout() -> None:
    """Let what is still buffered go nowhere: it must not fail a second time when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
