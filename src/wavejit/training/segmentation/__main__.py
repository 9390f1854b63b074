"""`python -m wavejit.training.segmentation`: train the network on a corpus, and take the boundaries from it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import torch
import typer
from numpy.typing import NDArray

from wavejit.audio.storage import replace_file
from wavejit.training.alignment import Alignment, describe, read_alignment, write_alignment
from wavejit.training.command import run_command
from wavejit.training.corpus import read_corpus
from wavejit.training.segmentation.compare import Comparison, compare, offsets, without_offsets
from wavejit.training.segmentation.data import Example, split_examples
from wavejit.training.segmentation.network import PairNetwork, PairNetworkSizes
from wavejit.training.segmentation.pairs import locate, move_boundaries
from wavejit.training.segmentation.train import Schedule, Training


def segmentation(
    folder: Annotated[Path, typer.Argument(help="A corpus.")],
    alignment: Annotated[Path, typer.Option(help="Its alignment: phonemes, pauses, and what to compare with.")],
    out: Annotated[Path, typer.Option(help="Folder of the checkpoint and of what is made.")],
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the corpus.")] = 20,
    channels: Annotated[int, typer.Option(min=1, help="Channels of the convolutions.")] = 16,
    layers: Annotated[int, typer.Option(min=1, help="Layers of GRUs.")] = 2,
    width: Annotated[int, typer.Option(min=1, help="Width of a GRU.")] = 128,
    batch: Annotated[int, typer.Option(min=1, help="Utterances a step.")] = 16,
) -> None:
    """Train the segmentation model, going on from its checkpoint, and write the boundaries that it hears."""
    bootstrap = read_alignment(alignment)
    train, held = split_examples(read_corpus(folder), bootstrap)
    sizes = PairNetworkSizes(channels=channels, layers=layers, width=width)
    training = Training(train, sizes, Schedule(epochs=epochs, batch=batch), out)
    start = time.process_time()

    def report(epoch: int, loss: float) -> None:
        seconds = time.process_time() - start
        print(f"epoch {epoch} of {epochs}: {loss:.3f} nats a pair, {seconds:.0f} s of processor time", flush=True)

    training.run(report)

    heard, comparisons = segment(training.network, train, held, bootstrap)
    write_alignment(out / "alignment.json", heard)
    replace_file(out / "comparison.json", msgspec.json.format(msgspec.json.encode(comparisons)))
    print(describe(heard))
    for name, figures in comparisons.items():
        print(
            f"{name}: {figures.count} boundaries, distance {figures.median:.0f} ms (median), "
            f"{figures.percentile_90:.0f} ms (90 %), {100 * figures.within_20:.1f} % within 20 ms, bias "
            f"{figures.bias:+.0f} ms; spread within phones {figures.spread:.4f}, was {figures.spread_reference:.4f}"
        )


def segment(
    network: PairNetwork, train: Sequence[Example], held: Sequence[Example], bootstrap: Alignment
) -> tuple[Alignment, dict[str, Comparison]]:
    """The boundaries that the network hears, and how they compare with those of `bootstrap`.

    Returns:
        The alignment of all examples, its places put right by the offsets measured on `train`; and comparisons: of
        the places as heard and put right, on each side of the split.
    """
    places = {name: [hear(network, example) for example in side] for name, side in _sides(train, held)}
    later = offsets(places["trained on"], [example.aligned for example in train])
    utterances, comparisons = {}, {}
    for name, side in _sides(train, held):
        reference = [example.aligned for example in side]
        coefficients = [example.mfcc for example in side]
        heard = list(zip(reference, places[name], strict=True))
        raw = [move_boundaries(utterance, place) for utterance, place in heard]
        right = [move_boundaries(utterance, without_offsets(place, utterance, later)) for utterance, place in heard]
        comparisons[f"{name}, as heard"] = compare(raw, reference, coefficients)
        comparisons[f"{name}, put right"] = compare(right, reference, coefficients)
        utterances.update(zip((example.name for example in side), right, strict=True))
    source = f"CTC over pairs of phonemes, trained on the alignment of {bootstrap.source}"
    return Alignment(source, dict(sorted(utterances.items())), bootstrap.failed), comparisons


def hear(network: PairNetwork, example: Example) -> NDArray[np.float64]:
    """Where the network hears an utterance's pairs, `(pairs,)`, in frames.

    Raises:
        InputError: the recording is too short for its pairs.
    """
    network.eval()
    with torch.inference_mode():
        return locate(network(torch.from_numpy(example.mfcc)[None])[0].numpy(), example.pairs)


def _sides(train: Sequence[Example], held: Sequence[Example]) -> tuple[tuple[str, Sequence[Example]], ...]:
    return ("trained on", train), ("held out", held)


if __name__ == "__main__":
    run_command(segmentation)
