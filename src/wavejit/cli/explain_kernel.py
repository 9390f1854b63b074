"""`wavejit explain --backend cuda`: how a model becomes one kernel, for any GPU, without one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from wavejit.errors import InputError
from wavejit.ir.ops import Step
from wavejit.ir.show import show
from wavejit.model import Model

if TYPE_CHECKING:
    from wavejit.backends.cuda.report import KernelReport


def explain_kernel(
    model: Model,
    target: str | None,
    precision: str,
    streams: int,
    graph: bool,
    passes: bool,
    source: bool,
    as_json: bool,
) -> None:
    """Print the step, the passes, the kernel's text, or without these what the kernel consists of."""
    if as_json and (graph or passes or source):
        raise InputError("--json goes with the summary, not with --graph, --passes or --source")

    def after(name: str, step: Step) -> None:
        if passes:
            print(f"\nafter: {name}\n{show(step)}")

    if graph:
        print(show(model.step))
    plan = model.kernel(precision, target, streams, after)
    if source:
        print(plan.text)
    if graph or passes or source:
        return
    from wavejit.backends.cuda.report import report
    from wavejit.runtime.cuda_code import compiled

    found = report(*compiled(model.asked(precision), plan.device, streams))
    print(json.dumps(found.as_dict()) if as_json else _summary(found))


def _summary(found: KernelReport) -> str:
    """The report in words."""
    near = "" if not found.weight_loads_in_loop else f"; {found.weight_loads_in_loop} loads of weights a tick from L2"
    lines = [
        f"{found.model}   {found.precision}   {found.target}   {found.partition}, "
        f"{found.streams_a_pass} stream(s) a pass",
        f"{found.registers} registers a thread, {found.spilled_bytes} bytes spilled; "
        f"{found.shared_bytes:,} bytes of shared memory a block; a stream keeps {found.state_bytes:,} bytes{near}",
        f"critical path {found.cycles:,.0f} cycles, as estimated: at {found.clock / 1e9:.2f} GHz "
        f"{found.floor_samples_per_second:,.0f} samples/s",
        "",
        "bytes of weights in   registers      shared      global",
    ]
    for row in found.teams:
        pieces = ", ".join(row.pieces[:6]) + (f" and {len(row.pieces) - 6} more" if len(row.pieces) > 6 else "")
        sizes = f"{row.register_bytes:10,}  {row.shared_bytes:10,}  {row.global_bytes:10,}"
        lines.append(f"team {row.team:2} on block {row.block:2}   {sizes}  {pieces or '-'}")
    lines += ["", "on the way from the end of a tick to the end of the next, in cycles"]
    lines += [f"{row.begin:8,.0f} {row.end:8,.0f}  team {row.team:2}  {row.piece}" for row in found.critical_path]
    return "\n".join(lines)
