"""Spectrograms: each recording above what was made of it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wavejit.audio import FeatureContract, mel_features
from wavejit.audio.storage import replace_file
from wavejit.errors import InputError
from wavejit.evaluation.measure import Clip

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg")
MOST_CLIPS = 3
WIDTH, HEIGHT, DPI = 8.0, 1.6, 130  # of a spectrogram in inches, and dots an inch
DECIBELS = 80.0  # below the loudest, shown black


def check_plot(file: Path) -> None:
    """Raise InputError where the suffix is not one of `SUFFIXES`, or the folder is missing."""
    if file.suffix.lower() not in SUFFIXES:
        raise InputError(f"{str(file)!r}: suffix is {file.suffix!r}, expected {' or '.join(SUFFIXES)}")
    if not file.parent.is_dir():
        raise InputError(f"{str(file)!r} cannot be written: there is no folder {str(file.parent)!r}")


def draw_spectrograms(clips: Sequence[Clip], file: Path) -> None:
    """Draw the first clips: the recording above, what was made below, on one scale of time and of level.

    Args:
        clips: at least one.
        file: what `check_plot` let pass; replaced when the picture is complete.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = clips[:MOST_CLIPS]
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "wavejit", "font.size": 8.0}):
        figure = Figure((WIDTH, 2 * HEIGHT * len(shown)), layout="constrained")
        FigureCanvasAgg(figure)  # no window, and no state shared with the caller's figures
        axes = np.atleast_1d(figure.subplots(2 * len(shown), 1))
        for i, clip in enumerate(shown):
            _pair(axes[2 * i], axes[2 * i + 1], clip)
        made, suffix = io.BytesIO(), file.suffix.lower()
        metadata = {"Date": None} if suffix == ".svg" else None
        figure.savefig(made, format=suffix[1:], dpi=DPI, metadata=metadata)
    replace_file(file, made.getvalue())


def _pair(above: Axes, below: Axes, clip: Clip) -> None:
    pictures = [_decibels(signal, clip.sample_rate) for signal in (clip.recorded, clip.made)]
    loudest = max(float(picture.max()) for picture in pictures)
    seconds = max(len(clip.recorded), len(clip.made)) / clip.sample_rate
    names = (f"{clip.name}: recording", "made")
    signals = (clip.recorded, clip.made)
    for axes, picture, signal, name in zip((above, below), pictures, signals, names, strict=True):
        extent = (0.0, len(signal) / clip.sample_rate, 0.0, float(picture.shape[1]))
        axes.imshow(
            picture.T, extent=extent, origin="lower", aspect="auto", cmap="magma", vmin=loudest - DECIBELS, vmax=loudest
        )
        axes.set_xlim(0, seconds)
        axes.set_title(name, loc="left", fontsize=8)
        axes.set_ylabel("mel band")
        axes.set_facecolor("black")
    above.tick_params(labelbottom=False)
    below.set_xlabel("seconds")


def _decibels(samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float32]:
    """The mel spectrogram, `(frames, bands)`, in dB."""
    contract = FeatureContract(
        sample_rate=sample_rate,
        hop_length=round(0.005 * sample_rate),
        window_length=round(0.025 * sample_rate),
        n_fft=round(0.1 * sample_rate),
        bins=80,
        f_max=sample_rate / 2,
        centre="zero",
        log="decibel",
    )
    return mel_features(samples, contract)
