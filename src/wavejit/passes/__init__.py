"""From a step as its family wrote it to one that a backend runs: a pass a file, in the order of `PIPELINE`.

A pass is a pure function of a step and a target; its module shows the step before and after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wavejit.ir.ops import Step
from wavejit.ir.target import Target
from wavejit.ir.verify import check_finite, verify
from wavejit.passes.assign_threads import assign_threads
from wavejit.passes.carry_sums import carry_sums
from wavejit.passes.choose_formats import choose_formats
from wavejit.passes.fold_embeddings import fold_embeddings
from wavejit.passes.fuse_elementwise import fuse_elementwise
from wavejit.passes.fuse_products import fuse_products
from wavejit.passes.hold_inputs import hold_inputs
from wavejit.passes.leave_out_zeros import leave_out_zeros
from wavejit.passes.multiply_out import multiply_out
from wavejit.passes.order import order
from wavejit.passes.pack_weights import pack_weights
from wavejit.passes.plan_memory import plan_memory
from wavejit.passes.slow_down import slow_down
from wavejit.passes.split_concatenations import split_concatenations
from wavejit.passes.split_outputs import split_outputs


@dataclass(frozen=True)
class Pass:
    """A named rewrite."""

    name: str
    run: Callable[[Step, Target], Step]


BEFORE_FORMATS = (
    Pass("split products over concatenations", split_concatenations),
    Pass("multiply linear layers out", multiply_out),
    Pass("fold embeddings into the layer after them", fold_embeddings),
    Pass("move what follows a slower clock to that clock", slow_down),
    Pass("fuse products that add up", fuse_products),
)
"""After these, products and what they read have the names by which ranges are found on data."""
REWRITES = (*BEFORE_FORMATS, Pass("choose the formats of weights", choose_formats))
ORDERING = (
    Pass("put what does not wait for the last sample first", order),
    Pass("run elementwise operations in one loop, at the end of their product", fuse_elementwise),
)
PIPELINE = (
    *REWRITES,
    Pass("cut what draws read in two", split_outputs),
    Pass("leave out blocks of zeros", leave_out_zeros),
    Pass("hand integer sums on", carry_sums),
    *ORDERING,
    Pass("plan memory", plan_memory),
    Pass("assign operations to two threads", assign_threads),
    Pass("pack weights in the order of reading", pack_weights),
)

"""For the CPU."""
GPU_PIPELINE = (
    *REWRITES,
    Pass("hold what products read of slower clocks", hold_inputs),
    *ORDERING,
)
"""For the CUDA backend, which places values and weights by itself."""


def ignore(name: str, step: Step) -> None:
    """Look at no pass."""


def lower(
    step: Step,
    target: Target,
    on_pass: Callable[[str, Step], None] = ignore,
    passes: Sequence[Pass] = PIPELINE,
) -> Step:
    """Run all passes; the step is verified before, between and after.

    Args:
        step: as a family built it.
        target: the machine that the code is for.
        on_pass: called with each pass's name and result.
        passes: in order.
    """
    verify(step)
    check_finite(step)
    for rewrite in passes:
        step = rewrite.run(step, target)
        verify(step)
        on_pass(rewrite.name, step)
    return step
