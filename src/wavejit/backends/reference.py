"""Run any step in NumPy, in float64: the definition of right. Slow, and meant to be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from wavejit.backends.draws import draw
from wavejit.backends.philox import uniforms
from wavejit.ir.cost import delays
from wavejit.ir.formats import (
    FORMATS,
    FormatName,
    quantise_blocks,
    quantise_rows,
    quantise_vector,
    round_weights,
    row_scales,
)
from wavejit.ir.ops import (
    Affine,
    BinaryFunction,
    Combine,
    Concatenate,
    Condition,
    Constant,
    Delayed,
    Distribution,
    Draw,
    Emit,
    Function,
    Line,
    Lookup,
    Map,
    Phase,
    Recall,
    Ref,
    Slice,
    Step,
    Upsample,
)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """What a run gave.

    Attributes:
        samples: audio, `(ticks * samples_per_tick,)`.
        parameters: for each draw, the parameters that it drew from, `(ticks, lanes, size)`.
        drawn: what was drawn, `(ticks, lanes, draws)`.
    """

    samples: Array
    parameters: dict[str, Array]
    drawn: Array


class Reference:
    """One stream of a step; its state carries over from one `run` to the next."""

    def __init__(self, step: Step, seed: int = 0, stream: int = 0, temperature: float = 1.0) -> None:
        self.step = step
        self.seed, self.stream, self.temperature = seed, stream, temperature
        self.weights = {name: data.astype(np.float64) for name, data in step.weights.items()}
        self._formatted: dict[tuple[str, FormatName], Array] = {}
        self._integers: dict[
            tuple[tuple[str, ...], tuple[str, ...]], tuple[NDArray[np.int64], NDArray[np.float32]]
        ] = {}
        self._ticks = 0  # of clock 1
        self._count = {line.clock: 0 for line in step.lines.values()} | {1: 0}  # ticks of each clock, this one too
        self._now: dict[Ref, Array] = {}
        self._kept = delays(step)
        self._past: dict[Ref, dict[int, Array]] = {ref: {} for ref in self._kept}
        self._draws = [line.op.name for line in step.lines.values() if isinstance(line.op, Draw)]

    def prime(self, frames: Mapping[str, Array]) -> None:
        """Take frames ahead of the first sample: run what is on the frames' clock, and nothing else."""
        clocks = {line.clock for line in self.step.lines.values() if isinstance(line.op, Condition)}
        for i in range(len(next(iter(frames.values()), ()))):
            self._tick(sorted(clocks), {name: given[i] for name, given in frames.items()}, None)

    def run(self, ticks: int, frames: Mapping[str, Array], forced: Array | None = None) -> Run:
        """Run `ticks` ticks.

        Args:
            ticks: how many.
            frames: for each condition, one frame for each tick of its clock that begins, `(frames, size)`.
            forced: what each draw is to give, `(ticks, draws)`; None to draw.
        """
        drawn = np.zeros((ticks, self.step.lanes, len(self._draws)))
        parameters: dict[str, list[Array]] = {name: [] for name in self._draws}
        emitted: list[Array] = []
        taken = 0
        for tick in range(ticks):
            active = [clock for clock in self._count if self._ticks % clock == 0]
            frame: dict[str, Array] = {}
            if any(isinstance(line.op, Condition) and line.clock in active for line in self.step.lines.values()):
                frame = {name: given[taken] for name, given in frames.items()}
                taken += 1
            self._tick(active, frame, None if forced is None else forced[tick])
            for ref, line in self.step.lines.items():
                if isinstance(line.op, Draw):
                    which = self._draws.index(line.op.name)
                    drawn[tick, :, which] = self._now[ref][:, 0]
                    parameters[line.op.name].append(self._now[line.op.parameters])
                elif isinstance(line.op, Emit):
                    emitted.append(self._now[ref])
            self._ticks += 1
        samples = self._in_order(np.array(emitted)) if emitted else np.zeros(0)
        return Run(samples, {name: np.array(rows) for name, rows in parameters.items()}, drawn)

    def value(self, ref: Ref) -> Array:
        """What an operation made last, `(lanes, size)`."""
        return self._now[ref]

    def _tick(self, active: list[int], frame: Mapping[str, Array], forced: Array | None) -> None:
        for clock in active:
            self._count[clock] += 1
        for ref, line in self.step.lines.items():
            if line.clock in active:
                self._now[ref] = self._evaluate(line, frame, forced)
        for ref, kept in self._kept.items():
            clock = self.step.lines[ref].clock
            if clock in active:
                number = self._count[clock]
                self._past[ref][number] = self._now[ref]
                self._past[ref].pop(number - kept - 1, None)

    def _evaluate(self, line: Line, frame: Mapping[str, Array], forced: Array | None) -> Array:
        """The value of one operation, `(lanes, size)`."""
        now, weights, lanes = self._now, self.weights, self.step.lanes
        match line.op:
            case Condition(name):
                return np.broadcast_to(frame[name], (lanes, line.size))
            case Constant(weight):
                return np.broadcast_to(weights[weight], (lanes, line.size))
            case Delayed(of, ticks, initial, back):
                return self._delayed(of, ticks, initial, back)
            case Recall(of, lag, most):
                lags = [whole_lag(float(now[lag][lane, 0]), most) for lane in range(lanes)]
                return np.array([self._delayed(of, ticks, 0.0, 0)[lane] for lane, ticks in enumerate(lags)])
            case Lookup(table, index):
                return weights[table][now[index][:, 0].astype(int)]
            case Affine(_, _, bias, addends, activation):
                total = self._product(line.op)
                if line.op.unfinished:
                    return total
                if bias is not None:
                    total = total + weights[bias]
                for addend in addends:
                    total = total + now[addend]
                return apply(activation, total)
            case Map(function, x):
                return apply(function, now[x])
            case Combine(function, x, y):
                return combine(function, now[x], now[y])
            case Slice(x, start, size):
                return now[x][:, start : start + size]
            case Concatenate(parts):
                return np.concatenate([now[part] for part in parts], axis=1)
            case Upsample(x, taps):
                clock = self.step.lines[x].clock
                filter_row = weights[taps][self._ticks % clock // line.clock]
                past = [now[x]] + [self._delayed(x, j, 0.0, 0) for j in range(1, len(filter_row))]
                return np.einsum("j,jls->ls", filter_row, np.array(past))
            case Phase(x, parts):
                clock = self.step.lines[x].clock
                return np.split(now[x], parts, axis=1)[self._ticks % clock // line.clock]
            case Draw(name, distribution, parameters):
                which = self._draws.index(name)
                if forced is not None:
                    return np.full((lanes, 1), forced[which])
                return np.array(
                    [[self._draw(distribution, now[parameters][lane], which, lane)] for lane in range(lanes)]
                )
            case Emit(x):
                return now[x]
            case _:
                assert_never(line.op)

    def _product(self, op: Affine) -> Array:
        """The sum of weights @ inputs, in the arithmetic of the weights' format."""
        if not FORMATS[op.format].limit:
            terms = zip(op.weights, op.inputs, strict=True)
            return np.sum([self._now[x] @ self._rounded(name, op.format).T for name, x in terms], axis=0)
        if FORMATS[op.format].block_scales:
            return self._product_in_blocks(op)
        integers, scales = self._quantised(op)
        if op.unfinished or op.continues is not None:
            return self._sums(op, integers, scales)
        rows: list[Array] = []
        for lane in range(self.step.lanes):
            total, start = np.zeros(len(scales)), 0
            for x, full_scale in zip(op.inputs, op.full_scales, strict=True):
                given = self._now[x][lane].astype(np.float32)
                inputs, scale = quantise_vector(given, full_scale, FORMATS[op.format].inputs)
                exact = integers[:, start : start + len(inputs)] @ inputs.astype(np.int64)
                total += exact * (scales.astype(np.float64) * float(scale))
                start += len(inputs)
            rows.append(total)
        return np.array(rows)

    def _sums(self, op: Affine, integers: NDArray[np.int64], scales: NDArray[np.float32]) -> Array:
        """One exact sum, which another product may have begun; scaled where it ends."""
        given = np.concatenate([self._now[x] for x in op.inputs], axis=1).astype(np.float32)
        inputs, scale = quantise_vector(given, op.full_scales[0], FORMATS[op.format].inputs)
        exact = (inputs.astype(np.int64) @ integers.T).astype(np.float64)
        if op.continues is not None:
            exact = exact + self._now[op.continues]
        return exact if op.unfinished else exact * (scales.astype(np.float64) * float(scale))

    def _product_in_blocks(self, op: Affine) -> Array:
        """Exact sums over blocks of columns, each times its own scale; what they add up to times the inputs' scale."""
        format = FORMATS[op.format]
        rows: list[Array] = []
        for lane in range(self.step.lanes):
            total = 0.0
            for name, x, full_scale in zip(op.weights, op.inputs, op.full_scales, strict=True):
                inputs, scale = quantise_vector(self._now[x][lane].astype(np.float32), full_scale, format.inputs)
                integers, scales = self._blocks(name, op.format)
                starts = range(0, len(inputs), format.block)
                products = integers * inputs.astype(np.int64)
                exact = np.add.reduceat(products, starts, axis=1)
                total = total + (exact * scales.astype(np.float64)).sum(axis=1) * float(scale)
            rows.append(np.asarray(total))
        return np.array(rows)

    def _rounded(self, name: str, format: FormatName) -> Array:
        key = (name, format)
        if key not in self._formatted:
            self._formatted[key] = round_weights(self.step.weights[name], format).astype(np.float64)
        return self._formatted[key]

    def _blocks(self, name: str, format: FormatName) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Integer weights of one term, and the scales of its rows' blocks."""
        if ((name,), ()) not in self._integers:
            integers, scales = quantise_blocks(self.step.weights[name], format)
            self._integers[(name,), ()] = integers.astype(np.int64), scales
        return self._integers[(name,), ()]

    def _quantised(self, op: Affine) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Integer weights of all terms side by side, and the scales of their rows."""
        key = op.weights, op.scaled_with
        if key not in self._integers:
            together = np.concatenate([self.step.weights[name] for name in op.weights], axis=1)
            scales = row_scales([self.step.weights[name] for name in op.scaled_with or op.weights], op.format)
            self._integers[key] = quantise_rows(together, op.format, scales)[0].astype(np.int64), scales
        return self._integers[key]

    def _delayed(self, of: Ref, ticks: int, initial: float | str, back: int) -> Array:
        source = self.step.lines[of]
        first = self.weights[initial] if isinstance(initial, str) else np.full(source.size, float(initial))
        number = self._count[source.clock] - ticks
        rows: list[Array] = []
        for lane in range(self.step.lanes):
            # A lane's own time begins lane_lag ticks after that of the lane before it.
            begun = number - 1 >= (lane - back) * self.step.lane_lag // source.clock
            known = lane >= back and number in self._past[of] and (begun or self.step.lanes == 1)
            rows.append(self._past[of][number][lane - back] if known else first)
        return np.array(rows)

    def _draw(self, distribution: Distribution, parameters: Array, which: int, lane: int) -> float:
        index = self._ticks if self.step.lanes == 1 else self._position(self._ticks, lane)
        return draw(distribution, parameters, uniforms(max(index, 0), which, self.seed, self.stream), self.temperature)

    def _position(self, tick: int, lane: int) -> int:
        """Where among the audio the sample stands that `lane` makes at `tick`; negative before its start."""
        return (tick - lane * self.step.lane_lag) * self.step.lanes + lane

    def _in_order(self, emitted: Array) -> Array:
        """Audio in order of time from what each tick and lane emitted, `(ticks, lanes, size)`."""
        if self.step.lanes == 1:
            return emitted.reshape(-1)
        first = self._ticks - len(emitted)
        places = {
            self._position(first + tick, lane): emitted[tick, lane]
            for tick in range(len(emitted))
            for lane in range(self.step.lanes)
        }
        return np.concatenate([places[position] for position in sorted(places) if position >= 0])


def whole_lag(lag: float, most: int) -> int:
    """A lag as whole ticks from 1 to `most`: the nearest, halves up; 1 for what is not a number."""
    held = min(lag, float(most)) if lag > 1.0 else 1.0
    return int(held + 0.5)


def apply(function: Function, x: Array) -> Array:
    """An elementwise function."""
    match function:
        case "identity":
            return x
        case "relu":
            return np.maximum(x, 0.0)
        case "tanh":
            return np.tanh(x)
        case "sigmoid":
            return 0.5 + 0.5 * np.tanh(0.5 * x)
        case "exp":
            return np.exp(x)
        case "negate":
            return -x
        case _:
            assert_never(function)


def combine(function: BinaryFunction, x: Array, y: Array) -> Array:
    """An elementwise function of two vectors."""
    match function:
        case "add":
            return x + y
        case "subtract":
            return x - y
        case "multiply":
            return x * y
        case _:
            assert_never(function)
