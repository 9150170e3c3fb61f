"""What is drilled: keyring files as people keep them, every command that writes, and what must be true of each file.

Rules of this file:

* After whatever happens to a writer, the file is the old one or the new one, octet by octet; where there was none,
  there is none or the new one. It and all that lies beside it is its owner's alone.
* The next command works as if nothing had been, and leaves nothing beside the file but the lock.
"""

from __future__ import annotations

import base64
import re
import shutil
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kill_drill.child import Child, Outcome, start
from sessionkit.exceptions import SessionKitError
from sessionkit.keyring.keyring import Keyring

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["COMMANDS", "Command", "Scene", "Wrong"]

NOW = 1_800_000_000.0
"""When the drill takes place, Unix seconds."""


OWNER_ALONE = 0o600


def _secret(number: int) -> str:
    return base64.b64encode(bytes([number]) * 32).decode("ascii")


FILE = f"""\
# The keyring of the drill. Every comment in it must come through.
version: 1
generation: 4  # raised by hand
policy: {{propagation: 60, skew: 5, token_lifetime: 3600}}  # one machine

keys:
  # winter: in use
  - label: winter
    state: active   # since December
    secret: {{base64: "{_secret(1)}"}}
    created: 2026-12-01T00:00:00Z
  # spring: stands by
  - label: spring
    state: staged
    secret: {{base64: "{_secret(2)}"}}   # made along with winter
    created: 2026-12-01T00:00:00Z

  # autumn: long retired
  - label: autumn
    state: retired
    secret: {{base64: "{_secret(3)}"}}
    created: 2026-09-01T00:00:00Z
    retired: 2026-12-01T00:00:00Z
# the end
"""

LOST_BY_PRUNE = "# autumn: long retired"
"""The one comment that goes: its entry goes, too."""


class Wrong(Exception):  # noqa: N818 - what a drill finds is not an error of the drill
    """Something that must not be."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command that writes.

    Attributes:
        name: what it is called.
        words: what follows the path.
        fresh: whether it makes the file.
        drops: comments that go with what it takes out.
    """

    name: str
    words: tuple[str, ...] = ()
    fresh: bool = False
    drops: frozenset[str] = frozenset()

    def line(self, path: Path) -> list[str]:
        """Return its words."""
        return ["keyring", self.name, str(path), *self.words]


COMMANDS = (
    Command("promote"),
    Command("stage", ("--label", "summer")),
    Command("retire", ("spring",)),
    Command("revoke", ("winter",)),
    Command("revoke", ("--compromised-file",)),
    Command("not-before", ("now",)),
    Command("prune", drops=frozenset({LOST_BY_PRUNE})),
    Command("init", fresh=True),
)


@dataclass
class Scene:
    """One command on one file, in a folder of its own.

    Args:
        folder: made anew for every run.
        command: the command.
        seed: of its randomness.

    Attributes:
        path: the file.
        old: what it holds before; ``None`` if there is none.
        new: what it holds afterwards.
        steps: names of the steps of writing.
    """

    folder: Path
    command: Command
    seed: int
    path: Path = field(init=False)
    old: bytes | None = field(init=False)
    new: bytes = field(init=False)
    steps: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.path = self.folder / "keyring.yaml"
        self.old = None if self.command.fresh else FILE.encode("ascii")
        self.prepare()
        done = self.start().end()
        if done.status:
            raise Wrong(f"{self.command.name} failed by itself: {done.told}")
        self.new, self.steps = self.path.read_bytes(), done.steps
        missing = comments(self.old or b"") - comments(self.new) - self.command.drops
        if missing or not self.steps or self.new == self.old:
            raise Wrong(f"{self.command.name} lost comments, or did not write: {sorted(missing)}")

    def prepare(self) -> None:
        """Put the old file in its place, with nothing beside it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        if self.old is not None:
            self.path.touch(mode=0o600)
            self.path.write_bytes(self.old)

    def start(self, **how: Any) -> Child:
        """Start the command; how, as ``child.start`` takes it."""
        return start(self.command.line(self.path), now=NOW, seed=self.seed, **how)

    def verdict(self) -> str:
        """Return which file is there: ``old`` or ``new``.

        Raises:
            Wrong: if it is neither, or open to others, or cannot be read.
        """
        if not self.path.exists():
            if self.old is not None:
                raise Wrong("the file is gone")
            found = "old"
        else:
            data = self.path.read_bytes()
            if data not in {self.old, self.new}:
                raise Wrong(f"the file is neither the old nor the new one: {len(data)} octets")
            found = "old" if data == self.old else "new"
            try:
                Keyring.load(self.path)
            except SessionKitError as error:
                raise Wrong(f"the file cannot be read: {error}") from None
        for entry in self.folder.iterdir():
            mode = stat.S_IMODE(entry.stat().st_mode)
            if mode != OWNER_ALONE and not entry.name.endswith(".lock"):
                raise Wrong(f"{entry.name} has mode {mode:04o}")
        return found

    def left(self) -> int:
        """Return how many temporary files lie about."""
        return len([entry for entry in self.folder.iterdir() if entry.name.endswith(".tmp")])

    def recover(self, found: str) -> None:
        """Run the next command: the same one again, or another if that is done.

        Raises:
            Wrong: if it fails, or leaves anything behind.
        """
        if found == "old":
            outcome: Outcome = self.start(named=False).end()
        else:
            words = ["keyring", "stage", str(self.path), "--label", "the next one"]
            outcome = start(words, now=NOW, seed=self.seed + 1, named=False).end()
        if outcome.status:
            raise Wrong(f"the next command failed: {outcome.told.strip()}")
        data = self.path.read_bytes()
        if found == "old" and data != self.new:
            raise Wrong("the same command again gave another file")
        if comments(self.new) - comments(data):
            raise Wrong("the next command lost comments")
        self.swept()

    def swept(self) -> None:
        """Check that nothing lies beside the file but its lock.

        Raises:
            Wrong: if something does.
        """
        beside = sorted(entry.name for entry in self.folder.iterdir() if entry.name != self.path.name)
        if beside != [f".{self.path.name}.lock"]:
            raise Wrong(f"left behind: {', '.join(beside)}")


def comments(data: bytes) -> frozenset[str]:
    """Return the comments of a file."""
    return frozenset(found.strip() for found in re.findall(r"# .*", data.decode("utf-8")))
