"""Runs that are killed go on to the same weights; schedules; what is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import pytest

from tests.training.corpus import RATE, buzzing_corpus
from wavejit import InputError, load
from wavejit.audio import FeatureContract
from wavejit.training.recipe import (
    AcousticRecipe,
    Optimisation,
    Pruning,
    Reports,
    VocoderRecipe,
    prolonged,
    read_recipe,
)

torch = pytest.importorskip("torch", reason="training needs PyTorch")

from wavejit.acoustic.model import load_acoustic  # noqa: E402
from wavejit.audio.postfilter import Postfilter  # noqa: E402
from wavejit.checkpoints.folder import read_folder  # noqa: E402
from wavejit.training import acoustic, vocoder  # noqa: E402
from wavejit.training.alignment import AlignedUtterance, Alignment, Phone, write_alignment  # noqa: E402
from wavejit.training.corpus import read_corpus  # noqa: E402

Recipe = TypeVar("Recipe", VocoderRecipe, AcousticRecipe)

FEATURES = FeatureContract(
    sample_rate=RATE, hop_length=80, window_length=320, n_fft=512, bins=10, f_max=4000.0, pitch=True
)
VOCODER = VocoderRecipe(
    network={"family": "mel-wavegru", "width": 16, "dense": 12, "conditioning_width": 8, "components": 2,
             "band_gains": (2.0, 4.0, 4.0, 4.0)},
    features=FEATURES,
    training=Optimisation(updates=8, batch=4, chunk=2, learning_rate=5e-3, warm_up=2),
    pruning=Pruning(sparsity=0.5, block=(4, 4), begin=2, end=6, every=2),
    reports=Reports(validate=100, save=4),
    held_out=100,
)  # fmt: skip
ACOUSTIC = AcousticRecipe(
    network={"family": "acoustic", "reader": 8, "prosody": 8, "contour": 3, "decoder": 12},
    features=FEATURES,
    training=Optimisation(updates=8, batch=4, learning_rate=5e-3, warm_up=2),
    reports=Reports(validate=100, save=4),
    held_out=100,
)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads of these few numbers would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return buzzing_corpus(tmp_path_factory.mktemp("data") / "buzz")


@pytest.fixture(scope="module")
def aligned(corpus: Path) -> Path:
    phones = (Phone("SIL", -1, 0, 5), Phone("B", 0, 5, 15), Phone("AH1", 0, 15, 50), Phone("SIL", -1, 50, 60))
    utterances = {u.name: AlignedUtterance(("buzz",), 60, phones) for u in read_corpus(corpus).utterances}
    write_alignment(corpus.parent / "alignment.json", Alignment("by hand", utterances, {}))
    return corpus.parent / "alignment.json"


def test_a_vocoder_run_that_is_killed_goes_on_to_the_same_weights(corpus: Path, tmp_path: Path) -> None:
    vocoder.train(VOCODER, corpus, tmp_path / "whole")
    vocoder.train(prolonged_to(VOCODER, 4), corpus, tmp_path / "killed")
    vocoder.train(VOCODER, corpus, tmp_path / "killed")
    whole, killed = (load(tmp_path / name / "model").files.weights for name in ("whole", "killed"))
    for name, expected in whole.items():
        np.testing.assert_array_equal(killed[name], expected, err_msg=name)
    gates = whole["gru.recurrent.weight"].reshape(3, 4, 4, 4, 4)
    assert (np.abs(gates).sum((2, 4)) == 0).mean((1, 2)) == pytest.approx(0.5)  # each gate's blocks of 4x4


def test_an_acoustic_run_that_is_killed_goes_on_to_the_same_weights(
    corpus: Path, aligned: Path, tmp_path: Path
) -> None:
    acoustic.train(ACOUSTIC, corpus, aligned, tmp_path / "whole")
    acoustic.train(prolonged_to(ACOUSTIC, 4), corpus, aligned, tmp_path / "killed")
    acoustic.train(ACOUSTIC, corpus, aligned, tmp_path / "killed")
    whole, killed = ((tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "killed"))
    assert whole == killed
    assert load_acoustic(tmp_path / "whole" / "model").features == FEATURES


def prolonged_to(recipe: Recipe, updates: int) -> Recipe:
    """A run of fewer updates whose rates are those of the whole: its end is the whole's begin."""
    training = msgspec.structs.replace(recipe.training, fall=0.0, updates=updates)
    assert all(training.rate(i) == recipe.training.rate(i) for i in range(updates))
    return msgspec.structs.replace(recipe, training=training)


def test_training_lowers_the_loss(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    longer = msgspec.structs.replace(
        VOCODER,
        training=msgspec.structs.replace(VOCODER.training, updates=200),
        reports=Reports(validate=50, save=200),
        pruning=Pruning(),
    )
    vocoder.train(longer, corpus, tmp_path / "run")
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("update")]
    held = [float(words[words.index("out") + 1]) for words in lines]
    assert len(held) == 4
    assert held[0] > held[1] > held[2] > held[3]


def test_the_model_has_the_post_filter_of_its_recipe(corpus: Path, tmp_path: Path) -> None:
    short = msgspec.structs.replace(VOCODER.training, updates=1)
    recipe = msgspec.structs.replace(VOCODER, training=short, postfilter=Postfilter(rounds=1, comb=6.0))
    vocoder.train(recipe, corpus, tmp_path / "run")
    found = read_folder(tmp_path / "run" / "model").postfilter
    assert found == recipe.postfilter


def test_a_damaged_state_is_refused(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / vocoder.STATE).write_bytes(b"no state")
    with pytest.raises(InputError, match="is no training state"):
        vocoder.train(VOCODER, corpus, out)


def test_the_rate_rises_stays_and_falls() -> None:
    training = Optimisation(updates=100, batch=1, learning_rate=1.0, warm_up=10, fall=0.5, least_rate=0.1)
    rates = [training.rate(i) for i in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:51] == [1.0] * 41
    assert rates[75] == pytest.approx(0.55)
    assert rates[100] == pytest.approx(0.1)


def test_sparsity_grows_by_a_cubic() -> None:
    pruning = Pruning(sparsity=0.8, begin=10, end=20)
    assert [pruning.at(i) for i in (9, 10)] == [0.0, 0.0]
    assert pruning.at(15) == pytest.approx(0.8 * (1 - 0.5**3))
    assert pruning.at(20) == pruning.at(99) == pytest.approx(0.8)


RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipes_of_the_repository_are_sound(path: Path) -> None:
    recipe = read_recipe(path)
    if isinstance(recipe, VocoderRecipe):
        assert vocoder.network_of(recipe).hop_length == recipe.features.hop_length
    else:
        assert acoustic.network_of(recipe, 5.0, 0.2).bins == recipe.features.bins


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = [", "is no recipe"),
        ("[network]\nfamily = 'acoustic'", "recipe.features is missing"),
        ("[network]\nfamily = 'mel-wavegru'\n[features]\n[training]\nupdates = 0\nbatch = 1", "features"),
    ],
)
def test_a_bad_recipe_is_refused_by_its_field(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_recipe(tmp_path / "r.toml")


def test_updates_below_one_are_refused() -> None:
    with pytest.raises(InputError, match="updates is 0"):
        prolonged(VOCODER, 0)
