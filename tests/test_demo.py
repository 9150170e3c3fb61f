"""The demonstration counts what it claims to count, and fails when a session is lost."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import httpx
import pytest
from rich.console import Console

from rotation_demo.report import Audit, summary
from rotation_demo.rotation import Plan
from rotation_shop.app import settings, shop
from rotation_shop.browser import Books, Browser
from rotation_shop.screen import Screen, percentile
from rotation_shop.tally import Tally
from sessionkit import Key, Keyring, KeyState
from sessionkit.testing import AsgiClient
from tests.line_schema import violations
from tests.unmeasured import environment

if TYPE_CHECKING:
    from sessionkit import SessionMiddleware
    from sessionkit.testing.task import Application

SCRIPTS = Path(__file__).parent.parent / "scripts"
URL = "http://127.0.0.1:8000"

OLD = Key.from_secret(bytes(32), label="old", created=1.0)
NEW = Key.from_secret(bytes(range(32)), label="new", created=2.0)


def open_shop(*keys: Key) -> SessionMiddleware:
    """Return a shop in process."""
    return shop(Keyring(keys), io.StringIO(), settings(3600))


async def browse(apps: list[Application], actions: int, seed: int = 7) -> Tally:
    """Let one browser do so many things in each of these shops, one after the other, and return its tally."""
    tally = Tally()
    browser = Browser("visitor", httpx.ASGITransport(apps[0]), [URL], tally, Random(seed))
    for app in apps:
        browser._transport = httpx.ASGITransport(app)
        for _ in range(actions):
            await browser.act()
    return tally


async def test_nothing_is_lost_in_peace() -> None:
    """A browser that does everything a visitor does finds its books right, in sessions of one to three cookies."""
    tally = await browse([open_shop(OLD)], 300)
    assert tally.lost == []
    assert tally.errors == []
    assert tally.requests > 300
    assert set(tally.chunks) == {1, 2, 3}
    assert tally.sessions > 1
    assert set(tally.by_key()) == {OLD.kid}


async def test_nothing_is_lost_by_a_staged_rotation() -> None:
    """A key that every shop had before it sealed takes over without a loss."""
    staged = open_shop(OLD, Key.from_secret(bytes(range(32)), label="new", state=KeyState.STAGED, created=2.0))
    retired = Key.from_secret(bytes(32), label="old", state=KeyState.RETIRED, created=1.0)
    tally = await browse([staged, open_shop(NEW, retired)], 60)
    assert tally.lost == []
    assert tally.errors == []
    assert set(tally.by_key()) == {OLD.kid, NEW.kid}


async def test_a_lost_session_is_seen() -> None:
    """Where the ring is swapped without staging, the browser says so; each loss counts once."""
    tally = await browse([open_shop(OLD), open_shop(NEW)], 60)
    assert len(tally.lost) == 1
    assert "visitor: another state after" in tally.lost[0]
    assert tally.errors == []


async def test_an_error_is_seen() -> None:
    """A failing server, a cookie that no browser keeps, and one set twice are errors."""

    async def broken(scope: object, receive: object, send: object) -> None:
        raise httpx.ReadError("gone")

    tally = await browse([broken], 1)
    assert [error.split(": ")[-1] for error in tally.errors] == ["ReadError"] * len(tally.errors) != []

    def answering(status: int, *cookies: bytes) -> Application:
        async def app(scope: object, receive: object, send: object) -> None:
            headers = [(b"set-cookie", cookie) for cookie in cookies]
            await send({"type": "http.response.start", "status": status, "headers": headers})  # type: ignore[operator]  # any object will do for a scope
            await send({"type": "http.response.body"})  # type: ignore[operator]  # as above

        return app

    tally = await browse([answering(503, b"a=1; Secure", b"a=2")], 1)
    assert {error.split(": ", 1)[1] for error in tally.errors} >= {
        "cookie b'a' refused: Secure over an insecure connection",
        "cookie b'a' set twice in one response",
    }
    assert any("status 503" in error for error in tally.errors)


async def test_the_page_for_people() -> None:
    """A person sees which key sealed the session, how big it is, the ring, and nothing of theirs unescaped."""
    client = AsgiClient(open_shop(OLD, Key.from_secret(b"s" * 32, label="<next>", state=KeyState.STAGED)), base_url=URL)
    first = await client.get()
    assert "none yet" in first.text
    assert "Nothing in it yet." in first.text
    assert first.set_cookies == []
    answer = await client.post("/cart", body=b"item=%3Cb%3Ehoney")
    assert answer.status == 303
    assert answer.values(b"location") == [b"/"]
    await client.post("/login", body=b"name=Ada")
    page = (await client.get()).text
    assert "<li>&lt;b&gt;honey</li>" in page
    assert "Welcome, Ada." in page
    assert f"<tr class=mine><td><code>{OLD.kid}</code></td><td>old</td><td>active</td></tr>" in page
    assert "&lt;next&gt;" in page
    assert "Log out" in page
    await client.post("/logout")
    assert len(client.jar) == 0


def test_percentiles() -> None:
    """By nearest rank, and of nothing nothing."""
    assert percentile([], 0.5) == 0.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(number) for number in range(100)], 0.99) == 99.0


@pytest.mark.parametrize(("seconds", "rotations"), [(40.0, 3), (10.0, 1), (5.0, 0)])
def test_every_rotation_fits_into_its_time(seconds: float, rotations: int) -> None:
    """A key staged by one promotion has stood for the ring's propagation and skew when the next one comes."""
    plan = Plan(seconds, rotations)
    assert plan.propagation + plan.skew < plan.interval
    assert (rotations - 0.75) * plan.interval < seconds


def test_the_audit_log_is_counted(tmp_path: Path) -> None:
    """Re-encryptions, those that went backwards among them, rejections, and the processes that run the last ring."""
    ring = Keyring([NEW, Key.from_secret(bytes(32), label="old", state=KeyState.RETIRED, created=1.0)])
    events = [
        {"event": "session.rekeyed", "previous_kid": OLD.kid, "kid": NEW.kid},
        {"event": "session.rekeyed", "previous_kid": NEW.kid, "kid": OLD.kid},
        {"event": "session.rejected", "reason": "bad_tag"},
        {"event": "keyring.loaded", "digest": "other", "instance": "a"},
        {"event": "keyring.reloaded", "digest": ring.digest, "instance": "a"},
        {"event": "keyring.loaded", "digest": ring.digest, "instance": "b"},
    ]
    path = tmp_path / "audit.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    audit = Audit.read(path, ring)
    assert audit.events["session.rekeyed"] == 2
    assert audit.backwards == 1
    assert audit.rejected == {"bad_tag": 1}
    assert audit.workers == 2


def test_the_summary_names_every_loss(tmp_path: Path) -> None:
    """It ends with the count of lost sessions and errors, and lists the first of them."""
    tally = Tally()
    tally.count({"pid": 1, "kid": OLD.kid, "chunks": 2}, 0.004)
    tally.lost.append("visitor-1: empty after GET /")
    output = io.StringIO()
    console = Console(file=output, width=80)
    summary(console, tally, Keyring([OLD]), Audit(), rotations=3, log=tmp_path / "audit.jsonl")
    text = output.getvalue()
    assert "p50 4.0 ms, p99 4.0 ms" in text
    assert "100.0%" in text
    assert "lost: visitor-1: empty after GET /" in text
    assert text.endswith("sessions lost 1, errors 0\n")


def test_a_picture_for_terminals(tmp_path: Path) -> None:
    """Progress, the keys and the latest steps fit on one screen, also before there is a ring."""
    tally = Tally()
    output = io.StringIO()
    screen = Screen(Console(file=output, width=90, force_terminal=True), tally, 40.0, tmp_path / "none.yaml")
    screen.tell("rotation 1: done")
    tally.count({"pid": 1, "kid": OLD.kid, "chunks": 1}, 0.004)
    screen._console.print(screen._picture())
    text = output.getvalue()
    assert "rotation under load" in text
    assert "1 requests" in text
    assert OLD.kid in text
    assert "rotation 1: done" in text


def test_books_start_empty() -> None:
    """A new visitor's books are what an empty session holds."""
    assert Books() == Books.of({"user": None, "cart": [], "writes": 0, "note": 0})


def run(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    """Start the demonstration as the script does."""
    command = [sys.executable, "-m", "rotation_demo", "--folder", str(folder), *arguments]
    path = os.pathsep.join([str(SCRIPTS), str(SCRIPTS.parent)])
    return subprocess.Popen(
        command, env={**environment(), "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.real_time
def test_rotation_under_load(tmp_path: Path) -> None:
    """Two workers, a real rotation through the command line, and not one session lost."""
    process = run("--seconds", "10", "--browsers", "12", "--rotations", "1", folder=tmp_path / "demo")
    text, _ = process.communicate(timeout=120)
    assert "\nsessions lost 0, errors 0\n" in text, text
    assert process.returncode == 0, text
    subprocess.run(shlex.split(text.splitlines()[-1]), check=True, capture_output=True)
    page = (tmp_path / "demo" / "report.html").read_text("utf-8")
    assert all(key.kid in page for key in Keyring.load(tmp_path / "demo" / "keyring.yaml"))
    assert "rotation 1:" in text
    assert "1; 2 processes run the last ring" in text
    assert re.search(r"re-encrypted +[1-9][0-9]*, of these backwards 0", text)
    assert "prune, exit status 1" in text
    (log,) = (tmp_path / "demo").rglob("audit.jsonl")
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert [problem for line in lines for problem in violations(line)] == []
    names = [line["event"] for line in lines]
    assert names.count("actor.started") == names.count("actor.stopped") == 2, "a server did not wait for our shutdown"


@pytest.mark.real_time
def test_the_shop_stays_open_for_people(tmp_path: Path) -> None:
    """With --serve it says where it is, answers, and closes when told to."""
    process = run("--serve", folder=tmp_path / "demo")
    assert process.stdout is not None
    # Line by line to the last one before it closes: of what was read ahead, `communicate` knows nothing.
    told = "".join(takewhile(lambda line: line != "Ctrl-C closes it.\n", process.stdout))
    found = re.search(r"The shop is open: (\S+)", told)
    assert found
    assert "keyring promote" in told
    with httpx.Client(base_url=found[1], follow_redirects=True) as client:
        client.post("/cart", data={"item": "honey"})
        assert "<li>honey</li>" in client.get("/").text
    process.send_signal(signal.SIGTERM)
    text, _ = process.communicate(timeout=60)
    assert text.endswith("closed\n")
    assert process.returncode == 0
