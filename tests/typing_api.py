"""Never run: the public names as a typed application uses them, held by mypy's strict mode in ``scripts/check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_type

from sessionkit import (
    CHUNK_SIZE,
    Key,
    Keyring,
    KeyState,
    RejectReason,
    Session,
    SessionBackend,
    SessionConfig,
    SessionKitError,
    SessionMiddleware,
    SessionTooLargeError,
)
from sessionkit.audit.chain import HashChain
from sessionkit.canonical import canonical_fields

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from structlog.typing import Processor

    Scope = MutableMapping[str, Any]
    Application = Callable[[Scope, Callable[[], Awaitable[Scope]], Callable[[Scope], Awaitable[None]]], Awaitable[None]]


def embedding(app: Application) -> Application:
    """Every way to name a keyring and a configuration."""
    SessionMiddleware(app, keyring=b"x" * 32)
    SessionMiddleware(app, keyring="keyring.yaml", config="sessionkit.yaml")
    SessionMiddleware(app, keyring=Path("keyring.yaml"), config=Path("sessionkit.yaml"))
    return SessionMiddleware(app, keyring=Keyring.from_secret(b"x" * 32), config=SessionConfig(key="shop"))


def chain(of: Path) -> Processor:
    """A processor of structlog's."""
    HashChain({"env": "CHAIN_KEY"}, component="sessionkit", checkpoints="checkpoints.jsonl", every=100, seconds=10)
    HashChain({"command": ["vault", "read"]}, checkpoints=print)
    made = HashChain(b"x" * 32, checkpoints=of)
    made.checkpoint()
    made.close()
    assert_type(made.failures, int)
    return made


def session(of: Session) -> None:
    """What an application does with a session."""
    of["cart"] = [1]
    of.setdefault("cart", []).append(2)
    of.regenerate(authenticated=True)
    of.renew()
    of.destroy("logout")
    of.remember = True
    assert_type(of.id, str)
    assert_type(of.created, float | None)
    assert_type(of.info.kid, str | None)
    assert_type(of.require_recent_auth(300), bool)
    assert_type(of.copy(), dict[str, Any])


def canonical_line(scope: Scope) -> None:
    """What a log line of the application's may say of a session."""
    assert_type(canonical_fields(scope), dict[str, str])
    assert_type(canonical_fields(scope, "session"), dict[str, str])


async def backend(of: SessionBackend, scope: Scope, message: Scope) -> None:
    """The reference's methods."""
    assert_type(of.dump_data({"a": 1}), list[bytes])
    assert_type(of.load_data([b"x"]), dict[str, Any])
    assert_type(of.get_cookie_keys(scope), list[str])
    assert_type(of.get_cookie_key_set(scope), set[str])
    assert_type(await of.load_from_connection(scope), dict[str, Any])
    assert_type(of.get_session_id(scope), str | None)
    await of.store_in_message({"a": 1}, message, scope)
    assert_type(CHUNK_SIZE, int)


def keyring(of: Keyring) -> None:
    """Keys and rings."""
    assert_type(of.active(0.0), Key)
    assert_type(of.find("b35e5601"), Key | None)
    assert_type(of.active(0.0).state, KeyState)
    assert_type(of.digest, str)


def errors(of: SessionKitError) -> tuple[str, int] | None:
    """Errors carry their evidence."""
    if isinstance(of, SessionTooLargeError):
        return str(RejectReason.TOO_LARGE), of.limit
    return None
