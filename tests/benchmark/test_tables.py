"""Tables of the documentation are written between their markers, and nowhere else."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
NAMES = ("peers", "precisions", "streams", "sparse", "deep-voice", "ladder")


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return module("tables", monkeypatch)


@pytest.fixture
def report(tables: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return module("report", monkeypatch)


def module(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, made)
    spec.loader.exec_module(made)
    return made


def test_only_the_named_table_changes(tables: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    other = "<!-- benchmark-table: b begin -->\nold b\n<!-- benchmark-table: end -->\n"
    page.write_text(f"before\n<!-- benchmark-table: a begin -->\nold a\n<!-- benchmark-table: end -->\n{other}after\n")
    tables.write("a", tables.table(["what", "figure"], [[r"one \1", "2"]], 1), 0.5, [page])
    text = page.read_text()
    assert "old a" not in text
    assert "| what | figure |\n|---|--:|\n| one \\1 | 2 |\n" in text
    assert "Measured on 20" in text
    assert "0.5 s a figure, medians." in text
    assert text.startswith("before\n<!-- benchmark-table: a begin -->\n")
    assert text.endswith(f"<!-- benchmark-table: end -->\n{other}after\n")


def test_a_table_without_a_place(tables: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(SystemExit, match=r"benchmark-table: a begin .* stands on none of page\.md"):
        tables.write("a", "table", 1.0, [page])


@pytest.mark.parametrize("name", NAMES)
def test_the_documentation_has_each_table(tables: ModuleType, name: str) -> None:
    begin = f"<!-- benchmark-table: {name} begin -->"
    assert any(begin in page.read_text(encoding="utf-8") for page in tables.PAGES)


def test_rows_are_what_bench_prints(report: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "NETWORKS", ("deepvoice-4-16-32",))
    monkeypatch.setattr(report, "PRECISIONS", ("int8",))
    heading, _, *rows = report.precisions_table(0.1).splitlines()
    assert heading.split(" | ")[1:3] == ["Weights", "Threads"]
    assert [row.split(" | ")[:3] for row in rows] == [["| `deepvoice-4-16-32`", "int8", t] for t in ("1", "2")]
    for row in rows:
        limit = row.removesuffix(" |").split(" | ")[-1]
        assert limit.startswith(("bytes", "multiply-adds", "chain of operations"))


def test_deep_voice_is_compared_once_for_each_network_and_format(
    report: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def bench(_: float, *arguments: str) -> dict[str, float]:
        asked.append(arguments)
        return {"realtime_speed": 5.4 if "float32" in arguments else 10.8}

    monkeypatch.setattr(report, "bench", bench)
    rows = report.deep_voice_table(0.1).splitlines()[2:]
    assert rows[0] == "| 20/32/128 | float32 | 6 | 2.70x | 5.40x | 2.0 | 10.80x | 4.0 |"
    assert len(rows) == 8
    assert len(asked) == len(set(asked)) == 8
    assert all(arguments[-2:] == ("--threads", "2") for arguments in asked)
