"""`wavejit explain`: the graph, what each pass makes of it, the native code, and where the time goes."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from wavejit.cli import options
from wavejit.errors import InputError
from wavejit.ir.ops import Step
from wavejit.ir.show import show
from wavejit.vocoder import Model, load


def explain(
    model: options.ModelArgument,
    target: Annotated[
        str | None,
        typer.Option(help="An instruction set of this machine, or a triple such as aarch64-linux-gnu."),
    ] = None,
    accuracy: options.Accuracy = "exact",
    graph: Annotated[bool, typer.Option("--graph", help="Print the step as its family writes it.")] = False,
    passes: Annotated[bool, typer.Option("--passes", help="Print the step after each pass.")] = False,
    llvm: Annotated[bool, typer.Option("--llvm", help="Print LLVM's intermediate representation.")] = False,
    assembly: Annotated[bool, typer.Option("--assembly", help="Print the machine's instructions.")] = False,
    as_json: options.Json = False,
) -> None:
    """Show how a model becomes native code; without options, its kernels and what they cost."""
    from wavejit.backends.llvm.compile import target_of
    from wavejit.backends.llvm.program import UnsupportedError, generate
    from wavejit.passes import lower

    loaded = load(model)
    if not (graph or passes or llvm or assembly):
        _summary(loaded, target, accuracy, as_json)
        return
    if as_json:
        raise InputError("--json goes with the summary, not with --graph, --passes, --llvm or --assembly")

    def after(name: str, step: Step) -> None:
        if passes:
            print(f"\nafter: {name}\n{show(step)}")

    try:
        chosen = target_of(target)
        if graph:
            print(show(loaded.step))
        lowered = lower(loaded.step, chosen, after)
        program = generate(lowered, chosen, "fast" if accuracy == "fast" else "exact")
    except UnsupportedError as error:
        raise InputError(str(error)) from None
    if llvm:
        print(program.text)
    if assembly:
        from wavejit.backends.llvm.compile import assembly as as_assembly

        print(as_assembly(program.text, chosen))


def _summary(model: Model, target: str | None, accuracy: str, as_json: bool) -> None:
    from wavejit.runtime.anatomy import anatomy
    from wavejit.runtime.engine import Engine

    engine = model.compile(target=target, accuracy=accuracy).engine
    assert isinstance(engine, Engine), "the native backend makes engines"
    parts = anatomy(engine)
    if as_json:
        print(json.dumps(parts.as_dict()))
        return
    print(f"{parts.model}   {parts.sample_rate / 1000:g} kHz   {parts.target}   {parts.accuracy} functions")
    print(
        f"{parts.multiply_adds:,.0f} multiply-adds and {parts.weight_bytes / 1e6:.2f} MB of weights a sample; "
        f"a stream keeps {parts.stream_bytes / 1024:,.0f} KB"
    )
    print(
        f"{parts.critical_operations} of {parts.operations} operations wait for the last sample; "
        f"clocks: {', '.join(map(str, parts.clocks))}"
    )
    width = max(len(row.kernel) for row in parts.kernels)
    print(f"\n{'kernel':{width}}  calls a sample  multiply-adds  weight bytes   share")
    for row in parts.kernels:
        share = row.weight_bytes / parts.weight_bytes if parts.weight_bytes else 0.0
        counts = f"{row.calls:14.3g}  {row.multiply_adds:13,.0f}  {row.weight_bytes:12,.0f}"
        print(f"{row.kernel:{width}}  {counts}  {share:6.1%}")
