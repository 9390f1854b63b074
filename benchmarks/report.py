"""Measure, and write the tables of the documentation: run on a quiet machine.

    python -m pip install -e ".[bench]" && python benchmarks/report.py

Each row is one run of `wavejit bench`: speed, ceiling and peers are of that run. The tables stand between
`<!-- benchmark-table: NAME begin -->` and `<!-- benchmark-table: end -->`.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

from wavejit.backends.llvm.compile import version
from wavejit.ir.formats import PRECISIONS

ROOT = Path(__file__).parent.parent
PEERS = ("Numba", "Numba, tanh by exp", "ONNX Runtime", "NumPy", "PyTorch scripted", "PyTorch eager")
NETWORKS = ("deepvoice-40-64-256", "deepvoice-20-32-128", "wavernn-512", "wavernn-896")
SECONDS = "3"


def bench(*arguments: str) -> dict[str, Any]:
    """One run of `wavejit bench --json`."""
    command = [sys.executable, "-m", "wavejit", "bench", *arguments, "--seconds", SECONDS, "--json"]
    print(" ".join(command[2:]), file=sys.stderr)
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peers_table() -> str:
    """Float32, one thread: each peer's speed, and in how many times that wavejit runs."""
    rows = [
        f"| Network | wavejit | share of the ceiling | {' | '.join(PEERS)} |",
        "|---|" + "--:|" * (2 + len(PEERS)),
    ]
    for name in NETWORKS:
        found = bench(name, "--peers")
        peers = {peer["name"]: peer for peer in found["peers"]}
        cells = [
            f"{peers[p]['samples_per_second'] / 1000:.1f} ({peers[p]['ratio']:.1f}x)"
            if peers[p]["samples_per_second"]
            else "-"
            for p in PEERS
        ]
        ours = f"{found['samples_per_second'] / 1000:.1f}"
        rows.append(f"| `{name}` | {ours} | {found['roofline_share']:.2f} | {' | '.join(cells)} |")
    return "\n".join(rows)


def precisions_table() -> str:
    """Each format of weights on each network, with the ceiling for its bytes."""
    rows = [
        "| Network | Weights | MB a sample | samples/s | real time | ceiling, samples/s | share |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for name in NETWORKS:
        for precision in PRECISIONS:
            found = bench(name, "--precision", precision)
            rows.append(
                f"| `{name}` | {precision} | {found['weight_bytes'] / 1e6:.2f} | {found['samples_per_second']:,.0f} | "
                f"{found['realtime_speed']:.1f}x | {found['roofline_samples_per_second']:,.0f} | "
                f"{found['roofline_share']:.2f} |"
            )
    return "\n".join(rows)


def sparse_table() -> str:
    """Pruned networks: 90 % of the blocks of 16 x 4 zeroed, the zeros found by themselves."""
    rows = [
        "| Network, 90 % in blocks of 16x4 | Weights | MB a sample | samples/s | real time | share of the ceiling |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for name in NETWORKS:
        for precision in ("float32", "int16", "int8"):
            found = bench(name, "--precision", precision, "--sparsity", "0.9", "--block", "16x4")
            rows.append(
                f"| `{name}` | {precision} | {found['weight_bytes'] / 1e6:.2f} | {found['samples_per_second']:,.0f} | "
                f"{found['realtime_speed']:.1f}x | {found['roofline_share']:.2f} |"
            )
    return "\n".join(rows)


def machine() -> str:
    """What it was measured on."""
    cpu = next(
        (line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.processor()
    )
    return (
        f"Measured on {date.today()}: {cpu}, family {_field('cpu family')}, model {_field('model')}, "
        f"{platform.system()}, Python {platform.python_version()}, {version()}; {SECONDS} s a figure, medians."
    )


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def _field(name: str) -> str:
    found = [line.split(":")[1].strip() for line in _cpuinfo() if line.split(":")[0].strip() == name]
    return found[0] if found else "unknown"


def write(tables: dict[str, str]) -> None:
    """Put the tables where the pages want them."""
    for page in (ROOT / "README.md", ROOT / "docs" / "performance.md"):
        text = page.read_text(encoding="utf-8")
        for name, table in tables.items():
            begin, end = f"<!-- benchmark-table: {name} begin -->", "<!-- benchmark-table: end -->"
            block = f"{begin}\n\n{machine()}\n\n{table}\n\n{end}"
            text = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _, b=block: b, text, flags=re.DOTALL)
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write({"peers": peers_table(), "precisions": precisions_table(), "sparse": sparse_table()})
