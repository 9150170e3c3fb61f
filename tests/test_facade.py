"""The package's own names: all there, the very objects of their modules, and loaded when they are asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import sessionkit

HEAVY = frozenset({"anyio", "structlog", "watchfiles", "trio"})
"""Libraries of a running service, which take longer to load than a command takes to run.

Not asyncio: old releases of libraries that the command needs bring it along.
"""


def seen_by_type_checkers() -> dict[str, str]:
    """Return the module of each name, as the imports that only type checkers read have it."""
    tree = ast.parse(Path(sessionkit.__file__).read_text("utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    found = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        [alias] = node.names
        assert alias.name == alias.asname, "without `as` it is no re-export to a strict type checker"
        found[alias.name] = str(node.module)
    return found


def loaded_by(code: str) -> set[str]:
    """Return the modules that some code loads in a process of its own."""
    code = f"import sys\nbefore = {{*sys.modules}}\n{code}\nprint(*sys.modules.keys() - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_types_and_names_agree() -> None:
    """What type checkers read, what runs and what `import *` takes are the same names from the same modules."""
    assert seen_by_type_checkers() == sessionkit._HOMES
    assert sorted(sessionkit._HOMES) == sorted(sessionkit.__all__)


@pytest.mark.parametrize("name", sessionkit.__all__)
def test_a_name_is_the_one_of_its_module(name: str) -> None:
    """Each public name is the object that lives in the module named, kept from the first time on."""
    vars(sessionkit).pop(name, None)
    value = getattr(sessionkit, name)
    assert value is getattr(import_module(sessionkit._HOMES[name]), name)
    assert vars(sessionkit)[name] is value
    assert name in dir(sessionkit)


def test_a_name_that_is_none() -> None:
    """Another name fails as with any module; mypy, which wants each `ignore` to be needed, sees that there is none."""
    with pytest.raises(AttributeError, match="module 'sessionkit' has no attribute 'Sesion'"):
        sessionkit.Sesion  # type: ignore[attr-defined]  # noqa: B018 - the slip of a pen that is to be told
    with pytest.raises(ImportError, match="cannot import name 'Sesion'"):
        exec("from sessionkit import Sesion")  # noqa: S102 - as above


@pytest.mark.parametrize(
    "code", ["import sessionkit", "from sessionkit import Keyring", "import sessionkit.cli.emergency"]
)
def test_what_runs_no_service_waits_for_none(code: str) -> None:
    """The package alone, a ring, and the keyring's commands load nothing that only a running service needs."""
    loaded = loaded_by(code)
    assert "sessionkit" in loaded
    assert loaded & (HEAVY | {"sessionkit.middleware", "sessionkit.backend.backend"}) == set()


def test_a_group_of_the_command_does_not_wait_for_the_others() -> None:
    """`sessionkit keyring` loads neither what reads audit pages nor what opens cookies."""
    code = "from sessionkit.cli.app import app\napp(['keyring', 'status', '--help'], standalone_mode=False)"
    loaded = loaded_by(code)
    assert "sessionkit.cli.keyring" in loaded
    assert loaded & {"sessionkit.cli.audit", "sessionkit.cli.inspect"} == set()
