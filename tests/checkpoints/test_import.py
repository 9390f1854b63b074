"""The door to the importers: formats are recognised, and licences come along."""

import os
from pathlib import Path

import pytest

from tests.checkpoints.binary_writer import small_features, small_model
from wavejit.checkpoints import IMPORTERS, import_checkpoint, recognise
from wavejit.checkpoints.binary_wavernn import is_binary_wavernn
from wavejit.checkpoints.folder import read_folder, write_folder
from wavejit.checkpoints.licence import find_licence, licence_name
from wavejit.errors import InputError

MIT = "MIT License\n\nCopyright (c) 2018 Somebody — ü\n"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "downloads" / "model.bin"
    path.parent.mkdir()
    path.write_bytes(small_model().to_bytes())
    return path


def test_the_format_is_recognised(checkpoint: Path) -> None:
    assert recognise(checkpoint) == "binary-wavernn"
    for format in (None, "binary-wavernn"):
        model = import_checkpoint(checkpoint, format, small_features())
        assert model.family.name == "mel-wavernn"
        assert (model.licence, model.licence_text) == ("", "")


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 15, b"\0" * 400, b"PK\x03\x04" + b"\0" * 400, b"\x80\x02}q\x00" * 30, b"{}", b"RIFF" * 30]
)
def test_a_foreign_file_is_refused_with_what_is_known(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"begins like none of the formats .* binary-wavernn \(a sparse") as refused:
        import_checkpoint(path)
    assert str(path) in str(refused.value)
    with pytest.raises(InputError, match="header"):
        import_checkpoint(path, "binary-wavernn")


def test_an_unknown_format_is_refused_with_what_is_known(checkpoint: Path) -> None:
    with pytest.raises(InputError, match=r"format is 'torch', expected binary-wavernn"):
        import_checkpoint(checkpoint, "torch")


def test_only_files_are_looked_at(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("", "absent", "fifo", "loop"):
        for format in (None, *IMPORTERS):
            with pytest.raises(InputError, match=r"cannot be read|expected a file") as refused:
                import_checkpoint(tmp_path / name, format)
            assert str(tmp_path / name) in str(refused.value)


def test_the_usual_features_are_those_of_the_exporter(checkpoint: Path) -> None:
    with pytest.raises(InputError, match="hop is 6, expected 200 as in the features"):
        import_checkpoint(checkpoint)


def test_a_start_that_is_cut_off_is_no_start() -> None:
    whole = small_model().to_bytes()
    assert is_binary_wavernn(whole[:20])
    assert not any(is_binary_wavernn(whole[:size]) for size in range(20))


def test_a_licence_beside_the_checkpoint_is_kept(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint.parent / "LICENSE").write_text(MIT, "utf-8")
    model = import_checkpoint(checkpoint, features=small_features())
    assert (model.licence, model.licence_text) == ("MIT", MIT)
    write_folder(tmp_path / "voice", model)
    assert (tmp_path / "voice" / "LICENSE").read_text("utf-8") == MIT
    again = read_folder(tmp_path / "voice")
    assert (again.licence, again.licence_text) == ("MIT", MIT)
    write_folder(tmp_path / "copy", again)
    assert (tmp_path / "copy" / "LICENSE").read_text("utf-8") == MIT


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (MIT, "MIT"),
        ("The MIT License (MIT)", "MIT"),
        ("\n\n   Apache License\n  Version 2.0, January 2004", "Apache-2.0"),
        ("BSD 3-Clause License", "BSD-3-Clause"),
        ("CC0 1.0 Universal", "CC0-1.0"),
        ("# SPDX-License-Identifier: LGPL-2.1-or-later\nwhatever", "LGPL-2.1-or-later"),
        ("  Terms\tof  use\nmore", "Terms of use"),
        ("x" * 500, "x" * 80),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_licences_have_short_names(text: str, name: str) -> None:
    assert licence_name(text) == name


def test_what_cannot_be_a_licence_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "LICENSE").mkdir()
    (tmp_path / "LICENCE").write_bytes(b"\0binary")
    (tmp_path / "LICENSE.md").write_bytes(b"x" * (1 << 21))
    os.mkfifo(tmp_path / "LICENSE.txt")
    assert find_licence(tmp_path) == ("", "")
    (tmp_path / "COPYING").write_bytes(b"Licen\xe7a\n")
    assert find_licence(tmp_path).name == "Licen\ufffda"
    assert find_licence(tmp_path / "absent") == ("", "")
