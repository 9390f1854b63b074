"""Coverage-guided fuzzing, in a process of its own."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import wavejit.checkpoints

RUNS, SECONDS = 50_000, 60


@pytest.mark.slow
def test_atheris_finds_nothing(tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("needs atheris: python -m pip install atheris (it has no wheels for every Python)")
    source = str(Path(wavejit.checkpoints.__file__).parents[2])
    harness = str(Path(__file__).with_name("fuzz_importers.py"))
    found = subprocess.run(
        [sys.executable, harness, f"-runs={RUNS}", f"-max_total_time={SECONDS}", "-seed=1"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": source, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=3 * SECONDS,
    )
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    assert "Done " in found.stderr  # the fuzzer's own account of its runs
