"""The set-ups of structlog that people have: in each, requests of a real application, and what came out in the end."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import structlog
from ruamel.yaml import YAML

from sessionkit.audit.events import ActorStarted, Level
from sessionkit.audit.log import AuditLog
from sessionkit.config import AuditConfig, SessionConfig
from sessionkit.keyring.keyring import Keyring
from sessionkit.middleware import SessionMiddleware
from sessionkit.testing import AsgiClient
from tests.line_schema import SCHEMA, _validator
from tests.untouched import untouched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionkit.asgi import ASGIApp, Receive, Scope, Send

ROOT = Path(__file__).resolve().parent.parent.parent

MERGE = structlog.contextvars.merge_contextvars


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    """Leave structlog and logging as they are found."""
    with untouched():
        yield


class Binding:
    """A middleware as applications have it: binds the request's id, and whose it is, while it is served."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.left: dict[str, Any] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request with its id bound; note what is bound afterwards."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        with structlog.contextvars.bound_contextvars(request_id=scope["path"], user_id=7):
            await self.app(scope, receive, send)
            self.left = structlog.contextvars.get_contextvars()


async def shop(scope: Scope, receive: Receive, send: Send) -> None:
    """Write into the session, and on ``/late`` once more when the response has gone."""
    assert scope["type"] == "http"
    session = scope["session"]
    session["n"] = session.get("n", 0) + 1
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
    if scope["path"] == "/late":
        session["n"] += 1


async def visit(*, level: Any = "info", in_place: bool = True, queue: int = 0) -> None:
    """Make three requests: one that begins a session, one too late, and one with a cookie that was tampered with."""
    config = SessionConfig(audit=AuditConfig(level=level, queue=queue))
    bound = Binding(SessionMiddleware(shop, Keyring.from_secret(b"s" * 32), config, in_place=in_place))
    client = AsgiClient(bound)
    async with client.lifespan():
        await client.get("/first")
        await client.get("/late")
        await client.get("/bad", cookies=[b"session=" + b"A" * 100])
    assert bound.left == {"request_id": "/bad", "user_id": 7}
    assert structlog.contextvars.get_contextvars() == {}


EXPECTED = {
    ("keyring.loaded", None),
    ("actor.started", None),
    ("session.created", "/first"),
    ("session.write_lost", "/late"),
    ("session.rejected", "/bad"),
    ("session.created", "/bad"),
    ("keyring.key_usage", None),
    ("actor.stopped", None),
}
"""What is told of that at INFO, and the request it is told of."""


def check(lines: list[dict[str, Any]]) -> None:
    """Hold lines against the published schema, and against what should be told."""
    validator = _validator(SCHEMA)
    for line in lines:
        validator.validate(line)
        assert line.get("user_id") == (7 if "request_id" in line else None)
    assert {(line["event"], line.get("request_id")) for line in lines} == EXPECTED
    assert len(lines) == len(EXPECTED)


@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "mailbox"])
@pytest.mark.parametrize("queue", [0, 100], ids=["where emitted", "queued"])
@pytest.mark.real_time
async def test_json_with_what_the_application_has_bound(in_place: bool, queue: int) -> None:
    """Case 111: request and user stand on every line a request caused, after the response and by the actor, too."""
    out = io.StringIO()
    structlog.configure([MERGE, structlog.processors.JSONRenderer()], logger_factory=structlog.PrintLoggerFactory(out))
    await visit(in_place=in_place, queue=queue)
    check([json.loads(line) for line in out.getvalue().splitlines()])


async def test_json_by_orjson() -> None:
    """The fast way of structlog's own advice: octets, a filtering logger, cached at first use."""
    out = io.BytesIO()
    structlog.configure(
        [MERGE, structlog.processors.JSONRenderer(serializer=orjson.dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.BytesLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    await visit(level="debug")
    check([orjson.loads(line) for line in out.getvalue().splitlines()])


async def test_the_usual_chain_of_processors() -> None:
    """With what most have in front of the renderer, lines are as promised; a time stamp of theirs takes our place."""
    out = io.StringIO()
    structlog.configure(
        [
            MERGE,
            structlog.processors.add_log_level,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
        logger_factory=structlog.PrintLoggerFactory(out),
    )
    await visit()
    check([json.loads(line) for line in out.getvalue().splitlines()])


def log_as_others_do() -> None:
    """Write lines by Python's logging and by structlog, one with an exception, one about lost lines."""
    with structlog.contextvars.bound_contextvars(request_id="/x"):
        logging.getLogger("payments").warning("card %s", "refused", extra={"shop": 3})
        structlog.get_logger("shop").info("paid", amount=5)
        try:
            os.environ["NO_SUCH_CART"]
        except LookupError:
            logging.getLogger("payments").exception("failed")
    logging.getLogger("sessionkit.audit").error("lines are lost")


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture
def audit_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that config/logging.yaml names, in a folder of this test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "audit.log"


async def test_logging_by_the_file_in_config(audit_log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file and the README's few lines: audit lines in their file, all others on stdout, all of them JSON."""
    logging.config.dictConfig(YAML(typ="safe").load(ROOT / "config" / "logging.yaml"))
    structlog.configure(
        [MERGE, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    await visit()
    log_as_others_do()
    lines = read(audit_log)
    check(lines)
    assert {len(line["timestamp"]) for line in lines} == {len("2026-11-25T12:00:00.000Z")}  # ours, not the formatter's
    foreign, own, failed, about = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert foreign.pop("timestamp") <= own.pop("timestamp")
    assert foreign == {
        "event": "card refused",
        "level": "warning",
        "logger": "payments",
        "shop": 3,
        "request_id": "/x",
    }
    assert own == {"event": "paid", "level": "info", "amount": 5, "request_id": "/x"}
    assert failed["exception"].endswith("KeyError: 'NO_SUCH_CART'")
    assert about["event"] == "lines are lost"


async def test_logging_by_another_formatter(caplog: pytest.LogCaptureFixture) -> None:
    """With structlog's other bridge, fields become attributes of the record, for formatters that know nothing of it."""
    structlog.configure(
        [MERGE, structlog.stdlib.render_to_log_kwargs],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    with caplog.at_level(logging.DEBUG, "sessionkit"):
        await visit()
    records = [record for record in caplog.records if record.name == "sessionkit"]
    assert {(record.getMessage(), vars(record).get("request_id")) for record in records} == EXPECTED
    assert {vars(record)["component"] for record in records} == {"sessionkit"}


@pytest.mark.parametrize(
    ("renderer", "shown"),
    [
        (structlog.dev.ConsoleRenderer(colors=False), "[warning  ] session.rejected"),
        (structlog.dev.ConsoleRenderer(colors=True), "session.rejected"),
        (structlog.processors.KeyValueRenderer(key_order=["event"]), "event='session.rejected'"),
        (structlog.processors.LogfmtRenderer(key_order=["event"]), "event=session.rejected"),
    ],
    ids=["console", "colours", "key-value", "logfmt"],
)
async def test_renderers_for_people(renderer: structlog.typing.Processor, shown: str) -> None:
    """One line an event, with its name and reason, the request it is of, and nothing lost."""
    out = io.StringIO()
    structlog.configure(
        [MERGE, structlog.processors.add_log_level, renderer], logger_factory=structlog.PrintLoggerFactory(out)
    )
    await visit()
    lines = out.getvalue().splitlines()
    assert len(lines) == len(EXPECTED)
    [line] = [line for line in lines if "session.rejected" in line]
    assert shown in line
    for part in ("unsupported_version", "/bad", "sessionkit"):
        assert part in line


async def test_capture_logs() -> None:
    """In tests of an application, ``capture_logs`` sees our lines as it sees its own."""
    with structlog.testing.capture_logs() as captured:
        await visit()
    assert {line["event"] for line in captured} == {event for event, _ in EXPECTED}
    assert {line["log_level"] for line in captured if line["event"] == "session.rejected"} == {"warning"}


async def test_unconfigured(capsys: pytest.CaptureFixture[str]) -> None:
    """As structlog comes, lines are on stdout, with what is bound; nothing is configured behind its back."""
    await visit()
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(EXPECTED)
    assert sum("/bad" in line for line in printed) == 2
    assert not structlog.is_configured()


async def test_a_logger_that_wants_to_be_awaited(caplog: pytest.LogCaptureFixture, anyio_backend_name: str) -> None:
    """``AsyncBoundLogger`` writes nothing that is not awaited: each line is counted as lost, and that is said once."""
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.AsyncBoundLogger,
    )
    log = AuditLog(Level.INFO, clock=lambda: 0.0)
    log.emit([ActorStarted(), ActorStarted()])
    assert log.failures == 2
    [said] = [record.getMessage() for record in caplog.records]
    error_type = "AsynchronousLogger" if anyio_backend_name == "asyncio" else "RuntimeError"  # structlog's own
    assert said == f"an audit line could not be written ({error_type}); further failures are only counted"
