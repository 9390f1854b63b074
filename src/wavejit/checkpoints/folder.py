"""A model as a folder: `config.json` and `model.safetensors`."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from wavejit.audio.contract import FeatureContract
from wavejit.errors import InputError
from wavejit.models import FAMILIES
from wavejit.models.family import Family, Network

T = TypeVar("T")

CONFIG, WEIGHTS = "config.json", "model.safetensors"
MAX_CONFIG_BYTES = 1 << 20


class Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What `config.json` holds."""

    format: Literal["wavejit-1"] = "wavejit-1"
    family: str
    network: msgspec.Raw
    features: FeatureContract | None = None
    weights: Literal["float32"] = "float32"
    licence: str = ""
    provenance: str = ""


@dataclass(frozen=True)
class ModelFiles:
    """A model as it is stored: family, sizes, weights, what its features are, and where it is from."""

    family: Family
    network: Network
    weights: dict[str, NDArray[np.float32]]
    features: FeatureContract | None
    licence: str = ""
    provenance: str = ""


def read_folder(folder: Path) -> ModelFiles:
    """Read and check a model folder.

    Raises:
        InputError: a file is missing or damaged, or a field or weight is not as the family needs it.
    """
    path = folder / CONFIG
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if len(text) > MAX_CONFIG_BYTES:
        raise InputError(f"{path}: is larger than {MAX_CONFIG_BYTES} bytes")
    config = _decode(text, Config, path, "")
    family = FAMILIES.get(config.family)
    if family is None:
        raise InputError(f"{path}: family is {config.family!r}, expected one of {', '.join(FAMILIES)}")
    network = _decode(bytes(config.network), family.network, path, "network: ")
    _check_features(network, config.features, family, path)
    weights = _read_weights(folder / WEIGHTS)
    family.check(network, weights, str(folder / WEIGHTS))
    return ModelFiles(family, network, weights, config.features, config.licence, config.provenance)


def write_folder(folder: Path, model: ModelFiles) -> None:
    """Write a model folder, whole or not at all; a model folder that is there is replaced.

    Raises:
        InputError: the folder cannot be written, or holds something else.
    """
    from safetensors.numpy import save

    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file, expected a folder to write the model to")
    if folder.is_dir() and set(os.listdir(folder)) - {CONFIG, WEIGHTS, "LICENSE"}:
        raise InputError(f"{folder}: holds other files, expected a new folder or a model to replace")
    config = Config(
        family=model.family.name,
        network=msgspec.Raw(msgspec.json.encode(model.network)),
        features=model.features,
        licence=model.licence,
        provenance=model.provenance,
    )
    text = msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n"
    weights = save({name: np.ascontiguousarray(data, np.float32) for name, data in model.weights.items()})
    temporary: str | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent)
        (Path(temporary) / CONFIG).write_bytes(text)
        (Path(temporary) / WEIGHTS).write_bytes(weights)
        os.chmod(temporary, 0o755)  # mkdtemp's folders are for their owner alone
        if folder.is_dir():
            for name in (CONFIG, WEIGHTS):
                os.replace(Path(temporary) / name, folder / name)
        else:
            os.rename(temporary, folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _decode(text: bytes, type_: type[T], path: Path, field: str) -> T:
    try:
        return msgspec.json.decode(text, type=type_)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: {field}{reason[:1].lower()}{reason[1:]}") from None


def _check_features(network: Network, features: FeatureContract | None, family: Family, path: Path) -> None:
    bins = family.bins(network)
    if (features is None) != (bins == 0):
        wanted = "features of its conditioning" if bins else "no features: the network is unconditional"
        raise InputError(f"{path}: features is {'missing' if features is None else 'present'}, expected {wanted}")
    if features is None:
        return
    for field, found, wanted in (
        ("bins", features.bins, bins),
        ("sample_rate", features.sample_rate, network.sample_rate),
        ("hop_length", features.hop_length, getattr(network, "hop_length", features.hop_length)),
    ):
        if found != wanted:
            raise InputError(f"{path}: features.{field} is {found}, expected {wanted} as in the network")


def _read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise InputError(f"{path}: is not a readable safetensors file: {str(error).splitlines()[0]}") from None
    for name, data in weights.items():
        if data.dtype != np.float32:
            raise InputError(f"{path}: weight {name} is {data.dtype}, expected float32")
    return weights
