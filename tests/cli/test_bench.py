"""`wavejit bench`: the fields that others' scripts rely on, with values that can be."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.command import Command
from wavejit.benchmark.limits import limit
from wavejit.runtime.caches import Cache, caches

FIELDS = [
    "model", "backend", "target", "precision", "sparsity", "threads", "streams", "samples_per_second",
    "realtime_speed", "weight_bytes", "roofline_samples_per_second", "roofline_share", "compile_seconds",
]  # fmt: skip


def test_json_has_exactly_the_fixed_fields(wavejit: Command) -> None:
    found = json.loads(wavejit("bench", "deepvoice-4-16-32", "--seconds", "0.1", "--json").text)
    assert list(found) == FIELDS
    assert (found["model"], found["backend"], found["precision"]) == ("deepvoice-4-16-32", "llvm", "float32")
    assert (found["sparsity"], found["threads"], found["streams"]) == (0.0, 1, 1)
    assert found["samples_per_second"] > 1000
    assert found["realtime_speed"] == pytest.approx(found["samples_per_second"] / 16000, rel=0.01)
    assert 250_000 < found["weight_bytes"] < 400_000
    share = found["samples_per_second"] / found["roofline_samples_per_second"]
    assert found["roofline_share"] == pytest.approx(share, rel=0.01)
    # A busy machine is slow; none is much faster than its ceiling.
    assert 0.01 < found["roofline_share"] < 2
    assert 0 < found["compile_seconds"] < 60


def test_a_pruned_network_reads_less(wavejit: Command) -> None:
    name, options = "deepvoice-4-64-64", ("--seconds", "0.1", "--precision", "int8", "--json")
    dense = json.loads(wavejit("bench", name, *options).text)
    sparse = json.loads(wavejit("bench", name, *options, "--sparsity", "0.9", "--block", "16x4").text)
    assert sparse["sparsity"] == 0.9
    assert sparse["precision"] == "int8"
    assert sparse["weight_bytes"] < 0.4 * dense["weight_bytes"]


@pytest.mark.parametrize("block", ["4x4", "8x4", "16x1", "1x4", "1x32", "1x1"])
def test_other_blocks(wavejit: Command, block: str) -> None:
    options = ("--seconds", "0.1", "--precision", "int8", "--sparsity", "0.9375", "--block", block)
    found = json.loads(wavejit("bench", "wavegru-33", *options, "--json").text)
    assert (found["model"], found["sparsity"]) == ("wavegru-33", 0.9375)
    assert found["samples_per_second"] > 1000
    assert found["realtime_speed"] == pytest.approx(found["samples_per_second"] / 16000, rel=0.01)


def test_four_bits_and_their_scales_are_read(wavejit: Command) -> None:
    name, options = "deepvoice-4-64-64", ("--seconds", "0.1", "--json", "--precision")
    found = {p: json.loads(wavejit("bench", name, *options, p).text) for p in ("int4", "mxint8", "int8")}
    assert all(row["precision"] == p and 0.01 < row["roofline_share"] < 2 for p, row in found.items())
    # 5, 9 and somewhat more than 8 bits a weight, beside float32 biases, a drawn layer in 16, and the frames' part.
    assert found["int4"]["weight_bytes"] < 0.85 * found["int8"]["weight_bytes"]
    assert found["int8"]["weight_bytes"] < found["mxint8"]["weight_bytes"] < 1.1 * found["int8"]["weight_bytes"]


# Of 4 layers, past taps with 32 rows hand their integers on, but for the first, whose inputs are known either way: they
# read no scales, and biases are added once in 200 ticks. A WaveRNN has nothing to hand on.
@pytest.mark.parametrize(("model", "fewer"), [("deepvoice-4-16-32", 3 * 32 * (1 + 199 / 200)), ("wavernn-16", 0)])
def test_a_calibrated_network_has_the_same_fields_and_weights(wavejit: Command, model: str, fewer: float) -> None:
    options = ("--seconds", "0.1", "--precision", "int8", "--json")
    measured = json.loads(wavejit("bench", model, *options).text)
    found = json.loads(wavejit("bench", model, *options, "--calibrate").text)
    assert list(found) == FIELDS
    assert measured["weight_bytes"] - found["weight_bytes"] == pytest.approx(4 * fewer, abs=1)
    assert found["samples_per_second"] > 1000


@pytest.mark.usefixtures("workplace")
def test_a_folder_is_calibrated_on_what_it_is_measured_on(wavejit: Command) -> None:
    text = wavejit("bench", "voice", "--seconds", "0.1", "--precision", "int8", "--calibrate").text
    assert "samples/s" in text


@pytest.mark.parametrize("block", ["16", "0x4", "x", "16x", "-1x4", "99999x1"])
def test_a_block_that_is_none(wavejit: Command, block: str) -> None:
    refused = wavejit("bench", "deepvoice-4-16-32", "--sparsity", "0.5", "--block", block)
    assert "expected rows and columns such as 16x4" in refused.sentence()


@pytest.mark.usefixtures("workplace")
def test_a_folder_is_measured_and_told_in_words(wavejit: Command) -> None:
    text = wavejit("bench", "voice", "--seconds", "0.1").text
    for word in ("voice", "samples/s", "x real time", "ceiling here", "share", "compiled in"):
        assert word in text


def test_limits_are_a_further_field(wavejit: Command) -> None:
    options = ("--seconds", "0.1", "--precision", "int8", "--limits", "--json")
    found = json.loads(wavejit("bench", "deepvoice-4-16-32", *options).text)
    assert list(found) == [*FIELDS, "limits"]
    limits = found["limits"]
    assert limits["multiply_adds_per_byte"] == pytest.approx(limits["multiply_adds"] / found["weight_bytes"], rel=0.01)
    # Medians of the two, and the median of the lower one, are of the same rounds.
    by_bytes = limits["bytes_per_second"] / found["weight_bytes"]
    by_multiplying = limits["multiply_adds_per_second"] / limits["multiply_adds"]
    assert found["roofline_samples_per_second"] <= 1.01 * min(by_bytes, by_multiplying)
    assert limits["limit"] == limit(found["roofline_share"], by_bytes, by_multiplying, limits["level"])


def test_limits_in_words(wavejit: Command) -> None:
    text = wavejit("bench", "deepvoice-4-16-32", "--seconds", "0.1", "--limits").text
    assert "\nlimit: " in text
    assert " multiply-adds a byte)\n" in text


@pytest.mark.parametrize(
    ("share", "by_bytes", "by_multiplying", "level", "expected"),
    [
        (0.9, 1.0, 2.0, "L3", "bytes from L3"),
        (0.9, 1.0, 2.0, "", "bytes"),
        (0.9, 2.0, 1.0, "L3", "multiply-adds"),
        (0.5, 1.0, 2.0, "L3", "chain of operations"),
    ],
)
def test_what_limits(share: float, by_bytes: float, by_multiplying: float, level: str, expected: str) -> None:
    assert limit(share, by_bytes, by_multiplying, level) == expected


def test_caches_are_read_as_linux_tells_them(tmp_path: Path) -> None:
    (tmp_path / "topology").mkdir()
    (tmp_path / "topology/thread_siblings_list").write_text("0,8\n")
    told = [("1", "Data", "32K", "0,8"), ("1", "Instruction", "64K", "0,8"), ("3", "Unified", "16M", "0-15")]
    for i, values in enumerate(told):
        folder = tmp_path / f"cache/index{i}"
        folder.mkdir(parents=True)
        for name, value in zip(("level", "type", "size", "shared_cpu_list"), values, strict=True):
            (folder / name).write_text(f"{value}\n")
    assert caches(tmp_path) == (Cache("L1", 32 * 1024, False), Cache("L3", 16 * 1024**2, True))
    assert caches(tmp_path / "absent") == ()


def test_a_plot_has_a_point_for_each_format(wavejit: Command, here: Path) -> None:
    pytest.importorskip("matplotlib")
    options = ("--seconds", "0.1", "--json", "--plot", "roof.svg")
    found = json.loads(wavejit("bench", "deepvoice-4-16-32", *options).text)
    assert list(found) == [*FIELDS, "plotted"]
    texts = {text.text for text in ElementTree.parse("roof.svg").iter("{http://www.w3.org/2000/svg}text")}
    for row in found["plotted"]:
        assert f"{row['precision']} {row['roofline_share']:.2f}" in texts
    assert {text.split()[0] for text in texts if text and text.endswith("G/s")} == {"float32", "int16", "int8"}
    assert any(text and text.endswith(" GB/s") for text in texts)
    assert [path.name for path in here.iterdir()] == ["roof.svg"]


def test_a_plot_of_one_format(wavejit: Command, here: Path) -> None:
    pytest.importorskip("matplotlib")
    (here / "roof.PNG").write_bytes(b"old")
    text = wavejit("bench", "wavernn-32", "--seconds", "0.1", "--precision", "int16", "--plot", "roof.PNG").text
    assert text.count("samples/s   ") == 1
    assert (here / "roof.PNG").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("roof.pdf", "'roof.pdf': suffix is '.pdf', expected .png or .svg"),
        ("roof", "'roof': suffix is '', expected .png or .svg"),
        ("no/roof.svg", "'no/roof.svg' cannot be written: there is no folder 'no'"),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_plot_that_cannot_be_written_is_refused_before_measuring(wavejit: Command, file: str, words: str) -> None:
    pytest.importorskip("matplotlib")
    refused = wavejit("bench", "deepvoice-4-16-32", "--plot", file)
    assert refused.sentence() == words
    assert not refused.stdout


@pytest.mark.usefixtures("here")
def test_a_plot_without_matplotlib(wavejit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    sentence = wavejit("bench", "deepvoice-4-16-32", "--plot", "roof.svg").sentence()
    assert sentence == '--plot needs matplotlib, which is not installed: pip install "wavejit[bench]"'


@pytest.mark.parametrize("options", [("--threads", "2"), ("--streams", "4"), ("--threads", "1", "--streams", "2")])
def test_threads_and_streams_are_measured_and_told(wavejit: Command, options: tuple[str, ...]) -> None:
    given = dict(zip(options[::2], map(int, options[1::2]), strict=True))
    found = json.loads(wavejit("bench", "deepvoice-4-16-32", "--seconds", "0.1", "--json", *options).text)
    assert list(found) == FIELDS
    assert (found["threads"], found["streams"]) == (given.get("--threads", 1), given.get("--streams", 1))
    assert found["samples_per_second"] > 1000
    words = wavejit("bench", "deepvoice-4-16-32", "--seconds", "0.1", *options).text
    assert f"{found['threads']} thread" in words
    assert ("streams" in words) == (found["streams"] > 1)


def test_as_many_threads_as_there_are(wavejit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, threads in (([0], 1), ([0, 1, 2], 2)):
        monkeypatch.setattr("wavejit.runtime.cores.allowed", lambda cores=cores: cores)
        found = json.loads(wavejit("bench", "wavernn-16", "--seconds", "0.1", "--threads", "auto", "--json").text)
        assert found["threads"] == threads


def test_the_precision_that_is_fastest_here(wavejit: Command) -> None:
    found = json.loads(wavejit("bench", "wavernn-16", "--seconds", "0.1", "--precision", "auto", "--json").text)
    assert found["precision"] in ("float32", "bfloat16", "float16", "int16")
