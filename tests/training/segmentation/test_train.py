"""Training of the pair network: it learns, and after any stop goes on to the same end."""

# ruff: noqa: E402 -- what is imported below needs torch

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from wavejit.errors import InputError
from wavejit.training.alignment import AlignedUtterance, Alignment, Phone, read_alignment, write_alignment
from wavejit.training.mfcc import mfcc
from wavejit.training.segmentation.__main__ import segment, segmentation
from wavejit.training.segmentation.data import Example, batches, collate
from wavejit.training.segmentation.network import PairNetwork, PairNetworkSizes
from wavejit.training.segmentation.pairs import CLASSES, pair_classes
from wavejit.training.segmentation.train import CHECKPOINT, Schedule, Training, ctc_loss

SIZES = PairNetworkSizes(channels=2, layers=2, width=8, dropout=0.2)
SCHEDULE = Schedule(epochs=3, batch=2, warm_up=2, save_every=1e9)


def examples() -> list[Example]:
    """Six utterances of two phones, each a noise of its own colour."""
    made = []
    for index in range(6):
        frames = 20 + index
        phones = (Phone("SIL", -1, 0, 4), Phone("S", 0, 4, 11), Phone("OW1", 0, 11, 18), Phone("SIL", -1, 18, frames))
        random = np.random.default_rng(index)
        coefficients = random.standard_normal((frames, 20)).astype(np.float32)
        coefficients += np.repeat(np.arange(4), [phone.end - phone.start for phone in phones])[:, None]
        made.append(Example(str(index), coefficients, pair_classes(phones), AlignedUtterance(("so",), frames, phones)))
    return made


def train(out: Path, stops: tuple[int, ...], schedule: Schedule = SCHEDULE) -> list[float]:
    """The losses of a training that is killed and taken up again after so many steps each."""
    losses: list[float] = []

    class Recorded(Training):
        def advance(self, batch):
            losses.append(super().advance(batch))
            return losses[-1]

    for steps in (*stops, None):
        Recorded(examples(), SIZES, schedule, out).run(lambda epoch, loss: None, steps)
        torch.manual_seed(12345)  # what another process would start with does not matter
    return losses


def test_stopped_anywhere_it_comes_to_the_same_losses(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", ())
    assert len(whole) == 9
    assert train(tmp_path / "stopped", (2, 3)) == whole  # inside an epoch, and where one ends


def test_the_loss_falls(tmp_path: Path) -> None:
    losses = train(tmp_path, (), Schedule(epochs=20, batch=3, learning_rate=1e-2, warm_up=2))
    assert np.mean(losses[-3:]) < 0.5 * np.mean(losses[:3])


def test_an_interrupted_save_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tmp_path, ())
    before = (tmp_path / CHECKPOINT).read_bytes()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        Training(examples(), SIZES, SCHEDULE, tmp_path).save()
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [CHECKPOINT]


def test_another_training_or_a_damaged_file_is_refused(tmp_path: Path) -> None:
    train(tmp_path, ())
    with pytest.raises(InputError, match=r"checkpoint\.pt': sizes are .*'width': 8.*expected .*'width': 9"):
        Training(examples(), PairNetworkSizes(2, 2, 9), SCHEDULE, tmp_path)
    with pytest.raises(InputError, match="examples are 6, expected 5"):
        Training(examples()[:5], SIZES, SCHEDULE, tmp_path)
    content = (tmp_path / CHECKPOINT).read_bytes()
    (tmp_path / CHECKPOINT).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="is no training state"):
        Training(examples(), SIZES, SCHEDULE, tmp_path)


def test_probabilities_of_blank_and_pairs_sum_to_one() -> None:
    network = PairNetwork(SIZES).eval()
    log_probabilities = network(torch.randn(2, 7, 20))
    assert log_probabilities.shape == (2, 7, CLASSES)
    torch.testing.assert_close(log_probabilities.exp().sum(-1), torch.ones(2, 7))


def test_the_loss_is_that_of_every_path() -> None:
    """One frame more than labels: the paths are few enough to add up."""
    network = PairNetwork(SIZES).eval()
    made = examples()[0]
    made = Example("a", made.mfcc[:4], made.pairs, made.aligned)
    said = network(torch.from_numpy(made.mfcc)[None])[0].detach().numpy()
    a, b, c = made.pairs
    paths = [(0, a, b, c), (a, 0, b, c), (a, b, 0, c), (a, b, c, 0), (a, a, b, c), (a, b, b, c), (a, b, c, c)]
    total = np.logaddexp.reduce([sum(said[t, label] for t, label in enumerate(path)) for path in paths])
    assert ctc_loss(network, collate([made])).item() == pytest.approx(-total / 3, rel=1e-5)


def test_an_epoch_has_every_example_once_in_an_order_of_its_own() -> None:
    def lengths(epoch: int) -> list[int]:
        return [int(frames) for batch in batches(examples(), 2, 0, epoch) for frames in batch.frames]

    assert sorted(lengths(0)) == [20, 21, 22, 23, 24, 25]
    assert lengths(0) == lengths(0)
    assert any(lengths(epoch) != lengths(0) for epoch in (1, 2, 3))


def test_coefficients_are_normalised_and_one_a_frame() -> None:
    signal = np.random.default_rng(0).standard_normal(1600).astype(np.float32) * 0.1
    coefficients = mfcc(signal)
    assert coefficients.shape == (11, 20)
    np.testing.assert_allclose(coefficients.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(coefficients.std(axis=0), 1, atol=1e-3)
    np.testing.assert_allclose(mfcc(signal * 0.5), coefficients, atol=1e-4)  # level does not count


def test_what_it_hears_is_an_alignment_that_is_compared_with_the_first(tmp_path: Path) -> None:
    made = examples()
    schedule = Schedule(epochs=15, batch=4, learning_rate=1e-2, warm_up=2)
    training = Training(made[:4], SIZES, schedule, tmp_path)
    training.run(lambda epoch, loss: None)
    bootstrap = Alignment("a test", {example.name: example.aligned for example in made}, {"lost": "is silent"})
    heard, comparisons = segment(training.network, made[:4], made[4:], bootstrap)
    write_alignment(tmp_path / "a.json", heard)  # reading checks that there are no gaps
    assert read_alignment(tmp_path / "a.json").utterances.keys() == bootstrap.utterances.keys()
    assert heard.failed == bootstrap.failed
    assert comparisons["held out, put right"].count == 6
    right, raw = comparisons["trained on, put right"], comparisons["trained on, as heard"]
    assert abs(right.bias) <= 10  # the offsets are medians, and places are rounded to frames
    assert right.median <= raw.median


def test_an_alignment_that_is_not_there_is_named_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.json' cannot be read"):
        segmentation(tmp_path, tmp_path / "no.json", tmp_path)
