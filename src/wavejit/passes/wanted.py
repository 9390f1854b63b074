"""What the operations of a step want of each value: floats in memory, integers for products, or nothing."""

from __future__ import annotations

from wavejit.ir.formats import FORMATS, FormatName
from wavejit.ir.ops import Affine, Delayed, Recall, Ref, Step, Upsample

Scaled = tuple[FormatName, float]  # integers of a format, for values of at most this magnitude; 0: measured


class Wanted:
    """Answers for one step, whose formats and loops are chosen."""

    def __init__(self, step: Step, used_by: dict[Ref, list[Ref]]) -> None:
        self._step, self._used_by = step, used_by
        loops = step.loops.values()
        lent = {loop.product for loop in loops if loop.product is not None}
        self._in_registers = lent | {ref for loop in loops for ref in (*loop.parts, *loop.refs[:-1])}
        products = {ref for ref, line in step.lines.items() if isinstance(line.op, Affine)}
        self._kernels = (products | set(step.loops)) - self._in_registers

    def integers(self, ref: Ref) -> dict[FormatName, float]:
        """The formats that integer products want `ref` in, now or as a past value, each with its full scale."""
        past = self.past(ref)
        return dict(self._as_inputs(ref) + ([past] if past else []))

    def past(self, ref: Ref) -> Scaled | None:
        """The integers that `ref` is remembered as, where only products of one format read its past."""
        readers = [user for user in self._used_by[ref] if isinstance(self._step.lines[user].op, Delayed)]
        now = dict(self._as_inputs(ref))
        scaled: set[Scaled] = {pair for reader in readers for pair in self._as_inputs(reader)}
        same = len(scaled) == 1 and all(now.get(format, scale) == scale for format, scale in scaled)
        alone = not any(self._as_floats(reader) or self._remembered(reader) for reader in readers)
        products = [user for reader in readers for user in self._used_by[reader]]
        if not same or not alone or self._kept_as_floats(ref) or not self._one_clock(ref, [*readers, *products]):
            return None
        return scaled.pop()

    def by_maker(self, ref: Ref) -> bool:
        """Whether the kernel that makes `ref` is to make its integers too: for a single format, on its own clock."""
        readers = [user for user in self._used_by[ref] if isinstance(self._step.lines[user].op, Affine)]
        return ref in self._kernels and len(self.integers(ref)) == 1 and self._one_clock(ref, readers)

    def floats(self, ref: Ref) -> bool:
        """Whether `ref` must be in memory as floats; its kernel measures it there too."""
        if ref in self._in_registers:
            return False
        delayed = any(isinstance(self._step.lines[user].op, Delayed) for user in self._used_by[ref])
        remembered = (delayed and self.past(ref) is None) or self._kept_as_floats(ref)
        return self._as_floats(ref) or remembered or not self.by_maker(ref) or 0 in self.integers(ref).values()

    def _as_inputs(self, ref: Ref) -> list[Scaled]:
        """The integers that products read `ref` as."""
        found: list[Scaled] = []
        for user in self._used_by[ref]:
            op = self._step.lines[user].op
            if isinstance(op, Affine) and op.full_scales:
                scales = zip(op.inputs, op.full_scales, strict=True)
                found.extend((FORMATS[op.format].inputs, scale) for x, scale in scales if x == ref)
        return found

    def _as_floats(self, ref: Ref) -> bool:
        """Whether something other than integer products and later ticks reads `ref`."""
        for user in self._used_by[ref]:
            op = self._step.lines[user].op
            if isinstance(op, Affine) and op.full_scales:
                if ref in op.addends or ref == op.continues:
                    return True
            elif not isinstance(op, Delayed):
                return True
        return False

    def _remembered(self, ref: Ref) -> bool:
        return any(isinstance(self._step.lines[user].op, (Delayed, Recall, Upsample)) for user in self._used_by[ref])

    def _kept_as_floats(self, ref: Ref) -> bool:
        """Whether something reads the past of `ref` that reads floats only."""
        readers = [self._step.lines[user].op for user in self._used_by[ref]]
        return any(isinstance(op, Upsample) or (isinstance(op, Recall) and op.of == ref) for op in readers)

    def _one_clock(self, ref: Ref, others: list[Ref]) -> bool:
        return all(self._step.lines[other].clock == self._step.lines[ref].clock for other in others)
