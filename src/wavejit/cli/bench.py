"""`wavejit bench`: how fast a model runs, beside the machine's ceiling and other software."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from wavejit.cli import options
from wavejit.errors import InputError
from wavejit.ir.formats import PRECISIONS
from wavejit.model import Model, load

if TYPE_CHECKING:
    from wavejit.benchmark.limits import Limits
    from wavejit.benchmark.measure import Measurement


def bench(
    model: options.ModelArgument,
    precision: Annotated[
        str | None,
        typer.Option(
            help="Of the weights: float32, bfloat16, float16, int16, mxint8, int8, int4, or auto.",
            show_default="float32; each with --plot",
        ),
    ] = None,
    threads: options.Threads = "1",
    streams: options.Streams = 1,
    sparsity: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Prune the weights: this share of blocks is zeros.")
    ] = 0.0,
    block: Annotated[str, typer.Option(help="Rows x columns of the blocks that are pruned.")] = "16x4",
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate", help="Find ranges on what is measured, so that no integers are measured each tick."
        ),
    ] = False,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="How long to measure.")] = 3.0,
    backend: options.Backend = "llvm",
    target: options.TargetOption = None,
    accuracy: options.Accuracy = "auto",
    limits: Annotated[
        bool, typer.Option("--limits", help="Say what limits the speed: bytes, multiply-adds, or neither.")
    ] = False,
    plot: Annotated[str | None, typer.Option(help="Draw the roofline: a .png or .svg file.")] = None,
    peers: Annotated[
        bool, typer.Option("--peers", help="Run the same network in the frameworks installed here.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Measure a model's speed and, in the same run, the machine's ceiling for it."""
    from wavejit.benchmark.measure import calibrated, measure
    from wavejit.benchmark.plot import check_plot, draw_roofline
    from wavejit.runtime.engine import Engine

    if backend == "cuda" and (plot is not None or limits):
        raise InputError("--plot and --limits go with --backend llvm: the ceiling of a GPU is not measured")
    if backend not in ("llvm", "cuda"):
        raise InputError(f"backend is {backend!r}, expected llvm or cuda: the reference is not built for speed")
    if plot is not None:
        check_plot(plot)
    loaded = load(model)
    if sparsity:
        loaded = loaded.pruned(sparsity, _block(block))
    if calibrate:
        loaded = calibrated(loaded)
    count = options.thread_count(threads)
    if backend == "cuda":
        _on_gpu(loaded, precision or "float16", count, streams, target, accuracy, seconds, sparsity, peers, as_json)
        return
    formats = PRECISIONS if plot is not None and precision is None else (precision or "float32",)
    points: list[tuple[Measurement, Limits]] = []
    for name in formats:
        engine = loaded.compile(name, count, streams, backend, target, accuracy).engine
        assert isinstance(engine, Engine), "the native backend makes engines"
        points.append(measure(loaded, engine, seconds, sparsity))
        if not as_json:
            print(_told(*points[-1], limits))
    if plot is not None:
        draw_roofline(points, plot)
    found, limited = points[0]
    rows = _peers(loaded, found.samples_per_second, seconds, found.threads, as_json) if peers else []
    if as_json:
        report = msgspec.to_builtins(found)
        report |= {"limits": limited} if limits else {}
        report |= {"plotted": [msgspec.to_builtins(row) for row, _ in points]} if len(points) > 1 else {}
        report |= {"peers": rows} if peers else {}
        print(msgspec.json.encode(report).decode())


def _on_gpu(
    model: Model,
    precision: str,
    threads: int | str,
    streams: int,
    target: str | None,
    accuracy: str,
    seconds: float,
    sparsity: float,
    peers: bool,
    as_json: bool,
) -> None:
    """Measure on the GPU that is here."""
    from wavejit.benchmark.gpu import measure_on_gpu
    from wavejit.runtime.cuda_engine import CudaEngine

    engine = model.compile(precision, threads, streams, "cuda", target, accuracy).engine
    assert isinstance(engine, CudaEngine), "the cuda backend makes its own engines"
    found = measure_on_gpu(model, engine, seconds, sparsity)
    if not as_json:
        print(f"{_speed(found)}\nby the plan's critical path {found.roofline_samples_per_second:,.0f} samples/s   "
              f"share {found.roofline_share:.2f}\ncompiled in {found.compile_seconds:.3f} s")  # fmt: skip
    rows = _peers(model, found.samples_per_second, seconds, 1, as_json) if peers else []
    if as_json:
        print(msgspec.json.encode(msgspec.to_builtins(found) | ({"peers": rows} if peers else {})).decode())


def _speed(found: Measurement) -> str:
    return (
        f"{found.model}   {found.target}, {found.precision}, {_counted(found.threads, 'thread')}"
        f"{f', {found.streams} streams' if found.streams > 1 else ''}"
        f"{f', {found.sparsity:.0%} of the weights zeros' if found.sparsity else ''}\n"
        f"{found.samples_per_second:,.0f} samples/s   {found.realtime_speed:.1f}x real time"
    )


def _told(found: Measurement, limits: Limits, with_limits: bool) -> str:
    """A measurement in words."""
    text = (
        f"{_speed(found)}\n"
        f"ceiling here {found.roofline_samples_per_second:,.0f} samples/s "
        f"({found.weight_bytes / 1e6:.2f} MB of weights a sample)   share {found.roofline_share:.2f}\n"
    )
    if with_limits:
        text += (
            f"limit: {limits.limit} ({limits.bytes_per_second / 1e9:.1f} GB/s, "
            f"{limits.multiply_adds_per_second / 1e9:.1f} G multiply-adds/s, "
            f"{limits.multiply_adds_per_byte:.2f} multiply-adds a byte)\n"
        )
    return f"{text}compiled in {found.compile_seconds:.3f} s"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count > 1 else ''}"


def _block(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", text)
    if found is None:
        raise InputError(f"block is {text!r}, expected rows and columns such as 16x4")
    return int(found[1]), int(found[2])


def _peers(model: Model, ours: float, seconds: float, threads: int, quiet: bool) -> list[dict[str, object]]:
    """Each installed framework's speed on the same network, and ours over it."""
    from wavejit.benchmark.peers import measure as measure_peers

    rows: list[dict[str, object]] = []
    results = measure_peers(model.files.family.name, model.files.network, model.files.weights, seconds, threads)
    for result in results:
        speed = result.samples_per_second
        ratio = None if speed is None else round(ours / speed, 2)
        row: dict[str, object] = {"name": result.name, "version": result.version, "samples_per_second": speed}
        rows.append(row | {"ratio": ratio, "note": result.note})
    if not quiet:
        _table(rows)
    return rows


def _table(rows: list[dict[str, object]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("the same network in", "samples/s", "wavejit is"):
        table.add_column(heading, justify="left" if heading.startswith("the") else "right")
    table.add_column("how it was run", overflow="fold")
    for row in rows:
        speed = row["samples_per_second"]
        ratio = f"{row['ratio']}x as fast" if speed is not None else ""
        name = f"{row['name']} {row['version'] or ''}".strip()
        table.add_row(name, f"{speed:,.0f}" if isinstance(speed, float) else "-", ratio, str(row["note"]))
    Console().print(table)
