"""`wavejit info`: what a model is."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from wavejit.cli import options
from wavejit.ir.cost import cost
from wavejit.model import load


def info(model: options.ModelArgument, as_json: options.Json = False) -> None:
    """Say what a model is: family, sizes, features, cost of a sample, licence, where it is from."""
    loaded = load(model)
    files = loaded.files
    step, _, _ = loaded.program()
    each, samples = cost(step), step.samples_per_tick
    elements = sum(w.size for w in files.weights.values())
    zeros = sum(int((w == 0).sum()) for w in files.weights.values())
    facts: dict[str, Any] = {
        "model": loaded.name,
        "family": files.family.name,
        "sample_rate": loaded.sample_rate,
        "hop_length": step.hop_length,
        "lookahead_frames": step.lookahead,
        "weights": elements,
        "share_of_zeros": round(zeros / elements, 4),
        "multiply_adds_per_sample": round(each.multiply_adds / samples),
        "weight_bytes_per_sample": round(each.weight_bytes / samples),
        "state_bytes": each.state_bytes,
        "network": msgspec.to_builtins(files.network),
        "features": None if files.features is None else msgspec.to_builtins(files.features),
        "postfilter": None if files.postfilter is None else msgspec.to_builtins(files.postfilter),
        "licence": files.licence,
        "provenance": files.provenance,
    }
    if as_json:
        print(json.dumps(facts))
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            print(f"{name.replace('_', ' ')}")
            for field, inner in _flat(value):
                print(f"  {field.replace('_', ' '):26} {inner}")
        elif value not in ("", None):
            shown = f"{value:,}" if isinstance(value, int) and name != "sample_rate" else value
            print(f"{name.replace('_', ' '):28} {shown}")


def _flat(fields: dict[str, Any]) -> list[tuple[str, Any]]:
    """Fields, those of inner groups behind the group's name."""
    rows: list[tuple[str, Any]] = []
    for name, value in fields.items():
        if isinstance(value, dict):
            rows += [(f"{name}.{inner}", x) for inner, x in _flat(value)]
        else:
            rows.append((name, value))
    return rows
