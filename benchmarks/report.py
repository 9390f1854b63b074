"""Measure, and write the tables of the documentation: run on a quiet machine.

    python -m pip install -e ".[bench]" && python benchmarks/report.py
    python benchmarks/report.py sparse deep-voice --seconds 3

Each row is one run of `wavejit bench`: speed, ceiling and peers are of that run. A table is written when it is
complete. All of them take some minutes. The figure is the roofline of `FIGURE`, drawn by `wavejit bench --plot`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from tables import ROOT, bench, table, write

from wavejit.ir.formats import PRECISIONS

PEERS = ("Numba", "Numba, tanh by exp", "ONNX Runtime", "NumPy", "PyTorch scripted", "PyTorch eager")
NETWORKS = ("deepvoice-40-64-256", "deepvoice-20-32-128", "wavernn-512", "wavernn-896")
FIGURE = "deepvoice-40-64-256"
STREAMS = 16
SECONDS = 1.0
# Deep Voice (arXiv 1702.07825), table 2, processors: layers-residual-skip, weights, threads, speed over real time.
DEEP_VOICE = (
    ("20-32-128", "float32", 6, 2.70),
    ("20-32-128", "float32", 2, 2.05),
    ("20-64-128", "int16", 2, 1.20),
    ("20-64-128", "float32", 6, 1.11),
    ("20-64-128", "float32", 2, 0.79),
    ("40-64-256", "int16", 2, 0.67),
    ("40-64-256", "float32", 6, 0.61),
    ("40-64-256", "float32", 2, 0.35),
)


def peers_table(seconds: float) -> str:
    """Float32, one thread: each peer's speed, and how many times that wavejit runs."""
    rows: list[list[str]] = []
    for name in NETWORKS:
        found = bench(seconds, name, "--peers")
        peers = {peer["name"]: peer for peer in found["peers"]}
        cells = [
            f"{peers[p]['samples_per_second'] / 1000:.1f} ({peers[p]['ratio']:.1f}x)"
            if peers[p]["samples_per_second"]
            else "-"
            for p in PEERS
        ]
        ours = f"{found['samples_per_second'] / 1000:.1f}"
        rows.append([f"`{name}`", ours, f"{found['roofline_share']:.2f}", *cells])
    return table(["Network", "wavejit", "share of the ceiling", *PEERS], rows, 1)


def precisions_table(seconds: float, streams: int = 1, counts: Sequence[str] = ("1", "2")) -> str:
    """Each format of weights on each network, on so many threads, with the ceiling and what limits."""
    rows: list[list[str]] = []
    for name in NETWORKS:
        for precision in PRECISIONS:
            for threads in counts:
                options = ("--precision", precision, "--threads", threads, "--streams", str(streams))
                found = bench(seconds, name, *options, "--limits")
                rows.append([f"`{name}`", precision, threads, *_figures(found)])
    return table(["Network", "Weights", "Threads", *FIGURES], rows, 3)


def streams_table(seconds: float) -> str:
    """The same for `STREAMS` streams that share a pass over the weights, on one thread; speeds are of all together."""
    return precisions_table(seconds, STREAMS, ("1",))


def sparse_table(seconds: float) -> str:
    """Pruned networks: 90 % of the blocks of 16 x 4 zeroed, the zeros found by themselves."""
    rows: list[list[str]] = []
    for name in (*NETWORKS, "wavegru-1024"):
        for precision in ("float32", "int16", "int8"):
            options = ("--precision", precision, "--sparsity", "0.9", "--block", "16x4")
            rows.append([f"`{name}`", precision, *_figures(bench(seconds, name, *options, "--limits"))])
    return table(["Network, 90 % in blocks of 16x4", "Weights", *FIGURES], rows, 2)


def deep_voice_table(seconds: float) -> str:
    """The paper's networks: its speed, and ours on two threads with weights as it had them, and in int8."""
    speeds: dict[tuple[str, str], float] = {}

    def speed(sizes: str, precision: str) -> float:
        if (sizes, precision) not in speeds:
            found = bench(seconds, f"deepvoice-{sizes}", "--precision", precision, "--threads", "2")
            speeds[sizes, precision] = found["realtime_speed"]
        return speeds[sizes, precision]

    rows: list[list[str]] = []
    for sizes, precision, threads, theirs in DEEP_VOICE:
        same, smallest = speed(sizes, precision), speed(sizes, "int8")
        ours = [f"{same:.2f}x", f"{same / theirs:.1f}", f"{smallest:.2f}x", f"{smallest / theirs:.1f}"]
        rows.append([sizes.replace("-", "/"), precision, str(threads), f"{theirs:.2f}x", *ours])
    theirs = ["l/r/s", "Weights", "Threads", "Deep Voice"]
    return table([*theirs, "wavejit, such weights", "ratio", "wavejit, int8", "ratio"], rows, 3)


FIGURES = ("MB a sample", "samples/s", "real time", "ceiling, samples/s", "share", "limit")


def _figures(found: dict[str, Any]) -> list[str]:
    """What `FIGURES` names, of one run with `--limits`."""
    return [
        f"{found['weight_bytes'] / 1e6:.2f}",
        f"{found['samples_per_second']:,.0f}",
        f"{found['realtime_speed']:.1f}x",
        f"{found['roofline_samples_per_second']:,.0f}",
        f"{found['roofline_share']:.2f}",
        found["limits"]["limit"],
    ]


TABLES: dict[str, Callable[[float], str]] = {
    "peers": peers_table,
    "precisions": precisions_table,
    "streams": streams_table,
    "sparse": sparse_table,
    "deep-voice": deep_voice_table,
}


def main() -> None:
    """Measure the tables that are named, or all of them and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"{', '.join(TABLES)}, or figure; default: all")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"of measuring, for each figure ({SECONDS})")
    given = parser.parse_args()
    wanted = given.what or [*TABLES, "figure"]
    if unknown := [name for name in wanted if name not in (*TABLES, "figure")]:
        parser.error(f"there is no table {unknown[0]!r}, expected {', '.join(TABLES)}, or figure")
    for name in wanted:
        if name == "figure":
            bench(given.seconds, FIGURE, "--plot", str(ROOT / "docs" / "roofline.svg"))
        else:
            write(name, TABLES[name](given.seconds), given.seconds)


if __name__ == "__main__":
    main()
