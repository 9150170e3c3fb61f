"""What tests of the command line share: a way to call it, and a clock that tests move."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from sessionkit.cli import emergency, inspect, keyring
from sessionkit.cli.app import app
from sessionkit.cli.audit import ref
from sessionkit.testing import FixedClock

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """What a call of the command came to."""

    status: int
    out: str
    err: str

    @property
    def facts(self) -> dict[str, Any]:
        """What it printed as JSON."""
        facts: dict[str, Any] = json.loads(self.out)
        return facts


class Command:
    """Calls the command in process, at a time that the test sets."""

    def __init__(self, folder: Path) -> None:
        self.clock = FixedClock(1_800_000_000.0)
        self.path = folder / "keyring.yaml"
        self._runner = CliRunner()

    def __call__(self, *words: str, stdin: str | None = None) -> Outcome:
        """Call ``sessionkit`` with some words."""
        result = self._runner.invoke(app, list(words), input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    def keyring(self, name: str, *words: str, stdin: str | None = None) -> Outcome:
        """Call ``sessionkit keyring NAME PATH`` with some more words."""
        return self("keyring", name, str(self.path), *words, stdin=stdin)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return a way to call the command on a file in a folder of its own."""
    made = Command(tmp_path)
    for module in (keyring, emergency, inspect, ref):
        monkeypatch.setattr(module, "now", made.clock)
    return made
