"""How good a voice is: copies of held-out recordings, and the same prompts from text.

    python benchmarks/voice.py CORPUS [--voice FOLDER] [--limit N]

Prints the tables of the voice's model card. Copies are made by its vocoder from the features of recordings; then the
texts are spoken, and compared as audio that was made elsewhere. Needs `pip install "wavejit[evaluate]"`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from wavejit import Speaker
from wavejit.audio import write_audio
from wavejit.training.corpus import Utterance, read_corpus
from wavejit.voice import builtin_folder


def main(
    corpus: Annotated[Path, typer.Argument(help="A folder of recordings with their texts.")],
    voice: Annotated[Path | None, typer.Option(help="A voice's folder; default: the built-in one.")] = None,
    limit: Annotated[int, typer.Option(help="Held-out prompts, at most.")] = 40,
    held_out: Annotated[int, typer.Option(help="Of a thousand prompts, as in training.")] = 20,
) -> None:
    """Measure a voice on what it was not trained on."""
    folder = voice or builtin_folder()
    speaker = Speaker(folder)
    config = speaker.voice.config
    prompts: dict[str, Utterance] = {}
    for utterance in read_corpus(corpus).split(held_out)[1]:
        prompts.setdefault(utterance.prompt, utterance)
    chosen = list(prompts.values())[:limit]
    recordings = [str(utterance.audio) for utterance in chosen]
    print(f"{len(chosen)} held-out prompts")
    drawn = ["--temperature", str(config.temperature), "--precision", config.precision]
    report("copy synthesis", [str(folder / "vocoder"), *recordings, *drawn])
    with tempfile.TemporaryDirectory() as spoken:
        seconds, computing = 0.0, 0.0
        for utterance in chosen:
            started = time.perf_counter()
            audio = speaker.say(utterance.text)
            computing += time.perf_counter() - started
            seconds += len(audio) / speaker.sample_rate
            write_audio(Path(spoken) / f"{utterance.audio.stem}.wav", audio, speaker.sample_rate)
        report("from text", ["--synthesised", spoken, *recordings])
    print(f"from text: {seconds / computing:.1f}x real time")


def report(name: str, arguments: list[str]) -> None:
    """Run `wavejit evaluate` and print a line a measure: of the synthesis, and of the recordings."""
    command = [sys.executable, "-m", "wavejit", "evaluate", *arguments, "--json"]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    print(f"\n{name}\n{json.dumps(found, indent=1)}")


if __name__ == "__main__":
    typer.run(main)
