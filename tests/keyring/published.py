"""Published rings for tests of rotation: numbered keys, a policy of round numbers, and a time."""

from __future__ import annotations

from sessionkit.keyring.key import Key, KeyState
from sessionkit.keyring.keyring import Keyring, Policy

__all__ = ["KEPT", "LIFETIME", "NOW", "POLICY", "SKEW", "SPREAD", "D", "key", "ring", "states"]

D, SKEW, LIFETIME = 100.0, 10.0, 1000.0
POLICY = Policy(propagation=D, skew=SKEW, token_lifetime=LIFETIME)
SPREAD = D + SKEW
KEPT = D + LIFETIME + 2 * SKEW
NOW = 1_000_000.0


def key(number: int, state: KeyState = KeyState.ACTIVE, **dates: float | None) -> Key:
    """Return a key of its own."""
    return Key.from_secret(number.to_bytes(32, "big"), label=f"k{number}", state=state, **dates)


def ring(*keys: Key, generation: int = 7, policy: Policy = POLICY) -> Keyring:
    """Return a published ring."""
    return Keyring(keys, generation=generation, policy=policy)


def states(of: Keyring) -> dict[str, str]:
    """Return the state of each key by its label."""
    return {each.label: each.state.value for each in of}
