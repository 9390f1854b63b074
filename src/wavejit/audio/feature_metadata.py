"""What a feature file says about itself, against the contract."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from wavejit.audio.contract import FeatureContract
from wavejit.audio.mel import LOG_SCALES
from wavejit.audio.normalisation import Normalisation
from wavejit.errors import InputError

_FIELDS = FeatureContract.__struct_fields__


def describe(contract: FeatureContract) -> dict[str, str]:
    """The contract as text, a field each: numbers and names plain, the normalisation as JSON."""
    described = {field: str(getattr(contract, field)) for field in _FIELDS}
    described["normalisation"] = msgspec.json.encode(contract.normalisation).decode()
    return described


def log_factor(metadata: Mapping[str, Any], contract: FeatureContract, source: str) -> float:
    """Compare a file's metadata with the contract.

    Args:
        metadata: field -> text or number. Fields that are missing are taken to agree, names that are no
            field of a contract are ignored.
        contract: what is wanted.
        source: the file's name, for errors.

    Returns:
        What to multiply the features by: 1, or the ratio of two logarithms.

    Raises:
        InputError: a field disagrees, and no exact conversion exists.
    """
    factor = 1.0
    normalised = contract.normalisation is not None
    for field in _FIELDS:
        if field not in metadata:
            continue
        wanted = getattr(contract, field)
        found = _parse(field, metadata[field], wanted, source)
        if _same(found, wanted):
            continue
        if field == "log" and not normalised and found in LOG_SCALES and wanted in LOG_SCALES:
            factor = LOG_SCALES[wanted] / LOG_SCALES[found]
        else:
            raise InputError(f"{source}: {field} is {_show(found)}; expected {_show(wanted)}")
    return factor


def _parse(field: str, value: Any, wanted: Any, source: str) -> Any:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    try:
        if field == "normalisation":
            json = "null" if text.lower() in ("none", "") else text
            return msgspec.json.decode(json, type=Normalisation | None)
        if isinstance(wanted, bool):
            return msgspec.json.decode(text.lower(), type=bool)
        return text if isinstance(wanted, str) else float(text)
    except (ValueError, msgspec.MsgspecError):
        raise InputError(f"{source}: {field} is {text[:80]!r}; expected {_show(wanted)}") from None


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(found, float) and isinstance(wanted, int | float):
        # Others store single precision: 0.97 comes back as 0.97000002861.
        return math.isclose(found, wanted, rel_tol=1e-6)
    return found == wanted


def _show(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:g}" if abs(value) < 1e5 else str(value)
    return value if isinstance(value, str) else repr(value)[:120]
