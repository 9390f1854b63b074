"""The command as a process of its own: what only shows outside Python."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import TRACEBACK, Command, Result, subprocess_command

COMMAND = [sys.executable, "-c", "from wavejit.cli import main; main()"]


@pytest.mark.usefixtures("workplace")
def test_bad_input_ends_with_status_2_and_one_sentence() -> None:
    result = subprocess_command("vocode", "missing.npy", "-m", "voice", "-o", "out.wav")
    assert "missing.npy" in result.sentence()
    assert result.stdout == b""


@pytest.mark.usefixtures("workplace")
def test_raw_output_is_bytes_and_nothing_else() -> None:
    result = subprocess_command("vocode", "a.npz", "-m", "voice", "--output-raw")
    assert (result.status, len(result.stdout)) == (0, 2 * 30 * 50)
    assert result.stderr.strip() == ""


@pytest.mark.parametrize(
    "arguments",
    [("vocode", *["a.npz"] * 100, "-m", "voice", "--output-raw"), ("explain", "deepvoice-8-32-32", "--llvm")],
    ids=lambda arguments: arguments[0],
)
@pytest.mark.usefixtures("workplace")
def test_a_reader_that_has_had_enough_ends_it_quietly(arguments: tuple[str, ...]) -> None:
    """More than a pipe holds is written to one that is closed after 100 bytes."""
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert len(process.stdout.read(100)) == 100
        process.stdout.close()
        errors = process.stderr.read().decode()
        process.wait(timeout=60)
    assert TRACEBACK not in errors
    assert errors.strip() == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("vocode", "a.npz", "-m", "voice", "--output-raw"),
        ("info", "voice"),
        ("explain", "deepvoice-2-8-16", "--llvm"),
    ],
    ids=lambda arguments: arguments[0],
)
@pytest.mark.usefixtures("workplace")
def test_standard_output_on_a_full_disk_is_told(arguments: tuple[str, ...]) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    with full.open("wb") as disk:
        done = subprocess.run([*COMMAND, *arguments], stdout=disk, stderr=subprocess.PIPE, check=False)
    sentence = Result(done.returncode, b"", done.stderr.decode()).last_sentence()
    assert "No space left" in sentence


@pytest.mark.usefixtures("workplace")
def test_an_interrupt_ends_it_quietly() -> None:
    def before() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell starts what runs in the background without it

    # More than a pipe holds, so that it cannot have ended before.
    arguments = ["vocode", *["a.npz"] * 100, "-m", "voice", "--output-raw", "--backend", "reference"]
    command, pipe = [*COMMAND, *arguments], subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, preexec_fn=before) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10)  # it is under way
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read().decode()
        process.wait(timeout=60)
    assert process.returncode == 130
    assert TRACEBACK not in errors


def test_a_network_beyond_the_memory_is_refused() -> None:
    resource = pytest.importorskip("resource")

    def before() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))

    subprocess_command("info", "deepvoice-256-8192-8192", before=before).sentence()


def test_version_and_help(wavejit: Command, here: Path) -> None:
    import wavejit as package

    assert wavejit("--version").text == f"wavejit {package.__version__}\n"
    commands = wavejit("--help").text
    for name in ("vocode", "features", "import", "info", "explain", "bench"):
        assert name in commands
        assert wavejit(name, "-h").status == 0


def test_no_command_is_slow_to_say_that_it_was_called_wrongly() -> None:
    """Neither LLVM nor a framework is loaded before it is needed."""
    code = "import sys; import wavejit.cli.app; print([m for m in ('llvmlite', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
