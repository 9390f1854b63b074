"""Train a vocoder: streams of speech in, a model folder out.

One process a GPU, or one or more on a CPU: PyTorch's own `torchrun` starts them, for `wavejit train`.
"""

from __future__ import annotations

import copy
import ctypes
import os
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as distributed
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from wavejit.checkpoints.config import convert
from wavejit.checkpoints.folder import ModelFiles, write_folder
from wavejit.compression.prune import pruned_matrix
from wavejit.errors import InputError
from wavejit.models import mel_wavegru
from wavejit.models.mel_wavegru import MelWaveGRU
from wavejit.training.checkpoint import load_state, save_state
from wavejit.training.clips import write_clips
from wavejit.training.corpus import read_corpus
from wavejit.training.recipe import VocoderRecipe
from wavejit.training.speech import Speech, prepare
from wavejit.training.streams import Batch, Streams, cut, first_place, periods
from wavejit.training.vocoder_twin import MelWaveGRUTwin, negative_log_likelihood

STATE = "state.pt"
PREDICTORS_SHARE = 0.25  # of the gradient of the conditioning network, which all share


@dataclass
class Place:
    """Which of the processes this is, and what it computes on."""

    rank: int = int(os.environ.get("RANK", "0"))
    processes: int = int(os.environ.get("WORLD_SIZE", "1"))
    device: torch.device = field(init=False)

    def __post_init__(self) -> None:
        gpus = torch.cuda.device_count()
        local = int(os.environ.get("LOCAL_RANK", "0"))
        self.device = torch.device("cuda", local) if gpus else torch.device("cpu")
        if not gpus:
            keep_memory()
        if self.processes > 1:
            distributed.init_process_group("nccl" if gpus else "gloo")

    def autocast(self) -> Any:
        """bfloat16 where that is faster: on a GPU."""
        return torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()


def keep_memory() -> None:
    """Let glibc keep what tensors leave: a fresh mapping for each costs a third of the time on a CPU."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        trim_threshold, mmap_threshold, never = -1, -3, 1 << 30
        libc.mallopt(mmap_threshold, never)
        libc.mallopt(trim_threshold, never)


class Trainer:
    """A run: its network, optimiser, average, streams, and how far it is."""

    def __init__(self, recipe: VocoderRecipe, speech: Speech, held: Speech, out: Path, place: Place) -> None:
        self.recipe, self.out, self.place = recipe, out, place
        self.network = network_of(recipe)
        torch.manual_seed(recipe.training.seed)
        mean, scale = speech.frames.mean(0), np.maximum(speech.frames.std(0), 0.1)
        self.silence = quietest(speech.frames)
        self.twin = MelWaveGRUTwin(self.network, mean, scale).to(place.device)
        self.average = copy.deepcopy(self.twin)
        on_gpu = place.device.type == "cuda"
        self.parallel = DistributedDataParallel(self.twin) if place.processes > 1 else self.twin
        self.optimiser = torch.optim.Adam(self.twin.parameters(), betas=(0.9, 0.99), fused=on_gpu)
        batch = recipe.training.batch // place.processes
        seed = recipe.training.seed + 1000 * place.rank
        self.streams = Streams(speech, self.network, batch, recipe.training.chunk, recipe.disturbance, seed)
        self.hidden = torch.zeros(batch, self.network.width, device=place.device)
        self.held_out, self.held = held, Validation(held, self.network)
        self.update, self.losses = 0, Losses()
        self.masks: dict[str, Tensor] = {}
        self.restore()

    def run(self) -> None:
        """Train to the recipe's last update, saving and reporting on the way."""
        training, reports = self.recipe.training, self.recipe.reports
        while self.update < training.updates:
            self.losses.add(self.step(self.streams.next()), training.batch * training.chunk * self.network.hop_length)
            if self.update % reports.validate == 0 or self.update == training.updates:
                self.report()
            if self.update % reports.save == 0 or self.update == training.updates:
                self.save()

    def step(self, batch: Batch) -> float:
        """One update; returns its loss, nats a band's value."""
        frames, heard, lags = (self.tensor(x) for x in (batch.frames, batch.heard, batch.lags))
        bands, carried = self.tensor(batch.bands), self.tensor(batch.carried)
        rate = self.recipe.training.rate(self.update)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with self.place.autocast():
            found = self.parallel(frames, heard, lags, self.hidden * carried[:, None])
        parameters, self.hidden, of_predictors = found
        loss = negative_log_likelihood(parameters, bands).mean()
        self.optimiser.zero_grad(set_to_none=True)
        (loss + PREDICTORS_SHARE * of_predictors).backward()
        torch.nn.utils.clip_grad_norm_(self.twin.parameters(), self.recipe.training.clip)
        self.optimiser.step()
        self.prune()
        self.update += 1
        decay = min(self.recipe.training.average, self.update / (self.update + 10))
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.twin.parameters(), strict=True):
                mean.lerp_(now, 1 - decay)
        return float(loss.detach())

    def prune(self) -> None:
        """Zero what the schedule says, and keep zeroed what was."""
        pruning, matrices = self.recipe.pruning, self.twin.matrices()
        sparsity = pruning.at(self.update)
        if sparsity and (self.update % pruning.every == 0 or not self.masks):
            for name, matrix in matrices.items():
                kept = [
                    pruned_matrix(part.detach().float().cpu().numpy(), sparsity, pruning.block) != 0
                    for part in gates_of(name, matrix)
                ]
                self.masks[name] = self.tensor(np.concatenate(kept).astype(np.float32))
        with torch.no_grad():
            for name, mask in self.masks.items():
                matrices[name].mul_(mask)

    def report(self) -> None:
        """Print how the run goes; the average's loss on what was held out."""
        if self.place.rank:
            return
        with torch.no_grad():
            held = self.held.loss(self.average, self.place)
        done, speed, loss = self.update, self.losses.speed(), self.losses.mean()
        left = (self.recipe.training.updates - done) * self.losses.seconds_an_update()
        sparsity = self.recipe.pruning.at(done)
        print(
            f"update {done}  loss {loss:.4f}  held out {held:.4f}  rate {self.recipe.training.rate(done):.2g}  "
            f"sparsity {sparsity:.2f}  {speed / 1e3:.0f}k samples/s  {left / 60:.0f} min left",
            flush=True,
        )
        self.export(self.out / "model")
        write_clips(self.out / "model", self.held_out, self.recipe.reports.clips, self.out / "clips", done)
        self.losses = Losses()

    def export(self, folder: Path) -> None:
        """The averaged weights as a model folder, pruned as they are in training."""
        weights = self.average.weights() | {"silence": self.silence}
        for name, mask in self.masks.items():
            weights[name] = weights[name] * mask.cpu().numpy()
        recipe = self.recipe
        model = ModelFiles(mel_wavegru.FAMILY, self.network, weights, recipe.features, postfilter=recipe.postfilter)
        write_folder(folder, model)

    def save(self) -> None:
        """Everything that the next update depends on, of all processes, in one file."""
        mine: dict[str, Any] = {"streams": plain(self.streams.state()), "hidden": self.hidden.cpu()}
        processes: list[Any] = [None] * self.place.processes
        if self.place.processes > 1:
            distributed.all_gather_object(processes, mine)
        else:
            processes = [mine]
        if self.place.rank == 0:
            state = {
                "update": self.update,
                "twin": self.twin.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "masks": self.masks,
                "processes": processes,
            }
            save_state(self.out / STATE, state)

    def restore(self) -> None:
        """Go on from the saved state, if there is one; streams begin anew where the number of processes changed."""
        state = load_state(self.out / STATE)
        if state is None:
            return
        self.update = state["update"]
        self.twin.load_state_dict(state["twin"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.masks = {name: mask.to(self.place.device) for name, mask in state["masks"].items()}
        if len(state["processes"]) == self.place.processes:
            mine = state["processes"][self.place.rank]
            if len(mine["hidden"]) == len(self.hidden):
                self.streams.restore(arrays(mine["streams"]))
                self.hidden = mine["hidden"].to(self.place.device)

    def tensor(self, x: np.ndarray) -> Tensor:
        return torch.from_numpy(x).to(self.place.device, non_blocking=True)


class Validation:
    """The loss on the same held-out seconds each time."""

    STREAMS, CHUNKS, FRAMES = 16, 12, 6

    def __init__(self, speech: Speech, network: MelWaveGRU) -> None:
        bands = speech.bands * np.array(network.band_gains, np.float32)
        lags = periods(speech.frames, network)
        last = len(speech.frames) - self.CHUNKS * self.FRAMES - 2
        places = np.linspace(first_place(network), last, self.STREAMS).astype(np.int64)
        self.batches = [
            cut(speech.frames, bands, lags, network, places + i * self.FRAMES, self.FRAMES) for i in range(self.CHUNKS)
        ]
        self.width = network.width

    def loss(self, twin: MelWaveGRUTwin, place: Place) -> float:
        """Nats a band's value; the first chunk only fills the state."""
        hidden = torch.zeros(self.STREAMS, self.width, device=place.device)
        losses: list[float] = []
        for batch in self.batches:
            frames, heard, lags, bands = (
                torch.from_numpy(x).to(place.device) for x in (batch.frames, batch.heard, batch.lags, batch.bands)
            )
            with place.autocast():
                parameters, hidden, _ = twin(frames, heard, lags, hidden)
            losses.append(float(negative_log_likelihood(parameters, bands).mean()))
        return float(np.mean(losses[1:]))


@dataclass
class Losses:
    """Since the last report."""

    started: float = field(default_factory=time.perf_counter)
    total: float = 0.0
    updates: int = 0
    samples: int = 0

    def add(self, loss: float, samples: int) -> None:
        self.total, self.updates, self.samples = self.total + loss, self.updates + 1, self.samples + samples

    def mean(self) -> float:
        return self.total / max(1, self.updates)

    def speed(self) -> float:
        return self.samples / (time.perf_counter() - self.started)

    def seconds_an_update(self) -> float:
        return (time.perf_counter() - self.started) / max(1, self.updates)


def network_of(recipe: VocoderRecipe) -> MelWaveGRU:
    """The recipe's network with what its features say."""
    sizes = dict(recipe.network)
    family = sizes.pop("family", None)
    if family != mel_wavegru.FAMILY.name:
        raise InputError(f"recipe.network.family is {family!r}; expected {mel_wavegru.FAMILY.name!r}")
    features = recipe.features
    if not features.pitch:
        raise InputError("recipe.features.pitch is false; expected true: the network looks back by a pitch period")
    sizes |= {
        "sample_rate": features.sample_rate,
        "hop_length": features.hop_length,
        "channels": features.channels,
    }
    return convert(sizes, MelWaveGRU, "recipe.network", Path("recipe"))


def quietest(frames: np.ndarray, share: float = 0.02) -> np.ndarray:
    """The mean of the quietest frames, `(channels,)`: what a model takes to have been before the first."""
    level = frames[:, :-2].mean(1)
    return frames[level <= np.quantile(level, share)].mean(0, dtype=np.float64).astype(np.float32)


def gates_of(name: str, matrix: Tensor) -> tuple[Tensor, ...]:
    """A GRU's matrix by gate, each pruned for itself; any other as it is."""
    return matrix.chunk(3) if name.startswith("gru.") else (matrix,)


def plain(state: dict[str, Any]) -> dict[str, Any]:
    """Arrays as tensors, which a checkpoint may hold."""
    return {
        key: torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) else value for key, value in state.items()
    }


def arrays(state: dict[str, Any]) -> dict[str, Any]:
    """What `plain` was given."""
    return {key: value.numpy().copy() if isinstance(value, Tensor) else value for key, value in state.items()}


def train(recipe: VocoderRecipe, data: Path, out: Path) -> None:
    """Train as `recipe` says on the corpus in `data`; state, model and reports in `out`."""
    network_of(recipe)
    train, held = read_corpus(data).split(recipe.held_out)
    place = Place()
    bands = recipe.network.get("bands", 4)
    if place.rank == 0:
        prepare(train, recipe.features, bands, out)  # once: the others find it
    if place.processes > 1:
        distributed.barrier()
    speech, apart = (prepare(part, recipe.features, bands, out) for part in (train, held))
    Trainer(recipe, speech, apart, out, place).run()
    if place.processes > 1:
        distributed.destroy_process_group()
