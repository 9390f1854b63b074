"""Where a network's time goes, kernel by kernel, by sampling where the processor is.

    python benchmarks/kernels.py deepvoice-40-64-256 --precision int8
    python benchmarks/kernels.py deepvoice-40-64-256 --precision int8 --streams 16 --assembly 128x64_add1

With --assembly, the instructions of the kernels whose names contain a text, each with how many thousandths of all
samples met it. Needs Linux's `perf`, which samples by the clock where it cannot count cycles, and `nm` and `objdump`.
"""

from __future__ import annotations

import argparse
import bisect
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from wavejit import InputError, load
from wavejit.backends.llvm.compile import Loaded, object_code
from wavejit.benchmark.measure import calibrated, seconds_of
from wavejit.runtime.engine import Engine

ROUND_SECONDS = 0.1
SAMPLES_A_SECOND = 5000
STARTING = 0.5  # seconds until perf samples
TOOLS = ("perf", "nm", "objdump")


@dataclass(frozen=True)
class Kernel:
    """A function of the object file: where it begins and ends there."""

    start: int
    end: int
    name: str


def main(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        raise InputError(f"{', '.join(missing)} not found on the path, expected {', '.join(TOOLS)}")
    model = load(arguments.network)
    if arguments.sparsity:
        model = model.pruned(arguments.sparsity, (16, 4))
    if arguments.calibrate:
        model = calibrated(model)
    engine = model.compile(arguments.precision, streams=arguments.streams, target=arguments.target).engine
    assert isinstance(engine, Engine), "the native backend makes engines"
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder, "code.o")
        code.write_bytes(object_code(engine.program.text, engine.target))
        kernels = kernels_of(code)
        seconds_a_sample, places = sampled(engine, arguments.seconds, Path(folder, "perf.data"))
        base = address_of_run(engine) - next(kernel.start for kernel in kernels if kernel.name == "run")
        met = Counter(place - base for place in places)
        total = sum(met.values())
        print(f"{model.name}   {engine.describe()}   {1 / seconds_a_sample:,.0f} samples/s")
        starts = [kernel.start for kernel in kernels]
        shares: Counter[str] = Counter()
        for place, count in met.items():
            at = bisect.bisect_right(starts, place) - 1
            inside = at >= 0 and place < kernels[at].end
            shares[kernels[at].name if inside else "elsewhere"] += count
        for name, count in shares.most_common():
            print(f"{count / total:6.1%} {count / total * seconds_a_sample * 1e6:8.2f} us a sample   {name}")
        for kernel in kernels:
            if arguments.assembly and arguments.assembly in kernel.name:
                print(f"\n{kernel.name}")
                for place, instruction in instructions(code, kernel):
                    print(f"{met[place] / total * 1000:7.2f}   {instruction}")


def kernels_of(code: Path) -> list[Kernel]:
    """The functions of an object file, in their order."""
    listed = subprocess.run(["nm", "-S", str(code)], capture_output=True, text=True, check=True).stdout
    fields = [line.split() for line in listed.splitlines()]
    return sorted(
        (Kernel(int(f[0], 16), int(f[0], 16) + int(f[1], 16), f[3]) for f in fields if len(f) == 4 and f[2] in "tT"),
        key=lambda kernel: kernel.start,
    )


def address_of_run(engine: Engine) -> int:
    """Where the function `run` lies in this process."""
    loaded = engine._loaded
    assert isinstance(loaded, Loaded)
    return loaded.address("run")


def sampled(engine: Engine, seconds: float, record: Path) -> tuple[float, list[int]]:
    """Seconds a sample, the median of rounds, and where the processor was at each sampling."""
    streams = [engine.stream(stream=i) for i in range(engine.streams)]
    ticks = 1
    while seconds_of(streams, ticks) < ROUND_SECONDS / 2:
        ticks *= 2
    options = ["-q", "-e", "cpu-clock", "-F", str(SAMPLES_A_SECOND), "-p", str(os.getpid()), "-o", str(record)]
    perf = subprocess.Popen(["perf", "record", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(STARTING)
    rounds: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        rounds.append(seconds_of(streams, ticks) / (ticks * len(streams) * engine.samples_per_tick))
    perf.send_signal(signal.SIGINT)
    perf.wait()
    script = ["perf", "script", "-i", str(record), "-F", "ip"]
    found = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    return statistics.median(rounds), [int(line, 16) for line in found.split()]


def instructions(code: Path, kernel: Kernel) -> list[tuple[int, str]]:
    """The instructions of a kernel and where each begins."""
    limits = [f"--start-address={kernel.start}", f"--stop-address={kernel.end}"]
    command = ["objdump", "-d", "--no-show-raw-insn", *limits, str(code)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line.strip().split(":\t", 1) for line in text.splitlines()]
    return [(int(line[0], 16), line[1]) for line in lines if len(line) == 2]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", help="a model folder, or a built-in network")
    parser.add_argument("--precision", default="float32", help="of the weights")
    parser.add_argument("--sparsity", type=float, default=0.0, help="zero this share of blocks of 16 x 4")
    parser.add_argument("--calibrate", action="store_true", help="find ranges, so that no integers are measured")
    parser.add_argument("--streams", type=int, default=1, help="at once")
    parser.add_argument("--target", help="instruction set; default: the best here")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long to sample")
    parser.add_argument("--assembly", help="print the instructions of kernels whose names contain this")
    try:
        main(parser.parse_args())
    except InputError as error:
        sys.exit(f"error: {error}")
