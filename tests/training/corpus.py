"""A corpus of seconds: vowels of a buzz, and silence."""

from pathlib import Path

import numpy as np

from wavejit.audio import write_audio

RATE = 8000


def buzzing_corpus(folder: Path, clips: int = 40) -> Path:
    """Write `clips` of 0.6 s at 8 kHz, with a manifest, into `folder`."""
    folder.mkdir()
    rng = np.random.default_rng(7)
    time = np.arange(int(0.6 * RATE)) / RATE
    lines: list[str] = []
    for i in range(clips):
        f0 = rng.uniform(110, 220)
        loud = np.clip(8 * time * (0.6 - time), 0, 0.4)
        buzz = sum(np.sin(2 * np.pi * f0 * k * time) / k for k in range(1, 12))
        write_audio(folder / f"{i}.wav", 0.3 * loud * buzz + 0.001 * rng.standard_normal(len(time)), RATE)
        lines.append(f"{i}.wav|Buzz number {i}.")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder
