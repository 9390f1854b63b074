"""Audio files to samples and back."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavejit.audio.storage import existing_file, reason, replacing
from wavejit.errors import InputError

MAX_SAMPLES = 1 << 30
"""Samples in one file, at most (4 GiB as float32): a small compressed file may announce far more."""

_BLOCK = 1 << 18
# Above this a float file holds integers, or something that is no sound; below, it is an overshoot.
_LOUDEST = 4.0
_SUFFIXES = {"aif": "AIFF", "aifc": "AIFF", "oga": "OGG", "opus": "OGG", "snd": "AU"}


def read_audio(path: str | os.PathLike[str], sample_rate: int | None = None) -> tuple[NDArray[np.float32], int]:
    """Read any file that libsndfile reads, as one channel.

    Args:
        path: the file. Integer formats are scaled, channels are averaged.
        sample_rate: in Hz; the file is resampled to it. None keeps the file's.

    Returns:
        Samples `(samples,)` in [-1, 1], and their sample rate.

    Raises:
        InputError: the file is missing, a folder, no audio, empty, too long, or holds NaN.
    """
    file = existing_file(path)
    if sample_rate is not None and not 1 <= sample_rate <= 768_000:
        raise InputError(f"sample_rate is {sample_rate}; expected 1 to 768000 Hz")
    samples, found_rate = _decode(file)
    peak = float(np.abs(samples).max())
    if not np.isfinite(peak):
        raise InputError(f"{str(file)!r} holds NaN or infinity; expected finite samples")
    if peak > _LOUDEST:
        raise InputError(f"{str(file)!r} has samples up to {peak:g}; expected them in [-1, 1]")
    if sample_rate is not None and sample_rate != found_rate:
        samples = _resample(samples, found_rate, sample_rate, file)
    return np.clip(samples, -1.0, 1.0), sample_rate or found_rate


def write_audio(path: str | os.PathLike[str], samples: ArrayLike, sample_rate: int) -> None:
    """Write one channel in the format that the suffix names; 16-bit where the format offers it.

    Args:
        path: replaced in one step; an existing file stays if anything fails.
        samples: `(samples,)`; clipped to [-1, 1].
        sample_rate: in Hz.

    Raises:
        InputError: the suffix is unknown, the samples are not one finite signal, the format refuses
            the sample rate, or the file cannot be written.
    """
    name = os.fspath(path)
    _format(name)  # an unknown suffix is told before anything else
    write_audio_chunks(path, (_one_signal(samples, name),), sample_rate)


def write_audio_chunks(path: str | os.PathLike[str], chunks: Iterable[ArrayLike], sample_rate: int) -> int:
    """The same for audio that comes in chunks, of which one is held at a time.

    Args:
        path: as for `write_audio`; nothing is left where `chunks` raises.
        chunks: each `(samples,)`; clipped to [-1, 1].
        sample_rate: in Hz.

    Returns:
        The number of samples.

    Raises:
        InputError: as for `write_audio`.
    """
    import soundfile

    name = os.fspath(path)
    container, subtype = _format(name)
    if not 1 <= sample_rate <= 768_000:
        raise InputError(f"{name!r}: sample_rate is {sample_rate}; expected 1 to 768000 Hz")
    samples = 0
    with replacing(path) as file:
        output = _Output(file)
        if container == "RAW":
            for signal in _signals(chunks, name):
                samples += len(signal)
                file.write(pcm16(signal))
            return samples
        try:
            with soundfile.SoundFile(cast(Any, output), "w", sample_rate, 1, subtype, format=container) as audio:
                for signal in _signals(chunks, name):
                    samples += len(signal)
                    # libsndfile's own rounding to 16 bits differs between formats; `pcm16` is what we promise.
                    audio.write(np.frombuffer(pcm16(signal), dtype="<i2") if subtype == "PCM_16" else signal)
                    output.check()
        except (soundfile.SoundFileError, ValueError, TypeError, AssertionError) as error:
            output.check()
            raise InputError(f"{name!r}: {container} cannot hold this at {sample_rate} Hz: {_words(error)}") from None
        output.check()
    return samples


class _Output:
    """A file for libsndfile, through whose calls no exception comes back: an error in writing waits for `check`."""

    def __init__(self, file: BinaryIO) -> None:
        self.error: OSError | None = None
        self._file = file
        self.tell, self.read = file.tell, file.read

    def write(self, data: bytes) -> int:
        return self._tried(self._file.write, data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._tried(self._file.seek, offset, whence)  # which writes what is buffered

    def _tried(self, call: Callable[..., int], *arguments: object) -> int:
        try:
            return call(*arguments)
        except OSError as error:
            self.error = self.error or error
            return 0

    def check(self) -> None:
        if self.error:
            raise self.error


def check_audio_path(path: str | os.PathLike[str]) -> None:
    """Raise the InputError that `write_audio` would: an unknown suffix, or no folder to write into."""
    name = os.fspath(path)
    _format(name)
    if not os.path.isdir(os.path.dirname(os.path.realpath(name))):
        raise InputError(f"{name!r} cannot be written: there is no folder {os.path.dirname(name)!r}")


def pcm16(samples: ArrayLike) -> bytes:
    """Raw 16-bit little-endian samples: times 32768, rounded to the nearest, clipped.

    Reading a 16-bit file divides by 32768, so that samples survive the round trip.
    """
    scaled = np.rint(np.asarray(samples, dtype=np.float64) * 32768.0)
    return np.clip(scaled, -32768, 32767).astype("<i2").tobytes()


def _decode(file: Path) -> tuple[NDArray[np.float32], int]:
    import soundfile

    blocks: list[NDArray[np.float32]] = []
    try:
        with soundfile.SoundFile(file) as audio:
            # The header's length may be wrong or unknown: what is read counts.
            while len(block := audio.read(_BLOCK, dtype="float32", always_2d=True)):
                blocks.append(block.mean(axis=1, dtype=np.float32))
                if len(blocks) * _BLOCK > MAX_SAMPLES:
                    raise InputError(f"{str(file)!r} has more than {MAX_SAMPLES} samples; expected fewer")
            rate = int(audio.samplerate)
    except (soundfile.SoundFileError, OSError, TypeError) as error:
        raise InputError(f"{str(file)!r} is not audio that can be read: {_words(error)}") from None
    if not blocks:
        raise InputError(f"{str(file)!r} has no samples; expected at least one")
    return np.concatenate(blocks), rate


def _resample(samples: NDArray[np.float32], found: int, wanted: int, file: Path) -> NDArray[np.float32]:
    import soxr

    length = round(len(samples) * wanted / found)
    if not 1 <= length <= MAX_SAMPLES:
        step = f"from {found} to {wanted} Hz"
        raise InputError(f"{str(file)!r} gives {length} samples {step}; expected 1 to {MAX_SAMPLES}")
    return np.asarray(soxr.resample(samples, found, wanted, quality="VHQ"), dtype=np.float32)


def _format(name: str) -> tuple[str, str | None]:
    """libsndfile's format and subtype for a suffix; the subtype is None for the format's own default."""
    import soundfile

    suffix = Path(name).suffix.lstrip(".").lower()
    container = _SUFFIXES.get(suffix, suffix.upper())
    if container not in soundfile.available_formats():
        known = ", ".join(sorted({f.lower() for f in soundfile.available_formats()} | set(_SUFFIXES)))
        found = f"the suffix {'.' + suffix!r}" if suffix else "no suffix"
        raise InputError(f"{name!r} has {found}; expected one of {known}")
    return container, "OPUS" if suffix == "opus" else soundfile.default_subtype(container)


def _signals(chunks: Iterable[ArrayLike], name: str) -> Iterator[NDArray[np.float32]]:
    """Each chunk as `_one_signal` has it; those without a sample are left out."""
    return (_one_signal(chunk, name) for chunk in chunks if np.size(chunk))


def _one_signal(samples: ArrayLike, name: str) -> NDArray[np.float32]:
    signal = np.asarray(samples)
    if signal.ndim != 1 or signal.dtype.kind != "f" or len(signal) == 0:
        found = f"{signal.dtype} of shape {signal.shape}"
        raise InputError(f"{name!r}: samples are {found}; expected floats of shape (samples,), at least one")
    if not np.isfinite(signal).all():
        raise InputError(f"{name!r}: samples hold NaN or infinity; expected finite numbers")
    return np.clip(signal, -1.0, 1.0).astype(np.float32)


def _words(error: Exception) -> str:
    """libsndfile's words, without the path that soundfile puts before them."""
    return str(getattr(error, "error_string", "") or reason(error)).rstrip(".").replace("\n", " ")
