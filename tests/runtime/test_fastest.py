"""The fastest precision here: measured once for a network and a target, and remembered."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cases import NARROW, WIDE
from tests.runtime.test_engine import named
from wavejit import load
from wavejit.ir.formats import FormatName
from wavejit.runtime import cores, fastest
from wavejit.runtime.engine import Engine
from wavejit.runtime.fastest import KEEP_THE_SOUND, fastest_precision

SPEEDS: dict[str, float] = {"float32": 1.0, "bfloat16": 4.0, "float16": 2.0, "int16": 3.0}


class Measured:
    """Speeds as they are said to be; counts how often they were asked for."""

    def __init__(self) -> None:
        self.speeds, self.count = dict(SPEEDS), 0

    def __call__(self, engine: Engine) -> float:
        self.count += 1
        return self.speeds[engine.step.precision]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Measured:
    found = Measured()
    monkeypatch.setenv("WAVEJIT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(fastest, "_speed", found)
    return found


STEP = named("wavernn-16")


@pytest.mark.parametrize("best", KEEP_THE_SOUND)
def test_the_fastest_of_those_that_keep_the_sound(measured: Measured, best: FormatName) -> None:
    measured.speeds[best] = 10.0
    assert fastest_precision(STEP, WIDE) == best
    assert measured.count == len(KEEP_THE_SOUND)


def test_it_is_measured_once(measured: Measured) -> None:
    first = fastest_precision(STEP, WIDE)
    measured.speeds["float32"] = 10.0
    assert fastest_precision(STEP, WIDE) == fastest_precision(named("wavernn-16"), WIDE) == first == "bfloat16"
    assert measured.count == len(KEEP_THE_SOUND)


def test_another_target_or_network_is_measured_anew(measured: Measured) -> None:
    fastest_precision(STEP, WIDE)
    measured.speeds["float32"] = 10.0
    assert fastest_precision(STEP, NARROW) == "float32"
    assert fastest_precision(named("wavernn-18"), WIDE) == "float32"
    assert measured.count == 3 * len(KEEP_THE_SOUND)


def test_a_damaged_note_is_measured_anew(measured: Measured, tmp_path: Path) -> None:
    fastest_precision(STEP, WIDE)
    for note in [path for path in tmp_path.rglob("*") if path.is_file()]:
        note.write_bytes(note.read_bytes()[:-1] + b"?")
    assert fastest_precision(STEP, WIDE) == "bfloat16"
    assert measured.count == 2 * len(KEEP_THE_SOUND)


def test_auto_compiles_what_was_found(measured: Measured) -> None:
    measured.speeds["int16"] = 10.0
    assert load("wavernn-16").compile(precision="auto").describe().startswith("int16 weights, ")


def test_speeds_are_ticks_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastest, "SECONDS", 0.005)
    speeds = [fastest._speed(Engine(named(name), WIDE)) for name in ("wavernn-16", "wavernn-256", "deepvoice-2-16-16")]
    assert speeds[0] > speeds[1] > 100
    assert speeds[2] > 1000


@pytest.mark.parametrize(("found", "threads"), [([0], 1), ([0, 1], 2), ([0, 1, 2, 3], 2)])
def test_as_many_threads_as_cores_but_two(monkeypatch: pytest.MonkeyPatch, found: list[int], threads: int) -> None:
    monkeypatch.setattr(cores, "allowed", lambda: found)
    engine = load("wavernn-16").compile(threads="auto").engine
    assert isinstance(engine, Engine)
    assert (engine.threads, engine.pair is not None) == (threads, threads == 2)
