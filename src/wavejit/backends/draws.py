"""Draws from distributions in NumPy: the definition of what native code draws."""

from __future__ import annotations

from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from wavejit.ir.ops import Categorical, Distribution, Gaussian, Greedy, Logistics

Array = NDArray[np.float64]

MIN_TEMPERATURE = 1e-30  # a temperature of 0 is the limit: the likeliest class
LOGISTIC_MARGIN = 1e-5  # keeps the logistic's tails finite; as in the public implementations


def draw(distribution: Distribution, parameters: Array, uniform: tuple[float, float], temperature: float) -> float:
    """One draw from `parameters`, `(size,)`, with two uniform numbers."""
    temperature = max(temperature, MIN_TEMPERATURE)
    match distribution:
        case Categorical():
            return float(_categorical(parameters, uniform[0], temperature))
        case Greedy():
            return float(np.argmax(parameters))
        case Logistics(_, log_scale_min):
            logits, means, log_scales = np.split(parameters, 3)
            chosen = _categorical(logits, uniform[0], temperature)
            u = LOGISTIC_MARGIN + uniform[1] * (1 - 2 * LOGISTIC_MARGIN)
            scale = np.exp(max(log_scales[chosen], log_scale_min)) * temperature
            return float(np.clip(means[chosen] + scale * (np.log(u) - np.log(1 - u)), -1.0, 1.0))
        case Gaussian(log_scale_min):
            mean, log_scale = parameters
            radius = np.sqrt(-2 * np.log(1 - uniform[0]))  # Box and Muller 1958
            scale = np.exp(max(log_scale, log_scale_min)) * temperature
            return float(np.clip(mean + scale * radius * np.cos(2 * np.pi * uniform[1]), -1.0, 1.0))
        case _:
            assert_never(distribution)


def _categorical(logits: Array, uniform: float, temperature: float) -> int:
    """The first class whose cumulative probability exceeds `uniform`."""
    cumulative = np.cumsum(np.exp((logits - logits.max()) / temperature))
    return min(int(np.sum(cumulative <= uniform * cumulative[-1])), len(logits) - 1)
