"""Functions that do nothing but what bounds a model: read memory, or multiply and add. For measuring ceilings."""

from __future__ import annotations

from wavejit.backends.llvm.builder import I64, PTR, Function, Value
from wavejit.backends.llvm.isa import ISA, ISAS
from wavejit.backends.llvm.kernels.affine import LOADS_A_ROUND
from wavejit.ir.target import Target

CHAINS = 8  # independent operations in flight: more than any current processor's latency needs


def ceilings(target: Target) -> tuple[str, int]:
    """A module with `read` and `multiply`, and how many elements `read` takes in at a time.

    Both have the parameters data, rounds, repeats, out. `read` reads `rounds` blocks front to back, `repeats`
    times; `multiply` does as many multiply-adds on vectors that stay in registers.
    """
    isa = ISAS[target.isa]
    functions = [_read(isa), _multiply(isa)]
    declarations = sorted(set().union(*(f.declarations for f in functions)))
    text = "\n\n".join(
        [f'target triple = "{target.triple}"', *declarations, *(f.text(isa.attributes) for f in functions)]
    )
    return text + "\n", LOADS_A_ROUND * isa.lanes


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


def _multiply(isa: ISA) -> Function:
    k = _function("multiply", isa)
    factor = k.load(k["data"])
    with k.loop(k["repeats"] * k["rounds"], carry=[k.load(k["data"])] * CHAINS) as block:
        totals = list(block.carried)
        for i in range(LOADS_A_ROUND):
            totals[i % CHAINS] = k.multiply_add(totals[i % CHAINS], factor, factor)
        block.next(*totals)
    _keep(k, block.results)
    return k


def _keep(k: Function, totals: list[Value]) -> None:
    """Store the totals, so that nothing that leads to them is left out."""
    for i, total in enumerate(totals):
        k.store(total, k["out"], i * k.lanes)
