"""`wavejit say`: text to speech."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TextIO

import numpy as np
import typer
from numpy.typing import NDArray

from wavejit.audio import check_audio_path, pcm16
from wavejit.audio.files import write_audio_chunks
from wavejit.cli import options
from wavejit.errors import InputError
from wavejit.speaker import SentenceTiming, Speaker

PIECE = 4096  # characters read at a time: a book, or a program that is still writing, is spoken as it comes
FORMATS = ("json", "srt")


def say(
    text: Annotated[
        str | None, typer.Argument(help="What to say; standard input where neither this nor -f is given.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="A text file, UTF-8.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Audio file, in the format of its suffix.")
    ] = None,
    output_raw: Annotated[
        bool, typer.Option("--output-raw", help="Write 16-bit mono samples to standard output as they are made.")
    ] = False,
    voice: Annotated[str | None, typer.Option(help="A voice's folder. Default: the built-in voice.")] = None,
    speed: Annotated[float, typer.Option(help="2 speaks twice as fast; 0.25 to 4.")] = 1.0,
    pitch: Annotated[float, typer.Option(help="2 speaks an octave higher; 0.25 to 4.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same audio.")] = 0,
    temperature: Annotated[float | None, typer.Option(help="Of the vocoder's draws. Default: the voice's own.")] = None,
    timings: Annotated[
        str | None, typer.Option(help="Print when each word and phoneme is said: json; or subtitles: srt.")
    ] = None,
    precision: Annotated[str | None, typer.Option(help="Of the vocoder's weights. Default: the voice's own.")] = None,
    threads: options.Threads = "1",
    target: options.TargetOption = None,
) -> None:
    """Speak text, sentence by sentence as it comes."""
    if (output is None) != output_raw:
        raise InputError("give either -o FILE or --output-raw")
    if text is not None and file is not None:
        raise InputError("give either a text or -f FILE")
    if timings is not None and timings not in FORMATS:
        raise InputError(f"--timings is {timings!r}, expected one of {', '.join(FORMATS)}")
    if timings and output_raw:
        raise InputError("--timings go to standard output, where --output-raw writes audio; expected -o FILE with them")
    if output is not None:
        check_audio_path(output)
    speaker = Speaker(voice, precision, options.thread_count(threads), target)
    said: list[SentenceTiming] = []

    def heard(sentence: SentenceTiming) -> None:
        for note in sentence.notes:
            print(f"wavejit: {note}", file=sys.stderr)
        if timings:
            said.append(sentence)

    started = time.perf_counter()
    chunks = speaker.stream(_pieces(text, file), speed, pitch, seed, temperature, heard)
    if output is None:
        for chunk in chunks:
            sys.stdout.buffer.write(pcm16(chunk))
            sys.stdout.buffer.flush()
        return
    first: list[float] = []
    samples = write_audio_chunks(output, _noted(chunks, started, first), speaker.sample_rate)
    seconds, duration = time.perf_counter() - started, samples / speaker.sample_rate
    print(
        f"{output}: {duration:.2f} s in {seconds:.2f} s, {duration / seconds:.1f}x real time, "
        f"first audio after {first[0]:.2f} s",
        file=sys.stderr,
    )
    if timings == "json":
        print(json.dumps({"duration": round(duration, 3), "sentences": [asdict(sentence) for sentence in said]}))
    elif timings == "srt":
        print(subtitles(said), end="")


def subtitles(sentences: Iterable[SentenceTiming]) -> str:
    """SubRip: a number, from when to when, and the words of each sentence."""
    blocks = (
        f"{number}\n{_clock(said.start)} --> {_clock(said.end)}\n{' '.join(word.word for word in said.words)}\n"
        for number, said in enumerate(sentences, 1)
    )
    return "\n".join(blocks)


def _clock(seconds: float) -> str:
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d},{rest % 1000:03d}"


def _noted(chunks: Iterator[NDArray[np.float32]], started: float, first: list[float]) -> Iterator[NDArray[np.float32]]:
    """The chunks, with the seconds up to the first of them noted."""
    for chunk in chunks:
        if not first:
            first.append(time.perf_counter() - started)
        yield chunk


def _pieces(text: str | None, file: Path | None) -> str | Iterator[str]:
    """What is to be said, in pieces where it is read."""
    if text is not None:
        return text
    if file is None:
        sys.stdin.reconfigure(encoding="utf-8")  # pyright: ignore[reportAttributeAccessIssue]
        return _read(sys.stdin, "standard input")
    try:
        opened = file.open(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{str(file)!r} cannot be read: {error.strerror}") from None
    return _read(opened, repr(str(file)))


def _read(source: TextIO, name: str) -> Iterator[str]:
    try:
        with source:
            while piece := source.readline(PIECE):
                yield piece
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 at byte {error.start}; expected text in UTF-8") from None
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror}") from None
