"""Compiled code on disk, named by everything that determines it.

An entry is a digest of its content and the content. It is written beside its place and renamed, so that two
processes that write it at once leave a whole one; one that does not match its digest is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

MAGIC = b"wavejit-code-1\n"
DIGEST_BYTES = 32
DIRECTORY_VARIABLE = "WAVEJIT_CACHE_DIR"


def directory() -> Path:
    """Where compiled code is kept: `$WAVEJIT_CACHE_DIR`, or the platform's folder for caches."""
    if chosen := os.environ.get(DIRECTORY_VARIABLE):
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "wavejit" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "wavejit"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wavejit"


def cached(parts: tuple[str, ...], make: Callable[[], bytes]) -> tuple[bytes, bool]:
    """The code that `parts` determine, from disk where it is there and whole; whether it was.

    A cache that cannot be written is no error: the code is made each time.
    """
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    path = directory() / key[:2] / f"{key}.o"
    found = _read(path)
    if found is not None:
        return found, True
    code = make()
    with contextlib.suppress(OSError):
        _write(path, code)
    return code, False


def _read(path: Path) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    start = len(MAGIC) + DIGEST_BYTES
    code = data[start:]
    whole = data[: len(MAGIC)] == MAGIC and data[len(MAGIC) : start] == hashlib.sha256(code).digest()
    return code if whole else None


def _write(path: Path, code: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(MAGIC + hashlib.sha256(code).digest() + code)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
