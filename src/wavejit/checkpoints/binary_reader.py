"""Bytes that nobody vouches for, taken from the front; every error names the file and the place."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavejit.errors import InputError

Array = NDArray[np.float32]

FLOAT32, FLOAT16 = np.dtype("<f4"), np.dtype("<f2")
END_OF_ROW = 255
COLUMNS_A_GROUP = 4
MAX_COLUMNS = END_OF_ROW * COLUMNS_A_GROUP  # what a group's number, one byte, can reach
MAX_SIZE = 8192  # of any dimension: far beyond a vocoder's
MAX_DENSE_VALUES = 64_000_000  # of all sparse matrices of a file together, once they are expanded


@dataclass
class Reader:
    """A file's bytes, little endian.

    Attributes:
        path: where they are from, for errors.
        data: all of them.
        at: the next one.
        place: what is being read, for errors.
        dense_values: the room that sparse matrices have taken so far.
    """

    path: Path
    data: bytes
    at: int = 0
    place: str = "header"
    dense_values: int = 0

    def fail(self, message: str) -> InputError:
        return InputError(f"{self.path}: {self.place} (byte {self.at}): {message}")

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, count: int, what: str) -> bytes:
        if count > self.left:
            raise self.fail(f"the file ends in {what}: {self.left} bytes are left, expected {count}")
        self.at += count
        return self.data[self.at - count : self.at]

    def integer(self, what: str, low: int = 0, high: int = MAX_SIZE) -> int:
        (value,) = struct.unpack("<i", self.take(4, what))
        if not low <= value <= high:
            raise self.fail(f"{what} is {value}, expected {low} to {high}")
        return value

    def text(self, count: int, what: str) -> str:
        """A field of `count` bytes as text, without the zeros behind it; `?` for what cannot be printed."""
        letters = self.take(count, what).split(b"\0")[0].decode("ascii", "replace")
        return "".join(letter if " " <= letter <= "~" else "?" for letter in letters)

    def array(self, count: int, what: str, dtype: np.dtype[np.generic] = FLOAT32) -> Array:
        """Finite values `(count,)`; the file must hold them before room is made for them."""
        values = np.frombuffer(self.take(count * dtype.itemsize, what), dtype).astype(np.float32)
        if not np.isfinite(values).all():
            raise self.fail(f"{what} holds NaN or infinite values, expected finite ones")
        return values

    def sparse(self, rows: int, columns: int, what: str, dtype: np.dtype[np.generic]) -> Array:
        """A sparse matrix, expanded to `(rows, columns)`.

        A count and that many values; a count and that many bytes: 255 ends a row, any other byte v puts the
        next four values at columns 4v to 4v + 3. Exporters end the matrix as well as its last row.
        """
        if columns > MAX_COLUMNS:
            raise self.fail(f"{what} has {columns} columns, expected at most {MAX_COLUMNS} in a sparse matrix")
        values = self.array(self.integer(f"{what}'s count", 0, rows * columns), f"{what}'s values", dtype)
        count = self.integer(f"{what}'s index count", rows, rows * columns + rows + 1)
        index = np.frombuffer(self.take(count, f"{what}'s index"), np.uint8)
        row, column = self._groups(index, rows, columns, what)
        if len(row) * COLUMNS_A_GROUP != len(values):
            raise self.fail(
                f"{what} has {len(values)} values, expected {COLUMNS_A_GROUP} for each of {len(row)} groups"
            )
        self.dense_values += rows * columns
        if self.dense_values > MAX_DENSE_VALUES:
            raise self.fail(f"{self.dense_values} values in sparse matrices, expected at most {MAX_DENSE_VALUES}")
        matrix = np.zeros((rows, columns), np.float32)
        matrix[row[:, None], column[:, None] + np.arange(COLUMNS_A_GROUP)] = values.reshape(-1, COLUMNS_A_GROUP)
        return matrix

    def _groups(self, index: NDArray[np.uint8], rows: int, columns: int, what: str) -> tuple[NDArray, NDArray]:
        """Row and first column of each group of four."""
        is_end = index == END_OF_ROW
        ends = int(is_end.sum())
        if ends not in (rows, rows + 1) or not is_end[-(ends - rows + 1) :].all():
            raise self.fail(f"{what} ends {ends} rows, or ends them early; expected {rows}")
        row = np.cumsum(is_end)[~is_end]
        column = index[~is_end].astype(int) * COLUMNS_A_GROUP
        if column.size and column.max() + COLUMNS_A_GROUP > columns:
            raise self.fail(f"{what} has a value in column {column.max() + COLUMNS_A_GROUP - 1} of {columns}")
        return row, column
