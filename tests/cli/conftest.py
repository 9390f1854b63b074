"""The command run in this process, and a folder with what commands are run on."""

import sys
from pathlib import Path

import pytest

from tests.cli.command import Command, Result
from tests.cli.small_voice import FEATURES, SAMPLE_RATE, random_features, small_voice, tone
from wavejit.audio import write_audio, write_features
from wavejit.checkpoints.folder import write_folder
from wavejit.cli import main


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that commands are run in, so that their messages name short paths."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def workplace(here: Path) -> Path:
    """With a model folder `voice`, features `a.npz` and `b.npy`, a recording `c.wav`."""
    write_folder(Path("voice"), small_voice())
    write_features("a.npz", random_features(), FEATURES)
    write_features("b.npy", random_features(1), FEATURES)
    write_audio("c.wav", tone(), SAMPLE_RATE)
    return here


@pytest.fixture
def wavejit(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Command:
    """The command, run in this process by the package's entry point."""

    def run(*arguments: str | Path) -> Result:
        monkeypatch.setattr(sys, "argv", ["wavejit", *map(str, arguments)])
        capsysbinary.readouterr()
        status = 0
        try:
            main()
        except SystemExit as ending:
            status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        out, err = capsysbinary.readouterr()
        return Result(status, out, err.decode())

    return run
