"""Rings: which key seals, which keys are found, what tells two rings apart."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import pickle
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionkit.exceptions import KeyringError
from sessionkit.keyring.key import Key, KeyState
from sessionkit.keyring.keyring import Keyring, Policy

if TYPE_CHECKING:
    from pathlib import Path

STAGED, ACTIVE, RETIRED, REVOKED = KeyState.STAGED, KeyState.ACTIVE, KeyState.RETIRED, KeyState.REVOKED


def key(number: int, state: KeyState = ACTIVE, **dates: float | None) -> Key:
    """Return a key of its own."""
    return Key.from_secret(bytes([number]) * 32, label=f"k{number}", state=state, **dates)


def test_one_secret_makes_a_ring() -> None:
    """The reference's way: one secret, one active key, no publish and no promise about lifetimes."""
    ring = Keyring.from_secret(b"s" * 16, label="x")
    (only,) = ring
    assert (only.label, only.state, ring.active(0.0)) == ("x", ACTIVE, only)
    assert (ring.generation, ring.policy) == (0, Policy(300.0, 300.0, None))
    with pytest.raises(KeyringError, match="is 5 octets long"):
        Keyring.from_secret(b"short")


def test_a_file_makes_a_ring(tmp_path: Path) -> None:
    """``load`` reads a keyring file, by a path or its text."""
    path = tmp_path / "keyring.yaml"
    path.write_text("version: 1\nkeys: [{label: x, state: active, secret: {base64: " + "A" * 43 + "}}]\n")
    path.chmod(0o600)
    assert Keyring.load(path).digest == Keyring.load(str(path)).digest


@pytest.mark.parametrize(
    ("keys", "problem", "label"),
    [
        ([], "no key is active", None),
        ([key(1, STAGED, activates=0.0), key(2, RETIRED)], "no key is active", None),
        ([key(1), key(2)], "2 keys are active: 'k1', 'k2'", "k2"),
        ([key(1), dataclasses.replace(key(1, RETIRED), label="x")], "stands 2 times: 'k1', 'x'", "x"),
        ([key(1), dataclasses.replace(key(2, RETIRED), label="k1")], "label: 'k1' stands 2 times: 'k1', 'k1'", "k1"),
    ],
)
def test_rings_that_cannot_be(keys: list[Key], problem: str, label: str | None) -> None:
    """Exactly one key is active, and no two share an id or a label; the error names the keys."""
    with pytest.raises(KeyringError, match=re.escape(problem)) as caught:
        Keyring(keys)
    assert caught.value.label == label


@pytest.mark.parametrize(
    ("now", "sealing"), [(0.0, "k1"), (99.999, "k1"), (100.0, "k2"), (199.0, "k2"), (200.0, "k3"), (9e9, "k3")]
)
def test_the_newest_key_whose_time_has_come_seals(now: float, sealing: str) -> None:
    """Case 185: staged keys take over at their time by themselves, to the second, and in any order of the file."""
    keys = [key(1, created=1.0), key(2, STAGED, activates=100.0), key(3, STAGED, activates=200.0), key(4, STAGED)]
    for order in itertools.permutations([*keys, key(5, RETIRED, activates=50.0), key(6, REVOKED, activates=60.0)]):
        assert Keyring(order).active(now).label == sealing


def test_a_clock_that_goes_back_takes_the_older_key_again() -> None:
    """Case 171: which key seals is a matter of the time given alone; nothing is remembered."""
    ring = Keyring([key(1, created=1.0), key(2, STAGED, activates=100.0)])
    assert [ring.active(now).label for now in (99.0, 101.0, 99.0, 101.0)] == ["k1", "k2", "k1", "k2"]


def test_an_active_key_newer_than_a_staged_one_stays() -> None:
    """A staged key whose time is before the active one's does not take over."""
    ring = Keyring([key(1, activates=100.0), key(2, STAGED, activates=50.0)])
    assert ring.active(200.0).label == "k1"


def test_ties_are_broken_by_id() -> None:
    """All nodes agree on which of two staged keys of one time seals, however their files are ordered."""
    one, other = key(1, STAGED, activates=100.0), key(2, STAGED, activates=100.0)
    newest = max(one, other, key=lambda each: each.id)
    for keys in itertools.permutations([one, other, key(3)]):
        assert Keyring(keys).active(100.0) is newest


def test_an_active_key_waits_for_no_time() -> None:
    """``active`` is the operator's word: its time gates nothing, so that a ring can always seal."""
    assert Keyring([key(1, activates=9e9)]).active(0.0).label == "k1"


def test_order_is_since_when_a_key_seals() -> None:
    """Oldest first: by activation or else creation, then state, then id; staged keys without a time come last."""
    keys = [
        key(1, RETIRED),
        key(2, RETIRED, created=10.0),
        key(3, REVOKED, created=30.0, activates=20.0),
        key(4, RETIRED, created=1.0, activates=20.0),
        key(5, created=20.0),
        key(6, STAGED, activates=20.0),
        key(7, STAGED, activates=40.0),
        key(8, STAGED, created=5.0),
    ]
    ring = Keyring(keys)
    for one, other in itertools.combinations(keys, 2):
        assert ring.is_older(one, other)
        assert not ring.is_older(other, one)
    assert not ring.is_older(keys[0], keys[0])
    assert ring.order(keys[0]) == (0.0, 1, keys[0].id)
    assert ring.order(keys[-1])[0] == math.inf


@pytest.mark.parametrize(
    ("sealing", "over"),
    [
        ({}, {"created": 1.0, "retired": 9.0}),  # dates left out
        ({"created": 1.0}, {"created": 2.0, "activates": 3.0, "retired": 9.0}),  # a step back to the key before
        ({"activates": 5.0}, {"activates": 5.0}),
    ],
)
def test_a_key_that_is_over_is_older_than_those_that_seal(sealing: dict[str, float], over: dict[str, float]) -> None:
    """Case 179: whatever the dates, sessions under a retired key move to the one that seals, or end with their key."""
    active, staged = key(1, ACTIVE, **sealing), key(2, STAGED, activates=0.5)
    for state in (RETIRED, REVOKED):
        ring = Keyring([active, staged, key(3, state, **over)])
        for newer in (active, staged):
            assert ring.is_older(ring.keys[2], newer)
            assert not ring.is_older(newer, ring.keys[2])


def test_keys_are_found_by_id() -> None:
    """By octets or hexadecimal, in every state; anything else finds nothing and raises nothing."""
    keys = [key(1), key(2, STAGED), key(3, RETIRED), key(4, REVOKED), Key.tombstone(b"\0\1\2\3", label="gone")]
    ring = Keyring(keys)
    for each in keys:
        assert ring.find(each.id) is ring.find(each.kid) is ring.find(each.kid.upper()) is each
    for garbage in (b"", b"abc", b"abcd", b"abcdefgh", "", "k1", "zz", "0001020", "é", "\0", key(9).kid):
        assert ring.find(garbage) is None


def test_what_is_told_of_a_ring() -> None:
    """Length, iteration, counts of every state, and a repr of those there are."""
    keys = [key(1), key(2, STAGED), key(3, RETIRED), key(4, RETIRED)]
    ring = Keyring(iter(keys), generation=7)
    assert (len(ring), list(ring), ring.keys) == (4, keys, tuple(keys))
    assert ring.counts() == {STAGED: 1, ACTIVE: 1, RETIRED: 2, REVOKED: 0}
    assert repr(ring) == str(ring) == "<Keyring gen 7: 1 active, 1 staged, 2 retired>"


@pytest.mark.parametrize("name", ["keys", "generation", "policy", "digest", "_by_id", "other"])
def test_a_ring_does_not_change(name: str) -> None:
    """A ring that is shared by nodes, threads and messages is what its digest says, for as long as it lives."""
    ring = Keyring([key(1)])
    with pytest.raises(AttributeError, match="a keyring does not change"):
        setattr(ring, name, None)
    with pytest.raises(AttributeError, match="a keyring does not change"):
        delattr(ring, name)
    assert ring.digest == Keyring([key(1)]).digest


def test_a_ring_is_neither_copied_nor_pickled() -> None:
    """Its secrets would go along."""
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="a keyring cannot be copied or pickled"):
            attempt(Keyring([key(1)]))


KEYS = (key(1, created=1.0, activates=2.0), key(2, RETIRED, retired=3.0, prune_after=4.0), key(3, REVOKED, revoked=5.0))
RING = Keyring(KEYS, generation=7, policy=Policy(1.0, 2.0, 3.0))


def test_the_digest_is_short_and_lasting() -> None:
    """16 hexadecimal digits that nodes and releases compare: a change of this value is a change of the format."""
    assert RING.digest == "07f30c5829fd363d"


@given(st.permutations(KEYS))
def test_the_digest_ignores_the_order_of_the_file(keys: list[Key]) -> None:
    """Moving entries about makes no other ring."""
    assert Keyring(keys, generation=7, policy=Policy(1.0, 2.0, 3.0)).digest == RING.digest


def test_the_digest_ignores_how_numbers_and_secrets_are_spelt() -> None:
    """300 and 300.0 are the same, and a revoked key is the same with its secret and without."""
    whole = [key(1, created=1, activates=2), KEYS[1], Key.tombstone(KEYS[2].id, label="k3", revoked=5)]
    assert Keyring(whole, generation=7, policy=Policy(1, 2, 3)).digest == RING.digest


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (0, {"label": "x"}),
        (0, {"created": 9.0}),
        (0, {"created": None}),
        (0, {"activates": 9.0}),
        (0, {"retired": 9.0}),
        (0, {"revoked": 9.0}),
        (0, {"prune_after": 9.0}),
        (1, {"state": STAGED}),
        (2, {"id": b"\0\1\2\3"}),
    ],
)
def test_the_digest_tells_keys_apart(number: int, change: dict[str, Any]) -> None:
    """Every field of every key counts."""
    keys = [dataclasses.replace(each, **change) if each is KEYS[number] else each for each in KEYS]
    assert Keyring(keys, generation=7, policy=Policy(1.0, 2.0, 3.0)).digest != RING.digest


def test_the_digest_tells_rings_apart() -> None:
    """Generation, each part of the policy, a missing key and another secret count."""
    policy = Policy(1.0, 2.0, 3.0)
    others = [
        Keyring(KEYS, generation=8, policy=policy),
        Keyring(KEYS, generation=7, policy=Policy(9.0, 2.0, 3.0)),
        Keyring(KEYS, generation=7, policy=Policy(1.0, 9.0, 3.0)),
        Keyring(KEYS, generation=7, policy=Policy(1.0, 2.0, 9.0)),
        Keyring(KEYS, generation=7, policy=Policy(1.0, 2.0, None)),
        Keyring(KEYS[:2], generation=7, policy=policy),
        Keyring([dataclasses.replace(key(9, created=1.0, activates=2.0), label="k1"), *KEYS[1:]], generation=7),
    ]
    assert len({RING.digest, *(other.digest for other in others)}) == len(others) + 1


def test_a_ring_is_changed_by_making_another() -> None:
    """What is not given stays as it is; the ring itself stays, too."""
    ring = Keyring([key(1)], generation=3, policy=Policy(1, 2, 3), not_before=4.0, write_format=1)
    other = ring.changed(generation=4)
    assert (other.keys, other.generation, other.policy) == (ring.keys, 4, Policy(1, 2, 3))
    assert (other.not_before, other.write_format, ring.generation) == (4.0, 1, 3)
    assert ring.changed().digest == ring.digest


def test_what_a_ring_refuses_and_writes_is_in_its_digest() -> None:
    """Each value makes another ring; without them it is called what releases call it that do not know of them."""
    ring = Keyring([key(1)])
    digests = [ring.changed(**given).digest for given in GIVEN]
    assert len({ring.digest, *digests}) == len(GIVEN) + 1
    assert ring.changed(not_before=5).digest == ring.changed(not_before=5.0).digest
    assert ring.changed(not_before=None, write_format=None).digest == ring.digest
    assert Keyring([Key.tombstone(b"kid!", label="x"), key(1)]).digest == "0957f35d4232bd69"


GIVEN: list[dict[str, Any]] = [
    {"not_before": 0.0},
    {"not_before": 1.0},
    {"write_format": 1},
    {"write_format": 2},
    {"not_before": 1.0, "write_format": 1},
]


@pytest.mark.parametrize(("not_before", "start"), [(None, 100.0), (99.0, 100.0), (100.0, 100.0), (101.5, 101.5)])
def test_when_a_session_begins(not_before: float | None, start: float) -> None:
    """Now, or at the ring's ``not_before`` where the clock lags behind it."""
    assert Keyring([key(1)], not_before=not_before).start(100.0) == start
