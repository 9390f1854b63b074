"""Grids: blocks that hand over through global memory, on the host, against the reference and against one block."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.backends.cuda.emulation import COMPILER, HostLauncher
from tests.backends.cuda.kernels import FAMILIES, HOPPER, planned
from tests.backends.cuda.test_emulation import TOLERANCE, audio, score, wanted
from tests.cases import assert_close, random_frames, values_of_score
from wavejit.backends.cuda.partition import elements_of
from wavejit.backends.cuda.plan import Plan
from wavejit.ir.formats import FormatName
from wavejit.runtime.cuda_engine import CudaEngine

on_host = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler, to run kernels on the host")
# So little room that small networks need several blocks, which are no cluster.
NARROW = replace(HOPPER, largest_cluster=1, register_tiles=1, courier_tiles=0, shared_bytes=34 * 1024)


def grid(family: str, precision: FormatName = "float16", blocks: int = 4, streams: int = 1) -> Plan:
    """A plan on a grid, of which each block has a part of the way from sample to sample."""
    device = NARROW if streams == 1 else replace(NARROW, shared_bytes=48 * 1024)
    found = planned(FAMILIES[family](), precision, device, blocks, streams)
    assert found.name == f"grid of {blocks}"
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_every_reader_has_a_value_and_waits_for_all_who_make_it(family: str) -> None:
    found = grid(family)
    pieces, places = found.partition.pieces, found.places
    assert places.carried, "something is handed over"
    for reader in pieces:
        block = found.partition.block(reader.team)
        for read in found.graph.reads(reader.task, reader.outputs):
            if read.value not in found.graph.kept or found.graph.ring_of(read.value, read.ticks):
                continue
            needed = set(range(found.graph.lines[read.value].size)) if read.elements is None else set(read.elements)
            makers = [
                i
                for i, piece in enumerate(pieces)
                if piece.task.makes == read.value and needed & set(elements_of(piece.task, piece.outputs))
            ]
            carried = places.carried.get(read.value)
            if carried is not None and block in carried.blocks:
                assert not any(block in places.destinations[i] for i in makers), "brought whole, or written"
                assert carried.arrivals == 4 * sum(piece.task.makes == read.value for piece in pieces)
            else:
                assert all(places.destinations[i] == (block,) for i in makers)


@on_host
@pytest.mark.parametrize(
    ("family", "precision"),
    [
        ("wavenet", "float16"),
        ("wavernn", "bfloat16"),
        ("mel-wavernn", "float32"),
        ("wavegru", "int8"),
        ("mel-wavegru", "float16"),
        ("samplernn", "float32"),
    ],
)
def test_every_family_agrees_with_the_reference(family: str, precision: FormatName) -> None:
    plan = grid(family, precision)
    assert_close(values_of_score(score(plan, order=len(family), cut=5)), wanted(plan.step), TOLERANCE)


@on_host
def test_chunks_do_not_matter() -> None:
    plan = grid("samplernn", "int8", blocks=3)
    engine, frames = CudaEngine(plan, HostLauncher(plan)), random_frames(plan.step, 40)
    whole = audio(engine.stream(7), frames, [40])
    assert len(set(np.frombuffer(whole, np.float32))) > 5, "something is heard"
    assert audio(engine.stream(7), frames, [1, 18, 7, 14]) == whole


@on_host
def test_streams_that_share_a_pass_are_as_if_alone_in_as_many_launches_as_fit() -> None:
    one, shared = grid("wavenet"), grid("wavenet", streams=8, blocks=3)
    launcher = HostLauncher(shared, order=5, at_once=1)
    engines = [CudaEngine(one, HostLauncher(one)), CudaEngine(shared, launcher, 8)]
    frames = [random_frames(one.step, 60, seed) for seed in range(9)]
    made: list[list[bytes]] = []
    for engine in engines:
        streams = [engine.stream(3, number) for number in range(9)]
        early = streams[1].run(3, frames[1][: streams[1].frames_in(3)])  # the others join later
        given = []
        for stream, each in zip(streams, frames, strict=True):
            first = -(-stream.ticks // engine.clock)
            given.append(each[first : first + stream.frames_in(12)])
        made.append([early.tobytes(), *(x.tobytes() for x in engine.run_together(streams, 12, given))])
    assert made[0] == made[1]
    assert launcher.launches == [1, 1, 1], "no launch has more blocks than there is room for"


def heard(plan: Plan, order: int) -> bytes | None:
    """All that was worked out to be drawn from; None where the kernel stands still."""
    try:
        found = score(plan, order, ticks=8)
    except AssertionError:
        return None
    return b"".join(rows.tobytes() for rows in found.parameters.values())


@on_host
@pytest.mark.parametrize(
    "line",
    [
        "acquire();",
        "warp_barrier();",
        "if (lane() == 0) add_release(counters + 4 * (run & 1));",
        "if (lane() == 0) arrive(memory() + errand.barrier + 8 * (run & 3u), 0);",
        "for (; ended < brought && ended < done + 2; ++ended) tell_couriers(handed, ended);",
    ],
)
def test_a_step_of_handing_over_that_is_left_out_is_noticed(line: str) -> None:
    plan = grid("wavenet")
    lines = plan.source.splitlines()
    first = next(i for i, text in enumerate(lines) if text.strip() == line)
    broken = replace(plan)
    broken.__dict__["source"] = "\n".join(text for i, text in enumerate(lines) if i != first)
    right = heard(plan, 0)
    assert right is not None
    assert any(heard(broken, order) != right for order in range(3))
