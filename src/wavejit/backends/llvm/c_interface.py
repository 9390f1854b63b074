"""What goes with an object file: its C header, and a program that makes sound with it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from string import Template

from wavejit.backends.llvm import c_text
from wavejit.backends.llvm.platforms import architecture


@dataclass(frozen=True)
class CInterface:
    """What header and example say.

    Attributes:
        name: what the functions begin with, a C identifier.
        triple: of the target.
        host: whether that is this machine's.
        notes: lines of the header's first comment.
        sample_rate: in Hz.
        hop_length: samples that a frame leads to; 0 for an unconditional model.
        frame_size: values of a frame; 0 for an unconditional model.
        lookahead: frames that must be there beyond the one that is spoken.
        queue_frames: that a stream holds.
        state_bytes: memory of one stream.
        alignment: of that memory, in bytes.
    """

    name: str
    triple: str
    host: bool
    notes: tuple[str, ...]
    sample_rate: int
    hop_length: int
    frame_size: int
    lookahead: int
    queue_frames: int
    state_bytes: int
    alignment: int

    @property
    def is_wasm(self) -> bool:
        return self.triple.startswith("wasm")

    @property
    def example_name(self) -> str:
        return f"{self.name}_example.{'mjs' if self.is_wasm else 'c'}"

    @property
    def build(self) -> str:
        """The command that makes a program of the files."""
        if self.is_wasm:
            exports = "--no-entry --export-dynamic --export=__heap_base"
            return f"wasm-ld {exports} {self.name}.o -o {self.name}.wasm"
        compiler = "cc" if self.host else cross_compiler(self.triple)
        return f"{compiler} -O2 {self.example_name} {self.name}.o -o {self.name}_example"

    @property
    def run(self) -> str:
        program = f"node {self.example_name}" if self.is_wasm else f"./{self.name}_example"
        return f"{program} < frames.f32 > audio.f32" if self.frame_size else f"{program} > audio.f32"

    def header(self) -> str:
        """C declarations; C++ may include them as well."""
        return self._filled(c_text.HEADER)

    def example(self) -> str:
        """A program that reads frames from standard input and writes samples to standard output, all float32."""
        if self.is_wasm:
            return self._filled(c_text.WASM_EXAMPLE if self.frame_size else c_text.WASM_UNCONDITIONAL)
        return self._filled(c_text.EXAMPLE if self.frame_size else c_text.UNCONDITIONAL)

    def _filled(self, text: str) -> str:
        words: dict[str, object] = {
            "name": self.name,
            "NAME": self.name.upper(),
            "notes": "\n".join(_comment(note) for note in self.notes),
            "constants": self._constants(),
            "build": self.build,
            "run": self.run,
            "push": Template(c_text.PUSH).substitute(name=self.name, NAME=self.name.upper()) if self.frame_size else "",
            "made": ": as many as there are frames for" if self.frame_size else ", always `count`",
            "sample_rate": self.sample_rate,
            "hop_length": self.hop_length,
            "frame_size": self.frame_size,
            "lookahead": self.lookahead,
            "alignment": self.alignment,
        }
        return Template(text).substitute(words)

    def _constants(self) -> str:
        rows: list[tuple[str, int, str]] = [("SAMPLE_RATE", self.sample_rate, "Hz")]
        if self.frame_size:
            rows += [
                ("HOP_LENGTH", self.hop_length, "samples that a frame leads to"),
                ("FRAME_SIZE", self.frame_size, "floats of a frame"),
                ("LOOKAHEAD", self.lookahead, "frames that must be there beyond the one that is spoken"),
                ("QUEUE_FRAMES", self.queue_frames, "frames that a stream holds until they are spoken"),
            ]
        rows.append(("STATE_BYTES", self.state_bytes, "memory of a stream"))
        return "\n".join(f"#define {self.name.upper()}_{what} {value} /* {meaning} */" for what, value, meaning in rows)


def cross_compiler(triple: str) -> str:
    """The usual name of a C compiler for another machine."""
    system = [part for part in triple.split("-")[1:] if part not in ("unknown", "pc")]
    if not {"linux", "none"} & set(system):
        return f"clang --target={triple}"
    return "-".join([architecture(triple).replace("armv7", "arm"), *system, "gcc"])


def _comment(text: str) -> str:
    """Lines of a comment, which the text cannot end."""
    return textwrap.fill(
        text.replace("*/", "* /"), 118, initial_indent=" * ", subsequent_indent=" *   ", break_on_hyphens=False
    )
