"""The peers in PyTorch on a GPU: run eagerly, as a CUDA graph of several samples, or compiled by torch.compile."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from wavejit.benchmark.peers.torch_peer import WaveNetModule, WaveRNNModule
from wavejit.models.family import Weights
from wavejit.models.wavenet import WaveNet
from wavejit.models.wavernn import WaveRNN

Way = Literal["eager", "CUDA graph", "torch.compile"]
WAYS: tuple[Way, ...] = ("eager", "CUDA graph", "torch.compile")
TICKS = 32  # samples of one call: of one graph, of what is compiled
ROUNDS = 5


def samples_per_second(network: WaveNet | WaveRNN, weights: Weights, way: Way, seconds: float, device: str) -> float:
    """The median speed of one stream, in rounds that together take about `seconds`.

    Args:
        network, weights: what is run.
        way: how.
        seconds: to measure.
        device: "cuda"; or "cpu", where only "eager" and "torch.compile" run.
    """
    with torch.no_grad():
        module = WaveNetModule(network, weights) if isinstance(network, WaveNet) else WaveRNNModule(network, weights)
        moved(module, device)
        call = prepared(module, way, device)
        call()
        waited(device)
        speeds: list[float] = []
        for _ in range(ROUNDS):
            calls, started = 0, time.perf_counter()
            while time.perf_counter() - started < seconds / ROUNDS:
                call()
                waited(device)
                calls += 1
            speeds.append(calls * TICKS / (time.perf_counter() - started))
    return statistics.median(speeds)


def moved(module: nn.Module, device: str) -> None:
    """Put a module's tensors, which are plain attributes, on a device; its tick becomes one of them."""
    attributes: dict[str, Any] = vars(module)
    if isinstance(attributes.get("tick"), int):
        attributes["tick"] = torch.zeros((), dtype=torch.int64)
    for name, value in list(attributes.items()):
        if isinstance(value, Tensor):
            attributes[name] = value.to(device)
        elif isinstance(value, list) and value and isinstance(value[0], Tensor):
            attributes[name] = [tensor.to(device) for tensor in value]


def prepared(module: nn.Module, way: Way, device: str) -> Callable[[], object]:
    """A call that makes `TICKS` samples more."""
    nothing = torch.empty((0, 0), dtype=torch.int64, device=device)
    if way == "eager":
        return lambda: module(TICKS, nothing)
    if way == "torch.compile":
        compiled: Any = torch.compile(module)
        return lambda: compiled(TICKS, nothing)
    state = [name for name in ("lines", "before_last", "last", "h") if isinstance(vars(module).get(name), Tensor)]
    fixed = {name: vars(module)[name].clone() for name in state}

    def step() -> None:
        for name in state:
            vars(module)[name] = fixed[name]
        module(TICKS, nothing)
        for name in state:
            fixed[name].copy_(vars(module)[name])

    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        step()
        step()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def waited(device: str) -> None:
    """Until the device has done what it was told."""
    if device == "cuda":
        torch.cuda.synchronize()
