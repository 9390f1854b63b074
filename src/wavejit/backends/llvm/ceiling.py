"""Functions that do nothing but what bounds a model: read memory, or multiply and add. For measuring ceilings."""

from __future__ import annotations

from dataclasses import dataclass

from wavejit.backends.llvm.builder import I64, PTR, Function, Type, Value
from wavejit.backends.llvm.isa import ISA, ISAS
from wavejit.backends.llvm.kernels.products import LOADS_A_ROUND
from wavejit.ir.formats import FORMATS, FormatName
from wavejit.ir.target import Target

CHAINS = 12  # independent operations in flight: two a cycle, each of five, want ten; sixteen registers hold twelve


@dataclass(frozen=True)
class Ceilings:
    """A module with two functions, both of the parameters data, rounds, repeats, out.

    Attributes:
        text: of the module.
        elements: words that a round of `read` takes in, front to back.
        products: multiply-adds that a round of `multiply` does, on vectors that stay in registers.
    """

    text: str
    elements: int
    products: int


def ceilings(target: Target, format: FormatName) -> Ceilings:
    """What reading, and multiplying in a format, can reach on a target."""
    isa = ISAS[target.isa]
    functions = [_read(isa), _multiply(isa, format)]
    declarations = sorted(set().union(*(f.declarations for f in functions)))
    texts = [f.text(isa.attributes) for f in functions]
    text = "\n\n".join([f'target triple = "{target.triple}"', *declarations, *texts])
    words = LOADS_A_ROUND * isa.lanes
    return Ceilings(text + "\n", words, words * (FORMATS[FORMATS[format].inputs].columns))


def _function(name: str, isa: ISA) -> Function:
    parameters = [("data", PTR), ("rounds", I64), ("repeats", I64), ("out", PTR)]
    return Function(name, parameters, isa.lanes, isa.fused, linkage="")


def _read(isa: ISA) -> Function:
    k = _function("read", isa)
    with k.loop(k["repeats"], carry=[k.splat(0.0)] * CHAINS) as repeat:
        with k.loop(k["rounds"], carry=repeat.carried) as block:
            totals = list(block.carried)
            data = k.at(k["data"], block.index * (LOADS_A_ROUND * isa.lanes))
            for i in range(LOADS_A_ROUND):
                totals[i % CHAINS] = totals[i % CHAINS] + k.load(data, i * isa.lanes, align=4 * isa.lanes)
            block.next(*totals)
        repeat.next(*block.results)
    _keep(k, repeat.results)
    return k


def _multiply(isa: ISA, format: FormatName) -> Function:
    """As wide as the inputs are: what it costs to widen weights is not the machine's limit."""
    k = _function("multiply", isa)
    inputs_format = FORMATS[format].inputs
    integer = inputs_format != "float32"
    weights = k.load(k["data"], 0, Type("i32" if integer else "float", isa.lanes))
    inputs_of, add = isa.dots.inputs16, isa.dots.add16
    if inputs_format == "int8":
        inputs_of, add = (rows := isa.dots.rows8 or isa.dots).inputs8, rows.add8
    inputs = inputs_of(k, weights) if integer else (weights,)
    with k.loop(k["repeats"] * k["rounds"], carry=[weights] * CHAINS) as block:
        totals = list(block.carried)
        for i in range(LOADS_A_ROUND):
            total = totals[i % CHAINS]
            # Weights that change from step to step, as a model's do: nothing may be worked out before the loop.
            totals[i % CHAINS] = add(k, total, inputs, total) if integer else k.multiply_add(total, weights, weights)
        block.next(*totals)
    _keep(k, block.results)
    return k


def _keep(k: Function, totals: list[Value]) -> None:
    """Store the totals, so that nothing that leads to them is left out."""
    for i, total in enumerate(totals):
        k.store(total, k["out"], i * k.lanes)
