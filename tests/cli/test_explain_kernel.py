"""`wavejit explain --backend cuda`, and what the other commands say where there is no GPU."""

from __future__ import annotations

import json

import pytest

from tests.cli.command import Command

MODEL = "deepvoice-2-8-16"


def test_a_kernel_is_explained_for_any_gpu(wavejit: Command) -> None:
    pytest.importorskip("cuda.core", reason="needs cuda-core and NVRTC")
    told = wavejit("explain", MODEL, "--backend", "cuda", "--target", "sm_80", "--precision", "int8")
    assert "multiprocessor" in told.text
    assert "0 bytes spilled" in told.text
    assert "on the way from the end of a tick to the end of the next" in told.text
    found = json.loads(wavejit("explain", MODEL, "--backend", "cuda", "--precision", "int8", "--json").text)
    assert found["target"] == "sm_90a"
    assert found["partition"] == "multiprocessor"
    assert found["spilled_bytes"] == found["weight_loads_in_loop"] == 0
    assert found["floor_samples_per_second"] > 100_000


def test_its_text_is_printed(wavejit: Command) -> None:
    told = wavejit("explain", MODEL, "--backend", "cuda", "--precision", "float16", "--source")
    assert "KERNEL void LAUNCH_BOUNDS(256) ticks(" in told.text
    assert "multiply_float16(" in told.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--backend", "cuda", "--target", "sm_70"), "target is 'sm_70', expected one of sm_80"),
        (("--backend", "cuda", "--precision", "int4"), "the cuda backend has no int4 weights, expected float32"),
        (("--backend", "cuda", "--llvm"), "--llvm, --assembly and --accuracy do not go with --backend cuda"),
        (("--backend", "cuda", "--json", "--source"), "--json goes with the summary"),
        (("--backend", "vulkan"), "backend is 'vulkan', expected llvm, or cuda"),
        (("--source",), "expected llvm, or cuda, which alone takes --source"),
    ],
)
def test_what_does_not_go_together_is_refused(wavejit: Command, arguments: tuple[str, ...], message: str) -> None:
    assert message in wavejit("explain", MODEL, *arguments).sentence()


def test_no_gpu_is_said_in_a_sentence(wavejit: Command) -> None:
    refused = wavejit("bench", MODEL, "--backend", "cuda", "--seconds", "0.1")
    if refused.status == 0:
        pytest.skip("there is a GPU here")
    assert "cuda" in refused.sentence()
