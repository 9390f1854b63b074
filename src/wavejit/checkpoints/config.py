"""`config.json`: what it holds, and a sentence for each way in which it can be wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from wavejit.audio.contract import FeatureContract
from wavejit.audio.postfilter import Postfilter, check_postfilter
from wavejit.checkpoints.files import read_file
from wavejit.errors import InputError
from wavejit.ir.formats import LARGEST_RANGE, SMALLEST_RANGE
from wavejit.models import FAMILIES
from wavejit.models.family import Family, Network

T = TypeVar("T")

FORMAT, PRECISION = "wavejit-1", "float32"
TEXT_FIELDS = ("format", "family", "weights", "licence", "provenance")
FIELDS = (*TEXT_FIELDS, "network", "features", "postfilter", "ranges", "clips")
MAX_BYTES = 1 << 20
HIGHEST_SAMPLE_RATE = 768_000  # Hz, as in the feature contract


@dataclass(frozen=True)
class Config:
    """A model but for its weights.

    Attributes:
        family: what kind of model.
        network: its sizes.
        features: what its conditioning is; None where it has none.
        licence: under which it may be used, by its short name; "" where nothing is known.
        provenance: where it is from, in words.
        postfilter: how its audio is corrected; None where it is not.
        ranges: by a weight's name, the largest magnitude that its input had on data; empty where none was run.
        clips: by a weight's name, the full scale with which 8 bits erred least on that input; empty likewise.
    """

    family: Family
    network: Network
    features: FeatureContract | None
    licence: str = ""
    provenance: str = ""
    postfilter: Postfilter | None = None
    ranges: Mapping[str, float] = field(default_factory=dict[str, float])
    clips: Mapping[str, float] = field(default_factory=dict[str, float])


def encode_config(config: Config) -> bytes:
    """The text of `config.json`."""
    fields = {
        "format": FORMAT,
        "family": config.family.name,
        "network": msgspec.to_builtins(config.network),
        "features": None if config.features is None else config.features.to_dict(),
        "weights": PRECISION,
        "licence": config.licence,
        "provenance": config.provenance,
    }
    if config.postfilter is not None:
        fields["postfilter"] = msgspec.to_builtins(config.postfilter)
    for name, numbers in (("ranges", config.ranges), ("clips", config.clips)):
        if numbers:
            fields[name] = dict(numbers)
    return msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n"


def decode_config(text: bytes, path: Path) -> Config:
    """The configuration in the text of `path`.

    Raises:
        InputError: the text is not JSON, or a field is missing, unknown or impossible; names the field.
    """
    try:
        fields = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: is not readable JSON: {one_line(error)}") from None
    if not isinstance(fields, dict):
        raise InputError(f"{path}: is {shown(fields)}, expected an object with family and network")
    for name in fields:
        if name not in FIELDS:
            raise InputError(f"{path}: {shown(name)} is not a field, expected {', '.join(FIELDS)}")
    fields = {"format": FORMAT, "weights": PRECISION, "licence": "", "provenance": ""} | fields
    for name in TEXT_FIELDS:
        _require(isinstance(fields.get(name), str), path, name, fields, "text")
    _require(fields["format"] == FORMAT, path, "format", fields, FORMAT)
    _require(fields["weights"] == PRECISION, path, "weights", fields, PRECISION)
    _require(fields["family"] in FAMILIES, path, "family", fields, f"one of {', '.join(FAMILIES)}")
    family = FAMILIES[fields["family"]]
    network = convert(fields.get("network"), family.network, "network", path)
    features = None
    if fields.get("features") is not None:
        features = convert(fields["features"], FeatureContract, "features", path)
    postfilter = None
    if fields.get("postfilter") is not None:
        postfilter = convert(fields["postfilter"], Postfilter, "postfilter", path)
    ranges, clips = (_numbers(fields, name, path) for name in ("ranges", "clips"))
    config = Config(family, network, features, fields["licence"], fields["provenance"], postfilter, ranges, clips)
    check_config(config, path)
    return config


def check_config(config: Config, path: Path) -> None:
    """Raise InputError, naming `path` and the field, where network and features do not go together.

    A network that was made in Python is checked as one that was read: sizes have ranges only there.
    """
    network, features = config.network, config.features
    convert(msgspec.to_builtins(network), config.family.network, "network", path)
    if not 1 <= network.sample_rate <= HIGHEST_SAMPLE_RATE:
        found = shown(network.sample_rate)
        raise InputError(
            f"{path}: network.sample_rate is {found}, expected 1 to {HIGHEST_SAMPLE_RATE} samples a second"
        )
    if config.postfilter is not None:
        convert(msgspec.to_builtins(config.postfilter), Postfilter, "postfilter", path)
        if features is None:
            raise InputError(f"{path}: postfilter is present, expected none where there are no features")
        try:
            check_postfilter(config.postfilter, features)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
    _check_ranges("ranges", config.ranges, path)
    _check_ranges("clips", config.clips, path)
    bins = config.family.bins(network)
    if features is None:
        if bins:
            raise InputError(f"{path}: features is missing, expected the contract of its {bins} bins")
        return
    if not bins:
        raise InputError(f"{path}: features is present, expected none: the network is unconditional")
    hop_length = getattr(network, "hop_length", features.hop_length)
    for where, found, expected in (
        ("bins", features.bins, bins - 2 * features.pitch),
        ("sample_rate", features.sample_rate, network.sample_rate),
        ("hop_length", features.hop_length, hop_length),
    ):
        if found != expected:
            raise InputError(f"{path}: features.{where} is {found}, expected {expected} as in the network")


def _numbers(fields: dict[str, Any], name: str, path: Path) -> Any:
    """An object that may be left out; `check_config` looks at what is in it."""
    found = fields.get(name, {})
    _require(isinstance(found, dict), path, name, fields, "an object of weights' names and numbers")
    return found


def _check_ranges(where: str, ranges: Mapping[str, Any], path: Path) -> None:
    for name, largest in ranges.items():
        number = isinstance(largest, int | float) and not isinstance(largest, bool)
        if not number or not SMALLEST_RANGE <= largest <= LARGEST_RANGE:
            raise InputError(
                f"{path}: {where}[{shown(name)}] is {shown(largest)}, "
                f"expected a number from {SMALLEST_RANGE:g} to {LARGEST_RANGE:g}"
            )


def read_config(path: Path, type_: type[T], where: str, wanted_format: str) -> T:
    """A small JSON file as a struct with the field `format`; errors name `path` and the field under `where`.

    Raises:
        InputError: the file is missing, is not JSON, has another format, or a field is missing, unknown or impossible.
    """
    try:
        fields = msgspec.json.decode(read_file(path, MAX_BYTES))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: is not readable JSON: {one_line(error)}") from None
    config = convert(fields, type_, where, path)
    if fields["format"] != wanted_format:
        raise InputError(f"{path}: format is {shown(fields['format'])}, expected {wanted_format!r}")
    return config


def convert(fields: Any, type_: type[T], where: str, path: Path) -> T:
    """`fields`, JSON types, as a struct; an error names `path` and the field under `where`."""
    try:
        return msgspec.convert(fields, type_)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: {one_line(_sentence(str(error), fields, where))}") from None


def shown(value: Any) -> str:
    """A value as an error shows it: short, and on one line."""
    if isinstance(value, dict | list):
        return f"an {'object' if isinstance(value, dict) else 'array'} of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def one_line(error: BaseException | str) -> str:
    """An error's words on one line without the full stop; a file's words in them cannot steer a terminal."""
    text = " ".join(str(error).split()) or type(error).__name__
    return "".join(letter if letter.isprintable() else "?" for letter in text[:300]).rstrip(".")


def _require(holds: bool, path: Path, name: str, fields: dict[str, Any], expected: str) -> None:
    if not holds:
        found = f"is {shown(fields[name])}" if name in fields else "is missing"
        raise InputError(f"{path}: {name} {found}, expected {expected}")


def _sentence(message: str, fields: Any, where: str) -> str:
    """What msgspec says, with the field in front, what was found and what was expected."""
    reason, _, place = message.partition(" - at `$")
    name = where + place.rstrip("`")
    if named := re.match(r"feature contract: (\S+) is (.*)", reason, re.DOTALL):
        return f"{where}.{named[1]} is {named[2]}"
    if named := re.match(r"Object missing required field `(.*)`", reason):
        return f"{name}.{named[1]} is missing"
    if named := re.match(r"Object contains unknown field `(.*)`", reason, re.DOTALL):
        return f"{name} has a field {shown(named[1])}, which is not one that it knows"
    if named := re.match(r"Expected (.*?)(?:, got .*)?$", reason):
        found = fields
        for key in re.findall(r"\.(\w+)", place):
            found = found.get(key) if isinstance(found, dict) else found
        return f"{name} is {shown(found)}, expected {named[1].replace('`', '')}"
    return reason if reason.startswith(f"{where}.") else f"{name}: {reason[:1].lower()}{reason[1:]}"
