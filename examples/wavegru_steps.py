"""Steps a second of a WaveGRU that is pruned as Lyra's, beside this machine's ceiling.

python examples/wavegru_steps.py                # wavegru-1024
python examples/wavegru_steps.py wavegru-512 1  # of another width, for 1 s each

Lyra 0.0.2 prunes the GRU's recurrent matrix to 93.75 % and the dense layer to 92 % zeros, in blocks of 4 x 4. A step
draws four bands and makes four samples. The weights are random: what is measured is time, in one thread.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import wavejit
from wavejit.benchmark.measure import measure
from wavejit.compression.prune import pruned_matrix
from wavejit.runtime.engine import Engine

SPARSITIES = {"gru.recurrent.weight": 0.9375, "dense.weight": 0.92}
BLOCK = (4, 4)
PRECISIONS = ("int8", "int16")


def pruned_as_lyra(model: wavejit.Model) -> wavejit.Model:
    """The model with its two large matrices pruned, each by its own share."""
    weights = dict(model.files.weights)
    for name, sparsity in SPARSITIES.items():
        weights[name] = pruned_matrix(weights[name], sparsity, BLOCK)
    return wavejit.Model(model.name, replace(model.files, weights=weights))


def main(name: str = "wavegru-1024", seconds: str = "3") -> None:
    """Print a line for each format."""
    model = wavejit.load(name)
    if model.files.family.name != "wavegru":
        sys.exit(f"{name}: is a {model.files.family.name}, expected a wavegru")
    model = pruned_as_lyra(model)
    for precision in PRECISIONS:
        engine = model.compile(precision).engine
        assert isinstance(engine, Engine)
        found, _ = measure(model, engine, float(seconds))
        samples = engine.samples_per_tick
        print(
            f"{name} {precision:5} {found.target}: {found.samples_per_second / samples:,.0f} steps/s   "
            f"{found.realtime_speed:.1f}x real time   "
            f"ceiling {found.roofline_samples_per_second / samples:,.0f} steps/s "
            f"({found.weight_bytes * samples / 1e3:,.0f} KB of weights a step), share {found.roofline_share:.2f}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
