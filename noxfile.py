"""What is checked, and how: `nox` runs the defaults, `nox -s NAME` one session, `nox -l` lists them.

CI runs the same sessions with `--no-venv --no-install`, in the environment that the README's command made.
"""

import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import nox

nox.options.sessions = ["tests", "lint", "docs"]
nox.options.reuse_existing_virtualenvs = True

ROOT = Path(__file__).parent


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Run the tests; arguments after `--` go to pytest."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting, types and the direction of imports."""
    session.install("-e", ".[dev]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("pyright")
    session.run("lint-imports")


@nox.session
def slow(session: nox.Session) -> None:
    """Run the tests that take minutes, or that need an emulator or a fuzzer."""
    session.install("-e", ".[dev]", "atheris")
    session.run("python", "-m", "pytest", "-m", "slow", *session.posargs)


@nox.session
def training(session: nox.Session) -> None:
    """Run the tests that need PyTorch, and train a whole voice on a few recordings."""
    session.install("-e", ".[dev,train]")
    session.run("python", "-m", "pytest", "-m", "slow or not slow", "tests/training", *session.posargs)


@nox.session
def gpu(session: nox.Session) -> None:
    """On a machine with an NVIDIA GPU: run its tests, look for races and stray accesses, measure."""
    session.install("-e", ".[dev,cuda]")
    expected = {"WAVEJIT_EXPECT_GPU": "1"}
    tests = ["-m", "pytest", "-q", "tests/backends/cuda/test_gpu.py"]
    session.run("python", *tests, env=expected)
    if shutil.which("compute-sanitizer"):
        for tool in ("memcheck", "racecheck"):
            checked = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "1", "python", *tests]
            session.run(*checked, "-k", "agrees and int8 and (wavenet or wavernn)", env=expected, external=True)
    else:
        session.warn("compute-sanitizer is not on the path: memory and races were not checked")
    session.run("python", "benchmarks/gpu.py")


@nox.session
def docs(session: nox.Session) -> None:
    """Execute every `python` block of the documentation, a page at a time, in an empty folder."""
    session.install("-e", ".")
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        blocks = python_blocks(page.read_text(encoding="utf-8"))
        if blocks:
            session.log(f"{page.relative_to(ROOT)}: {len(blocks)} examples")
            with TemporaryDirectory() as folder, session.chdir(folder):
                session.run("python", "-W", "error", "-c", "\n\n".join(blocks), silent=True)


def python_blocks(markdown: str) -> list[str]:
    """Return the contents of the fenced blocks marked `python`, in order."""
    return re.findall(r"^```python\n(.*?)^```$", markdown, flags=re.MULTILINE | re.DOTALL)
