"""The steps of a rotation, when each is refused, and that no order of the others loses a session."""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sessionkit.exceptions import RotationRefused
from sessionkit.keyring import rotation
from sessionkit.keyring.key import Key, KeyState
from sessionkit.keyring.keyring import Keyring, Policy

if TYPE_CHECKING:
    from collections.abc import Callable

STAGED, ACTIVE, RETIRED, REVOKED = KeyState.STAGED, KeyState.ACTIVE, KeyState.RETIRED, KeyState.REVOKED

D, SKEW, LIFETIME = 100.0, 10.0, 1000.0
POLICY = Policy(propagation=D, skew=SKEW, token_lifetime=LIFETIME)
KEPT = D + LIFETIME + SKEW
NOW = 1_000_000.0


def key(number: int, state: KeyState = ACTIVE, **dates: float | None) -> Key:
    """Return a key of its own."""
    return Key.from_secret(number.to_bytes(32, "big"), label=f"k{number}", state=state, **dates)


def ring(*keys: Key, generation: int = 7, policy: Policy = POLICY) -> Keyring:
    """Return a published ring."""
    return Keyring(keys, generation=generation, policy=policy)


def states(of: Keyring) -> dict[str, str]:
    """Return the state of each key by its label."""
    return {each.label: each.state.value for each in of}


STEADY = ring(key(1, created=1.0), key(2, STAGED, created=NOW - 1000))


def refused(step: Callable[[], object], reason: str) -> float | None:
    """Check that a step is refused for a reason, and return from when it is allowed."""
    with pytest.raises(RotationRefused, match=re.escape(reason)) as caught:
        step()
    return caught.value.allowed_at


def test_keys_are_named_by_label_or_id() -> None:
    """Both are taken; an unknown name is refused with those there are."""
    assert rotation.select(STEADY, "k2") is rotation.select(STEADY, STEADY.keys[1].kid) is STEADY.keys[1]
    first, second = STEADY
    known = f"no key 'x'. It has 'k1' ({first.kid}), 'k2' ({second.kid})."
    assert refused(lambda: rotation.select(STEADY, "x"), known) is None


def test_every_step_is_the_next_generation() -> None:
    """The policy stays, the generation grows by one, and the old ring is as it was."""
    before = STEADY.digest
    after = rotation.stage(STEADY, key(3, STAGED, created=NOW))
    assert (after.generation, after.policy) == (8, POLICY)
    assert states(after) == {"k1": "active", "k2": "staged", "k3": "staged"}
    assert STEADY.digest == before


def test_schedule() -> None:
    """A staged key gets the time it takes over at, no sooner than every node has it, within the same publish."""
    at = rotation.stage(STEADY, key(3, STAGED, created=NOW))
    ready = NOW + D + SKEW
    after = rotation.schedule(at, "k3", ready, NOW)
    assert (after.generation, after.policy, states(after)) == (at.generation, POLICY, states(at))
    assert (after.active(ready - 1).label, after.active(ready).label) == ("k1", "k3")
    assert not rotation.check(STEADY, after, NOW)
    assert refused(lambda: rotation.schedule(at, "k3", ready - 1, NOW), "key 'k3' may not be on every node") == ready
    undated = ring(key(1), key(2, STAGED))
    assert refused(lambda: rotation.schedule(undated, "k2", ready - 1, NOW), "may not be on every node by") == ready


def test_promote() -> None:
    """In one publish the staged key becomes active, the active one retired with a date to go, and a new one staged."""
    after = rotation.promote(STEADY, NOW, successor=key(3, STAGED, created=NOW))
    assert states(after) == {"k1": "retired", "k2": "active", "k3": "staged"}
    old, new, _ = after
    assert (old.retired, old.prune_after) == (NOW, NOW + KEPT)
    assert (new.activates, after.active(NOW)) == (NOW, new)
    assert new.derive() == STEADY.keys[1].derive()
    assert not rotation.check(STEADY, after, NOW)
    assert after.is_older(old, new)


def test_promote_at_a_time() -> None:
    """With a time ahead only that is written: nodes change over by their own clocks, and the next publish retires."""
    later = rotation.promote(STEADY, NOW, at=NOW + 50)
    assert states(later) == states(STEADY)
    assert (later.active(NOW).label, later.active(NOW + 50).label) == ("k1", "k2")
    assert not rotation.check(STEADY, later, NOW)
    after = rotation.promote(later, NOW + 60)
    assert states(after) == {"k1": "retired", "k2": "active"}


def test_promote_at_a_time_gone_by_is_promote_now() -> None:
    """A time that is past takes effect at once."""
    assert rotation.promote(STEADY, NOW, at=NOW - 5).digest == rotation.promote(STEADY, NOW).digest


def test_promote_takes_staged_keys_in_their_order() -> None:
    """First by the time they were given, then the one that has been staged longest, then by id."""
    keys = [key(2, STAGED, created=3.0), key(3, STAGED, created=2.0), key(4, STAGED, created=4.0, activates=NOW)]
    at = ring(key(1), *keys)
    taken = []
    for _ in keys:
        at = rotation.promote(at, NOW)
        taken.append(at.active(NOW).label)
    assert taken == ["k4", "k3", "k2"]


def test_promote_waits_until_every_node_has_the_key() -> None:
    """Not before D and ε have passed since it was made; to the second; unless forced."""
    at = ring(key(1), key(2, STAGED, created=NOW))
    ready = NOW + D + SKEW
    assert rotation.promotable_at(at, at.keys[1]) == ready
    assert refused(lambda: rotation.promote(at, ready - 1), "key 'k2' may not be on every node yet") == ready
    assert refused(lambda: rotation.promote(at, NOW, at=ready - 1), "100 s of propagation and 10 s of skew") == ready
    assert states(rotation.promote(at, ready))["k2"] == "active"
    assert rotation.promote(at, NOW, at=ready).active(ready).label == "k2"
    assert states(rotation.promote(at, NOW, force=True))["k2"] == "active"


def test_promote_needs_a_staged_key() -> None:
    """Swapping keys without staging loses sessions: there is no force for that."""
    assert refused(lambda: rotation.promote(ring(key(1)), NOW, force=True), "no key is staged. Stage one first") is None


def test_retire() -> None:
    """A staged key that is not wanted goes by way of ``retired``: a node may have sealed under it."""
    after = rotation.retire(STEADY, "k2", NOW)
    assert states(after) == {"k1": "active", "k2": "retired"}
    assert after.keys[1].prune_after == NOW + KEPT
    assert not rotation.check(STEADY, after, NOW)


@pytest.mark.parametrize(
    ("state", "reason"),
    [(ACTIVE, "a ring needs one. Promote the staged key"), (RETIRED, "is retired already"), (REVOKED, "is revoked al")],
)
def test_retire_is_for_staged_keys(state: KeyState, reason: str) -> None:
    """The active key is replaced, not retired; the others have stopped sealing."""
    at = ring(*(key(9) for _ in range(state is not ACTIVE)), key(1, state))
    assert refused(lambda: rotation.retire(at, "k1", NOW), reason) is None


@pytest.mark.parametrize("state", [STAGED, RETIRED])
def test_revoke_one_that_does_not_seal(state: KeyState) -> None:
    """It is refused from now on, the rest stays, and a successor may be staged."""
    at = ring(key(1), key(2, state))
    after = rotation.revoke(at, "k2", NOW)
    assert states(after) == {"k1": "active", "k2": "revoked"}
    assert (after.keys[1].revoked, after.keys[1].decrypts) == (NOW, False)
    assert states(rotation.revoke(at, "k2", NOW, successor=key(3, STAGED)))["k3"] == "staged"
    assert not rotation.check(at, after, NOW)


def test_revoke_the_active_key() -> None:
    """Emergency: the staged key takes over in the same publish, however young, since waiting would be worse."""
    at = ring(key(1), key(2, STAGED, created=NOW), key(3, STAGED, created=NOW - 1))
    after = rotation.revoke(at, "k1", NOW, successor=key(4, STAGED, created=NOW))
    assert states(after) == {"k1": "revoked", "k2": "staged", "k3": "active", "k4": "staged"}
    assert after.keys[2].activates == NOW
    assert not rotation.check(at, after, NOW)
    assert states(rotation.revoke(at, "k1", NOW)) == {"k1": "revoked", "k2": "staged", "k3": "active"}


def test_revoke_the_only_key() -> None:
    """A ring needs an active key: one is given, or it is refused."""
    at = ring(key(1))
    assert refused(lambda: rotation.revoke(at, "k1", NOW), "no key is staged to take over") is None
    after = rotation.revoke(at, "k1", NOW, successor=key(2, STAGED))
    assert states(after) == {"k1": "revoked", "k2": "active"}
    assert after.keys[1].activates == NOW
    assert not rotation.check(at, after, NOW)


def test_revoke_once() -> None:
    """A second time would move its date."""
    at = ring(key(1), key(2, REVOKED))
    assert refused(lambda: rotation.revoke(at, "k2", NOW), "is revoked already") is None


GONE = NOW + KEPT
AGEING = ring(key(1), key(2, RETIRED, retired=NOW, prune_after=GONE), key(3, REVOKED, revoked=NOW), key(4, STAGED))


@pytest.mark.parametrize("names", [(), ("k2",), ("k3",), ("k2", "k3")])
def test_prune_waits_for_the_last_session(names: tuple[str, ...]) -> None:
    """A key goes when D, T and ε have passed since it stopped sealing or was revoked; to the second; unless forced."""
    gone = {"k1": "active", "k4": "staged"}
    reason = "may still be alive" if names else "no key may be pruned yet"
    assert refused(lambda: rotation.prune(AGEING, GONE - 1, names), reason) == GONE
    left = gone | {each.label: each.state.value for each in AGEING if names and each.label not in {*names, *gone}}
    assert states(rotation.prune(AGEING, GONE, names)) == left
    assert states(rotation.prune(AGEING, NOW, names, force=True)) == left


def test_prune_takes_what_may_go_and_leaves_the_rest() -> None:
    """Without names, keys whose time has not come stay; it is refused only if there is none to take."""
    at = ring(key(1), key(2, RETIRED, retired=NOW - KEPT), key(3, RETIRED, retired=NOW))
    assert states(rotation.prune(at, NOW)) == {"k1": "active", "k3": "retired"}
    assert refused(lambda: rotation.prune(STEADY, NOW, force=True), "no key is retired or revoked") is None


@pytest.mark.parametrize("name", ["k1", "k4"])
def test_prune_leaves_keys_that_seal(name: str) -> None:
    """There is no force for that: its sessions are alive."""
    assert refused(lambda: rotation.prune(AGEING, 9e9, [name], force=True), "Only retired and revoked") is None


def test_when_a_key_may_go() -> None:
    """By its retirement, or what the file or the audit log knows better; 14 days where nothing is promised."""
    at = ring(key(1))
    assert rotation.prunable_at(at, key(2, RETIRED, retired=NOW)) == NOW + KEPT
    assert rotation.prunable_at(at, key(2, RETIRED, retired=NOW, prune_after=NOW + 9e6)) == NOW + 9e6
    logged = key(2, RETIRED, retired=NOW, prune_after=GONE)
    assert rotation.prunable_at(at, logged, NOW + 5) == NOW + 5 + LIFETIME + SKEW
    assert rotation.prunable_at(at, logged, NOW - 5) == NOW + LIFETIME + SKEW
    unpromised = ring(key(1), policy=Policy(D, SKEW, None))
    assert rotation.prunable_at(unpromised, key(2, RETIRED, retired=NOW)) == NOW + D + 1_209_600 + SKEW
    assert rotation.prunable_at(unpromised, logged, NOW) == NOW + 1_209_600 + SKEW


@pytest.mark.parametrize("dates", [{}, {"created": 1.0}, {"created": 1.0, "activates": 2.0}])
def test_a_key_without_a_date_of_retirement_stays(dates: dict[str, float]) -> None:
    """People retire keys by hand and leave the date out: its age says nothing, so it goes by force or a date alone."""
    old = key(2, RETIRED, **dates)
    at = ring(key(1, created=1.0), old, key(3, RETIRED, retired=NOW))
    assert rotation.prunable_at(at, old) is rotation.prunable_at(at, old, NOW) is None
    assert rotation.prunable_at(at, dataclasses.replace(old, prune_after=NOW + 1)) == NOW + 1
    assert refused(lambda: rotation.prune(at, 9e9, ["k2"]), "key 'k2' has no date 'retired'") is None
    assert refused(lambda: rotation.prune(at, NOW), "no key may be pruned yet") == NOW + KEPT
    assert states(rotation.prune(at, 9e9)) == {"k1": "active", "k2": "retired"}
    assert states(rotation.prune(at, NOW, ["k2"], force=True)) == {"k1": "active", "k3": "retired"}
    without = ring(*(each for each in at if each is not old), generation=8)
    assert [(one.condition, one.label) for one in rotation.check(at, without, 9e9)] == [("C3", "k2")]


def test_a_staged_key_without_a_date_waits() -> None:
    """Nothing tells whether every node has it: by force or with a date alone, and after those that have one."""
    at = ring(key(1), key(2, STAGED))
    assert rotation.promotable_at(at, at.keys[1]) is None
    for moment in (None, 9e9):
        step = functools.partial(rotation.promote, at, NOW, at=moment)
        assert refused(step, "key 'k2' has no date 'created'") is None
    assert states(rotation.promote(at, NOW, force=True)) == {"k1": "retired", "k2": "active"}
    dated = ring(*at, key(3, STAGED, created=1.0))
    assert states(rotation.promote(dated, NOW)) == {"k1": "retired", "k2": "staged", "k3": "active"}


def test_the_audit_log_lets_a_key_go_earlier() -> None:
    """D need not be waited for if the last sealing is known."""
    after = rotation.prune(AGEING, NOW + LIFETIME + SKEW, ["k2"], last_sealed=NOW)
    assert "k2" not in states(after)


def _next(*keys: Key, generation: int = 8) -> Keyring:
    return ring(*keys, generation=generation)


OLD = ring(key(1, created=1.0), key(2, STAGED, created=1.0), key(3, RETIRED, retired=NOW), key(4, REVOKED))
REST = (key(3, RETIRED, retired=NOW), key(4, REVOKED))


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (_next(*OLD.keys), []),
        (_next(key(1, RETIRED), key(2), *REST), []),
        (_next(key(1, RETIRED), key(2), *REST, key(5, STAGED, created=NOW)), []),
        (_next(key(1), key(2, RETIRED), *REST), []),
        (_next(key(1, RETIRED), key(2, STAGED), key(3), key(4, REVOKED)), []),  # back to the one before
        (_next(*OLD.keys, generation=6), [("C2", None)]),
        (_next(*OLD.keys, generation=7), []),
        (_next(key(1), key(2, STAGED), *REST, generation=7), [("C2", None)]),
        (_next(key(1, RETIRED), key(2, STAGED), *REST, key(5)), [("C1", "k5")]),
        (_next(key(1, RETIRED), key(2, STAGED), key(3, RETIRED, retired=NOW), key(4)), [("C1", "k4"), ("E1", "k4")]),
        (_next(key(2), *REST), [("C1", "k1")]),
        (_next(key(5)), [("C1", "k5"), ("C1", "k1"), ("C1", "k2"), ("C3", "k3")]),
        (_next(key(1), *REST), [("C1", "k2")]),
        (_next(key(1), key(2, STAGED)), [("C3", "k3")]),
        (_next(key(1, REVOKED), key(2, REVOKED), *REST, key(5)), []),
        (_next(key(1, REVOKED), key(2, STAGED), *REST, key(5)), []),
        (_next(key(1), key(2, REVOKED), *REST), []),
        (_next(*OLD.keys, key(5, STAGED, created=NOW, activates=NOW + D + SKEW)), []),
        (_next(*OLD.keys, key(5, STAGED, created=NOW, activates=NOW + D)), [("C1", "k5")]),
        (_next(key(1, REVOKED), key(2), *REST, key(5, STAGED, created=NOW, activates=NOW)), []),
    ],
)
def test_check_tells_what_a_publish_would_break(new: Keyring, expected: list[tuple[str, str | None]]) -> None:
    """Each violation names condition and key; a revoked active key is an emergency and exempt."""
    found = rotation.check(OLD, new, NOW)
    assert [(one.condition, one.label) for one in found] == expected
    for one in found:
        assert one.reason
        assert one.remedy
        assert one.kid == (
            None if one.label is None else rotation.select(_next(*OLD.keys, key(5, RETIRED)), one.label).kid
        )


def test_generations() -> None:
    """They grow; the same one is the same ring; 0 is for rings that are not published."""
    (lower,) = rotation.check(OLD, _next(*OLD.keys, generation=6))
    assert lower.reason.startswith("generation goes back from 7 to 6")
    assert lower.remedy == "Set generation to 8, also when going back to older keys."
    (same,) = rotation.check(OLD, _next(key(1), *OLD.keys[1:], generation=7))
    assert same.reason.startswith("two different rings have generation 7")
    assert same.remedy == "Set generation to 8."
    assert not rotation.check(ring(key(1), generation=0), ring(key(1), key(2, STAGED), generation=0))


def test_a_staged_key_that_takes_over_too_soon() -> None:
    """C1 is also broken by time: a staged key made active, or given a time, before every node can have it."""
    young = ring(key(1), key(2, STAGED, created=NOW))
    at_once = rotation.promote(young, NOW, force=True)
    assert [one.label for one in rotation.check(young, at_once, NOW)] == ["k2"]
    assert not rotation.check(young, at_once, NOW + D + SKEW)
    scheduled = _next(key(1), key(2, STAGED, created=NOW, activates=NOW + 1))
    assert [one.label for one in rotation.check(young, scheduled)] == ["k2"]


def test_what_depends_on_the_time_is_not_judged_without_it() -> None:
    """A new key counts from when it was made, if that is known; a pruned key and a forced one are let pass."""
    assert not rotation.check(OLD, _next(key(1), key(2, STAGED), key(4, REVOKED)))
    young = ring(key(1), key(2, STAGED, created=NOW))
    assert not rotation.check(young, rotation.promote(young, NOW, force=True))
    soon = _next(*OLD.keys, key(5, STAGED, created=NOW, activates=NOW + D))
    assert [one.label for one in rotation.check(OLD, soon)] == ["k5"]
    assert not rotation.check(OLD, _next(*OLD.keys, key(5, STAGED, activates=0.0)))


class Rotation(RuleBasedStateMachine):
    """Steps in any order, waiting any time between them."""

    @initialize(lifetime=st.sampled_from([LIFETIME, None]))
    def begin(self, lifetime: float | None) -> None:
        """Begin as the command line does: one active key, one staged."""
        self.now = NOW
        self.made = 2
        policy = dataclasses.replace(POLICY, token_lifetime=lifetime)
        self.ring = ring(key(1, created=NOW), key(2, STAGED, created=NOW), generation=1, policy=policy)

    def fresh(self) -> Key:
        """Return a new staged key."""
        self.made += 1
        return key(self.made, STAGED, created=self.now)

    def publish(self, step: Callable[[], Keyring]) -> None:
        """Publish the result of a step, which must be safe; a step that may be refused is refused with a time ahead."""
        try:
            found = step()
        except RotationRefused as error:
            if error.allowed_at is not None:
                assert error.allowed_at > self.now  # noqa: PT017 - only what was refused is looked at
            return
        assert rotation.check(self.ring, found, self.now) == ()
        assert found.generation == self.ring.generation + 1
        for gone in (one for one in self.ring if found.find(one.id) is None):
            assert gone.state in {RETIRED, REVOKED}
            assert self.now >= max(gone.retired or 0.0, gone.revoked or 0.0) + rotation._kept(self.ring)
        self.ring = found

    @rule(seconds=st.sampled_from([1.0, D, D + SKEW, LIFETIME, KEPT, 1_300_000.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @rule()
    @precondition(lambda self: len(self.ring) < 8)
    def stage(self) -> None:
        """Stage one more."""
        self.publish(lambda: rotation.stage(self.ring, self.fresh()))

    @rule(successor=st.booleans(), ahead=st.sampled_from([None, 0.0, 1.0, D + SKEW, LIFETIME]))
    def promote(self, successor: bool, ahead: float | None) -> None:
        """Promote now or at a time."""
        at = None if ahead is None else self.now + ahead
        new = self.fresh() if successor else None
        self.publish(lambda: rotation.promote(self.ring, self.now, successor=new, at=at))

    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        """Retire any key."""
        name = data.draw(st.sampled_from([one.label for one in self.ring]))
        self.publish(lambda: rotation.retire(self.ring, name, self.now))

    @rule(data=st.data(), successor=st.booleans())
    def revoke(self, data: st.DataObject, successor: bool) -> None:
        """Revoke any key."""
        name = data.draw(st.sampled_from([one.kid for one in self.ring]))
        new = self.fresh() if successor else None
        self.publish(lambda: rotation.revoke(self.ring, name, self.now, successor=new))

    @rule(data=st.data())
    def prune(self, data: st.DataObject) -> None:
        """Prune any keys, or all that may go."""
        names = data.draw(st.lists(st.sampled_from([one.label for one in self.ring]), max_size=2, unique=True))
        self.publish(lambda: rotation.prune(self.ring, self.now, names))

    @invariant()
    def one_key_seals(self) -> None:
        """Whatever the steps, one key is active, and whichever seals opens too."""
        assert self.ring.counts()[ACTIVE] == 1
        assert self.ring.active(self.now).decrypts


TestRotation = Rotation.TestCase
TestRotation.__doc__ = (
    "C1 to C4: no order of allowed steps breaks a condition, and every refusal names a time ahead or none."
)
TestRotation.settings = settings(stateful_step_count=25, max_examples=40)


@given(st.integers(0, 400), st.integers(0, 2_000))
def test_forced_steps_are_what_check_tells(age: int, wait: int) -> None:
    """A forced step is safe by ``check`` exactly if it would not have been refused."""
    moment = NOW + wait
    at = ring(key(1), key(2, STAGED, created=moment - age), key(3, RETIRED, retired=NOW, prune_after=NOW + KEPT))
    steps: tuple[Callable[[bool], Keyring], ...] = (
        lambda force: rotation.promote(at, moment, force=force),
        lambda force: rotation.prune(at, moment, ["k3"], force=force),
    )
    for step in steps:
        found = rotation.check(at, step(True), moment)
        try:
            step(False)
        except RotationRefused:
            assert found
        else:
            assert not found
