"""Packed weights in the order of reading; a stream's memory without overlaps."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cases import NARROW, WIDE, steps
from wavejit.ir.builder import StepBuilder, Tensor, Value
from wavejit.ir.cost import delays
from wavejit.ir.formats import FORMATS, PRECISIONS, FormatName
from wavejit.ir.graph import parts_of
from wavejit.ir.layout import Memory, Packing, draw_scratch, packed_rows, rounded, row_tiles
from wavejit.ir.ops import Affine, Condition, Draw, Line, Lookup, Slice, Step
from wavejit.ir.target import Target
from wavejit.ir.tasks import made_in_place
from wavejit.passes import lower
from wavejit.passes.pack_weights import pack_weights
from wavejit.passes.plan_memory import plan_memory

targets = st.sampled_from([WIDE, NARROW])


def target(lanes: int, accumulators: int) -> Target:
    return replace(WIDE, lanes=lanes, accumulators=accumulators)


def packed(step: Step, target: Target) -> Packing | None:
    return pack_weights(replace(step, memory=Memory(0, {}, {}, 0, {}, {})), target).packing


def test_a_product_is_packed_column_by_column_in_tiles() -> None:
    weights = {
        "w": np.arange(12, dtype=np.float32).reshape(6, 2),
        "v": 100 + np.arange(6, dtype=np.float32).reshape(6, 1),
        "b": 1000 + np.arange(6, dtype=np.float32),
    }
    inputs = {0: Line(Condition("x", 2), 2), 1: Line(Condition("y", 1), 1)}
    step = Step("tiny", 1, {**inputs, 2: Line(Affine(("w", "v"), (0, 1), "b"), 6)}, weights)
    packing = packed(step, target(lanes=2, accumulators=2))
    assert packing is not None
    first = [1000, 1001, 1002, 1003, 0, 2, 4, 6, 1, 3, 5, 7, 100, 101, 102, 103]
    second = [1004, 1005, 8, 10, 9, 11, 104, 105]
    assert list(packing.data.view(np.float32)) == first + second
    assert packing.affine == {2: 0}


def test_rows_are_padded_with_zeros_and_tables_to_whole_vectors() -> None:
    weights = {
        "w": np.ones((3, 1), np.float32),
        "e": np.ones((2, 3), np.float32),
        "m": np.ones((5, 1), np.float32),
    }
    lines = {
        0: Line(Lookup("e", 9), 3),
        1: Line(Affine(("w",), (3,)), 3),
        2: Line(Lookup("m", 9), 1),
        3: Line(Condition("x", 1), 1),
    }
    packing = packed(Step("tiny", 1, lines, weights), target(4, 8))
    assert packing is not None
    assert list(packing.data.view(np.float32)) == [1, 1, 1, 0] + 2 * [1, 1, 1, 0] + [1, 1, 1, 1, 1, 0, 0, 0]
    assert packing.tensors == {"e": 4, "m": 12}
    assert packing.table_stride == {"e": 4, "m": 1}


@settings(max_examples=40)
@given(step=steps(), target=targets)
def test_each_weight_is_packed_once_and_starts_on_a_vector(step: Step, target: Target) -> None:
    lowered = lower(step, target)
    packing = lowered.packing
    assert packing is not None
    for start in (*packing.affine.values(), *packing.tensors.values()):
        assert start % target.lanes == 0
    places = sorted((*packing.affine.values(), *packing.tensors.values()))
    assert len(set(places)) == len(places)
    for ref, line in lowered.lines.items():
        if isinstance(line.op, Affine):
            read = [lowered.weights[name] for name in line.op.weights]
            total = sum(float(w.sum(dtype=np.float64)) for w in read)
            columns = sum(w.shape[1] for w in read) + (line.op.bias is not None)
            if line.op.bias is not None:
                total += float(lowered.weights[line.op.bias].sum(dtype=np.float64))
            start = packing.affine[ref]
            tiles = packed_rows(read[0], target.lanes, target.accumulators, parts_of(lowered).get(ref, 1))
            rows = sum(map(len, tiles))
            packed = packing.data.view(np.float32)[start : start + columns * rows]
            assert abs(packed.sum(dtype=np.float64) - total) < 1e-4


@settings(max_examples=60)
@given(step=steps(), target=targets, precision=st.sampled_from(PRECISIONS))
def test_memory_has_no_overlaps(step: Step, target: Target, precision: FormatName) -> None:
    """Each place is as large as what is written there in whole vectors, and no two meet."""
    lowered = lower(replace(step, precision=precision), target)
    memory = lowered.memory
    assert memory is not None
    taken = [(start, 2, f"counter {clock}") for clock, start in memory.counters.items()]
    for ref, start in memory.buffers.items():
        if made_in_place(lowered, memory, ref):
            continue  # its parts are there
        taken.append((start, rounded(lowered.lines[ref].size, target.lanes), f"buffer %{ref}"))
        assert start % 16 == 0
    for ref, ring in memory.rings.items():
        taken.append((ring.offset, ring.slots * ring.stride, f"ring %{ref}"))
        size = lowered.lines[ref].size
        if ring.integers is None:
            assert ring.stride >= size
        else:
            assert 32 * (ring.stride - (ring.full_scale == 0)) >= size * FORMATS[ring.integers].bits
    for (ref, format), integers in memory.integers.items():
        words = rounded(lowered.lines[ref].size, target.lanes) * FORMATS[format].bits // 32
        taken.append((integers.offset, words, f"integers %{ref}"))
        if not integers.full_scale:
            taken.append((integers.scale, 1, f"scale %{ref}"))
    sizes = [lowered.lines[line.op.parameters].size for line in lowered.lines.values() if isinstance(line.op, Draw)]
    taken.append((memory.scratch, draw_scratch(max(sizes, default=0)), "scratch"))
    taken.sort()
    for (start, size, name), (following, _, other) in pairwise(taken):
        assert start + size <= following, f"{name} runs into {other}"
    assert taken[-1][0] + taken[-1][1] + target.lanes <= memory.size, "the last vector reads past the end"


@settings(max_examples=40)
@given(step=steps())
def test_rings_hold_what_is_asked_for(step: Step) -> None:
    lowered = lower(step, WIDE)
    assert lowered.memory is not None
    for ref, ticks in delays(lowered).items():
        slots = lowered.memory.rings[ref].slots
        assert slots >= max(ticks, 1)
        assert slots & (slots - 1) == 0
        assert slots < 4 * max(ticks, 1)


def built(build) -> Step:
    s = StepBuilder("tiny", 16000)
    s.emit(build(s))
    return s.step()


def ring_slots(build) -> list[int]:
    memory = plan_memory(built(build), WIDE).memory
    assert memory is not None
    return [ring.slots for ring in memory.rings.values()]


def test_a_delay_of_512_takes_512_slots() -> None:
    assert ring_slots(lambda s: s.delayed(s.condition("x", 3, 1), 512)) == [512]
    assert ring_slots(lambda s: s.delayed(s.condition("x", 3, 1), 513)) == [1024]


def test_a_faster_reader_needs_a_slot_more() -> None:
    taps = Tensor("taps", np.ones((4, 3), np.float32))
    assert ring_slots(lambda s: s.upsample(s.condition("x", 3, 4), taps)) == [4]
    assert ring_slots(lambda s: s.upsample(s.condition("x", 3, 1), Tensor("t", np.ones((1, 3), np.float32)))) == [2]


def test_a_lag_of_at_most_512_takes_512_slots() -> None:
    def build(s: StepBuilder, most: int, hop_length: int) -> Value:
        x = s.condition("x", 3, hop_length)
        return s.recalled(x, s.constant(Tensor("lag", np.ones(1, np.float32))), most)

    assert ring_slots(lambda s: build(s, 512, 1)) == [512]
    assert ring_slots(lambda s: build(s, 512, 2)) == [1024], "a faster reader needs a slot more"


def test_the_past_of_a_lag_may_begin_with_something() -> None:
    """What is recalled begins with 0; what says how far back, as its state says."""

    def build(s: StepBuilder) -> Value:
        x, lag = s.condition("x", 3, 1), s.state("lag", 1, 5.0)
        new = lag + x[:1]
        s.update("lag", new)
        return s.recalled(x, new, 8)

    memory = plan_memory(built(build), WIDE).memory
    assert memory is not None
    assert [(ring.slots, ring.initial) for ring in memory.rings.values()] == [(1, 5.0), (8, 0.0)]


def test_readers_of_one_past_agree_on_its_first_value() -> None:
    def build(s: StepBuilder) -> Value:
        x, h = s.condition("x", 3, 1), s.state("h", 3, 0.5)
        s.update("h", x)
        return h + s.recalled("h", x[:1], 8)

    with pytest.raises(ValueError, match="readers of one past value disagree on its first value"):
        plan_memory(built(build), WIDE)


def test_slices_of_computed_values_take_no_memory() -> None:
    def build(s: StepBuilder) -> Value:
        return s.condition("x", 9, 1)[1:8][2:5]

    planned = plan_memory(built(build), WIDE)
    assert planned.memory is not None
    assert not any(isinstance(planned.lines[ref].op, Slice) for ref in planned.memory.buffers)


def test_row_tiles_cover_the_padded_rows() -> None:
    assert row_tiles(1, 16, 8) == [range(16)]
    assert row_tiles(129, 16, 8) == [range(128), range(128, 144)]
    assert row_tiles(300, 16, 8) == [range(128), range(128, 256), range(256, 304)]
