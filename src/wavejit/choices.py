"""What can be asked for when a model is compiled, and one clear sentence where it cannot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from wavejit.errors import InputError
from wavejit.ir.formats import FORMATS, PRECISIONS, FormatName
from wavejit.ir.ops import Step

BACKENDS = ("llvm", "cuda", "reference")
Accuracy = Literal["exact", "fast"]
ACCURACIES = ("auto", "exact", "fast")
AUTO = "auto"
MOST_STREAMS = 64
MOST_ON_A_GPU = 4096
C_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def c_name(name: str) -> str:
    """A C identifier that is as much of `name` as can be."""
    found = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return found if C_IDENTIFIER.fullmatch(found) else f"model_{found}"


def with_choices(step: Step, precision: str, accuracy: str) -> tuple[Step, Accuracy]:
    """The step with the precision asked for, and the accuracy of its functions."""
    base, *rest = precision.split(",")
    weights = _format("precision", base)
    exceptions: list[tuple[str, FormatName]] = []
    for item in rest:
        beginning, equals, name = item.partition("=")
        if not equals or not any(weight.startswith(beginning) for weight in step.weights):
            raise InputError(
                f"precision has {item!r}, expected such as hidden=int16, and a weight whose name begins so"
            )
        exceptions.append((beginning, _format(f"precision of {beginning}", name)))
    check("accuracy", accuracy, ACCURACIES)
    coarse = 0 < FORMATS[weights].limit <= 127
    fast = accuracy == "fast" or (accuracy == AUTO and coarse)
    return replace(step, precision=weights, exceptions=tuple(exceptions)), "fast" if fast else "exact"


def _format(what: str, name: str) -> FormatName:
    check(what, name, PRECISIONS)
    return next(precision for precision in PRECISIONS if precision == name)


def check(what: str, found: object, known: Sequence[object]) -> None:
    """Raise InputError where a choice is not one that there is."""
    if found not in known:
        raise InputError(f"{what} is {found!r}, expected {' or '.join(map(str, known))} in this version")
