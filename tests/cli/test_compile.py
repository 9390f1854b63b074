"""`wavejit compile`: files that link and run, and what is said about them."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.command import Command
from tests.cli.small_voice import BINS
from wavejit import load
from wavejit.audio import read_features
from wavejit.audio.postfilter import Postfilter
from wavejit.backends.llvm.stream_memory import QUEUE_FRAMES
from wavejit.checkpoints.folder import write_folder

pytestmark = pytest.mark.usefixtures("workplace")


def written(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_a_model_folder_to_sound(wavejit: Command) -> None:
    """As the command says how: what it prints is run."""
    result = wavejit("compile", "voice", "-o", "new/made")
    assert result.text == ""
    assert written("new/made") == ["voice.h", "voice.o", "voice_example.c"]
    first, second, third = result.stderr.splitlines()
    assert first.startswith("new/made/voice.o: 0.")
    assert second == "new/made/voice.h, new/made/voice_example.c"
    build = third.removeprefix("in new/made: ")
    assert build == "cc -O2 voice_example.c voice.o -o voice_example"
    if shutil.which("cc") is None:
        pytest.skip("needs cc, which is not installed")
    subprocess.run(build.split(), cwd="new/made", check=True)
    voice = load("voice")
    assert voice.features is not None
    frames = read_features(Path("a.npz"), voice.features)
    made = subprocess.run(["new/made/voice_example"], input=frames.tobytes(), capture_output=True, check=True)
    assert made.stdout == voice.compile().generate(frames).tobytes()


def test_the_header_says_that_a_post_filter_is_left_out(wavejit: Command) -> None:
    write_folder(Path("corrected"), replace(load("voice").files, postfilter=Postfilter()))
    for model, said in (("voice", False), ("corrected", True)):
        wavejit("compile", model, "-o", "made", "--name", model)
        assert ("Without the model's post-filter" in Path(f"made/{model}.h").read_text()) == said


def test_options_go_into_the_files(wavejit: Command) -> None:
    options = ("--target", "aarch64-linux-gnu", "--name", "speaker", "--precision", "int8", "--accuracy", "fast")
    result = wavejit("compile", "wavernn-16", "-o", "made", *options)
    assert written("made") == ["speaker.h", "speaker.o", "speaker_example.c"]
    assert "aarch64-linux-gnu-gcc -O2 speaker_example.c speaker.o" in result.stderr
    header = Path("made/speaker.h").read_text()
    assert "Code: neon (128-bit vectors, aarch64-unknown-linux-gnu), int8 weights, fast functions." in header
    assert Path("made/speaker.o").read_bytes()[18:20] == bytes([183, 0])


def test_instruction_sets(wavejit: Command) -> None:
    """By name for this architecture, beside a triple for another's system; either way the same code."""
    wavejit("compile", "wavernn-16", "-o", "made", "--target", "x86_64-linux-gnu", "--isa", "avx2", "--name", "a")
    assert "Code: avx2 (256-bit vectors" in Path("made/a.h").read_text()
    wavejit("compile", "wavernn-16", "-o", "made", "--target", "generic", "--name", "b")
    wavejit("compile", "wavernn-16", "-o", "made", "--isa", "generic", "--name", "c")
    described = [Path(f"made/{name}.h").read_text().split("Code: ")[1].splitlines()[0] for name in "bc"]
    assert described[0] == described[1]
    assert described[0].startswith("generic")


def test_webassembly_comes_with_javascript(wavejit: Command) -> None:
    result = wavejit("compile", "wavernn-16", "-o", "made", "--target", "wasm32-unknown-unknown")
    assert written("made") == ["wavernn_16.h", "wavernn_16.o", "wavernn_16_example.mjs"]
    assert "wasm-ld " in result.stderr
    assert Path("made/wavernn_16.o").read_bytes()[:4] == b"\0asm"


def test_what_else_is_in_the_folder_stays(wavejit: Command) -> None:
    Path("made").mkdir()
    Path("made/main.c").write_text("int main(void) { return 0; }\n")
    Path("made/wavernn_16.h").write_text("from before")
    for _ in range(2):
        assert wavejit("compile", "wavernn-16", "-o", "made").status == 0
    assert Path("made/main.c").read_text() == "int main(void) { return 0; }\n"
    assert "wavernn_16_pull" in Path("made/wavernn_16.h").read_text()
    assert len(written("made")) == 4


def test_the_same_files_each_time(wavejit: Command) -> None:
    for folder in ("first", "second"):
        wavejit("compile", "voice", "-o", folder, "--target", "x86_64-linux-gnu")
    for name in written("first"):
        assert Path("first", name).read_bytes() == Path("second", name).read_bytes()


def test_header_and_object_agree_on_memory(wavejit: Command) -> None:
    """Each stream's memory has what the printed size says."""
    result = wavejit("compile", "voice", "-o", "made")
    printed = int(result.stderr.split("a stream keeps ")[1].split(" bytes")[0].replace(",", ""))
    assert f"#define VOICE_STATE_BYTES {printed} " in Path("made/voice.h").read_text()
    assert printed % 64 == 0
    assert printed > 4 * QUEUE_FRAMES * BINS
