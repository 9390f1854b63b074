"""The functions that an object file offers, around a module's `prime` and `run`: frames in, any number of samples out.

`stream_memory.py` says where they keep what they know of a stream.
"""

from __future__ import annotations

from wavejit.backends.draws import MIN_TEMPERATURE
from wavejit.backends.llvm.builder import F32, I32, I64, PTR, Function, Type, Value
from wavejit.backends.llvm.program import REQUEST
from wavejit.backends.llvm.stream_memory import PLACE, QUEUE_FRAMES, StreamMemory


class StreamFunctions:
    """Writes the functions `NAME_reset`, `NAME_push`, `NAME_pull` and `NAME_state_bytes`.

    Args:
        name: before each function's name.
        lanes: of a vector.
        pointer_bits: of C's `size_t`.
        weights, slots, silence: symbols of the packed weights, of `first_slots` one behind the other, and of a frame
            of zeros.
    """

    def __init__(
        self, name: str, memory: StreamMemory, lanes: int, pointer_bits: int, weights: str, slots: str, silence: str
    ) -> None:
        self.name, self.memory, self.lanes = name, memory, lanes
        self.size = Type(f"i{pointer_bits}")
        self.weights, self.slots, self.silence = weights, slots, silence

    def functions(self) -> list[Function]:
        offered = [self.state_bytes(), self.reset(), self.pull()]
        return [self.advance(), *offered, *([self.push()] if self.memory.frame_size else [])]

    def state_bytes(self) -> Function:
        k = self._offered("state_bytes", [])
        k.result = k.constant(self.size, 4 * self.memory.size)
        return k

    def reset(self) -> Function:
        """Put a stream at its beginning."""
        m = self.memory
        k = self._offered("reset", [("state", PTR), ("seed", I64), ("stream", I32), ("temperature", F32)])
        with k.loop(m.size, step=self.lanes) as loop:
            k.store(k.splat(0.0), k["state"], loop.index)
        before = 0
        for ref, slot in m.first_slots.items():
            ring, values = m.memory.rings[ref], k.at(Value(k, self.slots, PTR), before)
            with k.loop(ring.slots) as loop:
                copy(k, k.at(k["state"], loop.index * ring.stride + ring.offset), values, len(slot))
            before += len(slot)
        self._keep(k, "seed", k["seed"])
        self._keep(k, "stream", k["stream"].convert("zext", "i64"))
        # The comparison is false for NaN as well.
        warm = k["temperature"] > MIN_TEMPERATURE
        self._keep(k, "temperature", k.select(warm, k["temperature"], MIN_TEMPERATURE))
        self._keep(k, "ahead", k.int64(m.step.lookahead))
        return k

    def push(self) -> Function:
        """Take frames, or that many frames of silence; the result: how many there was room for."""
        m = self.memory
        k = self._offered("push", [("state", PTR), ("frames", PTR), ("count", self.size)])
        request = self._request(k)
        given, silence = k["frames"].differs_from_null(), Value(k, self.silence, PTR)

        def frame(index: Value) -> Value:
            return k.select(given, k.at(k["frames"], index * m.frame_size), silence)

        count, ahead = self._limited(k), self._kept(k, "ahead")
        primed = k.minimum(count, ahead)
        with k.loop(primed) as loop:
            self._enter(k, request, "prime", k.int64(1), frame(loop.index), Value(k, "null", PTR))
        self._keep(k, "ahead", ahead - primed)
        first, waiting = self._kept(k, "first"), self._kept(k, "waiting")
        queued = k.minimum(count - primed, QUEUE_FRAMES - waiting)
        with k.loop(queued) as loop:
            copy(k, self._slot(k, first + waiting + loop.index), frame(primed + loop.index), m.frame_size)
        self._keep(k, "waiting", waiting + queued)
        k.result = self._as_size(primed + queued)
        return k

    def pull(self) -> Function:
        """Make samples; the result: how many there were frames for."""
        m = self.memory
        k = self._offered("pull", [("state", PTR), ("samples", PTR), ("count", self.size)])
        count = self._limited(k)
        if m.samples_per_tick == 1:
            k.result = self._as_size(k.call_value("advance", I64, k["state"], k["samples"], count))
            return k
        # First what is left of a tick, then whole ticks, then perhaps the beginning of another.
        left, partial = self._kept(k, "left"), k.at(k["state"], m.partial)
        old = k.minimum(count, left)
        copy(k, k["samples"], k.at(partial, m.samples_per_tick - left), old)
        wanted = self._divided(k, count - old, m.samples_per_tick)
        after = k.at(k["samples"], old)
        whole = k.call_value("advance", I64, k["state"], after, wanted) * m.samples_per_tick
        rest = count - old - whole
        one = k.call_value("advance", I64, k["state"], partial, k.select(rest > 0, k.int64(1), k.int64(0)))
        new = rest * one
        copy(k, k.at(after, whole), partial, new)
        self._keep(k, "left", left - old + one * (m.samples_per_tick - rest))
        k.result = self._as_size(old + whole + new)
        return k

    def advance(self) -> Function:
        """Run up to `ticks` ticks, as far as frames reach; the result: how many."""
        m = self.memory
        k = Function("advance", [("state", PTR), ("samples", PTR), ("ticks", I64)], self.lanes)
        request, nothing = self._request(k), Value(k, "null", PTR)
        if not m.frame_size:
            self._enter(k, request, "run", k["ticks"], nothing, k["samples"])
            k.result = k["ticks"]
            return k
        first, waiting, rest = (self._kept(k, name) for name in ("first", "waiting", "rest"))
        begun = k.minimum(k["ticks"], rest)
        self._enter(k, request, "run", begun, nothing, k["samples"])
        with k.loop(waiting, carry=[begun, k.int64(0), rest - begun]) as loop:
            made, taken, rest = loop.carried
            ticks = k.minimum(k["ticks"] - made, m.frame_ticks)
            out = k.at(k["samples"], made * m.samples_per_tick)
            self._enter(k, request, "run", ticks, self._slot(k, first + loop.index), out)
            more = ticks > 0
            loop.next(made + ticks, taken + more.convert("zext", "i64"), k.select(more, m.frame_ticks - ticks, rest))
        made, taken, rest = loop.results
        self._keep(k, "first", self._wrapped(k, first + taken))
        self._keep(k, "waiting", waiting - taken)
        self._keep(k, "rest", rest)
        k.result = made
        return k

    def _offered(self, name: str, parameters: list[tuple[str, Type]]) -> Function:
        return Function(f"{self.name}_{name}", parameters, self.lanes, linkage="")

    def _request(self, k: Function) -> Value:
        """Room for a request; made once a call, outside of loops."""
        return k.emit(f"alloca [{len(REQUEST)} x i64], align 8", PTR)

    def _enter(self, k: Function, request: Value, entry: str, ticks: Value, frames: Value, out: Value) -> None:
        given = {
            "state": k["state"],
            "weights": Value(k, self.weights, PTR),
            "frames": frames,
            "ticks": ticks,
            "out": out,
        }
        for i, (name, type_) in enumerate(REQUEST):
            value = self._kept(k, name, type_) if name in PLACE else given.get(name, Value(k, "null", PTR))
            k.store(value, k.at(request, i, "i64"), align=8)
        k.call_void(entry, request)

    def _field(self, k: Function, name: str) -> Value:
        return k.at(k["state"], self.memory.place + 2 * PLACE.index(name))

    def _kept(self, k: Function, name: str, type_: Type = I64) -> Value:
        return k.load(self._field(k, name), 0, type_, align=8)

    def _keep(self, k: Function, name: str, value: Value) -> None:
        k.store(value, self._field(k, name), align=8)

    def _wrapped(self, k: Function, slot: Value) -> Value:
        return k.select(slot < QUEUE_FRAMES, slot, slot - QUEUE_FRAMES)

    def _slot(self, k: Function, slot: Value) -> Value:
        """Where the frame lies that is in this slot, or in the one that so many make after a turn."""
        return k.at(k["state"], self._wrapped(k, slot) * self.memory.frame_size + self.memory.queue)

    def _limited(self, k: Function) -> Value:
        """The count asked for, as a positive number of 64 bits."""
        if self.size != I64:
            return k["count"].convert("zext", "i64")
        return k.select(k["count"] < 0, k.int64(2**63 - 1), k["count"])

    def _divided(self, k: Function, x: Value, by: int) -> Value:
        """`x / by`, of a count: in the width of a count, which any processor divides in place by a constant."""
        narrow = self._as_size(x)
        quotient = k.emit(f"udiv {self.size} {narrow.name}, {by}", self.size)
        return quotient if self.size == I64 else quotient.convert("zext", "i64")

    def _as_size(self, x: Value) -> Value:
        return x if self.size == I64 else x.convert("trunc", self.size.scalar)


def copy(k: Function, out: Value, x: Value, count: Value | int) -> None:
    """Copy words."""
    with k.loop(count) as loop:
        k.store(k.load(x, loop.index, I32), out, loop.index)
