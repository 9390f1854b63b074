"""What `wavejit evaluate` tells: means and medians over the clips, the recordings beside, and each clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from wavejit.evaluation.scores import ClipScores, Scores, gaps, mean, median, summarised


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """An evaluation.

    Attributes:
        model: name of the model, or the folder of synthesised audio.
        seconds: that were compared, of all clips together.
        delay: of the model behind the recordings, in seconds, taken out before comparing; None where audio was found.
        means, medians: of what was made; `nll` is a mean over samples, `word_error_rate` over words.
        recordings: means of the recordings.
        clips: each clip.
        notes: what is missing, and why.
    """

    model: str
    seconds: float
    delay: float | None
    means: Scores
    medians: Scores
    recordings: Scores
    clips: tuple[ClipScores, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON types; the means stand at the top."""
        fields = msgspec.to_builtins(self)
        return {"model": fields.pop("model"), **fields.pop("means"), **fields}


def report(model: str, clips: Sequence[ClipScores], delay: float | None = None, notes: Sequence[str] = ()) -> Report:
    """Summarise clips, of which there is at least one."""
    return Report(
        model=model,
        seconds=sum(clip.seconds for clip in clips),
        delay=delay,
        means=summarised(clips, lambda clip: clip.made, mean),
        medians=summarised(clips, lambda clip: clip.made, median),
        recordings=summarised(clips, lambda clip: clip.recording, mean),
        clips=tuple(clips),
        notes=(*notes, *gaps(clips)),
    )
