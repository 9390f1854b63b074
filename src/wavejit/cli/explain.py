"""`wavejit explain`: the graph, what each pass makes of it, the native code, and where the time goes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from wavejit.cli import options
from wavejit.cli.explain_kernel import explain_kernel
from wavejit.errors import InputError
from wavejit.ir.ops import Step
from wavejit.ir.show import show
from wavejit.model import load

if TYPE_CHECKING:
    from wavejit.runtime.anatomy import Anatomy


def explain(
    model: options.ModelArgument,
    target: Annotated[
        str | None,
        typer.Option(
            help="An instruction set of this machine, or a triple such as aarch64-linux-gnu; for cuda such as sm_90a."
        ),
    ] = None,
    backend: Annotated[str, typer.Option(help="llvm (native code), or cuda (a kernel; needs no GPU).")] = "llvm",
    streams: Annotated[int, typer.Option(min=1, help="For cuda: streams side by side.")] = 1,
    precision: options.Precision = "float32",
    accuracy: options.Accuracy = "auto",
    graph: Annotated[bool, typer.Option("--graph", help="Print the step as its family writes it.")] = False,
    passes: Annotated[bool, typer.Option("--passes", help="Print the step after each pass.")] = False,
    llvm: Annotated[bool, typer.Option("--llvm", help="Print LLVM's intermediate representation.")] = False,
    assembly: Annotated[bool, typer.Option("--assembly", help="Print the machine's instructions.")] = False,
    source: Annotated[bool, typer.Option("--source", help="For cuda: print the kernel's text.")] = False,
    as_json: options.Json = False,
) -> None:
    """Show how a model becomes native code; without options, its kernels and what they cost."""
    if backend == "cuda":
        if llvm or assembly or accuracy != "auto":
            raise InputError(
                "--llvm, --assembly and --accuracy do not go with --backend cuda; --source prints its text"
            )
        explain_kernel(load(model), target, precision, streams, graph, passes, source, as_json)
        return
    if backend != "llvm" or source or streams > 1:
        raise InputError(f"backend is {backend!r}, expected llvm, or cuda, which alone takes --source and --streams")
    from wavejit.backends.llvm.compile import assembly as as_assembly

    if as_json and (graph or passes or llvm or assembly):
        raise InputError("--json goes with the summary, not with --graph, --passes, --llvm or --assembly")
    loaded = load(model)

    def after(name: str, step: Step) -> None:
        if passes:
            print(f"\nafter: {name}\n{show(step)}")

    if graph:
        print(show(loaded.step))
    step, chosen, program = loaded.program(precision, target, accuracy, after)
    if llvm:
        print(program.text)
    if assembly:
        print(as_assembly(program.text, chosen))
    if not (graph or passes or llvm or assembly):
        from wavejit.runtime.anatomy import anatomy

        parts = anatomy(step, chosen, program)
        print(json.dumps(parts.as_dict()) if as_json else _summary(parts))


def _summary(parts: Anatomy) -> str:
    width = max(len(row.kernel) for row in parts.kernels)
    lines = [
        f"{parts.model}   {parts.sample_rate / 1000:g} kHz   {parts.precision}   {parts.target}   "
        f"{parts.accuracy} functions",
        f"{parts.multiply_adds:,.0f} multiply-adds and {parts.weight_bytes / 1e6:.2f} MB of weights a sample; "
        f"a stream keeps {parts.stream_bytes / 1024:,.0f} KB",
        f"{parts.critical_operations} of {parts.operations} operations wait for the last sample; "
        f"clocks: {', '.join(map(str, parts.clocks))}",
        *(
            f"of two threads the {which} would read {share.weight_bytes / 1e6:.2f} MB a sample in {share.tasks} tasks "
            f"and wait {share.waits} times"
            for which, share in zip(("first", "second"), parts.two_threads, strict=True)
        ),
        "",
        f"{'kernel':{width}}  calls a sample  multiply-adds  weight bytes   share",
    ]
    for row in parts.kernels:
        share = row.weight_bytes / parts.weight_bytes if parts.weight_bytes else 0.0
        counts = f"{row.calls:14.3g}  {row.multiply_adds:13,.0f}  {row.weight_bytes:12,.0f}"
        lines.append(f"{row.kernel:{width}}  {counts}  {share:6.1%}")
    return "\n".join(lines)
