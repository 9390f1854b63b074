"""Mel features from and to files: .npy, .npz, .safetensors, or the audio that they are taken from."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavejit.audio.contract import FeatureContract
from wavejit.audio.feature_metadata import describe, log_factor
from wavejit.audio.files import read_audio
from wavejit.audio.mel import mel_features
from wavejit.audio.storage import existing_file, replace_file
from wavejit.audio.untrusted_arrays import read_npy, read_npz, read_safetensors
from wavejit.errors import InputError

ARRAY_NAMES = ("features", "mel")


def read_features(path: str | os.PathLike[str], contract: FeatureContract) -> NDArray[np.float32]:
    """Features that satisfy a contract.

    Args:
        path: .npy, .npz or .safetensors with an array `(frames, channels)` or `(channels, frames)`, with or
            without a leading axis of 1; the axis of size `channels` is found, and where both have it the
            first is time. Any other file is read as audio, and its features are computed.
        contract: what is wanted. Metadata in .npz (0-d arrays) and .safetensors are compared with it;
            another logarithm is converted where no normalisation follows.

    Returns:
        `(frames, channels)`.

    Raises:
        InputError: the file cannot be read, is larger than 1 GiB, has another shape, no frames, or
            values that are not finite, or says that it follows another contract.
    """
    file = existing_file(path)
    source = repr(str(file))
    match file.suffix.lower():
        case ".npy":
            array, metadata = read_npy(file), {}
        case ".npz":
            array, metadata = read_npz(file, ARRAY_NAMES)
        case ".safetensors":
            array, metadata = read_safetensors(file, ARRAY_NAMES)
        case _:
            return _from_audio(file, contract)
    if array.dtype.kind != "f":
        raise InputError(f"{source}: features have dtype {array.dtype}; expected float16, float32 or float64")
    factor = log_factor(metadata, contract, source)
    features = _frames_by_channels(array, contract.channels, source)
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(features * factor if factor != 1.0 else features, dtype=np.float32)
    return _finite(converted, source)


def write_features(path: str | os.PathLike[str], features: ArrayLike, contract: FeatureContract) -> None:
    """Write features; .npz and .safetensors carry the contract, .npy cannot.

    Args:
        path: ends in .npy, .npz or .safetensors; replaced in one step.
        features: `(frames, channels)`; stored as float32.
        contract: what they follow.

    Raises:
        InputError: another suffix, features that `read_features` would refuse, or the file cannot be written.
    """
    name = os.fspath(path)
    source = repr(name)
    array = np.asarray(features)
    if array.dtype.kind != "f" or array.ndim != 2 or array.shape[1] != contract.channels or len(array) == 0:
        found, expected = (
            f"{array.dtype} of shape {array.shape}",
            f"floats of shape (frames, {contract.channels})",
        )
        raise InputError(f"{source}: features are {found}; expected {expected}")
    with np.errstate(over="ignore"):
        array = _finite(np.ascontiguousarray(array, dtype=np.float32), source)
    replace_file(path, _encode(array, describe(contract), Path(name).suffix.lower(), source))


def _encode(array: NDArray[np.float32], metadata: dict[str, str], suffix: str, source: str) -> bytes:
    buffer = io.BytesIO()
    match suffix:
        case ".npy":
            np.save(buffer, array, allow_pickle=False)
        case ".npz":
            fields: dict[str, Any] = {field: np.array(text) for field, text in metadata.items()}
            np.savez(buffer, features=array, **fields)
        case ".safetensors":
            from safetensors.numpy import save

            return save({"features": array}, metadata=metadata)
        case _:
            raise InputError(f"{source} has the suffix {suffix!r}; expected .npy, .npz or .safetensors")
    return buffer.getvalue()


def _from_audio(file: Path, contract: FeatureContract) -> NDArray[np.float32]:
    samples, _ = read_audio(file, contract.sample_rate)
    if contract.frames(len(samples)) == 0:
        raise InputError(f"{str(file)!r} has {len(samples)} samples; expected at least {contract.n_fft}, one frame")
    return mel_features(samples, contract)


def _frames_by_channels(array: NDArray[Any], channels: int, source: str) -> NDArray[Any]:
    matrix = array[0] if array.ndim == 3 and array.shape[0] == 1 else array
    if matrix.ndim != 2 or channels not in matrix.shape:
        raise InputError(
            f"{source}: features have shape {array.shape}; expected (frames, {channels}) or ({channels}, frames)"
        )
    matrix = matrix if matrix.shape[1] == channels else matrix.T
    if len(matrix) == 0:
        raise InputError(f"{source}: features have shape {array.shape}, no frames; expected at least one")
    return matrix


def _finite(features: NDArray[np.float32], source: str) -> NDArray[np.float32]:
    bad = np.argwhere(~np.isfinite(features))
    if len(bad):
        frame, band = (int(n) for n in bad[0])
        place = f"frame {frame}, bin {band}"
        raise InputError(f"{source}: features hold {features[frame, band]} in {place}; expected finite values")
    return features
