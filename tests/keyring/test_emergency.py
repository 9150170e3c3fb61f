"""Emergencies as steps from ring to ring: what they end and leave, and that nothing brings it back by accident."""

from __future__ import annotations

import pytest

from sessionkit.exceptions import RotationRefused
from sessionkit.keyring import emergency, rotation
from sessionkit.keyring.key import Key, KeyState
from sessionkit.keyring.keyring import Keyring, Policy

NOW = 1_000_000.0
POLICY = Policy(propagation=100.0, skew=10.0, token_lifetime=1000.0)


def key(number: int, state: KeyState = KeyState.ACTIVE, **dates: float | None) -> Key:
    """Return a key of its own."""
    return Key.from_secret(number.to_bytes(32, "big"), label=f"k{number}", state=state, **dates)


RING = Keyring(
    [
        key(1, created=1.0),
        key(2, KeyState.STAGED, created=2.0, activates=NOW + 500),
        key(3, KeyState.RETIRED, retired=3.0),
        key(4, KeyState.REVOKED, revoked=4.0),
    ],
    generation=7,
    policy=POLICY,
    write_format=1,
)


def test_a_compromised_file() -> None:
    """Every key is revoked, with the time; a fresh one seals at once and, if there is one, another stands by."""
    after = emergency.compromise(RING, NOW, key(5, KeyState.STAGED, created=NOW), key(6, KeyState.STAGED, created=NOW))
    assert [each.state.value for each in after] == ["revoked"] * 4 + ["active", "staged"]
    assert [each.revoked for each in after] == [NOW, NOW, NOW, 4.0, None, None]
    assert (after.active(NOW).label, after.active(NOW + 9_999).label) == ("k5", "k5")
    assert (after.generation, after.policy, after.write_format) == (8, POLICY, 1)
    assert not any(each.decrypts for each in after.keys[:4])
    assert rotation.check(RING, after, NOW) == ()
    alone = emergency.compromise(RING, NOW, key(5, KeyState.STAGED))
    assert alone.counts()[KeyState.STAGED] == 0


@pytest.mark.parametrize("at", [0.0, NOW - 5, NOW, NOW + POLICY.skew + 1])
def test_sessions_end_before_a_time(at: float) -> None:
    """The time goes into the next generation with all keys as they were; as much ahead as clocks differ is taken."""
    after = emergency.end_before(RING, at, NOW)
    assert (after.not_before, after.generation, after.keys) == (at, 8, RING.keys)
    assert (after.policy, after.write_format) == (POLICY, 1)
    assert after.digest != RING.changed(generation=8).digest
    assert rotation.check(RING, after, NOW) == ()


def test_a_time_to_come_is_refused() -> None:
    """Every session begun until then would be refused, so that is taken for a slip; no force helps."""
    for force in (False, True):
        with pytest.raises(RotationRefused, match="that time lies ahead"):
            emergency.end_before(RING, NOW + POLICY.skew + 1.5, NOW, force=force)


def test_an_earlier_time_lets_sessions_in_again() -> None:
    """So it takes force; the same time or a later one does not."""
    ended = RING.changed(not_before=NOW)
    with pytest.raises(RotationRefused, match="are refused already"):
        emergency.end_before(ended, NOW - 1, NOW)
    assert emergency.end_before(ended, NOW - 1, NOW, force=True).not_before == NOW - 1
    assert emergency.end_before(ended, NOW, NOW).not_before == NOW


def test_other_steps_leave_it_standing() -> None:
    """What a ring refuses and writes goes along with every step of a rotation."""
    ended = Keyring([key(1), key(2, KeyState.STAGED, created=1.0)], policy=POLICY, not_before=NOW, write_format=1)
    for after in (
        rotation.stage(ended, key(9, KeyState.STAGED)),
        rotation.promote(ended, NOW),
        rotation.promote(ended, NOW, at=NOW + 5),
        rotation.schedule(ended, "k2", NOW + 5, NOW),
        rotation.retire(ended, "k2", NOW),
        rotation.revoke(ended, "k1", NOW),
        rotation.rollback(rotation.promote(ended, NOW), NOW),
        emergency.compromise(ended, NOW, key(9, KeyState.STAGED)),
    ):
        assert (after.not_before, after.write_format) == (NOW, 1)


def violations(old: Keyring, new: Keyring) -> list[tuple[str, str | None]]:
    """Return what a publish would undo."""
    found = rotation.check(old, new, NOW)
    return [(one.condition, one.label) for one in found if one.condition == "E1"]


def test_what_is_ended_stays_ended() -> None:
    """E1: an older file that lets a revoked key open again, or has an earlier ``not_before`` or none, is told."""
    ended = RING.changed(not_before=NOW)
    keys = [*RING.keys[:3], key(4, KeyState.RETIRED, retired=4.0)]
    assert violations(RING, RING.changed(keys=keys, generation=8)) == [("E1", "k4")]
    assert violations(ended, RING.changed(generation=8)) == [("E1", None)]
    assert violations(ended, ended.changed(not_before=NOW - 1, generation=8)) == [("E1", None)]
    assert violations(ended, ended.changed(not_before=NOW + 1, generation=8)) == []
    assert violations(RING, ended) == []
    assert violations(RING, RING.changed(keys=RING.keys[:3], generation=8)) == []


ACTIVE_AND_TWO = [key(1, KeyState.RETIRED, retired=NOW - 50), key(2, activates=NOW - 50), key(3, KeyState.STAGED)]


def states(ring: Keyring) -> dict[str, str]:
    """Return the state of each key by its label."""
    return {each.label: each.state.value for each in ring}


def test_rollback() -> None:
    """The key that sealed before seals again, and the one that seals now stands by: both go on opening."""
    before = Keyring(ACTIVE_AND_TWO, generation=7, policy=POLICY)
    after = rotation.rollback(before, NOW)
    assert states(after) == {"k1": "active", "k2": "staged", "k3": "staged"}
    assert (after.active(NOW).label, after.active(NOW + 1e6).label, after.generation) == ("k1", "k1", 8)
    assert rotation.check(before, after, NOW) == ()
    assert states(rotation.rollback(before, NOW, "k1")) == states(after)


def test_rollback_has_to_lead_somewhere() -> None:
    """Without a key that sealed before it is refused, and so is a key that never sealed, or is revoked."""
    with pytest.raises(RotationRefused, match="no retired key is known to have sealed before 'k2'"):
        rotation.rollback(Keyring(ACTIVE_AND_TWO[1:], policy=POLICY), NOW)
    for name, problem in (("k3", "is staged"), ("k4", "is revoked")):
        with pytest.raises(RotationRefused, match=f"key '{name}' {problem}. Only a retired key"):
            rotation.rollback(Keyring([*ACTIVE_AND_TWO, key(4, KeyState.REVOKED)], policy=POLICY), NOW, name)


def scheduled() -> Keyring:
    """Return a ring whose staged key has taken over by its time."""
    keys = [key(1, created=1.0), key(2, KeyState.STAGED, created=2.0, activates=NOW - 60), key(3, KeyState.STAGED)]
    return Keyring(keys, generation=7, policy=POLICY)


def test_revoking_the_key_that_a_scheduled_one_took_over_from() -> None:
    """The file calls it active still; it is refused, and the one that seals goes on sealing."""
    after = rotation.revoke(scheduled(), "k1", NOW)
    assert after.active(NOW).label == "k2"
    assert after.find(key(1).id).state is KeyState.REVOKED  # type: ignore[union-attr]  # it is there
    assert rotation.check(scheduled(), after, NOW) == ()


def test_revoking_a_key_that_took_over_by_its_time() -> None:
    """The file calls it staged still; it is refused, and a key that every node has seals in the same publish."""
    after = rotation.revoke(scheduled(), "k2", NOW)
    assert after.active(NOW).label in {"k1", "k3"}
    assert after.find(key(2).id).state is KeyState.REVOKED  # type: ignore[union-attr]  # it is there
    assert scheduled().find(after.active(NOW).id) is not None


def test_rollback_of_a_scheduled_take_over() -> None:
    """The key before it seals again, for good: the time of the take-over is taken back."""
    after = rotation.rollback(scheduled(), NOW)
    assert (after.active(NOW).label, after.active(NOW + 1e6).label) == ("k1", "k1")
    assert after.find(key(2).id).decrypts  # type: ignore[union-attr]  # it is there
