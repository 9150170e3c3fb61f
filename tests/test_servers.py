"""The survey of servers in a short form, on real sockets; and it finds a server that gets something wrong."""

from __future__ import annotations

import dataclasses
import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from rich.console import Console

from server_survey import __main__ as command
from server_survey import probes, survey
from server_survey.row import Row
from server_survey.servers import SERVERS, Server
from server_survey.survey import keyring, look
from server_survey.table import COLUMNS, MEASURED, Survey, as_json, cells, from_json, markdown, table
from tests.careless import LIMIT, WRONG

if TYPE_CHECKING:
    from server_survey.probes import Probe

ROOT = Path(__file__).parent.parent
SHOWN = {row.server: row for row in from_json(MEASURED.read_text("utf-8")).rows}

ALWAYS = (probes.basics, probes.walk, probes.crumbs, probes.sockets)

FACTS = ("http", "loop", "hosted", "large", "walked", "fields", "socket", "accept_cookies", "refusal_cookies")
"""What does not hang on the machine."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a keyring file, made once for all servers."""
    return anyio.run(keyring, tmp_path_factory.mktemp("servers"))


@pytest.fixture
def source(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a keyring file for servers whose coverage is not taken, and that find the modules of the tests."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Path(shutil.copy2(made, tmp_path))


# --- real servers -----------------------------------------------------------------------------------------------------


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("anyio_backend", "name", "more"),
    [
        ("asyncio", "uvicorn, httptools, uvloop", ()),
        ("trio", "hypercorn, trio, HTTP/2", ()),
        ("asyncio", "granian, HTTP/1.1", (probes.rotation,)),
        ("trio", "daphne", (probes.rotation,)),
    ],
    indirect=["anyio_backend"],
)
async def test_servers_do_what_the_readme_says(source: Path, name: str, more: tuple[Probe, ...]) -> None:
    """One of each kind keeps sessions and delivers on websockets what the table tells.

    Keys rotate on those that the drill does not run.
    """
    shown = SHOWN[name]
    row = await look(SERVERS[name], source, probes=(*ALWAYS, probes.calm, *more))
    assert row.troubles == []
    assert row.rotated is (True if more else None)
    assert {fact: getattr(row, fact) for fact in FACTS} == {fact: getattr(shown, fact) for fact in FACTS}


@pytest.mark.real_time
@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_limits_are_found(source: Path) -> None:
    """The longest header is found to the octet, the longest session to the cookie, and how more of them is answered."""
    server = Server("strict", ("tests.careless", "strict", "{port}"), ())
    row = await look(server, source, probes=(probes.basics, probes.sockets, probes.header, probes.longest))
    assert row.troubles == []
    assert (row.largest, row.refused) == (LIMIT, "431")
    # Two cookies of a session take some 6,800 octets, three some 10,800.
    assert (row.large, row.cookies, row.socket_cookies, row.socket_refused) == (2, 2, 2, "403")


FINDINGS: dict[str, tuple[Probe, str]] = {
    "one Set-Cookie": (probes.walk, "growth: 200, then 200, another session"),
    "one Cookie field": (probes.crumbs, "a Cookie field for each cookie: 200, another session"),
    "no cookies for websockets": (probes.sockets, "a websocket: 101, another session"),
    "an old ring": (probes.rotation, "0 of 1 workers took the new ring"),
    "raises": (probes.calm, "it raised, see"),
}


@pytest.mark.real_time
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_a_careless_server_is_found(source: Path, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thing that a server can get wrong is found by the question that is about it."""
    monkeypatch.setattr(probes, "ROTATION", 2.0)
    probe, finding = FINDINGS[wrong]
    server = Server("careless", ("tests.careless", wrong, "{port}"), ())
    row = await look(server, source, probes=(probes.basics, probe))
    assert any(finding in trouble for trouble in row.troubles), row.troubles


@pytest.mark.real_time
async def test_a_server_that_does_not_start_is_a_row(source: Path) -> None:
    """It stays in the table, with the last thing that it said."""
    row = await look(Server("broken", ("no_such_server",), ("no-such-package",)), source)
    assert row.versions == {"no-such-package": "missing"}
    (trouble,) = row.troubles
    assert trouble.startswith("it did not start: ")
    assert "No module named no_such_server" in trouble
    assert cells(row) == ["broken", *"–" * (len(COLUMNS) - 1)]


async def test_a_server_has_its_time(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never gets ready is given up, and the row says so."""

    async def never(*_: object, **__: object) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(survey, "ready", never)
    row = await look(Server("slow", ("no_such_server",), ()), source)
    assert row.troubles == ["it took longer than 60 s"]


async def test_whoever_answers_instead_is_no_server(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is not the application's counts as no start."""

    async def puzzled(*_: object, **__: object) -> None:
        raise ValueError("no JSON")

    monkeypatch.setattr(survey, "ready", puzzled)
    row = await look(Server("other", ("no_such_server",), ()), source)
    (trouble,) = row.troubles
    assert trouble.startswith("it did not start: ValueError; ")


async def test_a_question_that_fails_is_a_finding(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a client does not understand is told, and the questions after it are asked all the same."""

    async def at_once(*_: object, **__: object) -> None:
        return

    async def fails(target: probes.Target) -> None:
        raise KeyError(target.server.name)

    async def succeeds(target: probes.Target) -> None:
        target.row.http = "asked"

    monkeypatch.setattr(survey, "ready", at_once)
    row = await look(Server("other", ("no_such_server",), ()), source, probes=(fails, succeeds))
    assert row.troubles == ["fails: KeyError: 'other'"]
    assert row.http == "asked"


# --- the search -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [*range(1, 17)])
async def test_the_most_that_is_accepted_is_found(most: int) -> None:
    """Whatever the limit is, it is found, with few questions and none above the bound."""
    asked: list[int] = []

    async def accepted(number: int) -> bool:
        asked.append(number)
        return number <= most

    assert await probes.most(1, 16, accepted) == most
    assert max(asked) <= 16
    assert len(asked) == len(set(asked)) <= 7


@pytest.mark.parametrize("octets", [12, 3_999, 4_000, 7_999, 8_000, 8_001, 12_345, 262_144])
def test_headers_are_as_long_as_they_are_to_be(octets: int) -> None:
    """Filling cookies and their separators come to exactly the octets asked for, and none is too long for a browser."""
    cookies = probes.filling(octets)
    assert len(b"; ".join([*cookies, b""])) == octets
    assert all(len(cookie) < 2 * probes.FILLING for cookie in cookies)


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_readme_shows_every_server_as_it_is_pinned() -> None:
    """What was measured is of all servers in order, of the versions that are tested, and without a trouble."""
    pinned = (ROOT / "scripts" / "constraints.txt").read_text("utf-8").splitlines()
    assert list(SHOWN) == list(SERVERS)
    for row in SHOWN.values():
        assert row.good
        assert row.versions.keys() == set(SERVERS[row.server].packages)
        for package, version in row.versions.items():
            assert any(line.split(" ;")[0] == f"{package}=={version}" for line in pinned), "scripts/servers --save"


def test_a_trouble_is_seen_in_every_form() -> None:
    """It is in the JSON, under the README's table, and what failed stands out in the cells."""
    row = Row("one", {"one": "1.0"}, large=3, walked=False, rotated=False, reads=7, troubles=["lost a session"])
    found = Survey("2026-11-25", "3.11.7", "Linux", [row])
    assert from_json(as_json(found)) == found
    assert "* one: lost a session" in markdown(found)
    assert cells(row)[1:4] == ["NO", "–", "NO"]
    output = io.StringIO()
    Console(file=output, width=200, force_terminal=True, color_system="standard").print(table([row]))
    assert "\x1b[31mone" in output.getvalue()


def test_cells_tell_limits_and_what_comes_beyond() -> None:
    """A limit that was not reached is a lower bound; joined fields and refusals are named."""
    row = Row("one", {}, large=3, walked=True, fields=1, largest=262_144, socket=True, socket_cookies=2)
    row.socket_refused = "431"
    assert cells(row)[1:3] == ["1 to 3 cookies", "3 become 1"]
    assert cells(row)[7:] == ["≥ 262,144", "–", "–", "2 (more: 431)"]
    assert cells(dataclasses.replace(row, largest=8_180, refused="400"))[7:9] == ["8,180", "400"]


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.real_time
def test_the_command_fails_with_a_server(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One server that does not start makes the exit status 1 and is in the output; without time none is left out."""

    async def ready_made(folder: Path) -> Path:
        return Path(shutil.copy2(source, folder))

    monkeypatch.setattr(command, "SERVERS", {"broken": Server("broken", ("no_such_server",), ())})
    monkeypatch.setattr(command, "keyring", ready_made)
    folder = str(source.with_name("run"))
    assert command.main(["--json", "--folder", folder]) == 1
    told = capsys.readouterr()
    (row,) = from_json(told.out).rows
    assert row.server == "broken"
    assert "it did not start" in told.err
    assert command.main(["--folder", folder]) == 1
    assert "it did not start" in capsys.readouterr().out
    assert command.main(["--markdown", "--seconds", "0", "--folder", folder]) == 1
    assert "* broken: not reached in time" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"), [(["--only", "nginx"], "daphne"), (["--save", "--only", "d"], "all")]
)
def test_the_command_refuses(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that no server has is answered with the names; what the README shows is never of some servers only."""
    with pytest.raises(SystemExit, match="2"):
        command.parse(arguments)
    assert complaint in capsys.readouterr().err


def test_the_command_lists_servers(capsys: pytest.CaptureFixture[str]) -> None:
    """Names can be looked up, and parts of names choose."""
    assert command.main(["--list", "--only", "granian", "--only", "daphne"]) == 0
    assert capsys.readouterr().out.splitlines() == ["granian, HTTP/1.1", "granian, HTTP/2", "daphne"]
