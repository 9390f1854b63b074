"""Multiply the parts of a concatenation instead of the whole; nothing is copied side by side.

    %3 = concatenate %1, %2            ->    %4 = affine W[:, :64] @ %1 + W[:, 64:] @ %2 + b
    %4 = affine W @ %3 + b

The later passes can then treat each part by itself: a part may be an embedding, or on a slower clock.
"""

from __future__ import annotations

from dataclasses import replace

from wavejit.ir.graph import Editor
from wavejit.ir.ops import Affine, Concatenate, Ref, Step
from wavejit.ir.target import Target


def split_concatenations(step: Step, target: Target) -> Step:
    """Turn each product with a concatenation into one of several terms."""
    edit = Editor(step)
    for ref, line in edit:
        if not isinstance(line.op, Affine):
            continue
        weights: list[str] = []
        inputs: list[Ref] = []
        for name, x in zip(line.op.weights, line.op.inputs, strict=True):
            source = edit.lines[x].op
            if not isinstance(source, Concatenate):
                weights.append(name)
                inputs.append(x)
                continue
            start = 0
            for part in source.parts:
                stop = start + edit.lines[part].size
                columns = edit.weights[name][:, start:stop]
                weights.append(edit.weight(f"{name}[:,{start}:{stop}]", columns))
                inputs.append(part)
                start = stop
        edit.change(ref, replace(line.op, weights=tuple(weights), inputs=tuple(inputs)))
    return edit.step()
