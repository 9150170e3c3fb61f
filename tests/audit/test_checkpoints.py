"""Checkpoints: lines of JSON that prove themselves, appended where the log's writer says."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from typing import TYPE_CHECKING

import pytest

from sessionkit.audit.checkpoints import Checkpoint, parse, seal, writer

if TYPE_CHECKING:
    from pathlib import Path

KEY = b"k" * 32


def made(lines: int = 3) -> Checkpoint:
    """Return a checkpoint."""
    return seal(KEY, chain_uid="A" * 16, lines=lines, fingerprint="f" * 32, closed=False, now=1_800_000_000.0)


def test_there_and_back() -> None:
    """What is written is read as it was, and is authentic under its key alone."""
    one = made()
    assert parse(one.render().encode()) == one
    assert one.timestamp == "2027-01-15T08:00:00.000Z"
    assert one.is_authentic(KEY)
    assert not one.is_authentic(b"x" * 32)


@pytest.mark.parametrize(
    "change",
    [
        {"chain_uid": "B" * 16},
        {"lines": 4},
        {"fingerprint": "e" * 32},
        {"closed": True},
        {"timestamp": "2027"},
        {"mac": ""},
    ],
    ids=lambda change: next(iter(change)),
)
def test_no_field_can_be_changed(change: dict[str, object]) -> None:
    """Every field is part of the proof."""
    assert not dataclasses.replace(made(), **change).is_authentic(KEY)  # type: ignore[arg-type]  # one field of many


@pytest.mark.parametrize("name", ["checkpoint", "chain_uid", "lines", "fingerprint", "closed", "timestamp", "mac"])
@pytest.mark.parametrize("value", [None, [], 1.5])
def test_every_field_has_its_type(name: str, value: object) -> None:
    """A field of another type, or none, makes it no checkpoint."""
    record = json.loads(made().render())
    assert parse(json.dumps(record | {name: value}).encode()) is None
    del record[name]
    assert parse(json.dumps(record).encode()) is None


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    """Each checkpoint is a line; the file is made if need be, readable by owner and group, and may be rotated away."""
    path = tmp_path / "checkpoints"
    path.write_text("before\n")
    write = writer(path)
    write("one")
    path.rename(tmp_path / "rotated")
    writer(str(path))("two")
    write("three")
    assert (tmp_path / "rotated").read_text() == "before\none\n"
    assert path.read_text() == "two\nthree\n"
    assert path.stat().st_mode & 0o137 == 0


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is relative to the folder in which the writer was made, wherever the process goes then."""
    monkeypatch.chdir(tmp_path)
    write = writer("checkpoints")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir("other")
    write("one")
    assert (tmp_path / "checkpoints").read_text() == "one\n"


def test_the_disk_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is on the disk before the writer returns."""
    synced: list[str] = []
    path = tmp_path / "checkpoints"
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(path.read_text()))
    writer(path)("one")
    assert synced == ["one\n"]


def test_a_line_that_was_torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is an error; what follows the torn line begins on a line of its own."""
    path = tmp_path / "checkpoints"
    write, really = writer(path), os.write

    def full(file: int, data: bytes) -> int:
        return really(file, data[:2])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match="a part of the line"):
            write("one")
    write("two")
    write("three")
    assert path.read_text() == "on\ntwo\nthree\n"


def test_a_place_that_is_not_there(tmp_path: Path) -> None:
    """A folder that does not exist is an error of the writer's, for the chain to count."""
    with pytest.raises(OSError) as caught:  # noqa: PT011 - told apart by its number below
        writer(tmp_path / "none" / "checkpoints")("one")
    assert caught.value.errno == errno.ENOENT


def test_a_function_is_called() -> None:
    """A callback gets the line as it is."""
    lines: list[str] = []
    writer(lines.append)("one")
    assert lines == ["one"]
