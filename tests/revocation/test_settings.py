"""Settings of the list of revocations, in code and in YAML: what they may be, and what is said when they may not."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from sessionkit.config import AuditConfig, SessionConfig
from sessionkit.exceptions import ConfigurationError
from sessionkit.middleware import SessionMiddleware
from sessionkit.revocation import RevocationConfig
from sessionkit.revocation.memory import MemoryRevocationList
from sessionkit.revocation.redis import RedisRevocationList
from tests.middleware.apps import Log, page, ring
from tests.revocation.lists import Watched

if TYPE_CHECKING:
    from pathlib import Path

    from sessionkit.revocation import RevocationList

SECRET = "hunter2"
YAML = """\
revocation:
  redis: redis://:hunter2@redis.internal:6379/3
  policy: open
  cache: 2
  timeout: 0.5
  subject_key: user_id
  prefix: shop
  key: {file: revocation.key}
"""


def gate_of(config: SessionConfig, revocations: RevocationList | None = None) -> Any:
    """Return what a middleware with these settings asks its list by."""
    return SessionMiddleware(page(), ring(), config, logger=Log(), revocations=revocations).gate


def test_a_file(tmp_path: Path) -> None:
    """Everything as it stands there, the key fetched; the address is nowhere to be seen."""
    (tmp_path / "sessionkit.yaml").write_text(YAML)
    (tmp_path / "revocation.key").write_text(b64encode(bytes(range(32))).decode())
    config = SessionConfig.load(tmp_path / "sessionkit.yaml")
    settings = config.revocation
    assert settings is not None
    assert settings.address == "redis://:hunter2@redis.internal:6379/3"
    assert settings.octets == bytes(range(32))
    assert (settings.policy, settings.cache, settings.timeout) == ("open", 2.0, 0.5)
    assert (settings.subject_key, settings.prefix) == ("user_id", "shop")
    gate = gate_of(config)
    assert isinstance(gate._guard._list, RedisRevocationList)
    assert SECRET not in repr(config) + repr(gate) + repr(gate._guard._list)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "redis://:hunter2@",
            "http://:hunter2@",
            r"yaml:2: revocation\.redis: is no address of a Redis server\. Write",
        ),
        ("redis://:hunter2@", "redis:hunter2", r":2: revocation\.redis: is no address"),
        (":6379", ":hunter2", r":2: revocation\.redis: is no address"),
        ("redis.internal:6379", "", r":2: revocation\.redis: is no address"),
        ("policy: open", "policy: hunter2", r":3: revocation\.policy: input should be 'closed' or 'open'"),
        ("cache: 2", "cache: -1", r":4: revocation\.cache: input should be greater than or equal to 0"),
        ("cache: 2", "cache: hunter2", r":4: revocation\.cache: is a str\. Give a number of seconds"),
        ("cache: 2", "cache: true", r":4: revocation\.cache: is a bool"),
        ("timeout: 0.5", "timeout: 0", r":5: revocation\.timeout: input should be greater than 0"),
        ("timeout: 0.5", "timeout: 11", r":5: revocation\.timeout: input should be less than"),
        ("user_id", "''", r":6: revocation\.subject_key: string should have at least 1"),
        ("prefix: shop", "prefix: a b", r":7: revocation\.prefix: is no beginning of names"),
        ("{file: revocation.key}", "{file: short.key}", r":8: revocation\.key\.file: "),
        ("{file: revocation.key}", "{env: NO_SUCH_ONE}", r":8: revocation\.key\.env: variable NO_SUCH_ONE is not set"),
        ("{file: revocation.key}", "hunter2", r":8: revocation\.key: is text\. Give octets, or one of"),
        ("prefix: shop", "memory: true", r":1: revocation\.redis: names two lists|revocation: names two lists"),
        ("prefix: shop", "polcy: open", r":7: revocation\.polcy: is not known here\. Did you mean 'policy'"),
        (
            "redis://:hunter2@redis.internal:6379/3",
            "{env: NO_SUCH_ONE}",
            r":2: revocation\.redis\.env: variable NO_SUCH_ONE is not set",
        ),
        (
            "redis://:hunter2@redis.internal:6379/3",
            "{env: 'redis://:hunter2@h'}",
            r":2: revocation\.redis\.env: variable … is not set",
        ),
        (
            "redis://:hunter2@redis.internal:6379/3",
            "{env: SOME_OTHER_THING}",
            r":2: revocation\.redis\.env: its variable is no address of a Redis server",
        ),
        (
            "redis://:hunter2@redis.internal:6379/3",
            "{evn: A}",
            r":2: revocation\.redis\.env: is missing\. Add it: name of the env",
        ),
    ],
)
def test_a_file_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, told: str
) -> None:
    """What is wrong, on which line, and what to do; never what stands there."""
    assert old in YAML
    monkeypatch.setenv("SOME_OTHER_THING", SECRET)
    (tmp_path / "sessionkit.yaml").write_text(YAML.replace(old, new))
    (tmp_path / "revocation.key").write_text(b64encode(bytes(range(32))).decode())
    (tmp_path / "short.key").write_bytes(bytes(range(8)))
    with pytest.raises(ConfigurationError, match=told) as caught:
        SessionConfig.load(tmp_path / "sessionkit.yaml")
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None


def test_an_address_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As platforms hand it over; fetched when the service is made."""
    monkeypatch.setenv("REDIS_URL", "rediss://:hunter2@h")
    settings = RevocationConfig(redis={"env": "REDIS_URL"}, key=bytes(16))
    assert RevocationConfig(redis=settings.redis, key=bytes(16)) == settings
    assert settings.address is None
    assert settings.resolved().address == "rediss://:hunter2@h"
    assert isinstance(gate_of(SessionConfig(revocation=settings))._guard._list, RedisRevocationList)
    monkeypatch.delenv("REDIS_URL")
    with pytest.raises(ConfigurationError, match=r"^revocation\.redis\.env: variable REDIS_URL is not set"):
        gate_of(SessionConfig(revocation=settings))


def test_a_socket() -> None:
    """A server on the same host may have a path."""
    made = RevocationConfig(redis="unix:///run/redis.sock")
    assert made.address == "unix:///run/redis.sock"
    assert RevocationConfig(redis=made.redis) == made


def test_a_list_must_be_named() -> None:
    """Settings without a list are no list; one in code needs no settings."""
    with pytest.raises(
        ConfigurationError, match=r"^revocation: names no list\. Give redis: redis://HOST, memory: true"
    ):
        gate_of(SessionConfig(revocation=RevocationConfig()))
    memory = gate_of(SessionConfig(revocation=RevocationConfig(memory=True)))
    assert isinstance(memory._guard._list, MemoryRevocationList)
    given = Watched()
    assert gate_of(SessionConfig(), given)._guard._list is given
    assert gate_of(SessionConfig(revocation=RevocationConfig(redis="redis://h")), given)._guard._list is given
    assert gate_of(SessionConfig()) is None


def test_what_is_shared_needs_a_key() -> None:
    """Marks that each process makes under a key of its own would mean nothing to the others."""

    class Elsewhere:
        look = revoke = start = aclose = None

    remedy = r"^revocation\.key: is missing, and so is audit\.key.*Give all processes the same 32 random octets"
    for config, given in (
        (SessionConfig(revocation=RevocationConfig(redis="redis://h")), None),
        (SessionConfig(), Elsewhere()),
    ):
        with pytest.raises(ConfigurationError, match=remedy):
            gate_of(config, given)  # type: ignore[arg-type]  # it comes to nothing
    own = SessionConfig(revocation=RevocationConfig(redis="redis://h", key=b"a" * 16))
    audit = SessionConfig(revocation=RevocationConfig(redis="redis://h"), audit=AuditConfig(key=b"a" * 16))
    other = SessionConfig(revocation=RevocationConfig(redis="redis://h", key=b"b" * 16))
    marks = [gate_of(config)._mark(b"t", b"id") for config in (own, audit, other)]
    assert marks[0] == marks[1] != marks[2]


@pytest.mark.parametrize("address", [7, b"redis://h", ["redis://h"]])
def test_an_address_that_is_none(address: object) -> None:
    """In code it is text."""
    with pytest.raises(ConfigurationError, match=r"^redis: is a (int|bytes|list)\. Write redis://HOST"):
        RevocationConfig(redis=address)


@pytest.mark.parametrize("key", [b"short", "text", 7])
def test_a_key_that_is_none(key: object) -> None:
    """In code it is octets, enough of them."""
    with pytest.raises(ConfigurationError, match=r"^key: "):
        RevocationConfig(key=key)
