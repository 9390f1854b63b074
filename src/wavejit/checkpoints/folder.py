"""A model as a folder: `config.json`, `model.safetensors`, and perhaps its `LICENSE`."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wavejit.audio.contract import FeatureContract
from wavejit.audio.postfilter import Postfilter
from wavejit.audio.storage import reason
from wavejit.checkpoints.config import Config, check_config, decode_config, encode_config, one_line, shown
from wavejit.checkpoints.files import read_file, regular_file
from wavejit.checkpoints.licence import LICENCE, find_licence
from wavejit.errors import InputError
from wavejit.models.family import Family, Network

CONFIG, WEIGHTS = "config.json", "model.safetensors"
MAX_CONFIG_BYTES = 1 << 20
MAX_WEIGHTS_BYTES = 1 << 30


@dataclass(frozen=True)
class ModelFiles:
    """A model as it is stored: family, sizes, weights, what its features are, and where it is from.

    Attributes:
        licence: its short name; "" where nothing is known.
        licence_text: the licence in full, kept as `LICENSE`; "" where there is none.
        postfilter: how its audio is corrected; None where it is not.
        ranges: by a weight's name, the largest magnitude that its input had on data; empty where none was run.
        clips: by a weight's name, the full scale with which 8 bits erred least on that input; empty likewise.
    """

    family: Family
    network: Network
    weights: dict[str, NDArray[np.float32]]
    features: FeatureContract | None
    licence: str = ""
    provenance: str = ""
    licence_text: str = ""
    postfilter: Postfilter | None = None
    ranges: Mapping[str, float] = field(default_factory=dict[str, float])
    clips: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def config(self) -> Config:
        about = (self.licence, self.provenance)
        return Config(self.family, self.network, self.features, *about, self.postfilter, self.ranges, self.clips)


def read_folder(folder: Path) -> ModelFiles:
    """Read and check a model folder.

    Raises:
        InputError: a file is missing or damaged, or a field or weight is not as the family needs it.
    """
    config = decode_config(read_file(folder / CONFIG, MAX_CONFIG_BYTES), folder / CONFIG)
    weights = _read_weights(folder / WEIGHTS, config)
    config.family.check(config.network, weights, str(folder / WEIGHTS))
    return ModelFiles(
        config.family,
        config.network,
        weights,
        config.features,
        config.licence,
        config.provenance,
        find_licence(folder).text,
        config.postfilter,
        config.ranges,
        config.clips,
    )


def write_folder(folder: Path, model: ModelFiles) -> None:
    """Write a model folder, whole or not at all; a model folder that is there is replaced.

    Raises:
        InputError: the folder cannot be written, holds something else, or the model could not be read again.
    """
    from safetensors.numpy import save

    check_config(model.config, folder)
    model.family.check(model.network, model.weights, str(folder))
    weights = {name: np.ascontiguousarray(data, np.float32) for name, data in model.weights.items()}
    files = {CONFIG: encode_config(model.config), WEIGHTS: save(weights)}
    if model.licence_text:
        files[LICENCE] = model.licence_text.encode()
    try:
        target = Path(os.path.realpath(folder))
        if target.exists() and not target.is_dir():
            raise InputError(f"{folder}: is a file, expected a folder to write the model to")
        if target.is_dir() and set(os.listdir(target)) - {CONFIG, WEIGHTS, LICENCE}:
            raise InputError(f"{folder}: holds other files, expected a new folder or a model to replace")
        _replace_folder(target, files)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: cannot be written: {reason(error)}") from None


def _replace_folder(target: Path, files: dict[str, bytes]) -> None:
    """Write the files into a new folder on the same disk, then move it to `target`."""
    beside = next(parent for parent in target.parents if parent.is_dir())
    workshop = Path(tempfile.mkdtemp(prefix=".wavejit-", dir=beside))
    new, old = workshop / "new", workshop / "old"
    try:
        new.mkdir()
        for name, content in files.items():
            _write(new / name, content)
        if target.is_dir():
            os.chmod(new, target.stat().st_mode & 0o7777)
            os.rename(target, old)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(new, target)
        except OSError:
            if old.is_dir():
                os.rename(old, target)
            raise
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # else a disk that is full may say so only after the folder has moved


def _read_weights(path: Path, config: Config) -> dict[str, NDArray[np.float32]]:
    """The file's weights; names and types are held against the family before any is read."""
    from safetensors import SafetensorError, safe_open

    wanted = config.family.shapes(config.network)
    try:
        with safe_open(str(regular_file(path, MAX_WEIGHTS_BYTES)), framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 (not a mapping)
                if name not in wanted:
                    family = config.family.name
                    raise InputError(f"{path}: weight {shown(name)} is not one that the family {family} knows")
                dtype = file.get_slice(name).get_dtype()
                if dtype != "F32":
                    raise InputError(f"{path}: weight {name} has dtype {dtype}, expected F32 (float32)")
            return {name: file.get_tensor(name) for name in wanted if name in file.keys()}  # noqa: SIM118
    except InputError:
        raise
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: is not a readable safetensors file: {one_line(error)}") from None
