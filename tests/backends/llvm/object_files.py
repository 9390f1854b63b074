"""What an ELF object says of itself: its symbols and sections."""

from __future__ import annotations

import struct
from dataclasses import dataclass

WRITABLE, ALLOCATED = 1, 2
SYMBOLS, GLOBAL = 2, 1


@dataclass(frozen=True)
class Section:
    name: str
    kind: int
    flags: int
    content: bytes
    link: int
    alignment: int


@dataclass(frozen=True)
class ObjectFile:
    """The sections, and the names of global symbols that are defined and that are not."""

    sections: list[Section]
    defined: set[str]
    undefined: set[str]


def read_elf(code: bytes) -> ObjectFile:
    """Read a little-endian ELF object of either width."""
    assert code[:4] == b"\x7fELF"
    assert code[5] == 1
    wide = code[4] == 2
    (table,) = struct.unpack_from("<Q" if wide else "<I", code, 40 if wide else 32)
    entry, count, names_at = struct.unpack_from("<3H", code, 58 if wide else 46)
    rows = [struct.unpack_from("<IIQQQQIIQQ" if wide else "<10I", code, table + i * entry) for i in range(count)]
    names = rows[names_at]

    def text(strings: bytes, at: int) -> str:
        return strings[at : strings.index(b"\0", at)].decode()

    strings = code[names[4] : names[4] + names[5]]
    sections = [
        Section(text(strings, row[0]), row[1], row[2], code[row[4] : row[4] + row[5]], row[6], row[8]) for row in rows
    ]
    defined: set[str] = set()
    undefined: set[str] = set()
    for section in sections:
        if section.kind == SYMBOLS:
            for at in range(0, len(section.content), 24 if wide else 16):
                if wide:
                    name, info, _, home, _, _ = struct.unpack_from("<IBBHQQ", section.content, at)
                else:
                    name, _, _, info, _, home = struct.unpack_from("<IIIBBH", section.content, at)
                if info >> 4 == GLOBAL:
                    (defined if home else undefined).add(text(sections[section.link].content, name))
    return ObjectFile(sections, defined, undefined)
