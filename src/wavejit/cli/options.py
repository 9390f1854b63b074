"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

ModelArgument = Annotated[
    str, typer.Argument(help="A model folder, or a built-in network such as deepvoice-40-64-256.")
]
Precision = Annotated[
    str, typer.Option(help="Of the weights: float32, bfloat16, float16, int16, mxint8, int8, int4, or auto.")
]
Threads = Annotated[str, typer.Option(help="Threads that one stream may run on: 1, 2 or auto.")]
Streams = Annotated[int, typer.Option(help="Streams at once: 1 to 64, on a GPU to 4096.")]
Backend = Annotated[str, typer.Option(help="llvm (native code), cuda (a GPU), or reference (NumPy, slow).")]
TargetOption = Annotated[
    str | None,
    typer.Option(
        help="Instruction set: avx512_amx, avx512_vnni, avx512, avx_vnni, avx2, sse4, neon_dotprod, neon, generic. "
        "Default: the best here."
    ),
]
Accuracy = Annotated[str, typer.Option(help="Of tanh, sigmoid and exp: exact, fast, or auto.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def thread_count(text: str) -> int | str:
    """What `--threads` stands for; words and numbers that there are not are for `compile` to refuse."""
    return int(text) if text.isdecimal() else text
