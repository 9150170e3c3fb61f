"""The runbooks of the README, run word for word on a keyring that an application serves from; and what comes of them.

Rules of this file:

* The console blocks are taken from the README and run by a shell, each line as it stands. A line whose comment begins
  with "refused" must end with exit status 1, every other one with 0.
* The application runs all the while. Its browsers had a session under each key before it went wrong.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sessionkit.keyring.keyring import Keyring
from sessionkit.middleware import SessionMiddleware
from sessionkit.testing import AsgiClient, FixedClock
from tests.middleware.apps import Log
from tests.middleware.hosting import counter
from tests.unmeasured import environment

if TYPE_CHECKING:
    from sessionkit.keyring.key import Key

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
SECTION = README.partition("\n## When something went wrong\n")[2].partition("\n## ")[0]
RUNBOOK = re.compile(r"^### (?P<title>.+?)\n(?P<text>.*?)(?=^### |\Z)", re.DOTALL | re.MULTILINE)
CONSOLE = re.compile(r"<!-- run: (?P<name>\w+) -->\n```console\n(?P<lines>.*?)```", re.DOTALL)

LONGEST = 10
"""Lines a runbook may have: who reads one has no time."""

LABELS = ("2026-10", "2026-11", "2026-12")
"""Labels of the retired, the active and the staged key, as the runbooks name them."""


def secret(label: str) -> bytes:
    """Return the secret of a key."""
    return bytes([int(label[-2:])]) * 32


def written(generation: int = 4) -> str:
    """Return a keyring file as the commands leave it, years after."""
    lines = ["version: 1", f"generation: {generation}", "policy: {propagation: 60, skew: 5}", "keys:"]
    states = (
        "state: retired, retired: 2026-11-01T00:00:00Z",
        "state: active, created: 2026-10-01T00:00:00Z, activates: 2026-11-01T00:00:00Z",
        "state: staged, created: 2026-11-01T00:00:00Z",
    )
    for label, state in zip(LABELS, states, strict=True):
        text = b64encode(secret(label)).decode()
        lines.append(f'  - {{label: "{label}", secret: {{base64: "{text}"}}, {state}}}')
    return "\n".join([*lines, ""])


class Town:
    """An application on the keyring file, and a browser with a session under each of its keys."""

    def __init__(self) -> None:
        self.path = Path("keyring.yaml")
        self.write(written())
        self.clock = FixedClock(time.time())
        self.log = Log()
        self.app = SessionMiddleware(counter, "keyring.yaml", clock=self.clock, logger=self.log)
        self.browsers: dict[str, AsgiClient] = {}

    def write(self, text: str, name: str = "keyring.yaml") -> None:
        """Write a keyring file."""
        path = Path(name)
        path.touch(mode=0o600)
        path.write_text(text)

    async def open(self) -> None:
        """Have every browser begin its session where its key was the active one."""
        for label in LABELS:
            then = SessionMiddleware(counter, Keyring.from_secret(secret(label)), clock=self.clock, logger=Log())
            browser = self.browsers[label] = AsgiClient(then, clock=self.clock)
            assert await self.count(label) == "1"
            browser.app = self.app
            assert await self.count(label, "/read") == "1"  # a write would move it to the active key

    async def count(self, label: str, url: str = "/") -> str:
        """Have a browser come once more, and return what was counted in its session."""
        response = await self.browsers[label].get(url)
        assert response.status == 200
        [counted] = response.values(b"x-count")
        return counted.decode()

    def later(self) -> None:
        """Let the file arrive: the next request looks."""
        self.clock.now = max(self.clock.now, time.time()) + 2

    async def go_on(self) -> dict[str, str]:
        """Have all browsers come again, and return whose session ended and whose goes on."""
        self.later()
        counted = {label: await self.count(label) for label in LABELS}
        return {label: "ended" if count == "1" else "goes on" for label, count in counted.items()}

    async def newcomer(self) -> str:
        """Have somebody new come twice, and return the label of the key that sealed the session."""
        browser = self.browsers["new"] = AsgiClient(self.app, clock=self.clock)
        assert [await self.count("new"), await self.count("new")] == ["1", "2"]
        keyring = Keyring.load(self.path)
        [cookie] = browser.jar
        key = next(key for key in keyring if key.decrypts and cookie.value.startswith(beginning(key)))
        return key.label

    def reasons(self) -> list[str]:
        """Return why sessions were refused by rule."""
        return [line["reason"] for line in self.log.named("session.revoked")]


def beginning(key: Key) -> bytes:
    """Return the characters that a key's tokens begin with."""
    return b64encode(b"\x01" + key.id, altchars=b"-_")[:6]


def run(name: str) -> None:
    """Run the lines of a runbook."""
    [lines] = [match["lines"] for match in CONSOLE.finditer(SECTION) if match["name"] == name]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for line in lines.splitlines():
        assert line.startswith("$ ")
        command, _, comment = line.removeprefix("$ ").partition("  # ")
        done = subprocess.run(
            ["bash", "-c", command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**environment(), "PATH": path},
        )
        assert done.returncode == (1 if comment.startswith("refused") else 0), f"{line}\n{done.stdout}{done.stderr}"


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Town:
    """Return an application in a folder of its own, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return Town()


def test_runbooks_are_short() -> None:
    """Each has ten lines at most, and one block of commands, which a test below runs."""
    runbooks = {match["title"]: match["text"] for match in RUNBOOK.finditer(SECTION)}
    assert len(runbooks) == 5
    for title, text in runbooks.items():
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("<!--", "```"))]
        assert len(lines) <= LONGEST, title
        assert len(CONSOLE.findall(text)) == 1, title


@pytest.mark.real_time
async def test_one_key_leaked(town: Town) -> None:
    """Sessions under the leaked key end, the others go on, and new ones come under the key that stood by."""
    await town.open()
    run("leaked_key")
    assert await town.go_on() == {"2026-10": "goes on", "2026-11": "ended", "2026-12": "goes on"}
    assert town.reasons() == ["key_revoked"]
    assert await town.newcomer() == "2026-12"
    assert repr(Keyring.load(town.path)) == "<Keyring gen 5: 1 active, 1 staged, 1 retired, 1 revoked>"


@pytest.mark.real_time
async def test_the_whole_file_leaked(town: Town) -> None:
    """All sessions end; new ones come under a key that nobody has seen, and another stands by."""
    await town.open()
    run("leaked_file")
    assert await town.go_on() == dict.fromkeys(LABELS, "ended")
    assert town.reasons() == ["key_revoked"] * 3
    assert await town.newcomer() not in LABELS
    assert repr(Keyring.load(town.path)) == "<Keyring gen 5: 1 active, 1 staged, 3 revoked>"


@pytest.mark.real_time
async def test_sessions_were_stolen(town: Town) -> None:
    """All sessions end under keys that stay, also a copy that was renewed since; what begins afterwards goes on."""
    await town.open()
    thief = AsgiClient(town.app, clock=town.clock)
    town.clock.advance(1_209_600 * 0.6)
    stolen = [b"; ".join(b"%b=%b" % (cookie.name, cookie.value) for cookie in town.browsers["2026-10"].jar)]
    response = await thief.get("/", cookies=stolen)
    renewed = [response.set_cookies[0].partition(b";")[0]]
    assert renewed != stolen
    run("stolen_sessions")
    assert await town.go_on() == dict.fromkeys(LABELS, "ended")
    for copy in (stolen, renewed):
        assert (await thief.get("/read", cookies=copy)).values(b"x-count") == [b"None"]
    assert set(town.reasons()) == {"not_before"}
    assert await town.newcomer() == "2026-11"
    assert await town.go_on() == dict.fromkeys(LABELS, "goes on")
    assert repr(Keyring.load(town.path)) == "<Keyring gen 5: 1 active, 1 staged, 1 retired>"


@pytest.mark.real_time
@pytest.mark.parametrize("bad", ["keys: [", written(5).replace("staged", "active")])
async def test_a_bad_file_was_published(town: Town, bad: str) -> None:
    """Every session goes on while the bad file lies there and after it, and both is said."""
    await town.open()
    town.write(written(), "last-good.yaml")
    town.write(bad)
    assert await town.go_on() == dict.fromkeys(LABELS, "goes on")
    assert len(town.log.named("keyring.reload_failed")) == 1
    run("bad_file")
    assert await town.go_on() == dict.fromkeys(LABELS, "goes on")
    assert len(town.log.named("keyring.recovered")) == 1
    assert town.log.named("session.rejected") == town.log.named("session.revoked") == []
    assert await town.newcomer() == "2026-11"


@pytest.mark.real_time
async def test_the_new_key_was_a_mistake(town: Town) -> None:
    """New sessions come under the key before again; those that the mistake sealed go on, too."""
    await town.open()
    run("rollback")
    assert await town.go_on() == dict.fromkeys(LABELS, "goes on")
    assert await town.newcomer() == "2026-10"
    assert town.log.named("session.rejected") == town.log.named("session.revoked") == []


@pytest.mark.real_time
async def test_an_older_file_is_refused(town: Town) -> None:
    """As the runbook says: a lower generation is refused by the process, and a raised one is judged by ``check``."""
    await town.open()
    town.write(written(3))
    town.later()
    await town.count("2026-11")
    [refused] = town.log.named("keyring.reload_failed")
    assert "generation goes back from 4 to 3" in refused["problem"]
