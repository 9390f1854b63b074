"""The whole language: what one tick of an autoregressive model computes for one stream.

A `Step` is a list of operations in SSA form. Each makes one value: a real vector `(size,)`, or a class
drawn from a distribution (an integer below `classes`). A tick yields `samples_per_tick` audio samples.

Time appears in three ways. *Delayed* values reach back ("what this was d ticks ago"); state, samples
emitted before and classes drawn before are all delayed values; where d is itself worked out each tick, as a
pitch period is, the value is *recalled*. A *clock* of n lets an operation run every
n ticks only; its value is held until it runs again, so that the conditioning network is simply the part of
the step on the clock of the features' frames. *Lanes* are positions made at once, each `lane_lag` ticks
behind the lane before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from wavejit.ir.formats import FormatName
from wavejit.ir.layout import Loop, Memory, Packing, Region

Ref = int  # names the value that an operation makes; stable while passes insert, remove and reorder

Function = Literal["identity", "relu", "tanh", "sigmoid", "exp", "negate"]
BinaryFunction = Literal["add", "subtract", "multiply"]


@dataclass(frozen=True)
class Condition:
    """The current frame of the conditioning input `name`, `(size,)`; its clock is the frame's."""

    name: str
    size: int


@dataclass(frozen=True)
class Constant:
    """A weight as a vector."""

    weight: str


@dataclass(frozen=True)
class Delayed:
    """What `of` was `ticks` ticks of its own clock ago, in the lane that is `lanes` before this one.

    `initial` (a number, or a weight's name) before the first tick and outside the lanes. May refer forward.
    """

    of: Ref
    ticks: int
    initial: float | str = 0.0
    lanes: int = 0


LONGEST_LAG = 1 << 22  # ticks: as far as float32 still tells halves apart


@dataclass(frozen=True)
class Recall:
    """What `of`, a real vector, was `lag` ticks of its own clock ago; 0 before the first tick. `of` may refer forward.

    `lag`, a real `(1,)` of this tick, is held to [1, most] and rounded to the nearest whole tick, halves up; one that
    is not a number counts as 1.
    """

    of: Ref
    lag: Ref
    most: int


@dataclass(frozen=True)
class Lookup:
    """Row `index` of the weight `table`, `(classes, size)`."""

    table: str
    index: Ref


@dataclass(frozen=True)
class Affine:
    """`activation(sum of weights @ inputs + bias + sum of addends)`; each weight `(size, inputs)`.

    `format` is that of the weights. An integer format has a full scale for each input: the largest magnitude
    that it can have, or had on data (what is beyond is clipped), or 0 to measure it each tick. With `block_rows`,
    blocks of so many rows (and of the columns that the format keeps in a word) that are all zeros are left out; of a
    `written` product the places of the others are in the code, and in lists that the code reads otherwise. Rows are
    taken `by_fill` where those with about as many blocks share vectors, wherever they lie.

    Products of one integer sum can be made one after the other: an `unfinished` one makes the bare integers, and the
    one that `continues` it begins with them; `scaled_with` are the weights of all of them, which share the scales of
    their rows.
    """

    weights: tuple[str, ...]
    inputs: tuple[Ref, ...]
    bias: str | None = None
    addends: tuple[Ref, ...] = ()
    activation: Function = "identity"
    format: FormatName = "float32"
    full_scales: tuple[float, ...] = ()
    block_rows: int = 0
    by_fill: bool = False
    written: bool = False
    continues: Ref | None = None
    unfinished: bool = False
    scaled_with: tuple[str, ...] = ()


@dataclass(frozen=True)
class Map:
    """`function` of each element."""

    function: Function
    x: Ref


@dataclass(frozen=True)
class Combine:
    """`function` of the elements of two vectors of one size."""

    function: BinaryFunction
    x: Ref
    y: Ref


@dataclass(frozen=True)
class Slice:
    """`x[start : start + size]`."""

    x: Ref
    start: int
    size: int


@dataclass(frozen=True)
class Concatenate:
    """The parts, one behind the other."""

    parts: tuple[Ref, ...]


@dataclass(frozen=True)
class Upsample:
    """A slower value at this clock: `sum_j taps[phase, j] * x[j ticks of its clock ago]`.

    `taps` is a weight `(phases, taps)`, one row for each tick between two ticks of `x`. Without an
    `Upsample`, a slower value is held.
    """

    x: Ref
    taps: str


@dataclass(frozen=True)
class Phase:
    """The part of a slower value that belongs to this tick: `x` cut into `parts`, one a tick."""

    x: Ref
    parts: int


@dataclass(frozen=True)
class Categorical:
    """A class from `softmax(logits / temperature)`; parameters: the logits."""


@dataclass(frozen=True)
class Greedy:
    """The class of the largest logit."""


@dataclass(frozen=True)
class Logistics:
    """A sample from a mixture of `components` logistics; parameters: logits, means, log scales."""

    components: int
    log_scale_min: float = -32.23619130191664


@dataclass(frozen=True)
class Gaussian:
    """A sample from a Gaussian; parameters: mean, log standard deviation."""

    log_scale_min: float = -32.23619130191664


Distribution = Categorical | Greedy | Logistics | Gaussian


@dataclass(frozen=True)
class Draw:
    """One draw: a class (categorical, greedy) or a real in [-1, 1] `(1,)`, from `parameters`."""

    name: str
    distribution: Distribution
    parameters: Ref


@dataclass(frozen=True)
class Emit:
    """The audio of this tick: `x`, one sample an element."""

    x: Ref


Operation = (
    Condition
    | Constant
    | Delayed
    | Recall
    | Lookup
    | Affine
    | Map
    | Combine
    | Slice
    | Concatenate
    | Upsample
    | Phase
    | Draw
    | Emit
)


@dataclass(frozen=True)
class Line:
    """One operation with the type of its value: `classes` is 0 for a real vector."""

    op: Operation
    size: int
    classes: int = 0
    clock: int = 1
    where: str = ""  # file:line of the model that built it


@dataclass(frozen=True)
class Step:
    """One tick of a model; `loops`, `threads`, `packing` and `memory` are filled in by the passes."""

    name: str
    sample_rate: int  # Hz
    lines: Mapping[Ref, Line]
    weights: Mapping[str, NDArray[np.float32]]
    lanes: int = 1
    lane_lag: int = 0  # ticks
    lookahead: int = 0  # conditioning frames needed beyond the current one
    precision: FormatName = "float32"  # what `choose_formats` is to give the weights,
    exceptions: tuple[tuple[str, FormatName], ...] = ()  # but for those whose names begin so
    # By a weight's name, the largest magnitude that the input it is multiplied by had on data; none: nothing was run.
    ranges: Mapping[str, float] = field(default_factory=dict[str, float])
    # Likewise, the full scale of that input with which 8 bits erred least.
    clips: Mapping[str, float] = field(default_factory=dict[str, float])
    loops: Mapping[Ref, Loop] = field(default_factory=dict[Ref, Loop])  # by the last of their operations
    threads: Mapping[Region, int] = field(default_factory=dict[Region, int])  # of two, by what a task makes
    packing: Packing | None = field(default=None)
    memory: Memory | None = field(default=None)

    @property
    def samples_per_tick(self) -> int:
        emitted = sum(line.size for line in self.lines.values() if isinstance(line.op, Emit))
        return emitted * self.lanes

    @property
    def hop_length(self) -> int:
        """Samples between two conditioning frames; 0 for an unconditional model."""
        clocks = {line.clock for line in self.lines.values() if isinstance(line.op, Condition)}
        return max(clocks, default=0) * self.samples_per_tick
