"""Several utterances on one engine, as many at once as share a pass over its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class AnyStream(Protocol):
    """A stream of any engine."""

    def prime(self, frames: Array) -> None:
        """Take frames ahead of the audio that they lead to."""
        ...


class ManyStreams(Protocol):
    """An engine that runs several streams at once, at most `streams`; frames come every `clock` ticks."""

    streams: int
    clock: int

    def run_together(self, streams: Sequence[Any], ticks: int, frames: Sequence[Array | None]) -> list[Array]:
        """Make samples of each stream."""
        ...


@dataclass
class Utterance:
    """What is to be made: `begin` a stream, `prime` it with frames, run it on `frames`."""

    begin: Callable[[], AnyStream]
    prime: Array
    frames: Array
    made: list[Array] = field(default_factory=list[Array])
    done: int = 0  # frames
    stream: AnyStream | None = None

    def start(self) -> AnyStream:
        """The stream, begun and primed when it is first asked for."""
        if self.stream is None:
            self.stream = self.begin()
            if len(self.prime):
                self.stream.prime(self.prime)
        return self.stream


def run_all(engine: ManyStreams, utterances: Sequence[Utterance], frames_at_once: int) -> list[Array]:
    """The audio of each. One that ends makes room for the next one between two chunks."""
    waiting = list(utterances)[::-1]
    running: list[Utterance] = []
    while waiting or running:
        while waiting and len(running) < engine.streams:
            running.append(waiting.pop())
        count = min(frames_at_once, *(len(u.frames) - u.done for u in running))
        frames = [u.frames[u.done : u.done + count] for u in running]
        chunks = engine.run_together([u.start() for u in running], count * engine.clock, frames)
        for utterance, chunk in zip(running, chunks, strict=True):
            utterance.made.append(chunk)
            utterance.done += count
        for utterance in [u for u in running if u.done == len(u.frames)]:
            utterance.stream = None  # its memory is free
            running.remove(utterance)
    return [np.concatenate(utterance.made) for utterance in utterances]
