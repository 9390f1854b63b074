"""From LLVM's text to machine code, for this machine or another."""

from __future__ import annotations

import functools

import llvmlite
import llvmlite.binding as llvm

from wavejit.backends.llvm.isa import ISA, ISAS
from wavejit.backends.llvm.permission import tiles_permitted
from wavejit.backends.llvm.platforms import PLATFORMS, architecture, platform, platform_target
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
    # WebAssembly has no relative addresses: what is to be moved would have to be told where it is.
    reloc = "static" if target.triple.startswith("wasm") else "pic"
    return found.create_target_machine(
        cpu=target.cpu, features=target.features, opt=3, reloc=reloc, codemodel="default"
    )


def module(text: str) -> llvm.ModuleRef:
    """Parse and verify a module; the generator is at fault if it is not well formed."""
    _initialize()
    parsed = llvm.parse_assembly(text)
    parsed.verify()
    return parsed


def object_code(text: str, target: Target, hidden: tuple[str, ...] = ()) -> bytes:
    """An object file with the module's functions; the `hidden` ones can be called from within it only."""
    parsed = module(text)
    for function in hidden:
        parsed.get_function(function).linkage = "internal"
    return machine(target).emit_object(parsed)


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


def host_triple() -> str:
    """LLVM's name of this machine's architecture and system."""
    return llvm.get_process_triple()


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
            return candidate.target(host_triple(), cpu)
    names = ", ".join(candidate.name for candidate in possible)
    raise UnsupportedError(f"target is {isa!r}, expected one that this machine runs: {names}")


def host_isas() -> list[ISA]:
    """The instruction sets that this machine runs, widest vectors first."""
    _initialize()
    triple = host_triple()
    features = {name for name, there in llvm.get_host_cpu_features().items() if there}
    possible = [isa for isa in ISAS.values() if triple.startswith(isa.architecture) and isa.needs <= features]
    return [isa for isa in possible if isa.tiles is None or tiles_permitted()]


def permit(target: Target) -> None:
    """Ask the system for what code for a target wants to use.

    Raises:
        UnsupportedError: it refuses.
    """
    if ISAS[target.isa].tiles is not None and not tiles_permitted():
        raise UnsupportedError(f"target is {target.isa!r}, expected one that this system permits")


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
    return platform_target(name) if architecture(name) in PLATFORMS else ISAS["generic"].target(name)


def portable_target(name: str | None, isa: str | None = None) -> Target:
    """The target of an object file, which more machines than this one are to run: it names no processor.

    Args:
        name: an LLVM triple; an instruction set, for systems like this one; None for this system and the widest
            vectors that it has.
        isa: the instruction set for a triple; None for what every processor of the architecture has.

    Raises:
        UnsupportedError: an architecture or an instruction set that code is not written for.
    """
    if name is not None and "-" in name:
        return platform_target(name, isa)
    if name is not None and isa is not None:
        raise UnsupportedError(f"isa is {isa!r} and target is {name!r}, expected one instruction set")
    here = host_triple()
    known = [each.name for each in platform(here).isas]
    if name is not None and name not in known:
        triples = ", ".join(f"{each}-…" for each in PLATFORMS)
        raise UnsupportedError(
            f"target is {name!r}, expected an instruction set ({', '.join(known)}) or a triple ({triples})"
        )
    return platform_target(here, name or isa or next(each.name for each in host_isas() if each.name in known))
