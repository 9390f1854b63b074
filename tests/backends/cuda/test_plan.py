"""Plans: everything is done once, by somebody, and lies where it is read; what cannot be is refused by name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.backends.cuda.kernels import FAMILIES, HOPPER, planned
from tests.cases import built, long_term_predictor
from wavejit.backends.cuda.device import DEVICES
from wavejit.backends.cuda.partition import elements_of, timeline
from wavejit.backends.cuda.plan import plan_streams
from wavejit.errors import InputError
from wavejit.ir.ops import Draw
from wavejit.models import builtin
from wavejit.models.wavenet import FAMILY as WAVENET
from wavejit.models.wavenet import WaveNet
from wavejit.passes import GPU_PIPELINE, lower


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("blocks", [1, 4])
def test_every_output_is_made_once(family: str, blocks: int) -> None:
    found = planned(FAMILIES[family](), blocks=blocks)
    made: Counter[tuple[int, int]] = Counter()
    for piece in found.partition.pieces:
        made.update((piece.task.makes, int(element)) for element in elements_of(piece.task, piece.outputs))
    wanted = {(task.makes, i) for task in found.graph.tasks for i in range(found.graph.lines[task.makes].size)}
    assert set(made) == wanted
    assert set(made.values()) == {1}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_value_lies_in_every_block_that_reads_it(family: str) -> None:
    found = planned(FAMILIES[family](), blocks=4)
    makers: dict[int, list[int]] = {}
    for i, piece in enumerate(found.partition.pieces):
        makers.setdefault(piece.task.makes, []).append(i)
    for piece in found.partition.pieces:
        block = found.partition.block(piece.team)
        for read in found.graph.reads(piece.task, piece.outputs):
            if read.value in makers and not found.graph.ring_of(read.value, read.ticks):
                for i in makers[read.value]:
                    elements = set(elements_of(found.partition.pieces[i].task, found.partition.pieces[i].outputs))
                    if read.elements is None or elements & set(read.elements):
                        assert block in found.places.destinations[i]


def test_values_do_not_overlap_in_any_block() -> None:
    found = planned(FAMILIES["mel-wavegru"](), blocks=4)
    for block in range(4):
        taken = sorted(
            (place.offset, place.offset + place.stride * place.kept.slots)
            for ref, place in found.places.values.items()
            for i, piece in enumerate(found.partition.pieces)
            if piece.task.makes == ref and block in found.places.destinations[i]
        )
        spans = sorted(set(taken))
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
        assert all(end <= found.places.values_bytes for _, end in spans)


def test_large_products_are_cut_and_the_way_from_sample_to_sample_is_not() -> None:
    family, network = builtin("deepvoice-40-64-256") or pytest.fail("a built-in network")
    found = planned(family.step("deepvoice", network, family.random_weights(network)), "float16", blocks=16)
    assert found.fits
    assert found.name == "cluster of 16"
    cycles, path = timeline(found.graph, found.partition)
    teams = [found.partition.pieces[stop.piece].team for stop in path]
    changes = sum(a != b for a, b in pairwise(teams))
    assert changes < 16, "forty layers on a few teams"
    assert any(isinstance(found.graph.lines[found.partition.pieces[stop.piece].task.makes].op, Draw) for stop in path)
    assert cycles == pytest.approx(found.partition.cycles)


def test_what_does_not_fit_is_read_from_the_cache_and_said() -> None:
    small = replace(HOPPER, shared_bytes=64 * 1024, register_tiles=8, largest_cluster=1, multiprocessors=1)
    family, network = builtin("deepvoice-10-32-64") or pytest.fail("a built-in network")
    step = family.step("deepvoice", network, family.random_weights(network))
    assert not planned(step, device=small).fits
    assert planned(step, device=small).places.global_tiles > 0
    assert planned(step, device=HOPPER).fits


def test_what_fits_on_no_cluster_gets_a_grid() -> None:
    family, network = builtin("deepvoice-10-32-64") or pytest.fail("a built-in network")
    step = family.step("deepvoice", network, family.random_weights(network))
    clustered = replace(HOPPER, shared_bytes=96 * 1024, register_tiles=24)
    single = replace(clustered, largest_cluster=1)
    assert planned(step, device=clustered).name == "cluster of 8"
    found = planned(step, device=single)
    assert found.fits
    assert found.name == "grid of 8"
    assert found.threads == 384
    assert planned(step, device=clustered).cycles < found.cycles < planned(step, device=single, blocks=1).cycles
    assert planned(step, device=replace(single, multiprocessors=1)).name == "multiprocessor"


def test_streams_side_by_side_share_a_pass_when_there_are_many() -> None:
    step = lower(replace(FAMILIES["wavenet"](), precision="float16"), HOPPER.target, passes=GPU_PIPELINE)
    assert plan_streams(step, HOPPER, 8).streams == 1
    assert plan_streams(step, HOPPER, 500).streams == 4
    assert plan_streams(step, HOPPER, 1000).streams == 8
    many = plan_streams(step, HOPPER, 5000)
    assert many.streams == 8, "five waves of launches, not ten"
    assert not many.side_by_side(5000)
    assert many.cycles_of(5000) == 5 * many.cycles
    tiers = lower(replace(FAMILIES["samplernn"](), precision="float16"), HOPPER.target, passes=GPU_PIPELINE)
    assert plan_streams(tiers, HOPPER, 1000).streams == 1
    with pytest.raises(InputError, match="its loop has slower clocks"):
        planned(FAMILIES["samplernn"](), streams=4)


def test_what_cannot_be_run_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="no int4 weights, expected float32"):
        planned(FAMILIES["wavenet"](), "int4")
    tiny = replace(HOPPER, shared_bytes=1024, largest_cluster=1)
    with pytest.raises(InputError, match=r"its values need .* bytes of a multiprocessor's shared memory"):
        planned(FAMILIES["wavenet"](), device=tiny)
    lanes = replace(FAMILIES["wavenet"](), lanes=2, lane_lag=1)
    with pytest.raises(InputError, match="does not run lanes; the step has 2"):
        planned(lanes)


def test_a_long_past_lies_in_global_memory_and_a_short_one_near() -> None:
    network = WaveNet(sample_rate=16000, layers=8, residual_channels=32, skip_channels=16, classes=16, cycle=8)
    found = planned(built(WAVENET, network))
    kept = found.graph.kept.values()
    assert any(one.ring >= 128 for one in kept)
    assert all(one.slots <= 16 for one in kept)
    recalled = planned(long_term_predictor())
    assert not any(one.ring for one in recalled.graph.kept.values())


def test_a_plan_is_the_same_in_every_process() -> None:
    code = (
        "from tests.backends.cuda.kernels import FAMILIES, planned\n"
        "import hashlib\n"
        "texts = [planned(make(), blocks=2).source for make in FAMILIES.values()]\n"
        "print(hashlib.sha256(''.join(texts).encode()).hexdigest())\n"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[3])},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_every_device_gets_a_plan() -> None:
    for device in DEVICES.values():
        for make in FAMILIES.values():
            found = planned(make(), device=device)
            assert found.partition.blocks <= device.largest_cluster
            assert found.threads == 256
            assert found.places.shared_bytes <= device.shared_bytes
