"""The conditions between two rings: what each of them finds, and what it lets pass."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from sessionkit.keyring import rotation, safety
from sessionkit.keyring.key import KeyState
from tests.keyring.published import KEPT, NOW, POLICY, SKEW, SPREAD, D, key, ring

if TYPE_CHECKING:
    from sessionkit.keyring.key import Key
    from sessionkit.keyring.keyring import Keyring

STAGED, ACTIVE, RETIRED, REVOKED = KeyState.STAGED, KeyState.ACTIVE, KeyState.RETIRED, KeyState.REVOKED


def after(*keys: Key, generation: int = 8) -> Keyring:
    """Return the ring of the next publish."""
    return ring(*keys, generation=generation)


def found(old: Keyring, new: Keyring, now: float = NOW, *, loading: bool = False) -> list[tuple[str, str | None]]:
    """Return condition and label of all that a publish would break, each of which says why and what to do."""
    told = safety.check(old, new, now, loading=loading)
    for one in told:
        assert one.reason
        assert one.remedy
        known = {each.label: each.kid for each in (*old, *new)}
        assert one.kid == (None if one.label is None else known[one.label])
    return [(one.condition, one.label) for one in told]


OLD = ring(key(1, created=1.0), key(2, STAGED, created=1.0), key(3, RETIRED, retired=NOW), key(4, REVOKED))
REST = (key(3, RETIRED, retired=NOW), key(4, REVOKED))


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (after(*OLD.keys), []),
        (after(key(1, RETIRED), key(2), *REST), []),
        (after(key(1, RETIRED), key(2), *REST, key(5, STAGED, created=NOW)), []),
        (after(key(1), key(2, RETIRED), *REST), []),
        (after(key(1, STAGED), key(2, STAGED), key(3), key(4, REVOKED)), []),  # back to the one before
        (after(key(1, RETIRED), key(2, STAGED), key(3), key(4, REVOKED)), [("C4", "k1")]),
        (after(key(1), key(2, STAGED), key(3, STAGED), key(4, REVOKED)), []),
        (after(*OLD.keys, generation=6), [("C2", None)]),
        (after(*OLD.keys, generation=7), []),
        (after(key(1), key(2, STAGED), *REST, generation=7), [("C2", None)]),
        (after(key(1, RETIRED), key(2, STAGED), *REST, key(5)), [("C1", "k5")]),
        (after(key(1, RETIRED), key(2, STAGED), key(3, RETIRED, retired=NOW), key(4)), [("C1", "k4"), ("E1", "k4")]),
        (after(*OLD.keys[:3], key(4, RETIRED)), [("E1", "k4")]),
        (after(*OLD.keys[:3], key(4, STAGED)), [("C1", "k4"), ("E1", "k4")]),
        (after(*OLD.keys[:3]), []),
        (after(key(2), *REST), [("C1", "k1")]),
        (after(key(5)), [("C1", "k5"), ("C1", "k1"), ("C1", "k2"), ("C3", "k3")]),
        (after(key(1), *REST), [("C1", "k2")]),
        (after(key(1), key(2, STAGED)), [("C3", "k3")]),
        (after(key(1, REVOKED), key(2, REVOKED), *REST, key(5)), []),
        (after(key(1, REVOKED), key(2, STAGED), *REST, key(5)), []),
        (after(key(1), key(2, REVOKED), *REST), []),
        (after(*OLD.keys, key(5, RETIRED)), []),
        (after(*OLD.keys, key(5, STAGED, created=NOW, activates=NOW + SPREAD)), []),
        (after(*OLD.keys, key(5, STAGED, created=NOW, activates=NOW + SPREAD - 1)), [("C1", "k5")]),
        (after(*OLD.keys, key(5, STAGED, activates=0.0)), [("C1", "k5")]),
        (after(key(1, REVOKED), key(2), *REST, key(5, STAGED, created=NOW, activates=NOW)), []),
        (after(key(1, REVOKED), key(2), *REST, key(5, STAGED, created=1.0)), []),
    ],
)
def test_check_tells_what_a_publish_would_break(new: Keyring, expected: list[tuple[str, str | None]]) -> None:
    """Each violation names condition and key; a revoked active key is an emergency and exempt."""
    assert found(OLD, new) == expected


@pytest.mark.parametrize("name", safety.CONDITIONS)
def test_each_condition_can_be_asked_for_alone(name: str) -> None:
    """What is left out finds nothing, and the others find what they find."""
    new = after(key(2, RETIRED, retired=1.0), key(5), generation=6)
    every = safety.check(OLD, new, NOW)
    alone = safety.check(OLD, new, NOW, conditions={name})
    assert alone == tuple(one for one in every if one.condition == name)
    assert alone == tuple(safety.CONDITIONS[name](safety.Publish(OLD, new, NOW)))
    rest = safety.check(OLD, new, NOW, conditions=set(safety.CONDITIONS) - {name})
    assert sorted(map(repr, (*alone, *rest))) == sorted(map(repr, every))


def test_generations() -> None:
    """They grow; the same one is the same ring; 0 is for rings that are not published."""
    (lower,) = rotation.check(OLD, after(*OLD.keys, generation=6), NOW)
    assert lower.reason.startswith("generation goes back from 7 to 6")
    assert lower.remedy == "Set generation to 8, also when going back to older keys."
    (same,) = rotation.check(OLD, after(*OLD.keys[:3], key(4, REVOKED, revoked=1.0), generation=7), NOW)
    assert same.reason.startswith("two different rings have generation 7")
    assert same.remedy == "Set generation to 8."
    assert not rotation.check(ring(key(1), generation=0), ring(key(1), key(2, STAGED), generation=0), NOW)


def test_another_secret_under_the_same_label() -> None:
    """The id tells them apart: what went is missed, what came was never staged, and the reason says so."""
    imposter = dataclasses.replace(key(9), label="k1")
    came, went = safety.check(OLD, after(imposter, *OLD.keys[1:]), NOW)
    assert (came.condition, came.kid, went.condition, went.kid) == ("C1", key(9).kid, "C1", key(1).kid)
    assert f"(another secret, key {key(9).kid}, has taken its label)" in went.reason


def test_a_staged_key_that_takes_over_too_soon() -> None:
    """C2: a staged key made active, or given a time, before every node can have it; to the second, which is told."""
    young = ring(key(1), key(2, STAGED, created=NOW))
    at_once = rotation.promote(young, NOW, force=True)
    (told,) = safety.check(young, at_once, NOW + SPREAD - 1)
    assert (told.condition, told.label, told.allowed_at) == ("C2", "k2", NOW + SPREAD)
    assert found(young, at_once, NOW + SPREAD) == []
    for activates, expected in ((NOW + SPREAD - 1, [("C2", "k2")]), (NOW + SPREAD, [])):
        assert found(young, after(key(1), key(2, STAGED, created=NOW, activates=activates))) == expected
    # The date that counts is the one that was published, whatever the new file makes of it.
    assert found(young, after(key(1), key(2, STAGED, created=1.0, activates=NOW + 1))) == [("C2", "k2")]


def test_a_time_gone_by_dates_a_retirement_back() -> None:
    """C3: a key that has stood may take over at once, but the one it outruns has sealed until now, not until then."""
    for activates, expected in (
        (NOW - 5000, [("C3", "k1")]),
        (NOW - SKEW - 1, [("C3", "k1")]),
        (NOW - SKEW, []),
        (NOW, []),
        (NOW + 1, []),
    ):
        new = after(key(1, created=1.0), key(2, STAGED, created=1.0, activates=activates), *REST)
        assert found(OLD, new) == expected
        assert found(OLD, new, loading=True) == []
    # One that outran nobody, since it came before the key that seals.
    passed_over = ring(key(1, activates=NOW - 7), key(2, STAGED, created=1.0))
    assert found(passed_over, after(key(1, activates=NOW - 7), key(2, STAGED, created=1.0, activates=NOW - 99))) == []


def test_a_key_without_a_date_is_not_taken_for_old() -> None:
    """It is on every node D + ε from now at the latest; one that is retired has sealed, so it is everywhere."""
    undated = ring(key(1), key(2, STAGED), key(3, RETIRED))
    assert found(undated, after(key(1, RETIRED), key(2), key(3, RETIRED))) == [("C2", "k2")]
    for activates, expected in ((NOW + SPREAD - 1, [("C2", "k2")]), (NOW + SPREAD, [])):
        assert found(undated, after(key(1), key(2, STAGED, activates=activates), key(3, RETIRED))) == expected
    assert found(undated, after(key(1, STAGED), key(2, STAGED), key(3))) == []
    assert found(undated, after(key(1, REVOKED), key(2), key(3, RETIRED))) == []


def test_a_key_that_counts_as_old_when_it_is_published() -> None:
    """Its date says that every node has it, and the next step would go by that date."""
    for created, expected in ((NOW - SPREAD - 1, [("C2", "k5")]), (NOW - SPREAD, [])):
        assert found(OLD, after(*OLD.keys, key(5, STAGED, created=created))) == expected
        assert found(OLD, after(*OLD.keys, key(5, STAGED, created=created)), loading=True) == []
    assert found(OLD, after(*OLD.keys, key(5, RETIRED, created=1.0))) == []


def test_a_key_that_was_set_back_is_not_retired_at_once() -> None:
    """C2: nodes on the ring before the rollback still move sessions to it, and none may move them back."""
    back = rotation.rollback(rotation.promote(OLD, NOW), NOW + 1)
    retired = rotation.retire(back, "k2", NOW + 1 + SPREAD)
    (told,) = safety.check(back, retired, NOW + SPREAD)
    assert (told.condition, told.label, told.allowed_at) == ("C2", "k2", NOW + 1 + SPREAD)
    for loading in (False, True):
        assert found(back, retired, NOW + 1 + SPREAD, loading=loading) == []
    by_hand = back.changed(keys=[dataclasses.replace(back.keys[1], state=RETIRED), *back.keys[::2]], generation=99)
    assert found(back, by_hand, NOW + 2) == [("C2", "k2")]


AGED = ring(key(1), key(3, RETIRED, retired=NOW - KEPT), key(2, STAGED, created=1.0))


def test_no_publish_uses_a_promise_that_it_gives_itself() -> None:
    """The larger value of both rings counts, for D, for ε and for T, whichever way the policy changes."""
    young = ring(key(1), key(2, STAGED, created=NOW - SPREAD))
    promoted, pruned = after(key(1, RETIRED), key(2)), after(key(1), key(2, STAGED, created=1.0))
    assert found(young, promoted) == found(AGED, pruned) == []
    for name in ("propagation", "skew", "token_lifetime"):
        larger = dataclasses.replace(POLICY, **{name: getattr(POLICY, name) + 1})
        for old, new, expected in ((young, promoted, ("C2", "k2")), (AGED, pruned, ("C3", "k3"))):
            matters = [expected] if name != "token_lifetime" or expected[0] == "C3" else []
            assert found(old.changed(policy=larger), new) == matters
            assert found(old, new.changed(policy=larger)) == matters
    silent = dataclasses.replace(POLICY, token_lifetime=None)
    assert found(AGED.changed(policy=silent), pruned.changed(policy=silent)) == [("C3", "k3")]


def test_a_key_goes_when_its_last_session_has_ended() -> None:
    """C3: to the second, which is told; never where nothing tells, and never by a date written for the purpose."""
    pruned = after(key(1), key(2, STAGED, created=1.0))
    assert found(AGED, pruned) == []
    (told,) = safety.check(AGED, pruned, NOW - 1)
    assert (told.condition, told.label, told.allowed_at) == ("C3", "k3", NOW)
    undated = ring(key(1), key(3, RETIRED), key(2, STAGED, created=1.0))
    assert [one.allowed_at for one in safety.check(undated, pruned, 9e9)] == [None]


@pytest.mark.parametrize("state", [ACTIVE, STAGED])
def test_a_retirement_is_not_dated_back(state: KeyState) -> None:
    """C3: a later prune would go by it. A publish that is up to D + ε late is what D is for."""
    other = STAGED if state is ACTIVE else ACTIVE
    old = ring(key(1, state, created=1.0), key(2, other, created=1.0))
    for retired, expected in ((NOW - SPREAD - 1, [("C3", "k1")]), (NOW - SPREAD, []), (None, [])):
        new = after(key(1, RETIRED, created=1.0, retired=retired), key(2, created=1.0))
        assert found(old, new) == expected
        assert found(old, new, loading=True) == []


def test_a_date_to_prune_that_is_left_over() -> None:
    """C3: without `retired` a later prune would go by it; of a key that was retired once before it is long past."""
    old = ring(key(1, created=1.0, prune_after=NOW), key(2, STAGED, created=1.0))
    for prune_after, expected in ((NOW, [("C3", "k1")]), (NOW - SPREAD + KEPT, []), (NOW + KEPT, [])):
        assert found(old, after(key(1, RETIRED, prune_after=prune_after), key(2))) == expected
        assert found(old, after(key(1, RETIRED, retired=NOW, prune_after=prune_after), key(2))) == []
        kept = ring(key(1, RETIRED, prune_after=NOW + KEPT), key(2))
        moved = [("C3", "k1")] if prune_after < NOW + KEPT else []
        assert found(kept, after(key(1, RETIRED, prune_after=prune_after), key(2))) == moved


def test_a_retirement_is_not_moved_back() -> None:
    """C3: neither that of a key retired long ago, nor that of one which was outrun by time."""
    old = ring(key(1, created=1.0), key(2, STAGED, created=1.0, activates=NOW - 50), key(3, RETIRED, retired=NOW - 40))
    for when, other, expected in (
        (NOW - 50, NOW - 40, []),
        (NOW - 51, NOW - 40, [("C3", "k1")]),
        (NOW - 50, NOW - 41, [("C3", "k3")]),
    ):
        new = after(key(1, RETIRED, retired=when), key(2, activates=NOW - 50), key(3, RETIRED, retired=other))
        for loading in (False, True):
            assert found(old, new, loading=loading) == expected
    undated = ring(key(1), key(3, RETIRED))
    assert found(undated, after(key(1), key(3, RETIRED, retired=1.0))) == []


def test_a_key_that_was_outrun_by_time_is_a_retired_one() -> None:
    """Whatever the file calls it: it is kept for its sessions, and may go after them; the other one seals."""
    over = ring(key(1, created=1.0), key(2, STAGED, created=1.0, activates=NOW), key(3, STAGED, created=1.0))
    assert found(over, after(key(2), key(3, STAGED)), NOW + KEPT - 1) == [("C3", "k1")]
    assert found(over, after(key(2), key(3, STAGED)), NOW + KEPT) == []
    assert found(over, after(key(1), key(3, STAGED)), NOW + 1) == [("C1", "k2")]
    # Revoking the one that seals is an emergency, and revoking the other one is none.
    unknown = (key(2, REVOKED), key(1, RETIRED, retired=NOW), key(3, STAGED), key(5))
    assert found(over, after(*unknown), NOW + 50) == []
    assert found(over, after(key(1, REVOKED), key(2, RETIRED), key(3, STAGED), key(5)), NOW + 50) == [("C1", "k5")]


def test_a_time_that_makes_no_difference() -> None:
    """A staged key that comes before the one that seals takes over from nobody, on whatever clock."""
    at = ring(key(1, activates=NOW + 500), key(2, STAGED, created=1.0, activates=NOW + 5))
    assert found(at, at.changed(generation=8)) == []


def test_nodes_do_not_move_sessions_to_and_fro() -> None:
    """C4: between nodes that seal under a key already, or soon by their time, and nodes that call it older."""
    promoted = rotation.promote(OLD, NOW)
    retired = after(key(1), key(2, RETIRED, retired=NOW), *REST, generation=9)
    told = safety.check(promoted, retired, NOW + 1)
    assert [(one.condition, one.label) for one in told] == [("C4", "k2")]
    assert "Make 'k2' staged, without `activates`" in told[0].remedy
    soon = rotation.promote(OLD, NOW, at=NOW + SPREAD)
    cancelled = after(key(1), key(2, RETIRED, retired=NOW), *REST, generation=9)
    assert found(soon, cancelled) == [("C4", "k2")]
    assert found(soon, cancelled, NOW - 1) == []
    assert found(soon, after(key(1), key(2, STAGED), *REST, generation=9)) == []
    assert found(promoted, after(key(1), key(2, REVOKED), *REST, generation=9)) == []


def test_a_node_judges_by_dates_and_not_by_when_it_loads() -> None:
    """A ring may be D old when it is loaded: what was safe when it was published is safe then, too."""
    new = after(*OLD.keys, key(5, STAGED, created=NOW, activates=NOW + SPREAD))
    for late in (0.0, D, SPREAD, 9e9):
        assert found(OLD, new, NOW + late, loading=True) == []
    assert found(OLD, after(*OLD.keys, key(5, STAGED, created=NOW, activates=NOW + D)), loading=True) == [("C1", "k5")]
    assert found(OLD, after(*OLD.keys, key(5, STAGED, activates=1.0)), loading=True) == []
    young = ring(key(1), key(2, STAGED, created=NOW))
    assert found(young, rotation.promote(young, NOW, force=True), NOW + 9e9, loading=True) == [("C2", "k2")]
    assert found(young, after(key(1, RETIRED), key(2)), NOW + SPREAD, loading=True) == []


def test_clocks_may_differ_about_which_key_seals() -> None:
    """Around a scheduled time either key seals on some node: revoking either is an emergency."""
    over = ring(key(1, created=1.0), key(2, STAGED, created=1.0, activates=NOW))
    for moment in (NOW - SKEW, NOW, NOW + SKEW - 1):
        assert found(over, after(key(1, REVOKED), key(2, REVOKED), key(5)), moment) == []
        assert found(over, after(key(1, REVOKED), key(2, RETIRED), key(5)), moment) == []
