"""Keyring files for tests: numbered keys under short words, and a bell that says the file has changed."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

__all__ = ["A", "B", "Bell", "C", "D", "text", "write"]

A, B, C, D = (bytes([number]) * 32 for number in (1, 2, 3, 4))
"""Secrets of four keys; A and B are those of keys 1 and 2 in ``tests/middleware/apps.py``."""

_DATES = {
    "active": "created: 2026-01-01T00:00:00Z",
    "staged": "created: 2026-02-01T00:00:00Z",
    "retired": "created: 2025-01-01T00:00:00Z, retired: 2026-01-01T00:00:00Z, prune_after: 2026-02-01T00:00:00Z",
    "revoked": "created: 2025-01-01T00:00:00Z, revoked: 2026-01-01T00:00:00Z",
}


def text(generation: int, /, **keys: str) -> str:
    """Return a keyring file: ``text(2, a="retired", b="active")``; its source may follow a key's state after a colon.

    ``lifetime`` is no key but the seconds of ``policy.token_lifetime``.
    """
    lifetime = keys.pop("lifetime", "1209600")
    secrets = {"a": A, "b": B, "c": C, "d": D}
    lines = ["version: 1", f"generation: {generation}", f"policy: {{token_lifetime: {lifetime}}}", "keys:"]
    for label, told in keys.items():
        state, _, source = told.partition(":")
        given = source or f'{{base64: "{b64encode(secrets[label]).decode()}"}}'
        lines.append(f"  - {{label: {label}, state: {state}, secret: {given}, {_DATES[state]}}}")
    return "\n".join(lines) + "\n"


def write(path: Path, content: str) -> None:
    """Publish a keyring file as the command line does: whole, by a rename."""
    new = path.with_name("new")
    new.write_text(content)
    new.chmod(0o600)
    new.replace(path)


class Bell:
    """Stands for the watch of a folder: says when told to that something has changed, or ends, or fails."""

    def __init__(self) -> None:
        self._rung = anyio.Event()
        self._ending: list[Exception | None] = []

    def ring(self) -> None:
        """Say that something has changed."""
        self._rung.set()

    def end(self, error: Exception | None = None) -> None:
        """Stop watching, by an error or without a word."""
        self._ending.append(error)
        self._rung.set()

    async def watch(self, _: Path) -> AsyncIterator[None]:
        """Yield at every ring."""
        while True:
            await self._rung.wait()
            self._rung = anyio.Event()
            for error in self._ending:
                if error is not None:
                    raise error
                return
            yield
