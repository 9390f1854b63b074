"""What each format of weights costs a model in sound: copy synthesis beside the recording.

    python benchmarks/precisions.py MODEL FEATURES RECORDING [--calibrate]

Prints the log-mel correlation with the recording (median over seeds) and the speed, for each format. Features may
be the recording itself. With --calibrate the model is calibrated on them first, and measures no integers.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from wavejit import InputError, load
from wavejit.audio import log_mel_correlation, read_audio, read_features
from wavejit.ir.formats import PRECISIONS

SEEDS = range(5)


def main(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    model = load(arguments.model)
    if model.features is None:
        raise InputError(f"{arguments.model}: has no features, expected a model folder with features")
    frames = read_features(Path(arguments.features), model.features)
    original, _ = read_audio(arguments.recording, model.sample_rate)
    if arguments.calibrate:
        model = model.calibrated(frames)
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model folder")
    parser.add_argument("features", help="a .npy file, or a recording")
    parser.add_argument("recording", help="what the audio is compared with")
    parser.add_argument("--calibrate", action="store_true", help="find ranges on the features first")
    main(parser.parse_args())
