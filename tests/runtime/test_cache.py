"""The cache of compiled code: cold and warm, damaged and unwritable, and several processes at once."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.cases import WIDE, one_pole
from wavejit.runtime import cache
from wavejit.runtime.cache import cached
from wavejit.runtime.engine import Engine

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WAVEJIT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    """Makes code, and counts how often."""

    def __init__(self, code: bytes = b"machine code") -> None:
        self.code, self.count = code, 0

    def __call__(self) -> bytes:
        self.count += 1
        return self.code


def entries(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_cold_then_warm(folder: Path) -> None:
    make = Maker()
    assert cached(("text", "target"), make) == (b"machine code", False)
    assert cached(("text", "target"), make) == (b"machine code", True)
    assert make.count == 1
    assert [path.suffix for path in entries(folder)] == [".o"], "nothing half-written is left"


@pytest.mark.parametrize("other", [("text2", "target"), ("text", "target2"), ("text",), ("texttarget",), ("", "x")])
def test_every_part_is_part_of_the_key(folder: Path, other: tuple[str, ...]) -> None:
    cached(("text", "target"), Maker())
    assert cached(other, Maker(b"other")) == (b"other", False)
    assert cached(("text", "target"), Maker(b"no"))[0] == b"machine code"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:10],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:-3] + bytes([data[-3] ^ 1]) + data[-2:],
        lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:],
        lambda data: b"wavejit-code-0\n" + data[15:],
        lambda data: b"\0" * len(data),
    ],
)
def test_a_damaged_entry_is_made_again(folder: Path, damage) -> None:
    make = Maker()
    cached(("text",), make)
    (entry,) = entries(folder)
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    assert cached(("text",), make) == (b"machine code", False)
    assert entry.read_bytes() == whole
    assert cached(("text",), make)[1]


def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("WAVEJIT_CACHE_DIR", str(tmp_path / "file" / "cache"))
    make = Maker()
    for _ in range(2):
        assert cached(("text",), make) == (b"machine code", False)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o500)
    assert cached(("text",), Maker()) == (b"machine code", False)
    folder.chmod(0o700)


def test_a_disk_that_is_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, "replace", full)
    assert cached(("text",), Maker()) == (b"machine code", False)
    assert entries(folder) == [], "what was half-written is removed"


def test_an_entry_that_is_a_folder(folder: Path) -> None:
    cached(("text",), Maker())
    (entry,) = entries(folder)
    entry.unlink()
    entry.mkdir()
    assert cached(("text",), Maker()) == (b"machine code", False)


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WAVEJIT_CACHE_DIR", str(tmp_path))
    assert cache.directory() == tmp_path
    monkeypatch.delenv("WAVEJIT_CACHE_DIR")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.directory() == tmp_path / "xdg" / "wavejit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.directory() == Path.home() / ".cache" / "wavejit"


PROCESS = """
import numpy as np
from tests.cases import WIDE, one_pole
from wavejit.runtime.engine import Engine
print(Engine(one_pole(0.25, 3), WIDE).stream().run(30, np.ones((10, 1), np.float32)).tobytes().hex())
"""


def test_processes_that_write_at_once(folder: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])}
    running = [
        subprocess.Popen([sys.executable, "-c", PROCESS], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    printed = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(set(printed)) == 1
    assert printed[0].strip()
    assert len(entries(folder)) == 1
    engine = Engine(one_pole(0.25, 3), WIDE)
    assert engine.from_cache
    assert engine.stream().run(30, np.ones((10, 1), np.float32)).tobytes().hex() == printed[0].strip()


# ---------------------------------------------------------------------------------------- with engines


def test_an_engine_says_whether_its_code_was_there(folder: Path) -> None:
    assert [Engine(one_pole(), WIDE).from_cache for _ in range(2)] == [False, True]


def test_an_engines_key_has_target_accuracy_and_structure(folder: Path) -> None:
    Engine(one_pole(), WIDE)
    assert not Engine(one_pole(), replace(WIDE, cpu="")).from_cache
    assert not Engine(one_pole(), replace(WIDE, features=WIDE.features + ",+sse")).from_cache
    assert not Engine(one_pole(hop_length=2), WIDE).from_cache
    assert Engine(one_pole(0.75), WIDE).from_cache, "weights are no part of the code"
    assert Engine(one_pole(), WIDE).from_cache


def test_an_engine_survives_a_damaged_entry(folder: Path) -> None:
    wanted = Engine(one_pole(), WIDE).stream().run(9, np.ones((9, 1), np.float32))
    (entry,) = entries(folder)
    entry.write_bytes(entry.read_bytes()[:-100])
    engine = Engine(one_pole(), WIDE)
    assert not engine.from_cache
    np.testing.assert_array_equal(engine.stream().run(9, np.ones((9, 1), np.float32)), wanted)
