"""The command line as a user meets it: exit status and both outputs."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """Standard output as text, after a command that succeeded."""
        assert self.status == 0, self.stderr
        return self.stdout.decode()

    def sentence(self) -> str:
        """The sentence with which the command refused what it was given; nothing else may be on stderr."""
        assert self.stderr.count("\n") == 1, self.stderr
        return self.last_sentence()

    def last_sentence(self) -> str:
        """The sentence with which the command ended, after work had begun and been told of."""
        assert self.status == 2, (self.status, self.stderr)
        assert TRACEBACK not in self.stderr
        assert self.stderr.endswith("\n")
        *before, last = self.stderr.splitlines()
        assert last.startswith("wavejit: ")
        assert not any(line.startswith("wavejit: ") for line in before)
        assert "\\n" not in last
        assert not last.endswith(".")
        return last.removeprefix("wavejit: ")


Command = Callable[..., Result]


def subprocess_command(*arguments: str | Path, before: Callable[[], None] | None = None) -> Result:
    """Run the command in a process of its own; `before` runs in it first."""
    done = subprocess.run(
        [sys.executable, "-c", "from wavejit.cli import main; main()", *map(str, arguments)],
        capture_output=True,
        preexec_fn=before,
        timeout=120,
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr.decode())
