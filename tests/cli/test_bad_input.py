"""Bad input: one sentence, exit status 2, nothing half-written, and what was there before stays."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file, save_file

from tests.cli.command import TRACEBACK, Command, Result, subprocess_command
from tests.cli.small_voice import BINS, SAMPLE_RATE, random_features, tone

pytestmark = pytest.mark.usefixtures("workplace")

KEPT = b"what was there before"


def contents() -> dict[str, bytes]:
    """Every file and folder below this one, but for what a test said it would make."""
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in sorted(Path().rglob("*"))}


@pytest.fixture
def refused(wavejit: Command, workplace: Path) -> Callable[..., str]:
    """Run a command that must be refused and leave the folder as it was; returns its sentence."""
    Path("out.wav").write_bytes(KEPT)

    def run(*arguments: str | Path) -> str:
        before = contents()
        result = wavejit(*arguments)
        sentence = result.sentence()
        assert result.stdout == b""
        assert contents() == before
        return sentence

    return run


# ---------------------------------------------------------------------------------------- checkpoints

START = struct.pack("<4i", 3, 3, 200, 2)  # a plausible header of the format that can be imported
LAYER = struct.pack("<i64s5i", 1, b"conv", 4, 0, 80, 64, 5)

CHECKPOINTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "begins like none"),
    "foreign": (b"GGUF" + bytes(4000), "begins like none"),
    "pickled": (b"\x80\x02}q\x00." + bytes(4000), "begins like none"),
    "cut off in its header": (START[:10], "begins like none"),
    "cut off in a layer": (START + LAYER + bytes(1000), "the file ends"),
    "of impossible sizes": (
        START + struct.pack("<i64s5i", 1, b"conv", 4, 0, 80, 2**31 - 1, 5),
        "is 2147483647",
    ),
    "with NaN in it": (START + LAYER + np.full(64 * 80 * 5, np.nan, "<f4").tobytes(), "NaN"),
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_checkpoints(refused: Callable[..., str], kind: str) -> None:
    content, words = CHECKPOINTS[kind]
    Path("model.bin").write_bytes(content)
    sentence = refused("import", "model.bin", "-o", "new")
    assert "model.bin" in sentence
    assert words in sentence


@pytest.mark.parametrize("name", ["missing.bin", "."])
def test_checkpoints_that_are_no_file(refused: Callable[..., str], name: str) -> None:
    assert name in refused("import", name, "-o", "new")


@pytest.mark.parametrize("option", ["--format", "--features"])
def test_unknown_names_on_import(refused: Callable[..., str], option: str) -> None:
    Path("model.bin").write_bytes(START + LAYER)
    assert "'nonsense'" in refused("import", "model.bin", "-o", "new", option, "nonsense")


# -------------------------------------------------------------------------------------- model folders


def edit_config(change: Callable[[dict], object]) -> None:
    path = Path("voice/config.json")
    fields = json.loads(path.read_text())
    change(fields)
    path.write_text(json.dumps(fields))


def edit_weights(change: Callable[[dict], object]) -> None:
    path = "voice/model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)


def cut(path: str) -> None:
    Path(path).write_bytes(Path(path).read_bytes()[:-100])


FOLDERS: dict[str, tuple[Callable[[], object], str]] = {
    "no config.json": (lambda: Path("voice/config.json").unlink(), "config.json"),
    "no weights": (lambda: Path("voice/model.safetensors").unlink(), "model.safetensors"),
    "config.json cut off": (lambda: cut("voice/config.json"), "JSON"),
    "config.json of another kind": (lambda: Path("voice/config.json").write_text("[1]"), "an object"),
    "weights cut off": (lambda: cut("voice/model.safetensors"), "safetensors"),
    "weights of another kind": (
        lambda: Path("voice/model.safetensors").write_bytes(b"PK" * 99),
        "safetensors",
    ),
    "unknown family": (lambda: edit_config(lambda c: c.update(family="lpcnet")), "'lpcnet'"),
    "unknown field": (lambda: edit_config(lambda c: c.update(speaker="a")), "'speaker'"),
    "unknown size": (lambda: edit_config(lambda c: c["network"].update(lanes=2)), "'lanes'"),
    "missing size": (lambda: edit_config(lambda c: c["network"].pop("bins")), "network.bins"),
    "size that cannot be": (
        lambda: edit_config(lambda c: c["network"].update(padding=-1)),
        "network.padding",
    ),
    "size of another type": (lambda: edit_config(lambda c: c["network"].update(bins="x")), "network.bins"),
    "unknown feature": (lambda: edit_config(lambda c: c["features"].update(colour=1)), "'colour'"),
    "features of other bins": (lambda: edit_config(lambda c: c["features"].update(bins=40)), "features.bins"),
    "features of another hop": (
        lambda: edit_config(lambda c: c["features"].update(hop_length=10)),
        "hop_length",
    ),
    "features of another rate": (
        lambda: edit_config(lambda c: c["features"].update(sample_rate=22050)),
        "features.sample_rate",
    ),
    "ranges of another kind": (lambda: edit_config(lambda c: c.update(ranges=[2.0])), "ranges is an array"),
    "a range that cannot be": (lambda: edit_config(lambda c: c.update(ranges={"out.weight": 0})), "'out.weight'"),
    "clips of another kind": (lambda: edit_config(lambda c: c.update(clips=[2.0])), "clips is an array"),
    "a clip that cannot be": (lambda: edit_config(lambda c: c.update(clips={"out.weight": 0})), "clips['out.weight']"),
    "missing weight": (lambda: edit_weights(lambda w: w.pop("out.bias")), "out.bias"),
    "unknown weight": (lambda: edit_weights(lambda w: w.update(spare=w["out.bias"].copy())), "'spare'"),
    "weight of another shape": (
        lambda: edit_weights(lambda w: w.update({"out.bias": w["out.bias"][:3]})),
        "(3,)",
    ),
    "weight of another type": (
        lambda: edit_weights(lambda w: w.update({"out.bias": w["out.bias"].astype(np.float16)})),
        "F16",
    ),
    "NaN weight": (lambda: edit_weights(lambda w: w["out.bias"].__setitem__(0, np.nan)), "NaN"),
    "infinite weight": (lambda: edit_weights(lambda w: w["out.bias"].__setitem__(0, np.inf)), "out.bias"),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_model_folders(refused: Callable[..., str], kind: str) -> None:
    damage, words = FOLDERS[kind]
    damage()
    sentence = refused("vocode", "a.npz", "-m", "voice", "-o", "out.wav")
    assert "voice" in sentence
    assert words in sentence


@pytest.mark.parametrize(
    "model",
    [
        "nonsense",
        "a.npz",
        "wavernn-1",
        "wavernn-7",
        "deepvoice-0-8-16",
        "deepvoice-999-8-16",
        "wavegru-0",
        "samplernn-9999",
    ],
)
@pytest.mark.parametrize("command", ["info", "bench", "explain", "compile -o new", "vocode a.npz -o out.wav -m"])
def test_models_that_there_are_not(refused: Callable[..., str], command: str, model: str) -> None:
    refused(*command.split(), model)


@pytest.mark.parametrize("model", ["wavernn-16", "deepvoice-2-8-16"])
def test_networks_without_features(refused: Callable[..., str], model: str) -> None:
    assert "features" in refused("vocode", "a.npz", "-m", model, "-o", "out.wav")
    assert "features" in refused("features", "c.wav", "-m", model, "-o", "new.npz")


# ------------------------------------------------------------------------------- features and recordings


def with_nan() -> np.ndarray:
    features = random_features()
    features[3, 2] = np.nan
    return features


INPUTS: dict[str, tuple[str, Callable[[str], object], str]] = {
    "other bins": ("x.npy", lambda p: np.save(p, random_features(bins=BINS + 1)), f"(frames, {BINS})"),
    "one axis": ("x.npy", lambda p: np.save(p, random_features()[0, :-1]), f"(frames, {BINS})"),
    "no frames": ("x.npy", lambda p: np.save(p, random_features(0)), "at least one"),
    "integers": ("x.npy", lambda p: np.save(p, random_features().astype(int)), "int64"),
    "text": ("x.npy", lambda p: np.save(p, np.full((4, BINS), "a")), "U1"),
    "objects": ("x.npy", lambda p: np.save(p, np.full((4, BINS), None), allow_pickle=True), "x.npy"),
    "NaN": ("x.npy", lambda p: np.save(p, with_nan()), "frame 3, bin 2"),
    "infinite": ("x.npy", lambda p: np.save(p, random_features() / np.float32(0)), "finite"),
    "no .npy": ("x.npy", lambda p: Path(p).write_bytes(b"hello"), "header"),
    "no .npz": ("x.npz", lambda p: Path(p).write_bytes(b"hello"), ".npz"),
    "no safetensors": ("x.safetensors", lambda p: Path(p).write_bytes(b"hello"), "safetensors"),
    "cut off": ("x.npy", lambda p: (np.save(p, random_features()), cut(p)), "announces"),
    "several arrays": ("x.npz", lambda p: np.savez(p, a=random_features(), b=random_features()), "a, b"),
    "another rate": (
        "x.npz",
        lambda p: np.savez(p, features=random_features(), sample_rate=22050),
        "sample_rate",
    ),
    "another hop": ("x.npz", lambda p: np.savez(p, features=random_features(), hop_length=256), "hop_length"),
    "another scale": (
        "x.npz",
        lambda p: np.savez(p, features=random_features(), mel_scale="htk"),
        "mel_scale",
    ),
    "no audio": ("x.wav", lambda p: Path(p).write_bytes(b"hello"), "x.wav"),
    "an empty file": ("x.wav", lambda p: Path(p).write_bytes(b""), "x.wav"),
    "no samples": ("x.wav", lambda p: soundfile.write(p, np.zeros(0), SAMPLE_RATE), "no samples"),
    "NaN samples": ("x.wav", lambda p: soundfile.write(p, tone() * np.nan, SAMPLE_RATE, "FLOAT"), "NaN"),
    "numbers no sound": (
        "x.wav",
        lambda p: soundfile.write(p, tone() * 1e5, SAMPLE_RATE, "FLOAT"),
        "[-1, 1]",
    ),
    "nothing": ("x.npy", lambda p: None, "x.npy"),
    "a folder": ("x", lambda p: Path(p).mkdir(), "folder"),
}


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("kind", INPUTS)
def test_features_and_recordings(refused: Callable[..., str], kind: str) -> None:
    name, write, words = INPUTS[kind]
    write(name)
    sentence = refused("vocode", name, "-m", "voice", "-o", "out.wav")
    assert name in sentence
    assert words in sentence


def test_all_inputs_are_checked_before_any_is_spoken(refused: Callable[..., str]) -> None:
    Path("made").mkdir()
    assert "missing.npy" in refused("vocode", "a.npz", "missing.npy", "-m", "voice", "-o", "made")


def test_a_refused_command_makes_no_folder(refused: Callable[..., str]) -> None:
    refused("vocode", "a.npz", "missing.npy", "-m", "voice", "-o", "made")


# --------------------------------------------------------------------------------------------- outputs


@pytest.mark.parametrize("name", ["new.xyz", "new", "missing/new.wav"])
def test_outputs_that_cannot_be_are_refused_at_once(refused: Callable[..., str], name: str) -> None:
    """Before minutes of audio are made in vain."""
    assert name in refused("vocode", "a.npz", "-m", "voice", "-o", name)


def test_a_file_where_a_folder_is_needed(refused: Callable[..., str]) -> None:
    assert "out.wav" in refused("vocode", "a.npz", "b.npy", "-m", "voice", "-o", "out.wav")
    Path("model.bin").write_bytes(START + LAYER)
    refused("import", "model.bin", "-o", "out.wav")


def test_two_inputs_of_one_name(refused: Callable[..., str]) -> None:
    Path("other").mkdir()
    Path("other/a.npy").write_bytes(Path("b.npy").read_bytes())
    assert "a.wav" in refused("vocode", "a.npz", "other/a.npy", "-m", "voice", "-o", "made")


@pytest.mark.parametrize("name", ["voice.o", "voice.h", "voice_example.c"])
def test_a_folder_where_a_file_is_needed(refused: Callable[..., str], name: str) -> None:
    Path("made", name).mkdir(parents=True)
    assert name in refused("compile", "voice", "-o", "made")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs a user who may not write everywhere")
def test_a_folder_that_may_not_be_written_to(refused: Callable[..., str]) -> None:
    Path("made").mkdir()
    Path("made").chmod(0o555)
    assert "made" in refused("compile", "voice", "-o", "made")


def test_the_output_must_be_said_once(refused: Callable[..., str]) -> None:
    assert "--output-raw" in refused("vocode", "a.npz", "-m", "voice")
    assert "--output-raw" in refused("vocode", "a.npz", "-m", "voice", "-o", "out.wav", "--output-raw")
    assert "--preset" in refused("features", "c.wav", "-o", "new.npz")
    assert "--preset" in refused("features", "c.wav", "-o", "new.npz", "-m", "voice", "--preset", "vocos")


@pytest.mark.parametrize("options", ["-o new.xyz -m voice", "-o new.npz --preset nonsense"])
def test_features_that_cannot_be_written(refused: Callable[..., str], options: str) -> None:
    refused("features", "c.wav", *options.split())


def on_a_full_disk(*arguments: str | Path, limit: int) -> Result:
    """Run a command that may write no file of more than `limit` bytes."""
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")

    def before() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing fails instead of killing
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess_command(*arguments, before=before)


@pytest.mark.parametrize(
    ("command", "limit"),
    [
        (("vocode", "a.npz", "-m", "voice", "-o", "out.wav"), 1000),
        (("features", "c.wav", "-m", "voice", "-o", "a.npz"), 1000),
        (("compile", "voice", "-o", "new/made"), 1000),
        (("compile", "voice", "-o", "made"), 1000),
    ],
    ids=["vocode", "features", "compile, new folder", "compile, old folder"],
)
def test_a_full_disk(command: tuple[str, ...], limit: int) -> None:
    Path("out.wav").write_bytes(KEPT)
    Path("made").mkdir()
    Path("made/voice.o").write_bytes(KEPT)
    before = contents()
    assert command[-1] in on_a_full_disk(*command, limit=limit).last_sentence()
    assert contents() == before


def test_a_full_disk_leaves_the_model_that_was_there(shared: Path) -> None:
    before = contents()
    checkpoint = shared / "checkpoints" / "geneing_wavernn" / "model.bin"
    assert "voice" in on_a_full_disk("import", checkpoint, "-o", "voice", limit=100_000).sentence()
    assert contents() == before


# --------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    "option",
    [
        ("--seed", "-1"),
        ("--seed", str(2**64)),
        ("--temperature", "-0.5"),
        ("--temperature", "nan"),
        ("--temperature", "inf"),
        ("--precision", "float17"),
        ("--threads", "0"),
        ("--threads", "99"),
        ("--threads", "-1"),
        ("--threads", "many"),
        ("--backend", "abacus"),
        ("--target", "z80"),
        ("--target", "aarch64-linux-gnu"),
        ("--accuracy", "perfect"),
    ],
    ids=" ".join,
)
def test_options_out_of_range(refused: Callable[..., str], option: tuple[str, str]) -> None:
    sentence = refused("vocode", "a.npz", "-m", "voice", "-o", "out.wav", *option)
    assert option[0].removeprefix("--") in sentence
    assert "expected" in sentence


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        ("bench", "--precision", "float17"),
        ("bench", "--threads", "99"),
        ("bench", "--threads", "many"),
        ("bench", "--streams", "0"),
        ("bench", "--streams", "65"),
        ("bench", "--backend", "reference"),
        ("bench", "--target", "z80"),
        ("explain", "--target", "z80"),
        ("explain --llvm", "--target", "z80-unknown-unknown"),
        ("explain", "--accuracy", "perfect"),
        ("compile -o new", "--target", "z80"),
        ("compile -o new", "--target", "z80-unknown-unknown"),
        ("compile -o new", "--target", "powerpc64-linux-gnu"),
        ("compile -o new", "--target", ""),
        ("compile -o new", "--isa", "neon512"),
        ("compile -o new --target aarch64-linux-gnu", "--isa", "avx2"),
        ("compile -o new --target x86_64-linux-gnu", "--isa", "neon"),
        ("compile -o new --target generic", "--isa", "generic"),
        ("compile -o new", "--precision", "float17"),
        ("compile -o new", "--accuracy", "perfect"),
        ("compile -o new", "--name", "2nd"),
        ("compile -o new", "--name", "a-b"),
        ("compile -o new", "--name", ""),
        ("compile -o new", "--name", "../up"),
        ("compile -o new", "--name", "a" * 300),
        ("compile", "-o", "out.wav"),
        ("compile", "-o", "out.wav/new"),
    ],
)
def test_others_options(refused: Callable[..., str], command: str, option: str, value: str) -> None:
    assert value in refused(*command.split(), "deepvoice-2-8-16", option, value)


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("vocode",),
        ("vocode", "a.npz"),
        ("vocode", "a.npz", "-m", "voice", "-o", "out.wav", "--nonsense"),
        ("vocode", "a.npz", "-m", "voice", "-o", "out.wav", "--seed", "one"),
        ("bench", "deepvoice-2-8-16", "--seconds", "0"),
        ("info",),
    ],
    ids=" ".join,
)
def test_wrong_usage(wavejit: Command, arguments: tuple[str, ...]) -> None:
    Path("out.wav").write_bytes(KEPT)
    before = contents()
    result = wavejit(*arguments)
    assert (result.status, result.stdout) == (2, b"")
    assert result.stderr.strip()
    assert TRACEBACK not in result.stderr
    assert contents() == before
