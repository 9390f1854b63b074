"""`wavejit bench`: the fields that others' scripts rely on, with values that can be."""

import json

import pytest

from tests.cli.command import Command

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


@pytest.mark.parametrize("block", ["16", "0x4", "x", "16x", "-1x4", "99999x1"])
def test_a_block_that_is_none(wavejit: Command, block: str) -> None:
    refused = wavejit("bench", "deepvoice-4-16-32", "--sparsity", "0.5", "--block", block)
    assert "expected rows and columns such as 16x4" in refused.sentence()


@pytest.mark.usefixtures("workplace")
def test_a_folder_is_measured_and_told_in_words(wavejit: Command) -> None:
    text = wavejit("bench", "voice", "--seconds", "0.1").text
    for word in ("voice", "samples/s", "x real time", "ceiling here", "share", "compiled in"):
        assert word in text


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
