"""From a lowered step to one LLVM module: `run` makes whole chunks of audio, `prime` takes frames ahead.

Both take a pointer to a `Request` (runtime/engine.py mirrors `REQUEST`). A tick runs slower clocks first, each a
function of its own, then clock 1 inside the loop of `run`; each operation is a call of a kernel, and operations
of one shape share it. Values lie where `plan_memory` put them.
"""

from __future__ import annotations

from dataclasses import dataclass

from wavejit.backends.llvm.builder import F32, I64, PTR, Function, Type, Value
from wavejit.backends.llvm.functions import Accuracy
from wavejit.backends.llvm.scope import Chunk, Module, Scope, Use, ticks_since
from wavejit.ir.graph import clocks
from wavejit.ir.layout import Memory, Packing
from wavejit.ir.ops import Condition, Step
from wavejit.ir.target import Target

REQUEST: tuple[tuple[str, Type], ...] = (
    ("state", PTR),  # one stream's memory
    ("weights", PTR),  # packed
    ("frames", PTR),  # float32, one row for each frame that begins in the chunk
    ("ticks", I64),  # to run; for `prime`, frames to take
    ("out", PTR),  # float32, samples_per_tick for each tick
    ("forced", PTR),  # float32, what each draw is to give, or null
    ("parameters", PTR),  # float32, where to write what each draw drew from, or null
    ("seed", I64),
    ("stream", I64),
    ("temperature", F32),
)
EIGHT_BYTES = 8  # of each field


class UnsupportedError(ValueError):
    """A step that this backend cannot run; names what it cannot."""


@dataclass(frozen=True)
class Program:
    """A module's text, and its kernels with their use."""

    text: str
    kernels: dict[str, Use]


def generate(step: Step, target: Target, accuracy: Accuracy = "exact") -> Program:
    """Write the module of a lowered step.

    Raises:
        UnsupportedError: lanes, conditions on several clocks, or a step that was not lowered.
    """
    if step.lanes > 1:
        raise UnsupportedError(f"{step.name}: the llvm backend does not run lanes; the step has {step.lanes}")
    conditions = {line.clock for line in step.lines.values() if isinstance(line.op, Condition)}
    if len(conditions) > 1:
        raise UnsupportedError(
            f"{step.name}: the llvm backend runs conditions on one clock; the step has them on {sorted(conditions)}"
        )
    if step.packing is None or step.memory is None:
        raise UnsupportedError(f"{step.name}: the step has not been lowered")
    return Generator(step, step.packing, step.memory, target, accuracy).program()


class Generator:
    """Writes the functions of one module."""

    def __init__(self, step: Step, packing: Packing, memory: Memory, target: Target, accuracy: Accuracy) -> None:
        self.step, self.memory, self.target = step, memory, target
        self.module = Module(step, packing, memory, target, accuracy)
        self.isa = self.module.isa
        conditions = [line for line in step.lines.values() if isinstance(line.op, Condition)]
        self.frame_size = sum(line.size for line in conditions)
        self.frame_clocks = {line.clock for line in conditions}

    def program(self) -> Program:
        slow = [clock for clock in clocks(self.step) if clock > 1]
        functions = [self.slow_tick(clock) for clock in slow] + [self.prime(), self.run(slow)]
        everything = [*self.module.kernels.values(), *functions]
        declarations = sorted(set().union(*(f.declarations for f in everything)))
        header = [
            f"; for {self.target.describe()}",
            f'target triple = "{self.target.triple}"',
        ]
        texts = [f.text(self.isa.attributes) for f in everything]
        return Program("\n\n".join(["\n".join(header), "\n".join(declarations), *texts]) + "\n", self.module.uses)

    def run(self, slow: list[int]) -> Function:
        """`ticks` ticks of audio."""
        k = Function("run", [("request", PTR)], self.isa.lanes, linkage="")
        request = self.request(k)
        counter = k.at(request["state"], self.memory.counters[1])
        recorded = sum(self.step.lines[draw.parameters].size for draw in self.module.draws)
        with k.loop(request["ticks"], carry=[request["frames"]]) as loop:
            tick = k.load(counter, 0, I64, align=8)
            frames = loop.carried[0]
            for clock in slow:
                begins = ticks_since(k, tick, clock, self.target).equals(0)
                with k.when(begins):
                    k.call_void(f"tick_{clock}", request["state"], request["weights"], frames)
                if clock in self.frame_clocks:
                    frames = k.select(begins, k.at(frames, self.frame_size), frames)
            scope = Scope(self.module, k, 1, request["state"], request["weights"], tick)
            if 1 in self.frame_clocks:
                scope.frame, frames = frames, k.at(frames, self.frame_size)
            scope.chunk = Chunk(request, loop.index, recorded)
            scope.lines()
            loop.next(frames)
        return k

    def prime(self) -> Function:
        """Take `ticks` frames: what is on the frames' clock runs, and no audio is made."""
        k = Function("prime", [("request", PTR)], self.isa.lanes, linkage="")
        request = self.request(k)
        with k.loop(request["ticks"], carry=[request["frames"]]) as loop:
            for clock in self.frame_clocks - {1}:
                k.call_void(f"tick_{clock}", request["state"], request["weights"], loop.carried[0])
            loop.next(k.at(loop.carried[0], self.frame_size))
        return k

    def slow_tick(self, clock: int) -> Function:
        """One tick of a slower clock."""
        parameters = [("state", PTR), ("weights", PTR), ("frame", PTR)]
        k = Function(f"tick_{clock}", parameters, self.isa.lanes)
        tick = k.load(k.at(k["state"], self.memory.counters[clock]), 0, I64, align=8)
        scope = Scope(self.module, k, clock, k["state"], k["weights"], tick)
        scope.frame = k["frame"]
        scope.lines()
        return k

    def request(self, k: Function) -> dict[str, Value]:
        return {
            name: k.load(k.at(k["request"], i * EIGHT_BYTES, "i8"), 0, type_, align=8)
            for i, (name, type_) in enumerate(REQUEST)
        }
