"""`wavejit vocode`: features, or recordings whose features are taken, to audio."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from wavejit.audio import check_audio_path, pcm16, read_features, write_audio
from wavejit.cli import options
from wavejit.errors import InputError
from wavejit.model import load
from wavejit.vocoder import Vocoder


def vocode(
    inputs: Annotated[list[Path], typer.Argument(help="Features (.npy, .npz, .safetensors) or audio files.")],
    model: Annotated[str, typer.Option("--model", "-m", help="A model folder.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Audio file; for several inputs, a folder.")
    ] = None,
    output_raw: Annotated[
        bool,
        typer.Option("--output-raw", help="Write 16-bit mono samples to standard output as they are made."),
    ] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same audio.")] = 0,
    temperature: Annotated[float, typer.Option(help="1 draws as the model predicts, 0 takes the likeliest.")] = 1.0,
    precision: options.Precision = "float32",
    threads: options.Threads = "1",
    backend: options.Backend = "llvm",
    target: options.TargetOption = None,
    accuracy: options.Accuracy = "auto",
) -> None:
    """Make audio from features, or from the features of recordings (copy synthesis)."""
    if (output is None) != output_raw:
        raise InputError("give either -o FILE or --output-raw")
    outputs = _outputs(inputs, output)
    loaded = load(model)
    contract = loaded.features
    if contract is None:
        raise InputError(f"{model}: has no features to condition it, expected a model folder with features")
    given = [read_features(path, contract) for path in inputs]  # all are checked before any is spoken
    vocoder = loaded.compile(
        precision, options.thread_count(threads), backend=backend, target=target, accuracy=accuracy
    )
    vocoder.stream((), seed=seed, temperature=temperature)  # refuses what is out of range
    _make_folders(outputs)
    if not output_raw:
        print(f"{loaded.name}: {vocoder.sample_rate / 1000:g} kHz, {vocoder.describe()}", file=sys.stderr)
    for path, frames, destination in zip(inputs, given, outputs, strict=True):
        _speak(vocoder, path.name, frames, seed, temperature, destination)


def _outputs(inputs: list[Path], output: Path | None) -> list[Path | None]:
    """Where each input's audio goes; None for standard output."""
    if output is None:
        return [None] * len(inputs)
    if len(inputs) == 1 and not output.is_dir():
        check_audio_path(output)
        return [output]
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is a file, expected a folder for {len(inputs)} inputs")
    names = [path.stem + ".wav" for path in inputs]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"{name}: would be written for {names.count(name)} inputs, expected different names; "
                "give such inputs one at a time"
            )
    return [output / name for name in names]


def _make_folders(outputs: list[Path | None]) -> None:
    for folder in {path.parent for path in outputs if path is not None}:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: cannot be made: {error.strerror}") from None


def _speak(
    vocoder: Vocoder,
    name: str,
    frames: NDArray[np.float32],
    seed: int,
    temperature: float,
    destination: Path | None,
) -> None:
    total = len(frames) * vocoder.hop_length
    made, started = 0, time.perf_counter()
    chunks: list[NDArray[np.float32]] = []
    console = Console(stderr=True)
    with Progress(
        TextColumn(name), BarColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        task = progress.add_task(name, total=total, speed="")
        block = max(1, vocoder.sample_rate // (10 * vocoder.hop_length))
        blocks = (frames[i : i + block] for i in range(0, len(frames), block))
        for chunk in vocoder.stream(blocks, seed=seed, temperature=temperature):
            made += len(chunk)
            speed = made / vocoder.sample_rate / (time.perf_counter() - started)
            progress.update(task, completed=made, speed=f"{speed:.1f}x real time")
            if destination is None:
                sys.stdout.buffer.write(pcm16(chunk))
                sys.stdout.buffer.flush()
            else:
                chunks.append(chunk)
    seconds = time.perf_counter() - started
    if destination is not None:
        write_audio(destination, np.concatenate(chunks), vocoder.sample_rate)
        duration = made / vocoder.sample_rate
        print(
            f"{destination}: {duration:.2f} s in {seconds:.2f} s, {duration / seconds:.1f}x real time",
            file=sys.stderr,
        )
