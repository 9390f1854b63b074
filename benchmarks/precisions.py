"""What each format of weights costs a model in sound: copy synthesis beside the recording.

    python benchmarks/precisions.py MODEL FEATURES RECORDING

Prints the log-mel correlation with the recording (median over seeds) and the speed, for each format. Features may
be the recording itself.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

from wavejit import InputError, load
from wavejit.audio import log_mel_correlation, read_audio, read_features
from wavejit.ir.formats import PRECISIONS

SEEDS = range(5)


def main(folder: str, features: str, recording: str) -> None:
    """Measure and print."""
    model = load(folder)
    if model.features is None:
        raise InputError(f"{folder}: has no features, expected a model folder with features")
    frames = read_features(Path(features), model.features)
    original, _ = read_audio(recording, model.sample_rate)
    for precision in PRECISIONS:
        vocoder = model.compile(precision)
        scores: list[float] = []
        speeds: list[float] = []
        for seed in SEEDS:
            started = time.perf_counter()
            made = vocoder.generate(frames, seed=seed)
            speeds.append(len(made) / model.sample_rate / (time.perf_counter() - started))
            scores.append(log_mel_correlation(made, original, model.sample_rate))
        correlation, speed = statistics.median(scores), statistics.median(speeds)
        print(f"{precision:9} log-mel correlation {correlation:.4f}   {speed:.1f}x real time")


if __name__ == "__main__":
    main(*sys.argv[1:])
