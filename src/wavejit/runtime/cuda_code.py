"""From a step to a plan and its machine code for a GPU; needs no GPU."""

from __future__ import annotations

import struct
from dataclasses import replace

from wavejit.backends.cuda.compile import Compiled, SpillError, compile_text, compiler_version
from wavejit.backends.cuda.device import Device
from wavejit.backends.cuda.plan import Plan, plan_streams
from wavejit.ir.ops import Step
from wavejit.passes import GPU_PIPELINE, lower
from wavejit.runtime.cache import cached

FEWER = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)  # of a device's tiles in registers, until none is spilled
COUNTS = struct.Struct("<III")


def compiled(step: Step, device: Device, streams: int = 1) -> tuple[Plan, Compiled]:
    """Plan a step and compile it.

    How many registers the rest of a kernel takes shows when it is compiled: where weights in registers would push
    others out, it is planned again with fewer.

    Args:
        step: as its family wrote it, with its precision.
        device: that it is for.
        streams: that run side by side.

    Raises:
        InputError: a step that this backend cannot run, or no compiler.
    """
    version = compiler_version()
    lowered = lower(step, device.target, passes=GPU_PIPELINE)
    for share in FEWER:
        tiles = round(share * device.register_tiles)
        found = plan_streams(lowered, replace(device, register_tiles=tiles), streams)
        try:
            content, _ = cached((found.text, device.arch, version), lambda: _content(found, device))  # noqa: B023
        except SpillError:
            if share == FEWER[-1]:
                raise
            continue
        registers, spilled, stack = COUNTS.unpack_from(content)
        return found, Compiled(content[COUNTS.size :], registers, spilled, stack)
    raise AssertionError("the last share either compiles or raises")


def _content(found: Plan, device: Device) -> bytes:
    code = compile_text(found.text, device.arch)
    return COUNTS.pack(code.registers, code.spilled_bytes, code.stack_bytes) + code.cubin
