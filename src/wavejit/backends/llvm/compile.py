"""From LLVM's text to machine code, for this machine or another."""

from __future__ import annotations

import functools

import llvmlite
import llvmlite.binding as llvm

from wavejit.backends.llvm.isa import ISAS
from wavejit.ir.target import Target


@functools.cache
def _initialize() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


def version() -> str:
    """What generated code depends on besides its text."""
    return f"llvmlite {llvmlite.__version__}, LLVM {'.'.join(map(str, llvm.llvm_version_info))}"


def machine(target: Target) -> llvm.TargetMachine:
    """LLVM's code generator for a target."""
    _initialize()
    found = llvm.Target.from_triple(target.triple)
    return found.create_target_machine(
        cpu=target.cpu, features=target.features, opt=3, reloc="pic", codemodel="default"
    )


def module(text: str) -> llvm.ModuleRef:
    """Parse and verify a module; the generator is at fault if it is not well formed."""
    _initialize()
    parsed = llvm.parse_assembly(text)
    parsed.verify()
    return parsed


def object_code(text: str, target: Target) -> bytes:
    """An object file with the module's functions."""
    return machine(target).emit_object(module(text))


def assembly(text: str, target: Target) -> str:
    """The machine code as assembly text."""
    return machine(target).emit_assembly(module(text))


class Loaded:
    """Machine code in this process; the addresses hold while this object lives."""

    def __init__(self, name: str, code: bytes) -> None:
        _initialize()
        self._jit = llvm.create_lljit_compiler()
        library = llvm.JITLibraryBuilder().add_object_img(code)
        for function in ("run", "prime"):
            library.export_symbol(function)
        self._library = library.link(self._jit, name)

    def address(self, function: str) -> int:
        return self._library[function]


def host_target(isa: str | None = None) -> Target:
    """This machine, with the widest vectors that it has or with the instruction set `isa`.

    Raises:
        ValueError: an instruction set that this machine does not have, or that does not exist.
    """
    _initialize()
    triple = llvm.get_process_triple()
    features = {name for name, there in llvm.get_host_cpu_features().items() if there}
    possible = [
        candidate
        for candidate in ISAS.values()
        if triple.startswith(candidate.architecture) and candidate.needs <= features
    ]
    for candidate in possible:
        if isa in (None, candidate.name):
            # Generic code is for any machine of the architecture, so it names no processor.
            return candidate.target(triple, "" if candidate.name == "generic" else llvm.get_host_cpu_name())
    names = ", ".join(candidate.name for candidate in possible)
    raise ValueError(f"target is {isa!r}, expected one that this machine runs: {names}")
