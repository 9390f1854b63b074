"""`wavejit evaluate`: how good a model's audio is, beside the recordings that its features are taken from."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from wavejit.cli import options
from wavejit.errors import InputError
from wavejit.evaluation.scores import ClipScores, Scores
from wavejit.model import load

if TYPE_CHECKING:
    from wavejit.evaluation.measure import Clip
    from wavejit.evaluation.report import Report


def evaluate(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="[MODEL] RECORDINGS...",
            help="A model folder, then recordings or folders of them; with --synthesised, recordings alone.",
        ),
    ],
    synthesised: Annotated[
        Path | None, typer.Option(help="Compare audio that was made elsewhere: a folder of files of the same names.")
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(help="What is said: lines name|text. By default, a .txt beside each recording."),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(help="Some of nll,spectrum,pesq,stoi,dnsmos,pitch,pace,words.", show_default="all"),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Take the first so many recordings.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same audio.")] = 0,
    temperature: Annotated[float, typer.Option(help="1 draws as the model predicts, 0 takes the likeliest.")] = 1.0,
    precision: options.Precision = "float32",
    threads: options.Threads = "1",
    backend: Annotated[str, typer.Option(help="llvm (native code), or cuda (a GPU).")] = "llvm",
    plot: Annotated[
        Path | None, typer.Option(help="Draw spectrograms of the first clips: a .png or .svg file.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Measure how good a model's copies of recordings are, or audio that was made elsewhere."""
    from wavejit.evaluation.clips import copy_synthesis, found_in_folder
    from wavejit.evaluation.libraries import check_installed
    from wavejit.evaluation.measure import WITHOUT_ALIGNMENT, measures_named, scores
    from wavejit.evaluation.plot import check_plot, draw_spectrograms
    from wavejit.evaluation.recordings import recordings
    from wavejit.evaluation.report import report

    if backend not in ("llvm", "cuda"):
        raise InputError(f"backend is {backend!r}, expected llvm or cuda: the reference is not built for speed")
    measures = measures_named(metrics)
    if plot is not None:
        check_plot(plot)
    used = [name for name in measures if synthesised is None or name in WITHOUT_ALIGNMENT]
    warps = synthesised is not None and "spectrum" in used
    check_installed([*used, *(["warping"] if warps else []), *(["plot"] if plot is not None else [])])
    if synthesised is None and len(inputs) < 2:
        raise InputError(f"{inputs[0]}: is the only argument, expected a model and recordings")
    chosen = recordings(inputs if synthesised is not None else inputs[1:], texts, limit)
    if synthesised is not None:
        name, delay, clips = str(synthesised), None, found_in_folder(synthesised, chosen)
    else:
        vocoder = load(inputs[0]).compile(precision, options.thread_count(threads), backend=backend)
        vocoder.stream((), seed=seed, temperature=temperature)  # refuses what is out of range
        name = vocoder.model.name
        with _progress("copied", len(chosen)) as done:
            clips, samples = copy_synthesis(vocoder, chosen, measures, seed, temperature, done)
        delay = samples / vocoder.sample_rate
    found: list[ClipScores] = []
    with _progress("measured", len(clips)) as done:
        for clip in clips:
            found.append(scores(clip, used))
            done()
    if plot is not None:
        draw_spectrograms(clips, plot)
    told = report(name, found, delay, _notes(clips, measures))
    print(msgspec.json.encode(told.to_dict()).decode()) if as_json else _print(told)


@contextmanager
def _progress(what: str, total: int) -> Generator[Callable[[], None], None, None]:
    """A bar on the terminal, and nothing elsewhere; yields what to call after each clip."""
    console = Console(stderr=True)
    with Progress(
        TextColumn(what), BarColumn(), MofNCompleteColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def _notes(clips: Sequence[Clip], measures: Sequence[str]) -> list[str]:
    """Why measures that were asked for are missing from every clip."""
    notes: list[str] = []
    if not clips[0].aligned:
        notes.append("not aligned in time: mcd is over warped time, and what needs alignment or a model is left out")
    elif "nll" in measures and clips[0].nll is None:
        notes.append("nll is left out: this family does not say how audio becomes what it draws")
    if "words" in measures and all(clip.text is None for clip in clips):
        notes.append("word_error_rate is left out: there is no .txt beside a recording, and no --texts")
    return notes


def _print(told: Report) -> None:
    """Means, medians, and the recordings beside."""
    table = Table(box=None, pad_edge=False)
    count = len(told.clips)
    table.add_column(f"{told.model}, {count} clip{'s' if count > 1 else ''}, {told.seconds:.1f} s")
    for heading in ("mean", "median", "recordings"):
        table.add_column(heading, justify="right")
    columns = (told.means, told.medians, told.recordings)
    for field in Scores.__struct_fields__:
        values = [getattr(column, field) for column in columns]
        if any(value is not None for value in values):
            table.add_row(field, *("-" if value is None else f"{value:.3f}" for value in values))
    Console().print(table)
    if told.delay:
        print(f"delay of {1000 * told.delay:.1f} ms taken out")
    for note in told.notes:
        print(note)
