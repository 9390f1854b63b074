"""Steps to test on: families of drawn sizes, steps of drawn operations, and how two runs are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from numpy.typing import NDArray

from wavejit.backends.llvm.compile import host_isas, host_target
from wavejit.backends.reference import Reference, Run
from wavejit.ir.builder import (
    Linear,
    StepBuilder,
    Tensor,
    Value,
    affine,
    concatenate,
    gru,
    lookup,
    relu,
    sigmoid,
    tanh,
)
from wavejit.ir.ops import (
    Categorical,
    Condition,
    Distribution,
    Draw,
    Function,
    Gaussian,
    Greedy,
    Logistics,
    Map,
    Step,
)
from wavejit.ir.target import Target
from wavejit.models.family import Family, Network
from wavejit.models.mel_wavernn import FAMILY as MEL_WAVERNN
from wavejit.models.mel_wavernn import MelWaveRNN
from wavejit.models.samplernn import FAMILY as SAMPLERNN
from wavejit.models.samplernn import SampleRNN
from wavejit.models.wavegru import FAMILY as WAVEGRU
from wavejit.models.wavegru import WaveGRU
from wavejit.models.wavenet import FAMILY as WAVENET
from wavejit.models.wavenet import WaveNet
from wavejit.models.wavernn import FAMILY as WAVERNN
from wavejit.models.wavernn import WaveRNN
from wavejit.runtime.engine import Engine, Score

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]

ALL_ISAS = [isa.name for isa in host_isas()]
HOST_ISAS = [isa.name for isa in host_isas() if isa.tiles is None]  # tiles make no difference to a single stream
TRIPLES = ("aarch64-linux-gnu", "armv7-linux-gnueabihf", "riscv64-linux-gnu", "wasm32-unknown-unknown")
WIDE, NARROW = host_target(ALL_ISAS[0]), host_target("generic")

ROUNDING = 1e-5  # of the parameters' range: float32 sums beside float64 ones
PROMISED = 1e-4  # what the project promises


def tensor(rng: np.random.Generator, name: str, *shape: int, scale: float | None = None) -> Tensor:
    """Random values, scaled so that a product of unit inputs is about 1."""
    factor = 1 / np.sqrt(shape[-1]) if scale is None else scale
    return Tensor(name, (factor * rng.standard_normal(shape)).astype(np.float32))


def linear(rng: np.random.Generator, name: str, outputs: int, inputs: int, bias: bool = True) -> Linear:
    return Linear(
        tensor(rng, f"{name}.weight", outputs, inputs),
        tensor(rng, f"{name}.bias", outputs, scale=0.2) if bias else None,
    )


# ------------------------------------------------------------------------------------------- families


def built(family: Family, network: Network, seed: int = 0) -> Step:
    return family.step(family.name, network, family.random_weights(network, seed))


@st.composite
def wavenets(draw: DrawFn) -> Step:
    conditioned = draw(st.booleans())
    network = WaveNet(
        sample_rate=16000,
        layers=draw(st.integers(1, 5)),
        residual_channels=draw(st.integers(1, 70)),
        skip_channels=draw(st.integers(1, 70)),
        classes=draw(st.integers(2, 70)),
        cycle=draw(st.integers(1, 4)),
        conditioning_channels=draw(st.integers(1, 20)) if conditioned else 0,
        hop_length=draw(st.integers(1, 9)),
    )
    return built(WAVENET, network, draw(st.integers(0, 99)))


@st.composite
def wavernns(draw: DrawFn) -> Step:
    network = WaveRNN(
        sample_rate=24000,
        width=2 * draw(st.integers(1, 40)),
        conditioning_channels=draw(st.integers(0, 11)),
        hop_length=draw(st.integers(1, 9)),
    )
    return built(WAVERNN, network, draw(st.integers(0, 99)))


@st.composite
def mel_wavernns(draw: DrawFn) -> Step:
    grus, hidden = draw(st.integers(1, 2)), draw(st.lists(st.integers(1, 40), max_size=2))
    channels = draw(st.integers(1, 24))
    parts: list[tuple[int, int]] = []
    for _ in range(grus + len(hidden)):
        start = draw(st.integers(0, channels - 1))
        parts.append((start, draw(st.integers(1, channels - start))))
    network = MelWaveRNN(
        sample_rate=22050,
        bins=draw(st.integers(1, 20)),
        hop_length=draw(st.integers(2, 7)),
        padding=draw(st.integers(0, 3)),
        residual_channels=draw(st.integers(1, 24)),
        residual_blocks=draw(st.integers(0, 2)),
        gru_widths=(draw(st.integers(1, 40)),) * grus,
        hidden_widths=tuple(hidden),
        auxiliary=tuple(parts),
        auxiliary_channels=channels,
        output=draw(st.sampled_from(("categorical", "logistics"))),
        classes=draw(st.integers(2, 70)),
        companding=draw(st.sampled_from(("linear", "mu-law"))),
        components=draw(st.integers(1, 5)),
        deemphasis=draw(st.sampled_from((0.0, 0.86))),
    )
    return built(MEL_WAVERNN, network, draw(st.integers(0, 99)))


@st.composite
def wavegrus(draw: DrawFn) -> Step:
    bands = draw(st.integers(2, 4))
    network = WaveGRU(
        sample_rate=16000,
        width=draw(st.integers(1, 70)),
        dense=draw(st.integers(1, 40)),
        bands=bands,
        components=draw(st.integers(1, 9)),
        conditioning_channels=draw(st.integers(0, 20)),
        hop_length=bands * draw(st.integers(1, 9)),
    )
    return built(WAVEGRU, network, draw(st.integers(0, 99)))


@st.composite
def samplernns(draw: DrawFn) -> Step:
    middle = draw(st.integers(2, 4))
    network = SampleRNN(
        sample_rate=16000,
        width=draw(st.integers(1, 40)),
        frame_sizes=(middle * draw(st.integers(2, 4)), middle),
        classes=draw(st.integers(2, 70)),
        embedding=draw(st.integers(1, 20)),
    )
    return built(SAMPLERNN, network, draw(st.integers(0, 99)))


def families() -> SearchStrategy[Step]:
    return st.one_of(wavenets(), wavernns(), mel_wavernns(), wavegrus(), samplernns())


# ---------------------------------------------------------------------------- steps of drawn operations


@st.composite
def compositions(draw: DrawFn) -> Step:
    """Any operations, on up to three clocks: each is applied to values made before it, bounded throughout."""
    clocks = draw(st.sampled_from(((1,), (3, 1), (4, 2, 1), (6, 2, 1))))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    s = StepBuilder("composition", 16000)
    sizes = st.integers(1, 37)
    count = iter(range(1000))

    def named(*shape: int, scale: float | None = None) -> Tensor:
        return tensor(rng, f"w{next(count)}", *shape, scale=scale)

    def product(outputs: int, x: Value) -> Value:
        return affine(linear(rng, f"l{next(count)}", outputs, x.size, draw(st.booleans())), x)

    def one_of(pool: list[Value]) -> Value:
        return pool[draw(st.integers(0, len(pool) - 1))]

    def mapped(function: Function, x: Value) -> Value:
        return x.builder.add(Map(function, x.ref))

    classes = draw(st.integers(2, 40))
    frames = [s.condition(f"frames{i}", draw(sizes), clocks[0]) for i in range(draw(st.integers(1, 2)))]
    slower: list[Value] = list(frames)  # all that a faster clock may read
    own, parts, faster = slower, frames[0], 1
    for level, clock in enumerate(clocks):
        with s.every(clock):
            state = s.state(f"state{clock}", draw(sizes), draw(st.sampled_from((0.0, 0.5))))
            start = named(draw(sizes), scale=0.5)
            kept = s.state(f"kept{clock}", len(start.data), start)
            past = s.drawn("class", draw(st.integers(1, 9)), classes, 1)
            own = [
                state,
                kept,
                lookup(named(classes, draw(sizes)), past),
                s.constant(named(draw(sizes), scale=0.5)),
            ]
            own.append(s.emitted(draw(st.integers(1, 5)), 2))
            for _ in range(draw(st.integers(2, 7))):
                pool = own + slower
                x = one_of(pool)
                match draw(st.integers(0, 9)):
                    case 0:
                        y = product(draw(sizes), x)
                    case 1:
                        y = mapped(draw(st.sampled_from(("relu", "tanh", "sigmoid", "negate", "identity"))), x)
                    case 2:
                        y = mapped("exp", tanh(product(draw(sizes), x)))
                    case 3:
                        y = product(x.size, one_of(pool)) + x
                    case 4:
                        y = mapped("negate", x) * tanh(product(x.size, one_of(pool))) - x
                    case 5:
                        start_at = draw(st.integers(0, x.size - 1))
                        y = x[start_at : draw(st.integers(start_at + 1, x.size))]
                    case 6:
                        y = concatenate(x, one_of(pool))
                    case 7:
                        y = product(draw(sizes), concatenate(x, one_of(pool), one_of(pool)))
                    case 8:
                        far = s.constant(Tensor("far", np.full(1, 4, np.float32)))
                        lag = affine(Linear(named(1, x.size, scale=3.0)), x) + far
                        y = s.recalled(one_of(own), lag, draw(st.integers(1, 9)))
                    case _:
                        y = s.delayed(one_of(own), draw(st.integers(1, 9)))
                own.append(y)
            s.update(f"state{clock}", tanh(product(state.size, own[-1])))
            s.update(f"kept{clock}", sigmoid(product(kept.size, own[-2])))
            if level + 1 < len(clocks):
                faster = clock // clocks[level + 1]
                # At its own clock, and as the faster clock will read it.
                slower = slower + own[5:] + [affine(linear(rng, f"out{clock}", 5, own[-1].size), own[-1])]
                parts = product(faster * draw(st.integers(1, 9)), own[-1])
        if level + 1 < len(clocks):
            with s.every(clocks[level + 1]):
                slower = [
                    *slower,
                    s.phase(parts, faster),
                    s.upsample(slower[-1], named(faster, draw(st.integers(1, 3)))),
                ]
    label = s.draw(
        "class",
        draw(st.sampled_from((Categorical(), Greedy()))),
        product(classes, concatenate(own[-1], *frames)),
    )
    real = draw(st.sampled_from((Gaussian(), Logistics(3), Logistics(1))))
    number = s.draw("real", real, product(2 if real == Gaussian() else 3 * real_components(real), own[-2]))
    s.emit(concatenate(lookup(named(classes, 1, scale=0.3), label), number))
    return s.step()


def real_components(distribution: Distribution) -> int:
    return distribution.components if isinstance(distribution, Logistics) else 0


def steps() -> SearchStrategy[Step]:
    """Everything."""
    return st.one_of(families(), compositions())


# ------------------------------------------------------------------------------------- steps in person


def one_pole(feedback: float = 0.5, hop_length: int = 1) -> Step:
    """y[t] = x[t] + feedback * y[t - 1], x a frame every `hop_length` ticks."""
    s = StepBuilder("one-pole", 16000)
    weight = Linear(Tensor("feedback", np.full((1, 1), feedback, np.float32)))
    s.emit(s.condition("input", 1, hop_length) + affine(weight, s.emitted(ago=1)))
    return s.step()


@dataclass(frozen=True)
class Tiers:
    """A small SampleRNN-like step: tiers on clocks of 4, 2 and 1, the same weights for a literal loop."""

    step: Step
    weights: dict[str, Array]
    classes: int = 16


def sample_rnn(seed: int = 0) -> Tiers:
    """Each tier reads the samples of its last tick, and gives the next tier one part a tick of that."""
    rng = np.random.default_rng(seed)
    classes, width, top_width = 16, 12, 10
    w = {
        "embed": tensor(rng, "embed", classes, 3),
        "top.input": tensor(rng, "top.input", top_width, 12),
        "top.recurrent": tensor(rng, "top.recurrent", top_width, top_width),
        "top.out": tensor(rng, "top.out", 2 * width, top_width),
        "middle.input": tensor(rng, "middle.input", width, 6),
        "middle.recurrent": tensor(rng, "middle.recurrent", width, width),
        "middle.out": tensor(rng, "middle.out", 2 * 5, width),
        "bottom.input": tensor(rng, "bottom.input", 5, 3),
        "out": tensor(rng, "out", classes, 5),
        "sound": tensor(rng, "sound", classes, 1),
    }
    s = StepBuilder("sample-rnn", 16000)

    def tier(name: str, clock: int, above: Value | None) -> Value:
        with s.every(clock):
            past = [lookup(w["embed"], s.drawn("sample", ago, classes, 3)) for ago in range(clock, 0, -1)]
            h = s.state(name, w[f"{name}.recurrent"].data.shape[0])
            total = affine(Linear(w[f"{name}.input"]), concatenate(*past))
            total = total + affine(Linear(w[f"{name}.recurrent"]), h)
            new = tanh(total if above is None else total + above)
            s.update(name, new)
            return affine(Linear(w[f"{name}.out"]), new)

    top = tier("top", 4, None)
    with s.every(2):
        for_middle = s.phase(top, 2)
    middle = tier("middle", 2, for_middle)
    below = s.phase(middle, 2)
    x = affine(Linear(w["bottom.input"]), lookup(w["embed"], s.drawn("sample", 1, classes, 3))) + below
    sample = s.draw("sample", Categorical(), affine(Linear(w["out"]), relu(x)))
    s.emit(lookup(w["sound"], sample))
    return Tiers(s.step(), {name: t.data for name, t in w.items()})


def drawing(distribution: Distribution, parameters: int, seed: int = 0) -> Step:
    """Draws from parameters that arrive as frames, one a tick of a clock of 2, and emits what it drew."""
    s = StepBuilder("drawing", 16000)
    # The product is the identity: parameters arrive as they are.
    given = s.condition("parameters", parameters, 2)
    drawn = s.draw("sample", distribution, given)
    if isinstance(distribution, (Categorical, Greedy)):
        numbers = Tensor("numbers", np.arange(parameters, dtype=np.float32)[:, None])
        drawn = lookup(numbers, drawn)
    s.emit(drawn)
    return s.step()


NEIGHBOURS = (-2, -1, 0, 1, 2)


def long_term_predictor(size: int = 4, hop_length: int = 3, most: int = 12, seed: int = 0) -> Step:
    """Audio of `size` samples a tick, from the five ticks around the one that was a period ago.

    A frame, `(9,)` every `hop_length` ticks, is the period in ticks and eight features.
    """
    rng = np.random.default_rng(seed)
    s = StepBuilder("long-term", 16000)
    with s.every(hop_length):
        period, features = s.condition("period", 1, hop_length), s.condition("features", 8, hop_length)
    last, h = s.state("sound", size), s.state("h", 24)
    around: list[Value] = []
    for k in NEIGHBOURS:
        offset = s.constant(Tensor(f"offset{k}", np.full(1, k, np.float32)))
        around.append(s.recalled("sound", period + offset, most))
    x = concatenate(last, *around, features)
    new = gru(linear(rng, "recurrent", 72, 24), linear(rng, "inputs", 72, x.size), h, x)
    sound = tanh(affine(linear(rng, "out", size, 24 + size), concatenate(new, around[2])))
    s.update("h", new)
    s.update("sound", sound)
    s.emit(sound)
    return s.step()


def predictor_frames(step: Step, ticks: int, periods: list[float], seed: int = 0) -> Array:
    """Random features, and the periods one after the other, again and again."""
    frames = random_frames(step, ticks, seed)
    frames[:, 0] = np.resize(np.array(periods, np.float32), len(frames))
    return frames


# ----------------------------------------------------------------------------------------- comparisons


def conditions(step: Step) -> dict[str, int]:
    """Sizes of the conditions, in the order in which a frame holds them."""
    return {line.op.name: line.size for line in step.lines.values() if isinstance(line.op, Condition)}


def frames_needed(step: Step, ticks: int) -> int:
    clocks = [line.clock for line in step.lines.values() if isinstance(line.op, Condition)]
    return -(-ticks // max(clocks)) if clocks else 0


def random_frames(step: Step, ticks: int, seed: int = 0) -> Array:
    """Frames for the first `ticks` ticks, `(frames, sizes)`."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((frames_needed(step, ticks), sum(conditions(step).values()))).astype(np.float32)


def by_name(step: Step, frames: Array) -> dict[str, Doubles]:
    """A frame's columns, as the reference takes them."""
    sizes = conditions(step)
    if not sizes:
        return {}
    parts = np.split(frames.astype(np.float64), np.cumsum(list(sizes.values()))[:-1], axis=1)
    return dict(zip(sizes, parts, strict=True))


def random_draws(step: Step, ticks: int, seed: int = 1) -> Array:
    """Something that each draw could give, `(ticks, draws)`."""
    rng = np.random.default_rng(seed)
    columns = [
        rng.integers(0, line.classes, ticks) if line.classes else rng.uniform(-1, 1, ticks)
        for line in step.lines.values()
        if isinstance(line.op, Draw)
    ]
    return np.stack(columns, axis=1).astype(np.float32) if columns else np.zeros((ticks, 0), np.float32)


def reference_score(step: Step, ticks: int, prime: int = 0) -> Run:
    """A teacher-forced run of the reference on random frames and draws."""
    reference = Reference(step)
    if prime:
        reference.prime(by_name(step, random_frames(step, prime * step.hop_length, 2)))
    frames = by_name(step, random_frames(step, ticks))
    return reference.run(ticks, frames, random_draws(step, ticks).astype(np.float64))


def native_score(step: Step, target: Target, ticks: int, prime: int = 0) -> Score:
    """The same run in native code."""
    stream = Engine(step, target).stream()
    if prime:
        stream.prime(random_frames(step, prime * step.hop_length, 2))
    forced, frames = random_draws(step, ticks), random_frames(step, ticks)
    return stream.score(forced, frames) if forced.size else Score(stream.run(ticks, frames), {})


def assert_close(found: Mapping[str, NDArray], wanted: Mapping[str, NDArray], tolerance: float) -> None:
    """Each array within `tolerance` of the range of the wanted one (at least 1)."""
    assert set(found) == set(wanted)
    for name, want in wanted.items():
        assert found[name].shape == want.shape, name
        if want.size:
            worst = float(np.max(np.abs(found[name] - want)))
            span = max(float(np.ptp(want)), 1.0)
            assert worst <= tolerance * span, f"{name}: off by {worst:.3g} in a range of {span:.3g}"


def values_of_run(run: Run) -> dict[str, Doubles]:
    """Samples and parameters of a run of one lane, named as `values_of_score` names them."""
    return {"samples": run.samples} | {name: rows[:, 0] for name, rows in run.parameters.items()}


def values_of_score(score: Score) -> dict[str, Array]:
    return {"samples": score.samples, **score.parameters}


def assert_agree(step: Step, target: Target, ticks: int, prime: int = 0, tolerance: float = ROUNDING) -> None:
    """Native code gives what the reference gives, teacher-forced."""
    assert_close(
        values_of_score(native_score(step, target, ticks, prime)),
        values_of_run(reference_score(step, ticks, prime)),
        tolerance,
    )


Rewrite = Callable[[Step, Target], Step]
