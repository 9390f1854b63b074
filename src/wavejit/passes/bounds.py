"""The largest magnitude that a value can have, where its making shows it."""

from __future__ import annotations

import numpy as np

from wavejit.ir.ops import Affine, Combine, Concatenate, Constant, Delayed, Lookup, Map, Recall, Ref, Slice, Step

LARGEST_KNOWN = 1.0  # a larger bound adds up what seldom happens together, and would waste most of the integers


class Bounds:
    """Bounds of a step's values; None where there is none.

    A state's bound is found by assuming that of its first value and checking that a tick keeps it.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._assumed: dict[Ref, float] = {}
        self._known: dict[Ref, float | None] = {}  # under what is assumed now

    def of(self, ref: Ref) -> float | None:
        """The largest magnitude of any element of `ref`."""
        if ref in self._assumed:
            return self._assumed[ref]
        if ref not in self._known:
            self._known[ref] = self._work_out(ref)
        return self._known[ref]

    def known(self, ref: Ref) -> float:
        """The bound of `ref` that its integers can have their scale from, or 0 if it has none."""
        bound = self.of(ref)
        return bound if bound is not None and bound <= LARGEST_KNOWN else 0.0

    def _work_out(self, ref: Ref) -> float | None:
        op = self._step.lines[ref].op
        match op:
            case Map("tanh" | "sigmoid") | Affine(activation="tanh" | "sigmoid"):
                return 1.0
            case Constant(weight):
                return float(np.abs(self._step.weights[weight]).max())
            case Lookup(table):
                return float(np.abs(self._step.weights[table]).max())
            case Slice(x) | Map("relu" | "identity" | "negate", x):
                return self.of(x)
            case Concatenate(parts):
                bounds = [self.of(part) for part in parts]
                return None if None in bounds else max(b for b in bounds if b is not None)
            case Combine("multiply", x, y):
                a, b = self.of(x), self.of(y)
                return None if a is None or b is None else a * b
            case Combine("add", x, y):
                return self._mixed(x, y)
            case Delayed(of, _, initial):
                first = np.abs(self._step.weights[initial]).max() if isinstance(initial, str) else abs(initial)
                return self._kept(ref, of, float(first))
            case Recall(of):
                return self._kept(ref, of, 0.0)
            case _:
                return None

    def _kept(self, ref: Ref, of: Ref, first: float) -> float | None:
        """The bound of a past value: the least of a few that a tick does not leave."""
        for guess in sorted({max(first, 1.0), first}):
            outer, self._known = self._known, {}
            self._assumed[ref] = guess
            after = self.of(of)
            del self._assumed[ref]
            self._known = outer
            if after is not None and after <= guess:
                return guess
        return None

    def _mixed(self, x: Ref, y: Ref) -> float | None:
        """A sum; `n + z * (h - n)` with z from 0 to 1 lies between n and h."""
        for n, product in ((x, y), (y, x)):
            match self._step.lines[product].op:
                case Combine("multiply", z, difference) if self._is_sigmoid(z):
                    match self._step.lines[difference].op:
                        case Combine("subtract", h, m) if m == n:
                            a, b = self.of(n), self.of(h)
                            return None if a is None or b is None else max(a, b)
                        case _:
                            pass
                case _:
                    pass
        a, b = self.of(x), self.of(y)
        return None if a is None or b is None else a + b

    def _is_sigmoid(self, ref: Ref) -> bool:
        op = self._step.lines[ref].op
        return isinstance(op, Map) and op.function == "sigmoid"
