"""Files that nobody vouches for: looked at before they are opened, and read up to a limit."""

from __future__ import annotations

import os
from pathlib import Path

from wavejit.audio.storage import existing_file, reason
from wavejit.errors import InputError


def regular_file(path: Path, limit: int) -> Path:
    """`path`, once it is known to be a regular file of at most `limit` bytes.

    Raises:
        InputError: it is missing, a folder, a device or too large, or cannot be looked at.
    """
    size = existing_file(path).stat().st_size
    if size > limit:
        raise InputError(f"{path}: is {size} bytes long, expected at most {limit}")
    return path


def read_file(path: Path, limit: int) -> bytes:
    """The content of `path`; errors as in `regular_file`."""
    return read_start(regular_file(path, limit), limit)


def read_start(path: Path, count: int) -> bytes:
    """The first `count` bytes of a regular file, or as many as there are.

    Raises:
        InputError: it is missing, a folder or a device, or cannot be read.
    """
    try:
        with existing_file(path).open("rb") as file:
            return file.read(min(count, os.fstat(file.fileno()).st_size))  # `read` makes room for what it is told
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from None
