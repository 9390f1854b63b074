"""Models on disk: the native folder, and an importer a file for others' formats.

    write_folder(Path("voice"), import_checkpoint(Path("model.bin")))

Nothing heavy is imported before a model is read: the functions here are doors to the modules beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wavejit.errors import InputError

if TYPE_CHECKING:
    from wavejit.audio.contract import FeatureContract
    from wavejit.checkpoints.folder import ModelFiles

START_BYTES = 96  # of a file, by which its format is recognised


@dataclass(frozen=True)
class Importer:
    """A format of others' checkpoints.

    Attributes:
        description: the format, for people.
        recognises: whether a file that begins with these bytes looks like one.
        read: the model in a file; its features where the file does not say them, or None for the usual ones.
    """

    description: str
    recognises: Callable[[bytes], bool]
    read: Callable[[Path, FeatureContract | None], ModelFiles]


def _is_binary_wavernn(start: bytes) -> bool:
    from wavejit.checkpoints.binary_wavernn import is_binary_wavernn

    return is_binary_wavernn(start)


def _import_binary_wavernn(path: Path, features: FeatureContract | None) -> ModelFiles:
    from wavejit.checkpoints.binary_wavernn import import_binary_wavernn

    return import_binary_wavernn(path, features)


IMPORTERS: dict[str, Importer] = {
    "binary-wavernn": Importer(
        "a sparse WaveRNN as geneing's convert_model.py writes it (model.bin)",
        _is_binary_wavernn,
        _import_binary_wavernn,
    ),
}


def import_checkpoint(path: Path, format: str | None = None, features: FeatureContract | None = None) -> ModelFiles:
    """Read a checkpoint of another program, with the licence that stands in its folder.

    Args:
        path: the file.
        format: a name in `IMPORTERS`; by default the file's first bytes decide.
        features: what its features are, where the file does not say; by default what is usual in the format.

    Raises:
        InputError: the format is not known, or the file is not one of it.
    """
    from wavejit.checkpoints.licence import find_licence

    importer = IMPORTERS[recognise(path) if format is None else _known(format)]
    model = importer.read(path, features)
    licence = find_licence(path.parent)
    return replace(model, licence=model.licence or licence.name, licence_text=licence.text)


def recognise(path: Path) -> str:
    """The name of the format that the file is in, a key of `IMPORTERS`.

    Raises:
        InputError: the file cannot be read, or is in none that is known.
    """
    from wavejit.checkpoints.files import read_start

    start = read_start(path, START_BYTES)
    for name, importer in IMPORTERS.items():
        if importer.recognises(start):
            return name
    raise InputError(f"{path}: begins like none of the formats that can be imported, expected {_listed()}")


def _known(format: str) -> str:
    if format not in IMPORTERS:
        raise InputError(f"format is {format!r}, expected {_listed()}")
    return format


def _listed() -> str:
    return " or ".join(f"{name} ({importer.description})" for name, importer in IMPORTERS.items())
