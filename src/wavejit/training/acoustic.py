"""Train an acoustic model: recordings and when each phoneme is spoken in, a model folder out."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from safetensors.numpy import save
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from wavejit.acoustic.model import CONFIG, FORMAT, WEIGHTS, AcousticConfig
from wavejit.acoustic.networks import AcousticNetwork
from wavejit.audio.storage import replace_files
from wavejit.checkpoints.config import convert
from wavejit.errors import InputError
from wavejit.training.alignment import read_alignment
from wavejit.training.checkpoint import load_state, save_state
from wavejit.training.corpus import read_corpus
from wavejit.training.recipe import AcousticRecipe
from wavejit.training.sentences import Batch, Example, batch_of, examples

STATE = "state.pt"
GLIDE = 0.1  # weight of the change of ln F0 from point to point, against ln F0 itself


@dataclass(frozen=True)
class Loss:
    """Means over phonemes and frames.

    Attributes:
        duration: |error| of ln frames.
        pitch: |error| of normalised ln F0, where voiced, and some of its change from point to point.
        voicing: nats.
        bins: |error| of normalised bins.
    """

    duration: Tensor
    pitch: Tensor
    voicing: Tensor
    bins: Tensor

    @property
    def total(self) -> Tensor:
        return self.duration + self.pitch + self.voicing + 2 * self.bins


def loss_of(twin: Any, batch: Batch, device: torch.device) -> tuple[Loss, Tensor]:
    """The losses on a batch, and what was predicted of its prosody, `(sentences, phonemes, prosodic)`."""
    b = Batch(**{name: getattr(batch, name).to(device) for name in Batch.__dataclass_fields__})
    points = b.ln_f0.shape[-1]
    reading = twin.reading(b.rows, b.lengths)
    said = twin.prosody(reading)
    ln_f0, odds = said[..., 1 : 1 + points], said[..., 1 + points :]
    voiced = (b.voicing > 0.5).float() * b.spoken[..., None]
    pitch = ((ln_f0 - b.ln_f0).abs() * voiced).sum() / voiced.sum().clamp(min=1)
    glide = (((ln_f0.diff(dim=-1) - b.ln_f0.diff(dim=-1)).abs()) * voiced[..., 1:]).sum() / voiced.sum().clamp(min=1)
    duration = ((said[..., 0] - b.durations).abs() * b.spoken).sum() / b.spoken.sum()
    voicing = (cross_entropy(odds, b.voicing, reduction="none").mean(-1) * b.spoken).sum() / b.spoken.sum()
    held = torch.gather(reading, 1, b.of[..., None].expand(-1, -1, reading.shape[-1]))
    bins = twin.decode(torch.cat([held, b.given], -1))
    wrong = ((bins - b.bins).abs().mean(-1) * b.heard).sum() / b.heard.sum()
    return Loss(duration, pitch + GLIDE * glide, voicing, wrong), said


class Trainer:
    """A run on one device: its networks, optimiser, average, and how far it is."""

    def __init__(self, recipe: AcousticRecipe, train: list[Example], held: list[Example], out: Path) -> None:
        from wavejit.training.acoustic_twin import AcousticTwin

        self.recipe, self.train, self.held, self.out = recipe, train, held, out
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        features = np.concatenate([example.features for example in train])
        voiced = features[features[:, -1] > 0.5, -2]
        self.network = network_of(recipe, float(voiced.mean()), float(voiced.std()))
        bins = features[:, : self.network.bins]
        self.mean, self.scale = bins.mean(0), np.maximum(bins.std(0), 0.1)
        torch.manual_seed(recipe.training.seed)
        self.twin = AcousticTwin(self.network, self.mean, self.scale).to(self.device)
        self.average = copy.deepcopy(self.twin).eval()
        self.optimiser = torch.optim.Adam(self.twin.parameters(), betas=(0.9, 0.99))
        self.update = 0
        state = load_state(out / STATE)
        if state is not None:
            self.update = state["update"]
            self.twin.load_state_dict(state["twin"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            torch.set_rng_state(state["random"])

    def run(self) -> None:
        """Train to the last update of the recipe."""
        training, reports = self.recipe.training, self.recipe.reports
        started, began, losses = time.perf_counter(), self.update, []
        while self.update < training.updates:
            losses.append(self.step())
            last = self.update == training.updates
            if self.update % reports.validate == 0 or last:
                left = (training.updates - self.update) * (time.perf_counter() - started) / (self.update - began)
                print(
                    f"update {self.update}  loss {np.mean(losses):.4f}  {self.report()}  {left / 60:.0f} min left",
                    flush=True,
                )
                losses.clear()
                self.export(self.out / "model")
            if self.update % reports.save == 0 or last:
                self.save()

    def step(self) -> float:
        """One update on sentences that the seed and the update's number choose; lengths alike, to pad little."""
        training = self.recipe.training
        rng = np.random.default_rng((training.seed, self.update))
        some = rng.permutation(len(self.train))[: 4 * training.batch]
        some = sorted(some, key=lambda i: len(self.train[i].features))
        begin = int(rng.integers(0, max(1, len(some) - training.batch + 1)))
        chosen = [self.train[i] for i in some[begin : begin + training.batch]]
        for group in self.optimiser.param_groups:
            group["lr"] = training.rate(self.update)
        self.twin.train()
        loss = loss_of(self.twin, batch_of(chosen, self.network, self.mean, self.scale), self.device)[0].total
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.twin.parameters(), training.clip)
        self.optimiser.step()
        self.update += 1
        decay = min(training.average, self.update / (self.update + 10))
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.twin.parameters(), strict=True):
                mean.lerp_(now, 1 - decay)
        return float(loss.detach())

    def report(self) -> str:
        """Errors on the held-out sentences in the units of Arik et al. 2017, section 4.4."""
        with torch.no_grad():
            batch = batch_of(self.held, self.network, self.mean, self.scale)
            loss, said = loss_of(self.average, batch, self.device)
        points, n = self.network.contour, self.network
        spoken = batch.spoken.numpy() * (1 - batch.rows[..., 0].numpy())  # without pauses
        said_frames, frames = np.exp(said[..., 0].cpu().numpy()), np.exp(batch.durations.numpy())
        ms = 1000 * self.recipe.features.hop_length / self.recipe.features.sample_rate
        duration = ms * (np.abs(said_frames - frames) * spoken).sum() / spoken.sum()
        hertz = [
            np.exp(x.cpu().numpy() * n.scale_ln_f0 + n.mean_ln_f0) for x in (said[..., 1 : 1 + points], batch.ln_f0)
        ]
        voiced = (batch.voicing.numpy() > 0.5) * spoken[..., None]
        pitch = (np.abs(hertz[0] - hertz[1]) * voiced).sum() / voiced.sum()
        wrong = ((said[..., 1 + points :].cpu().numpy() > 0) != (batch.voicing.numpy() > 0.5)) * spoken[..., None]
        voicing = wrong.sum() / spoken.sum() / points
        return (
            f"held out: duration {duration:.1f} ms, F0 {pitch:.1f} Hz, voicing wrong {voicing:.1%}, "
            f"bins {float(loss.bins):.3f}"
        )

    def export(self, folder: Path) -> None:
        """The averaged weights as an acoustic model's folder."""
        folder.mkdir(parents=True, exist_ok=True)
        config = AcousticConfig(format=FORMAT, network=self.network, features=self.recipe.features)
        text = msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n"
        replace_files({str(folder / CONFIG): text, str(folder / WEIGHTS): save(self.average.weights())})

    def save(self) -> None:
        state = {
            "update": self.update,
            "twin": self.twin.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "random": torch.get_rng_state(),
        }
        save_state(self.out / STATE, state)


def network_of(recipe: AcousticRecipe, mean_ln_f0: float, scale_ln_f0: float) -> AcousticNetwork:
    """The recipe's networks with what the features and the speaker say."""
    sizes = {name: size for name, size in recipe.network.items() if name != "family"}
    if not recipe.features.pitch:
        raise InputError("recipe.features.pitch is false; expected true: the acoustic model makes the pitch")
    sizes |= {"bins": recipe.features.bins, "mean_ln_f0": mean_ln_f0, "scale_ln_f0": scale_ln_f0}
    return convert(sizes, AcousticNetwork, "recipe.network", Path("recipe"))


def train(recipe: AcousticRecipe, data: Path, alignment: Path, out: Path) -> None:
    """Train as `recipe` says on the corpus in `data`, aligned as the file `alignment` says."""
    aligned = read_alignment(alignment)
    sides = read_corpus(data).split(recipe.held_out)
    train, held = (examples(side, aligned, recipe.features, out) for side in sides)
    if not train or not held:
        raise InputError(f"{str(alignment)!r}: aligns none of the utterances of {str(data)!r} on one side of the split")
    Trainer(recipe, train, held, out).run()
