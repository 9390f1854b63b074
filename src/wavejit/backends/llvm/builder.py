"""A small typed builder of LLVM's textual IR, so that kernels read as pseudo-code.

    k = Function("axpy", [("x", PTR), ("y", PTR), ("n", I64)], lanes=8)
    with k.loop(k["n"]) as i:
        at = i * 8
        k.store(k.load(k["x"], at) * 2.0 + k.load(k["y"], at), k["y"], at)
    text = k.text()

Numbers in expressions become constants of the other operand's type, repeated over its lanes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

NARROWEST = 4  # words of the least vector that processors have
SCALAR_BYTES = {"float": 4, "i32": 4, "i64": 8, "i16": 2, "i8": 1}


@dataclass(frozen=True)
class Type:
    """A scalar type, or a vector of it where `lanes` is not 0."""

    scalar: str
    lanes: int = 0

    def __str__(self) -> str:
        return f"<{self.lanes} x {self.scalar}>" if self.lanes else self.scalar

    @property
    def mangled(self) -> str:
        """As intrinsics name it."""
        scalar = "f32" if self.scalar == "float" else self.scalar
        return f"v{self.lanes}{scalar}" if self.lanes else scalar

    @property
    def is_float(self) -> bool:
        return self.scalar == "float"

    def of(self, scalar: str) -> Type:
        return replace(self, scalar=scalar)


F32, I8, I16, I32, I64 = Type("float"), Type("i8"), Type("i16"), Type("i32"), Type("i64")
I1, PTR = Type("i1"), Type("ptr")


@dataclass(frozen=True, eq=False)
class Value:
    """An SSA value; the usual operators, for integers modulo their width."""

    k: Function
    name: str
    type: Type

    def _binary(self, other: Value | float, floating: str, integer: str, swap: bool = False) -> Value:
        op = floating if self.type.is_float else integer
        other = self.k.constant(self.type, other) if not isinstance(other, Value) else other
        a, b = (other, self) if swap else (self, other)
        return self.k.emit(f"{op} {self.type} {a.name}, {b.name}", self.type)

    def __add__(self, other: Value | float) -> Value:
        return self._binary(other, "fadd", "add")

    __radd__ = __add__

    def __sub__(self, other: Value | float) -> Value:
        return self._binary(other, "fsub", "sub")

    def __rsub__(self, other: float) -> Value:
        return self._binary(other, "fsub", "sub", swap=True)

    def __mul__(self, other: Value | float) -> Value:
        return self._binary(other, "fmul", "mul")

    __rmul__ = __mul__

    def __truediv__(self, other: Value | float) -> Value:
        return self._binary(other, "fdiv", "sdiv")

    def __rtruediv__(self, other: float) -> Value:
        return self._binary(other, "fdiv", "sdiv", swap=True)

    def __neg__(self) -> Value:
        return self.k.emit(f"fneg {self.type} {self.name}", self.type)

    def __and__(self, other: Value | int) -> Value:
        return self._binary(other, "", "and")

    def __or__(self, other: Value | int) -> Value:
        return self._binary(other, "", "or")

    def __xor__(self, other: Value | int) -> Value:
        return self._binary(other, "", "xor")

    def __lshift__(self, other: Value | int) -> Value:
        return self._binary(other, "", "shl")

    def __rshift__(self, other: Value | int) -> Value:
        """Logical: zeros come in."""
        return self._binary(other, "", "lshr")

    def _compare(self, other: Value | float, floating: str, integer: str) -> Value:
        test = f"fcmp {floating}" if self.type.is_float else f"icmp {integer}"
        return replace(self._binary(other, test, test), type=self.type.of("i1"))

    def __lt__(self, other: Value | float) -> Value:
        return self._compare(other, "olt", "slt")

    def __le__(self, other: Value | float) -> Value:
        return self._compare(other, "ole", "sle")

    def __gt__(self, other: Value | float) -> Value:
        return self._compare(other, "ogt", "sgt")

    def equals(self, other: Value | float) -> Value:
        return self._compare(other, "oeq", "eq")

    def differs(self, other: Value | float) -> Value:
        return self._compare(other, "one", "ne")

    def differs_from_null(self) -> Value:
        return self.k.emit(f"icmp ne ptr {self.name}, null", I1)

    def convert(self, op: str, scalar: str) -> Value:
        """An LLVM conversion, such as `sitofp` to float."""
        to = self.type.of(scalar)
        return self.k.emit(f"{op} {self.type} {self.name} to {to}", to)


def digest(content: bytes) -> str:
    """What tells functions of one module apart whose names would be the same."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()


class Loop:
    """A running loop: `index`, what is `carried` into this round, and after it `results`."""

    def __init__(self, index: Value, carried: list[Value]) -> None:
        self.index = index
        self.carried = carried
        self.results = carried  # of a loop, the values carried out are those carried in to the last test
        self.next_values: list[Value] | None = None

    def next(self, *values: Value) -> None:
        """What the next round is to carry."""
        self.next_values = list(values)


class Function:
    """One function being written.

    `lanes` is the width of the vectors that `load` and `splat` make; `look_up` the instruction by which each lane of
    one takes any of the floats of two others, or "".
    """

    def __init__(
        self,
        name: str,
        parameters: Sequence[tuple[str, Type]],
        lanes: int,
        fused: bool = False,
        linkage: str = "internal",
        look_up: str = "",
    ) -> None:
        self.name, self.lanes, self.fused, self.look_up = name, lanes, fused, look_up
        self._parameters = list(parameters)
        self._linkage = linkage
        self._body: list[str] = []
        self._count = 0
        self._block = "entry"
        self.declarations: set[str] = set()
        self.result: Value | None = None  # what the function returns, if anything
        self.vector = Type("float", lanes)

    def __getitem__(self, name: str) -> Value:
        """A parameter."""
        return Value(self, f"%{name}", dict(self._parameters)[name])

    def text(self, attributes: str = "") -> str:
        """The whole definition."""
        pointer = "ptr noalias" if self._linkage == "internal" else "ptr"
        parameters = ", ".join(f"{pointer if t == PTR else t} %{n}" for n, t in self._parameters)
        type_ = self.result.type if self.result else "void"
        result = f"{type_} {self.result.name}" if self.result else "void"
        head = f"define {self._linkage} {type_} @{self.name}({parameters}) noinline nounwind {attributes} {{"
        return "\n".join([head.replace("define  ", "define "), "entry:", *self._body, f"  ret {result}", "}"])

    def emit(self, text: str, type_: Type) -> Value:
        """Append an instruction that makes a value."""
        name = f"%v{self._count}"
        self._count += 1
        self._body.append(f"  {name} = {text}")
        return Value(self, name, type_)

    def do(self, text: str) -> None:
        """Append an instruction that makes nothing."""
        self._body.append(f"  {text}")

    def comment(self, text: str) -> None:
        self._body.append(f"  ; {text}")

    def constant(self, type_: Type, number: float) -> Value:
        if type_.is_float:
            # LLVM writes a float as the double of the same value.
            (exact,) = struct.unpack("<f", struct.pack("<f", number))
            text = f"0x{struct.unpack('<Q', struct.pack('<d', exact))[0]:016X}"
        else:
            bits = 8 * SCALAR_BYTES[type_.scalar]
            text = str((int(number) + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1)))
        return Value(self, f"splat ({type_.scalar} {text})" if type_.lanes else text, type_)

    def splat(self, number: float) -> Value:
        """A vector of one number."""
        return self.constant(self.vector, number)

    def int64(self, number: int) -> Value:
        return self.constant(I64, number)

    def at(self, base: Value, index: Value | int, scalar: str = "float") -> Value:
        """The address of element `index` behind `base`."""
        if isinstance(index, int):
            if index == 0:
                return base
            index = self.int64(index)
        return self.emit(f"getelementptr inbounds {scalar}, ptr {base.name}, i64 {index.name}", PTR)

    def room(self, elements: int) -> Value:
        """Memory for so many float32 while the function runs; asked for before any loop."""
        return self.emit(f"alloca [{elements} x float], align 64", PTR)

    def load(self, base: Value, index: Value | int = 0, type_: Type | None = None, align: int = 4) -> Value:
        """Load a vector (or `type_`) at element `index`; only `align` bytes of alignment are relied on."""
        type_ = type_ or self.vector
        pointer = self.at(base, index, type_.scalar)
        return self.emit(f"load {type_}, ptr {pointer.name}, align {align}", type_)

    def store(self, value: Value, base: Value, index: Value | int = 0, align: int = 4) -> None:
        pointer = self.at(base, index, value.type.scalar)
        self.do(f"store {value.type} {value.name}, ptr {pointer.name}, align {align}")

    def gather(self, base: Value, indices: Value) -> Value:
        """The floats behind `base` that the lanes of `indices` name; as the processor does that best."""
        lanes = indices.type.lanes
        pointers, mask, to = f"<{lanes} x ptr>", f"<{lanes} x i1>", indices.type.of("float")
        at = self.emit(f"getelementptr inbounds float, ptr {base.name}, {indices.type} {indices.name}", PTR)
        name = f"llvm.masked.gather.{to.mangled}.v{lanes}p0"
        self.declarations.add(f"declare {to} @{name}({pointers}, i32 immarg, {mask}, {to})")
        given = f"{pointers} {at.name}, i32 4, {mask} splat (i1 true), {to} poison"
        return self.emit(f"call {to} @{name}({given})", to)

    def fetch(self, pointer: Value) -> None:
        """Ask for the cache line that will be read there soon."""
        self.declarations.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        self.do(f"call void @llvm.prefetch.p0(ptr {pointer.name}, i32 0, i32 3, i32 1)")

    def broadcast(self, scalar: Value, lanes: int | None = None) -> Value:
        """A vector of one value."""
        to = replace(scalar.type, lanes=lanes or self.lanes)
        one = self.emit(f"insertelement {to} poison, {scalar.type} {scalar.name}, i64 0", to)
        return self.shuffle(one, [0] * to.lanes)

    def shuffle(self, x: Value, order: Sequence[int], other: Value | None = None) -> Value:
        """Lanes of `x` (and behind them those of `other`) in another order."""
        mask = "<" + ", ".join(f"i32 {i}" for i in order) + ">"
        second = other.name if other else "poison"
        to = replace(x.type, lanes=len(order))
        return self.emit(f"shufflevector {x.type} {x.name}, {x.type} {second}, <{len(order)} x i32> {mask}", to)

    def joined(self, parts: Sequence[Value]) -> Value:
        """Vectors one behind the other as one, which operations go through side by side; a power of two of them."""
        while len(parts) > 1:
            both = range(2 * parts[0].type.lanes)
            parts = [self.shuffle(x, both, y) for x, y in zip(parts[::2], parts[1::2], strict=True)]
        return parts[0]

    def parted(self, x: Value, count: int) -> list[Value]:
        """What `joined` joined."""
        lanes = x.type.lanes // count
        return [self.shuffle(x, range(i * lanes, (i + 1) * lanes)) for i in range(count)] if count > 1 else [x]

    def lane_numbers(self, type_: Type) -> Value:
        numbers = ", ".join(
            f"{type_.scalar} {self.constant(replace(type_, lanes=0), i).name}" for i in range(type_.lanes)
        )
        return Value(self, f"<{numbers}>", type_)

    def call(self, name: str, type_: Type, *arguments: Value) -> Value:
        """Call an LLVM intrinsic."""
        self._declare(name, type_, arguments)
        return self.emit(f"call {type_} @{name}({_listed(arguments)})", type_)

    def call_intrinsic(self, name: str, *arguments: Value) -> None:
        """Call an LLVM intrinsic that gives nothing back."""
        self._declare(name, Type("void"), arguments)
        self.call_void(name, *arguments)

    def held(self, values: Sequence[Value], register: str) -> list[Value]:
        """The same vectors, all of them made by now and kept in registers.

        What comes before in the text is not put off, so that what it alone reads needs no register from here on.

        Args:
            register: LLVM's letter for a vector register; "" where there is none, and nothing is held.
        """
        if not register:
            return list(values)
        types = ", ".join(str(x.type) for x in values)
        constraints = ",".join([f"={register}"] * len(values) + [str(i) for i in range(len(values))])
        to = Type(f"{{{types}}}" if len(values) > 1 else types)
        all_ = self.emit(f'call {to} asm "", "{constraints}"({_listed(values)})', to)
        if len(values) == 1:
            return [replace(all_, type=values[0].type)]
        return [self.emit(f"extractvalue {to} {all_.name}, {i}", x.type) for i, x in enumerate(values)]

    def mask(self, lanes: Sequence[bool], register: str) -> Value:
        """Which lanes to take from one of two vectors (`select`).

        Args:
            register: LLVM's letter for a register of such masks, to keep it there: LLVM would make shuffles of what it
                knows; "" where there is none.
        """
        bits, to = Type(f"i{len(lanes)}"), Type("i1", len(lanes))
        number = self.constant(bits, sum(int(lane) << i for i, lane in enumerate(lanes)))
        (held,) = self.held([number], register)
        return self.emit(f"bitcast {bits} {held.name} to {to}", to)

    def call_void(self, name: str, *arguments: Value) -> None:
        """Call another function of the module."""
        self.do(f"call void @{name}({_listed(arguments)})")

    def tail_call(self, name: str, *arguments: Value) -> None:
        """The same as the last thing that is done, with nothing to come back to."""
        self.do(f"tail call void @{name}({_listed(arguments)})")

    def call_value(self, name: str, type_: Type, *arguments: Value) -> Value:
        """Call another function of the module for its result."""
        return self.emit(f"call {type_} @{name}({_listed(arguments)})", type_)

    def multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        """`a * b + c`, rounded once where the processor can."""
        if not self.fused:
            return a * b + c
        return self.call(f"llvm.fma.{a.type.mangled}", a.type, a, b, c)

    def looked_up(self, table: Sequence[float], index: Value) -> Value:
        """The numbers of a table, as long as two vectors, that the low bits of `index` name."""
        assert len(table) == 2 * self.lanes, "a table fills two vectors"
        halves = [self.vector_of(table[: self.lanes]), self.vector_of(table[self.lanes :])]
        parts = self.parted(index, index.type.lanes // self.lanes)
        return self.joined([self.call(self.look_up, self.vector, halves[0], part, halves[1]) for part in parts])

    def integers(self, numbers: Sequence[int]) -> Value:
        """A vector of these integers of 32 bits."""
        elements = ", ".join(f"i32 {number}" for number in numbers)
        return Value(self, f"<{elements}>", Type("i32", len(numbers)))

    def vector_of(self, numbers: Sequence[float]) -> Value:
        """A vector of these float32."""
        elements = ", ".join(f"float {self.constant(F32, number).name}" for number in numbers)
        return Value(self, f"<{elements}>", self.vector)

    def maximum(self, a: Value, b: Value | float) -> Value:
        return self.select(self._as(b, a) > a, b, a)

    def minimum(self, a: Value, b: Value | float) -> Value:
        return self.select(self._as(b, a) < a, b, a)

    def _as(self, x: Value | float, like: Value) -> Value:
        return x if isinstance(x, Value) else self.constant(like.type, x)

    def select(self, test: Value, yes: Value | float, no: Value | float) -> Value:
        if not isinstance(yes, Value):
            assert isinstance(no, Value)
            yes = self.constant(no.type, yes)
        if not isinstance(no, Value):
            no = self.constant(yes.type, no)
        return self.emit(f"select {test.type} {test.name}, {yes.type} {yes.name}, {no.type} {no.name}", yes.type)

    def bitcast(self, x: Value, scalar: str) -> Value:
        return x.convert("bitcast", scalar)

    def reduce(self, operation: str, x: Value) -> Value:
        """The sum (`add`, in a fixed tree), or `max`, of all lanes, as a scalar."""
        half = x.type.lanes // 2
        while half:
            if half > NARROWEST // 2:
                low, high = self.shuffle(x, range(half)), self.shuffle(x, range(half, 2 * half))
            else:  # less than a vector would be taken apart into scalars
                low, high = x, self.shuffle(x, [(i + half) % x.type.lanes for i in range(x.type.lanes)])
            x = low + high if operation == "add" else self.maximum(low, high)
            half //= 2
        scalar = replace(x.type, lanes=0)
        return self.emit(f"extractelement {x.type} {x.name}, i64 0", scalar)

    @contextmanager
    def loop(self, count: Value | int, carry: Sequence[Value] = (), step: int = 1) -> Generator[Loop, None, None]:
        """Run the body for index 0, `step`, … below `count`, carrying values from round to round."""
        count = self.int64(count) if isinstance(count, int) else count
        label = f"loop{self._count}"
        self._count += 1
        before = self._block
        self.do(f"br label %{label}.test")
        self._start(f"{label}.test")
        heads: list[tuple[int, str, Type, str]] = []
        carried: list[Value] = []
        for start in (self.int64(0), *carry):
            value = self.emit("", start.type)
            heads.append((len(self._body) - 1, value.name, start.type, start.name))
            carried.append(value)
        index = carried.pop(0)
        more = index < count
        self.do(f"br i1 {more.name}, label %{label}.body, label %{label}.end")
        self._start(f"{label}.body")
        loop = Loop(index, carried)
        yield loop
        following = [index + step, *(loop.next_values if loop.next_values is not None else carried)]
        assert len(following) == len(heads), "a loop must say what it carries on"
        last = self._block
        self.do(f"br label %{label}.test")
        for (line, name, type_, start), after in zip(heads, following, strict=True):
            self._body[line] = f"  {name} = phi {type_} [ {start}, %{before} ], [ {after.name}, %{last} ]"
        self._start(f"{label}.end")

    def written_out(
        self, most: int, count: Value, carry: Sequence[Value], body: Callable[[int, list[Value]], list[Value]]
    ) -> list[Value]:
        """Run `body(i, carried)` for i = 0, 1, … below `count`, at most `most` times, without a loop's bookkeeping."""
        label = f"out{self._count}"
        self._count += 1
        carried, leaving = list(carry), [list[str]() for _ in carry]
        for i in range(most + 1):
            for values, value in zip(leaving, carried, strict=True):
                values.append(f"[ {value.name}, %{self._block} ]")
            if i == most:
                self.do(f"br label %{label}.end")
                break
            more = self.constant(count.type, i) < count
            self.do(f"br i1 {more.name}, label %{label}.{i}, label %{label}.end")
            self._start(f"{label}.{i}")
            carried = body(i, carried)
        self._start(f"{label}.end")
        return [
            self.emit(f"phi {start.type} {', '.join(values)}", start.type)
            for start, values in zip(carry, leaving, strict=True)
        ]

    @contextmanager
    def when(self, test: Value) -> Generator[None, None, None]:
        """Run the body where `test` holds."""
        label = f"when{self._count}"
        self._count += 1
        self.do(f"br i1 {test.name}, label %{label}.body, label %{label}.end")
        self._start(f"{label}.body")
        yield
        self.do(f"br label %{label}.end")
        self._start(f"{label}.end")

    @contextmanager
    def spin(self, rounds: int, waiting: Callable[[], Value]) -> Generator[None, None, None]:
        """Go on when `waiting` no longer holds; run the body after every so many rounds of asking."""
        label = f"spin{self._count}"
        self._count += 1
        before = self._block
        self.do(f"br label %{label}.test")
        self._start(f"{label}.test")
        count = self.emit("", I64)
        line = len(self._body) - 1
        still = waiting()
        self.do(f"br i1 {still.name}, label %{label}.again, label %{label}.end")
        self._start(f"{label}.again")
        more = count + 1
        self.do(f"br i1 {more.equals(rounds).name}, label %{label}.body, label %{label}.test")
        self._start(f"{label}.body")
        yield
        self.do(f"br label %{label}.test")
        heads = f"[ 0, %{before} ], [ {more.name}, %{label}.again ], [ 0, %{self._block} ]"
        self._body[line] = f"  {count.name} = phi i64 {heads}"
        self._start(f"{label}.end")

    def load_acquire(self, pointer: Value) -> Value:
        """Load 64 bits that another thread stores; what it stored before is seen from here on."""
        return self.emit(f"load atomic i64, ptr {pointer.name} acquire, align 8", I64)

    def store_release(self, value: Value, pointer: Value) -> None:
        """Store 64 bits that another thread loads; what was stored before is seen with it."""
        self.do(f"store atomic i64 {value.name}, ptr {pointer.name} release, align 8")

    def call_address(self, function: Value) -> None:
        """Call a function by its address, without arguments or result."""
        self.do(f"call void {function.name}()")

    def _start(self, label: str) -> None:
        self._block = label
        self._body.append(f"{label}:")

    def _declare(self, name: str, type_: Type, arguments: Sequence[Value]) -> None:
        self.declarations.add(f"declare {type_} @{name}({', '.join(str(a.type) for a in arguments)})")


def _listed(arguments: Sequence[Value]) -> str:
    return ", ".join(f"{a.type} {a.name}" for a in arguments)
