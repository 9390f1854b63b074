"""An engine on the GPU that is here."""

from __future__ import annotations

import time

from wavejit.ir.ops import Step
from wavejit.runtime.cuda_code import compiled
from wavejit.runtime.cuda_device import GpuLauncher, device_here
from wavejit.runtime.cuda_engine import CudaEngine


def open_engine(step: Step, target: str | None, streams: int) -> CudaEngine:
    """Compile a step for this machine's GPU and load it there.

    Args:
        step: as its family wrote it, with its precision.
        target: the GPU's architecture, to be sure; None for whatever it is.
        streams: that run side by side.

    Raises:
        InputError: no GPU, no compiler, or a step that this backend cannot run.
    """
    started = time.perf_counter()
    found, code = compiled(step, device_here(target), streams)
    return CudaEngine(found, GpuLauncher(found, code), streams, time.perf_counter() - started)
