"""A writer of geneing's format, from its description alone: the oracle of the importer's tests."""

import struct
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from wavejit.audio.contract import FeatureContract

Array = NDArray[np.float32]


@dataclass
class Convolution:
    weight: Array  # (outputs, inputs, kernel)
    bias: Array | None


@dataclass
class BatchNorm:
    weight: Array
    bias: Array
    mean: Array
    variance: Array
    epsilon: float = 1e-5


@dataclass
class Linear:
    weight: Array
    bias: Array


@dataclass
class Gru:
    matrices: list[Array]  # input reset, update, new; recurrent the same
    biases: list[Array]


@dataclass
class Stretch:
    x: int
    y: int = 1


@dataclass
class Filter:
    values: Array


Layer = Convolution | BatchNorm | Linear | Gru | Stretch | Filter


@dataclass
class BinaryModel:
    """What a file holds, and how it is written.

    Attributes:
        half: element size 2, and sparse values in float16.
        half_vectors: with it, all other values in float16 as well.
        final_end: an end after the last row's, as the exporter writes.
    """

    header: tuple[int, int, int, int]
    layers: list[Layer]
    half: bool = False
    half_vectors: bool = False
    final_end: bool = True
    names: list[str] = field(default_factory=list)

    def parts(self) -> list[bytes]:
        """The header, then each layer."""
        names = self.names or [f"{type(layer).__name__}()" for layer in self.layers]
        return [struct.pack("<4i", *self.header)] + [
            self._layer(layer, name) for layer, name in zip(self.layers, names, strict=True)
        ]

    def to_bytes(self) -> bytes:
        return b"".join(self.parts())

    def _layer(self, layer: Layer, name: str) -> bytes:
        size = 2 if self.half else 4
        match layer:
            case Convolution(weight, bias):
                outputs, inputs, kernel = weight.shape
                kind = 1
                body = struct.pack("<5i", size, bias is not None, inputs, outputs, kernel) + self._vector(weight)
                body += b"" if bias is None else self._vector(bias)
            case Filter(values):
                kind, body = 2, struct.pack("<2i", size, len(values)) + self._vector(values)
            case BatchNorm(weight, bias, mean, variance, epsilon):
                kind, body = 3, struct.pack("<2if", size, len(weight), epsilon)
                body += b"".join(map(self._vector, (weight, bias, mean, variance)))
            case Linear(weight, bias):
                kind, body = 4, struct.pack("<3i", size, *weight.shape) + self._sparse(weight) + self._vector(bias)
            case Gru(matrices, biases):
                kind, body = 5, struct.pack("<3i", size, *matrices[0].shape)
                body += b"".join(map(self._sparse, matrices)) + b"".join(map(self._vector, biases))
            case Stretch(x, y):
                kind, body = 6, struct.pack("<2i", x, y)
        return struct.pack("<i64s", kind, name.encode()) + body

    def _vector(self, values: Array) -> bytes:
        return values.astype("<f2" if self.half_vectors else "<f4").tobytes()

    def _sparse(self, matrix: Array) -> bytes:
        index: list[int] = []
        values: list[float] = []
        for row in matrix:
            for group in range(len(row) // 4):
                four = row[4 * group : 4 * group + 4]
                if four.any():
                    index.append(group)
                    values.extend(four)
            index.append(255)
        if self.final_end:
            index.append(255)
        packed = np.array(values).astype("<f2" if self.half else "<f4").tobytes()
        return struct.pack("<i", len(values)) + packed + struct.pack("<i", len(index)) + bytes(index)


def small_features(bins: int = 8, hop_length: int = 6) -> FeatureContract:
    return FeatureContract(sample_rate=8000, hop_length=hop_length, window_length=16, n_fft=16, bins=bins, f_max=4000.0)


def small_model(seed: int = 0, scales: tuple[int, ...] = (2, 3), blocks: int = 1) -> BinaryModel:
    """A network of 8 bins, padding 2, 4 channels, 8 auxiliary channels, GRU 8, hidden 12, 16 classes.

    Values are multiples of 1/64 in [-2, 2], so that float16 holds them.
    """
    rng = np.random.default_rng(seed)

    def values(*shape: int) -> Array:
        return (rng.integers(-128, 129, shape) / 64).astype(np.float32)

    def sparse(rows: int, columns: int) -> Array:
        kept = rng.random((rows, columns // 4)) < 0.4
        return values(rows, columns) * np.repeat(kept, 4, axis=1)

    def batch_norm() -> BatchNorm:
        return BatchNorm(values(4), values(4), values(4), np.abs(values(4)) + np.float32(0.5))

    layers: list[Layer] = [Convolution(values(4, 8, 5), None), batch_norm()]
    for _ in range(2 * blocks):
        layers += [Convolution(values(4, 4, 1), None), batch_norm()]
    layers += [Convolution(values(8, 4, 1), values(8)), Stretch(prod(scales))]
    for scale in scales:
        layers += [Stretch(scale), Filter(values(2 * scale + 1))]
    layers += [
        Linear(sparse(8, 12), values(8)),
        Gru([sparse(8, 8) for _ in range(6)], [values(8) for _ in range(6)]),
        Linear(sparse(12, 12), values(12)),
        Linear(sparse(16, 12), values(16)),
    ]
    return BinaryModel((blocks, len(scales), prod(scales), 2), layers)
