"""Nothing that must stay secret gets out: every test's keys, cookies and payloads are looked for in all it said.

While a test runs, three things are collected: what must not leak (each secret that became a key of a ring or of a
chain, in every spelling; each token that was sealed; each payload that was serialised), what was logged (by structlog's
sink and by logging), and what was raised (every error of the package). Afterwards the one is searched for in the other.
"""

from __future__ import annotations

import base64
import logging
from typing import TYPE_CHECKING, Any

from sessionkit.audit import chain
from sessionkit.audit.log import AuditLog
from sessionkit.exceptions import SessionKitError
from sessionkit.keyring.key import Key
from sessionkit.wire.serializer import Serializer
from sessionkit.wire.straight import Straight
from sessionkit.wire.token import TokenCipher

if TYPE_CHECKING:
    import pytest

    from sessionkit.audit.events import Event

SHORTEST = 16
"""Octets below which a payload is no secret but a coincidence: ``{"visits":1}``."""

MOST = 20_000
"""Needles kept of one test: a fuzz test makes more than are worth looking for."""


def spellings(secret: bytes) -> tuple[bytes, ...]:
    """Return the ways in which a secret may be written."""
    return secret, secret.hex().encode(), base64.b64encode(secret).rstrip(b"="), repr(secret)[2:-1].encode()


class Watch(logging.Handler):
    """Collects what must not be said, and what is said."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.needles: set[bytes] = set()
        self.said: list[str] = []
        self.raised: list[SessionKitError] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Collect a line of logging."""
        self.said.append(self.format(record))

    def hide(self, *values: bytes) -> None:
        """Add what must not be said."""
        if len(self.needles) < MOST:
            self.needles.update(values)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Begin to collect."""
        from_secret, seal, dump = Key.from_secret.__func__, TokenCipher.seal, Serializer.dump  # type: ignore[attr-defined]  # a classmethod's own function
        write, raising, root_key = AuditLog._write, SessionKitError.__init__, chain.root_key

        def watched_from_secret(cls: type[Key], /, secret: Any, **options: Any) -> Key:
            if isinstance(secret, bytes) and len(secret) >= SHORTEST:
                self.hide(*spellings(secret))
            made: Key = from_secret(cls, secret, **options)
            return made

        def watched_root_key(*given: Any) -> bytes:
            octets = root_key(*given)
            self.hide(*spellings(octets))
            return octets

        def watched_seal(cipher: TokenCipher, *args: Any, **options: Any) -> bytes:
            token = seal(cipher, *args, **options)
            self.hide(token, token[-64:])
            return token

        def watched_dump(serializer: Serializer, value: object) -> tuple[bytes, bool]:
            payload, typed = dump(serializer, value)
            if len(payload) >= SHORTEST:
                self.hide(payload)
            return payload, typed

        def watched_write(log: AuditLog, event: Event, now: float) -> None:
            self.said.append(f"{event!r}")
            write(log, event, now)

        def watched_raising(error: SessionKitError, *args: object) -> None:
            self.raised.append(error)
            raising(error, *args)

        monkeypatch.setattr(chain, "root_key", watched_root_key)
        monkeypatch.setattr(Key, "from_secret", classmethod(watched_from_secret))
        monkeypatch.setattr(TokenCipher, "seal", watched_seal)
        self._watch_straight(monkeypatch)
        monkeypatch.setattr(Serializer, "dump", watched_dump)
        monkeypatch.setattr(AuditLog, "_write", watched_write)
        monkeypatch.setattr(SessionKitError, "__init__", watched_raising)
        logging.getLogger().addHandler(self)

    def _watch_straight(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Collect the tokens of ordinary requests, which are sealed past the cipher."""
        seal = Straight.seal

        def watched_seal(straight: Straight, *args: Any) -> bytes | None:
            cookie = seal(straight, *args)
            if cookie is not None:
                token = cookie.partition(b"=")[2].partition(b";")[0]
                self.hide(token, token[-64:])
            return cookie

        monkeypatch.setattr(Straight, "seal", watched_seal)

    def found(self) -> list[str]:
        """Return what was said that must not be said."""
        logging.getLogger().removeHandler(self)
        self.said.extend(f"{error!r} {error} {vars(error)!r}" for error in self.raised)
        everything = "\n".join(self.said).encode("utf-8", "replace")
        return [repr(needle) for needle in self.needles if needle in everything]
