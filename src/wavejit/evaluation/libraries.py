"""The libraries that measures need; they come with the extra `evaluate`, and are imported when they are used."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from wavejit.errors import InputError

NEEDS: dict[str, tuple[str, ...]] = {
    "pesq": ("pesq",),
    "stoi": ("pystoi",),
    "dnsmos": ("speechmos", "librosa", "onnxruntime", "requests"),  # speechmos does not say what it imports
    "pitch": ("pyworld",),
    "words": ("pocketsphinx",),
    "warping": ("librosa",),
    "plot": ("matplotlib",),
}


def check_installed(uses: Iterable[str]) -> None:
    """Refuse what could not be measured, before anything is.

    Args:
        uses: names of measures, "warping" and "plot"; what is not in `NEEDS` needs nothing.

    Raises:
        InputError: a library is not installed; names it, what needs it, and the extra that brings it.
    """
    for use in uses:
        for module in NEEDS.get(use, ()):
            if find_spec(module) is None:
                raise InputError(f'{use} needs {module}, which is not installed: pip install "wavejit[evaluate]"')
