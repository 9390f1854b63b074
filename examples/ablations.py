"""What a choice in the code is worth here: one network compiled in several ways, measured in turns.

python examples/ablations.py loads              # loads of weights in an unrolled round
python examples/ablations.py targets            # instruction sets
python examples/ablations.py accuracy           # exact and fast functions
python examples/ablations.py loads wavernn-512  # of another network

Speeds are medians over rounds that alternate between the ways, in samples a second. The network is
deepvoice-10-32-64 unless named: its weights lie in a second level of cache of 1 MB.
"""

from __future__ import annotations

import statistics
import sys
import time
from unittest.mock import patch

import numpy as np

import wavejit
from wavejit.backends.llvm.compile import host_isas, host_target
from wavejit.backends.llvm.kernels import affine, products
from wavejit.runtime.engine import Engine, Stream

ROUNDS, ROUND_SECONDS = 15, 0.1


def ways(what: str, model: wavejit.Model) -> dict[str, Engine]:
    """The engines to compare, by what tells them apart."""
    step, host = model.step, host_target()
    if what == "targets":
        return {isa.name: Engine(step, host_target(isa.name)) for isa in host_isas()}
    if what == "accuracy":
        return {"exact": Engine(step, host, "exact"), "fast": Engine(step, host, "fast")}
    engines: dict[str, Engine] = {}
    for loads in (16, 32, 64, 128, 256):
        with patch.object(products, "LOADS_A_ROUND", loads), patch.object(affine, "LOADS_A_ROUND", loads):
            engines[f"{loads} loads"] = Engine(step, host)
    return engines


def speed(stream: Stream, ticks: int) -> float:
    """Samples a second of one round."""
    frames = np.zeros((stream.frames_in(ticks), stream.engine.frame_size), np.float32)
    started = time.perf_counter()
    stream.run(ticks, frames)
    return ticks * stream.engine.samples_per_tick / (time.perf_counter() - started)


def main() -> None:
    """Print a line for each way."""
    what, name = ([*sys.argv[1:], *["loads", "deepvoice-10-32-64"][len(sys.argv) - 1 :]])[:2]
    if what not in ("loads", "targets", "accuracy"):
        sys.exit(__doc__)
    engines = ways(what, wavejit.load(name))
    streams = {way: engine.stream() for way, engine in engines.items()}
    ticks = {way: max(1, round(speed(stream, 200) * ROUND_SECONDS)) for way, stream in streams.items()}
    speeds: dict[str, list[float]] = {way: [] for way in streams}
    for _ in range(ROUNDS):
        for way, stream in streams.items():
            speeds[way].append(speed(stream, ticks[way]))
    best = max(statistics.median(found) for found in speeds.values())
    print(name)
    for way, found in speeds.items():
        middle = statistics.median(found)
        spread = (max(found) - min(found)) / middle
        print(f"{way:10} {middle:10,.0f} samples/s   {middle / best:5.2f} of the best   spread {spread:.0%}")


if __name__ == "__main__":
    main()
