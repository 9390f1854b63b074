"""Ahead of time: a lowered step as one object file that holds its weights and calls nothing, with its C header.

The object is the module that an engine would run, to the letter; its `prime` and `run` become functions of
`streaming.py`, and what an engine keeps beside the code (packed weights, a stream's first state) becomes constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wavejit.backends.llvm.c_interface import CInterface
from wavejit.backends.llvm.compile import host_triple, object_code
from wavejit.backends.llvm.functions import Accuracy
from wavejit.backends.llvm.isa import ISAS
from wavejit.backends.llvm.platforms import platform
from wavejit.backends.llvm.program import generate
from wavejit.backends.llvm.stream_memory import QUEUE_FRAMES, stream_memory
from wavejit.backends.llvm.streaming import StreamFunctions
from wavejit.ir.ops import Step
from wavejit.ir.target import Target

READ_PAST = 16  # words: a vector may reach past the last weight
ALIGNMENT = 64  # bytes, of constants and of a stream's memory
HEX = np.frombuffer(b"0123456789ABCDEF", np.uint8)


@dataclass(frozen=True)
class CLibrary:
    """A model for C: an object file, its header, and an example that uses both.

    Attributes:
        name: what its functions and files begin with.
        target: what the code is for.
        state_bytes: memory of one stream.
        build: the command that makes the example a program, run where the files are.
        files: their contents, by name; the object is the first.
    """

    name: str
    target: Target
    state_bytes: int
    build: str
    files: Mapping[str, bytes]


def compile_ahead(step: Step, target: Target, accuracy: Accuracy, name: str, notes: tuple[str, ...] = ()) -> CLibrary:
    """Compile a lowered step.

    Args:
        step: lowered for `target`.
        target: of a platform that `platforms.py` lists.
        accuracy: of elementwise functions.
        name: a C identifier.
        notes: lines about the model for the header's first comment.

    Raises:
        UnsupportedError: a step or a target that there is no code for.
    """
    assert step.packing is not None, "a lowered step is packed"
    memory, bits = stream_memory(step, target), platform(target.triple).pointer_bits
    program = generate(step, target, accuracy).text
    packed = np.concatenate([step.packing.data, np.zeros(READ_PAST, np.uint32)])
    slots = [np.zeros(0, np.uint32), *memory.first_slots.values()]
    constants = [
        constant("weights", packed),
        constant("slots", np.concatenate(slots)),
        constant("silence", np.zeros(memory.frame_size, np.uint32)),
    ]
    lanes, attributes = ISAS[target.isa].lanes, ISAS[target.isa].attributes
    functions = StreamFunctions(name, memory, lanes, bits, "@weights", "@slots", "@silence").functions()
    text = "\n\n".join([program, *constants, *(function.text(attributes) for function in functions)])
    code = object_code(text + "\n", target, hidden=("run", "prime"))
    says = CInterface(
        name=name,
        triple=target.triple,
        host=target.triple == host_triple(),
        notes=(f"Code: {target.describe()}, {step.precision} weights, {accuracy} functions.", *notes),
        sample_rate=step.sample_rate,
        hop_length=step.hop_length,
        frame_size=memory.frame_size,
        lookahead=step.lookahead,
        queue_frames=QUEUE_FRAMES,
        state_bytes=4 * memory.size,
        alignment=ALIGNMENT,
    )
    files = {
        f"{name}.o": code,
        f"{name}.h": says.header().encode(),
        says.example_name: says.example().encode(),
    }
    return CLibrary(name, target, 4 * memory.size, says.build, files)


def constant(name: str, words: NDArray[np.uint32]) -> str:
    """A constant of the module, little-endian, in LLVM's text."""
    content = np.frombuffer(words.astype("<u4").tobytes(), np.uint8)
    text = np.empty((content.size, 3), np.uint8)
    text[:, 0] = ord("\\")
    text[:, 1], text[:, 2] = HEX[content >> 4], HEX[content & 15]
    return f'@{name} = internal constant [{content.size} x i8] c"{text.tobytes().decode()}", align {ALIGNMENT}'
