"""Training of the pair network, which goes on where it stopped."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from wavejit.errors import InputError
from wavejit.training.checkpoint import load_state, save_state
from wavejit.training.segmentation.data import Batch, Example, batches
from wavejit.training.segmentation.network import PairNetwork, PairNetworkSizes
from wavejit.training.segmentation.pairs import BLANK

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Schedule:
    """How the network is trained.

    Attributes:
        epochs: passes over the examples; the learning rate falls to zero along half a cosine.
        batch: utterances a step.
        learning_rate: Adam's, after the warm-up.
        warm_up: steps in which the learning rate rises from zero.
        clip: norm to which gradients are cut.
        save_every: seconds between checkpoints.
        seed: of weights, order and dropout.
    """

    epochs: int = 20
    batch: int = 16
    learning_rate: float = 2e-3
    warm_up: int = 100
    clip: float = 5.0
    save_every: float = 60.0
    seed: int = 0


class Training:
    """A network, its optimiser, and how far it has come; `out` holds the last checkpoint.

    Args:
        examples: to train on.
        out: a folder, made if it is not there; a checkpoint in it is gone on from.

    Raises:
        InputError: the checkpoint is damaged, or of other sizes, another schedule or other examples.
    """

    def __init__(self, examples: Sequence[Example], sizes: PairNetworkSizes, schedule: Schedule, out: Path) -> None:
        self.examples, self.schedule, self.out = examples, schedule, out
        torch.manual_seed(schedule.seed)
        self.network = PairNetwork(sizes)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=0.0)
        self.epoch = self.step_in_epoch = self.step = 0
        # What a checkpoint must agree with: anything else would be gone on with silently.
        self._identity = {
            "sizes": asdict(sizes),
            "schedule": {name: value for name, value in asdict(schedule).items() if name != "save_every"},
            "examples": len(examples),
        }
        self.steps_an_epoch = sum(1 for _ in batches(examples, schedule.batch, schedule.seed, 0))
        self._load()

    def run(self, report: Callable[[int, float], None], steps: int | None = None) -> None:
        """Train to the end of the schedule, or for `steps` steps, and save.

        Args:
            report: called after each epoch with its number and the mean loss, in nats a pair, since the last
                start or report.
            steps: at most so many.
        """
        saved, done, losses = time.monotonic(), 0, list[float]()
        while self.epoch < self.schedule.epochs:
            order = batches(self.examples, self.schedule.batch, self.schedule.seed, self.epoch)
            for batch in islice(order, self.step_in_epoch, None):
                losses.append(self.advance(batch))
                done += 1
                if done == steps:
                    self.save()
                    return
                if time.monotonic() - saved > self.schedule.save_every:
                    self.save()
                    saved = time.monotonic()
            self.epoch, self.step_in_epoch = self.epoch + 1, 0
            self.save()
            report(self.epoch, sum(losses) / max(1, len(losses)))
            losses = []

    def advance(self, batch: Batch) -> float:
        """One step of Adam; returns the loss before it, in nats a pair."""
        self.network.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self._learning_rate()
        loss = ctc_loss(self.network, batch)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.schedule.clip)
        self.optimiser.step()
        self.step += 1
        self.step_in_epoch += 1
        return float(loss.detach())

    def save(self) -> None:
        """Write the checkpoint; the one before it stays until this one is whole."""
        state = {
            **self._identity,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "random": torch.get_rng_state(),
            "place": [self.epoch, self.step_in_epoch, self.step],
        }
        save_state(self.out / CHECKPOINT, state)

    def _load(self) -> None:
        file = self.out / CHECKPOINT
        if (state := load_state(file)) is None:
            return
        for name, wanted in self._identity.items():
            if state.get(name) != wanted:
                raise InputError(
                    f"{str(file)!r}: {name} are {state.get(name)}, expected {wanted}; give another folder to start anew"
                )
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])
        self.epoch, self.step_in_epoch, self.step = state["place"]

    def _learning_rate(self) -> float:
        total = max(1, self.schedule.epochs * self.steps_an_epoch)
        rising = min(1.0, (self.step + 1) / self.schedule.warm_up)
        return self.schedule.learning_rate * rising * 0.5 * (1 + math.cos(math.pi * min(1.0, self.step / total)))


def ctc_loss(network: PairNetwork, batch: Batch) -> Tensor:
    """Connectionist temporal classification's loss of a batch, in nats a pair."""
    log_probabilities = network(batch.mfcc)  # float32: at these widths bfloat16 is slower on a CPU
    total = nn.functional.ctc_loss(
        log_probabilities.transpose(0, 1), batch.pairs, batch.frames, batch.lengths, blank=BLANK, reduction="sum"
    )
    return total / batch.lengths.sum()
