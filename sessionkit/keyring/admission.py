"""What every process asks of a ring before it takes it, whichever one it has: at start, at each reload, and `check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sessionkit.exceptions import KeyringError
from sessionkit.wire.token import TokenCipher

if TYPE_CHECKING:
    from pathlib import Path

    from sessionkit.keyring.keyring import Keyring

__all__ = ["refuse_ahead", "self_test"]


def refuse_ahead(found: Keyring, now: float, path: Path | None) -> None:
    """Refuse a ring that would end the sessions of a time to come: a slip of the pen, or a clock that is wrong.

    Args:
        found: a ring.
        now: Unix seconds.
        path: its file, if it has one.

    Raises:
        KeyringError: if its ``not_before`` lies ahead.
    """
    # The command allows for one clock that leads, its own; this one may lag as much behind the true time. And a time in
    # the file is in whole seconds, of which the last has just begun.
    if found.not_before is not None and found.not_before > now + 2 * found.policy.skew + 1:
        raise KeyringError(
            "not_before",
            f"lies {found.not_before - now:.0f} s ahead of this machine's clock",
            "Set a time that has come; if it has, set the clock.",
            path=path,
        )


def self_test(keyring: Keyring) -> None:
    """Seal and open once with every key that can.

    Raises:
        TokenRejected: if a key does not open what it sealed.
    """
    cipher = TokenCipher(keyring, "self-test")
    for key in keyring.keys:
        if key.decrypts:
            cipher.open(cipher.seal(key, b"self-test"))
