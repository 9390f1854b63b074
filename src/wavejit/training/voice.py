"""Join an acoustic model and a vocoder into a voice's folder, at a level at which people listen.

python -m wavejit.training.voice runs/acoustic/model runs/vocoder/model -o voice --name Kathleen
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer

from wavejit.audio.storage import replace_file
from wavejit.checkpoints.licence import LICENCE, find_licence
from wavejit.errors import InputError
from wavejit.speaker import Speaker
from wavejit.voice import CONFIG, FORMAT, VoiceConfig

LEVEL = 0.08  # root mean square of loud stretches, against full scale: -22 dB
TEXT = "The quick brown fox jumps over the lazy dog. She had your dark suit in greasy wash water all year."


def join(acoustic: Path, vocoder: Path, out: Path, config: VoiceConfig, licence: Path | None) -> VoiceConfig:
    """Write the folder `out`; returns its configuration, with the gain that brings the voice to `LEVEL`."""
    if out.exists() and not (out / CONFIG).exists():
        raise InputError(f"{out}: exists and is no voice; expected a new folder, or a voice to replace")
    if licence is not None and not licence.is_file():
        raise InputError(f"{licence}: there is no such file")
    for part, source in (("acoustic", acoustic), ("vocoder", vocoder)):
        shutil.copytree(source, out / part, dirs_exist_ok=True)
    if licence is not None:
        shutil.copyfile(licence, out / LICENCE)
        config = msgspec.structs.replace(config, licence=find_licence(out).name)
    _write(out, msgspec.structs.replace(config, gain=1.0))
    loudness = _loud(Speaker(out).say(TEXT))
    config = msgspec.structs.replace(config, gain=round(LEVEL / loudness, 3))
    _write(out, config)
    return config


def _loud(audio: np.ndarray, frame: int = 480) -> float:
    """The root mean square of the louder half of the frames."""
    levels = np.sqrt(np.mean(audio[: len(audio) // frame * frame].reshape(-1, frame) ** 2, 1))
    return float(np.sqrt(np.mean(levels[levels >= np.median(levels)] ** 2)))


def _write(out: Path, config: VoiceConfig) -> None:
    replace_file(out / CONFIG, msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n")


def main(
    acoustic: Annotated[Path, typer.Argument(help="An acoustic model's folder.")],
    vocoder: Annotated[Path, typer.Argument(help="A vocoder's folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The voice's folder.")],
    name: Annotated[str, typer.Option(help="As it is shown.")],
    temperature: Annotated[float, typer.Option(help="At which the vocoder draws.")] = 0.7,
    precision: Annotated[str, typer.Option(help="Of the vocoder's weights.")] = "int8",
    licence: Annotated[Path | None, typer.Option(help="A file to keep with the voice.")] = None,
    provenance: Annotated[str, typer.Option(help="Where it is from, in words.")] = "",
) -> None:
    """Join an acoustic model and a vocoder."""
    config = VoiceConfig(format=FORMAT, name=name, temperature=temperature, precision=precision, provenance=provenance)
    print(f"{out}: gain {join(acoustic, vocoder, out, config, licence).gain:g}")


if __name__ == "__main__":
    try:
        typer.run(main)
    except InputError as error:
        raise SystemExit(f"wavejit: {error}") from None
