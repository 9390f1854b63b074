"""The feature contract: every choice that turns samples into the mel frames a vocoder was trained on.

Two programs that both write "80 mel bins" rarely mean the same numbers. A model states its contract;
features that come from elsewhere are compared with it field by field.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import msgspec

from wavejit.audio.checks import is_number, require
from wavejit.audio.normalisation import Normalisation, check_normalisation
from wavejit.errors import InputError

MelScale = Literal["slaney", "htk"]
MelNorm = Literal["slaney", "none"]
Centre = Literal["reflect", "zero", "same", "none"]
Log = Literal["natural", "log10", "decibel", "none"]

_LARGEST = {
    "sample_rate": 768_000,
    "hop_length": 65_536,
    "n_fft": 65_536,
    "window_length": 65_536,
    "bins": 4_096,
}
_CHOICES = {
    "mel_scale": get_args(MelScale),
    "mel_norm": get_args(MelNorm),
    "centre": get_args(Centre),
    "log": get_args(Log),
}


class FeatureContract(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How samples become mel frames. Values are checked when it is made.

    The order is: pre-emphasis, padding, Hann window, FFT, magnitude to a power, mel filterbank,
    `max(floor, mel)`, logarithm, normalisation.

    Attributes:
        sample_rate: in Hz.
        hop_length: samples between frames.
        window_length: samples of the periodic Hann window, centred in `n_fft`.
        n_fft: FFT size, in samples.
        bins: mel bands (`n_mels`).
        f_min: lowest frequency of the first band, in Hz.
        f_max: highest frequency of the last band, in Hz; at most half of `sample_rate`.
        mel_scale: "slaney" (linear below 1 kHz) or "htk" (2595 log10(1 + f / 700)).
        mel_norm: "slaney" (bands of equal area) or "none" (peaks of 1).
        magnitude_power: 1.0 (amplitude) or 2.0 (energy).
        centre: padding of each side. "reflect" and "zero": `n_fft // 2`, so that frame t is centred on
            sample `t * hop_length`; "same": `(n_fft - hop_length) // 2` by reflection, as in HiFi-GAN, which
            gives `samples // hop_length` frames; "none": no padding.
        log: "natural", "log10", "decibel" or "none". A decibel is 20 log10 of the mel value whatever
            `magnitude_power` is, as in Tacotron implementations.
        floor: smallest mel value, applied as `max(floor, mel)` before the logarithm.
        normalisation: None, a `RangeNormalisation` (needs decibels) or a `BinNormalisation`.
        preemphasis: c in `y[t] = x[t] - c x[t - 1]`, in [0, 1); 0 for none.
        pitch: whether two channels follow the bins: the natural logarithm of F0 in Hz, carried on a straight line
            through what is not voiced, and 1 where it is voiced, else 0. Not normalised.

    Raises:
        InputError: a value is impossible; names the field, the value and what was expected.
    """

    sample_rate: int
    hop_length: int
    window_length: int
    n_fft: int
    bins: int
    f_max: float
    f_min: float = 0.0
    mel_scale: MelScale = "slaney"
    mel_norm: MelNorm = "slaney"
    magnitude_power: float = 1.0
    centre: Centre = "reflect"
    log: Log = "natural"
    floor: float = 1e-5
    normalisation: Normalisation | None = None
    preemphasis: float = 0.0
    pitch: bool = False

    def __post_init__(self) -> None:
        def check(field: str, holds: bool, expected: str) -> None:
            require(holds, field, getattr(self, field), expected)

        for field, largest in _LARGEST.items():
            value = getattr(self, field)
            whole = isinstance(value, int) and not isinstance(value, bool)
            check(field, whole and 1 <= value <= largest, f"a whole number from 1 to {largest}")
        for field, choices in _CHOICES.items():
            value = getattr(self, field)
            check(field, isinstance(value, str) and value in choices, "one of " + ", ".join(choices))
        nyquist, fft = self.sample_rate / 2, f"at most n_fft ({self.n_fft})"
        check("n_fft", self.n_fft >= 2, "at least 2")
        check("window_length", self.window_length <= self.n_fft, fft)
        check(
            "hop_length",
            self.centre != "same" or self.hop_length <= self.n_fft,
            fft + " where centre is same",
        )
        check("f_max", is_number(self.f_max) and 1 <= self.f_max <= nyquist, f"from 1 to {nyquist:g} Hz")
        least = f"from 0 to 1 Hz below f_max ({self.f_max:g} Hz)"
        check("f_min", is_number(self.f_min) and 0 <= self.f_min <= self.f_max - 1, least)
        check(
            "magnitude_power",
            is_number(self.magnitude_power) and self.magnitude_power in (1, 2),
            "1.0 or 2.0",
        )
        check("floor", is_number(self.floor) and self.floor >= 0, "a number of at least 0")
        check("floor", self.floor > 0 or self.log == "none", "above 0, for a logarithm follows")
        check("preemphasis", is_number(self.preemphasis) and 0 <= self.preemphasis < 1, "from 0 to below 1")
        check("pitch", isinstance(self.pitch, bool), "true or false")
        check("pitch", not self.pitch or self.centre in ("reflect", "zero"), "false unless centre is reflect or zero")
        check_normalisation(self.normalisation, self.bins, self.log)

    @property
    def channels(self) -> int:
        """Numbers a frame: the bins, and two more with `pitch`."""
        return self.bins + 2 * self.pitch

    @property
    def padding(self) -> int:
        """Samples added on each side before framing."""
        match self.centre:
            case "none":
                return 0
            case "same":
                return (self.n_fft - self.hop_length) // 2
            case _:
                return self.n_fft // 2

    def frames(self, samples: int) -> int:
        """Frames that `samples` samples give: 0 where they do not fill one window."""
        return max(0, (samples + 2 * self.padding - self.n_fft) // self.hop_length + 1)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON types, for `config.json`."""
        return msgspec.to_builtins(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any], source: str = "features") -> "FeatureContract":
        """The contract that `to_dict` wrote.

        Args:
            fields: as `to_dict` returns them; JSON types.
            source: what an error names: the file that they come from.

        Raises:
            InputError: a field is missing, unknown, of the wrong type, or impossible.
        """
        try:
            return msgspec.convert(fields, cls)
        except msgspec.ValidationError as error:
            raise InputError(f"{source}: {error}") from None
