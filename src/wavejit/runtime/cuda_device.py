"""A GPU: its memory, and launches of a plan's kernels on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wavejit.backends.cuda.compile import Compiled, module
from wavejit.backends.cuda.device import DEVICES, Device, device_of
from wavejit.backends.cuda.plan import Plan
from wavejit.errors import InputError
from wavejit.runtime.cuda_engine import REQUEST

DRIVER = "cuda.bindings.driver"
FRAMES_THREADS = 256  # of a block of the conditioning network


class NoGpuError(InputError):
    """There is no GPU here that kernels could run on."""


def device_here(target: str | None) -> Device:
    """The kind of GPU that is here.

    Raises:
        NoGpuError: there is none, or none of a kind that kernels are written for.
        InputError: `target` is another kind.
    """
    major, minor = _gpu().compute_capability
    name = next((name for name in DEVICES if name.rstrip("a") == f"sm_{major}{minor}"), None)
    if name is None:
        known = ", ".join(DEVICES)
        raise NoGpuError(f"the GPU here is sm_{major}{minor}, expected one that kernels are written for: {known}")
    if target is not None and device_of(target).arch != name:
        raise InputError(f"target is {target!r}, but the GPU here is {name}; `wavejit explain` compiles for others")
    return replace(DEVICES[name], multiprocessors=int(_gpu().properties.multiprocessor_count))


def name_of_gpu() -> str:
    """As its maker calls it."""
    return str(_gpu().name)


def _gpu() -> Any:
    core = module("cuda.core")
    try:
        gpu = core.Device()
        gpu.set_current()
    except Exception as error:  # cuda-core has an exception of its own for each way to lack a GPU
        reason = str(error).partition("\n")[0].rstrip(".")
        raise NoGpuError(f"backend is 'cuda', but there is no GPU that can be used: {reason}") from None
    return gpu


class Buffer:
    """Memory of the GPU, freed with this object."""

    def __init__(self, size: int) -> None:
        driver = module(DRIVER)
        self.size = max(16, size)
        self.address = int(_checked(driver.cuMemAlloc(self.size)))

    def __del__(self) -> None:
        module(DRIVER).cuMemFree(self.address)


def _checked(result: tuple[Any, ...]) -> Any:
    """A call's result; RuntimeError where the driver reports an error."""
    if int(result[0]) != 0:
        raise RuntimeError(f"the CUDA driver reports {result[0]}")
    return result[1] if len(result) > 1 else None


class GpuLauncher:
    """Launches a plan's kernels, one after the other, in the order of the calls.

    Attributes:
        at_once: passes that the GPU has room for, where the blocks of one wait for each other but are no cluster.
    """

    def __init__(self, plan: Plan, code: Compiled) -> None:
        driver, core = module(DRIVER), module("cuda.core")
        gpu = _gpu()
        self.plan, self._stream = plan, gpu.default_stream
        loaded = core.ObjectCode.from_cubin(code.cubin)
        self._ticks = loaded.get_kernel("ticks")
        self._frames = loaded.get_kernel("frames") if plan.graph.ahead_tasks else None
        attribute = driver.CUfunction_attribute
        wanted = {attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: plan.places.shared_bytes}
        found, cluster = plan.partition, plan.partition.kind == "cluster"
        if cluster and found.blocks > 8:
            wanted[attribute.CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED] = 1
        for name, value in wanted.items():
            _checked(driver.cuKernelSetAttribute(name, value, self._ticks.handle, driver.CUdevice(gpu.device_id)))
        self.at_once: int | None = None
        fitting, occupancy = 1, self._ticks.occupancy
        if cluster:
            fitting = occupancy.max_active_clusters(self._config(1), stream=self._stream)
        elif found.kind == "grid":
            each = occupancy.max_active_blocks_per_multiprocessor(plan.threads, plan.places.shared_bytes)
            fitting = self.at_once = each * plan.device.multiprocessors // found.blocks
        if fitting < 1:
            raise InputError(f"{plan.step.name}: no {plan.name} fits on this GPU now; others may be using it")
        self.weights = self.upload(plan.places.weights)
        self._handed = self.empty((self.at_once or 0) * plan.places.handed_bytes)

    def _config(self, passes: int) -> Any:
        """How the loop is launched: all blocks of a grid at once, or not at all."""
        found, core = self.plan.partition, module("cuda.core")
        grid = found.kind == "grid"
        return core.LaunchConfig(
            grid=passes * found.blocks if grid else passes,
            cluster=found.blocks if found.kind == "cluster" else None,
            block=self.plan.threads,
            shmem_size=self.plan.places.shared_bytes,
            is_cooperative=grid,
        )

    def upload(self, data: NDArray[Any]) -> Buffer:
        """A copy that kernels can read."""
        driver = module(DRIVER)
        buffer, data = Buffer(data.nbytes), np.ascontiguousarray(data)
        if data.nbytes:
            _checked(driver.cuMemcpyHtoD(buffer.address, data.ctypes.data, data.nbytes))
        return buffer

    def empty(self, size: int) -> Buffer:
        """Zeros, so many bytes."""
        driver = module(DRIVER)
        buffer = Buffer(size)
        _checked(driver.cuMemsetD8(buffer.address, 0, buffer.size))
        return buffer

    def download(self, buffer: Buffer) -> NDArray[np.uint8]:
        """What lies there, once all launches so far have ended."""
        driver = module(DRIVER)
        data = np.empty(buffer.size, np.uint8)
        _checked(driver.cuMemcpyDtoH(data.ctypes.data, buffer.address, buffer.size))
        return data

    def address(self, buffer: Buffer) -> int:
        return buffer.address

    def frames(self, requests: Buffer, streams: int, ticks: int, primed: int) -> None:
        """Launch the conditioning network, a block a stream."""
        core = module("cuda.core")
        config = core.LaunchConfig(grid=streams, block=FRAMES_THREADS)
        arguments = (self.weights.address, requests.address, np.int32(ticks), np.int32(primed))
        core.launch(self._stream, config, self._frames, *arguments)

    def ticks(self, requests: Buffer, first: int, passes: int, count: int) -> None:
        """Launch the loop for so many passes from the first on: a block, a cluster, or the blocks of a grid each."""
        driver, core = module(DRIVER), module("cuda.core")
        address = requests.address + first * self.plan.streams * REQUEST.itemsize
        arguments = [self.weights.address, address, np.int32(count)]
        if self.plan.partition.kind == "grid":
            # Sums begin with 0 in each launch; the copy is in order with the kernels before and after it.
            _checked(driver.cuMemsetD8Async(self._handed.address, 0, self._handed.size, self._stream.handle))
            arguments.append(self._handed.address)
        core.launch(self._stream, self._config(passes), self._ticks, *arguments)
