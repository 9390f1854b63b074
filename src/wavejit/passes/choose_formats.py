"""Give the weights of each product the format that the step is to be compiled with (`step.precision`).

    %4 = affine W @ %1 + V @ %2 + b      ->     %4 = affine[int8] W @ %1 / 1 + V @ %2 + b

`step.exceptions` names weights, by what their names begin with, that have another format. Products that a draw reads
keep 16 bits where the others have 8: an error there goes straight into the sound (docs/performance.md has figures).

An integer format needs the range of its inputs. Where it follows from how an input is made (%1 is a gated unit:
never beyond 1) it is written behind it, and costs nothing. A bound beyond 1 is not used: it comes from adding up what
seldom happens together, and would waste most of the integers. What a value had when the model was run on data
(`step.ranges`) is taken in its place, with a margin; for inputs of 8 bits, what erred least (`step.clips`). It is the
same for all that read the value or its past in one format, so that its integers are made once; values beyond are
clipped. Where neither is known, the vector is measured each tick, or, on targets where that
would cost more than it saves, the product gets the target's wide format.

Some products are not worth an error, but what they read counts: those of few columns, and those that run ahead of all
samples, seldom, whose weights should take little of the caches. If they are not to be float32 they get the target's
fine format. What has few columns and few rows, such as a filter bank, stays float32. Products on a slower clock that
wait for samples get a format as others do; where nothing is measured, for 8 bits the wide one.
"""

from __future__ import annotations

from dataclasses import replace

from wavejit.ir.formats import FORMATS, LONGEST_ROW, FormatName
from wavejit.ir.graph import Editor, runs_ahead
from wavejit.ir.ops import Affine, Delayed, Draw, Line, Ref, Slice, Step
from wavejit.ir.target import Target
from wavejit.passes.bounds import Bounds

FEWEST_COLUMNS = 8  # of each input that an integer format is worth
FEWEST_ROWS = 64  # of a product of fewer columns
INTEGER_INPUTS: tuple[FormatName, ...] = ("int8", "int16")
Known = dict[FormatName, dict[Ref, float]]  # full scales, by the format of inputs
# Of a range found on data: of normal values, ten times as many as a million have a maximum that is 1.08 times theirs.
MARGIN = 1.1


def choose_formats(step: Step, target: Target) -> Step:
    """Set the format of each product that is worth it."""
    if step.precision == "float32" and not step.exceptions:
        return step
    known: Known = {inputs: full_scales(step, inputs) for inputs in INTEGER_INPUTS}
    drawn_from = {line.op.parameters for line in step.lines.values() if isinstance(line.op, Draw)}
    ahead = runs_ahead(step)
    edit = Editor(step)
    for ref, line in edit:
        if isinstance(line.op, Affine) and _worthwhile(step, line):
            worth_more = ref in drawn_from or (line.clock > 1 and not target.measures)
            format = _format(step, line.op, worth_more, target)
            if format != "float32" and (ref in ahead or min(_columns(step, line.op)) < FEWEST_COLUMNS):
                format = target.fine
            if FORMATS[format].limit and 0.0 in _scales(line.op, format, known) and not target.measures:
                format = target.wide
            edit.change(ref, replace(line.op, format=format, full_scales=_scales(line.op, format, known)))
    return edit.step()


def _scales(op: Affine, format: FormatName, known: Known) -> tuple[float, ...]:
    """The full scales of a product's inputs, by the format of inputs; none in floating point."""
    return tuple(known[FORMATS[format].inputs][x] for x in op.inputs) if FORMATS[format].limit else ()


def full_scales(step: Step, inputs: FormatName) -> dict[Ref, float]:
    """For each input of a product the full scale that it is to have in a format; 0 where that has to be measured."""
    bounds = Bounds(step)
    products = [line.op for line in step.lines.values() if isinstance(line.op, Affine)]
    terms = [term for op in products for term in zip(op.weights, op.inputs, strict=True)]
    proven = {x: bounds.known(x) for _, x in terms}
    found: dict[Ref, float] = {}  # on data, by the value that is read
    for name, x in terms:
        if not proven[x]:
            value = _value(step, x)
            found[value] = max(found.get(value, 0.0), _found(step, name, inputs))
    for x, scale in proven.items():
        value = _value(step, x)
        if found.get(value):
            found[value] = max(found[value], scale)
    return {x: found.get(_value(step, x)) or scale for x, scale in proven.items()}


def _found(step: Step, name: str, inputs: FormatName) -> float:
    """The full scale that data say for what a weight is multiplied by; 0 where none did."""
    if inputs == "int8" and name in step.clips:
        return step.clips[name]
    return MARGIN * step.ranges.get(name, 0.0)


def _value(step: Step, x: Ref) -> Ref:
    """The value that `x` is a part of, or the past of."""
    seen: set[Ref] = set()  # a state may be nothing but its own past
    while x not in seen:
        seen.add(x)
        op = step.lines[x].op
        x = op.of if isinstance(op, Delayed) else op.x if isinstance(op, Slice) else x
    return x


def _format(step: Step, op: Affine, worth_more: bool, target: Target) -> FormatName:
    """What the first exception says that names one of the product's weights, or else what the step says."""
    for beginning, format in step.exceptions:
        if any(name.startswith(beginning) for name in op.weights):
            return format
    few_bits = 0 < FORMATS[step.precision].limit <= 127
    return target.wide if worth_more and few_bits else step.precision


def _worthwhile(step: Step, line: Line) -> bool:
    assert isinstance(line.op, Affine), "asked of products"
    columns = _columns(step, line.op)
    return (FEWEST_COLUMNS <= min(columns) or line.size >= FEWEST_ROWS) and max(columns) <= LONGEST_ROW


def _columns(step: Step, op: Affine) -> list[int]:
    """How many columns a product has of each input."""
    return [step.lines[x].size for x in op.inputs]
