"""The README keeps its word: its code runs, its commands work, its tables are those of the code.

A block is run if a comment ``<!-- run: NAME -->`` stands before it; every block of Python must have one.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import generated
import pytest
import structlog
from django.test import override_settings

from sessionkit.audit.verification import Verifier
from sessionkit.canonical import SessionOutcome
from sessionkit.config import SessionConfig
from sessionkit.keyring.keyring import Keyring
from sessionkit.middleware import SessionMiddleware
from sessionkit.revocation import RevocationConfig
from sessionkit.testing import AsgiClient, FixedClock, keyring
from tests.apps.test_suite import APPLICATIONS
from tests.middleware.apps import Log, answer
from tests.unmeasured import environment
from tests.untouched import untouched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from sessionkit.asgi import Receive, Scope, Send

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
MARKED = re.findall(r"<!-- run: (\w+) -->\n```(\w+)\n(.*?)```", README, re.DOTALL)
BLOCKS = {name: code for name, _, code in MARKED}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the examples of config/, and with the environment that they ask for."""
    folder = tmp_path / "config"
    folder.mkdir()
    for name in ("sessionkit.yaml", "keyring.yaml"):
        (folder / name).write_text((ROOT / "config" / name).read_text("utf-8"), "utf-8")
    for number, variable in enumerate(
        sorted(set(re.findall(r"env: (\w+)", README + (folder / "keyring.yaml").read_text())))
    ):
        monkeypatch.setenv(variable, f"{number:02x}" * 32)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(name: str) -> ModuleType:
    """Run a block as the file that a reader would make of it."""
    path = Path(f"readme_{name}.py")
    path.write_text(BLOCKS[name], "utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # frameworks look annotations up there
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["raw", "starlette", "fastapi", "litestar"])
@pytest.mark.parametrize("hosted", [True, False], ids=["lifespan", "no lifespan"])
@pytest.mark.real_time
@pytest.mark.usefixtures("home")
async def test_embedding_examples_count_visits(name: str, *, hosted: bool) -> None:
    """Every embedding example keeps a session from request to request, with and without a lifespan."""
    client = AsgiClient(run(name).app)

    async def visits() -> list[str]:
        return [(await client.get("/")).text.strip('"') for _ in range(3)]

    if hosted:
        async with client.lifespan():
            told = await visits()
    else:
        told = await visits()
    assert told == ["visit 1", "visit 2", "visit 3"]
    assert len(client.jar) == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
@pytest.mark.real_time
@pytest.mark.usefixtures("home")
async def test_quart_example() -> None:
    """The Quart example keeps a session from request to request."""
    client = AsgiClient(run("quart").app)
    async with client.lifespan():
        assert [(await client.get("/")).text for _ in range(3)] == ["visit 1", "visit 2", "visit 3"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
@pytest.mark.real_time
@pytest.mark.usefixtures("home")
async def test_django_example() -> None:
    """The settings and the asgi.py of the Django example, around a view that counts."""
    said = {name: value for name, value in vars(run("django_settings")).items() if name.isupper()}
    with override_settings(ROOT_URLCONF="tests.contrib.test_django", **said):
        client = AsgiClient(run("django_asgi").application)
        async with client.lifespan():
            assert [(await client.get("/visit")).text for _ in range(3)] == ["1", "2", "3"]


def test_every_complete_application_is_shown() -> None:
    """The table names each application of the common suite, with a line of it."""
    rows = generated.applications().splitlines()[2:]
    assert len(rows) == len(APPLICATIONS)
    for row, name in zip(rows, APPLICATIONS, strict=True):
        assert f"(tests/apps/{name}_app.py)" in row
        assert re.search(r"\| `.+` \|", row)


@pytest.mark.real_time
@pytest.mark.usefixtures("home")
async def test_litestar_route_opts_out() -> None:
    """The Litestar example's route with the reference's opt-out neither reads nor writes a session."""
    client = AsgiClient(run("litestar").app)
    await client.get("/")
    response = await client.get("/health")
    assert response.text == "ok"
    assert response.set_cookies == []
    assert response.values(b"vary") == []


@pytest.mark.usefixtures("home")
async def test_fastapi_cart() -> None:
    """The FastAPI example's cart is kept as the model that it is."""
    client = AsgiClient(run("fastapi").app)
    await client.post("/cart/tea")
    assert (await client.post("/cart/tea")).text == '{"tea":2}'


def test_model_in_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example's upgrade brings a cart over, from before there was a model and from version 1."""
    monkeypatch.chdir(tmp_path)
    schema = run("typed").CART
    for held in ({"items": ["tea"]}, {"version": 1, "data": {"items": ["tea"]}}):
        assert schema.load({"cart": held}).items == {"tea": 1}


def test_tests_of_an_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example's tests pass, and are able to fail: without the key that is retired, everybody is logged out."""
    monkeypatch.chdir(tmp_path)
    module = run("testing")
    tests = [test for name, test in vars(module).items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()
    monkeypatch.setattr(module, "keyring", lambda active, **_: keyring(active))
    with pytest.raises(AssertionError):
        module.test_nobody_is_logged_out_by_a_rotation()


@pytest.mark.usefixtures("home")
async def test_log_out_everywhere() -> None:
    """The example ends the user's sessions on other devices, and keeps the one that asked."""
    log_out_everywhere = run("logout").log_out_everywhere
    clock = FixedClock()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/login":
            scope["session"].regenerate(authenticated=True)
            scope["session"]["user_id"] = 7
        elif scope["path"] == "/everywhere":
            await log_out_everywhere(SimpleNamespace(scope=scope, session=scope["session"]))
        await answer(send, headers=[(b"x-user", str(scope["session"].get("user_id")).encode())])

    revocation = RevocationConfig(memory=True, subject_key="user_id")
    site = SessionMiddleware(app, bytes(32), SessionConfig(revocation=revocation), clock=clock, logger=Log())
    here, there = AsgiClient(site, clock=clock), AsgiClient(site, clock=clock)
    for device in (here, there):
        await device.get("/login")
    clock.advance(1.0)
    await here.get("/everywhere")
    assert [(await device.get("/")).values(b"x-user") for device in (here, there)] == [[b"7"], [b"None"]]


@pytest.mark.usefixtures("home")
async def test_secret_in_code() -> None:
    """A secret in code is enough for a session."""
    client = AsgiClient(run("secret").app)
    assert (await client.get("/")).set_cookies[0].startswith(b"shop=")


@pytest.fixture
def set_up() -> Iterator[None]:
    """Leave structlog and logging as they were."""
    with untouched():
        yield


@pytest.mark.real_time
@pytest.mark.usefixtures("home", "set_up")
@pytest.mark.parametrize("block", ["json", "logging"])
async def test_audit_log_as_json(block: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Either set-up makes JSON lines of the audit log, where the text says that they go."""
    (home / "config" / "logging.yaml").write_text((ROOT / "config" / "logging.yaml").read_text("utf-8"), "utf-8")
    run(block)
    client = AsgiClient(run("raw").app)
    await client.get("/")
    out = (home / "audit.log").read_text("utf-8") if block == "logging" else capsys.readouterr().out
    told = [json.loads(line)["event"] for line in out.splitlines()]
    assert told == ["keyring.loaded", "actor.inline", "session.created"]


@pytest.mark.real_time
@pytest.mark.usefixtures("home", "set_up")
async def test_own_line_about_a_request() -> None:
    """The example's line, outside the middleware, tells of the session inside, in the words that the text lists."""
    client = AsgiClient(run("canonical").app)
    with structlog.testing.capture_logs() as captured:
        async with client.lifespan():
            for _ in range(2):
                await client.get("/")
    created, written = (line for line in captured if line["event"] == "request")
    assert (created["session_outcome"], written["session_outcome"]) == ("created", "written")
    assert created["session_ref"] == written["session_ref"]
    [listed] = re.findall(r"`session_outcome` is one of ([^;]+);", README)
    assert re.findall(r"`(\w+)`", listed) == [outcome.value for outcome in SessionOutcome]


@pytest.mark.usefixtures("home")
def test_rotation_in_five_minutes() -> None:
    """The commands of the README's rotation work as they stand, one after the other."""
    commands = [line.removeprefix("$ ") for line in BLOCKS["rotation"].splitlines()]
    for command in commands:
        words = shlex.split(command)
        assert words[0] == "sessionkit"
        done = subprocess.run(
            [sys.executable, "-c", "from sessionkit.cli import main; main()", *words[1:]],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=environment(),
        )
        assert done.returncode == 0, done.stderr
    ring = Keyring.load("keyring.yaml")
    assert repr(ring) == "<Keyring gen 2: 1 active, 1 staged, 1 retired>"


@pytest.mark.usefixtures("home")
def test_tamper_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    """The README's chain covers every line that is logged, and its end; an edit of the log is found."""
    Path("chain.key").write_text("ab" * 32)
    try:
        chain = run("chain").chain
        atexit.unregister(chain.close)
        structlog.get_logger().info("order placed", total=12.5)
        chain.close()
    finally:
        structlog.reset_defaults()
    log, second = capsys.readouterr().out, Path("checkpoints.jsonl").read_bytes()
    for text, expected in ((log, []), (log.replace("12.5", "1.25"), ["edited"])):
        verifier = Verifier([bytes.fromhex("ab" * 32)], whole_stream=True)
        verifier.checkpoint("checkpoints.jsonl", 1, second)
        for number, line in enumerate(text.encode().splitlines(), 1):
            verifier.feed("app.log", number, line)
        report = verifier.report()
        assert [finding.kind for finding in report.findings] == expected
        assert [one.closed for one in report.chains] == [True]


def test_all_python_is_run() -> None:
    """No block of Python in the README goes without a test."""
    assert README.count("```python") == len([name for name, language, _ in MARKED if language == "python"])


def test_generated_files_are_up_to_date() -> None:
    """What is generated from the code is what the code says; `scripts/generate` renews it."""
    for path, text in generated.files().items():
        assert path.read_text("utf-8") == text, f"run scripts/generate: {path.name} is out of date"
