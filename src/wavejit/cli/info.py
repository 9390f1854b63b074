"""`wavejit info`: what a model is."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from wavejit.cli import options
from wavejit.ir.cost import cost
from wavejit.vocoder import load


def info(model: options.ModelArgument, as_json: options.Json = False) -> None:
    """Say what a model is: family, sizes, features, cost of a sample, licence, where it is from."""
    loaded = load(model)
    files, step = loaded.files, loaded.step
    each = cost(step)
    samples = step.samples_per_tick
    facts: dict[str, Any] = {
        "model": loaded.name,
        "family": files.family.name,
        "sample_rate": loaded.sample_rate,
        "hop_length": step.hop_length,
        "lookahead_frames": step.lookahead,
        "weights": sum(w.size for w in files.weights.values()),
        "zeros": round(sum(int((w == 0).sum()) for w in files.weights.values()) / max(1, _elements(files.weights)), 4),
        "multiply_adds_per_sample": round(each.multiply_adds / samples),
        "weight_bytes_per_sample": round(each.weight_bytes / samples),
        "state_bytes": each.state_bytes,
        "network": msgspec.to_builtins(files.network),
        "features": None if files.features is None else msgspec.to_builtins(files.features),
        "licence": files.licence,
        "provenance": files.provenance,
    }
    if as_json:
        print(json.dumps(facts))
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            print(f"{name.replace('_', ' ')}")
            for field, inner in value.items():
                print(f"  {field.replace('_', ' '):26} {inner}")
        elif value not in ("", None):
            shown = f"{value:,}" if isinstance(value, int) and name != "sample_rate" else value
            print(f"{name.replace('_', ' '):28} {shown}")


def _elements(weights: dict[str, Any]) -> int:
    return sum(w.size for w in weights.values())
