"""Settings of a move, in code and in YAML: what they may be, and what is said when they may not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit.config import SessionConfig
from sessionkit.exceptions import ConfigurationError
from sessionkit.keyring.keyring import Keyring
from sessionkit.middleware import SessionMiddleware
from sessionkit.migrate import Migration, OldSecret
from sessionkit.migrate.settings import DEFAULTS
from tests.migrate.peers import PEERS

if TYPE_CHECKING:
    from pathlib import Path

UNTIL = datetime(2027, 1, 1, tzinfo=UTC)
SECRET = "old-secret-in-its-own-words"
YAML = """\
key: ours
migrate:
  - from: starlette
    cookie: session
    secret: {env: OLD_SECRET}
    until: 2027-01-01T00:00:00Z
    max_age: 3600
  - from: litestar
    secret:
      - {file: old.key, encoding: hex}
      - {env: OLDER_SECRET, encoding: base64}
    until: 2027-06-01T02:00:00+02:00
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the file and the secrets it names."""
    monkeypatch.setenv("OLD_SECRET", SECRET)
    monkeypatch.setenv("OLDER_SECRET", "ICEiIyQlJicoKSorLC0uLw")
    (tmp_path / "old.key").write_text(f"{bytes(range(32)).hex()}\r\n")
    (tmp_path / "sessionkit.yaml").write_text(YAML)
    return tmp_path


def refused(**settings: Any) -> ConfigurationError:
    """Return the error that settings of a move in code are refused with."""
    with pytest.raises(ConfigurationError) as caught:
        Migration(**{"source": "flask", "secret": SECRET.encode(), "until": UNTIL, **settings})
    return caught.value


def refused_in(folder: Path, old: str, new: str) -> ConfigurationError:
    """Return the error that the file is refused with after one change."""
    text = (folder / "sessionkit.yaml").read_text()
    assert old in text
    (folder / "sessionkit.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigurationError) as caught:
        SessionConfig.load(folder / "sessionkit.yaml")
    assert SECRET not in str(caught.value)
    return caught.value


def test_a_file_says_what_is_taken_over(folder: Path) -> None:
    """Everything as it stands there, the secrets fetched: text as it is, octets from hexadecimal and base64."""
    starlette, litestar = SessionConfig.load(folder / "sessionkit.yaml").migrate
    assert (starlette.source, starlette.name, starlette.age) == ("starlette", "session", 3600)
    assert starlette.until == UNTIL
    assert starlette.secrets == (SECRET.encode(),)
    assert litestar.until == datetime(2027, 6, 1, tzinfo=UTC)
    assert litestar.secrets == (bytes(range(32)), bytes(range(32, 48)))
    assert SECRET not in repr((starlette, litestar))


def test_the_defaults_are_the_old_librarys() -> None:
    """Name and age come from the peer; there is no reader that is not listed, and none listed that is not tried."""
    assert DEFAULTS.keys() == PEERS.keys()
    for name, peer in PEERS.items():
        made = Migration(source=name, secret=peer.secret, until=UNTIL)
        assert (made.name, made.age) == (peer.cookie, peer.max_age)


def test_secrets_in_code() -> None:
    """Octets, or several of them."""
    made = Migration(source="flask", secret=[b"a", b"b"], until=UNTIL)
    assert made.secrets == (b"a", b"b")
    assert Migration(source="flask", secret=b"a", until=UNTIL).secrets == (b"a",)
    assert made.resolved() == made
    assert "b'a'" not in repr(made)


def test_a_source_in_code_is_fetched_when_the_service_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is missing stops the start, not the first request."""
    config = SessionConfig(migrate=[Migration(source="flask", secret=OldSecret(env="OLD_SECRET"), until=UNTIL)])
    with pytest.raises(ConfigurationError, match=r"migrate\.0\.secret\.env: variable OLD_SECRET is not set"):
        SessionMiddleware(PEERS, Keyring.from_secret(bytes(32)), config)  # type: ignore[arg-type]  # never called
    monkeypatch.setenv("OLD_SECRET", SECRET)
    [reader] = SessionMiddleware(PEERS, Keyring.from_secret(bytes(32)), config).service._readers  # type: ignore[arg-type]  # as above
    assert (reader.source, reader.cookie) == ("flask", "session")


@pytest.mark.parametrize(
    ("settings", "field", "problem"),
    [
        ({"source": "rails"}, "source", "input should be"),
        ({"secret": b""}, "secret", "is empty"),
        ({"secret": SECRET}, "secret", "is text"),
        ({"secret": []}, "secret", "is empty"),
        ({"secret": None}, "secret", "is missing"),
        ({"secret": 7}, "secret", "is a int"),
        ({"secret": [{"env": "A", "file": "b"}]}, "secret.0", "two ways"),
        ({"secret": {"env": "A", "file": "b"}}, "secret", "two ways"),
        ({"secret": {}}, "secret", "no way"),
        ({"secret": {"env": "A", "encoding": "rot13"}}, "secret.encoding", "input should be"),
        ({"source": "litestar", "secret": SECRET.encode()}, "secret", "16, 24 or 32"),
        ({"source": "aiohttp", "secret": SECRET.encode()}, "secret", "no Fernet key"),
        ({"source": "aiohttp", "secret": b"AAAA"}, "secret", "no Fernet key"),
        ({"source": "aiohttp", "secret": b"AAAAA"}, "secret", "no Fernet key"),
        ({"until": datetime(2027, 1, 1)}, "until", "timezone"),  # noqa: DTZ001 - what is refused
        ({"until": 1}, "until", "is a int"),
        ({"max_age": 0}, "max_age", "greater than 0"),
        ({"cookie": "a;b"}, "cookie", "no name"),
        ({"path": "app"}, "path", "pattern"),
        ({"path": "/;"}, "path", "no attribute"),
        ({"domain": "a b"}, "domain", "no attribute"),
        ({"untill": 1}, "untill", "not known here"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], field: str, problem: str) -> None:
    """Each names its field and the problem, never the secret."""
    error = refused(**settings)
    assert error.field == field
    assert problem in error.problem
    assert SECRET not in str(error)


def test_there_is_no_reader_without_an_end() -> None:
    """An end date and a secret must be given."""
    with pytest.raises(ConfigurationError, match="until: is missing"):
        Migration(source="flask", secret=SECRET.encode())
    with pytest.raises(ConfigurationError, match="secret: is missing"):
        Migration(source="flask", until=UNTIL)


@pytest.mark.parametrize(
    ("old", "new", "field", "line"),
    [
        ("from: starlette", "from: rails", "migrate.0.from", 3),
        ("from: starlette", "form: starlette", "migrate.0.from", 3),
        ("until: 2027-01-01T00:00:00Z", "until: soon", "migrate.0.until", 6),
        ("until: 2027-01-01T00:00:00Z", "until: 2027-01-01", "migrate.0.until", 6),
        ("max_age: 3600", "max_age: forever", "migrate.0.max_age", 7),
        ("{env: OLD_SECRET}", SECRET, "migrate.0.secret", 5),
        ("{env: OLD_SECRET}", "{env: NO_SUCH}", "migrate.0.secret.env", 5),
        ("{file: old.key, ", "{file: new.key, ", "migrate.1.secret.0.file", 10),
        ("encoding: hex", "encoding: text", "migrate.1.secret.0", 10),
        ("encoding: hex", "encoding: base64", "migrate.1.secret.0", 10),
        ("env: OLDER_SECRET, encoding: base64", "env: OLDER_SECRET, encoding: hex", "migrate.1.secret.1.env", 11),
    ],
)
def test_errors_in_a_file_have_a_line(folder: Path, old: str, new: str, field: str, line: int) -> None:
    """What, where, and what to do."""
    error = refused_in(folder, old, new)
    assert error.field == field
    assert error.line == line


def test_secrets_that_are_empty_or_far_too_long(folder: Path) -> None:
    """A file of another kind is told apart."""
    for content, problem in ((b"\n", "is empty"), (b"x" * 5000, "more than 4096")):
        (folder / "old.key").write_bytes(content)
        with pytest.raises(ConfigurationError, match=problem):
            SessionConfig.load(folder / "sessionkit.yaml")


def test_names_that_may_be_the_secret_are_not_told(folder: Path) -> None:
    """Put into the wrong field, a secret is in no error."""
    secret = bytes(range(100, 132)).hex()
    for way in ("env", "file"):
        with pytest.raises(ConfigurationError) as caught:
            OldSecret(**{way: secret}).resolve(folder)
        assert secret not in str(caught.value)
    with pytest.raises(ConfigurationError, match="no such name can be"):
        OldSecret(file="a\0b").resolve(folder)
