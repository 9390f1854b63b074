"""`wavejit explain`: each stage prints, for this machine and for others."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.command import Command
from tests.cli.small_voice import small_voice
from wavejit.checkpoints.folder import write_folder
from wavejit.passes import PIPELINE

SMALL = "deepvoice-2-8-16"


def test_the_summary_adds_up(wavejit: Command) -> None:
    parts = json.loads(wavejit("explain", SMALL, "--json").text)
    assert parts["model"] == SMALL
    assert parts["clocks"] == [200, 1]
    assert 0 < parts["critical_operations"] < parts["operations"]
    for field in ("multiply_adds", "weight_bytes"):
        total = sum(kernel[field] for kernel in parts["kernels"])
        assert total == pytest.approx(parts[field], rel=0.01)
    text = wavejit("explain", SMALL).text
    assert all(kernel["kernel"] in text for kernel in parts["kernels"])


def test_graph_and_passes(wavejit: Command) -> None:
    graph = wavejit("explain", SMALL, "--graph").text
    assert graph.startswith(f"step {SMALL}  16000 Hz")
    assert "draw sample from categorical" in graph
    passes = wavejit("explain", SMALL, "--passes").text
    assert [f"after: {rewrite.name}" for rewrite in PIPELINE] == [
        line for line in passes.splitlines() if line.startswith("after: ")
    ]


@pytest.mark.parametrize("options", ["", "--target generic", "--target aarch64-linux-gnu"])
def test_llvm_and_assembly(wavejit: Command, options: str) -> None:
    text = wavejit("explain", SMALL, "--llvm", *options.split()).text
    assert text.count("define void @run(") == 1
    assembly = wavejit("explain", SMALL, "--assembly", *options.split()).text
    assert "run:" in assembly
    assert ("fmla" in assembly) == ("aarch64-linux-gnu" in options)


def test_accuracy_changes_the_code(wavejit: Command) -> None:
    exact, fast = (
        wavejit("explain", SMALL, "--llvm", "--target", "aarch64-linux-gnu", "--accuracy", a).text
        for a in ("exact", "fast")
    )
    assert len(fast) < len(exact)


@pytest.mark.usefixtures("workplace")
def test_a_folder_is_explained_as_well(wavejit: Command) -> None:
    parts = json.loads(wavejit("explain", "voice", "--json").text)
    assert parts["clocks"] == [50, 1]


@pytest.mark.usefixtures("workplace")
def test_ranges_stand_behind_inputs(wavejit: Command) -> None:
    write_folder(Path("calibrated"), replace(small_voice(), ranges={"hidden.0.weight[:,0:16]": 2.0}))
    for folder, behind in (("voice", ""), ("calibrated", " / 2.2")):
        passes = wavejit("explain", folder, "--precision", "int8", "--passes").text
        chosen = passes.partition("after: choose the formats of weights\n")[2]
        found = re.findall(r"hidden\.0\.weight\[:,0:16\] @ %\d+( / [\d.]+)?", chosen)
        assert set(found) == {behind}


def test_json_is_the_summarys(wavejit: Command) -> None:
    assert "--json" in wavejit("explain", SMALL, "--json", "--graph").sentence()
