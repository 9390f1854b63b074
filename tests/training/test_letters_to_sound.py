from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from wavejit.errors import InputError  # noqa: E402
from wavejit.text.letters_to_sound import LETTERS, START, LettersToSound  # noqa: E402
from wavejit.text.lexicon import Lexicon, decode, encode  # noqa: E402
from wavejit.training.letters_data import batch_count, batches, held_out, pairs, stem  # noqa: E402
from wavejit.training.letters_network import LettersNetwork  # noqa: E402
from wavejit.training.letters_to_sound import Run, Settings, distance, measure  # noqa: E402

SETTINGS = Settings(width=24, dropout=0.1, batch=16, epochs=1, rate=1e-2, warm_up=10)


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    """A language in which each letter has one sound."""
    sounds = {"b": "B", "d": "D", "a": "AA1", "o": "OW1", "n": "N"}
    words = {a + b + c for a in "bdn" for b in "ao" for c in "bdn"} | {a + b for a in "bdn" for b in "ao"}
    return decode(encode({word: [tuple(sounds[letter] for letter in word)] for word in words}), "toy")


def test_the_twin_says_what_ships():
    torch.manual_seed(0)
    twin = LettersNetwork(16, 0.0)
    network = LettersToSound(twin.arrays())
    word, before = "don't", [START, 5, 9, 30]
    memory, states = network._encode(word)
    found = []
    for phoneme in before:
        log_p, states = network._step(memory, np.array([phoneme]), states)
        found.append(log_p[0])
    letters = torch.tensor([[LETTERS.index(letter) for letter in word]])
    expected = torch.log_softmax(twin(letters, torch.tensor([before])), -1)[0].detach().numpy()
    assert np.allclose(found, expected, atol=1e-5)


def test_it_learns_and_goes_on_where_it_was_stopped(lexicon: Lexicon, tmp_path: Path):
    lessons = [(word, lexicon.alternatives(word)[0]) for word in lexicon]

    def epoch(run: Run, seed: int) -> list[float]:
        return [run.learn(*batch, steps=400) for batch in batches(lessons, 16, seed)]

    run = Run(SETTINGS)
    losses: list[float] = []
    for seed in range(30):
        losses = epoch(run, seed)
    run.save(tmp_path)
    following = epoch(run, 30)
    assert epoch(Run.load(tmp_path), 30) == following
    assert max(losses) < 1.0
    assert measure(run.shipped(), lexicon, list(lexicon)).phoneme_error < 0.05


def test_a_damaged_state_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="does not exist"):
        Run.load(tmp_path)
    Run(SETTINGS).save(tmp_path)
    (tmp_path / "state.pt").write_bytes((tmp_path / "state.pt").read_bytes()[:1000])
    with pytest.raises(InputError, match="is no state of this training"):
        Run.load(tmp_path)


def test_batches_hold_each_lesson_once(lexicon: Lexicon):
    lessons = pairs(lexicon)
    made = list(batches(lessons, 5, seed=3))
    assert len(made) == batch_count(lessons, 5)
    assert sum(len(letters) for letters, _, _ in made) == len(lessons)
    for letters, before, after in made:
        assert len(letters) <= 5
        assert (before[:, 0] == START).all()
        assert ((after == START).sum(dim=1) == 1).all()


def test_inflections_are_held_out_together():
    for word in ("walk", "tiger", "wonder", "house", "happy"):
        for form in (word + "s", word + "'s", word + "ed", word + "ing", word + "ly"):
            assert held_out(form) == held_out(word), (form, stem(form), stem(word))


def test_distance():
    assert distance(("A", "B", "C"), ("A", "B", "C")) == 0
    assert distance(("A", "C"), ("A", "B", "C")) == 1
    assert distance((), ("A", "B")) == 2
    assert distance(("X", "B"), ("A", "B", "C")) == 2
