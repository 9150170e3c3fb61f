"""A fleet that rotates: any order of publishes, late loads, clocks and traffic loses no session, and moves none back.

Nodes run the real backend on the real rings, publishes come from the real steps and from people who edit the file, and
``safety.check`` is what lets an edit pass. With any one condition left out, the same machine finds what is lost.

A longer search: ``SESSIONKIT_HYPOTHESIS_PROFILE=explore scripts/test --fast tests/keyring/test_fleet_machine.py``.
"""

from __future__ import annotations

import dataclasses
import math
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from sessionkit.backend.backend import SessionBackend
from sessionkit.backend.messages import Load, Loaded, Reload, Save, Saved
from sessionkit.config import SessionConfig
from sessionkit.exceptions import KeyringError, RotationRefused
from sessionkit.keyring import rotation, safety
from sessionkit.keyring.key import KeyState
from sessionkit.keyring.reloader import refuse_unsafe
from sessionkit.session import Session
from tests.keyring.published import KEPT, LIFETIME, NOW, POLICY, SKEW, SPREAD, D, key, ring

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionkit.keyring.key import Key
    from sessionkit.keyring.keyring import Keyring

STAGED, ACTIVE, RETIRED, REVOKED = KeyState.STAGED, KeyState.ACTIVE, KeyState.RETIRED, KeyState.REVOKED

NODES = 2
CONFIG = SessionConfig(max_age=int(LIFETIME))
WAITS = (1.0, SKEW, D - 1, D, SPREAD, LIFETIME - D, LIFETIME, KEPT)
MOST_KEYS = 7
MOMENT = 0.5
"""Seconds before its last moment at which a node that is late is looked at."""


class LostError(AssertionError):
    """A live session was not accepted."""


class MovedBackError(AssertionError):
    """Two nodes move sessions in opposite directions."""


class Naive(SessionBackend):
    """Seals under the active key whatever a session came under, as "re-encrypt if the key is not active" has it."""

    def _sealing_key(self, loaded: Loaded | None, now: float) -> Key:  # noqa: ARG002 - that is the mistake
        return self.keyring.active(now)


class Node:
    """One process: a backend, a clock, and the number of the last publish it has loaded."""

    def __init__(self, fleet: Fleet, offset: float) -> None:
        self.fleet = fleet
        self.offset = offset
        self.version = 0
        kind = Naive if fleet.without == "monotonic" else SessionBackend
        self.ring = fleet.published[0][1]
        self.backend = kind(CONFIG, self._opening(self.ring), clock=self.clock)

    def clock(self) -> float:
        """Return the time by this node."""
        return self.fleet.now + self.offset

    def load(self, version: int) -> None:
        """Take a later ring, as the reloader does."""
        found = self.fleet.published[version][1]
        try:
            refuse_unsafe(self.ring, found, self.clock(), Path("keyring.yaml"))
        except KeyringError:
            # What a check lets pass no node refuses. Without that check there is none on the node either.
            if self.fleet.without is None:
                raise
        SessionBackend.check(CONFIG, found)
        self.ring, self.version = found, version
        self.backend.handle(Reload(self._opening(found)))

    def _opening(self, served: Keyring) -> Keyring:
        """Return the ring; without time-free opening, only those keys of it whose time has come."""
        if self.fleet.without != "time-free opening":
            return served
        return served.changed(
            keys=[each for each in served if each.state is not STAGED or (each.activates or 9e9) <= self.clock()]
        )

    def open(self, token: bytes) -> Loaded | None:
        """Return what a token holds, if it is accepted."""
        received, _ = self.backend.handle(Load((token,)))
        return received if isinstance(received, Loaded) else None

    def write(self, loaded: Loaded | None, *, renew: bool = False) -> bytes:
        """Store a new session, or one that was changed or is to be renewed, and return its token."""
        record = None if loaded is None else loaded.record
        session = Session({} if loaded is None else loaded.data, record=record, clock=self.clock)
        if renew:
            session.renew()
        else:
            session["n"] = session.get("n", 0) + 1
        message = Save(session, session) if loaded is None else Save(session, session, loaded)
        saved, _ = self.backend.handle(message)
        assert isinstance(saved, Saved)
        return saved.cookies[0].partition(b";")[0]


def kid_of(token: bytes) -> str:
    """Return the id of the key that a cookie was sealed under."""
    value = token.partition(b"=")[2]
    return urlsafe_b64decode(value[:8])[1:5].hex()


class Fleet(RuleBasedStateMachine):
    """Nodes that load what one writer publishes, within D; clocks within ε of one another.

    Attributes:
        without: the condition that is left out, if any.
        harms: what it looks for.
    """

    without: str | None = None
    harms: tuple[type[AssertionError], ...] = (LostError, MovedBackError)

    @initialize(offsets=st.tuples(*[st.sampled_from([0.0, SKEW])] * NODES), age=st.sampled_from([SPREAD, 0.0]))
    def begin(self, offsets: tuple[float, ...], age: float) -> None:
        """Begin as ``init`` does, everywhere, a moment ago or long enough for the first promote."""
        self.now = NOW
        self.made = 2
        first = ring(key(1, created=NOW - age), key(2, STAGED, created=NOW - age), generation=1)
        self.published: list[tuple[float, Keyring]] = [(NOW - max(age, D), first)]
        self.settled_from = NOW  # when the last publish that was made by hand is on every node
        self.nodes = [Node(self, offset) for offset in offsets]
        self.tokens: dict[str, tuple[float, bytes]] = {}  # the youngest token under each key, and when it was issued
        self.traffic()

    # --- sessions -----------------------------------------------------------------------------------------------------

    def traffic(self) -> None:
        """Make, read, write and renew sessions under every key on every node."""
        revoked = {each.kid for _, served in self.published for each in served if each.state is REVOKED}
        moves: set[tuple[str, str]] = set()
        fresh: list[tuple[float, bytes]] = []
        for node in self.nodes:
            fresh.append((node.clock(), node.write(None)))
            for kid, (issued, token) in self.tokens.items():
                if kid in revoked or node.clock() >= issued + LIFETIME:
                    continue
                loaded = node.open(token)
                if loaded is None:
                    if LostError in self.harms:
                        raise LostError
                    continue
                written = node.write(loaded, renew=len(moves) % 2 == 1)
                fresh.append((node.clock(), written))
                moves.add((kid, kid_of(written)))
        if MovedBackError in self.harms and any(one != other and (other, one) in moves for one, other in moves):
            raise MovedBackError
        for issued, token in fresh:
            kid = kid_of(token)
            self.tokens[kid] = max(self.tokens.get(kid, (0.0, b"")), (issued, token))

    # --- time ---------------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from(WAITS))
    def wait(self, seconds: float) -> None:
        """Let time pass; whoever has not loaded a publish by its last moment does so then."""
        end = self.now + seconds
        while (due := min(map(self.last_moment, self.nodes))) <= end:
            self.now = max(self.now, due - MOMENT)
            self.traffic()
            self.now = max(self.now, due)
            for node in self.nodes:
                while self.last_moment(node) <= due:
                    node.load(node.version + 1)
            self.traffic()
        self.now = end
        self.traffic()

    def last_moment(self, node: Node) -> float:
        """Return by when a node loads its next ring: D after the publish; never, if it has the newest."""
        following = node.version + 1
        return self.published[following][0] + D if following < len(self.published) else math.inf

    @rule(number=st.integers(1, NODES - 1), skip=st.booleans())
    @precondition(lambda self: any(node.version < self.nodes[0].version for node in self.nodes))
    def load(self, number: int, skip: bool) -> None:
        """Have a node load the next publish, or the newest at once."""
        node, newest = self.nodes[number], len(self.published) - 1
        if node.version < newest:
            node.load(newest if skip else node.version + 1)
            self.traffic()

    @rule(number=st.integers(0, NODES - 1), offset=st.sampled_from([0.0, SKEW / 2, SKEW]))
    def set_clock(self, number: int, offset: float) -> None:
        """Have a node's clock drift, or be set."""
        self.nodes[number].offset = offset
        self.traffic()

    # --- publishing by commands ---------------------------------------------------------------------------------------

    @property
    def ring(self) -> Keyring:
        """The newest ring."""
        return self.published[-1][1]

    def has(self, state: KeyState) -> bool:
        """Return whether a key of the newest ring is in a state, by the writer's clock."""
        return any(each.state is state for each in rotation.settle(self.ring, self.now))

    def pick(self, number: int, state: KeyState) -> Key:
        """Return some key of the newest ring in a state."""
        keys = [each for each in rotation.settle(self.ring, self.now) if each.state is state]
        return keys[number % len(keys)]

    def changed(self, chosen: Key, **changes: Any) -> list[Key]:
        """Return the keys of the newest ring, one of them changed."""
        return [dataclasses.replace(each, **changes) if each.id == chosen.id else each for each in self.ring]

    def calm(self) -> bool:
        """Return whether the last publish is everywhere (C2): else nobody may edit the file."""
        return self.without == "C2" or self.now >= self.published[-1][0] + SPREAD

    def fresh_key(self, state: KeyState, moment: float) -> Key:
        """Return a key that nobody has yet."""
        self.made += 1
        return key(self.made, state, created=moment)

    def put(self, found: Keyring) -> None:
        """Publish a ring, which the first node, the writer's own, has at once."""
        self.published.append((self.now, found))
        self.nodes[0].load(len(self.published) - 1)
        self.traffic()

    def conditions(self) -> set[str]:
        """Return the conditions that are looked at."""
        return set(safety.CONDITIONS) - {self.without}

    def command(self, step: Callable[[float, bool], Keyring], offset: float) -> None:
        """Publish a step of the command line, made on a machine with a clock of its own."""
        if self.now < self.settled_from:
            return
        moment = self.now + offset
        allowed = True
        try:
            found = step(moment, False)
        except RotationRefused as error:
            allowed = False
            assert error.allowed_at is None or error.allowed_at > moment  # noqa: PT017 - only refusals are looked at
            try:
                found = step(moment, True)
            except RotationRefused:
                return
        broken = safety.check(self.ring, found, moment, conditions=self.conditions())
        if allowed and self.without is None:
            assert broken == ()
        if not broken:
            self.put(found)

    @rule(offset=st.sampled_from([0.0, SKEW]))
    @precondition(lambda self: len(self.ring) < MOST_KEYS)
    def stage(self, offset: float) -> None:
        """Stage one more key."""
        self.command(lambda now, _: rotation.stage(self.ring, self.fresh_key(STAGED, now)), offset)

    @rule(
        offset=st.sampled_from([0.0, SKEW]),
        ahead=st.sampled_from([None, None, 1.0, SKEW, SPREAD, SPREAD + 1, LIFETIME]),
        successor=st.booleans(),
    )
    @precondition(lambda self: len(self.ring) < MOST_KEYS)
    def promote(self, offset: float, ahead: float | None, successor: bool) -> None:
        """Promote the staged key, now or at a time."""

        def step(now: float, force: bool) -> Keyring:
            new = self.fresh_key(STAGED, now) if successor else None
            at = None if ahead is None else now + ahead
            return rotation.promote(self.ring, now, successor=new, at=at, force=force)

        self.command(step, offset)

    @rule(offset=st.sampled_from([0.0, SKEW]))
    @precondition(lambda self: self.has(RETIRED))
    def rollback(self, offset: float) -> None:
        """Go back one step."""
        self.command(lambda now, _: rotation.rollback(self.ring, now), offset)

    @rule(offset=st.sampled_from([0.0, SKEW]), number=st.integers(0, MOST_KEYS))
    @precondition(lambda self: self.has(STAGED))
    def retire(self, offset: float, number: int) -> None:
        """Retire a staged key."""
        name = self.pick(number, STAGED).kid
        self.command(lambda now, _: rotation.retire(self.ring, name, now), offset)

    @rule(offset=st.sampled_from([0.0, SKEW]), number=st.integers(0, MOST_KEYS), all_of_them=st.booleans())
    @precondition(lambda self: self.has(RETIRED))
    def prune(self, offset: float, number: int, all_of_them: bool) -> None:
        """Prune a retired key, or all that may go."""
        names = [] if all_of_them else [self.pick(number, RETIRED).kid]
        self.command(lambda now, force: rotation.prune(self.ring, now, names, force=force), offset)

    @rule(offset=st.sampled_from([0.0, SKEW]), number=st.integers(0, MOST_KEYS))
    def revoke(self, offset: float, number: int) -> None:
        """Revoke any key; one that seals only where what takes over is everywhere, since else it costs sessions."""
        moment = self.now + offset
        name = self.ring.keys[number % len(self.ring)].kid
        settled = [rotation.settle(self.ring, time) for time in (moment - SKEW, moment, moment + SKEW)]
        if any(each.kid == name and each.state is ACTIVE for one in settled for each in one):
            try:
                rotation.promote(self.ring.changed(generation=0), moment)
            except RotationRefused:
                return
        self.command(lambda now, _: rotation.revoke(self.ring, name, now), offset)

    # --- publishing by hand -------------------------------------------------------------------------------------------

    def edit(self, keys: list[Key], offset: float, **changes: Any) -> None:
        """Publish what somebody wrote, if the check lets it pass."""
        moment = self.now + offset
        try:
            found = self.ring.changed(keys=keys, generation=self.ring.generation + 1, **changes)
        except KeyringError:
            return
        if not safety.check(self.ring, found, moment, conditions=self.conditions()):
            self.settled_from = self.now + (0.0 if self.without == "C2" else SPREAD)
            self.put(found)

    @rule(
        offset=st.sampled_from([0.0, SKEW]),
        state=st.sampled_from([STAGED, RETIRED]),
        number=st.integers(0, MOST_KEYS),
        dated=st.booleans(),
    )
    @precondition(lambda self: self.calm())
    def swap_the_active_key(self, offset: float, state: KeyState, number: int, dated: bool) -> None:
        """Make any other key active, and give the active one another state: with dates, or without."""
        moment = self.now + offset
        active = next(each for each in self.ring if each.state is ACTIVE)
        others = [each for each in self.ring if each is not active]
        if others:
            heir = others[number % len(others)]
            retired = moment if dated and state is RETIRED else None
            swapped = {
                active: dataclasses.replace(active, state=state, retired=retired),
                heir: dataclasses.replace(heir, state=ACTIVE, activates=moment if dated else None),
            }
            self.edit([swapped.get(each, each) for each in self.ring], offset)

    @rule(
        offset=st.sampled_from([0.0, SKEW]),
        before=st.sampled_from([STAGED, RETIRED, REVOKED]),
        number=st.integers(0, MOST_KEYS),
        state=st.sampled_from([STAGED, RETIRED]),
    )
    @precondition(lambda self: self.calm())
    def set_state(self, offset: float, before: KeyState, number: int, state: KeyState) -> None:
        """Give any other key another state, and no date."""
        if self.has(before):
            self.edit(self.changed(self.pick(number, before), state=state, retired=None, prune_after=None), offset)

    @rule(
        offset=st.sampled_from([0.0, SKEW]),
        number=st.integers(0, MOST_KEYS),
        ahead=st.sampled_from([None, -LIFETIME, 0.0, D, SPREAD, LIFETIME]),
    )
    @precondition(lambda self: self.calm() and self.has(STAGED))
    def set_time(self, offset: float, number: int, ahead: float | None) -> None:
        """Write any time, or none, as the time at which a staged key takes over."""
        at = None if ahead is None else self.now + offset + ahead
        self.edit(self.changed(self.pick(number, STAGED), activates=at), offset)

    @rule(offset=st.sampled_from([0.0, SKEW]), number=st.integers(0, MOST_KEYS))
    @precondition(lambda self: self.calm())
    def take_out(self, offset: float, number: int) -> None:
        """Delete any key."""
        keys = list(self.ring.keys)
        del keys[number % len(keys)]
        self.edit(keys, offset)

    @rule(
        offset=st.sampled_from([0.0, SKEW]),
        state=st.sampled_from([STAGED, ACTIVE, RETIRED]),
        ahead=st.sampled_from([None, 0.0, D, SPREAD]),
        age=st.sampled_from([0.0, LIFETIME]),
    )
    @precondition(lambda self: self.calm() and len(self.ring) < MOST_KEYS)
    def put_in(self, offset: float, state: KeyState, ahead: float | None, age: float) -> None:
        """Write a new key in any state, with a time or a date that is too early, or in place of the active one."""
        moment = self.now + offset
        new = self.fresh_key(state, moment - age)
        if ahead is not None and state is STAGED:
            new = dataclasses.replace(new, activates=moment + ahead)
        keys = list(self.ring.keys)
        if state is ACTIVE:
            keys = [
                dataclasses.replace(each, state=RETIRED, retired=moment) if each.state is ACTIVE else each
                for each in keys
            ]
        self.edit([*keys, new], offset)

    @rule(offset=st.sampled_from([0.0, SKEW]), number=st.integers(0, MOST_KEYS))
    @precondition(lambda self: self.calm() and self.has(RETIRED))
    def date_back(self, offset: float, number: int) -> None:
        """Write that a retired key was retired long ago."""
        self.edit(self.changed(self.pick(number, RETIRED), retired=NOW - KEPT, prune_after=None), offset)

    @rule(offset=st.sampled_from([0.0, SKEW]), times=st.sampled_from([1, 2]))
    @precondition(lambda self: self.calm())
    def promise(self, offset: float, times: int) -> None:
        """Raise all promises of the policy, or lower them to what is true."""
        policy = dataclasses.replace(POLICY, propagation=times * D, skew=times * SKEW, token_lifetime=times * LIFETIME)
        self.edit(list(self.ring.keys), offset, policy=policy)


TestFleet = Fleet.TestCase
TestFleet.__doc__ = "Under C1 to C4 no session is lost and none moves to and fro, whatever is published when."
TestFleet.settings = settings(stateful_step_count=30)


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    ("without", "harm"),
    [
        ("C1", LostError),
        ("C2", LostError),
        ("C3", LostError),
        ("C4", MovedBackError),
        ("time-free opening", LostError),
        ("monotonic", MovedBackError),
    ],
)
def test_each_condition_is_needed(without: str, harm: type[AssertionError]) -> None:
    """The test of the test: with one condition left out, the machine finds the very harm that it prevents."""
    machine = type("Without", (Fleet,), {"without": without, "harms": (harm,)})
    search = settings(
        derandomize=True,
        database=None,
        deadline=None,
        max_examples=3000,
        stateful_step_count=30,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises(harm):
        run_state_machine_as_test(machine, settings=search)
