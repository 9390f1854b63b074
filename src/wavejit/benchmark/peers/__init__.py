"""The same network in other frameworks: each written as one of its users would, checked, then timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from wavejit.backends.reference import Reference
from wavejit.benchmark.peers.networks import Classes, Floats, Runner, constant_frame
from wavejit.errors import InputError
from wavejit.models import FAMILIES
from wavejit.models.family import Network, Weights
from wavejit.models.wavenet import WaveNet
from wavejit.models.wavernn import WaveRNN

Expected = NDArray[np.float64]

TOLERANCE = 1e-3  # of the range of the reference's logits
CHECKED_TICKS = 32
CHECKED_TICKS_AT_MOST = 600  # enough for each delay line of a dilation up to 512 to come round
RUNS, RUNS_AT_LEAST = 10, 3
WARM_UP_RUNS = 3  # torch.jit.script observes a run or two before it optimises


@dataclass(frozen=True)
class Peer:
    """A framework, and a way of using it.

    Attributes:
        name: as in the report.
        packages: what must be importable, the framework first; their names are those that pip knows.
        how: how the network was run, in a sentence.
        module: of this package; it imports the framework, and is itself imported only when that is there.
        runners: the name in `module` of its runners by family.
    """

    name: str
    packages: tuple[str, ...]
    how: str
    module: str
    runners: str = "RUNNERS"

    def runner(self, family: str) -> Callable[[Any, Weights, int], Runner[Any]]:
        """What makes a runner of a family's network. Raises ImportError where the framework is absent or broken."""
        return getattr(import_module(f"{__name__}.{self.module}"), self.runners)[family]


class PeerResult(msgspec.Struct, frozen=True):
    """One row of the comparison; the names are fixed.

    Attributes:
        version: of the framework; empty where it is not installed.
        samples_per_second: the median of repeated runs; None where nothing was timed.
        note: how it was run, or why it was not.
    """

    name: str
    version: str
    samples_per_second: float | None
    note: str


PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("NumPy", ("numpy",), "A loop in Python, products by NumPy's BLAS.", "numpy_peer"),
        Peer("PyTorch eager", ("torch",), "A module in inference mode, eagerly.", "torch_peer", "EAGER"),
        Peer(
            "PyTorch scripted",
            ("torch",),
            "The same module by torch.jit.script, the loop over samples inside.",
            "torch_peer",
            "SCRIPTED",
        ),
        Peer(
            "ONNX Runtime",
            ("onnxruntime", "onnx"),
            "A step with its draws as one graph, a run call a sample on bound arrays; delay lines in NumPy.",
            "onnx_peer",
        ),
        Peer(
            "Numba",
            ("numba",),
            "The whole loop under @njit with fast-math sums, on one thread.",
            "numba_peer",
        ),
        Peer(
            "Numba, tanh by exp",
            ("numba",),
            "The same, with tanh written as an exponential, which LLVM vectorises.",
            "numba_peer",
            "RUNNERS_BY_EXP",
        ),
    )
}
FAMILIES_WITH_PEERS = ("wavenet", "wavernn")


def measure(family_name: str, network: Network, weights: Weights, seconds: float, threads: int = 1) -> list[PeerResult]:
    """Run a network in each framework of `PEERS`, batch 1.

    Args:
        family_name: one of `FAMILIES_WITH_PEERS`.
        network: its sizes; features are held constant.
        weights: as the family names them.
        seconds: of timing for each framework; preparing, checking and compiling come on top.
        threads: how many each framework may use.

    Raises:
        InputError: the family has no peers.
    """
    if family_name not in FAMILIES_WITH_PEERS:
        known = " and ".join(FAMILIES_WITH_PEERS)
        raise InputError(f"--peers knows the families {known}, found {family_name}")
    forced, expected = reference_logits(family_name, network, weights)
    results: list[PeerResult] = []
    for peer in PEERS.values():
        version = ""
        try:
            frameworks = [import_module(package) for package in peer.packages]
            version = str(frameworks[0].__version__)
            runner = peer.runner(family_name)(network, weights, threads)
            error = disagreement(runner.logits(forced), expected)
            if error <= TOLERANCE:
                note = f"{peer.how} {runner.remark}".strip()
                results.append(PeerResult(peer.name, version, _speed(runner.generate, seconds), note))
                continue
            note = f"error: logits differ from the reference by {error:.2g} of their range; {TOLERANCE:g} is allowed"
        except ModuleNotFoundError as missing:
            note = f"not installed: pip install {' '.join(peer.packages)} ({missing.name} is missing)"
        except Exception as failure:  # whatever a framework throws must not cost the other rows
            note = f"error: {type(failure).__name__}: {failure}"
        results.append(PeerResult(peer.name, version, None, note))
    return results


def reference_logits(family_name: str, network: Network, weights: Weights) -> tuple[Classes, Expected]:
    """Random classes to force, `(ticks, draws)`, and the reference's logits for them, `(ticks, draws, classes)`."""
    assert isinstance(network, WaveNet | WaveRNN)
    ticks, draws, classes = CHECKED_TICKS, 2, 256
    if isinstance(network, WaveNet):
        longest = max(network.dilation(i) for i in range(network.layers))
        ticks, draws, classes = min(CHECKED_TICKS + longest, CHECKED_TICKS_AT_MOST), 1, network.classes
    forced = np.random.default_rng(0).integers(0, classes, (ticks, draws))
    frames = -(-ticks // network.hop_length)
    features = {"features": np.tile(constant_frame(network), (frames, 1)).astype(np.float64)}
    given = features if network.conditioning_channels else {}
    reference = Reference(FAMILIES[family_name].step("peers", network, weights))
    run = reference.run(ticks, given, forced.astype(np.float64))
    return forced, np.concatenate(list(run.parameters.values()), axis=1)


def disagreement(logits: Floats, expected: Expected) -> float:
    """The largest difference, as a share of the range of `expected`; infinite for NaN or another shape."""
    if logits.shape != expected.shape or not np.isfinite(logits).all():
        return np.inf
    return float(np.abs(logits - expected).max() / np.ptp(expected))


def _speed(generate: Callable[[int], Floats], seconds: float) -> float:
    """Samples a second: the median of short runs for about `seconds`, after a warm-up that compiles."""
    samples, taken = 8, 0.0
    for _ in range(WARM_UP_RUNS):
        generate(samples)
    while taken < seconds / RUNS / 2:
        samples *= 2
        taken = _timed(generate, samples)
    samples = max(1, round(samples * seconds / RUNS / taken))
    until = time.perf_counter() + seconds
    speeds: list[float] = []
    while time.perf_counter() < until or len(speeds) < RUNS_AT_LEAST:
        speeds.append(samples / _timed(generate, samples))
    return round(statistics.median(speeds), 1)


def _timed(generate: Callable[[int], Floats], samples: int) -> float:
    """Seconds that `samples` samples took."""
    started = time.perf_counter()
    generate(samples)
    return time.perf_counter() - started
