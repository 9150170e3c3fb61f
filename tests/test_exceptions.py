"""What errors say, what they carry, and that they survive the way between processes."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

from sessionkit import exceptions
from sessionkit.exceptions import (
    ActorError,
    AskTimeout,
    ConfigurationError,
    KeyringError,
    MessageFailed,
    NotRunning,
    Overloaded,
    RejectReason,
    RotationRefused,
    SerializationError,
    SessionClosedError,
    SessionKitError,
    SessionKitWarning,
    SessionTooLargeError,
)

FILE = Path("config") / "keyring.yaml"

ERRORS: list[SessionKitError] = [
    SessionKitError("x"),
    ConfigurationError("samesite", "is 'x'", "Use 'lax'."),
    ConfigurationError("samesite", "is 'x'", "Use 'lax'.", path=FILE, line=3),
    KeyringError("state", "is 'x'", "Use 'active'.", label="2026-11", path=FILE, line=3),
    RotationRefused("the new key is not known everywhere", allowed_at=1_700_000_000.0),
    SerializationError('session["cart"][3].owner', "object cannot be stored"),
    SessionTooLargeError(size=9000, limit=8000, chunks=3, max_chunks=2, largest=(("cart", 7000),)),
    SessionClosedError("response_started"),
    ActorError(),
    NotRunning("stopped"),
    Overloaded(),
    AskTimeout(),
    MessageFailed("KeyError"),
]


def test_every_error_is_listed_and_has_one_root() -> None:
    """One ``except SessionKitError`` catches all of them, and this file looks at each."""
    public = {getattr(exceptions, name) for name in exceptions.__all__}
    assert public - {RejectReason, SessionKitWarning} == {type(error) for error in ERRORS}
    assert exceptions.__all__ == sorted(exceptions.__all__)
    assert issubclass(SessionKitWarning, UserWarning)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (ConfigurationError, ValueError),
        (KeyringError, ConfigurationError),
        (SerializationError, TypeError),
        (SessionTooLargeError, ValueError),
        (SessionClosedError, RuntimeError),
        (NotRunning, ActorError),
        (Overloaded, ActorError),
        (AskTimeout, ActorError),
        (MessageFailed, ActorError),
    ],
)
def test_kinship(kind: type[Exception], builtin: type[Exception]) -> None:
    """Errors are also what Python's own vocabulary calls them, so that existing handlers catch them."""
    assert issubclass(kind, builtin)


@pytest.mark.parametrize(
    ("path", "line", "where"), [(None, None, ""), (None, 3, ""), (FILE, None, f"{FILE}: "), (FILE, 3, f"{FILE}:3: ")]
)
def test_a_configuration_error_says_where_what_and_what_to_do(path: Path | None, line: int | None, where: str) -> None:
    """File and line come first, as far as they are known; then field, problem and remedy."""
    error = ConfigurationError("audit.level", "is 'loud'", "Use 'info'.", path=path, line=line)
    assert str(error) == f"{where}audit.level: is 'loud'. Use 'info'."
    assert (error.field, error.problem, error.remedy) == ("audit.level", "is 'loud'", "Use 'info'.")
    assert (error.path, error.line) == (path, line)


def test_a_keyring_error_names_the_key() -> None:
    """The label of the key at fault is in the message; the field stays the bare field."""
    error = KeyringError("state", "is 'x'", "Use 'active'.", label="2026-11", path=FILE, line=3)
    assert str(error) == f"{FILE}:3: key '2026-11': state: is 'x'. Use 'active'."
    assert (error.field, error.label) == ("state", "2026-11")
    assert str(KeyringError("keys", "is empty", "Add one.")) == "keys: is empty. Add one."


def test_a_refused_rotation_tells_from_when_it_is_safe() -> None:
    """The time is evidence; there is none where waiting does not help."""
    assert RotationRefused("too soon", allowed_at=5.0).allowed_at == 5.0
    assert RotationRefused("never").allowed_at is None


def test_a_value_that_cannot_be_stored_is_told_by_its_path() -> None:
    """Case 85: path and type are told, never the value."""
    error = SerializationError('session["cart"][3]', "object cannot be stored")
    assert str(error) == 'session["cart"][3]: object cannot be stored'
    assert (error.path, error.problem) == ('session["cart"][3]', "object cannot be stored")


def test_too_large_tells_the_sizes() -> None:
    """Case 161: size, limit, cookies, and the largest entries by name and octets."""
    error = SessionTooLargeError(size=9000, limit=8000, chunks=3, max_chunks=2, largest=(("cart", 7000), ("b", 9)))
    assert str(error) == (
        "the session needs 9000 octets in 3 cookies; 8000 octets in 2 fit. "
        "Store less; largest entries: 'cart' (7000 octets), 'b' (9 octets), or raise max_chunks."
    )
    assert (error.size, error.limit, error.chunks, error.max_chunks) == (9000, 8000, 3, 2)
    unnamed = SessionTooLargeError(size=9000, limit=8000, chunks=3, max_chunks=2)
    assert str(unnamed).endswith("Store less, or raise max_chunks.")


def test_the_others_tell_their_reason() -> None:
    """A late write and a failed handler carry one word of evidence each, also in the message."""
    closed, failed = SessionClosedError("response_started"), MessageFailed("KeyError")
    assert closed.reason in str(closed)
    assert failed.error_type in str(failed)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_travel_between_processes(error: SessionKitError) -> None:
    """A worker process may raise one and its parent gets the same; so does who copies it."""
    for copied in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - made right here
        assert type(copied) is type(error)
        assert (str(copied), vars(copied)) == (str(error), vars(error))


def test_the_reasons_are_closed() -> None:
    """Dashboards rely on these words; what another node may judge otherwise leaves the cookie alone.

    So does what the list of revocations refuses: the browser may hold the session's successor by then.
    """
    assert {reason.value for reason in RejectReason} == {
        "malformed",
        "too_large",
        "chunk_missing",
        "unsupported_version",
        "unknown_key",
        "bad_tag",
        "wrong_context",
        "not_yet_valid",
        "expired",
        "revoked",
        "bad_payload",
        "terminated",
        "subject",
    }
    kept = {reason for reason in RejectReason if reason.keeps_cookie}
    passing = {RejectReason.UNKNOWN_KEY, RejectReason.UNSUPPORTED_VERSION, RejectReason.NOT_YET_VALID}
    assert kept == passing | {RejectReason.TERMINATED, RejectReason.SUBJECT}
