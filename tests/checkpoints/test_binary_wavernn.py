"""The importer of geneing's format: what was written comes back, what is wrong is refused in one sentence."""

import re
import struct
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.checkpoints.binary_writer import (
    BatchNorm,
    BinaryModel,
    Convolution,
    Filter,
    Gru,
    Layer,
    Linear,
    Stretch,
    small_features,
    small_model,
)
from tests.models.literal import upsample
from wavejit.backends.reference import Reference
from wavejit.checkpoints import binary_reader
from wavejit.checkpoints.binary_wavernn import import_binary_wavernn
from wavejit.checkpoints.folder import ModelFiles
from wavejit.errors import InputError
from wavejit.models import mel_wavernn


def imported(path: Path, model: BinaryModel | bytes) -> ModelFiles:
    path.write_bytes(model if isinstance(model, bytes) else model.to_bytes())
    return import_binary_wavernn(path, small_features())


def refusal(path: Path, model: BinaryModel | bytes) -> str:
    with pytest.raises(InputError) as refused:
        imported(path, model)
    message = str(refused.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def layers_of(model: BinaryModel, kind: type[Layer]) -> list[Layer]:
    return [layer for layer in model.layers if isinstance(layer, kind)]


def changed(model: BinaryModel, which: int, layer: Layer) -> BinaryModel:
    layers = list(model.layers)
    layers[which] = layer
    return replace(model, layers=layers)


@pytest.mark.parametrize("final_end", [True, False])
@pytest.mark.parametrize(("half", "half_vectors"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("seed", range(3))
def test_weights_come_back(tmp_path: Path, seed: int, half: bool, half_vectors: bool, final_end: bool) -> None:
    model = replace(small_model(seed), half=half, half_vectors=half_vectors, final_end=final_end)
    found = imported(tmp_path / "model.bin", model)
    weights = found.weights
    linears = [layer for layer in model.layers if isinstance(layer, Linear)]
    for name, layer in zip(("inputs", "hidden.0", "out"), linears, strict=True):
        np.testing.assert_array_equal(weights[f"{name}.weight"], layer.weight)
        np.testing.assert_array_equal(weights[f"{name}.bias"], layer.bias)
    (gru,) = (layer for layer in model.layers if isinstance(layer, Gru))
    for side, part in (("inputs", slice(0, 3)), ("recurrent", slice(3, 6))):
        np.testing.assert_array_equal(weights[f"gru.0.{side}.weight"], np.concatenate(gru.matrices[part]))
        np.testing.assert_array_equal(weights[f"gru.0.{side}.bias"], np.concatenate(gru.biases[part]))
    last = [layer for layer in model.layers if isinstance(layer, Convolution)][-1]
    np.testing.assert_array_equal(weights["residual.last.weight"], last.weight[:, :, 0])
    np.testing.assert_array_equal(weights["residual.last.bias"], last.bias)
    network = found.network
    assert isinstance(network, mel_wavernn.MelWaveRNN)
    assert (network.bins, network.hop_length, network.padding) == (8, 6, 2)
    assert (network.residual_channels, network.residual_blocks, network.auxiliary_channels) == (4, 1, 8)
    assert (network.gru_widths, network.hidden_widths, network.classes) == ((8,), (12,), 16)
    assert network.auxiliary == ((0, 3), (4, 4))
    assert network.sample_rate == 8000
    assert (found.features, found.provenance) == (small_features(), "imported from model.bin")


def literal_conditioning(model: BinaryModel, mels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upsampled mels and auxiliary channels of each frame, layer by layer as the file lists them."""
    padding = model.header[3]
    padded = np.pad(mels, ((padding, padding), (0, 0)))
    layers = iter(model.layers)

    def convolve(x: np.ndarray) -> np.ndarray:
        layer = next(layers)
        assert isinstance(layer, Convolution)
        weight = layer.weight.astype(np.float64)
        kernel = weight.shape[2]
        rows = [sum(weight[:, :, k] @ x[t + k] for k in range(kernel)) for t in range(len(x) - kernel + 1)]
        return np.array(rows) + (0 if layer.bias is None else layer.bias)

    def normalise(x: np.ndarray) -> np.ndarray:
        norm = next(layers)
        assert isinstance(norm, BatchNorm)
        variance = norm.variance.astype(np.float64) + np.float32(norm.epsilon)
        return (x - norm.mean) / np.sqrt(variance) * norm.weight + norm.bias

    x = np.maximum(normalise(convolve(padded)), 0)
    for _ in range(model.header[0]):
        inner = np.maximum(normalise(convolve(x)), 0)
        x = x + normalise(convolve(inner))
    auxiliary = convolve(x)
    scales = [layer.x for layer in layers_of(model, Stretch)[1:] if isinstance(layer, Stretch)]
    filters = [layer.values.astype(np.float64) for layer in layers_of(model, Filter) if isinstance(layer, Filter)]
    return upsample(padded, scales, filters, padding), auxiliary


@pytest.mark.parametrize("blocks", [0, 2])
def test_the_conditioning_is_that_of_the_layers(tmp_path: Path, blocks: int) -> None:
    model = small_model(3, blocks=blocks)
    found = imported(tmp_path / "model.bin", model)
    mels = np.random.default_rng(0).standard_normal((4, 8))
    check_conditioning(found, model, mels)


def check_conditioning(found: ModelFiles, model: BinaryModel, mels: np.ndarray) -> None:
    """The folded and composed conditioning agrees with the literal one."""
    network = found.network
    assert isinstance(network, mel_wavernn.MelWaveRNN)
    upsampled, auxiliary = literal_conditioning(model, mels)
    weights = {name: data.astype(np.float64) for name, data in found.weights.items()}
    context, hop = 2 * network.padding + 1, network.hop_length
    padded = np.pad(mels, ((network.padding, network.padding), (0, 0)))
    taps = weights["upsample.taps"]
    polyphase = [taps[t % hop] @ padded[t // hop : t // hop + context][::-1] for t in range(len(upsampled))]
    np.testing.assert_allclose(polyphase, upsampled, atol=1e-5 * np.abs(upsampled).max())

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]

    for frame, expected in enumerate(auxiliary):
        x = np.maximum(linear("residual.first", padded[frame : frame + context].reshape(-1)), 0)
        for i in range(network.residual_blocks):
            name = f"residual.blocks.{i}"
            x = x + linear(f"{name}.second", np.maximum(linear(f"{name}.first", x), 0))
        np.testing.assert_allclose(linear("residual.last", x), expected, atol=1e-5 * np.abs(auxiliary).max())


def test_an_imported_model_runs(tmp_path: Path) -> None:
    found = imported(tmp_path / "model.bin", small_model())
    step = found.family.step("test", found.network, found.weights)
    reference = Reference(step)
    reference.prime({"features": np.ones((2, 8))})
    assert np.abs(reference.run(12, {"features": np.ones((2, 8))}).samples).max() <= 1


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_any_pattern_of_zeros_comes_back(tmp_path: Path, data: st.DataObject) -> None:
    shape = (data.draw(st.integers(1, 6)), 4 * data.draw(st.integers(1, 5)))
    kept = data.draw(st.lists(st.booleans(), min_size=shape[0] * shape[1] // 4, max_size=shape[0] * shape[1] // 4))
    mask = np.repeat(np.array(kept).reshape(shape[0], -1), 4, axis=1)
    matrix = (mask * np.arange(1, mask.size + 1).reshape(shape)).astype(np.float32)
    model = replace(small_model(), final_end=data.draw(st.booleans()))
    reader = binary_reader.Reader(tmp_path, model._sparse(matrix))
    np.testing.assert_array_equal(reader.sparse(*shape, "weight", binary_reader.FLOAT32), matrix)
    assert reader.left == 0


def test_a_batch_norm_is_folded_with_the_convolutions_own_bias(tmp_path: Path) -> None:
    model = small_model()
    (first, *_) = (layer for layer in model.layers if isinstance(layer, Convolution))
    model = changed(model, 0, replace(first, bias=np.arange(4, dtype=np.float32)))
    check_conditioning(imported(tmp_path / "m", model), model, np.ones((2, 8)))


LAST = -1  # the layer of the classes


def sparse_bytes(values: list[float], index: list[int], rows: int = 16, columns: int = 12) -> bytes:
    head = struct.pack("<i64s3i", 4, b"Linear", 4, rows, columns)
    packed = np.array(values, "<f4").tobytes()
    return (
        head + struct.pack("<i", len(values)) + packed + struct.pack("<i", len(index)) + bytes(index) + bytes(4 * rows)
    )


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (sparse_bytes([], [255] * 16), None),
        (sparse_bytes([], [255] * 17), None),
        (sparse_bytes([1, 2, 3, 4], [255] * 15 + [2, 255]), None),
        (sparse_bytes([], [255] * 18), "ends 18 rows, or ends them early; expected 16"),
        (sparse_bytes([1] * 4, [255] * 16 + [0]), "ends 16 rows, or ends them early"),
        (sparse_bytes([1] * 4, [255] * 16 + [0, 255]), "ends 17 rows, or ends them early"),
        (sparse_bytes([], [255] * 15), "index count is 15, expected 16 to 209"),
        (sparse_bytes([1] * 4, [0] + [255] * 15), "ends 15 rows"),
        (sparse_bytes([1] * 4, [3] + [255] * 16), "value in column 15 of 12"),
        (sparse_bytes([1] * 4, [254] + [255] * 16), "value in column 1019 of 12"),
        (sparse_bytes([1] * 4, [255] * 16), "has 4 values, expected 4 for each of 0 groups"),
        (sparse_bytes([1] * 3, [0] + [255] * 16), "has 3 values, expected 4 for each of 1 groups"),
        (sparse_bytes([np.nan] * 4, [0] + [255] * 16), "holds NaN or infinite values"),
    ],
)
def test_sparse_matrices(tmp_path: Path, last: bytes, message: str | None) -> None:
    data = b"".join(small_model().parts()[:-1]) + last
    if message is None:
        assert imported(tmp_path / "m", data).weights["out.weight"].shape == (16, 12)
    else:
        found = refusal(tmp_path / "m", data)
        assert message in found
        assert "Linear" in found


def test_wrong_sizes_are_refused_by_name(tmp_path: Path) -> None:
    model, path = small_model(), tmp_path / "model.bin"
    zeros, three = np.zeros((16, 16), np.float32), np.ones(3, np.float32)
    norm = model.layers[1]
    assert isinstance(norm, BatchNorm)
    for broken, message in (
        (replace(model, header=(2, 2, 6, 2)), r"layer 7, Convolution\(\) .*outputs is 8, expected 4"),
        (replace(model, header=(0, 2, 6, 2)), "expected a stretch"),
        (replace(model, header=(1, 1, 6, 2)), r"stages stretch by \[2\], expected a product of 6"),
        (replace(model, header=(1, 3, 6, 2)), "is a linear, expected a stretch"),
        (replace(model, header=(1, 2, 5, 2)), "header .*hop is 5, expected 6 as in the features"),
        (replace(model, header=(1, 2, 6, 1)), "kernel is 5, expected 3"),
        (replace(model, header=(-1, 2, 6, 2)), "residual blocks is -1, expected 0 to 256"),
        (replace(model, header=(1, 2, 2**31 - 1, 2)), "hop is 2147483647, expected 1 to"),
        (replace(model, header=(1, 2, 6, 999)), "padding is 999"),
        (changed(model, 0, Convolution(np.zeros((4, 7, 5), np.float32), None)), "inputs is 7, expected 8"),
        (changed(model, 1, replace(norm, variance=norm.variance - 9)), "variance plus epsilon is -.*more than 0"),
        (changed(model, 1, replace(norm, mean=norm.mean * np.float32(np.inf))), "mean holds NaN or infinite"),
        (changed(model, 1, replace(norm, weight=norm.weight + np.float32(3e38))), "beyond float32's"),
        (changed(model, 1, BatchNorm(three, three, three, three)), "channels is 3, expected 4"),
        (changed(model, 7, Stretch(7)), "repeated 7 times, expected the hop, 6"),
        (changed(model, 8, Stretch(3)), "length is 5, expected 7"),
        (changed(model, 8, Stretch(4)), r"stages stretch by \[4\], expected a product of 6"),
        (changed(model, 8, Stretch(2, 2)), "stretch y is 2, expected 1"),
        (changed(model, 9, Filter(np.full(5, 3e38, np.float32))), "beyond float32's"),
        (changed(model, 12, Linear(zeros, zeros[0])), "columns is 16, expected 12"),
        (changed(model, 13, Gru([zeros] * 6, [zeros[0]] * 6)), "hidden is 16, expected 8"),
        (changed(model, 13, Linear(zeros, zeros[0])), "is a linear, expected a gru"),
        (changed(model, 15, Linear(zeros[:1, :12], zeros[0, :1])), "there are 1 classes, expected at least 2"),
        (changed(model, 6, Convolution(np.zeros((3, 4, 1), np.float32), None)), "there are 3 auxiliary channels"),
        (replace(model, layers=model.layers[:-1]), "layer 16: .*the file ends, expected a linear|layer 16 .*ends"),
        (replace(model, layers=[*model.layers, Stretch(1)]), "bytes follow the last of 16 layers, expected none"),
    ):
        assert re.search(message, found := refusal(path, broken)), (message, found)


def test_the_filters_reach_is_held_against_the_padding(tmp_path: Path) -> None:
    # Two stages reach two frames; a padding of one would cut the polyphase filter off.
    model = small_model()
    weight = np.zeros((4, 8, 3), np.float32)
    narrow = changed(replace(model, header=(1, 2, 6, 1)), 0, Convolution(weight, None))
    assert "reach 2 frames, expected at most the padding, 1" in refusal(tmp_path / "m", narrow)
    one = small_model(scales=(6,))
    one = changed(replace(one, header=(1, 1, 6, 1)), 0, Convolution(weight, None))
    check_conditioning(imported(tmp_path / "m", one), one, np.random.default_rng(1).standard_normal((3, 8)))


def test_names_of_layers_stay_on_one_line(tmp_path: Path) -> None:
    model = small_model()
    model = replace(model, names=["a\nb\x1b[31m\x07ü"] + ["x"] * 15)
    assert imported(tmp_path / "m", model).weights
    model = changed(model, 0, Stretch(1))
    assert "layer 1, a?b?[31m???" in refusal(tmp_path / "m", model)


@pytest.mark.parametrize("size", [0, 1, 3, 8, -4, 2**31 - 1])
def test_an_unknown_element_size_is_refused(tmp_path: Path, size: int) -> None:
    data = bytearray(small_model().to_bytes())
    data[16 + 68 : 16 + 72] = struct.pack("<i", size)
    assert f"element size is {size}, expected" in refusal(tmp_path / "m", bytes(data))


def test_huge_sizes_are_refused_before_room_is_made(tmp_path: Path) -> None:
    head = struct.pack("<4i", 1, 2, 6, 2)
    convolution = struct.pack("<i64s5i", 1, b"Conv1d", 4, 0, 8, 8192, 5)
    parts = small_model().parts()
    linear = struct.pack("<i64s3i", 4, b"Linear", 4, 8192, 12) + struct.pack("<i", 8192 * 12)
    index = struct.pack("<i64s3i2i", 4, b"Linear", 4, 8192, 12, 0, 8192)
    path = tmp_path / "m"
    tracemalloc.start()
    try:
        for data, message in (
            (head + convolution, "the file ends in weight"),
            (b"".join(parts[:13]) + linear, "the file ends in weight's values"),
            (b"".join(parts[:13]) + index, "the file ends in weight's index"),
        ):
            assert message in refusal(path, data)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_expanded_matrices_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binary_reader, "MAX_DENSE_VALUES", 500)
    assert "values in sparse matrices, expected at most 500" in refusal(tmp_path / "m", small_model())
    reader = binary_reader.Reader(tmp_path, bytes(10_000))
    with pytest.raises(InputError, match="2000 columns, expected at most 1020"):
        reader.sparse(8, 2000, "weight", binary_reader.FLOAT32)


def test_features_of_another_hop_or_bins_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(small_model().to_bytes())
    with pytest.raises(InputError, match="inputs is 8, expected 5"):
        import_binary_wavernn(path, small_features(bins=5))
    with pytest.raises(InputError, match="hop is 6, expected 4"):
        import_binary_wavernn(path, small_features(hop_length=4))
