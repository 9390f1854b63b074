"""From a kernel's text to machine code, by NVRTC; and what the machine code shows of itself. Needs no GPU."""

from __future__ import annotations

import io
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from wavejit.errors import InputError

INSTALL = 'expected `pip install "wavejit[cuda]"`'


def module(name: str) -> Any:
    """A module of NVIDIA's packages, which have no types.

    Raises:
        InputError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(f"the cuda backend needs {name}, found: {error}; {INSTALL}") from None


class SpillError(InputError):
    """A kernel needs more registers than there are."""


@dataclass(frozen=True)
class Compiled:
    """Machine code for one architecture.

    Attributes:
        cubin: the code.
        registers: of a thread of the loop's kernel.
        spilled_bytes: that a thread stores in memory for want of registers, in any kernel.
        stack_bytes: of a thread, for whatever else registers cannot hold.
    """

    cubin: bytes
    registers: int
    spilled_bytes: int
    stack_bytes: int


def compile_text(text: str, arch: str) -> Compiled:
    """Compile CUDA C++.

    Args:
        text: the kernels with their primitives.
        arch: such as "sm_90a".

    Raises:
        InputError: NVRTC is not installed.
        SpillError: a kernel spills registers.
    """
    cuda = module("cuda.core")
    log = io.StringIO()
    options = cuda.ProgramOptions(name="kernel.cu", std="c++17", arch=arch, ptxas_options=["-v"])
    code = cuda.Program(text, "c++", options).compile("cubin", logs=log).code
    assert isinstance(code, bytes), "a cubin is bytes"
    found = read_log(log.getvalue(), code)
    if found.spilled_bytes or found.stack_bytes:
        raise SpillError(
            f"the kernel for {arch} spills {found.spilled_bytes} bytes of registers and keeps {found.stack_bytes} on "
            "the stack, expected none; fewer tiles in registers would help (`Device.register_tiles`)"
        )
    return found


def compiler_version() -> str:
    """NVRTC's, which determines the code as its text does."""
    _, major, minor = module("cuda.bindings.nvrtc").nvrtcVersion()
    return f"NVRTC {major}.{minor}"


def read_log(log: str, cubin: bytes = b"") -> Compiled:
    """What ptxas says of registers and spills."""
    of_loop = log.split("entry function 'ticks'")[-1]
    registers = re.search(r"Used (\d+) registers", of_loop)
    frames = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", log)
    if registers is None or not frames:
        raise AssertionError(f"ptxas says nothing of registers: {log[-500:]}")
    spilled = sum(int(stores) for _, stores, _ in frames)
    return Compiled(cubin, int(registers.group(1)), spilled, sum(int(stack) for stack, _, _ in frames))


def disassembly(cubin: bytes) -> str:
    """The machine's instructions.

    Raises:
        InputError: nvdisasm is not installed.
    """
    tool = module("cuda.pathfinder").find_nvidia_binary_utility("nvdisasm")
    if tool is None:
        raise InputError(f"disassembly needs nvdisasm; {INSTALL}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        run = subprocess.run([tool, "-c", str(path)], check=True, capture_output=True)
    return run.stdout.decode("utf-8", "replace")


def weight_loads_in_loop(assembly: str) -> int:
    """How many instructions inside the loops over ticks load weights from global memory.

    Weights alone are loaded as constants (`ld.global.nc`). A loop over ticks is one that has a team's barrier inside;
    the copies at the begin of a launch have none.
    """
    loads = 0
    for function in re.split(r"^\s*\.section\s+\.text\.", assembly, flags=re.MULTILINE)[1:]:
        if function.startswith("ticks"):
            for lines in _loops(function.splitlines()):
                if any("BAR.SYNC" in line for line in lines):
                    loads += sum("LDG" in line and "CONSTANT" in line for line in lines)
    return loads


def _loops(lines: list[str]) -> list[list[str]]:
    """The instructions of each outermost loop: what can be reached from itself, wherever the compiler put it."""
    blocks: list[list[str]] = [[]]
    labels: dict[str, int] = {}
    for line in lines:
        label = re.match(r"(\.L_\w+):", line)
        if label:
            blocks.append([])
            labels[label.group(1)] = len(blocks) - 1
        elif re.match(r"\s+/\*[0-9a-f]{4,}\*/", line):
            blocks[-1].append(line)
            if re.search(r"\b(BRA|EXIT|BRX|RET)\b", line):
                blocks.append([])
    graph = DirectedGraph({i: _successors(i, block, labels, len(blocks)) for i, block in enumerate(blocks)})
    return [[line for i in sorted(loop) for line in blocks[i]] for loop in graph.loops()]


def _successors(index: int, block: list[str], labels: dict[str, int], count: int) -> list[int]:
    """Where control can go from a block."""
    last = block[-1] if block else ""
    found = [labels[name] for name in re.findall(r"(\.L_\w+)", last) if name in labels] if "BRA" in last else []
    conditional = re.search(r"\*/\s+@", last) is not None
    falls_through = conditional or not re.search(r"\b(BRA|EXIT|BRX|RET)\b", last)
    return found + ([index + 1] if falls_through and index + 1 < count else [])


class DirectedGraph:
    """Numbered nodes and where each leads."""

    def __init__(self, successors: Mapping[int, Sequence[int]]) -> None:
        self._successors = successors

    def loops(self) -> list[set[int]]:
        """The strongly connected components that hold a cycle (Tarjan 1972), found without recursion."""
        index: dict[int, int] = {}
        low: dict[int, int] = {}
        stack: list[int] = []
        on_stack: set[int] = set()
        found: list[set[int]] = []
        for root in self._successors:
            if root in index:
                continue
            work = [(root, iter(self._successors[root]))]
            index[root] = low[root] = len(index)
            stack.append(root)
            on_stack.add(root)
            while work:
                node, following = work[-1]
                for other in following:
                    if other not in index:
                        index[other] = low[other] = len(index)
                        stack.append(other)
                        on_stack.add(other)
                        work.append((other, iter(self._successors[other])))
                        break
                    if other in on_stack:
                        low[node] = min(low[node], index[other])
                else:
                    work.pop()
                    if work:
                        low[work[-1][0]] = min(low[work[-1][0]], low[node])
                    if low[node] == index[node]:
                        component = set(stack[stack.index(node) :])
                        del stack[stack.index(node) :]
                        on_stack -= component
                        if len(component) > 1 or node in self._successors[node]:
                            found.append(component)
        return found
