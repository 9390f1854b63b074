"""Files in and out: what may be read, and how a file is replaced so that a failure leaves the old one."""

import errno
import os
import secrets
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from wavejit.errors import InputError


def existing_file(path: str | os.PathLike[str]) -> Path:
    """`path`, once it is known to be a regular file.

    Raises:
        InputError: it does not exist, is a folder or a device, or cannot be looked at.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise InputError(f"{os.fspath(path)!r} cannot be read: {reason(error)}") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise InputError(f"{os.fspath(path)!r} is {kind}; expected a file")
    return Path(path)


def replace_file(path: str | os.PathLike[str], content: bytes | memoryview) -> None:
    """Write `content` beside `path`, then rename it over `path`, so that `path` is never half written.

    The parent folder must exist. A file that `path` names stays as it was if anything fails, and no
    temporary file is left.

    Raises:
        InputError: the folder is missing or not writable, the disk is full, or `path` is a folder.
    """
    replace_files({os.fspath(path): content})


def replace_files(contents: Mapping[str, bytes | memoryview]) -> None:
    """The same for several files: none is renamed before all are written.

    Args:
        contents: by path.

    Raises:
        InputError: as for one file; names the file.
    """
    written: list[tuple[str, str, str]] = []  # path, temporary file, the file that it is to replace
    path = ""
    try:
        for path, content in contents.items():
            target = os.path.realpath(path)
            mode = _mode(target)
            temporary = os.path.join(os.path.dirname(target), f".wavejit-{secrets.token_hex(8)}")
            with open(temporary, "xb") as file:
                written.append((path, temporary, target))
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if mode is not None:
                os.chmod(temporary, mode)
        while written:
            path, temporary, target = written[0]
            os.replace(temporary, target)
            del written[0]
    except (OSError, ValueError) as error:
        raise InputError(f"{path!r} cannot be written: {reason(error)}") from None
    finally:
        for _, temporary, _ in written:
            os.unlink(temporary)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Generator[BinaryIO, None, None]:
    """A file to write piece by piece, which takes the place of `path` once the block has ended without an error.

    Raises:
        InputError: as for `replace_file`.
    """
    name, temporary = os.fspath(path), None
    try:
        target = os.path.realpath(name)
        mode = _mode(target)
        beside = os.path.join(os.path.dirname(target), f".wavejit-{secrets.token_hex(8)}")
        with open(beside, "x+b") as file:
            temporary = beside
            yield file
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(beside, mode)
        os.replace(beside, target)
        temporary = None
    except (OSError, ValueError) as error:
        raise InputError(f"{name!r} cannot be written: {reason(error)}") from None
    finally:
        if temporary is not None:
            os.unlink(temporary)


def reason(error: Exception) -> str:
    """The operating system's words for an error, without its number and paths."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")


def _mode(target: str) -> int | None:
    """Permissions of the file that is replaced; None where there is none yet."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        # Renaming over /dev/null would take it from everybody.
        raise OSError(errno.EINVAL, "it is a folder" if stat.S_ISDIR(mode) else "it is not a regular file")
    return stat.S_IMODE(mode)
