"""A voice: a folder with an acoustic model, the vocoder behind it, and how loud it speaks.

voice.json      format, name, language, gain, temperature, licence, provenance
acoustic/       phonemes to features
vocoder/        a model folder that wants just these features
LICENSE         of the recordings and the weights
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from wavejit.acoustic.model import AcousticModel, load_acoustic
from wavejit.checkpoints.config import read_config
from wavejit.errors import InputError
from wavejit.model import Model, load

FORMAT = "wavejit-voice-1"
CONFIG = "voice.json"
BUILTIN = "kathleen"


class VoiceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`voice.json`.

    Attributes:
        name, language: as shown; the language as in BCP 47.
        gain: that the vocoder's samples are multiplied by.
        temperature: at which the vocoder draws.
        precision: of the vocoder's weights, where the caller asks for none.
        licence, provenance: of recordings and weights.
    """

    format: str
    name: str
    language: str = "en-US"
    gain: Annotated[float, Meta(gt=0.0, le=100.0)] = 1.0
    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] = 1.0
    precision: str = "int8"
    licence: str = ""
    provenance: str = ""


class Voice:
    """A voice that is loaded: its vocoder is not compiled yet."""

    def __init__(self, config: VoiceConfig, acoustic: AcousticModel, vocoder: Model) -> None:
        self.config, self.acoustic, self.vocoder = config, acoustic, vocoder


def load_voice(voice: str | Path | None = None) -> Voice:
    """The voice in a folder, or the built-in one by its name or None.

    Raises:
        InputError: there is no such voice, or its folder is not sound, or its parts do not fit each other.
    """
    folder = builtin_folder() if voice in (None, BUILTIN) else Path(str(voice))
    if not folder.is_dir():
        raise InputError(f"{voice}: there is no such voice; expected a folder with {CONFIG}, or {BUILTIN!r}")
    config = read_config(folder / CONFIG, VoiceConfig, "voice", FORMAT)
    acoustic, vocoder = load_acoustic(folder / "acoustic"), load(folder / "vocoder")
    if vocoder.features != acoustic.features:
        raise InputError(f"{folder}: the vocoder wants other features than the acoustic model makes, expected the same")
    return Voice(config, acoustic, vocoder)


def builtin_folder() -> Path:
    """Where the built-in voice lies."""
    return Path(str(files("wavejit"))) / "voices" / BUILTIN
