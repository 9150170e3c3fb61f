"""The kill drill in a short form; and it finds a writer that is not as careful as ours."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unmeasured import environment

SCRIPTS = Path(__file__).parent.parent / "scripts"

CARELESS = {
    "writes over the file": '''\
exec(compile("""
def _replace(path, data, ring, *, known):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(data)
    return ring
""", editor.__file__, "exec"), vars(editor))
''',
    "sweeps nothing": "editor._sweep = lambda path: None\n",
    "lets others read": """\
opened = os.open
os.open = lambda path, flags, mode=0o777, **how: opened(path, flags, 0o640 if mode == 0o600 else mode, **how)
""",
    "locks nothing": """\
from filelock import FileLock
FileLock.acquire = lambda self, timeout=0: None
FileLock.release = lambda self: None
""",
}

FINDINGS = {
    "writes over the file": "the file is neither the old nor the new one",
    "sweeps nothing": "the next command failed",
    "lets others read": "has mode 0640",
    "locks nothing": "the second writer was not told",
}


def drill(times: int, change: str = "") -> subprocess.CompletedProcess[str]:
    """Run the drill in a process of its own: it forks, which a process with threads should not."""
    run = f"import os, sys\nfrom sessionkit.keyring import editor\n{change}"
    run += "from kill_drill.__main__ import main\nsys.exit(main(sys.argv[1:]))\n"
    return subprocess.run(
        [sys.executable, "-c", run, "--times", str(times)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**environment(), "PYTHONPATH": str(SCRIPTS), "COLUMNS": "160"},
    )


def test_short_drill() -> None:
    """Twenty kills, two full disks and two pairs of writers leave whole files, and nothing beside them."""
    done = drill(20)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 full disks left the old file; of 2 of 2 pairs of writers one won" in done.stdout
    killed = re.search(r"^(\d+) kills in .* s, 0 wrong$", done.stdout, re.MULTILINE)
    assert killed is not None
    assert 16 <= int(killed[1]) <= 20  # of every five one comes at a random time, and that may be too late


@pytest.mark.parametrize("way", CARELESS)
def test_the_drill_finds_a_careless_writer(way: str) -> None:
    """Each care that the writer takes is missed if it is left out: the drill says what it found, and fails."""
    done = drill(10, CARELESS[way])
    assert done.returncode == 1, done.stdout + done.stderr
    assert FINDINGS[way] in done.stdout
