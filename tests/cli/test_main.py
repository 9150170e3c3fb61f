"""The command as it is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sessionkit import cli


def test_help_names_the_groups() -> None:
    """The command in a process of its own says what it can do."""
    code = "from sessionkit.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert "keyring" in done.stdout
    assert "inspect" in done.stdout


def test_the_installed_command_is_this_one() -> None:
    """The entry point of the package leads here."""
    script = Path(sys.executable).with_name("sessionkit")
    done = subprocess.run([script, "--help"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the command line's libraries the command says what to install, and ends with 2."""
    for name in [name for name in sys.modules if name.startswith("sessionkit.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "typer", None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "asgi-sessionkit[cli]" in capsys.readouterr().err


def test_a_module_of_our_own_that_is_missing_is_no_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken installation is not blamed on the extra."""
    monkeypatch.setitem(sys.modules, "sessionkit.cli.app", None)
    with pytest.raises(ModuleNotFoundError):
        cli.main()
