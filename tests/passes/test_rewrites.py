"""What each pass is for, on the smallest example, as it is printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.cases import WIDE
from wavejit.ir.builder import Linear, StepBuilder, Tensor, Value, affine, concatenate, lookup, tanh
from wavejit.ir.ops import Affine, Categorical, Draw, Gaussian, Recall, Step
from wavejit.ir.show import show
from wavejit.ir.verify import IRError
from wavejit.passes import PIPELINE, Pass, lower
from wavejit.passes.fold_embeddings import fold_embeddings
from wavejit.passes.fuse_products import MOST_TERMS, fuse_products
from wavejit.passes.order import critical, order
from wavejit.passes.slow_down import slow_down
from wavejit.passes.split_concatenations import split_concatenations

RNG = np.random.default_rng(0)


def weight(name: str, *shape: int) -> Tensor:
    return Tensor(name, RNG.standard_normal(shape).astype(np.float32))


def layer(name: str, rows: int, columns: int, bias: bool = False) -> Linear:
    return Linear(weight(name, rows, columns), weight(f"b_{name}", rows) if bias else None)


def step(build: Callable[[StepBuilder], Value]) -> Step:
    s = StepBuilder("tiny", 16000)
    s.emit(build(s))
    return s.step()


def printed(found: Step) -> list[str]:
    """The lines, without where they were built."""
    return [line.split("  ;")[0].strip() for line in show(found).splitlines()[1:]]


def clocks(found: Step) -> dict[int, int]:
    return {ref: line.clock for ref, line in found.lines.items()}


def test_split_concatenations() -> None:
    found = split_concatenations(
        step(
            lambda s: affine(layer("W", 3, 5, bias=True), concatenate(s.condition("x", 2, 1), s.condition("y", 3, 1)))
        ),
        WIDE,
    )
    assert printed(found) == [
        "%0 (2) = condition x (2)",
        "%1 (3) = condition y (3)",
        "%3 (3) = affine W[:,0:2] @ %0 + W[:,2:5] @ %1 + b_W",
        "%4 (3) = emit %3",
    ]


def embedded(s: StepBuilder, width: int) -> tuple[Value, Value]:
    """An embedding of the last draw, and what the next is drawn from."""
    parameters = s.condition("x", 4, 1)
    embedding = lookup(weight("E", 4, width), s.drawn("k", 1, 4))
    s.draw("k", Categorical(), parameters)
    return embedding, parameters


def test_fold_an_embedding_into_a_sum() -> None:
    def build(s: StepBuilder) -> Value:
        embedding, x = embedded(s, 3)
        both = affine(layer("V", 2, 4, bias=True), x)
        op = Affine(("W", "V"), (embedding.ref, x.ref), "b_V")
        s.tensor(weight("W", 2, 3))
        return s.add(op) + both

    found = fold_embeddings(step(build), WIDE)
    assert "%8 (2) = lookup E @ W, %1" in printed(found)
    assert "%5 (2) = affine V @ %0 + b_V + %8" in printed(found)
    assert found.weights["E @ W"].shape == (4, 2)


def test_an_affine_of_an_embedding_alone_becomes_the_embedding() -> None:
    found = fold_embeddings(step(lambda s: affine(layer("W", 2, 3, bias=True), embedded(s, 3)[0])), WIDE)
    assert "%4 (2) = lookup E @ W, %1" in printed(found)
    assert not any(isinstance(line.op, Affine) for line in found.lines.values())
    assert "b_W" not in found.weights


def test_tables_do_not_outgrow_their_cache() -> None:
    before = step(lambda s: affine(layer("W", 2, 3), embedded(s, 3)[0]))
    assert printed(fold_embeddings(before, replace(WIDE, table_bytes=4 * 2 * 4 - 1))) == printed(before)
    assert printed(fold_embeddings(before, replace(WIDE, table_bytes=4 * 2 * 4))) != printed(before)


def test_embeddings_of_one_value_stay_products() -> None:
    before = step(lambda s: affine(layer("W", 2, 1), embedded(s, 1)[0]))
    assert printed(fold_embeddings(before, WIDE)) == printed(before)


def test_a_product_with_a_frame_is_made_once_a_frame() -> None:
    def build(s: StepBuilder) -> Value:
        return affine(layer("W", 3, 5), concatenate(s.condition("x", 2, 200), s.emitted(1, 3)))

    found = slow_down(split_concatenations(step(build), WIDE), WIDE)
    assert printed(found) == [
        "%0 (2) = condition x (2)",
        "%1 (3) = delayed %3, 1",
        "%5 (3) = affine W[:,0:2] @ %0",
        "%3 (3) = affine W[:,2:5] @ %1 + %5",
        "%4 (3) = emit %3",
    ]
    assert clocks(found) == {0: 200, 1: 1, 5: 200, 3: 1, 4: 1}


def test_a_whole_chain_follows_its_frame() -> None:
    def build(s: StepBuilder) -> Value:
        x = s.condition("x", 3, 8)
        return tanh(affine(layer("W", 3, 3), x))[0:2] + s.emitted(1, 2)

    assert clocks(slow_down(step(build), WIDE)) == {0: 8, 1: 8, 2: 8, 3: 8, 4: 1, 5: 1, 6: 1}


def test_what_is_delayed_stays_on_the_clock_that_counts_its_delay() -> None:
    def build(s: StepBuilder) -> Value:
        return s.delayed(tanh(s.condition("x", 3, 8)), 3)

    assert clocks(slow_down(step(build), WIDE)) == {0: 8, 1: 1, 2: 1, 3: 1}


def test_what_is_recalled_stays_on_the_clock_that_counts_its_lag() -> None:
    def build(s: StepBuilder) -> Value:
        x = s.condition("x", 2, 8)
        lag = affine(layer("L", 1, 2), x)
        return s.recalled(tanh(x), lag, 5)

    found = slow_down(step(build), WIDE)
    (recall,) = [line for line in found.lines.values() if isinstance(line.op, Recall)]
    assert isinstance(recall.op, Recall)
    assert recall.clock == 1
    assert found.lines[recall.op.of].clock == 1
    assert found.lines[recall.op.lag].clock == 8, "the lag itself is worked out once a frame"


def test_a_constant_beside_a_frame() -> None:
    lowered = lower(step(lambda s: tanh(s.condition("x", 3, 8)) + s.constant(weight("c", 3))), WIDE)
    assert any("tanh" in line for line in printed(lowered))


def test_a_product_changes_places_with_upsampling() -> None:
    def build(s: StepBuilder) -> Value:
        mel = s.upsample(s.condition("x", 8, 4), weight("taps", 4, 3))
        return affine(layer("W", 2, 10), concatenate(mel, s.emitted(1, 2)))

    found = slow_down(split_concatenations(step(build), WIDE), WIDE)
    assert printed(found) == [
        "%0 (8) = condition x (8)",
        "%2 (2) = delayed %4, 1",
        "%6 (2) = affine W[:,0:8] @ %0",
        "%7 (2) = upsample %6 by taps",
        "%4 (2) = affine W[:,8:10] @ %2 + %7",
        "%5 (2) = emit %4",
    ]
    assert clocks(found)[6] == 4


def test_upsampling_keeps_its_own_clock() -> None:
    def build(s: StepBuilder) -> Value:
        x = s.condition("x", 8, 4)
        with s.every(2):
            mel = s.upsample(x, weight("taps", 2, 3))
        return affine(layer("W", 2, 10), concatenate(mel, s.emitted(1, 2)))

    lower(step(build), WIDE)


def test_upsampling_before_a_wide_product_stays_before_it() -> None:
    def build(s: StepBuilder) -> Value:
        mel = s.upsample(s.condition("x", 2, 4), weight("taps", 4, 9))
        return affine(layer("W", 50, 52), concatenate(mel, s.emitted(1, 50)))

    assert any("upsample %0 by taps" in line for line in printed(slow_down(step(build), WIDE)))


def test_fuse_products_bias_addend_and_activation() -> None:
    def build(s: StepBuilder) -> Value:
        x, y, z = (s.condition(name, 3, 1) for name in "xyz")
        return tanh(affine(layer("P", 2, 3, bias=True), x) + affine(layer("C", 2, 3, bias=True), y) + z[0:2])

    before = step(build)
    found = fuse_products(before, WIDE)
    assert printed(found) == [
        "%0 (3) = condition x (3)",
        "%1 (3) = condition y (3)",
        "%2 (3) = condition z (3)",
        "%6 (2) = slice %2[0:2]",
        "%8 (2) = tanh(affine P @ %0 + C @ %1 + b_P + b_C + %6)",
        "%9 (2) = emit %8",
    ]
    biases = found.weights["b_P + b_C"]
    np.testing.assert_array_equal(biases, before.weights["b_P"] + before.weights["b_C"])


def test_a_product_with_another_use_is_left() -> None:
    def build(s: StepBuilder) -> Value:
        x = s.condition("x", 3, 1)
        p = affine(layer("P", 2, 3), x)
        return concatenate(tanh(p), p)

    before = step(build)
    assert printed(fuse_products(before, WIDE)) == printed(before)


def test_many_skips_become_few_products() -> None:
    def build(s: StepBuilder) -> Value:
        x = s.condition("x", 32, 1)
        total = affine(layer("W0", 16, 32), x)
        for i in range(1, 11):
            total = total + affine(layer(f"W{i}", 16, 32), tanh(x) if i % 2 else x)
        return total

    fused = fuse_products(step(build), WIDE).lines
    products = {ref: line.op for ref, line in fused.items() if isinstance(line.op, Affine)}
    assert [len(op.inputs) for op in products.values()] == [MOST_TERMS, 3]
    first, second = products
    assert products[second].addends == (first,)


def test_what_waits_for_the_last_sample_comes_last() -> None:
    def build(s: StepBuilder) -> Value:
        waits = affine(layer("O", 2, 2), s.emitted(1, 2))
        ready = affine(layer("R", 2, 2), s.condition("x", 2, 4))
        k = s.draw("k", Categorical(), waits + ready)
        return lookup(weight("E", 2, 2), k)

    before = step(build)
    assert critical(before) == {0, 1, 4, 5, 6, 7}
    assert list(order(before, WIDE).lines) == [2, 3, 0, 1, 4, 5, 6, 7]


def test_what_is_recalled_may_be_the_last_sample() -> None:
    def build(s: StepBuilder) -> Value:
        s.state("told", 1)
        x = s.condition("x", 2, 1)
        told = s.recalled("told", x[:1], 5)
        drawn = s.draw("k", Gaussian(), concatenate(told, s.recalled(x, x[:1], 5)[:1]))
        s.update("told", drawn)
        return drawn

    found = step(build)
    waits = [ref for ref, line in found.lines.items() if isinstance(line.op, Recall) and ref in critical(found)]
    drawn = [ref for ref, line in found.lines.items() if isinstance(line.op, Draw)]
    assert [found.lines[ref].op.of for ref in waits] == drawn  # type: ignore[union-attr]


def test_order_does_not_shuffle_what_is_equal() -> None:
    before = step(lambda s: sum((s.condition(n, 2, 1) for n in "abc"), start=s.condition("d", 2, 1)))
    assert list(order(before, WIDE).lines) == list(before.lines)


def test_the_step_is_verified_between_passes() -> None:
    def spoil(found: Step, target: object) -> Step:
        return replace(found, lines={ref: replace(line, size=line.size + 1) for ref, line in found.lines.items()})

    with pytest.raises(IRError, match="is declared"):
        lower(step(lambda s: s.condition("x", 2, 1)), WIDE, passes=(Pass("spoil", spoil), *PIPELINE))


def test_lower_tells_each_pass_and_its_result() -> None:
    seen: list[tuple[str, Step]] = []
    last = lower(step(lambda s: tanh(s.condition("x", 2, 1))), WIDE, lambda name, found: seen.append((name, found)))
    assert [name for name, _ in seen] == [rewrite.name for rewrite in PIPELINE]
    assert seen[-1][1] is last


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_lower_refuses_weights_that_are_not_finite(value: float) -> None:
    bad = Tensor("bad", np.array([1, value], np.float32))
    with pytest.raises(IRError, match="weight bad holds a value that is not finite"):
        lower(step(lambda s: s.constant(bad)), WIDE)
