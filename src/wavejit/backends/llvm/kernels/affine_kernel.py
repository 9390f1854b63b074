"""What the kernel of a product is written for: layers of one shape have one kernel, or one end of it, in common."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

from wavejit.backends.llvm.isa import ISA
from wavejit.backends.llvm.kernels.elementwise import Formula
from wavejit.backends.llvm.kernels.output import Output
from wavejit.ir import ops
from wavejit.ir.cost import LONG_FUNCTIONS
from wavejit.ir.formats import FORMATS, FormatName
from wavejit.ir.layout import row_tiles

PATTERN = "__"  # in a kernel's name, before what tells patterns of zeros apart


def without_pattern(name: str) -> str:
    """The name that kernels share which differ only in where their zeros are."""
    return name.split(PATTERN)[0]


@dataclass(frozen=True)
class AffineKernel:
    """What one kernel is written for; layers of one shape share it.

    Attributes:
        columns: of each run (`ir/runs.py`), by the sum that it adds to. Floating-point formats have one sum; integer
            formats one for each scale of inputs. A sparse product is written for any number of columns: 0.
        block_rows: of a sparse product, 0 of a dense one; blocks are some vectors of rows, or parts of a vector.
        by_fill: whether rows, or groups of `block_rows`, are in an order of their own.
        parts: that the rows have, each as large as the output.
        loop: what is worked out of a vector of each part, and of further inputs, before the result is stored.
        one_scale: whether the scales of rows have the inputs' in them.
        continues: whether its integer sum was begun by another product.
        unfinished: whether the result is the bare integers of a sum that another product ends.
        pattern: the lists of a sparse product whose blocks are written out, as they are packed.
    """

    output: Output
    columns: tuple[tuple[int, ...], ...]
    bias: bool
    addends: int
    activation: ops.Function
    format: FormatName = "float32"
    block_rows: int = 0
    by_fill: bool = False
    parts: int = 1
    loop: Formula | None = None
    one_scale: bool = False
    continues: bool = False
    unfinished: bool = False
    pattern: bytes = b""

    @property
    def rows(self) -> int:
        return self.output.size * self.parts

    @property
    def has_long_functions(self) -> bool:
        """Whether each element takes many operations that wait for each other."""
        return not LONG_FUNCTIONS.isdisjoint(
            {self.activation, *(line[0] for line in (self.loop.lines if self.loop else ()))}
        )

    @property
    def further(self) -> int:
        """Inputs of the loop besides the parts."""
        return self.loop.inputs - self.parts if self.loop else 0

    @property
    def name(self) -> str:
        plus = ("_bias" if self.bias else "") + (f"_add{self.addends}" if self.addends else "")
        runs = list(chain.from_iterable(self.columns))
        columns = "_and_".join("_".join(map(str, sums)) for sums in self.columns)
        if len(runs) > 4 and len(set(runs)) == 1 and len(self.columns) == 1:
            columns = f"{len(runs)}_times_{runs[0]}"
        if self.block_rows:
            columns = "_and_".join(str(len(sums)) for sums in self.columns)
            columns += "_written" if self.pattern else "_lists"
        kind = f"sparse{self.block_rows}_" + "by_fill_" * self.by_fill if self.block_rows else ""
        plus = "_known" * self.one_scale + "_of_sums" * self.continues + plus
        then = f"_{self.activation}" * (self.activation != "identity" or not self.loop)
        then = "_sums" if self.unfinished else then
        then += f"_then_{self.loop.name}" if self.loop else ""
        which = f"{PATTERN}{hashlib.sha256(self.pattern).hexdigest()[:16]}" if self.pattern else ""
        return f"affine_{self.format}_{kind}{self.rows}x{columns}{plus}{then}{self.output.name}{which}"


# Of a product's integer sums: its kernel finds them, or has them from tiles, in memory; that of a written product finds
# them and passes them on to another, which is given them in registers.
Sums = Literal["own", "of_tiles", "given", "passed_on"]


def ends_elsewhere(kernel: AffineKernel, isa: ISA) -> bool:
    """Whether a written product passes its sums on: what follows them is code that layers share.

    Of the blocks that are written out no two layers have the same, and code that is not run again soon comes from far.
    """
    format = FORMATS[kernel.format]
    one_sum = format.limit > 0 and not format.block and len(kernel.columns) == 1
    in_registers = len(row_tiles(kernel.rows, isa.lanes, isa.accumulators, kernel.parts)) == 1 and not kernel.by_fill
    return bool(kernel.pattern) and one_sum and in_registers and not kernel.unfinished


def end_of(kernel: AffineKernel) -> AffineKernel:
    """What follows the sums of a written product."""
    return replace(kernel, columns=((),), block_rows=0, continues=False, pattern=b"")


def streams_at_once(op: ops.Affine, isa: ISA) -> int:
    """How many streams share each load of a product's weights: as many as have their totals in registers."""
    format = FORMATS[op.format]
    alone = format.block_scales or 0 < op.block_rows < isa.lanes or (format.block > 0 and op.block_rows > 0)
    return 1 if alone else isa.streams
