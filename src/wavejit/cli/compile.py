"""`wavejit compile`: a model as an object file for C, for this machine's kind or another."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavejit.audio.storage import reason, replace_files
from wavejit.cli import options
from wavejit.errors import InputError
from wavejit.model import load

if TYPE_CHECKING:
    from wavejit.backends.llvm.ahead import CLibrary


def compile_(
    model: options.ModelArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write into.")],
    target: Annotated[
        str | None,
        typer.Option(
            help="A triple such as aarch64-linux-gnu, or an instruction set such as avx2 for systems like this one. "
            "Default: this system and its widest vectors."
        ),
    ] = None,
    isa: Annotated[
        str | None,
        typer.Option(help="The instruction set for a triple. Default: what every processor of its kind has."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What files and functions begin with. Default: the model's name.")
    ] = None,
    precision: options.Precision = "float32",
    accuracy: options.Accuracy = "auto",
) -> None:
    """Compile a model ahead of time: an object file, a C header and an example, in a folder."""
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is a file, expected a folder to write into")
    library = load(model).compile_ahead(target, isa, precision, accuracy, name)
    _write(output, library)
    stored, *texts = (output / name for name in library.files)
    size = len(library.files[stored.name])
    print(
        f"{stored}: {size / 1e6:.2f} MB for {library.target.describe()}; a stream keeps {library.state_bytes:,} bytes\n"
        f"{', '.join(map(str, texts))}\n"
        f"in {output}: {library.build}",
        file=sys.stderr,
    )


def _write(folder: Path, library: CLibrary) -> None:
    """All files or none; a folder that was made for them goes if they cannot be written."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_files({str(folder / name): content for name, content in library.files.items()})
    except (InputError, OSError) as error:
        for path in new:
            with contextlib.suppress(OSError):
                path.rmdir()
        if isinstance(error, InputError):
            raise
        raise InputError(f"{folder}: cannot be made: {reason(error)}") from None
