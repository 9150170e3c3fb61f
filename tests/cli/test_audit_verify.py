"""``sessionkit audit verify``: findings with their place, and an exit status that a nightly job can rely on."""

from __future__ import annotations

import gzip
import io
import random
import re
from typing import TYPE_CHECKING

import pytest
import structlog

from sessionkit.audit.chain import HashChain
from sessionkit.cli.audit.verify import DEFAULT_VARIABLE
from tests.audit.chained import ROOT, interleaved, process, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.cli.conftest import Command, Outcome


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The root key, where it is looked for."""
    monkeypatch.setenv(DEFAULT_VARIABLE, ROOT.hex())


@pytest.fixture
def unconfigured() -> Iterator[None]:
    """Leave structlog as nobody has configured it, afterwards."""
    yield
    structlog.reset_defaults()


class Folder:
    """Logs of a service and its checkpoints."""

    def __init__(self, path: Path, seed: int = 1) -> None:
        self.path = path
        self.rng = random.Random(seed)
        self.checkpoints: list[str] = []
        streams = []
        for _ in range(3):
            chain, lines = process(self.rng, 60, checkpoints=self.checkpoints.append)
            chain.checkpoint()
            streams.append(lines)
        self.lines = interleaved(self.rng, streams)
        self.second = str(path / "checkpoints")
        (path / "checkpoints").write_text("".join(f"{line}\n" for line in self.checkpoints))

    def save(self, name: str, lines: Sequence[bytes]) -> str:
        """Write a log, compressed if its name says so."""
        path = self.path / name
        data = b"".join(line + b"\n" for line in lines)
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return str(path)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Return logs that nobody has touched."""
    return Folder(tmp_path)


def test_an_untouched_log(command: Command, folder: Folder) -> None:
    """Rotated files, one compressed, in any order: nothing is found, exit status 0."""
    logs = [
        folder.save("app.log", folder.lines[120:]),
        folder.save("app.log.2.gz", folder.lines[:50]),
        folder.save("app.log.1", folder.lines[50:120]),
    ]
    done = command("audit", "verify", *logs, "--checkpoints", folder.second)
    assert (done.status, done.err) == (0, "")
    assert "nothing was found: 180 lines, 180 chained, 0 without a chain, 0 broken; 3 checkpoints" in done.out
    assert len(re.findall(r"^[A-Z2-7]{16} +60 +0–59 +open +0 *$", done.out, re.MULTILINE)) == 3
    assert "open: not closed in order" in done.out
    assert "uncovered:" not in done.out
    assert "uncovered: last lines that no checkpoint tells of" in command("audit", "verify", *logs).out
    facts = command("audit", "verify", *logs, "--json").facts
    assert facts["clean"] is True
    assert [facts[name] for name in ("lines", "chained", "bare", "broken", "checkpoints")] == [180, 180, 0, 0, 0]
    assert {(chain["first"], chain["last"], chain["lines"], chain["proven"]) for chain in facts["chains"]} == {
        (0, 59, 60, 0)
    }


def test_a_touched_log(command: Command, folder: Folder) -> None:
    """What was done is told with file and line, in their order, exit status 1; --json says the same."""
    folder.lines[99] = folder.lines[99].replace(b'"number"', b'"numbers"')
    del folder.lines[150]
    log = folder.save("app.log", folder.lines[:-40])
    done = command("audit", "verify", log, "--checkpoints", folder.second)
    assert done.status == 1
    assert f"{log}:100: edited: does not fit its fingerprint" in done.out  # and ":100:" is no emoji
    assert "the tail was cut" in done.out
    facts = command("audit", "verify", log, "--checkpoints", folder.second, "--json").facts
    assert facts["clean"] is False
    assert facts["findings"][0] == {
        "kind": "edited",
        "source": log,
        "line": 100,
        "chain_uid": facts["findings"][0]["chain_uid"],
        "sequence": facts["findings"][0]["sequence"],
        "count": 1,
        "problem": "does not fit its fingerprint: edited, or inserted",
    }
    assert {finding["kind"] for finding in facts["findings"]} >= {"edited", "cut"}


@pytest.mark.usefixtures("unconfigured")
def test_a_log_closed_in_order(command: Command, folder: Folder) -> None:
    """A process that has said goodbye is told from one that was cut off."""
    stream = io.StringIO()
    chain = HashChain(ROOT)
    structlog.configure(
        processors=[chain, structlog.processors.JSONRenderer()], logger_factory=structlog.WriteLoggerFactory(stream)
    )
    structlog.get_logger().info("a")
    chain.close()
    done = command("audit", "verify", folder.save("app.log", stream.getvalue().encode().splitlines()))
    assert done.status == 0
    assert re.search(r"^[A-Z2-7]{16} +2 +0–1 +in order +0 *$", done.out, re.MULTILINE)
    assert "open" not in done.out
    assert "uncovered:" not in done.out


@pytest.mark.usefixtures("unconfigured")
def test_a_cut_chain_did_not_end_in_order(command: Command, folder: Folder) -> None:
    """A checkpoint tells that the chain was closed; the lines that are left do not end there."""
    stream = io.StringIO()
    chain = HashChain(ROOT, checkpoints=folder.checkpoints.append)
    structlog.configure(
        processors=[chain, structlog.processors.JSONRenderer()], logger_factory=structlog.WriteLoggerFactory(stream)
    )
    structlog.get_logger().info("a")
    chain.close()
    left = folder.save("app.log", stream.getvalue().encode().splitlines()[:1])
    told = folder.save("closing", [folder.checkpoints[-1].encode()])
    done = command("audit", "verify", left, "--checkpoints", told)
    assert done.status == 1
    assert "app.log:1: cut: " in done.out
    assert re.search(r"^[A-Z2-7]{16} +1 +0–0 +open +0 *$", done.out, re.MULTILINE)


def test_many_findings(command: Command, folder: Folder) -> None:
    """As text, the first hundred are printed, and how many there are."""
    touched = [line.replace(b'"number"', b'"numbers"') for line in folder.lines[:150]]
    log = folder.save("app.log", touched + folder.lines[150:])
    done = command("audit", "verify", log)
    assert done.status == 1
    assert done.out.count(": edited: ") == 100
    assert "… and 50 findings more; --json lists them all" in done.out
    assert len(command("audit", "verify", log, "--json").facts["findings"]) == 150


def test_many_chains(command: Command, folder: Folder) -> None:
    """As text, the first hundred chains are printed."""
    lines = [line for _ in range(102) for line in process(folder.rng, 1)[1]]
    done = command("audit", "verify", folder.save("app.log", lines))
    assert done.status == 0
    assert len(re.findall(r"^[A-Z2-7]{16} +1 +0–0 +open +1 *$", done.out, re.MULTILINE)) == 100
    assert "… 2 more" in done.out


def test_stdin_and_options(command: Command, folder: Folder) -> None:
    """A part of a log from stdin; lines of others count against the whole stream only."""
    text = b'{"event": "theirs"}\n' + b"".join(line + b"\n" for line in folder.lines[100:])

    def call(*options: str) -> Outcome:
        return command("audit", "verify", "-", *options, "--json", stdin=text.decode())

    assert (call().status, call("--partial").status) == (1, 0)
    done = call("--partial", "--whole-stream")
    assert done.status == 1
    facts = done.facts
    assert [(one["kind"], one["source"], one["line"], one["chain_uid"]) for one in facts["findings"]] == [
        ("bare", "-", 1, None)
    ]


def test_chains_that_are_not_there(command: Command, folder: Folder) -> None:
    """With --partial, chains of which older files may tell are counted; without, they are gone."""
    uid = folder.lines[0].partition(b'"chain_uid":')[2].lstrip()[:18]
    log = folder.save("app.log", [line for line in folder.lines if uid in line])
    done = command("audit", "verify", log, "--checkpoints", folder.second, "--partial")
    assert done.status == 0
    assert "2 chains that checkpoints know are not in these files" in done.out
    done = command("audit", "verify", log, "--checkpoints", folder.second)
    assert done.status == 1
    assert done.out.count(f"{folder.second}:") == 2
    assert done.out.count("gone: tells of 60 lines of a chain that is not there") == 2


def test_a_log_without_chains(command: Command, folder: Folder) -> None:
    """A log that proves nothing does not pass for an untouched one."""
    done = command("audit", "verify", folder.save("app.log", [b'{"event": "a"}']))
    assert done.status == 1
    assert done.out.startswith("bare: no line carries a chain")


def test_a_damaged_file(command: Command, folder: Folder) -> None:
    """A compressed file that ends too soon is not clean, whatever its lines say."""
    log = folder.save("app.log.gz", folder.lines)
    data = (folder.path / "app.log.gz").read_bytes()
    (folder.path / "app.log.gz").write_bytes(data[:-100])
    done = command("audit", "verify", log)
    assert done.status == 1
    assert "cannot be read on from here" in done.err
    assert "nothing was found" not in done.out


def test_keys(command: Command, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The root key comes from a variable or a file; several may be given, of which each chain has one."""
    another = b"another root key of 32 octets ok"
    chain, more = process(folder.rng, 5, key=another)
    log = folder.save("app.log", [*folder.lines, *more, write(chain, {"event": "z"}, folder.rng)])
    (folder.path / "key").write_bytes(another)
    monkeypatch.setenv("OLD_KEY", ROOT.hex())
    monkeypatch.delenv(DEFAULT_VARIABLE)
    file = str(folder.path / "key")
    assert command("audit", "verify", log, "--key-file", file, "--key-env", "OLD_KEY").status == 0
    done = command("audit", "verify", log, "--key-file", file)
    assert done.status == 1
    assert done.out.count("foreign: belongs to a chain of which no line was made with this root key") == 3


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["LOG", "--key-env", "NOT_SET_ANYWHERE"], "key.env: variable NOT_SET_ANYWHERE is not set"),
        (["LOG", "--key-file", "nowhere"], "key.file"),
        (["nowhere.log"], "cannot be read"),
        (["LOG", "LOG"], "is given twice"),
        (["LOG", "--checkpoints", "nowhere"], "cannot be read"),
    ],
)
def test_what_cannot_be_looked_at(command: Command, folder: Folder, options: list[str], problem: str) -> None:
    """A key or a file that is missing is no finding: exit status 2, so that nobody takes it for one, or for none."""
    log = folder.save("app.log", folder.lines)
    words = [log if word == "LOG" else word for word in options]
    done = command("audit", "verify", *words)
    assert done.status == 2
    assert problem in done.err
    assert done.out == ""
    done = command("audit", "verify", *words, "--json")
    assert done.status == 2
    assert problem in done.facts["refused"]


def test_wrong_usage(command: Command) -> None:
    """No log at all is wrong usage."""
    assert command("audit", "verify").status == 2
