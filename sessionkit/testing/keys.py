"""Keyrings for tests: the same secrets on every run, and known to everybody."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sessionkit.keyring.key import Key, KeyState
from sessionkit.keyring.keyring import Keyring

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["keyring", "secret"]


def secret(label: str) -> bytes:
    """Return the 32 octets that a label stands for. Anybody can compute them: for tests alone."""
    return hashlib.sha256(b"sessionkit.testing/" + label.encode()).digest()


def keyring(
    active: str = "active",
    *,
    staged: str | Iterable[str] = (),
    retired: str | Iterable[str] = (),
    revoked: str | Iterable[str] = (),
    generation: int = 0,
) -> Keyring:
    """Return a ring whose keys are given by their labels, one or several a state.

    A label has the same secret in every ring, so a key is followed through a rotation by its name: first
    ``keyring("a", staged="b")``, then ``keyring("b", retired="a")``.

    Args:
        active: label of the key that seals.
        staged: labels of keys that open, and seal once they are promoted.
        retired: labels of keys that open.
        revoked: labels of keys whose sessions are refused.
        generation: grows with every publish.

    Raises:
        KeyringError: if a label stands twice.
    """
    states = ((KeyState.ACTIVE, active), (KeyState.STAGED, staged), (KeyState.RETIRED, retired))
    keys = [
        Key.from_secret(secret(label), label=label, state=state)
        for state, labels in (*states, (KeyState.REVOKED, revoked))
        for label in ([labels] if isinstance(labels, str) else labels)
    ]
    return Keyring(keys, generation=generation)
