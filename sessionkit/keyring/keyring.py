"""A keyring: an immutable snapshot of keys with a generation and a digest.

Rules of this file:

* Exactly one key is active. Which key seals is its state and its time, never its place in a list.
* Time decides over sealing alone, never over opening: clocks that differ lose no session.
* Two keys with one id or one label are refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, SupportsIndex

from sessionkit.exceptions import KeyringError
from sessionkit.keyring.key import Key, KeyState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from os import PathLike
    from typing import Self

__all__ = ["DEFAULT_POLICY", "Keyring", "Policy"]

_ACTIVE = KeyState.ACTIVE
"""Looked up once: an attribute of an enumeration is a search through its class."""

_SEALING = frozenset({KeyState.ACTIVE, KeyState.STAGED})
_RANK = {KeyState.REVOKED: 0, KeyState.RETIRED: 1, KeyState.ACTIVE: 2, KeyState.STAGED: 3}


@dataclass(frozen=True, slots=True)
class Policy:
    """What the safety checks reckon with, in seconds.

    Attributes:
        propagation: longest time from a publish until every process has loaded it (D).
        skew: largest difference between two clocks (ε).
        token_lifetime: longest age of a token (T), or ``None`` if nothing was promised.
    """

    propagation: float = 300.0
    skew: float = 300.0
    token_lifetime: float | None = None


DEFAULT_POLICY = Policy()

_GIVEN = ("keys", "generation", "policy", "not_before", "write_format")
"""What a ring is made of; all else follows from it."""


class Keyring:
    """Keys, one of which seals.

    Args:
        keys: in any order.
        generation: grows with every publish; 0 for rings that are not published.
        policy: what the safety checks reckon with.
        not_before: Unix seconds; sessions that began before are refused, whichever key they come under.
        write_format: version of the token that is written, where a fleet must not write the newest that it could yet;
            ``None`` for what the release at hand writes by itself. Releases read every version they know all the same.

    Attributes:
        keys: as given.
        generation: as given.
        policy: as given.
        not_before: as given.
        write_format: as given.
        digest: 16 hexadecimal digits that tell two rings apart: policy, generation, what else is set, and every key's
            id, label, state and dates; no secret, no order.

    Raises:
        KeyringError: if not exactly one key is active, or two share an id or a label.
    """

    __slots__ = ("_by_id", "_eligible", "digest", "generation", "keys", "not_before", "policy", "write_format")

    keys: tuple[Key, ...]
    generation: int
    policy: Policy
    not_before: float | None
    write_format: int | None
    digest: str
    _by_id: dict[bytes, Key]
    _eligible: list[Key]

    def __init__(
        self,
        keys: Iterable[Key],
        *,
        generation: int = 0,
        policy: Policy = DEFAULT_POLICY,
        not_before: float | None = None,
        write_format: int | None = None,
    ) -> None:
        put = super().__setattr__
        put("keys", tuple(keys))
        put("generation", generation)
        put("policy", policy)
        put("not_before", not_before)
        put("write_format", write_format)
        _check(self.keys)
        put("_by_id", {key.id: key for key in self.keys})
        # Newest first: the first whose time has come seals.
        sealing = (key for key in self.keys if key.state in _SEALING)
        put("_eligible", sorted(sealing, key=self.order, reverse=True))
        put("digest", _digest(self))

    @classmethod
    def from_secret(cls, secret: bytes, *, label: str = "default") -> Self:
        """Return a ring of one active key, as the reference has it.

        Args:
            secret: 16, 24 or 32 octets.
            label: name for people and logs.

        Raises:
            KeyringError: if the secret has another length.
        """
        return cls([Key.from_secret(secret, label=label)])

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Keyring:
        """Read a ring from a keyring file.

        Raises:
            KeyringError: naming the file, the line and the key, never a secret.
        """
        from sessionkit.keyring import file  # noqa: PLC0415 - the file's module is made of this one

        return file.read(path)

    def changed(self, **changes: Any) -> Keyring:
        """Return a ring that differs from this one in what is given, named as the attributes are."""
        same = {name: getattr(self, name) for name in _GIVEN}
        return Keyring(**(same | changes))

    def start(self, now: float) -> float:
        """Return the time at which a session begins that is begun at ``now``.

        Where a clock lags, that is later than ``now``: a session that was begun under this ring is by that very fact no
        older than the ring's ``not_before``, whatever the clock says.

        Args:
            now: Unix seconds.
        """
        return now if self.not_before is None else max(now, self.not_before)

    def active(self, now: float) -> Key:
        """Return the key that seals at ``now`` (Unix seconds): the newest whose time has come."""
        eligible, place = self._eligible, 0
        key = eligible[0]
        while key.state is not _ACTIVE and (key.activates is None or key.activates > now):
            place += 1  # there is one more: exactly one key of a ring is active
            key = eligible[place]
        return key

    def find(self, kid: bytes | str) -> Key | None:
        """Return the key of an id, given as octets or in hexadecimal; also a revoked one."""
        if isinstance(kid, str):
            try:
                kid = bytes.fromhex(kid)
            except ValueError:
                return None
        return self._by_id.get(kid)

    @staticmethod
    def order(key: Key) -> tuple[float, int, bytes]:
        """Return what keys are sorted by, oldest first: since when they seal, state, id; the same on every node."""
        since = key.activates
        if since is None:
            since = math.inf if key.state is KeyState.STAGED else (key.created or 0.0)
        return since, _RANK[key.state], key.id

    def is_older(self, one: Key, other: Key) -> bool:
        """Return whether one key comes before another in the life of this ring.

        Keys that will not seal again come before those that will, whatever their dates: after a step back to an older
        key, or where people left dates out, the newer one is the one that goes.
        """
        return (one.state in _SEALING, self.order(one)) < (other.state in _SEALING, self.order(other))

    def counts(self) -> Mapping[KeyState, int]:
        """Return how many keys there are of each state."""
        counted = Counter(key.state for key in self.keys)
        return {state: counted[state] for state in KeyState}

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a keyring does not change: make another one")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a keyring does not change: make another one")

    def __iter__(self) -> Iterator[Key]:
        return iter(self.keys)

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        counts = self.counts()
        listed = (KeyState.ACTIVE, KeyState.STAGED, KeyState.RETIRED, KeyState.REVOKED)
        told = ", ".join(f"{counts[state]} {state}" for state in listed if counts[state])
        return f"<Keyring gen {self.generation}: {told}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a keyring cannot be copied or pickled: its secrets would go along")


def _check(keys: tuple[Key, ...]) -> None:
    active = [key for key in keys if key.state is KeyState.ACTIVE]
    if len(active) != 1:
        problem = "no key is active" if not active else f"{len(active)} keys are active: {_labels(active)}"
        remedy = "Exactly one key must have the state 'active'; set the others to another."
        raise KeyringError("keys", problem, remedy, label=active[-1].label if active else None)
    for attribute, remedy in (
        ("kid", "They have the same secret: give each key its own."),
        ("label", "Give each key a label of its own."),
    ):
        counted = Counter(getattr(key, attribute) for key in keys)
        for value, count in counted.items():
            if count > 1:
                same = [key for key in keys if getattr(key, attribute) == value]
                raise KeyringError(
                    attribute, f"{value!r} stands {count} times: {_labels(same)}", remedy, label=same[-1].label
                )


def _labels(keys: Iterable[Key]) -> str:
    return ", ".join(repr(key.label) for key in keys)


def _digest(ring: Keyring) -> str:
    policy = ring.policy
    described: list[object] = [
        ring.generation,
        _numbers(policy.propagation, policy.skew, policy.token_lifetime),
        sorted(
            [
                key.kid,
                key.label,
                key.state,
                *_numbers(key.created, key.activates, key.retired, key.revoked, key.prune_after),
            ]
            for key in ring.keys
        ),
    ]
    # Told only where it is set, so that releases that do not know of it yet call the same ring by the same name.
    if ring.not_before is not None:
        described.append(["not_before", *_numbers(ring.not_before)])
    if ring.write_format is not None:
        described.append(["write_format", ring.write_format])
    return hashlib.sha256(json.dumps(described).encode("ascii")).hexdigest()[:16]


def _numbers(*seconds: float | None) -> list[float | None]:
    """Return the numbers in one spelling: 300 and 300.0 are the same."""
    return [None if number is None else float(number) for number in seconds]
