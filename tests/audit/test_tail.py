"""A log that is being written is followed through all that happens to log files."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from sessionkit.audit import tail as module
from sessionkit.audit.tail import Tail
from sessionkit.exceptions import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the log is."""
    return tmp_path / "app.log"


def write(path: Path, text: str) -> None:
    """Add to a file."""
    with path.open("a") as file:
        file.write(text)


def test_new_lines_come_once_and_whole(path: Path) -> None:
    """What was there is passed over; a line comes when its end is written, and only then."""
    path.write_text("old\n")
    with Tail(path) as tail:
        assert tail.poll() == []
        write(path, "one\ntwo\nthr")
        assert tail.poll() == [b"one", b"two"]
        assert tail.poll() == []
        write(path, "ee\n")
        assert tail.poll() == [b"three"]
        assert tail.rotations == 0


@pytest.mark.parametrize(
    ("back", "expected"), [(0, []), (5, [b"four"]), (6, [b"four"]), (10, [b"four"]), (11, [b"three", b"four"])]
)
def test_the_end_of_what_is_there(path: Path, back: int, expected: list[bytes]) -> None:
    """As many octets back as asked for are read, from the beginning of a line."""
    path.write_text("one\ntwo\nthree\nfour\n")
    with Tail(path, back=back) as tail:
        assert tail.poll() == expected


@pytest.mark.parametrize("back", [19, 1000])
def test_all_of_a_short_log(path: Path, back: int) -> None:
    """A log shorter than that is read from its first line."""
    path.write_text("one\ntwo\nthree\nfour\n")
    with Tail(path, back=back) as tail:
        assert tail.poll() == [b"one", b"two", b"three", b"four"]


def test_rotation_by_rename(path: Path) -> None:
    """What is still written to the old file comes, its last line also without an end; then the new file, whole."""
    path.write_text("")
    with Tail(path) as tail:
        write(path, "one\n")
        assert tail.poll() == [b"one"]
        moved = path.rename(path.with_name("app.log.1"))
        write(moved, "two\n")
        assert tail.poll() == [b"two"]
        write(moved, "thr")
        path.write_text("four\n")
        assert tail.poll() == [b"thr", b"four"]
        assert tail.rotations == 1
        write(path, "five\n")
        assert tail.poll() == [b"five"]


def test_truncation(path: Path) -> None:
    """A file that is emptied in place (copytruncate) is read from its start; half a line from before is dropped."""
    path.write_text("")
    with Tail(path) as tail:
        write(path, "a long line\nand half")
        assert tail.poll() == [b"a long line"]
        path.write_text("one\n")
        assert tail.poll() == [b"one"]
        assert tail.rotations == 1


def test_a_file_that_comes_later(path: Path) -> None:
    """A log that is not there yet is waited for, and read from its start; that it never comes is no error."""
    with Tail(path):
        pass
    with Tail(path) as tail:
        assert tail.poll() == []
        write(path, "one\n")
        assert tail.poll() == [b"one"]


def test_a_file_that_is_gone_for_a_while(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between removal and the next file, and while that may not be read yet, nothing is lost."""
    path.write_text("")
    with Tail(path) as tail:
        write(path, "one\n")
        moved = path.rename(path.with_name("app.log.1"))
        assert tail.poll() == [b"one"]
        write(moved, "two\n")
        assert tail.poll() == [b"two"]
        path.write_text("three\n")
        with monkeypatch.context() as patch:
            patch.setattr(module, "_opened", _refuse)
            assert tail.poll() == []
        assert tail.poll() == [b"three"]


def _refuse(path: Path) -> None:
    raise PermissionError(13, "Permission denied")


def test_one_look_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has piled up comes in portions, also across a rotation."""
    monkeypatch.setattr(module, "_MOST", 10)
    path.write_text("")
    with Tail(path) as tail:
        write(path, "".join(f"{number:04}\n" for number in range(10)))
        path.rename(path.with_name("app.log.1"))
        write(path, "last\n")
        looks = [tail.poll() for _ in range(6)]
    assert all(len(look) <= 3 for look in looks)
    assert [line for look in looks for line in look] == [*(b"%04d" % number for number in range(10)), b"last"]


def test_nothing_is_lost_whatever_happens(path: Path) -> None:
    """Random writes, renames and looks: every line comes, once, in order."""
    rng = random.Random(11)
    written: list[bytes] = []
    seen: list[bytes] = []
    path.write_text("")
    with Tail(path) as tail:
        for step in range(400):
            match rng.randrange(4):
                case 0:
                    seen += tail.poll()
                case 1 if rng.random() < 0.2:
                    seen += tail.poll()  # two rotations between two looks would lose the file between
                    path.rename(path.with_name(f"app.log.{step}"))
                    path.write_text("")
                case _:
                    written.append(b"%d" % step)
                    write(path, f"{step}\n")
        seen += tail.poll()
    assert seen == written
    assert len(seen) > 100
    assert tail.rotations > 5


def test_what_cannot_be_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, a path without one, a file that may not be read: said at once."""
    with pytest.raises(ConfigurationError, match="no regular file"):
        Tail(tmp_path)
    with pytest.raises(ConfigurationError, match="no folder"):
        Tail(tmp_path / "nowhere" / "app.log")
    monkeypatch.setattr(module, "_opened", _refuse)
    with pytest.raises(ConfigurationError, match="Permission denied"):
        Tail(tmp_path / "app.log")
