"""Measure the CUDA backend and PyTorch on the GPU that is here, and write the table of docs/performance.md.

    python benchmarks/gpu.py [--seconds 2]

Each of our rows is one run of `wavejit bench --backend cuda`; PyTorch runs the same networks, one stream in float32, in
the same minutes. Where PyTorch is not installed with CUDA its cells are empty.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tables import ROOT, bench, table, write

from wavejit.models import builtin
from wavejit.models.wavenet import WaveNet
from wavejit.models.wavernn import WaveRNN
from wavejit.runtime.cuda_device import name_of_gpu

ROWS = (
    ("deepvoice-40-64-256", "int8", 1),
    ("deepvoice-40-64-256", "float16", 1),
    ("deepvoice-20-64-128", "float16", 1),
    ("deepvoice-20-32-128", "int8", 1),
    ("wavernn-896", "int8", 1),
    ("wavernn-896", "float16", 1),
    ("samplernn-1024", "float16", 1),
    ("deepvoice-20-32-128", "int8", 128),
    ("deepvoice-40-64-256", "int8", 128),
)


def main() -> None:
    """Measure every row, then write them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="a figure")
    seconds = parser.parse_args().seconds
    rows: list[list[str]] = []
    peers: dict[str, dict[str, float]] = {}
    for model, precision, streams in ROWS:
        arguments = ["--backend", "cuda", "--precision", precision, "--streams", str(streams)]
        found = bench(seconds, model, *arguments)
        ours = found["samples_per_second"]
        if streams == 1 and model not in peers:
            peers[model] = torch_speeds(model, seconds)
        beside = peers.get(model, {}) if streams == 1 else {}
        cells = [f"{beside[way]:,.0f} ({ours / beside[way]:.0f}x)" if way in beside else "-" for way in WAYS]
        estimate = f"{found['roofline_samples_per_second']:,.0f}"
        rows.append([f"`{model}`", precision, str(streams), f"{ours:,.0f}", estimate, *cells])
        print(rows[-1], file=sys.stderr)
    headings = ["Network", "Weights", "Streams", "samples/s", "estimated", *(f"PyTorch, {way}" for way in WAYS)]
    text = f"On {name_of_gpu()}.\n\n{table(headings, rows, 2)}"
    write("gpu", text, seconds, [Path(ROOT / "docs" / "performance.md")])


WAYS = ("eager", "CUDA graph", "torch.compile")


def torch_speeds(model: str, seconds: float) -> dict[str, float]:
    """Samples a second of PyTorch on the GPU, each way that runs."""
    try:
        import torch

        from wavejit.benchmark.peers import torch_gpu
    except ImportError:
        return {}
    built = builtin(model)
    if built is None or not torch.cuda.is_available():
        return {}
    family, network = built
    if not isinstance(network, (WaveNet, WaveRNN)):
        return {}
    found: dict[str, float] = {}
    for way in torch_gpu.WAYS:
        try:
            found[way] = torch_gpu.samples_per_second(network, family.random_weights(network), way, seconds, "cuda")
        except RuntimeError as error:  # what one way cannot run, another may
            print(f"{model}, PyTorch, {way}: {error}", file=sys.stderr)
    return found


if __name__ == "__main__":
    main()
