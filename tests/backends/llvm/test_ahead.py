"""Object files: linked into a program, they make the engine's samples; they call nothing and write no global."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.backends.llvm.native import Native
from tests.backends.llvm.object_files import ALLOCATED, WRITABLE, read_elf
from tests.cases import HOST_ISAS, one_pole, random_frames, sample_rnn, tensor
from tests.cli.small_voice import small_voice
from wavejit import Model, load
from wavejit.backends.llvm.ahead import CLibrary, compile_ahead, constant
from wavejit.backends.llvm.builder import I64, PTR, Function
from wavejit.backends.llvm.compile import host_target, host_triple, portable_target
from wavejit.backends.llvm.isa import ISAS
from wavejit.backends.llvm.platforms import platform
from wavejit.backends.llvm.scope import ticks_since
from wavejit.checkpoints.folder import ModelFiles
from wavejit.ir.builder import Linear, StepBuilder, affine, concatenate, tanh
from wavejit.ir.ops import Gaussian, Step
from wavejit.ir.target import Target
from wavejit.passes import lower
from wavejit.runtime.engine import Engine

Array = NDArray[np.float32]

DRIVER = Path(__file__).with_name("ahead_driver.c")
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
WARM = ("0", "0", "1")  # seed, stream, temperature
ISAS_AHEAD = [isa.name for isa in platform(host_triple()).isas if isa.name in HOST_ISAS]
SMALL = ("voice", "deepvoice-2-8-16", "wavernn-16", "wavegru-32")
FRAMES, SAMPLES = 21, 700


def needs(*tools: str) -> None:
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}, which is not installed")


def model(name: str) -> Model:
    """`voice`: a small mel-conditioned WaveRNN with look-ahead; or a built-in network."""
    return Model("voice", small_voice()) if name == "voice" else load(name)


def frames_of(model: Model) -> Array:
    return np.random.default_rng(3).standard_normal((FRAMES, model.bins)).astype(np.float32)


def write(library: CLibrary, folder: Path) -> None:
    for name, content in library.files.items():
        (folder / name).write_bytes(content)


def built(library: CLibrary, folder: Path, compiler: str = "gcc", source: Path = DRIVER) -> Path:
    """The program that C source and object become."""
    needs(compiler)
    write(library, folder)
    program = folder / "program"
    command = [compiler, "-O1", *STRICT, "-I", folder, source, folder / f"{library.name}.o", "-o", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


def output(*command: str | Path | float, frames: Array | None = None) -> Array:
    given = b"" if frames is None else frames.tobytes()
    done = subprocess.run(list(map(str, command)), input=given, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return np.frombuffer(done.stdout, np.float32)


def of_step(step: Step, target: Target) -> CLibrary:
    return compile_ahead(lower(step, target), target, "exact", "v")


# ------------------------------------------------------------------------------------- the same samples


@pytest.mark.parametrize("precision", ["float32", "int8", "float16"])
@pytest.mark.parametrize("name", SMALL)
def test_the_example_makes_the_engines_samples(tmp_path: Path, name: str, precision: str) -> None:
    chosen = model(name)
    library = chosen.compile_ahead(precision=precision, name="v")
    vocoder = chosen.compile(precision)
    program = built(library, tmp_path, source=tmp_path / "v_example.c")
    if chosen.bins:
        frames = frames_of(chosen)
        np.testing.assert_array_equal(output(program, frames=frames), vocoder.generate(frames))
    else:
        np.testing.assert_array_equal(output(program), vocoder.generate(samples=chosen.sample_rate))


@pytest.mark.parametrize("isa", ISAS_AHEAD)
def test_each_instruction_set_of_this_machine(tmp_path: Path, isa: str) -> None:
    voice = model("voice")
    frames = frames_of(voice)
    program = built(voice.compile_ahead(target=isa, name="v"), tmp_path)
    wanted = voice.compile(target=isa).generate(frames)
    np.testing.assert_array_equal(output(program, 3, 70, *WARM, 0, frames=frames), wanted)


def three_a_tick() -> Step:
    """Three samples a tick, a frame every fourth tick, a past that begins with a weight, a draw."""
    rng = np.random.default_rng(5)
    s = StepBuilder("three", 16000)
    kept = s.state("kept", 5, tensor(rng, "first", 5, scale=0.7))
    half = s.state("half", 1, 0.5)
    x = concatenate(kept, half, s.emitted(1, 3), s.condition("frames", 4, 4))
    new = tanh(affine(Linear(tensor(rng, "w", 5, x.size)), x))
    s.update("kept", new)
    s.update("half", s.draw("noise", Gaussian(), affine(Linear(tensor(rng, "p", 2, 5)), new)))
    s.emit(affine(Linear(tensor(rng, "out", 3, 6)), concatenate(new, half)))
    return s.step(lookahead=2)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Array, Array]]:
    """For a step's name: the program with the driver, frames, and the engine's samples for seed 7, stream 2."""
    steps: dict[str, Callable[[], Step]] = {
        "voice": lambda: model("voice").step,
        "three": three_a_tick,
        "one-pole": one_pole,
        "one-pole, hop 3": lambda: one_pole(hop_length=3),
    }
    made: dict[str, tuple[Path, Array, Array]] = {}

    def program(name: str) -> tuple[Path, Array, Array]:
        if name not in made:
            step = steps[name]()
            engine = Engine(step, host_target())
            frames = random_frames(step, FRAMES * engine.clock)
            stream = engine.stream(7, 2, 0.8)
            silence = np.zeros((step.lookahead, engine.frame_size), np.float32)
            ahead = np.concatenate([frames, silence])
            stream.prime(ahead[: step.lookahead])
            wanted = stream.run(FRAMES * engine.clock, ahead[step.lookahead :])
            folder = tmp_path_factory.mktemp("program")
            made[name] = built(of_step(step, portable_target(None)), folder), frames, wanted
        return made[name]

    return program


@pytest.mark.parametrize("pull", [1, 2, 3, 7, 50, 1000, 65536])
@pytest.mark.parametrize("push", [1, 5, 16, 100])
@pytest.mark.parametrize("name", ["voice", "three", "one-pole", "one-pole, hop 3"])
def test_chunks_make_no_difference(
    programs: Callable[[str], tuple[Path, Array, Array]], name: str, push: int, pull: int
) -> None:
    program, frames, wanted = programs(name)
    np.testing.assert_array_equal(output(program, push, pull, 7, 2, 0.8, 0, frames=frames), wanted)


@pytest.mark.parametrize(
    ("seed", "stream", "temperature"), [(2**64 - 1, 2**32 - 1, 1.0), (1, 0, 0.0), (0, 1, 0.3), (0, 0, 5.0)]
)
def test_seeds_streams_and_temperatures(tmp_path: Path, seed: int, stream: int, temperature: float) -> None:
    network = model("wavernn-16")
    program = built(network.compile_ahead(name="v"), tmp_path)
    found = output(program, 1, 130, seed, stream, temperature, SAMPLES)
    wanted = network.compile().generate(samples=SAMPLES, seed=seed, stream=stream, temperature=temperature)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("temperature", ["nan", "-1"])
def test_a_temperature_that_is_none_takes_the_likeliest(tmp_path: Path, temperature: str) -> None:
    program = built(model("wavernn-16").compile_ahead(name="v"), tmp_path)
    np.testing.assert_array_equal(output(program, 1, 99, 5, 0, temperature, 99), output(program, 1, 99, 5, 0, 0, 99))


def test_a_step_without_frames_and_several_samples_a_tick(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    s = StepBuilder("noise", 16000)
    drawn = s.draw("noise", Gaussian(), s.constant(tensor(rng, "parameters", 2)))
    s.emit(concatenate(drawn, s.emitted(1, 3)[0:2]))
    step = s.step()
    program = built(of_step(step, portable_target(None)), tmp_path)
    wanted = Engine(step, host_target()).stream(4).run(300)
    for pull in (1, 2, 4, 500):
        np.testing.assert_array_equal(output(program, 1, pull, 4, 0, 1, SAMPLES), wanted[:SAMPLES])


def test_clocks_between_frame_and_sample(tmp_path: Path) -> None:
    step = sample_rnn().step
    program = built(of_step(step, portable_target(None)), tmp_path)
    found = output(program, 1, 37, 9, 0, 1, SAMPLES)
    np.testing.assert_array_equal(found, Engine(step, host_target()).stream(9).run(SAMPLES))


TWO = """
#include <stdio.h>
#include "a.h"
#include "b.h"
static a_state one;
static b_state other;
static float samples[2][300];
int main(void) {
    a_reset(&one, 0, 0, 1.0f);
    b_reset(&other, 0, 0, 1.0f);
    for (int i = 0; i < 300; i++) {
        if (a_pull(&one, &samples[0][i], 1) + b_pull(&other, &samples[1][i], 1) != 2) return 1;
    }
    return fwrite(samples, sizeof samples, 1, stdout) != 1;
}
"""


def test_two_models_in_one_program(tmp_path: Path) -> None:
    networks = {"a": load("wavernn-16"), "b": load("wavernn-18")}
    for name, network in networks.items():
        write(network.compile_ahead(name=name), tmp_path)
    needs("gcc")
    (tmp_path / "two.c").write_text(TWO)
    command = ["gcc", *STRICT, "two.c", "a.o", "b.o", "-o", "two"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    wanted = [network.compile().generate(samples=300) for network in networks.values()]
    np.testing.assert_array_equal(output(tmp_path / "two"), np.concatenate(wanted))


# ---------------------------------------------------------------------------------------- on other machines

EMULATED = {
    "aarch64-linux-gnu": ("aarch64-linux-gnu-gcc", "qemu-aarch64"),
    "armv7-linux-gnueabihf": ("arm-linux-gnueabihf-gcc", "qemu-arm"),
    "riscv64-linux-gnu": ("riscv64-linux-gnu-gcc", "qemu-riscv64"),
}


def emulated(folder: Path, name: str, triple: str, isa: str | None, precision: str) -> tuple[Array, Array]:
    """Samples of a program under emulation, and those of the engine without fused additions."""
    compiler, emulator = EMULATED[triple]
    needs(compiler, emulator)
    chosen = model(name)
    library = chosen.compile_ahead(triple, isa, precision=precision, name="v")
    assert library.build.startswith(f"{compiler} ")
    command = [emulator, "-L", f"/usr/{compiler.removesuffix('-gcc')}", built(library, folder, compiler)]
    frames = frames_of(chosen) if chosen.bins else None
    found = output(*command, 5, 33, 7, 0, 1, SAMPLES, frames=frames)
    vocoder = chosen.compile(precision, target="generic")
    return found, vocoder.generate(frames, seed=7, samples=None if chosen.bins else SAMPLES)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("triple", EMULATED)
def test_the_same_arithmetic_on_other_machines(tmp_path: Path, triple: str, name: str, precision: str) -> None:
    found, wanted = emulated(tmp_path, name, triple, "generic", precision)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_fused_additions_on_aarch64_differ_by_rounding(tmp_path: Path, name: str) -> None:
    """In float32: the integers that int8 rounds to would carry a difference into all samples after it."""
    found, wanted = emulated(tmp_path, name, "aarch64-linux-gnu", None, "float32")
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["int16", "mxint8", "int8", "int4"])
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("isa", ["neon_dotprod", "neon"])
def test_integers_on_aarch64(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isa: str, name: str, precision: str
) -> None:
    """Its own products of integers, and beside them no fused addition: the same samples, byte for byte."""
    monkeypatch.setitem(ISAS, isa, replace(ISAS[isa], fused=False))
    monkeypatch.setitem(ISAS, "generic", replace(ISAS["generic"], accumulators=ISAS[isa].accumulators))
    found, wanted = emulated(tmp_path, name, "aarch64-linux-gnu", isa, precision)
    np.testing.assert_array_equal(found, wanted)


def wasm_linker() -> list[str]:
    """LLVM's linker, or the one that comes with Rust."""
    if shutil.which("wasm-ld"):
        return ["wasm-ld"]
    if shutil.which("rustc"):
        printed = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=False)
        for found in Path(printed.stdout.strip()).glob("lib/rustlib/*/bin/rust-lld"):
            return [str(found), "-flavor", "wasm"]
    pytest.skip("needs wasm-ld, which is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_webassembly(tmp_path: Path, name: str) -> None:
    needs("node")
    chosen = model(name)
    library = chosen.compile_ahead("wasm32-unknown-unknown", name="v")
    write(library, tmp_path)
    linker, *arguments = library.build.split()
    assert linker == "wasm-ld"
    subprocess.run([*wasm_linker(), *arguments], cwd=tmp_path, check=True, capture_output=True)
    frames = frames_of(chosen) if chosen.bins else None
    found = output("node", tmp_path / "v_example.mjs", frames=frames)
    samples = None if chosen.bins else chosen.sample_rate
    np.testing.assert_array_equal(found, chosen.compile(target="generic").generate(frames, samples=samples))


def test_webassembly_imports_memory_only(tmp_path: Path) -> None:
    needs("node")
    path = tmp_path / "v.o"
    path.write_bytes(model("voice").compile_ahead("wasm32-unknown-unknown", name="v").files["v.o"])
    program = f"WebAssembly.Module.imports(new WebAssembly.Module(fs.readFileSync({json.dumps(str(path))})))"
    done = subprocess.run(["node", "-p", f"JSON.stringify({program})"], capture_output=True, check=True)
    assert {each["name"] for each in json.loads(done.stdout)} <= {"__linear_memory", "__stack_pointer"}


# ------------------------------------------------------------------------------------------ what is in it

TARGETS = [
    *((f"{isa.architecture or 'x86_64'}-linux-gnu", isa.name) for isa in ISAS.values() if isa.tiles is None),
    ("armv7-linux-gnueabihf", None),
    ("armv7-none-eabihf", None),
    ("riscv64-linux-gnu", None),
    ("aarch64-none-elf", None),
]


@pytest.mark.parametrize(("triple", "isa"), TARGETS)
def test_it_calls_nothing_and_writes_no_global(triple: str, isa: str | None) -> None:
    library = model("voice").compile_ahead(triple, isa, precision="int8", name="v")
    found = read_elf(library.files["v.o"])
    assert found.undefined == set()
    assert found.defined == {"v_state_bytes", "v_reset", "v_push", "v_pull"}
    assert not [each.name for each in found.sections if each.flags & WRITABLE and each.content]
    (constants,) = (each for each in found.sections if each.name == ".rodata")
    assert constants.flags & ALLOCATED
    assert constants.alignment == 64


@pytest.mark.parametrize("triple", ["aarch64-apple-darwin", "arm64-apple-macosx", "x86_64-pc-windows-msvc"])
def test_other_systems_compile(triple: str) -> None:
    assert model("wavernn-16").compile_ahead(triple, name="v").files["v.o"]


@pytest.mark.parametrize("clock", [1, 2, 3, 200, 65535, 65537, 2**20 + 7, 2**31 - 1])
def test_ticks_are_divided_without_a_library_on_32_bits(clock: int) -> None:
    k = Function("since", [("x", PTR), ("out", PTR)], 4, linkage="")
    arm = portable_target("armv7-linux-gnueabihf")
    with k.loop(64) as loop:
        tick = k.load(k["x"], loop.index, I64, align=8)
        k.store(ticks_since(k, tick, clock, arm), k["out"], loop.index, align=8)
    ticks = np.random.default_rng(0).integers(0, 2**63, 64)
    ticks[:8] = [0, 1, clock - 1, clock, 2**32 - 1, 2**32, 2**32 + clock, 2**63 - 1]
    out = np.zeros(64, np.int64)
    Native("generic", "since", k)(ticks, out)
    np.testing.assert_array_equal(out, ticks % clock)


def test_constants_are_written_byte_for_byte() -> None:
    text = constant("x", np.array([0x00FF2241, 0x5C0A7F80], np.uint32))
    assert text == r'@x = internal constant [8 x i8] c"\41\22\FF\00\80\7F\0A\5C", align 64'


def test_code_for_a_triple_names_no_processor() -> None:
    assert portable_target(None).cpu == ""
    assert portable_target(None).isa == ISAS_AHEAD[0]
    assert portable_target("x86_64-linux-gnu").isa == "generic"
    assert portable_target("x86_64-linux-gnu", "avx2").features == "+avx2,+fma,+f16c"
    assert portable_target("aarch64-linux-gnu").triple == "aarch64-unknown-linux-gnu"
    assert portable_target("aarch64-linux-gnu").features == "+neon"
    assert portable_target("aarch64-linux-gnu", "neon_dotprod").features == "+neon,+dotprod"


# ----------------------------------------------------------------------------------------------- the header


@pytest.mark.parametrize(
    ("compiler", "options"),
    [("gcc", "-std=c99"), ("gcc", "-std=c11"), ("gcc", "-std=c2x"), ("g++", "-x c++ -std=c++11")],
)
def test_the_header_is_c_and_cpp(tmp_path: Path, compiler: str, options: str) -> None:
    needs(compiler)
    write(model("voice").compile_ahead(name="v"), tmp_path)
    (tmp_path / "use.c").write_text('#include "v.h"\nstatic v_state s;\nsize_t size(void) { return sizeof s; }\n')
    command = [compiler, *options.split(), *STRICT, "-fsyntax-only", "use.c"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_header_says_what_the_model_is() -> None:
    voice = model("voice")
    header = voice.compile_ahead("aarch64-linux-gnu").files["voice.h"].decode()
    for line in (
        "#define VOICE_SAMPLE_RATE 16000 ",
        "#define VOICE_HOP_LENGTH 50 ",
        "#define VOICE_FRAME_SIZE 20 ",
        "#define VOICE_LOOKAHEAD 1 ",
        " * Licence of the weights, which the object holds: MIT.",
        " * From: random weights.",
        "n_fft 256",
        "aarch64-linux-gnu-gcc -O2 voice_example.c voice.o",
    ):
        assert line in header
    assert max(map(len, header.splitlines())) <= 120


def test_nothing_that_a_model_says_ends_the_comment() -> None:
    files = small_voice()
    hostile = ModelFiles(files.family, files.network, files.weights, None, "MIT */ int x;\n#error", "**//*/")
    header = Model("voice", hostile).compile_ahead("aarch64-linux-gnu").files["voice.h"].decode()
    comment = header[: header.index("#ifndef")]
    assert comment.count("*/") == 1
    assert comment.endswith("*/\n")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("voice", "voice"),
        ("deepvoice-2-8-16", "deepvoice_2_8_16"),
        ("2nd", "model_2nd"),
        ("größe", "gr__e"),
        ("", "model_"),
    ],
)
def test_a_models_name_becomes_an_identifier(name: str, found: str) -> None:
    assert Model(name, small_voice()).compile_ahead("wasm32-unknown-unknown").name == found
