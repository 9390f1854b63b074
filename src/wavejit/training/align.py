"""`python -m wavejit.training.align`: align a corpus with pocketsphinx."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from wavejit.audio import read_audio
from wavejit.errors import InputError
from wavejit.text.lexicon import Pronunciation
from wavejit.training.alignment import SAMPLE_RATE, AlignedUtterance, Alignment, describe, write_alignment
from wavejit.training.command import run_command
from wavejit.training.corpus import Corpus, read_corpus
from wavejit.training.pronouncing import pronunciations


def align(
    folder: Annotated[Path, typer.Argument(help="A corpus.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The alignment, as JSON.")],
) -> None:
    """Find when each phoneme of a corpus is spoken."""
    if not output.absolute().parent.is_dir():
        raise InputError(f"{str(output)!r} cannot be written: there is no folder {str(output.parent)!r}")
    alignment = align_corpus(read_corpus(folder))
    write_alignment(output, alignment)
    for name, why in alignment.failed.items():
        print(f"{name}: {why}", file=sys.stderr)
    print(describe(alignment))


def align_corpus(corpus: Corpus) -> Alignment:
    """Align every utterance that can be; the others are kept with the reason.

    Raises:
        InputError: pocketsphinx is not installed, a recording cannot be read, or no text can be said.
    """
    try:
        from wavejit.training.sphinx import SphinxAligner
    except ModuleNotFoundError:
        raise InputError('alignment needs pocketsphinx, which is not installed: pip install "wavejit[train]"') from None
    failed: dict[str, str] = {}
    spoken: dict[str, tuple[str, ...]] = {}
    used: dict[str, tuple[Pronunciation, ...]] = {}
    for utterance in corpus.utterances:
        try:
            words = pronunciations(utterance.text)
        except InputError as error:
            failed[utterance.name] = str(error)
            continue
        spoken[utterance.name] = tuple(word for word, _ in words)
        for word, ways in words:
            used[word] = tuple(dict.fromkeys((*used.get(word, ()), *ways)))
    if not used:
        raise InputError(f"{str(corpus.folder)!r}: none of its texts can be said; expected some that can")
    aligner = SphinxAligner(used)
    aligned: dict[str, AlignedUtterance] = {}
    for utterance in track(corpus.utterances, "aligning", disable=not sys.stderr.isatty()):
        if utterance.name not in spoken:
            continue
        samples, _ = read_audio(utterance.audio, SAMPLE_RATE)
        try:
            aligned[utterance.name] = aligner.align(samples, spoken[utterance.name])
        except InputError as error:
            failed[utterance.name] = str(error)
    return Alignment(f"pocketsphinx {version('pocketsphinx')}", aligned, failed)


if __name__ == "__main__":
    run_command(align)
