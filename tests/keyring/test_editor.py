"""The editor: comments and order stay, the file is always whole, and what is written is what was meant."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sessionkit.exceptions import KeyringError
from sessionkit.keyring import editor, file, rotation
from sessionkit.keyring.editor import Editor, NewKey, create
from sessionkit.keyring.key import KeyState
from sessionkit.keyring.keyring import Keyring, Policy

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000.0

WRITTEN_BY_PEOPLE = """\
# our keys
version: 1
generation: 4   # raised by hand

policy: {propagation: 0, skew: 0}
keys:
  # the one in use
  - label: 'winter'
    state: active     # since December
    secret: {env: EDITOR_WINTER}
    created: 2026-12-01T01:00:00+01:00
  # stands by
  - label: spring
    secret:
      file: spring.key   # delivered by the vault
    state: staged
    created: "2026-12-01T00:00:00Z"
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a keyring file that people wrote."""
    monkeypatch.setenv("EDITOR_WINTER", "11" * 32)
    (tmp_path / "spring.key").write_text("22" * 32)
    path = tmp_path / "keyring.yaml"
    path.write_text(WRITTEN_BY_PEOPLE)
    return path


def test_what_people_wrote_stays(path: Path) -> None:
    """A publish changes states, dates and the generation; comments, quotes, order and spelling stay."""
    opened = Editor(path)
    new = NewKey.generate("summer", KeyState.STAGED, NOW)
    opened.publish(rotation.promote(opened.ring, NOW, successor=new.key), {new.key.kid: new})
    expected = WRITTEN_BY_PEOPLE.replace("generation: 4", "generation: 5").replace(
        "state: active     # since", "state: retired   # since"
    )
    text = path.read_text()
    for line in expected.splitlines():
        comment = line.partition("#")[2].strip()
        assert comment in text
    assert "# delivered by the vault" in text
    assert "label: 'winter'" in text
    assert "created: 2026-12-01T01:00:00+01:00" in text
    assert 'created: "2026-12-01T00:00:00Z"' in text
    assert text.index("winter") < text.index("spring") < text.index("summer")
    assert "retired: 2027-01-15T08:00:00Z" in text
    assert file.read(path).digest == opened.ring.digest


def test_pruned_entries_go_and_comments_of_others_stay(path: Path) -> None:
    """A pruned key leaves the file; the comments around the others stay."""
    opened = Editor(path)
    opened.publish(rotation.promote(opened.ring, NOW))
    opened = Editor(path)
    opened.publish(rotation.prune(opened.ring, NOW, ["winter"], force=True))
    text = path.read_text()
    assert "EDITOR_WINTER" not in text
    assert "# delivered by the vault" in text
    assert [key.label for key in file.read(path)] == ["spring"]


def test_a_date_can_be_taken_back(path: Path) -> None:
    """A date that is gone from the ring goes from the file."""
    opened = Editor(path)
    keys = [replace(key, created=None) if key.label == "spring" else key for key in opened.ring]
    opened.publish(Keyring(keys, generation=5, policy=opened.ring.policy))
    assert "2026-12-01T00:00:00Z" not in path.read_text()


def test_mode_is_0600_and_nothing_is_left_beside(path: Path) -> None:
    """However open the file was, what is written is its owner's alone; no temporary file stays."""
    path.chmod(0o644)
    opened = Editor(path)
    opened.publish(rotation.promote(opened.ring, NOW))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["keyring.yaml", "spring.key"]


def test_a_link_stays_a_link(path: Path) -> None:
    """Through a link, the file that it points to is replaced."""
    link = path.with_name("link.yaml")
    link.symlink_to(path)
    opened = Editor(link)
    opened.publish(rotation.promote(opened.ring, NOW))
    assert link.is_symlink()
    assert file.read(path).generation == 5


def test_what_would_come_out_otherwise_is_not_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring that the written text would not give is refused before the file is touched."""
    opened = Editor(path)
    before = path.read_bytes()
    fractional = rotation.promote(opened.ring, NOW + 0.25)
    with pytest.raises(KeyringError, match="would not come out as intended"):
        opened.publish(fractional)
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 2
    monkeypatch.setattr(os, "fsync", _fail)
    with pytest.raises(KeyringError, match="cannot be written"):
        Editor(path).publish(rotation.promote(Editor(path).ring, NOW))
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 2


def _fail(_: int) -> None:
    raise OSError(28, "No space left on device")


def test_what_was_killed_is_swept_as_soon_as_somebody_has_the_lock(tmp_path: Path) -> None:
    """Also by a command that is refused afterwards, and by the first one, where there is no file yet."""
    path = tmp_path / "new.yaml"
    left = tmp_path / ".new.yaml.00000000.tmp"
    first = NewKey.generate("one", KeyState.ACTIVE, NOW)
    ring = Keyring([first.key], generation=1, policy=Policy(1.5, 2, 3))
    left.write_text("half")
    create(path, ring, {first.key.kid: first})
    assert not left.exists()
    left.write_text("half")
    Editor(path)
    assert not left.exists()


def test_create_never_replaces(tmp_path: Path) -> None:
    """A first file is made only where none is, whole and with its policy."""
    path = tmp_path / "new.yaml"
    first = NewKey.generate("one", KeyState.ACTIVE, NOW)
    ring = Keyring([first.key], generation=1, policy=Policy(1.5, 2, 3))
    create(path, ring, {first.key.kid: first})
    assert file.read(path).digest == ring.digest
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(KeyringError, match="exists already"):
        create(path, ring, {first.key.kid: first})
    assert path.read_bytes() == before
    with pytest.raises(KeyringError, match="cannot be written"):
        create(tmp_path / "nowhere" / "new.yaml", ring, {first.key.kid: first})


def test_a_folder_that_cannot_be_flushed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is in its place by then: that some file systems flush no folders is no failure to write."""
    opened = Editor(path)
    flushed: list[int] = []

    def flush(handle: int) -> None:
        flushed.append(handle)
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", flush)
    opened.publish(rotation.promote(opened.ring, NOW))
    assert len(flushed) == 2
    assert file.read(path).generation == 5


LAYOUTS = {
    "both stand there": (
        "generation: 4   # raised",
        "not_before: 2026-01-01T00:00:00Z  # old\ngeneration: 4   # raised",
    ),
    "generation alone": ("", ""),
    "neither": ("generation: 4   # raised by hand\n", ""),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_not_before_is_put_where_it_belongs(path: Path, layout: str) -> None:
    """It replaces the one that stands there, else it comes behind the generation; comments stay."""
    before = WRITTEN_BY_PEOPLE.replace(*LAYOUTS[layout]) if layout != "generation alone" else WRITTEN_BY_PEOPLE
    path.write_text(before)
    opened = Editor(path)
    opened.publish(opened.ring.changed(not_before=NOW, generation=opened.ring.generation + 1))
    text = path.read_text()
    assert file.read(path).not_before == NOW
    assert text.count("not_before: 2027-01-15T08:00:00Z") == text.count("not_before") == 1
    if layout == "both stand there":
        assert "not_before: 2027-01-15T08:00:00Z  # old\ngeneration: 5   # raised by hand\n" in text
    elif layout == "generation alone":
        assert "generation: 5   # raised by hand\nnot_before: 2027-01-15T08:00:00Z\n\npolicy" in text
    else:
        assert "version: 1\ngeneration: 1\nnot_before: 2027-01-15T08:00:00Z\n" in text


def test_what_is_pinned_stays_as_it_was_written(path: Path) -> None:
    """No step writes the format, and a time that stays keeps its spelling."""
    pinned = "write_format: 1  # until all are new\nnot_before: '2026-12-01T01:00:00.5+01:00'\n"
    path.write_text(WRITTEN_BY_PEOPLE + pinned)
    opened = Editor(path)
    opened.publish(rotation.promote(opened.ring, NOW))
    assert path.read_text().endswith(pinned)


def test_elsewhere_than_posix_folders_are_not_flushed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where folders cannot be opened, a publish works without flushing them."""
    opened = Editor(path)
    ring = rotation.promote(opened.ring, NOW)
    monkeypatch.setattr(editor, "_POSIX", False)
    opened.publish(ring)
    assert file.read(path).generation == 5


def test_repr_shows_no_secret(path: Path) -> None:
    """Neither the editor nor a new key shows a secret."""
    new = NewKey.generate("summer", KeyState.STAGED, NOW)
    assert repr(Editor(path)) == "<Editor <Keyring gen 4: 1 active, 1 staged>>"
    assert new.secret["base64"] not in repr(new)
