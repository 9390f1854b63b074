"""Train, measure and export letters to sound.

    python -m wavejit.training.letters_to_sound train runs/letters-to-sound
    python -m wavejit.training.letters_to_sound evaluate runs/letters-to-sound
    python -m wavejit.training.letters_to_sound export runs/letters-to-sound letters_to_sound.safetensors

Training may be killed at any point: the same command goes on from the last state, which is written beside its place
and renamed. With `--epochs` a run goes on to another end, and its rate falls towards that one.

What is measured is what ships: the exported weights, decoded in NumPy, on words whose stem was never learnt.
"""

from __future__ import annotations

import io
import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch.nn.functional import cross_entropy

from wavejit.audio.storage import replace_file
from wavejit.errors import InputError
from wavejit.text.letters_to_sound import LettersToSound, decode_weights, encode_weights
from wavejit.text.lexicon import Lexicon, Pronunciation, bundled_lexicon
from wavejit.text.phonemes import without_stress
from wavejit.training.letters_data import IGNORED, batch_count, batches, held_out, pairs, readable
from wavejit.training.letters_network import LettersNetwork

STATE = "state.pt"
SAVED_EVERY = 60.0  # seconds


@dataclass(frozen=True)
class Settings:
    """What a run is; kept in its state. A run that goes on may change its number of epochs, and nothing else."""

    width: int = 208
    dropout: float = 0.1
    batch: int = 128
    epochs: int = 10
    rate: float = 1.5e-3  # Adam's, at its highest
    warm_up: int = 300  # steps
    smoothing: float = 0.05  # of the targets
    averaged: float = 0.999  # share that the averaged weights keep in each step
    clipped: float = 1.0  # norm of the gradient
    seed: int = 1


class Run:
    """Network, averaged network, optimiser, and how far they are."""

    def __init__(self, settings: Settings) -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.network = LettersNetwork(settings.width, settings.dropout)
        self.averaged = LettersNetwork(settings.width, 0.0)
        self.averaged.load_state_dict(self.network.state_dict())
        self.optimiser = torch.optim.Adam(self.network.parameters(), settings.rate, betas=(0.9, 0.98))
        self.epoch = self.batch = self.step = 0

    def save(self, folder: Path) -> None:
        """Replace the state in `folder`."""
        content = io.BytesIO()
        state = {name: getattr(self, name).state_dict() for name in ("network", "averaged", "optimiser")}
        place = {"epoch": self.epoch, "batch": self.batch, "step": self.step, "random": torch.get_rng_state()}
        torch.save({"settings": asdict(self.settings), **state, **place}, content)
        replace_file(folder / STATE, content.getvalue())

    @staticmethod
    def load(folder: Path) -> Run:
        """The run whose state is in `folder`.

        Raises:
            InputError: there is none, or it cannot be read.
        """
        path = folder / STATE
        if not path.is_file():
            raise InputError(f"{path}: does not exist, expected the state of a training run")
        try:
            state: dict[str, Any] = torch.load(path, weights_only=True)
            run = Run(Settings(**state["settings"]))
            for name in ("network", "averaged", "optimiser"):
                getattr(run, name).load_state_dict(state[name])
            run.epoch, run.batch, run.step = (int(state[name]) for name in ("epoch", "batch", "step"))
            torch.set_rng_state(state["random"])
        except (KeyError, TypeError, RuntimeError, EOFError, OSError) as error:
            raise InputError(f"{path}: is no state of this training: {error}") from None
        return run

    def learn(self, letters: torch.Tensor, before: torch.Tensor, after: torch.Tensor, steps: int) -> float:
        """One step of `steps` on one batch; the loss in nats a phoneme."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.rate * self._schedule(self.step / steps)
        scores = self.network(letters, before).flatten(0, 1)
        loss = cross_entropy(scores, after.flatten(), ignore_index=IGNORED, label_smoothing=self.settings.smoothing)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clipped)
        self.optimiser.step()
        self.step += 1
        # At the beginning the average would be of noise: it forgets faster there.
        kept = min(self.settings.averaged, self.step / (self.step + 10))
        with torch.no_grad():
            for mean, value in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(value, 1 - kept)
        return float(loss.detach())

    def _schedule(self, done: float) -> float:
        """Share of the highest rate after `done` of all steps: up in a line, down in half a cosine."""
        return min(1.0, (self.step + 1) / self.settings.warm_up) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))

    def shipped(self) -> LettersToSound:
        """The averaged network as users run it."""
        return decode_weights(encode_weights(self.averaged.arrays()), "the averaged network")


@dataclass(frozen=True)
class Errors:
    """Shares of errors on words that were held out, each held against the nearest of the word's alternatives."""

    words: int
    phoneme_error: float  # insertions, deletions and replacements for each phoneme
    word_error: float
    phoneme_error_unstressed: float  # the same, the vowels' stress left out
    word_error_unstressed: float


def measure(network: LettersToSound, lexicon: Lexicon, words: list[str]) -> Errors:
    """Errors of `network` on `words` of `lexicon`."""

    def plain(pronunciation: Pronunciation) -> Pronunciation:
        return tuple(map(without_stress, pronunciation))

    wrong, wrong_words, phonemes = [0, 0], [0, 0], 0
    for word in words:
        found, expected = network.pronounce(word), lexicon.alternatives(word)
        distances = [distance(found, one) for one in expected]
        nearest = distances.index(min(distances))
        for kind, best in enumerate((distances[nearest], min(distance(plain(found), plain(one)) for one in expected))):
            wrong[kind] += best
            wrong_words[kind] += best > 0
        phonemes += len(expected[nearest])
    count = max(1, len(words))
    return Errors(len(words), wrong[0] / phonemes, wrong_words[0] / count, wrong[1] / phonemes, wrong_words[1] / count)


def distance(found: Pronunciation, expected: Pronunciation) -> int:
    """How many phonemes must be inserted, left out or replaced to make one of the other."""
    row = list(range(len(expected) + 1))
    for i, a in enumerate(found, 1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(expected, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]


app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.command()
def train(
    folder: Annotated[Path, typer.Argument(help="Where the state is kept; a run that is there goes on.")],
    epochs: Annotated[int | None, typer.Option(help="How many; a run that goes on keeps to its own.", min=1)] = None,
    width: Annotated[int, typer.Option(help="Of a new run's layers.", min=8)] = Settings.width,
    words: Annotated[int, typer.Option(help="Held-out words that are read after each epoch.", min=1)] = 600,
) -> None:
    """Train, or go on training."""
    folder.mkdir(parents=True, exist_ok=True)
    run = Run.load(folder) if (folder / STATE).exists() else Run(Settings(width=width))
    run.settings = replace(run.settings, epochs=epochs or run.settings.epochs)
    lexicon = bundled_lexicon()
    lessons = pairs(lexicon)
    kept = [word for word in readable(lexicon) if held_out(word)]
    some = kept[:: max(1, len(kept) // words)]
    size, total = run.settings.batch, run.settings.epochs
    steps = total * batch_count(lessons, size)
    saved, losses = time.monotonic(), []
    while run.epoch < total:
        run.network.train()
        for index, batch in enumerate(batches(lessons, size, run.settings.seed * 1000 + run.epoch)):
            if index < run.batch:  # learnt before the run was stopped
                continue
            losses.append(run.learn(*batch, steps))
            run.batch += 1
            if time.monotonic() - saved > SAVED_EVERY:
                run.save(folder)
                print(f"step {run.step} of {steps}: loss {sum(losses) / len(losses):.4f}", flush=True)
                saved, losses = time.monotonic(), []
        run.epoch, run.batch = run.epoch + 1, 0
        run.save(folder)
        errors = measure(run.shipped(), lexicon, some)
        print(f"epoch {run.epoch} of {total}: {json.dumps(asdict(errors))}", flush=True)


@app.command()
def evaluate(folder: Annotated[Path, typer.Argument(help="Of a run.")]) -> None:
    """Measure a run on every held-out word."""
    lexicon = bundled_lexicon()
    words = [word for word in readable(lexicon) if held_out(word)]
    print(json.dumps(asdict(measure(Run.load(folder).shipped(), lexicon, words))))


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Of a run.")],
    target: Annotated[Path, typer.Argument(help="The safetensors file to write.")],
) -> None:
    """Write the averaged weights as the package keeps them."""
    content = encode_weights(Run.load(folder).averaged.arrays())
    replace_file(target, content)
    print(f"{target}: {len(content):,} bytes")


if __name__ == "__main__":
    app()
