"""GPUs that kernels are written for: what a plan must know of them; values, never looked up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from wavejit.backends.cuda.tiles import TILE_BYTES
from wavejit.errors import InputError
from wavejit.ir.target import Target

WARPS_A_TEAM = 4  # one for each of a multiprocessor's schedulers
THREADS_A_TEAM = 32 * WARPS_A_TEAM
COURIER_THREADS = THREADS_A_TEAM  # one warp works; registers go from team to team of warps
LARGEST_FOLDED_TABLE = 64 * 1024  # bytes; shared memory keeps it


Kind = Literal["multiprocessor", "cluster", "grid"]


@dataclass(frozen=True)
class Device:
    """A kind of GPU.

    Attributes:
        arch: as NVRTC and `--target` name it, such as "sm_90a".
        multiprocessors: of the largest GPU of this kind.
        shared_bytes: shared memory that one block may have.
        largest_cluster: blocks that can write into each other's shared memory; 1 where none can.
        clock: Hz, at most; for estimates.
        teams: of four warps, in a block.
        register_tiles: tiles of weights that each warp keeps in registers: four a tile, of 255 registers a thread.
        courier_tiles: how many fewer these are where a block has a courier: 216 registers are left of a thread where
            warps can give some to others, and else 168.
    """

    arch: str
    multiprocessors: int
    shared_bytes: int
    largest_cluster: int
    clock: float
    teams: int = 2
    register_tiles: int = 40
    courier_tiles: int = 22

    def kind_of(self, blocks: int) -> Kind:
        """How so many blocks work together."""
        if blocks == 1:
            return "multiprocessor"
        return "cluster" if blocks <= self.largest_cluster else "grid"

    @property
    def clusters(self) -> list[int]:
        """Numbers of blocks that one multiprocessor or a cluster has."""
        return [1 << n for n in range(self.largest_cluster.bit_length())]

    @property
    def grids(self) -> list[int]:
        """Numbers of blocks beyond a cluster, up to all multiprocessors."""
        powers = [1 << n for n in range(self.multiprocessors.bit_length())]
        return [n for n in (*powers, self.multiprocessors) if self.largest_cluster < n]

    def with_couriers(self) -> Device:
        """The same where each block has a courier beside its teams."""
        return replace(self, register_tiles=max(0, self.register_tiles - self.courier_tiles))

    @property
    def tile_bytes(self) -> int:
        """Room for weights in a block, at most."""
        return self.shared_bytes + self.teams * WARPS_A_TEAM * self.register_tiles * TILE_BYTES

    @property
    def target(self) -> Target:
        """What the passes must know of it."""
        return Target(
            isa=self.arch,
            triple="nvptx64-nvidia-cuda",
            cpu=self.arch,
            features="",
            lanes=8,
            accumulators=4,
            table_bytes=LARGEST_FOLDED_TABLE,
            measures=False,
            wide="float16",
        )


KILOBYTE = 1024
DEVICES = {
    device.arch: device
    for device in (
        Device("sm_80", 108, 163 * KILOBYTE, 1, 1.41e9),  # A100
        Device("sm_89", 142, 99 * KILOBYTE, 1, 2.5e9),  # L40S
        Device("sm_90a", 132, 227 * KILOBYTE, 16, 1.98e9, courier_tiles=10),  # H100, H200
        Device("sm_100a", 148, 227 * KILOBYTE, 16, 1.98e9, courier_tiles=10),  # B200
    )
}
DEFAULT = "sm_90a"


def device_of(target: str | None) -> Device:
    """The device of an architecture's name.

    Raises:
        InputError: there is none of that name.
    """
    name = target or DEFAULT
    if name not in DEVICES:
        raise InputError(f"target is {name!r}, expected one of {', '.join(DEVICES)} for the cuda backend")
    return DEVICES[name]
