"""A key: one secret, the id derived from it, its state and its dates.

Rules of this file:

* The id is derived, never chosen: the same id with another secret cannot exist.
* A secret goes in and derived keys come out; no attribute, repr, pickle or error shows it.
* Dates are Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NoReturn, SupportsIndex

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sessionkit.exceptions import KeyringError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

__all__ = ["ID_SIZE", "SECRET_SIZES", "Key", "KeyState"]

ID_SIZE = 4
"""Octets of a key's id."""

SECRET_SIZES = (16, 24, 32)
"""Octets a secret may have, as the reference demands; generated ones have 32."""

_SALT = b"sessionkit/v1"
_DERIVED_SIZE = 32


class KeyState(StrEnum):
    """What a key may do. In brackets the terms of NIST SP 800-57."""

    STAGED = "staged"
    """Opens; seals once its time has come (pre-activation)."""
    ACTIVE = "active"
    """Opens and seals (active)."""
    RETIRED = "retired"
    """Opens (deactivated)."""
    REVOKED = "revoked"
    """Does nothing: its cookies are refused (compromised)."""


def _problem(secret: object) -> str | None:
    if not isinstance(secret, bytes):
        return f"is of type {type(secret).__name__}, not bytes"
    return None if len(secret) in SECRET_SIZES else f"is {len(secret)} octets long"


def _keep(secret: bytes) -> Callable[[bytes, int], bytes]:
    """Keep a secret where nothing that walks attributes comes by: ``asdict``, serialisers, debuggers' panes."""

    def derive(info: bytes, length: int) -> bytes:
        return HKDF(SHA256(), length, _SALT, info).derive(secret)

    return derive


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """One key of a ring. Make one by ``from_secret`` or ``tombstone``.

    Attributes:
        label: name for people and logs; never in a cookie.
        state: what it may do.
        id: ``ID_SIZE`` octets, derived from the secret; in every cookie it seals.
        created: when it was made.
        activates: when it takes over by itself, or took over.
        retired: when it stopped sealing.
        revoked: when it was revoked.
        prune_after: when it may go.
    """

    label: str
    state: KeyState
    id: bytes
    created: float | None = None
    activates: float | None = None
    retired: float | None = None
    revoked: float | None = None
    prune_after: float | None = None
    _derived: Callable[[bytes, int], bytes] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def from_secret(
        cls, secret: bytes, *, label: str = "default", state: KeyState = KeyState.ACTIVE, **dates: float | None
    ) -> Self:
        """Make a key.

        Args:
            secret: 16, 24 or 32 octets.
            label: name for people and logs.
            state: what it may do.
            dates: ``created``, ``activates``, ``retired``, ``revoked``, ``prune_after``.

        Raises:
            KeyringError: if the secret is not octets or has another length.
        """
        problem = _problem(secret)
        if problem is not None:
            remedy = "Give 16, 24 or (better) 32 random octets, as os.urandom(32) makes them."
            raise KeyringError("secret", problem, remedy, label=label)
        derived = _keep(secret)
        return cls(label, KeyState(state), derived(b"kid", ID_SIZE), _derived=derived, **dates)

    @classmethod
    def tombstone(cls, kid: bytes, *, label: str, **dates: float | None) -> Self:
        """Make a revoked key of which the id alone is left."""
        return cls(label, KeyState.REVOKED, kid, _derived=None, **dates)

    @property
    def kid(self) -> str:
        """The id in hexadecimal, for people and logs."""
        return self.id.hex()

    @property
    def decrypts(self) -> bool:
        """Whether it opens cookies."""
        return self.state is not KeyState.REVOKED and self._derived is not None

    def derive(self, purpose: str = "session") -> bytes:
        """Return the 32 octets that encrypt for a purpose.

        Raises:
            KeyringError: if the secret is gone.
        """
        if self._derived is None:
            raise KeyringError(
                "secret", "is gone", "A tombstone refuses its cookies and does nothing else.", label=self.label
            )
        return self._derived(b"seal\x00" + purpose.encode("ascii"), _DERIVED_SIZE)

    def __repr__(self) -> str:
        return f"<Key {self.label!r} {self.kid} {self.state}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a key cannot be copied or pickled: its secret would go along")
