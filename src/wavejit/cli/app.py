"""The commands together."""

from __future__ import annotations

from typing import Annotated

import typer

from wavejit import __version__
from wavejit.cli import bench, compile, evaluate, explain, features, import_, info, vocode

app = typer.Typer(
    name="wavejit",
    help="Compile the sample loop of autoregressive neural vocoders into native code.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        print(f"wavejit {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Compile the sample loop of autoregressive neural vocoders into native code."""


app.command("vocode")(vocode.vocode)
app.command("features")(features.features)
app.command("import")(import_.import_)
app.command("info")(info.info)
app.command("explain")(explain.explain)
app.command("compile")(compile.compile_)
app.command("bench")(bench.bench)
app.command("evaluate")(evaluate.evaluate)
