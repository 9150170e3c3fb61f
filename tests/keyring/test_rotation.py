"""The steps of a rotation, and when each is refused."""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionkit.exceptions import RotationRefused
from sessionkit.keyring import rotation
from sessionkit.keyring.key import KeyState
from sessionkit.keyring.keyring import Policy
from tests.keyring.published import KEPT, LIFETIME, NOW, POLICY, SKEW, D, key, ring, states

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionkit.keyring.keyring import Keyring

STAGED, ACTIVE, RETIRED, REVOKED = KeyState.STAGED, KeyState.ACTIVE, KeyState.RETIRED, KeyState.REVOKED


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
    """With a time ahead that alone is written: nodes change over by their own clocks, without another publish."""
    later = rotation.promote(STEADY, NOW, at=NOW + 50, successor=key(3, STAGED, created=NOW))
    assert states(later) == states(STEADY) | {"k3": "staged"}
    assert (later.active(NOW + 49).label, later.active(NOW + 50).label) == ("k1", "k2")
    assert not rotation.check(STEADY, later, NOW)


TAKEN_OVER = rotation.promote(STEADY, NOW, at=NOW + 50, successor=key(3, STAGED, created=NOW))
SETTLED = {"k1": "retired", "k2": "active", "k3": "staged"}


def test_settle() -> None:
    """From its time on the key that took over is active, and the one it has outrun retired since that time."""
    assert rotation.settle(TAKEN_OVER, NOW + 49) is TAKEN_OVER
    settled = rotation.settle(TAKEN_OVER, NOW + 9000)
    assert states(settled) == SETTLED
    assert (settled.generation, settled.policy) == (TAKEN_OVER.generation, POLICY)
    old, new, _ = settled
    assert (old.retired, old.prune_after, new.activates) == (NOW + 50, NOW + 50 + KEPT, NOW + 50)
    assert rotation.settle(settled, NOW + 9000) is settled


def test_settle_goes_through_all_that_took_over() -> None:
    """Each key in the line is retired when the next one came; one that was never the newest is as it was."""
    line = ring(
        key(5, STAGED, activates=60.0),
        key(4, STAGED, activates=40.0, retired=30.0),
        key(1, activates=20.0),
        key(2, STAGED, activates=10.0),
        key(3, STAGED, activates=50.0),
        key(6, STAGED),
    )
    settled = rotation.settle(line, 55.0)
    assert [each.state for each in settled] == [STAGED, RETIRED, RETIRED, STAGED, ACTIVE, STAGED]
    assert [each.retired for each in settled] == [None, 50.0, 40.0, None, None, None]
    last = rotation.settle(line, 60.0)
    assert [each.state for each in last] == [ACTIVE, RETIRED, RETIRED, STAGED, RETIRED, STAGED]
    assert rotation.settle(settled, 60.0).digest == last.digest


def test_steps_after_a_scheduled_takeover_know_which_key_seals() -> None:
    """Case 185: whatever the file says, no key is promoted twice, pruned too early, or revoked for another."""
    over, later = TAKEN_OVER, NOW + 9000
    promoted = rotation.promote(over, later)
    assert states(promoted) == {"k1": "retired", "k2": "retired", "k3": "active"}
    assert (promoted.keys[0].retired, promoted.keys[1].retired) == (NOW + 50, later)
    assert states(rotation.revoke(over, "k2", later)) == SETTLED | {"k2": "revoked", "k3": "active"}
    assert states(rotation.revoke(over, "k1", later)) == SETTLED | {"k1": "revoked"}
    assert refused(lambda: rotation.retire(over, "k2", later), "key 'k2' is active") is None
    assert refused(lambda: rotation.retire(over, "k1", later), "key 'k1' is retired already") is None
    assert refused(lambda: rotation.schedule(over, "k2", later, later), "key 'k2' is active. Only staged") is None
    gone = NOW + 50 + KEPT
    assert refused(lambda: rotation.prune(over, gone - 1), "no key may be pruned yet") == gone
    pruned = rotation.prune(over, gone)
    assert states(pruned) == {"k2": "active", "k3": "staged"}
    for moment, after in ((later, promoted), (gone, pruned)):
        assert not rotation.check(over, after, moment)


def test_a_key_takes_over_after_the_one_that_seals() -> None:
    """A time before the active key's own would be passed over without a word: it is refused."""
    fresh = ring(key(1, created=1.0, activates=NOW + 5), key(2, STAGED, created=1.0))
    for step in (
        lambda: rotation.promote(fresh, NOW, at=NOW + 4, force=True),
        lambda: rotation.schedule(fresh, "k2", NOW + 4, NOW),
    ):
        assert refused(step, "key 'k2' would never take over") == NOW + 5
    assert refused(lambda: rotation.schedule(STEADY, "k2", NOW - 1, NOW), "key 'k2' would never take over") == NOW
    assert rotation.promote(fresh, NOW, at=NOW + 5).active(NOW + 5).label == "k2"


def test_rollback() -> None:
    """The key before seals again, and the one that sealed stands by without a time: no node moves its sessions back."""
    after = rotation.promote(STEADY, NOW, successor=key(3, STAGED, created=NOW))
    back = rotation.rollback(after, NOW + 1)
    assert states(back) == {"k1": "active", "k2": "staged", "k3": "staged"}
    old, new, _ = back
    assert (old.activates, old.retired, old.prune_after) == (NOW + 1, None, None)
    assert (new.activates, new.retired, new.prune_after) == (None, NOW + 1, None)
    assert not rotation.check(after, back, NOW + 1)
    again = rotation.promote(back, NOW + 2)
    assert states(again) == {"k1": "retired", "k2": "active", "k3": "staged"}
    assert again.keys[1].retired is None
    assert states(rotation.rollback(TAKEN_OVER, NOW + 60)) == {"k1": "active", "k2": "staged", "k3": "staged"}


def test_rollback_to_a_key_by_name() -> None:
    """Where no date tells which key sealed before, it is named; only a retired one can seal again."""
    at = ring(key(1, RETIRED), key(2), key(3, REVOKED), key(4, RETIRED, retired=1.0))
    assert refused(lambda: rotation.rollback(at, NOW), "no retired key is known to have sealed before 'k2'") is None
    assert refused(lambda: rotation.rollback(at, NOW, "k3"), "key 'k3' is revoked. Only a retired key") is None
    assert states(rotation.rollback(at, NOW, "k1")) == states(at) | {"k1": "active", "k2": "staged"}


def test_rollback_to_a_key_that_is_everywhere() -> None:
    """A staged key that was retired unused may be as new as any; one that had stood when it was retired is not."""
    for retired, moment, allowed in (
        (NOW, NOW + 1, False),
        (NOW, NOW + D + SKEW, True),
        (NOW + D + SKEW, NOW + D, True),  # by a clock that is behind
    ):
        at = ring(key(1, RETIRED, created=NOW, retired=retired), key(2, created=1.0, activates=1.0))
        step = functools.partial(rotation.rollback, at, moment, "k1")
        if allowed:
            assert not rotation.check(at, step(), moment)
        else:
            assert refused(step, "key 'k1' may not be on every node yet") == NOW + D + SKEW


def test_rollback_over_a_key_that_sealed_a_moment_ago() -> None:
    """Nodes that still seal under the one between would move its sessions there, and others back: go to it first."""
    line = ring(key(1, created=1.0), key(2, STAGED, created=1.0), key(3, STAGED, created=2.0))
    quick = rotation.promote(rotation.promote(line, NOW), NOW)
    assert states(rotation.rollback(quick, NOW)) == {"k1": "retired", "k2": "active", "k3": "staged"}
    unused = ring(*STEADY, key(3, STAGED, created=2.0), key(4, STAGED, created=3.0, activates=NOW + 9999))
    for name in ("k3", "k4"):
        unused = rotation.retire(unused, name, NOW)
    assert states(rotation.rollback(rotation.promote(unused, NOW), NOW))["k1"] == "active"
    ready = NOW + D + SKEW
    step = "a key that came after 'k1' has stopped sealing a moment ago"
    assert refused(lambda: rotation.rollback(quick, ready - 1, "k1"), step) == ready
    assert states(rotation.rollback(quick, ready, "k1")) == {"k1": "active", "k2": "retired", "k3": "staged"}


def test_a_key_that_was_passed_over_is_not_promoted() -> None:
    """Nodes move sessions away from a key whose time was before that of the one that seals: that has to end first."""
    at = ring(key(1, activates=NOW), key(2, STAGED, created=1.0, activates=1.0))
    assert refused(lambda: rotation.promote(at, NOW, force=True), "key 'k2' is staged for a time before") is None
    assert states(rotation.promote(ring(*at, key(3, STAGED, created=1.0)), NOW))["k3"] == "active"


def test_retire_waits_while_nodes_move_sessions_to_the_key() -> None:
    """Not at once after it was set back, nor if it takes over by its time before all can know: they would move back."""
    back = rotation.rollback(rotation.promote(STEADY, NOW), NOW + 1)
    ready = NOW + 1 + D + SKEW
    assert refused(lambda: rotation.retire(back, "k2", ready - 1), "key 'k2' was set back a moment ago") == ready
    assert states(rotation.retire(back, "k2", ready)) == {"k1": "active", "k2": "retired"}
    soon = rotation.promote(STEADY, NOW, at=NOW + D + SKEW)
    assert refused(lambda: rotation.retire(soon, "k2", NOW), "key 'k2' takes over by itself before") is None
    later = functools.partial(rotation.promote, soon, NOW + 1, at=NOW + D + SKEW + 1)
    assert refused(later, "key 'k2' takes over by itself before every node can know") == NOW + D + SKEW
    assert rotation.promote(soon, NOW + 1, at=NOW + D).active(NOW + D).label == "k2"
    far = rotation.promote(STEADY, NOW, at=NOW + D + SKEW + 1)
    assert not rotation.check(far, rotation.retire(far, "k2", NOW), NOW)
    passed_over = ring(key(1, activates=NOW), key(2, STAGED, activates=1.0))
    assert states(rotation.retire(passed_over, "k2", NOW + 1))["k2"] == "retired"


def test_promote_at_a_time_gone_by_is_promote_now() -> None:
    """A time that is past takes effect at once."""
    assert rotation.promote(STEADY, NOW, at=NOW - 5).digest == rotation.promote(STEADY, NOW).digest


def test_promote_takes_staged_keys_in_their_order() -> None:
    """First by the time they were given, then the one that has been staged longest, then by id."""
    keys = [key(2, STAGED, created=3.0), key(3, STAGED, created=2.0), key(4, STAGED, created=4.0, activates=NOW + 9)]
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
    first = {(): "no key may be pruned yet", ("k3",): "refused and cleared"}  # of a revoked key no session is alive
    reason = first.get(names, "may still be alive")
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
    assert rotation.prunable_at(unpromised, key(2, RETIRED, retired=NOW)) == NOW + D + 1_209_600 + 2 * SKEW
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
