"""The ladder of Deep Voice's talk, climbed on this machine: what each step towards a native loop is worth.

    python -m pip install -e ".[bench]" && python benchmarks/ladder.py
    python benchmarks/ladder.py deepvoice-40-64-256 --seconds 5

Prints one row a step, and writes the table into docs/performance.md for the network that this page shows. The steps
are measured in turns, so that a disturbance meets all of them; speeds are medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from tables import table, write

from wavejit import InputError, Model, load
from wavejit.backends.llvm.compile import host_target
from wavejit.benchmark.measure import seconds_of
from wavejit.benchmark.peers import PEERS, TOLERANCE, disagreement
from wavejit.models.wavenet import WaveNet
from wavejit.runtime.cores import allowed, pinned
from wavejit.runtime.engine import Engine

NETWORK = "deepvoice-20-64-128"
SECONDS, ROUND_SECONDS, ROUNDS_AT_LEAST = 2.0, 0.1, 3
WARM_UP = 5  # of a round, one part in so many: weights come back into the caches, and a pair of threads into step
STREAMS = 16
SPARSITY, BLOCK = 0.9, (16, 4)


@dataclass(frozen=True)
class Step:
    """One row.

    Attributes:
        name: what was added to the row before.
        seconds: of so many ticks of all streams.
        streams: that share a pass over the weights.
        talk: how many times slower than real time the talk's networks were, from the best to the worst.
    """

    name: str
    seconds: Callable[[int], float]
    streams: int = 1
    talk: tuple[float, float] | None = None


def frameworks(model: Model, network: WaveNet) -> list[Step]:
    """The steps outside wavejit, each checked to give the logits of the one before."""
    import torch
    from history import RedoneWaveNet

    weights = model.files.weights
    torch.set_num_threads(1)
    redone = RedoneWaveNet(network, weights)
    cached = PEERS["PyTorch eager"].runner("wavenet")(network, weights, 1)
    blas = PEERS["NumPy"].runner("wavenet")(network, weights, 1)
    forced = np.random.default_rng(0).integers(0, network.classes, (redone.field + 20, 1))
    expected = blas.logits(forced)
    _check("cached activations", cached.logits(forced), expected)
    ticks = [0, 1, redone.field // 2, redone.field - 1, redone.field, len(forced) - 1]
    _check("history", np.stack([redone.logits(forced[:, 0], tick) for tick in ticks])[:, None], expected[ticks])
    return [
        Step("framework (PyTorch), the history redone for each sample", _timed(redone.generate), talk=(600, 1000)),
        Step("activations cached", _timed(cached.generate), talk=(100, 200)),
        Step("products by BLAS (NumPy)", _timed(blas.generate), talk=(2, 5)),
    ]


def ours(model: Model) -> list[Step]:
    """The steps of wavejit."""
    core, pruned = allowed()[0], model.pruned(SPARSITY, BLOCK)

    def step(name: str, engine: Engine, talk: tuple[float, float] | None = None, pin: bool = False) -> Step:
        streams = [engine.stream(stream=i) for i in range(engine.streams)]

        def seconds(ticks: int) -> float:
            if not pin:
                return seconds_of(streams, ticks)
            with pinned(core):
                return seconds_of(streams, ticks)

        return Step(name, seconds, engine.streams, talk)

    alone = _engine(model, accuracy="fast")
    return [
        step("one native loop, generic vectors", _engine(model, target="generic", accuracy="exact")),
        step(f"kernels for {host_target().isa}", _engine(model, accuracy="exact"), (1.5, 2.5)),
        step("fast tanh, sigmoid and exp", alone, (0.9, 2)),
        step("pinned to a core", alone, (0.6, 1.9), pin=True),
        step("two threads, skips in groups", _engine(model, threads=2, accuracy="fast"), (0.3, 1.7)),
        step("int16", _engine(model, "int16", 2, accuracy="fast"), (0.3, 1)),
        step("int8", _engine(model, "int8", 2)),
        step(f"{SPARSITY:.0%} zeros in blocks of {BLOCK[0]}x{BLOCK[1]}", _engine(pruned, "int8", 2)),
        step(f"{STREAMS} streams, all together", _engine(pruned, "int8", 2, STREAMS)),
    ]


def measure(steps: list[Step], seconds: float) -> list[float]:
    """Ticks a second of each, of all streams."""
    ticks = [_calibrated(step) for step in steps]
    speeds: list[list[float]] = [[] for _ in steps]
    for _ in range(max(ROUNDS_AT_LEAST, round(seconds / ROUND_SECONDS))):
        for step, count, found in zip(steps, ticks, speeds, strict=True):
            step.seconds(max(1, count // WARM_UP))
            found.append(count * step.streams / step.seconds(count))
    return [statistics.median(found) for found in speeds]


def rows(steps: list[Step], speeds: list[float], sample_rate: int) -> list[list[str]]:
    """The table's rows."""
    made: list[list[str]] = []
    for i, (step, speed) in enumerate(zip(steps, speeds, strict=True)):
        factor = f"{speed / speeds[i - 1]:.2f}" if i else ""
        talk = f"{1 / step.talk[1]:.2g}x to {1 / step.talk[0]:.2g}x" if step.talk else ""
        made.append([step.name, f"{speed:,.0f}", f"{speed / sample_rate:.2g}x", factor, talk])
    return made


def _engine(
    model: Model,
    precision: str = "float32",
    threads: int = 1,
    streams: int = 1,
    target: str | None = None,
    accuracy: str = "auto",
) -> Engine:
    engine = model.compile(precision, threads, streams, target=target, accuracy=accuracy).engine
    assert isinstance(engine, Engine), "the native backend makes engines"
    return engine


def _timed(generate: Callable[[int], object]) -> Callable[[int], float]:
    def seconds(samples: int) -> float:
        started = time.perf_counter()
        generate(samples)
        return time.perf_counter() - started

    return seconds


def _calibrated(step: Step) -> int:
    """Ticks of a round."""
    ticks, taken = 1, step.seconds(1)
    while taken < ROUND_SECONDS / 4:
        ticks *= 2
        taken = step.seconds(ticks)
    return max(1, round(ticks * ROUND_SECONDS / taken))


def _check(name: str, logits: np.ndarray, expected: np.ndarray) -> None:
    error = disagreement(logits, expected)
    if not error <= TOLERANCE:
        raise RuntimeError(f"{name}: logits differ from NumPy's by {error:.2g} of their range, expected {TOLERANCE:g}")


def main() -> None:
    """Measure and print; write the page's table where its network was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default=NETWORK, metavar="MODEL", help=f"a WaveNet ({NETWORK})")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of measuring, for each row ({SECONDS})")
    given = parser.parse_args()
    try:
        model = load(given.model)
        network = model.files.network
        if not isinstance(network, WaveNet):
            raise InputError(f"{given.model}: is a {model.files.family.name}, expected a wavenet")
        steps = [*frameworks(model, network), *ours(model)]
    except (InputError, ModuleNotFoundError) as error:
        parser.error(str(error))
    speeds = measure(steps, given.seconds)
    headings = [f"`{model.name}`", "samples/s", "real time", "times the row before", "the talk's networks"]
    made = table(headings, rows(steps, speeds, model.sample_rate), 1)
    print(made)
    if model.name == NETWORK:
        write("ladder", made, given.seconds)


if __name__ == "__main__":
    main()
