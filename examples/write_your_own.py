"""An autoregressive model from its equations to native code: no family, no checkpoint, no framework.

h[t] = GRU(h[t - 1], [x[t - 1], frame])            one small recurrent layer
p[t] = softmax(O h[t])                             over 64 levels
x[t] ~ p[t]

The weights are random, so that it makes noise; the reference backend and native code make the same noise.
"""

from __future__ import annotations

import numpy as np

from wavejit.audio import linear_table, write_audio
from wavejit.backends.llvm.compile import host_target
from wavejit.backends.reference import Reference
from wavejit.ir.builder import Linear, StepBuilder, Tensor, affine, concatenate, gru, lookup
from wavejit.ir.ops import Categorical, Step
from wavejit.runtime.engine import Engine

SAMPLE_RATE, HOP_LENGTH, BINS, WIDTH, LEVELS = 16000, 100, 8, 32, 64
rng = np.random.default_rng(0)


def linear(name: str, outputs: int, inputs: int) -> Linear:
    """A layer with random weights."""
    weight = (rng.standard_normal((outputs, inputs)) / np.sqrt(inputs)).astype(np.float32)
    return Linear(Tensor(f"{name}.weight", weight), Tensor(f"{name}.bias", np.zeros(outputs, np.float32)))


def model() -> Step:
    """One sample."""
    s = StepBuilder("my model", SAMPLE_RATE)
    levels = Tensor("levels", linear_table(LEVELS)[:, None])
    frame = s.condition("features", BINS, HOP_LENGTH)
    last = lookup(levels, s.drawn("sample", ago=1, classes=LEVELS, initial=LEVELS // 2))
    h = s.state("h", WIDTH)
    inputs = linear("inputs", 3 * WIDTH, 1 + BINS)
    new = gru(linear("recurrent", 3 * WIDTH, WIDTH), inputs, h, concatenate(last, frame))
    s.update("h", new)
    sample = s.draw("sample", Categorical(), affine(linear("out", LEVELS, WIDTH), new))
    s.emit(lookup(levels, sample))
    return s.step()


def main() -> None:
    """Make 2 s in native code, and check the beginning against the reference."""
    step = model()
    frames = rng.standard_normal((2 * SAMPLE_RATE // HOP_LENGTH, BINS)).astype(np.float32)
    audio = Engine(step, host_target()).stream(seed=1).run(2 * SAMPLE_RATE, frames)
    wanted = Reference(step, seed=1).run(1000, {"features": frames.astype(np.float64)}).samples
    differ = np.sum(audio[:1000] != wanted.astype(np.float32))
    print(f"samples of the first 1000 that differ from the reference's: {differ}")
    write_audio("my-model.wav", audio, SAMPLE_RATE)


if __name__ == "__main__":
    main()
