"""Atheris on the importer and the folder reader; `test_atheris.py` starts it, or by hand:

    python tests/checkpoints/fuzz_importers.py -runs=100000

Anything but a model or an InputError that names the file ends the run with a traceback and a file `crash-…`.
"""

import importlib
import sys
import tempfile
from pathlib import Path

atheris = importlib.import_module("atheris")  # not installed with `.[dev]`
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

with atheris.instrument_imports(include=["wavejit.checkpoints", "msgspec"]):
    from tests.checkpoints.binary_writer import small_features, small_model
    from tests.checkpoints.small_models import small
    from wavejit.checkpoints import import_checkpoint
    from wavejit.checkpoints.folder import CONFIG, WEIGHTS, read_folder, write_folder
    from wavejit.errors import InputError

FOLDER = Path(tempfile.mkdtemp(prefix="wavejit-fuzz-"))
CHECKPOINT, VOICE = FOLDER / "model.bin", FOLDER / "voice"
FEATURES = small_features()


def read_any(data: bytes) -> None:
    """The first byte says what the rest is: a checkpoint, a configuration, or weights."""
    target = data[0] % 3 if data else 0
    path = (CHECKPOINT, VOICE / CONFIG, VOICE / WEIGHTS)[target]
    good = path.read_bytes()
    path.write_bytes(data[1:])
    try:
        if target == 0:
            import_checkpoint(path, "binary-wavernn", FEATURES)
        else:
            read_folder(VOICE)
    except InputError as error:
        message = str(error)
        if len(message.splitlines()) != 1 or str(FOLDER) not in message or not message.isprintable():
            raise AssertionError(f"not a sentence that names the file: {message!r}") from error
    finally:
        path.write_bytes(good)


def main() -> None:
    corpus = FOLDER / "corpus"
    corpus.mkdir()
    CHECKPOINT.write_bytes(small_model().to_bytes())
    write_folder(VOICE, small("mel-wavernn"))
    for i, path in enumerate((CHECKPOINT, VOICE / CONFIG, VOICE / WEIGHTS)):
        (corpus / path.name).write_bytes(bytes([i]) + path.read_bytes())
    arguments = [sys.argv[0], "-max_len=8192", "-rss_limit_mb=1024", "-timeout=10", *sys.argv[1:], str(corpus)]
    atheris.Setup(arguments, read_any)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
