"""Every instruction set compiles everywhere; what cannot run is refused by name; aarch64 runs under emulation."""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.backends.llvm.test_precisions import INTEGERS, product, with_blocks_of_zeros
from tests.cases import (
    ALL_ISAS,
    HOST_ISAS,
    TRIPLES,
    WIDE,
    assert_close,
    built,
    one_pole,
    random_draws,
    random_frames,
    sample_rnn,
)
from wavejit.backends.llvm.compile import assembly, host_target, object_code, portable_target, target_of
from wavejit.backends.llvm.isa import ISAS
from wavejit.backends.llvm.program import REQUEST, UnsupportedError, generate
from wavejit.backends.reference import Reference
from wavejit.ir.builder import StepBuilder
from wavejit.ir.formats import FORMATS, FormatName
from wavejit.ir.ops import Step
from wavejit.ir.target import Target
from wavejit.models.mel_wavernn import FAMILY, MelWaveRNN
from wavejit.passes import lower
from wavejit.runtime.engine import Engine

AARCH64_COMPILER, AARCH64_EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
AARCH64_LIBRARIES = Path("/usr/aarch64-linux-gnu")
PROCESSORS = {"neon": "cortex-a57", "neon_dotprod": "max"}  # to emulate; the first has what all have, and no more
DRIVER = Path(__file__).with_name("driver.c")

X86 = "x86_64-unknown-linux-gnu"
TARGETS = [isa.target(f"{isa.architecture}-linux-gnu" if isa.architecture else X86) for isa in ISAS.values()]


def small_mel() -> Step:
    network = MelWaveRNN(
        sample_rate=22050,
        bins=5,
        hop_length=4,
        padding=1,
        residual_channels=6,
        residual_blocks=1,
        gru_widths=(19,),
        hidden_widths=(17,),
        auxiliary=((0, 4), (3, 5)),
        auxiliary_channels=8,
        classes=30,
        companding="mu-law",
        deemphasis=0.5,
    )
    return built(FAMILY, network)


def text(step: Step, target: Target) -> str:
    return generate(lower(step, target), target).text


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.isa)
def test_every_instruction_set_compiles(target: Target) -> None:
    code = object_code(text(small_mel(), target), target)
    assert code[:4] == b"\x7fELF"
    assert b"prime" in code


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.isa)
@pytest.mark.parametrize("precision", [name for name in FORMATS if FORMATS[name].limit])
def test_every_instruction_set_compiles_integers(target: Target, precision: FormatName) -> None:
    """With the products that it has for them: no machine at hand runs all."""
    listing = assembly(text(replace(small_mel(), precision=precision), target), target)
    assert f"affine_{precision}_" in listing
    bytes_by = {
        "avx512_amx": "vpdpbusd",
        "avx512_vnni": "vpdpbusd",
        "avx_vnni": "vpdpbusd",
        "avx512": "vpmaddubsw",
        "avx2": "vpmaddubsw",
    }
    bytes_by |= {"neon_dotprod": "sdot", "neon": "sadalp"}
    if FORMATS[precision].inputs == "int8":
        assert bytes_by.get(target.isa, "") in listing
    if target.isa == "neon":
        assert "sdot" not in listing, "any 64-bit ARM runs it"


@pytest.mark.parametrize("triple", TRIPLES)
def test_other_machines_compile(triple: str) -> None:
    target = target_of(triple)
    code = object_code(text(small_mel(), target), target)
    if triple.startswith("wasm"):
        assert code[:4] == b"\0asm"
    else:
        machine = {"aarch64": 183, "armv7": 40, "riscv64": 243}[triple.split("-")[0]]
        assert struct.unpack_from("<H", code, 18) == (machine,)


def test_vectors_are_as_wide_as_the_instruction_set_says() -> None:
    registers = {"avx512": "%zmm", "avx2": "%ymm", "sse4": "%xmm"}
    for target in TARGETS:
        listing = assembly(text(small_mel(), target), target)
        for isa, register in registers.items():
            if target.isa == isa:
                assert register in listing
            elif target.lanes < ISAS[isa].lanes:
                assert register not in listing, f"{target.isa} code uses registers of {isa}"
        assert ("fmla" in listing) == target.isa.startswith("neon")


def test_targets_by_name() -> None:
    assert target_of(None) == WIDE
    assert target_of("generic") == host_target("generic")
    assert target_of("aarch64-linux-gnu").isa == "neon"
    assert target_of("riscv64-linux-gnu").isa == "generic"
    assert [host_target(name).isa for name in ALL_ISAS] == ALL_ISAS


@pytest.mark.parametrize("name", ["avx1024", "", "klingon-unknown-linux"])
def test_unknown_targets_are_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedError, match=f"target is '{name}'"):
        target_of(name)


def test_an_instruction_set_of_another_machine_is_refused() -> None:
    missing = next(name for name in ("neon", "avx2") if name not in HOST_ISAS)
    with pytest.raises(UnsupportedError, match=f"'{missing}', expected one that this machine runs: .*generic"):
        host_target(missing)


def test_lanes_are_refused_by_name() -> None:
    s = StepBuilder("subscale", 16000, lanes=4, lane_lag=2)
    s.emit(s.condition("x", 1, 1))
    with pytest.raises(UnsupportedError, match="subscale: the llvm backend does not run lanes; the step has 4"):
        Engine(s.step(), WIDE)


def test_conditions_on_several_clocks_are_refused_by_name() -> None:
    s = StepBuilder("two", 16000)
    s.emit(s.condition("a", 1, 12) + s.condition("b", 1, 4))
    with pytest.raises(UnsupportedError, match=r"two: .*conditions on one clock.*\[4, 12\]"):
        Engine(s.step(), WIDE)


def test_a_step_that_was_not_lowered_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="one-pole: the step has not been lowered"):
        generate(one_pole(), WIDE)


def test_generated_text_is_the_same_each_time() -> None:
    assert text(small_mel(), WIDE) == text(small_mel(), WIDE)


def test_loops_of_kernels_are_shared_by_layers_of_one_shape() -> None:
    from wavejit.models import builtin

    found = builtin("deepvoice-12-16-16")
    assert found is not None
    family, network = found
    step = family.step("shared", network, family.random_weights(network))
    program = generate(lower(step, WIDE), WIDE)
    assert program.text.count("define internal void @affine_") < 10


# ----------------------------------------------------------------------------------------- on aarch64


@pytest.fixture
def aarch64() -> None:
    for tool in (AARCH64_COMPILER, AARCH64_EMULATOR):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}, which is not installed")
    if not AARCH64_LIBRARIES.is_dir():
        pytest.skip(f"needs the C library for aarch64 in {AARCH64_LIBRARIES}")


def aarch64_run(
    folder: Path, step: Step, ticks: int, seed: int, forced: bool, isa: str = "neon", frames: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Samples and recorded parameters of the step's object code under qemu-user."""
    target = portable_target("aarch64-linux-gnu", isa)
    engine = Engine(step, host_target("generic"))  # its first state, for a plan of the same memory
    lowered = lower(step, target)
    assert lowered.packing is not None
    assert lowered.memory is not None
    assert lowered.memory == engine.step.memory, "memory is planned alike for 128-bit vectors"
    (folder / "code.o").write_bytes(object_code(generate(lowered, target).text, target))
    program = folder / "program"
    subprocess.run([AARCH64_COMPILER, "-O1", "-o", program, DRIVER, folder / "code.o"], check=True, capture_output=True)
    recorded = sum(lowered.lines[draw.parameters].size for draw in engine.draws)
    given = random_draws(step, ticks) if forced else np.zeros(0, np.float32)
    heard = random_frames(step, ticks) if frames is None else frames
    arrays = [engine.fresh_state(), lowered.packing.data.view(np.float32), heard, given]
    sizes = [ticks * engine.samples_per_tick, ticks * recorded]
    with (folder / "request").open("wb") as file:
        file.write(struct.pack("<9q", *[a.size for a in arrays], *sizes, ticks, seed, 0))
        for array in arrays:
            file.write(np.ascontiguousarray(array, np.float32).tobytes())
    emulator = [AARCH64_EMULATOR, "-cpu", PROCESSORS[isa], "-L", AARCH64_LIBRARIES]
    subprocess.run([*emulator, program, folder / "request", folder / "out"], check=True, timeout=300)
    out = np.fromfile(folder / "out", np.float32)
    return out[: sizes[0]], out[sizes[0] :].reshape(ticks, recorded)


@pytest.mark.slow
@pytest.mark.usefixtures("aarch64")
@pytest.mark.parametrize("name", ["mel-wavernn", "sample-rnn", "deepvoice", "wavernn", "one-pole"])
def test_aarch64_runs_and_agrees(tmp_path: Path, name: str) -> None:
    from wavejit.models import builtin

    ticks = 60
    if name in ("deepvoice", "wavernn"):
        found = builtin({"deepvoice": "deepvoice-4-33-40", "wavernn": "wavernn-70"}[name])
        assert found is not None
        family, network = found
        step = family.step(name, network, family.random_weights(network))
    else:
        step = {"mel-wavernn": small_mel, "sample-rnn": lambda: sample_rnn().step, "one-pole": one_pole}[name]()
    frames = random_frames(step, ticks)

    host = Engine(step, WIDE).stream(7)
    samples, _ = aarch64_run(tmp_path, step, ticks, 7, forced=False)
    np.testing.assert_allclose(samples, host.run(ticks, frames), atol=1e-6)

    if random_draws(step, ticks).size:
        score = Engine(step, WIDE).stream().score(random_draws(step, ticks), frames)
        samples, parameters = aarch64_run(tmp_path, step, ticks, 0, forced=True)
        columns = np.cumsum([part.shape[1] for part in score.parameters.values()])[:-1]
        parts = dict(zip(score.parameters, np.split(parameters, columns, axis=1), strict=True))
        assert_close({"samples": samples, **parts}, {"samples": score.samples, **score.parameters}, 1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("aarch64")
@pytest.mark.parametrize("isa", PROCESSORS)
@pytest.mark.parametrize("precision", INTEGERS)
@pytest.mark.parametrize("density", [1.0, 0.1])
def test_integer_sums_on_aarch64_are_exact(tmp_path: Path, isa: str, precision: FormatName, density: float) -> None:
    """Whole numbers up to the largest there are, dense and with blocks of zeros: the sums of the reference."""
    for rows, columns in ((5, 8), (70, 133), (64, 300)):
        weights, x = with_blocks_of_zeros(rows, columns, precision, density)
        step = replace(product(weights), precision=precision)
        frames = x[None].astype(np.float32)
        found, _ = aarch64_run(tmp_path, step, 1, 0, False, isa, frames)
        lowered = lower(step, portable_target("aarch64-linux-gnu", isa))
        np.testing.assert_array_equal(found, Reference(lowered).run(1, {"x": frames.astype(np.float64)}).samples)
        np.testing.assert_array_equal(found, weights @ x)


@pytest.mark.slow
@pytest.mark.usefixtures("aarch64")
@pytest.mark.parametrize("isa", PROCESSORS)
@pytest.mark.parametrize("precision", INTEGERS)
def test_the_most_extreme_rows_do_not_overflow_on_aarch64(tmp_path: Path, isa: str, precision: FormatName) -> None:
    limit, columns = FORMATS[precision].limit, 1000
    x = np.full(columns, FORMATS[FORMATS[precision].inputs].limit)
    weights = np.full((3, columns), limit) * np.array([[1], [-1], [1]])
    weights[2, ::2] = -limit
    step = replace(product(weights), precision=precision)
    for signed in (x, -x):
        found, _ = aarch64_run(tmp_path, step, 1, 0, False, isa, signed[None].astype(np.float32))
        np.testing.assert_allclose(found, weights @ signed, rtol=1e-6)


def test_the_driver_mirrors_the_request() -> None:
    """Its struct has the fields of `REQUEST`, in order."""
    source = DRIVER.read_text()
    fields = source[source.index("struct request {") : source.index("};")].split(";")
    names = [field.split()[-1].lstrip("*") for field in fields if field.strip() and "{" not in field.split()[-1]]
    assert names == [name for name, _ in REQUEST]
