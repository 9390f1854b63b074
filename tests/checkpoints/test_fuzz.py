"""Any bytes at all: they are read, or refused in one sentence that names the file, in little memory and time."""

import json
import struct
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.checkpoints.binary_writer import small_features, small_model
from tests.checkpoints.small_models import small
from wavejit.checkpoints import import_checkpoint
from wavejit.checkpoints.folder import CONFIG, WEIGHTS, read_folder, write_folder
from wavejit.errors import InputError

MODEL = small_model()
PARTS = MODEL.parts()
WHOLE = b"".join(PARTS)
PEAK_BYTES, SECONDS = 50_000_000, 5.0

same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)


def read_or_refused(path: Path, folder: bool = False) -> bool:
    """Whether `path` was read; anything but a refusal as promised fails the test."""
    tracemalloc.start()
    begun = time.perf_counter()
    try:
        if folder:
            read_folder(path)
        else:
            import_checkpoint(path, "binary-wavernn", small_features())
        return True
    except InputError as error:
        message = str(error)
        assert str(path) in message
        assert len(message.splitlines()) == 1
        assert message.isprintable()
        assert len(message) < 600
        return False
    finally:
        seconds, peak = time.perf_counter() - begun, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < PEAK_BYTES
        assert seconds < SECONDS


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


edits = st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=12)
words = st.sampled_from([0, 1, 2, 3, 255, 1020, 1024, 8192, 8193, 65536, 2**24, 2**31 - 1, -1, -(2**31)])


def test_the_whole_is_read(tmp_path: Path) -> None:
    assert read_or_refused(written(tmp_path / "m", WHOLE))


@given(st.binary(max_size=2000))
@same_folder
def test_random_bytes(tmp_path: Path, data: bytes) -> None:
    assert not read_or_refused(written(tmp_path / "m", data))
    assert not read_or_refused(written(tmp_path / "m", WHOLE[:16] + data))


@pytest.mark.parametrize("layer", range(len(PARTS)))
@pytest.mark.parametrize("beyond", [0, 1, 3, 4, 68, 72, 90])
def test_truncation_at_each_layer(tmp_path: Path, layer: int, beyond: int) -> None:
    end = sum(map(len, PARTS[:layer])) + beyond
    assert not read_or_refused(written(tmp_path / "m", WHOLE[:end]))


@given(st.integers(0, len(WHOLE) - 1))
@same_folder
def test_truncation_anywhere(tmp_path: Path, end: int) -> None:
    assert not read_or_refused(written(tmp_path / "m", WHOLE[:end]))


@given(edits)
@same_folder
def test_altered_bytes(tmp_path: Path, edits: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE)
    for at, value in edits:
        data[at] = value
    read_or_refused(written(tmp_path / "m", bytes(data)))


def test_every_byte_of_the_small_layers(tmp_path: Path) -> None:
    # Headers and sizes decide most: each of their bytes takes a few values.
    starts = [sum(map(len, PARTS[:i])) for i in range(1, len(PARTS))]
    places = [*range(16), *(start + byte for start in starts for byte in (0, 3, *range(68, 88)))]
    read = 0
    for at in places:
        for value in (0, 1, 127, 255):
            read += read_or_refused(written(tmp_path / "m", WHOLE[:at] + bytes([value]) + WHOLE[at + 1 :]))
    assert 0 < read < 4 * len(places)  # a byte may become what it was


@given(st.integers(0, len(PARTS) - 1), st.integers(0, 8), words, st.integers(0, 3))
@same_folder
def test_altered_sizes(tmp_path: Path, layer: int, word: int, value: int, shift: int) -> None:
    at = sum(map(len, PARTS[:layer])) + (64 if layer and word else 0) + 4 * word + shift * (shift == 3)
    data = WHOLE[:at] + value.to_bytes(4, "little", signed=True) + WHOLE[at + 4 :]
    read_or_refused(written(tmp_path / "m", data))


@given(st.permutations(range(1, len(PARTS))), st.integers(1, len(PARTS)))
@same_folder
def test_layers_in_another_order(tmp_path: Path, order: list[int], count: int) -> None:
    data = PARTS[0] + b"".join(PARTS[i] for i in order[:count])
    assert read_or_refused(written(tmp_path / "m", data)) <= (data == WHOLE or count == len(PARTS) - 1)


def test_rows_of_nothing_take_no_room(tmp_path: Path) -> None:
    # Thousands of rows, one byte each, and as many columns as the format can say.
    rows = 8192
    body = struct.pack("<3i", 4, rows, 12) + struct.pack("<2i", 0, rows) + b"\xff" * rows + bytes(4 * rows)
    linear = struct.pack("<i64s", 4, b"Linear") + body
    assert not read_or_refused(written(tmp_path / "m", b"".join(PARTS[:13]) + linear))
    assert read_or_refused(written(tmp_path / "m", b"".join(PARTS[:-1]) + linear))


# ------------------------------------------------------------------------------------------- the folder

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzz") / "voice"
    write_folder(path, small("mel-wavernn"))
    return path


@pytest.fixture
def voice(folder: Path) -> Iterator[Path]:
    config, weights = (folder / CONFIG).read_bytes(), (folder / WEIGHTS).read_bytes()
    yield folder
    (folder / CONFIG).write_bytes(config)
    (folder / WEIGHTS).write_bytes(weights)
    assert read_or_refused(folder, folder=True)


def leaves(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The way to each value in JSON, the groups too."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [leaf for key, item in inner for leaf in leaves(item, (*path, key))]


@given(json_values)
@same_folder
def test_random_configuration(voice: Path, value: object) -> None:
    (voice / CONFIG).write_text(json.dumps(value), "utf-8")
    assert not read_or_refused(voice, folder=True)


@given(st.data())
@settings(same_folder, max_examples=300)
def test_altered_configuration(voice: Path, data: st.DataObject) -> None:
    fields = json.loads(CONFIG_TEXT)
    for way in data.draw(st.lists(st.sampled_from(leaves(fields)), min_size=1, max_size=2)):
        group = fields
        try:
            for key in way[:-1]:
                group = group[key]
            if data.draw(st.booleans(), "replace"):
                group[way[-1]] = data.draw(json_values)
            else:
                del group[way[-1]]
        except (KeyError, IndexError, TypeError):
            continue  # the first change took the place of the second
    (voice / CONFIG).write_text(json.dumps(fields), "utf-8")
    read_or_refused(voice, folder=True)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=3)), min_size=1, max_size=4))
@same_folder
def test_altered_text_of_the_configuration(voice: Path, edits: list[tuple[int, bytes]]) -> None:
    text = CONFIG_TEXT
    for at, insert in edits:
        at %= len(text)
        text = text[:at] + insert + text[at + len(insert) :]
    (voice / CONFIG).write_bytes(text)
    read_or_refused(voice, folder=True)


@pytest.mark.parametrize(
    "text", [b"[" * 500_000, b'{"a":' * 100_000, b"[[]," * 250_000, b'{"family":' + b"9" * 500_000]
)
def test_deep_and_long_configurations(voice: Path, text: bytes) -> None:
    (voice / CONFIG).write_bytes(text)
    assert not read_or_refused(voice, folder=True)


@pytest.mark.parametrize("digits", [19, 20, 40, 308, 309, 4000, 5000])
@pytest.mark.parametrize("field", ["bins", "sample_rate", "classes", "deemphasis", "auxiliary_channels"])
def test_huge_numbers(voice: Path, field: str, digits: int) -> None:
    fields = json.loads(CONFIG_TEXT)
    fields["network"][field] = "HUGE"
    (voice / CONFIG).write_text(json.dumps(fields).replace('"HUGE"', "9" * digits))
    assert not read_or_refused(voice, folder=True)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8), st.booleans())
@same_folder
def test_altered_weights(voice: Path, edits: list[tuple[int, int]], in_header: bool) -> None:
    data = bytearray(WEIGHTS_DATA)
    end = 8 + int.from_bytes(data[:8], "little") if in_header else len(data)
    for at, value in edits:
        data[at % end] = value
    (voice / WEIGHTS).write_bytes(data)
    read_or_refused(voice, folder=True)


@given(st.integers(0, 10**6), st.binary(max_size=20))
@same_folder
def test_truncated_weights(voice: Path, end: int, tail: bytes) -> None:
    data = WEIGHTS_DATA[: end % len(WEIGHTS_DATA)] + tail
    (voice / WEIGHTS).write_bytes(data)
    assert read_or_refused(voice, folder=True) <= (len(data) == len(WEIGHTS_DATA))


@given(json_values | st.dictionaries(st.text(max_size=6), json_values, max_size=3))
@same_folder
def test_random_headers_of_weights(voice: Path, header: object) -> None:
    text = json.dumps(header).encode()
    (voice / WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text + bytes(100))
    assert not read_or_refused(voice, folder=True)


def _stored(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder) / "voice", small("mel-wavernn"))
        return (Path(folder) / "voice" / name).read_bytes()


CONFIG_TEXT, WEIGHTS_DATA = _stored(CONFIG), _stored(WEIGHTS)
