"""Checks of a contract's fields, which all fail with the same sentence."""

import sys

from wavejit.errors import InputError


def is_number(value: object) -> bool:
    """Whether a value is a finite int or float; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # `math.isfinite` overflows on an int too large for a float.
    return abs(value) <= sys.float_info.max


def require(holds: bool, field: str, found: object, expected: str) -> None:
    """Raise an InputError that names the field, what was found and what was expected, unless `holds`."""
    if not holds:
        raise InputError(f"feature contract: {field} is {found!r}; expected {expected}")
