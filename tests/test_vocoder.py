"""What users import: load, compile, generate, stream; a sentence for each mistake."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wavejit
from wavejit import InputError, Model, Vocoder, load
from wavejit.audio import mel_features
from wavejit.audio.contract import FeatureContract
from wavejit.audio.postfilter import Postfilter
from wavejit.checkpoints.folder import ModelFiles, write_folder
from wavejit.ir.ops import Affine
from wavejit.models.mel_wavernn import FAMILY as MEL_WAVERNN
from wavejit.models.mel_wavernn import MelWaveRNN

BINS, HOP, PADDING = 6, 16, 2
BUILTIN = "deepvoice-2-12-16"  # 80 bins, a hop of 200
CONTRACT = FeatureContract(
    sample_rate=16000, hop_length=HOP, window_length=64, n_fft=64, bins=BINS, f_max=8000.0
)  # fmt: skip


def network() -> MelWaveRNN:
    return MelWaveRNN(
        sample_rate=16000,
        bins=BINS,
        hop_length=HOP,
        padding=PADDING,
        residual_channels=8,
        residual_blocks=1,
        gru_widths=(20,),
        hidden_widths=(12,),
        auxiliary=((0, 4), (4, 4)),
        auxiliary_channels=8,
        classes=50,
        companding="mu-law",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a look-ahead of two frames."""
    path = tmp_path_factory.mktemp("models") / "voice"
    weights = MEL_WAVERNN.random_weights(network())
    write_folder(path, ModelFiles(MEL_WAVERNN, network(), weights, CONTRACT, "MIT", "random"))
    return path


@pytest.fixture(scope="module")
def vocoder(folder: Path) -> Vocoder:
    return load(folder).compile()


@pytest.fixture(scope="module")
def unconditional() -> Vocoder:
    return load("wavernn-20").compile()


def frames(count: int, bins: int = BINS, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, bins)).astype(np.float32)


# ---------------------------------------------------------------------------------------------- loading


def test_load_a_folder(folder: Path) -> None:
    for path in (folder, str(folder)):
        model = load(path)
        assert (model.name, model.sample_rate, model.bins) == ("voice", 16000, BINS)
        assert model.features == CONTRACT
        assert model.step.lookahead == PADDING


def test_load_a_built_in_network() -> None:
    model = load(BUILTIN)
    assert (model.name, model.sample_rate, model.bins, model.features) == (BUILTIN, 16000, 80, None)
    again = load(BUILTIN)
    for name, data in model.files.weights.items():
        np.testing.assert_array_equal(again.files.weights[name], data)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nothing",
            "nothing: there is no such model folder, and the built-in networks are deepvoice-L-R-S .*",
        ),
        ("deepvoice-40-64", "deepvoice-40-64: there is no such model folder.*"),
        ("deepvoice-0-64-256", "deepvoice-0-64-256: .*layers.*"),
        ("deepvoice-300-64-256", "deepvoice-300-64-256: .*256.*layers.*"),
        ("deepvoice-1-9999-1", "deepvoice-1-9999-1: .*8192.*residual_channels.*"),
        ("wavernn-1", "wavernn-1: .*2.*width.*"),
        ("wavernn-33", ".*width is 33, expected an even number"),
    ],
)
def test_no_such_model(name: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        load(name)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["größe und maß", 'quote " and \\ backslash', "semi;colon", "two\nlines", "%x @y"])
def test_a_folders_name_means_nothing(folder: Path, tmp_path: Path, name: str) -> None:
    """The name is the user's: it must not end up as code."""
    (tmp_path / name).mkdir()
    for file in folder.iterdir():
        (tmp_path / name / file.name).write_bytes(file.read_bytes())
    found = load(tmp_path / name).compile().generate(frames(2))
    np.testing.assert_array_equal(found, load(folder).compile().generate(frames(2)))


# -------------------------------------------------------------------------------------------- compiling


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision": "int3"}, "precision is 'int3', expected .*float32.*"),
        ({"threads": 3}, "threads is 3, expected 1 or 2 or auto in this version"),
        ({"threads": 0}, "threads is 0, expected 1 or 2 or auto in this version"),
        ({"streams": 0}, "streams is 0, expected 1 to 64"),
        ({"streams": 65}, "streams is 65, expected 1 to 64"),
        ({"backend": "vulkan"}, "backend is 'vulkan', expected llvm or cuda or reference in this version"),
        ({"backend": "cuda", "threads": 2}, "threads is 2, expected 1 for the cuda backend: a GPU has its own"),
        ({"backend": "cuda", "streams": 5000}, "streams is 5000, expected 1 to 4096"),
        ({"accuracy": "good"}, "accuracy is 'good', expected auto or exact or fast in this version"),
        ({"target": "avx1024"}, "target is 'avx1024', expected one that this machine runs: .*generic"),
    ],
)
def test_choices_that_there_are_not(folder: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        load(folder).compile(**arguments)


def test_a_vocoder_says_what_it_is(vocoder: Vocoder, unconditional: Vocoder) -> None:
    assert (vocoder.sample_rate, vocoder.hop_length) == (16000, HOP)
    assert (unconditional.sample_rate, unconditional.hop_length) == (24000, 0)


def test_backends_and_targets_sound_alike(folder: Path, vocoder: Vocoder) -> None:
    model, features = load(folder), frames(4)
    wanted = vocoder.generate(features, seed=3)
    for other in (model.compile(backend="reference"), model.compile(target="generic")):
        np.testing.assert_allclose(other.generate(features, seed=3), wanted, atol=1e-6)


# ------------------------------------------------------------------------------------------- generating


def test_generate(vocoder: Vocoder) -> None:
    audio = vocoder.generate(frames(9))
    assert audio.shape == (9 * HOP,)
    assert audio.dtype == np.float32
    assert np.abs(audio).max() <= 1
    assert len(np.unique(audio)) > 10
    np.testing.assert_array_equal(audio, vocoder.generate(frames(9), seed=0, temperature=1.0, stream=0))


def test_what_is_heard_depends_on_all_that_is_given(vocoder: Vocoder) -> None:
    changes: list[dict[str, Any]] = [{}, {"seed": 1}, {"stream": 1}, {"temperature": 0.5}, {"seed": 2**64 - 1}]
    heard = {vocoder.generate(frames(9, seed=s), **change).tobytes() for s in (0, 1) for change in changes}
    assert len(heard) == 10


def test_features_of_other_layouts(vocoder: Vocoder) -> None:
    wanted = vocoder.generate(frames(5))
    for same in (
        frames(5).astype(np.float64),
        np.asfortranarray(frames(5)),
        frames(5).tolist(),
        frames(10)[:5],
    ):
        np.testing.assert_array_equal(vocoder.generate(same), wanted)
    np.testing.assert_array_equal(vocoder.generate(frames(5)[0]), vocoder.generate(frames(5)[:1]))


def test_the_last_frame_is_followed_by_silence(vocoder: Vocoder) -> None:
    """The look-ahead past the end is zeros: the same audio as the start of a longer one that ends in zeros."""
    longer = np.concatenate([frames(5), np.zeros((3, BINS), np.float32)])
    np.testing.assert_array_equal(vocoder.generate(longer)[: 5 * HOP], vocoder.generate(frames(5)))


def test_progress_adds_up(vocoder: Vocoder, unconditional: Vocoder) -> None:
    told: list[int] = []
    audio = vocoder.generate(frames(250), on_progress=told.append)
    assert sum(told) == len(audio)
    assert len(told) >= 2
    told.clear()
    assert len(unconditional.generate(samples=5000, on_progress=told.append)) == 5000
    assert sum(told) >= 5000


@pytest.mark.parametrize("samples", [0, 1, 2399, 2400, 2401, 7000])
def test_as_many_samples_as_asked_for(unconditional: Vocoder, samples: int) -> None:
    audio = unconditional.generate(samples=samples, seed=4)
    assert audio.shape == (samples,)
    np.testing.assert_array_equal(audio, unconditional.generate(samples=8000, seed=4)[:samples])


def test_temperature_0_is_the_greedy_choice() -> None:
    model = load(BUILTIN)
    vocoder = model.compile()
    features = frames(1, 80)
    audio = vocoder.generate(features, temperature=0.0)
    np.testing.assert_array_equal(audio, vocoder.generate(features, temperature=0.0, seed=99))
    # Each sample is the likeliest class, given those before it.
    from wavejit.audio.companding import mu_law_table

    table = mu_law_table(256)
    classes = np.array([np.argmin(np.abs(table - sample)) for sample in audio])
    from wavejit.runtime.engine import Engine

    assert isinstance(vocoder.engine, Engine)
    score = vocoder.engine.stream().score(classes[:, None].astype(np.float32), features)
    np.testing.assert_array_equal(np.argmax(score.parameters["sample"], axis=1), classes)


BAD_FEATURES: list[tuple[Callable[[], Any], str]] = [
    (lambda: frames(3, BINS + 1), rf"features are \(3, {BINS + 1}\), expected \(frames, {BINS}\)"),
    (lambda: frames(3)[None], rf"features are \(1, 3, {BINS}\), expected \(frames, {BINS}\)"),
    (lambda: np.zeros((3, BINS), np.int16), "features are int16, expected floating-point numbers"),
    (lambda: np.zeros((3, BINS), np.complex64), "features are complex64, expected floating-point numbers"),
    (
        lambda: np.full((3, BINS), np.nan, np.float32),
        "features hold NaN or infinite values, expected finite ones",
    ),
    (
        lambda: np.full((3, BINS), np.inf, np.float32),
        "features hold NaN or infinite values, expected finite ones",
    ),
    (lambda: np.full((3, BINS), 1e300), "features hold .*finite.*"),  # infinite once they are float32
    (
        lambda: np.zeros((0, BINS), np.float32),
        rf"features have no frames, expected \(frames, {BINS}\) with at least 1",
    ),
    (lambda: "text", "features are .*, expected floating-point numbers"),
    (lambda: np.float32(1), rf"features are \(\), expected \(frames, {BINS}\)"),
    (lambda: None, rf"voice: features are missing, expected \(frames, {BINS}\)"),
    (lambda: [[1.0] * BINS, [1.0]], "features .*"),
]


@pytest.mark.parametrize(("features", "message"), BAD_FEATURES)
def test_features_that_cannot_be(vocoder: Vocoder, features: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        vocoder.generate(features())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, r"seed is -1, expected 0 to 2\*\*64 - 1"),
        ({"seed": 2**64}, rf"seed is {2**64}, expected 0 to 2\*\*64 - 1"),
        ({"stream": -1}, r"stream is -1, expected 0 to 2\*\*32 - 1"),
        ({"stream": 2**32}, rf"stream is {2**32}, expected 0 to 2\*\*32 - 1"),
        ({"temperature": -0.1}, "temperature is -0.1, expected a number from 0"),
        ({"temperature": float("nan")}, "temperature is nan, expected a number from 0"),
        ({"temperature": float("inf")}, "temperature is inf, expected a number from 0"),
        ({"samples": 5}, "samples are given beside features, which already say how long the audio is"),
    ],
)
def test_arguments_that_cannot_be(vocoder: Vocoder, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        vocoder.generate(frames(1), **arguments)
    if "samples" not in arguments:
        with pytest.raises(InputError, match=f"^{message}$"):
            next(vocoder.stream([frames(1)], **arguments))


def test_unconditional_models_take_no_features(unconditional: Vocoder) -> None:
    with pytest.raises(InputError, match=r"^wavernn-20: features are given, but the model is unconditional$"):
        unconditional.generate(frames(1))
    with pytest.raises(InputError, match=r"^wavernn-20: features are given, but the model is unconditional$"):
        next(unconditional.stream([frames(1)]))
    for samples in (None, -1):
        with pytest.raises(InputError, match=f"^samples is {samples}, expected how many samples to make$"):
            unconditional.generate(samples=samples)


# -------------------------------------------------------------------------------------------- streaming


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(0, 4), min_size=1, max_size=9))
def test_frames_in_any_groups_give_the_same(vocoder: Vocoder, cuts: list[int]) -> None:
    features = frames(sum(cuts))
    ends = np.cumsum(cuts)
    groups = [features[end - size : end] for size, end in zip(cuts, ends, strict=True)]
    chunks = list(vocoder.stream(groups, seed=6))
    joined = np.concatenate([np.zeros(0, np.float32), *chunks])
    assert len(joined) == len(features) * HOP
    assert all(len(chunk) for chunk in chunks), "no chunk is empty"
    if len(features):
        assert joined.tobytes() == vocoder.generate(features, seed=6).tobytes()


def test_single_frames_may_be_vectors(vocoder: Vocoder) -> None:
    streamed = np.concatenate(list(vocoder.stream(iter(frames(6)), seed=2)))
    np.testing.assert_array_equal(streamed, vocoder.generate(frames(6), seed=2))


def test_audio_comes_as_soon_as_the_look_ahead_allows(vocoder: Vocoder) -> None:
    taken: list[int] = []

    def source() -> Any:
        for i, frame in enumerate(frames(6)):
            taken.append(i)
            yield frame

    arrived = [len(taken) for _ in vocoder.stream(source())]
    assert arrived == [3, 4, 5, 6, 6], "the third frame gives the first audio, the end gives two frames' worth"


def test_a_frame_that_cannot_be_stops_the_stream(vocoder: Vocoder) -> None:
    streamed = vocoder.stream([frames(4), frames(1, BINS + 1)])
    assert len(next(streamed)) == (4 - PADDING) * HOP
    with pytest.raises(InputError, match=rf"features are \(1, {BINS + 1}\)"):
        next(streamed)


def test_an_unconditional_stream_does_not_end(unconditional: Vocoder) -> None:
    streamed = unconditional.stream(seed=8)
    joined = np.concatenate([next(streamed) for _ in range(4)])
    np.testing.assert_array_equal(joined, unconditional.generate(samples=len(joined), seed=8))


def test_a_conditional_stream_needs_frames(vocoder: Vocoder) -> None:
    with pytest.raises(InputError, match="features are missing"):
        next(vocoder.stream())


@pytest.fixture(scope="module")
def corrected(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Vocoder:
    """The model of `folder`, for two streams and with a post-filter."""
    path = tmp_path_factory.mktemp("models") / "corrected"
    write_folder(path, replace(load(folder).files, postfilter=Postfilter()))
    return load(path).compile(streams=2)


def test_a_post_filter_corrects_what_is_drawn(vocoder: Vocoder, corrected: Vocoder) -> None:
    wanted = frames(40) - 4.0
    drawn, heard = vocoder.generate(wanted, seed=3), corrected.generate(wanted, seed=3)
    assert drawn.shape == heard.shape
    far, near = (np.abs(mel_features(x, CONTRACT)[4:36] - wanted[4:36]).mean() for x in (drawn, heard))
    assert near < 0.6 * far


@given(st.lists(st.integers(0, 7), min_size=1, max_size=8))
def test_a_post_filter_cares_for_no_chunk(corrected: Vocoder, sizes: list[int]) -> None:
    total = max(1, sum(sizes))
    given_frames = frames(total) - 4.0
    ends = np.cumsum(sizes)
    parts = [given_frames[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    parts = parts if sum(sizes) else [given_frames]
    streamed = np.concatenate(list(corrected.stream(iter(parts), seed=5)))
    np.testing.assert_array_equal(streamed, corrected.generate(given_frames, seed=5))


def test_several_streams_go_through_the_post_filter_each(corrected: Vocoder) -> None:
    given_frames = [frames(12) - 4.0, frames(7, seed=1) - 4.0, frames(1, seed=2) - 4.0]
    for i, made in enumerate(corrected.generate_many(given_frames, seed=2)):
        np.testing.assert_array_equal(made, corrected.generate(given_frames[i], seed=2, stream=i))


def test_the_reference_streams_too(folder: Path) -> None:
    reference = load(folder).compile(backend="reference")
    streamed = np.concatenate(list(reference.stream([frames(3)[:1], frames(3)[1:]])))
    np.testing.assert_array_equal(streamed, reference.generate(frames(3)))


def test_models_are_values(folder: Path) -> None:
    model = load(folder)
    assert replace(model, name="other").name == "other"
    assert isinstance(model, Model)
    assert set(wavejit.__all__) >= {"InputError", "Model", "Vocoder", "load"}


# ------------------------------------------------------------------------------------------ calibrating


def full_scales(model: Model, precision: str) -> list[float]:
    step, _, _ = model.program(precision)
    return [scale for line in step.lines.values() if isinstance(line.op, Affine) for scale in line.op.full_scales]


@pytest.mark.parametrize("precision", ["int8", "int16", "int4"])
def test_a_calibrated_network_measures_nothing(precision: str) -> None:
    model = load("deepvoice-4-16-32")
    assert 0.0 in full_scales(model, precision)
    assert min(full_scales(model.calibrated(ticks=300), precision)) > 0


def test_a_calibrated_model_is_stored_with_its_ranges(folder: Path, tmp_path: Path) -> None:
    model = load(folder).calibrated(frames(40), ticks=200)
    assert 0.0 in full_scales(load(folder), "int8")
    assert min(full_scales(model, "int8")) > 0
    write_folder(tmp_path / "voice", model.files)
    again = load(tmp_path / "voice")
    assert again.files.ranges == model.files.ranges
    assert again.files.clips == model.files.clips
    made = [m.compile("int8").generate(frames(5)) for m in (model, again)]
    np.testing.assert_array_equal(made[0], made[1])


def test_a_calibrated_model_in_float32_is_as_it_was(vocoder: Vocoder) -> None:
    model = vocoder.model.calibrated(frames(10))
    np.testing.assert_array_equal(model.compile().generate(frames(5)), vocoder.generate(frames(5)))


def test_several_streams_of_a_calibrated_model_are_its_streams(folder: Path) -> None:
    several = load(folder).calibrated(frames(40), ticks=200).compile("int8", streams=3)
    utterances = [frames(count, seed=count) for count in (3, 1, 4)]
    for i, made in enumerate(several.generate_many(utterances)):
        np.testing.assert_array_equal(made, several.generate(utterances[i], stream=i))


def test_a_calibrated_model_is_compiled_for_c(folder: Path) -> None:
    measured, calibrated = (
        model.compile_ahead("aarch64-linux-gnu", precision="int8", name="voice")
        for model in (load(folder), load(folder).calibrated(frames(40), ticks=200))
    )
    assert calibrated.state_bytes <= measured.state_bytes
    assert calibrated.files["voice.o"] != measured.files["voice.o"]


def test_a_pruned_model_is_to_be_calibrated_anew() -> None:
    model = load("wavernn-32").calibrated(ticks=20)
    assert model.files.ranges.keys() == model.files.clips.keys() != set()
    pruned = model.pruned(0.5, (4, 4)).files
    assert not pruned.ranges
    assert not pruned.clips


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, rf"voice: features are missing, expected \(frames, {BINS}\) of what the model is to say"),
        ({"features": frames(3, BINS + 1)}, rf"features are \(3, {BINS + 1}\), expected \(frames, {BINS}\)"),
        ({"features": frames(0)}, "features have no frames, expected .* at least 1"),
        ({"features": np.full((2, BINS), np.nan)}, "features hold NaN"),
        ({"features": frames(2), "ticks": 0}, "ticks is 0, expected at least 1"),
        ({"features": frames(2), "seed": -1}, "seed is -1, expected 0 to"),
    ],
)
def test_what_a_model_cannot_be_calibrated_on(folder: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        load(folder).calibrated(**arguments)


def test_an_unconditional_model_is_calibrated_on_nothing() -> None:
    with pytest.raises(InputError, match="wavernn-20: features are given, but the model is unconditional"):
        load("wavernn-20").calibrated(frames(2))


# ------------------------------------------------------------------------------------------------- time


def python(code: str, **environment: str) -> list[str]:
    """What a fresh interpreter prints, a line an item."""
    path = os.pathsep.join([str(Path(wavejit.__file__).parents[1]), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.split()


IMPORT = """
import sys, time
started = time.perf_counter()
import wavejit
print(time.perf_counter() - started)
heavy = ("torch", "llvmlite", "soundfile", "soxr", "onnxruntime", "numba", "typer")
print(*(name for name in heavy if name in sys.modules))
"""

COMPILE = """
import wavejit
vocoder = wavejit.load("deepvoice-40-64-256").compile()
print(vocoder.engine.compile_seconds, vocoder.engine.from_cache)
"""

NOISE = 3  # of a machine that does something else too


def test_import_is_light() -> None:
    """Promised: 0.3 s."""
    seconds, *loaded = min((python(IMPORT) for _ in range(2)), key=lambda printed: float(printed[0]))
    assert loaded == []
    assert float(seconds) < NOISE * 0.3


def test_compile_time(tmp_path: Path) -> None:
    """Promised: 3 s cold, 0.3 s from the cache."""
    cold, found_cold = python(COMPILE, WAVEJIT_CACHE_DIR=str(tmp_path))
    warm, found_warm = python(COMPILE, WAVEJIT_CACHE_DIR=str(tmp_path))
    assert (found_cold, found_warm) == ("False", "True")
    assert float(cold) < NOISE * 3
    assert float(warm) < NOISE * 0.3
    started = time.perf_counter()
    load("deepvoice-40-64-256")
    assert time.perf_counter() - started < NOISE
