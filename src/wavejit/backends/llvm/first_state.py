"""What a stream's memory holds before the first tick: zeros, but for rings whose past begins with something else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wavejit.ir.layout import Ring
from wavejit.ir.ops import Ref, Step


def first_slot(step: Step, ref: Ref, ring: Ring) -> NDArray[np.uint32]:
    """What each slot of the ring of `ref` begins with, `(stride,)`, as words of 32 bits."""
    slot, line = np.zeros(ring.stride, np.float32), step.lines[ref]
    if isinstance(ring.initial, str):
        slot[: line.size] = step.weights[ring.initial]
    elif line.classes:
        slot.view(np.int32)[:] = int(ring.initial)
    else:
        slot[:] = ring.initial
    return slot.view(np.uint32)
