"""Logs to read back: lines as an application's structlog writes them, with a clock that tests move."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sessionkit.audit import events
from sessionkit.audit.events import Event, Level
from sessionkit.audit.log import AuditLog
from sessionkit.testing import FixedClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = 1_800_000_000.0
"""2027-01-15T08:00:00Z."""


_DIGITS = str.maketrans("0123456789", "GHIJKLMNOP")
_LETTERS = {letter: digit for digit, letter in _DIGITS.items()}


def ref(name: str) -> str:
    """Return the ``session_ref`` that stands for a short name of digits and letters other than G to P."""
    return f"{name.translate(_DIGITS):2>16}"


def named(reference: str) -> str:
    """Return the short name that a ``session_ref`` stands for."""
    return reference.lstrip("2").translate(_LETTERS)


def digest(name: str) -> str:
    """Return the digest that stands for a short name in hexadecimal."""
    return f"{name:0<16}"


class Book:
    """Writes events through the real audit log, as JSON lines in memory.

    Args:
        clock: where the time of each line comes from; one may serve several books.
        level: as in the settings.
        spell: how one line is written.
    """

    def __init__(
        self,
        clock: FixedClock | None = None,
        level: Level = Level.DEBUG,
        spell: Callable[[dict[str, Any]], str] = json.dumps,
    ) -> None:
        self.clock = FixedClock(NOW) if clock is None else clock
        self.lines: list[str] = []
        self._spell = spell
        self._log = AuditLog(level, clock=self.clock, logger=self)

    @property
    def instance(self) -> str:
        """The name of the instance that writes here."""
        return self._log.instance

    def __call__(self, *told: Event) -> None:
        """Write events."""
        self._log.emit(told)

    def _write(self, event: str, /, **fields: Any) -> None:
        self.lines.append(self._spell({**fields, "event": event}))

    debug = info = warning = error = critical = _write

    @property
    def text(self) -> str:
        """All lines."""
        return "".join(f"{line}\n" for line in self.lines)

    def save(self, path: Path) -> Path:
        """Write all lines into a file."""
        path.write_text(self.text)
        return path


def created(name: str = "A", kid: str = "0a0a0a0a", *, until: float = NOW + 1000) -> Event:
    """Return the event of a session's first cookie."""
    return events.SessionCreated(
        session_ref=ref(name), kid=kid, expires_at=events.timestamp(until), size=200, chunks=1, scope_type="http"
    )


def rekeyed(name: str = "A", before: str = "0a0a0a0a", kid: str = "0b0b0b0b") -> Event:
    """Return the event of a session that moved to another key."""
    return events.SessionRekeyed(session_ref=ref(name), previous_kid=before, previous_key_state="retired", kid=kid)


def destroyed(name: str = "A", kid: str = "0a0a0a0a") -> Event:
    """Return the event of a session that the application ended."""
    return events.SessionDestroyed(session_ref=ref(name), kid=kid, reason="logout")


def expired(name: str = "A", kid: str = "0a0a0a0a", *, ago: float = 10.0, reason: str = "idle") -> Event:
    """Return the event of a cookie that came after its deadline."""
    return events.SessionExpired(session_ref=ref(name), kid=kid, reason=reason, expired_for=ago)


def used(
    kid: str = "0a0a0a0a",
    state: str = "active",
    *,
    opened: int = 0,
    sealed: int = 0,
    last_opened: float | None = None,
    last_sealed: float | None = None,
    ring: str = "d1",
    generation: int = 1,
) -> Event:
    """Return the tally of a key."""
    return events.KeyUsage(
        kid=kid,
        state=state,
        digest=digest(ring),
        generation=generation,
        window=60.0,
        opened=opened,
        sealed=sealed,
        rekeyed_from=0,
        failed=0,
        last_opened_at=None if last_opened is None else events.timestamp(last_opened),
        last_sealed_at=None if last_sealed is None else events.timestamp(last_sealed),
    )


def loaded(ring: str = "d1", generation: int = 1, active: str = "0a0a0a0a") -> Event:
    """Return the event of a first ring."""
    return events.KeyringLoaded(
        digest=digest(ring),
        generation=generation,
        active_kid=active,
        staged=1,
        retired=0,
        revoked=0,
        source="keyring.yaml",
    )


def reloaded(ring: str = "d2", before: str = "d1", generation: int = 2, active: str = "0b0b0b0b") -> Event:
    """Return the event of a next ring."""
    return events.KeyringReloaded(
        digest=digest(ring),
        previous_digest=digest(before),
        generation=generation,
        active_kid=active,
        staged=1,
        retired=1,
        revoked=0,
        trigger="watch",
        duration=0.01,
    )
