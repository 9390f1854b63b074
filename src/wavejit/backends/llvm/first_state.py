"""What a stream's memory holds before the first tick: zeros, but for rings whose past begins with something else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wavejit.ir.formats import FORMATS, quantise_vector
from wavejit.ir.layout import Ring, side_by_side
from wavejit.ir.ops import Ref, Step
from wavejit.ir.target import Target


def first_slot(step: Step, ref: Ref, ring: Ring, target: Target) -> NDArray[np.uint32]:
    """What each slot of the ring of `ref` begins with, `(stride,)`, as words of 32 bits."""
    slot, line = np.zeros(ring.stride, np.float32), step.lines[ref]
    words = slot.view(np.uint32)
    if line.classes:
        slot.view(np.int32)[:] = int(ring.initial)
        return words
    past = step.weights[ring.initial] if isinstance(ring.initial, str) else np.full(line.size, ring.initial)
    if ring.integers is None:
        slot[: line.size] = past
    else:
        integers, scale = quantise_vector(past.astype(np.float32), ring.full_scale, ring.integers)
        offset = target.byte_offset if ring.integers == "int8" else 0
        stored = side_by_side(integers[None] + np.int32(offset), FORMATS[ring.integers])[0]
        words[: stored.size] = stored
        if not ring.full_scale:
            slot[-1] = scale
    return words
