"""How well a model predicts a recording: its negative log-likelihood, with the recording's samples fed back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavejit.ir.ops import Categorical, Distribution, Gaussian, Greedy, Logistics
from wavejit.runtime.cuda_engine import CudaEngine
from wavejit.runtime.engine import Engine
from wavejit.vocoder import Vocoder

Array = NDArray[np.float64]

SECONDS_AT_ONCE = 1.0  # of audio: parameters of a draw are hundreds of numbers a sample


def negative_log_likelihood(vocoder: Vocoder, samples: ArrayLike, features: ArrayLike) -> float | None:
    """Nats a sample of audio, teacher-forced, in the precision that the vocoder was compiled for.

    Each draw is given what the recording has in its place, and the model's distribution is evaluated there: the
    probability of a class, the density of a real. What several draws of a tick cost is added up and divided by the
    samples that they stand for. Densities and probabilities are not comparable with one another.

    Args:
        vocoder: native code.
        samples: the recording, `(samples,)`, in [-1, 1], at the model's sample rate.
        features: of the recording, `(frames, bins)`.

    Returns:
        None where the family does not say how audio becomes what it draws, or where it draws without a distribution.
    """
    engine, network = vocoder.engine, vocoder.model.files.network
    drawn = vocoder.model.files.family.drawn
    assert isinstance(engine, (Engine, CudaEngine)), "compiled code scores"
    if drawn is None or any(isinstance(draw.distribution, Greedy) for draw in engine.draws):
        return None
    given = drawn(network, np.asarray(samples, np.float32))
    values = np.stack([given[draw.name] for draw in engine.draws], axis=1).astype(np.float32)
    frames = vocoder.checked(features)
    ticks = min(len(values), len(frames) * engine.clock)
    stream, lookahead = engine.stream(), vocoder.model.step.lookahead
    frames = np.concatenate([frames, np.zeros((lookahead, frames.shape[1]), np.float32)])
    stream.prime(frames[:lookahead])
    frames_at_once = max(1, round(SECONDS_AT_ONCE * vocoder.sample_rate / vocoder.hop_length))
    total = 0.0
    for first in range(0, -(-ticks // engine.clock), frames_at_once):
        here = values[first * engine.clock : min((first + frames_at_once) * engine.clock, ticks)]
        taken = -(-len(here) // engine.clock)
        score = stream.score(here, frames[lookahead + first :][:taken])
        total -= sum_of_logs(engine, score.parameters, here)
    return total / (ticks * engine.samples_per_tick)


def sum_of_logs(
    engine: Engine | CudaEngine, parameters: Mapping[str, NDArray[np.float32]], values: NDArray[np.float32]
) -> float:
    """The log-likelihood of `values`, `(ticks, draws)`, in nats, given each draw's parameters `(ticks, size)`."""
    return sum(
        float(log_likelihood(draw.distribution, parameters[draw.name], values[:, i]).sum())
        for i, draw in enumerate(engine.draws)
    )


def log_likelihood(distribution: Distribution, parameters: ArrayLike, values: ArrayLike) -> Array:
    """The logarithm of the probability (of a class) or of the density (of a real), at temperature 1.

    Args:
        distribution: of each draw; `Greedy` has none and is refused.
        parameters: as the distribution takes them, `(draws, size)`.
        values: what was drawn, `(draws,)`.

    Returns:
        `(draws,)`, in nats.
    """
    p, x = np.asarray(parameters, np.float64), np.asarray(values, np.float64)
    match distribution:
        case Categorical():
            return np.take_along_axis(_log_softmax(p), x.astype(np.int64)[:, None], axis=1)[:, 0]
        case Logistics(_, log_scale_min):
            logits, means, log_scales = np.split(p, 3, axis=1)
            log_scales = np.maximum(log_scales, log_scale_min)
            z = (x[:, None] - means) * np.exp(-log_scales)
            densities = -z - log_scales - 2 * np.logaddexp(0.0, -z)
            return np.logaddexp.reduce(_log_softmax(logits) + densities, axis=1)
        case Gaussian(log_scale_min):
            mean, log_scale = p[:, 0], np.maximum(p[:, 1], log_scale_min)
            return -0.5 * ((x - mean) * np.exp(-log_scale)) ** 2 - log_scale - 0.5 * np.log(2 * np.pi)
        case Greedy():
            raise ValueError("a greedy draw has no likelihood")
        case _:
            assert_never(distribution)


def _log_softmax(logits: Array) -> Array:
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
