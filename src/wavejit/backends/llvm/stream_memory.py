"""The memory of a stream of an object file, which the caller owns.

What `plan_memory` laid out, and behind it the stream's *place* (`PLACE`), a ring of frames that wait for their turn,
and the samples of a tick that was not taken whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wavejit.backends.llvm.first_state import first_slot
from wavejit.ir.layout import Memory, rounded
from wavejit.ir.ops import Condition, Ref, Step
from wavejit.ir.target import Target

QUEUE_FRAMES = 16  # that a stream holds: a fifth of a second and more at usual hops
LINE = 16  # elements of 4 bytes: 64 bytes

PLACE = (  # 8 bytes each
    "seed",
    "stream",
    "temperature",
    "ahead",  # frames still to come before the first is spoken
    "rest",  # ticks left of the frame that is being spoken
    "first",  # of the waiting frames: its slot in the ring
    "waiting",  # frames in the ring
    "left",  # samples left of the tick that was not taken whole
)


@dataclass(frozen=True)
class StreamMemory:
    """Where things lie in a stream's memory, in elements of 4 bytes.

    Attributes:
        step: the lowered step.
        target: what it was lowered for.
        memory: of its values, from element 0.
        frame_size: elements of a frame, 0 for an unconditional model.
        frame_ticks: ticks that a frame leads to.
        samples_per_tick: as the step's.
    """

    step: Step
    target: Target
    memory: Memory
    frame_size: int
    frame_ticks: int
    samples_per_tick: int

    @property
    def place(self) -> int:
        return rounded(self.memory.size, LINE)

    @property
    def queue(self) -> int:
        return self.place + 2 * len(PLACE)

    @property
    def partial(self) -> int:
        """The samples of one tick."""
        return self.queue + rounded(QUEUE_FRAMES * self.frame_size, LINE)

    @property
    def size(self) -> int:
        return self.partial + (rounded(self.samples_per_tick, LINE) if self.samples_per_tick > 1 else 0)

    @property
    def first_slots(self) -> dict[Ref, NDArray[np.uint32]]:
        """The rings whose past does not begin with zeros, and what their slots hold."""
        slots = {ref: first_slot(self.step, ref, ring, self.target) for ref, ring in self.memory.rings.items()}
        return {ref: slot for ref, slot in slots.items() if slot.any()}


def stream_memory(step: Step, target: Target) -> StreamMemory:
    """The memory of a stream of a lowered step."""
    assert step.memory is not None, "lowering plans memory"
    conditions = [line for line in step.lines.values() if isinstance(line.op, Condition)]
    frame_size, clock = sum(line.size for line in conditions), max((line.clock for line in conditions), default=0)
    return StreamMemory(step, target, step.memory, frame_size, clock, step.samples_per_tick)
