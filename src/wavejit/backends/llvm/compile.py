"""From LLVM's text to machine code, for this machine or another."""

from __future__ import annotations

import functools

import llvmlite
import llvmlite.binding as llvm

from wavejit.backends.llvm.isa import ISA, ISAS
from wavejit.backends.llvm.program import UnsupportedError
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

    def __init__(self, name: str, code: bytes, functions: tuple[str, ...]) -> None:
        _initialize()
        self._jit = llvm.create_lljit_compiler()
        library = llvm.JITLibraryBuilder().add_object_img(code)
        for function in functions:
            library.export_symbol(function)
        self._library = library.link(self._jit, name)

    def address(self, function: str) -> int:
        return self._library[function]


def host_target(isa: str | None = None) -> Target:
    """This machine, with the widest vectors that it has or with the instruction set `isa`.

    Raises:
        UnsupportedError: an instruction set that this machine does not have, or that does not exist.
    """
    possible = host_isas()
    for candidate in possible:
        if isa in (None, candidate.name):
            # Generic code is for any machine of the architecture, so it names no processor.
            cpu = "" if candidate.name == "generic" else llvm.get_host_cpu_name()
            return candidate.target(llvm.get_process_triple(), cpu)
    names = ", ".join(candidate.name for candidate in possible)
    raise UnsupportedError(f"target is {isa!r}, expected one that this machine runs: {names}")


def host_isas() -> list[ISA]:
    """The instruction sets that this machine runs, widest vectors first."""
    _initialize()
    triple = llvm.get_process_triple()
    features = {name for name, there in llvm.get_host_cpu_features().items() if there}
    return [isa for isa in ISAS.values() if triple.startswith(isa.architecture) and isa.needs <= features]


def target_of(name: str | None) -> Target:
    """The target that `name` stands for: None for this machine, an instruction set of it, or an LLVM triple.

    Code for a triple uses what every processor of that architecture has.

    Raises:
        UnsupportedError: neither, or an architecture that LLVM cannot write code for here.
    """
    if name is None or "-" not in name:
        return host_target(name)
    _initialize()
    try:
        llvm.Target.from_triple(name)
    except RuntimeError:
        raise UnsupportedError(f"target is {name!r}, which LLVM knows no architecture for") from None
    architecture = name.split("-")[0]
    return ISAS["neon" if architecture == "aarch64" else "generic"].target(name)
