"""What NVRTC makes of kernels, for each kind of GPU, without one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.backends.cuda.kernels import FAMILIES, FORMATS, HOPPER, planned
from wavejit.backends.cuda.compile import Compiled, SpillError, compile_text, disassembly, weight_loads_in_loop
from wavejit.backends.cuda.device import DEVICES, Device
from wavejit.backends.cuda.plan import Plan
from wavejit.backends.cuda.report import report
from wavejit.ir.formats import FormatName
from wavejit.ir.ops import Step
from wavejit.models import builtin
from wavejit.runtime.cuda_code import compiled

pytest.importorskip("cuda.core", reason="needs cuda-core and NVRTC")


def built_for(step: Step, precision: FormatName, device: Device, streams: int = 1) -> tuple[Plan, Compiled]:
    return compiled(replace(step, precision=precision), device, streams)


def named(name: str) -> Step:
    family, network = builtin(name) or pytest.fail(f"{name} is built in")
    return family.step(name, network, family.random_weights(network))


# Each family in each format for one kind of GPU, all kinds in turn; for the other kinds under `-m slow`.
EVERYTHING = [
    pytest.param(family, precision, arch, marks=() if (f + p) % len(DEVICES) == a else pytest.mark.slow)
    for f, family in enumerate(FAMILIES)
    for p, precision in enumerate(FORMATS)
    for a, arch in enumerate(DEVICES)
]


@pytest.mark.parametrize(("family", "precision", "arch"), EVERYTHING)
def test_no_kernel_spills_or_reads_its_weights_again(family: str, precision: FormatName, arch: str) -> None:
    plan, code = built_for(FAMILIES[family](), precision, DEVICES[arch])
    assert plan.fits
    assert code.spilled_bytes == code.stack_bytes == 0
    assert 0 < code.registers <= 255
    assert weight_loads_in_loop(disassembly(code.cubin)) == 0


@pytest.mark.parametrize(
    ("family", "precision", "arch"),
    [
        ("wavenet", "float16", "sm_90a"),
        ("mel-wavernn", "float32", "sm_80"),
        ("wavegru", "int8", "sm_100a"),
        ("wavernn", "bfloat16", "sm_89"),
    ],
)
def test_no_kernel_of_eight_streams_spills(family: str, precision: FormatName, arch: str) -> None:
    device = DEVICES[arch]
    plan, code = built_for(FAMILIES[family](), precision, device, 8 * device.multiprocessors)
    assert plan.streams == 8
    assert plan.fits
    assert code.spilled_bytes == code.stack_bytes == 0
    assert weight_loads_in_loop(disassembly(code.cubin)) == 0


@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
@pytest.mark.parametrize(
    ("family", "precision", "streams"),
    [("wavenet", "float16", 1), ("samplernn", "float32", 1), ("mel-wavegru", "int8", 4), ("wavernn", "bfloat16", 8)],
)
def test_no_kernel_of_a_grid_spills(family: str, precision: FormatName, streams: int, arch: str) -> None:
    room = {1: 40, 4: 64, 8: 80}[streams] * 1024
    narrow = replace(DEVICES[arch], largest_cluster=1, register_tiles=2, courier_tiles=1, shared_bytes=room)
    plan = planned(FAMILIES[family](), precision, narrow, 5, streams)
    assert plan.name == "grid of 5"
    assert plan.places.carried
    code = compile_text(plan.text, arch)
    assert plan.fits
    assert weight_loads_in_loop(disassembly(code.cubin)) == 0


def test_weights_that_do_not_fit_are_seen_to_be_read() -> None:
    small = replace(HOPPER, shared_bytes=48 * 1024, register_tiles=8, largest_cluster=1, multiprocessors=1)
    plan, code = built_for(named("deepvoice-4-32-64"), "float16", small)
    assert not plan.fits
    found = report(plan, code)
    assert found.weight_loads_in_loop >= plan.places.global_tiles / 4, "a warp loads each of its tiles"
    assert sum(team.global_bytes for team in found.teams) == plan.places.global_tiles * 512


def test_a_kernel_that_needs_too_many_registers_is_refused() -> None:
    kept = ", ".join(f"float x{i} = from[{i} + threadIdx.x]" for i in range(1))
    text = (
        'extern "C" __global__ void __launch_bounds__(1024, 1) ticks(float* from, int n) {\n'
        f"  {kept}; float w[200];\n"
        "  for (int i = 0; i < 200; ++i) w[i] = from[i * 32 + threadIdx.x];\n"
        "  for (int t = 0; t < n; ++t) { __syncthreads(); for (int i = 0; i < 200; ++i) x0 = x0 * w[i] + t; }\n"
        "  from[threadIdx.x] = x0;\n}\n"
    )
    with pytest.raises(SpillError, match="for sm_90a spills"):
        compile_text(text.replace("for (int i", '_Pragma("unroll") for (int i'), "sm_90a")


@pytest.mark.parametrize("streams", [1, 500])
def test_a_report_says_where_things_are(streams: int) -> None:
    plan, code = built_for(FAMILIES["wavenet"](), "int8", HOPPER, streams)
    found = report(plan, code).as_dict()
    wanted = {"partition", "registers", "shared_bytes", "spilled_bytes", "weight_loads_in_loop"}
    assert wanted | {"floor_samples_per_second"} <= set(found)
    assert found["streams_a_pass"] == (1 if streams == 1 else 4)
    assert found["floor_samples_per_second"] == pytest.approx(HOPPER.clock / found["cycles"], rel=1e-6)
    path = found["critical_path"]
    assert path[-1]["end"] - path[0]["begin"] == pytest.approx(found["cycles"], rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "precision", "arch"),
    [
        ("deepvoice-40-64-256", "int8", "sm_90a"),
        ("deepvoice-40-64-256", "float16", "sm_100a"),
        ("deepvoice-20-64-128", "float16", "sm_90a"),
        ("deepvoice-20-32-128", "int8", "sm_90a"),
        ("wavernn-896", "int8", "sm_90a"),
        ("wavernn-896", "float16", "sm_90a"),
        ("deepvoice-20-32-128", "float16", "sm_80"),
    ],
)
def test_full_sizes_stay_in_registers_and_shared_memory(model: str, precision: FormatName, arch: str) -> None:
    plan, code = built_for(named(model), precision, DEVICES[arch])
    assert plan.fits
    assert code.spilled_bytes == code.stack_bytes == 0
    assert weight_loads_in_loop(disassembly(code.cubin)) == 0
