"""Fold a lookup into the affine that it feeds: one row of a wider table instead of a product.

    %3 = lookup E, %2                  ->    %5 = lookup E', %2              E' = E @ W.T
    %4 = affine W @ %3 + V @ %1 + b          %4 = affine V @ %1 + b + %5

Never where the table would outgrow the cache that it is read from (`target.table_bytes`), and not for
embeddings of one value: the product is then no more to read than the row. An affine of nothing but the lookup
becomes the lookup itself, its bias in the table.

Source: LPCNet (Valin and Skoglund 2019, section 3.6) folds its embeddings into the GRU in this way.
"""

from __future__ import annotations

from dataclasses import replace

from wavejit.ir.graph import Editor
from wavejit.ir.ops import Affine, Line, Lookup, Ref, Step
from wavejit.ir.target import Target

FLOAT32_BYTES = 4


def fold_embeddings(step: Step, target: Target) -> Step:
    """Replace products with embeddings by lookups in wider tables."""
    edit = Editor(step)
    for ref, line in edit:
        if isinstance(line.op, Affine):
            _fold(edit, ref, line, line.op, target)
    return edit.step()


def _fold(edit: Editor, ref: Ref, line: Line, op: Affine, target: Target) -> None:
    weights: list[str] = []
    inputs: list[Ref] = []
    rows: list[Ref] = []
    for name, x in zip(op.weights, op.inputs, strict=True):
        source = edit.lines[x].op
        if isinstance(source, Lookup) and _worthwhile(edit, source, line.size, target):
            alone = len(op.inputs) == 1 and not op.addends and op.activation == "identity"
            table = edit.weights[source.table] @ edit.weights[name].T
            if alone and op.bias is not None:
                table = table + edit.weights[op.bias]
            folded = Lookup(edit.weight(f"{source.table} @ {name}", table), source.index)
            if alone:
                edit.change(ref, folded)
                return
            rows.append(edit.insert(ref, replace(line, op=folded)))
        else:
            weights.append(name)
            inputs.append(x)
    if rows and weights:
        edit.change(ref, replace(op, weights=tuple(weights), inputs=tuple(inputs), addends=op.addends + tuple(rows)))


def _worthwhile(edit: Editor, lookup: Lookup, width: int, target: Target) -> bool:
    classes, embedded = edit.weights[lookup.table].shape
    return embedded > 1 and classes * width * FLOAT32_BYTES <= target.table_bytes
