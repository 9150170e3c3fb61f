"""The processor: whatever a process does, its lines prove themselves; and the process is never worse off for it."""

from __future__ import annotations

import copy
import gc
import io
import json
import logging
import pickle
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import structlog

from sessionkit.audit import chain as module
from sessionkit.audit.chain import HashChain, root_key
from sessionkit.audit.checkpoints import parse
from sessionkit.audit.fingerprint import CHAIN_FIELDS, Ratchet, fingerprint, forks_seed, lines_seed, root_secret
from sessionkit.exceptions import ConfigurationError
from sessionkit.keyring.source import SecretSource
from tests.audit.chained import NOW, ROOT, fields, process, told, verified, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from structlog.typing import Processor

PATIENCE = 30.0
"""Seconds after which a thread that does not come is taken for stuck."""


@pytest.fixture
def configured() -> Iterator[None]:
    """Leave structlog as nobody has configured it, before and after."""
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def configure(chain: HashChain, *before: Any) -> io.StringIO:
    """Set structlog up as the README says, and return where lines go."""
    stream = io.StringIO()
    structlog.configure(
        processors=[*before, chain, structlog.processors.JSONRenderer()],
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    return stream


def written(stream: io.StringIO) -> list[bytes]:
    """Return the lines of a stream."""
    return stream.getvalue().encode().splitlines()


# --- lines ------------------------------------------------------------------------------------------------------------


def test_four_fields_more() -> None:
    """A line gets its chain's name, its number, the fingerprint before it and its own; the rest stays."""
    chain = HashChain(ROOT)
    first = chain(None, "info", {"event": "a", "size": 3})
    second = chain(None, "info", {"event": "b"})
    assert list(first) == ["event", "size", *CHAIN_FIELDS]
    assert (first["event"], first["size"], first["sequence"], first["prev_fingerprint"]) == ("a", 3, 0, "0" * 32)
    assert (second["sequence"], second["prev_fingerprint"]) == (1, first["fingerprint"])
    assert first["chain_uid"] == second["chain_uid"]
    assert HashChain(ROOT)(None, "info", {})["chain_uid"] != first["chain_uid"]


def test_names_that_are_taken() -> None:
    """A field of the application's with one of the chain's names is kept under another."""
    chain = HashChain(ROOT)
    line = dict(chain(None, "info", {"event": "a", "sequence": 7, "fingerprint": "theirs", "chain_heads": {"x": 9}}))
    assert (line["sequence_"], line["sequence"], line["fingerprint_"]) == (7, 0, "theirs")
    assert (line["chain_heads_"], "chain_heads" in line) == ({"x": 9}, False)
    assert told(verified([json.dumps(line).encode()])) == []


def test_lines_of_one_component() -> None:
    """Chained are the lines of that component alone; others pass as they are."""
    chain = HashChain(ROOT, component="sessionkit")
    other = object()
    assert chain(None, "info", {"event": "a", "component": "shop", "value": other}) == {
        "event": "a",
        "component": "shop",
        "value": other,
    }
    assert chain(None, "info", {"event": "a"}) == {"event": "a"}
    assert chain(None, "info", {"component": "sessionkit"})["sequence"] == 0


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    "serializer", [json.dumps, lambda line, **_: orjson.dumps(line).decode()], ids=["json", "orjson"]
)
def test_with_what_the_application_has_bound(serializer: Callable[..., str]) -> None:
    """What is bound to the context is part of the line, and of its fingerprint."""
    chain = HashChain(ROOT)
    stream = io.StringIO()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.dict_tracebacks,
            chain,
            structlog.processors.JSONRenderer(serializer=serializer),
        ],
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    log = structlog.get_logger()
    with structlog.contextvars.bound_contextvars(request_id="r-1", user_id=7):
        log.info("a", ratio=2.0)
        log.error("b", exc_info=ValueError("what went wrong"))
    log.info("c")
    assert fields(written(stream)[0])["request_id"] == "r-1"
    assert told(verified(written(stream))) == []
    assert [line for _, line, _ in told(verified([line.replace(b"r-1", b"r-2") for line in written(stream)]))] == [1, 2]


@pytest.mark.usefixtures("configured")
def test_with_logging() -> None:
    """In a formatter of ``logging``, lines of structlog and of other libraries go through one chain."""
    chain = HashChain(ROOT)
    shared: list[Processor] = [structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder()]
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    tidy, render = structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer()
    orders: list[list[Processor]] = [[tidy, chain, render], [chain, tidy, render]]
    for processors in orders:
        handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=processors, foreign_pre_chain=shared))
        structlog.configure(
            processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
        )
        theirs = logging.getLogger("test_with_logging")
        theirs.addHandler(handler)
        theirs.setLevel(logging.INFO)
        theirs.info("of %s", "logging", extra={"size": 3})
        structlog.get_logger("test_with_logging").info("of structlog", ratio=1.0)
        theirs.removeHandler(handler)
    lines = written(stream)
    assert [fields(line)["event"] for line in lines] == ["of logging", "of structlog"] * 2
    assert fields(lines[0])["size"] == 3
    report = verified(lines)
    assert (report.chained, told(report)) == (4, [])


# --- nothing is raised ------------------------------------------------------------------------------------------------


class Unspeakable:
    """Cannot be shown."""

    def __repr__(self) -> str:
        raise ValueError("a secret in an error")


def test_a_line_that_cannot_be_chained(caplog: pytest.LogCaptureFixture) -> None:
    """It goes on as it is; that is counted, said once, and the error's text is not told."""
    chain = HashChain(ROOT)
    value = Unspeakable()
    for _ in range(3):
        assert chain(None, "info", {"event": "a", "value": value}) == {"event": "a", "value": value}
    assert chain.failures == 3
    assert [record.getMessage() for record in caplog.records] == [
        "a line could not be chained (ValueError); further failures are only counted"
    ]
    assert chain(None, "info", {"event": "b"})["sequence"] == 0


def test_a_line_within_a_line(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A finalizer that logs in the middle of a link neither hangs nor tears the chain: its line goes without."""
    chain = HashChain(ROOT)
    inner: list[Any] = []
    really = fingerprint

    def interrupted(*given: Any) -> str:
        inner.append(chain(None, "info", {"event": "finalizer"}))
        return really(*given)

    monkeypatch.setattr(module, "fingerprint", interrupted)
    line = chain(None, "info", {"event": "a"})
    assert inner == [{"event": "finalizer"}]
    assert chain.failures == 1
    assert "RuntimeError" in caplog.text
    assert told(verified([json.dumps(dict(line)).encode()])) == []


# --- the key ----------------------------------------------------------------------------------------------------------


def test_ways_to_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Octets, and whatever a keyring file may name."""
    (tmp_path / "key").write_text(ROOT.hex())
    monkeypatch.setenv("CHAIN_KEY", ROOT.hex())
    assert root_key(ROOT) == ROOT
    assert root_key({"env": "CHAIN_KEY"}) == ROOT
    assert root_key({"file": "key"}, tmp_path) == ROOT
    assert root_key(SecretSource(file=str(tmp_path / "key"))) == ROOT


@pytest.mark.parametrize(
    ("key", "field", "problem"),
    [
        (b"short secret", "key", "is 12 octets long"),
        ({"base64": "AAAA"}, "key", "is 3 octets long"),
        ({"env": "NOT_SET_ANYWHERE"}, "key.env", "is not set"),
        ({}, "", "names no way"),
        ({"file": "nowhere-to-be-found"}, "key.file", "cannot be read"),
        ("a short secret as text", "key", "is a str"),
        (None, "key", "is a NoneType"),
    ],
)
def test_keys_that_cannot_be_used(key: Any, field: str, problem: str) -> None:
    """The error says which way failed and why, before a line is written."""
    with pytest.raises(ConfigurationError, match=problem) as caught:
        HashChain(key)
    assert field in caught.value.field
    assert "short secret" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("setting", [{"every": 0}, {"every": -1}, {"seconds": 0}, {"seconds": float("nan")}])
def test_checkpoints_are_apart(setting: dict[str, Any]) -> None:
    """Distances that are none are refused."""
    with pytest.raises(ConfigurationError, match="is not positive"):
        HashChain(ROOT, **setting)


def test_it_shows_no_key() -> None:
    """Neither its repr nor a pickle or copy holds a key."""
    chain = HashChain(ROOT)
    assert repr(chain) == f"<HashChain {chain(None, 'info', {})['chain_uid']}>"
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="would go along"):
            leave(chain)


def reachable(start: object) -> set[bytes]:
    """Return all octets that can be reached from an object."""
    found: set[bytes] = set()
    seen: set[int] = set()
    ahead = [start]
    while ahead:
        one = ahead.pop()
        if id(one) in seen or isinstance(one, ModuleType | FunctionType | type):
            continue
        seen.add(id(one))
        if isinstance(one, bytes | bytearray):
            found.add(bytes(one))
        ahead.extend(gc.get_referents(one))
    return found


def test_it_forgets() -> None:
    """Nothing that it holds is the root key, its secret, or a key of a line or descendant that has been."""
    chain = HashChain(ROOT)
    (uid,) = {chain(None, "info", {})["chain_uid"] for _ in range(10)}
    chain._descendant()
    held = reachable(chain)
    secret = root_secret(ROOT, uid)
    past = [Ratchet(lines_seed(secret), number).key for number in range(10)]
    assert Ratchet(lines_seed(secret), 10).key in held  # so what is looked for would be found
    assert not held & {ROOT, secret, lines_seed(secret), forks_seed(secret), Ratchet(forks_seed(secret)).key, *past}


# --- threads and forks ------------------------------------------------------------------------------------------------


def test_threads() -> None:
    """Threads that log at once have a chain each, so that no line overtakes another of its chain."""
    chain = HashChain(ROOT)
    together = threading.Barrier(8)
    stream: list[bytes] = []

    def talk(seed: int) -> None:
        rng = random.Random(seed)
        together.wait(PATIENCE)
        for number in range(50):
            line = write(chain, {"event": "a", "thread": seed, "number": number}, rng)
            stream.append(line)
        together.wait(PATIENCE)  # or one that ends early would leave its chain to one that begins late

    threads = [threading.Thread(target=talk, args=[seed]) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    report = verified(stream)
    assert (report.chained, told(report)) == (400, [])
    assert len(report.chains) == 8
    by_thread = {(fields(line)["thread"], fields(line)["chain_uid"]) for line in stream}
    assert len(by_thread) == 8


def test_threads_that_come_and_go() -> None:
    """The chain of a thread that has ended is continued by the next: there are no more chains than threads at once."""
    chain = HashChain(ROOT)
    stream: list[bytes] = []
    rng = random.Random(1)
    for _ in range(20):
        thread = threading.Thread(target=lambda: stream.append(write(chain, {"event": "a"}, rng)))
        thread.start()
        thread.join(PATIENCE)
    report = verified(stream)
    assert told(report) == []
    assert [one.lines for one in report.chains] == [20]


def test_forks(tmp_path: Path) -> None:
    """A child, and a child of its own, begin chains anew that the root key leads to; the parent's go on."""
    log, second = tmp_path / "log", tmp_path / "checkpoints"
    root = Path(__file__).resolve().parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.audit.forking", log, second],
        cwd=root,
        timeout=120,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    lines = log.read_bytes().splitlines()
    report = verified(lines, checkpoints=second.read_text().splitlines())
    assert told(report) == []
    assert sum("." not in one.chain_uid for one in report.chains) == 1
    assert report.chained == len(lines) == (1 + 100 + 1) + 2 * (6 + 1) + 2 * 6
    assert len({fields(line)["chain_uid"] for line in lines if fields(line).get("event") == "begin"}) == 4
    closed = {fields(line)["chain_uid"] for line in lines if fields(line).get("event") == "audit.chain_closed"}
    assert len(closed) == 3  # of the first process, and of its two children
    assert {one.chain_uid for one in report.chains if one.closed} >= closed


def test_a_child_holds_nothing_of_its_parent() -> None:
    """What is left in a child leads to none of the parent's lines, and the parent keeps nothing of the child's."""
    chain = HashChain(ROOT)
    uid = chain(None, "info", {})["chain_uid"]
    secret = root_secret(ROOT, uid)
    next_line = chain._chains[0].keys.key
    childs = Ratchet(forks_seed(secret)).key
    parents = [Ratchet(forks_seed(secret), 1).key, next_line]
    module._before_fork()
    module._after_fork(HashChain._go_on)
    assert childs not in reachable(chain)
    assert set(parents) <= reachable(chain)
    other = HashChain(ROOT)
    other._begin(uid, secret)
    module._before_fork()
    module._after_fork(HashChain._go_apart)
    line = other(None, "info", {})
    assert line["chain_uid"] == f"{uid}.0"
    assert not reachable(other) & {*parents, secret, forks_seed(secret), lines_seed(secret), childs}
    assert told(verified([json.dumps(dict(line)).encode()])) == []


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("configured")
def test_an_end_in_order() -> None:
    """The last line says that it is the last, and how many lines each chain has; so a cut tail needs no checkpoint."""
    chain = HashChain(ROOT, clock=lambda: NOW)
    stream = configure(chain)
    structlog.get_logger().info("a")
    thread = threading.Thread(target=lambda: structlog.get_logger().info("b"))
    thread.start()
    thread.join(PATIENCE)
    chain.close()
    lines = written(stream)
    last = fields(lines[-1])
    assert (last["event"], last["component"], last["timestamp"]) == (
        "audit.chain_closed",
        "sessionkit",
        "2027-01-15T08:00:00.000Z",
    )
    uid = last["chain_uid"]
    assert last["chain_heads"] == {uid: 2, f"{uid}.0": 1}
    assert last["chains"] == 2
    report = verified(lines)
    assert told(report) == []
    assert {one.chain_uid: (one.lines, one.proven, one.closed) for one in report.chains} == {
        uid: (2, 2, True),
        f"{uid}.0": (1, 1, False),
    }
    assert told(verified([lines[0], lines[2]])) == [("gone", 2, 0)]


@pytest.mark.usefixtures("configured")
def test_after_the_end() -> None:
    """Closing twice says it once; what is logged later begins a chain of its own, which can be closed, too."""
    chain = HashChain(ROOT)
    stream = configure(chain)
    chain.close()
    assert written(stream) == []
    for _ in range(3):
        structlog.get_logger().info("a")
        chain.close()
        chain.close()
    assert len(written(stream)) == 6
    assert len(chain._chains) == 0
    report = verified(written(stream))
    assert told(report) == []
    assert [(one.lines, one.closed) for one in report.chains] == [(2, True)] * 3


@pytest.mark.usefixtures("configured")
def test_an_event_of_that_name_ends_nothing() -> None:
    """An event that is merely called like the closing line is a line like any other."""
    chain = HashChain(ROOT)
    stream = configure(chain)
    structlog.get_logger().info("audit.chain_closed")
    structlog.get_logger().info("b")
    assert [fields(line)["sequence"] for line in written(stream)] == [0, 1]
    assert "chain_heads" not in fields(written(stream)[0])


@pytest.mark.usefixtures("configured")
def test_an_end_that_the_level_hides() -> None:
    """Where lines of that level are not written, the closing checkpoint alone tells of the end."""
    checkpoints: list[str] = []
    chain = HashChain(ROOT, checkpoints=checkpoints.append)
    stream = configure(chain)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    structlog.get_logger().error("a")
    chain.close()
    report = verified(written(stream), checkpoints=checkpoints)
    assert [(one.lines, one.proven, one.closed) for one in report.chains] == [(1, 1, True)]


# --- checkpoints ------------------------------------------------------------------------------------------------------


def test_a_checkpoint_on_request() -> None:
    """Each chain with lines that no checkpoint tells of gets one; one without is passed over."""
    checkpoints: list[str] = []
    chain, lines = process(random.Random(1), 3, checkpoints=checkpoints.append)
    chain.checkpoint()
    chain.checkpoint()
    one = parse(checkpoints[0].encode())
    assert one is not None
    assert (one.lines, one.fingerprint, one.closed) == (3, fields(lines[-1])["fingerprint"], False)
    assert len(checkpoints) == 1
    HashChain(ROOT, checkpoints=checkpoints.append).checkpoint()
    HashChain(ROOT).checkpoint()
    assert len(checkpoints) == 1


def test_no_key_is_in_sight_of_a_callback() -> None:
    """Whatever shows the frames above it, as error reporters do, shows no key of the chain there."""
    seen: list[str] = []

    def take(line: str) -> None:
        frame = sys._getframe()
        while frame is not None:
            seen.extend(map(repr, frame.f_locals.values()))
            above = frame.f_back
            if above is None or above.f_code is test_no_key_is_in_sight_of_a_callback.__code__:
                return
            frame = above

    chain = HashChain(ROOT, checkpoints=take, seconds=3600.0)
    chain(None, "info", {})
    key = chain._chains[0].keys.key
    chain.checkpoint()
    assert len(seen) > 5
    assert [one for one in seen if repr(key) in one or repr(ROOT) in one] == []


@pytest.mark.parametrize("due", [{"every": 10, "seconds": 3600.0}, {"every": 1_000_000, "seconds": 0.001}])
def test_checkpoints_come_by_themselves(due: dict[str, Any]) -> None:
    """After so many lines, or so much time, a thread of its own writes one; the lines do not wait for it."""
    come, go = threading.Event(), threading.Event()
    checkpoints: list[str] = []

    def take(line: str) -> None:
        assert go.wait(PATIENCE)
        checkpoints.append(line)
        come.set()

    chain = HashChain(ROOT, checkpoints=take, **due)
    rng = random.Random(2)
    lines = [write(chain, {"event": "a"}, rng) for _ in range(25)]
    assert checkpoints == []
    go.set()
    assert come.wait(PATIENCE)
    assert told(verified(lines, checkpoints=checkpoints)) == []


def test_the_thread_ends_with_its_chain() -> None:
    """When nothing refers to the chain any more, no thread is left behind."""
    chain = HashChain(ROOT, checkpoints=lambda _: None, seconds=3600.0)
    chain(None, "info", {})
    thread = chain._thread
    assert thread is not None
    assert thread.daemon
    del chain
    gc.collect()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_one_thread_is_enough() -> None:
    """Of many threads that log first at once, one starts the thread for checkpoints."""
    chain = HashChain(ROOT, checkpoints=lambda _: None, seconds=3600.0)
    chain._start()
    first = chain._thread
    chain._start()
    assert first is not None
    assert chain._thread is first


class Second:
    """A second place that is full until somebody makes room."""

    def __init__(self) -> None:
        self.full = True
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        """Keep a checkpoint."""
        if self.full:
            raise OSError(28, "No space left on device")
        self.lines.append(line)


def test_a_second_place_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """It is counted and said once; the lines stay due, and the next checkpoint tells of them."""
    second = Second()
    chain, lines = process(random.Random(3), 2, checkpoints=second, seconds=3600.0)
    chain.checkpoint()
    chain.checkpoint()
    assert chain.failures == 2
    assert [record.getMessage() for record in caplog.records] == [
        "a checkpoint could not be written (OSError); further failures are only counted"
    ]
    second.full = False
    chain.checkpoint()
    assert told(verified(lines[:1], checkpoints=second.lines)) == [("cut", 1, 1)]


@pytest.mark.usefixtures("configured")
def test_a_closing_checkpoint_that_fails() -> None:
    """The end of a chain stays due as well, and is told with the next checkpoint."""
    second = Second()
    chain = HashChain(ROOT, checkpoints=second, seconds=3600.0)
    stream = configure(chain)
    structlog.get_logger().info("a")
    chain.close()
    second.full = False
    structlog.get_logger().info("b")
    chain.checkpoint()
    report = verified(written(stream), checkpoints=second.lines)
    assert [(one.lines, one.proven, one.closed) for one in report.chains] == [(2, 2, True), (1, 1, False)]


@pytest.mark.usefixtures("configured")
def test_a_second_place_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing does not wait for ever: the closing checkpoint is given up, and counted."""
    monkeypatch.setattr(module, "_PATIENCE", 0.01)
    come, go = threading.Event(), threading.Event()

    def take(line: str) -> None:
        come.set()
        assert go.wait(PATIENCE)

    chain = HashChain(ROOT, checkpoints=take, every=1, seconds=3600.0)
    configure(chain)
    structlog.get_logger().info("a")
    assert come.wait(PATIENCE)
    start = time.monotonic()
    chain.close()
    assert chain.failures == 1
    assert time.monotonic() - start < PATIENCE
    go.set()
