"""The end of a log that is being written: new lines as they come, through rotation by rename and truncation.

It is looked at by polling: whatever file system the log lies on, a look every half second costs two system calls. What
cannot be seen: a file that was emptied and has grown past its old size between two looks.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

from sessionkit.audit.reading import Lines
from sessionkit.exceptions import ConfigurationError

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Tail"]

_MOST = 1 << 22
"""Octets read in one look at most: a view that is behind stays alive, and catches up with the next looks."""


class Tail:
    """Reads what is added to a file.

    Args:
        path: the log; it need not be there yet, but its folder must.
        back: octets of its present end that are read, too.

    Attributes:
        rotations: times that another file has taken its place, or that it was emptied.

    Raises:
        ConfigurationError: if it is no file that can be followed.
    """

    def __init__(self, path: str | os.PathLike[str], *, back: int = 0) -> None:
        self.path = Path(path)
        self.rotations = 0
        self._lines = Lines()
        self._file: IO[bytes] | None = None
        if not self.path.parent.is_dir():
            raise ConfigurationError("log", "has no folder to appear in", "Check the path.", path=self.path)
        if self.path.exists() and not self.path.is_file():
            remedy = "Follow the file that the lines are written to; `sessionkit audit report -` reads a pipe."
            raise ConfigurationError("log", "is no regular file", remedy, path=self.path)
        try:
            self._file = _opened(self.path)
        except OSError as error:
            raise ConfigurationError(
                "log", f"cannot be read ({error.strerror})", "Check its permissions.", path=self.path
            ) from None
        if self._file is not None:
            start = self._file.seek(0, os.SEEK_END) - back
            self._file.seek(max(0, start - 1))
            if start > 0:
                self._file.readline()  # the end of a line whose beginning is not read, if only its line break

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def poll(self) -> list[bytes]:
        """Return the lines that have come since the last look; never waits."""
        found: list[bytes] = []
        if self._file is not None:
            if self._is_emptied(self._file):
                self._file.seek(0)
                self._begin_anew()
            found = self._read(self._file)
            if not self._is_replaced(self._file) or self._has_more(self._file):
                return found
            found += self._finish()
        try:
            self._file = _opened(self.path)
        except OSError:
            return found  # not readable yet: the next look will tell
        return found + (self._read(self._file) if self._file is not None else [])

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _finish(self) -> list[bytes]:
        """Leave a file that another one has replaced; its last line is whole, since nobody goes on writing it."""
        rest = self._lines.rest()
        self._close()
        self._begin_anew()
        return [rest] if rest else []

    def _begin_anew(self) -> None:
        self._lines = Lines()
        self.rotations += 1

    def _read(self, file: IO[bytes]) -> list[bytes]:
        return self._lines.feed(file.read(_MOST))

    @staticmethod
    def _has_more(file: IO[bytes]) -> bool:
        return file.tell() < os.fstat(file.fileno()).st_size

    @staticmethod
    def _is_emptied(file: IO[bytes]) -> bool:
        return os.fstat(file.fileno()).st_size < file.tell()

    def _is_replaced(self, file: IO[bytes]) -> bool:
        """Tell whether the path leads to another file by now; one that is gone is kept until another is there."""
        try:
            there = self.path.stat()
        except OSError:
            return False
        ours = os.fstat(file.fileno())
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)


def _opened(path: Path) -> IO[bytes] | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None
