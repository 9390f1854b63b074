"""NumPy's and safetensors' files, read without trusting what they announce.

No pickle is ever loaded; an array is allocated only once its size is known to be in the file and below
`MAX_BYTES`. That matters for .npz: a zip archive of kilobytes can hold a member of gigabytes.
"""

import io
import math
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from wavejit.errors import InputError

MAX_BYTES = 1 << 30
"""Largest array that is read, in bytes after decompression: hours of features."""

_MAX_METADATA_BYTES = 1 << 16
_MAX_MEMBERS = 1_000
_HEADER_FIELDS = (
    re.compile(r"""['"]descr['"]\s*:\s*['"]([<>|=]?[fiubcSUOV]\d{0,9})['"]"""),
    re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)"""),
    re.compile(r"""['"]shape['"]\s*:\s*\(([\d\s,]{0,256})\)"""),
)
_SAFETENSORS_FLOATS = {"F16": 2, "F32": 4, "F64": 8}

Header = tuple[tuple[int, ...], bool, np.dtype[Any]]


def read_npy(path: Path) -> NDArray[Any]:
    """The array in a .npy file.

    Raises:
        InputError: no .npy header, an array of objects, or fewer bytes than the header announces.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            return _read_array(stream, size, repr(str(path)), MAX_BYTES)
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror}") from None


def read_npz(path: Path, names: tuple[str, ...]) -> tuple[NDArray[Any], dict[str, Any]]:
    """The array in a .npz file, and its 0-d arrays as metadata.

    Args:
        path: the file.
        names: the array's name, the first that is there; else the only array that is not 0-d.

    Returns:
        The array, and name -> Python scalar.

    Raises:
        InputError: no zip archive, no such array or several, or one larger than `MAX_BYTES`.
    """
    with _npz_errors(path), zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if len(members) > _MAX_MEMBERS:
            raise InputError(f"{str(path)!r} holds {len(members)} arrays; expected at most {_MAX_MEMBERS}")
        headers: dict[str, Header] = {}
        for name, info in members.items():
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise InputError(
                    f"{str(path)!r}: {name} has compression {info.compress_type}; expected none or deflate"
                )
            with archive.open(info) as stream:
                headers[name] = _read_header(cast(BinaryIO, stream), f"{str(path)!r}: {name}")

        def read(name: str, limit: int) -> NDArray[Any]:
            with archive.open(members[name]) as stream:
                return _read_array(cast(BinaryIO, stream), members[name].file_size, f"{str(path)!r}: {name}", limit)

        arrays = [name for name, (shape, _, _) in headers.items() if shape]
        metadata = {name: read(name, _MAX_METADATA_BYTES).item() for name in headers if name not in arrays}
        return read(choose(arrays, names, path), MAX_BYTES), metadata


def read_safetensors(path: Path, names: tuple[str, ...]) -> tuple[NDArray[Any], dict[str, Any]]:
    """The array in a .safetensors file and its metadata; arguments and errors as in `read_npz`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            name = choose(list(file.keys()), names, path)
            view = file.get_slice(name)
            dtype, shape = view.get_dtype(), view.get_shape()
            if dtype not in _SAFETENSORS_FLOATS:
                raise InputError(f"{str(path)!r}: {name} has dtype {dtype}; expected F16, F32 or F64")
            _check_size(math.prod(shape) * _SAFETENSORS_FLOATS[dtype], MAX_BYTES, f"{str(path)!r}: {name}")
            return file.get_tensor(name), dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{str(path)!r} is not a safetensors file: {_one_line(error)}") from None


def choose(found: list[str], names: tuple[str, ...], path: Path) -> str:
    """The first of `names` that was found, or the only array there is."""
    for name in names:
        if name in found:
            return name
    if len(found) != 1:
        listed = ", ".join(sorted(found)[:8]) or "none"
        raise InputError(f"{str(path)!r} has the arrays {listed}; expected one named {' or '.join(names)}, or only one")
    return found[0]


def _read_header(stream: BinaryIO, source: str) -> Header:
    """Shape, Fortran order and dtype, by pattern: NumPy's own reader evaluates the header as Python."""
    start = stream.read(8)
    if start[:6] != b"\x93NUMPY" or len(start) < 8 or start[6] not in (1, 2, 3):
        raise InputError(f"{source} has no .npy header; expected one of version 1, 2 or 3")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(stream.read(width), "little")
    if length > _MAX_METADATA_BYTES:
        raise InputError(f"{source} has a header of {length} bytes; expected at most {_MAX_METADATA_BYTES}")
    header = stream.read(length).decode("latin-1")
    descr, order, shape = (pattern.search(header) for pattern in _HEADER_FIELDS)
    if not (descr and order and shape):
        raise InputError(f"{source} has a header without descr, fortran_order and shape of plain numbers")
    try:
        dtype = np.dtype(descr[1])
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{source} has dtype {descr[1]}; expected plain numbers or text") from None
    axes = [axis.strip() for axis in shape[1].split(",") if axis.strip()]
    if not all(axis.isdigit() for axis in axes):
        raise InputError(f"{source} has shape ({shape[1]}); expected whole numbers between commas")
    return tuple(int(axis) for axis in axes), order[1] == "True", dtype


def _read_array(stream: BinaryIO, size: int, source: str, limit: int) -> NDArray[Any]:
    shape, fortran_order, dtype = _read_header(stream, source)
    if dtype.kind not in "fiubcSU" or dtype.itemsize == 0:
        raise InputError(f"{source} has dtype {dtype}; expected plain numbers or text")
    announced, held = math.prod(shape) * dtype.itemsize, size - stream.tell()
    if announced > held:
        raise InputError(f"{source} announces {announced} bytes of shape {shape}; the file holds {held}")
    _check_size(announced, limit, source)
    content = stream.read(announced)
    if len(content) != announced:
        raise InputError(f"{source} ends after {len(content)} bytes; expected {announced}")
    try:
        return np.frombuffer(content, dtype=dtype).reshape(shape, order="F" if fortran_order else "C")
    except (ValueError, OverflowError):
        # Too many axes, or an axis of 0 beside axes whose product overflows.
        raise InputError(f"{source} has shape {shape}; expected one that an array can have") from None


def _check_size(size: int, limit: int, source: str) -> None:
    if size > limit:
        raise InputError(f"{source} has {size} bytes; expected at most {limit}")


@contextmanager
def _npz_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        io.UnsupportedOperation,
        NotImplementedError,
        RuntimeError,
        ValueError,
        OSError,
    ) as error:
        raise InputError(f"{str(path)!r} is not a .npz archive that can be read: {_one_line(error)}") from None


def _one_line(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")
