"""The catalogue: what every event must be, so that a log can be queried and tells no secret."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from typing import Any, ClassVar, get_origin, get_type_hints

import pytest

from sessionkit.audit import events
from sessionkit.audit.catalogue import COMMON, types, words
from sessionkit.audit.events import CATALOGUE, AuditSummary, Event, KeyPruned, Level, SessionRenewed, timestamp
from sessionkit.audit.log import AuditLog
from tests.audit.samples import EVENTS, KINDS, bare, full
from tests.line_schema import violations

# https://cheatsheetseries.owasp.org/cheatsheets/Logging_Vocabulary_Cheat_Sheet.html
OWASP = {
    "session_created",
    "session_renewed",
    "session_expired",
    "session_use_after_expire",
    "crypt_decrypt_fail",
    "input_validation_fail",
    "sys_startup",
    "sys_shutdown",
    "sys_restart",
    "sys_crash",
}

PLAIN = (*(str, int, float, bool), *(str | None, int | None, float | None, bool | None))

every_kind = pytest.mark.parametrize("kind", KINDS, ids=CATALOGUE)


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name.startswith("keyring.")])
def test_every_event_of_a_keyring_names_the_ring(name: str) -> None:
    """Digest and generation are on each of them, always: whoever reads the log can tell who runs which ring."""
    for event in (full(CATALOGUE[name]), bare(CATALOGUE[name])):
        assert {"digest", "generation"} <= set(event.as_fields())


class Lines:
    """A sink that keeps the lines, whatever their level."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def debug(self, event: str, /, **fields: Any) -> None:
        """Keep a line."""
        self.lines.append({"event": event, **fields})

    info = warning = error = critical = debug


def test_the_catalogue_is_whole() -> None:
    """Every event that this package can emit is in it, under its own name, as the class one gets by importing it."""
    exported = [getattr(events, name) for name in events.__all__]
    kinds = {kind for kind in exported if isinstance(kind, type) and issubclass(kind, Event)} - {Event}
    assert set(KINDS) == kinds
    assert all(name == kind.name for name, kind in CATALOGUE.items())


@every_kind
def test_names_are_constant_and_dotted(kind: type[Event]) -> None:
    """A name is two words with a dot between, of small letters, its first word the category."""
    assert re.fullmatch(r"(session|keyring|revocation|actor|audit)\.[a-z]+(_[a-z]+)*", kind.name)
    assert full(kind).category == kind.name.split(".")[0]
    assert kind.__doc__


@every_kind
def test_fields_are_flat_and_plain(kind: type[Event]) -> None:
    """Case 200: a field is text, a number, a truth value or absent, never octets, a list or an object."""
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if get_origin(hint) is ClassVar:
            continue
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
        assert hint in PLAIN
    assert not types(kind).keys() & COMMON.keys()


@every_kind
def test_constants_are_of_closed_lists(kind: type[Event]) -> None:
    """Outcome and OWASP's word are taken from lists that queries may rely on."""
    assert kind.outcome in {"success", "failure"}
    assert {None, *OWASP}.issuperset(words(kind))
    assert full(kind).severity in Level


@every_kind
def test_events_are_values(kind: type[Event]) -> None:
    """An event cannot be altered, has no room for more, and equals another with the same fields."""
    event = full(kind)
    assert event == full(kind)
    assert not hasattr(event, "__dict__")
    for name in types(kind):
        with pytest.raises(FrozenInstanceError):
            setattr(event, name, "x")


@every_kind
def test_what_is_none_is_left_out(kind: type[Event]) -> None:
    """Fields without a value do not stand in the line."""
    assert full(kind).as_fields().keys() == types(kind).keys()
    assert None not in bare(kind).as_fields().values()


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_every_line_satisfies_its_schema(event: Event) -> None:
    """Each event, with all its fields and with the least, becomes one line as the schema has it, and no more."""
    sink = Lines()
    AuditLog(Level.DEBUG, clock=lambda: 1_700_000_000.25, logger=sink).emit([event])
    (line,) = sink.lines
    assert violations(line) == []
    assert set(line) == COMMON.keys() | event.as_fields().keys()
    assert line["level"] == event.severity.name.lower()


def test_what_a_client_can_cause_is_marked() -> None:
    """Case 201: exactly these events may be counted instead of written; none of the keyring's or the actor's."""
    assert {kind.name for kind in KINDS if kind.hostile} == {
        "session.use_after_expire",
        "session.revoked",
        "session.rejected",
        "session.duplicate",
        "session.large",
        "session.cacheable_set_cookie",
        "session.cookie_conflict",
        "session.migration_refused",
    }


@pytest.mark.parametrize(("automatic", "level"), [(True, Level.DEBUG), (False, Level.INFO)])
def test_sliding_renewals_are_quiet(automatic: bool, level: Level) -> None:
    """A renewal that the application asked for is news; one because half of the life was over is not."""
    event = SessionRenewed(session_ref="r", kid="k", previous_expires_at="t", expires_at="t", automatic=automatic)
    assert event.severity is level


@pytest.mark.parametrize(
    ("summarised", "level"),
    [("session.duplicate", Level.DEBUG), ("session.rejected", Level.WARNING), ("?", Level.WARNING)],
)
def test_summaries_are_as_severe_as_what_they_count(summarised: str, level: Level) -> None:
    """A summary of quiet events is quiet."""
    event = AuditSummary(summarised=summarised, count=1, first_seen="t", last_seen="t")
    assert event.severity is level


@pytest.mark.parametrize(("early", "level"), [(True, Level.WARNING), (False, Level.INFO)])
def test_pruning_early_is_loud(early: bool, level: Level) -> None:
    """A key that goes before its time takes sessions with it."""
    event = KeyPruned(kid="k", label="l", state="retired", digest="d", generation=1, early=early)
    assert event.severity is level


@pytest.mark.parametrize(
    ("when", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000.25, "2023-11-14T22:13:20.250Z"),
        (2_147_483_648, "2038-01-19T03:14:08.000Z"),
        (253_402_300_799, "9999-12-31T23:59:59.000Z"),
    ],
)
def test_one_spelling_of_time(when: float, text: str) -> None:
    """Case 178: ISO 8601 in UTC with milliseconds, with a ``Z``, also after 2038."""
    assert timestamp(when) == text


def test_a_time_beyond_all_dates_is_the_last_one() -> None:
    """Lines are written within requests: a date that a policy without bounds leads to fails none of them."""
    assert timestamp(1e15) == timestamp(float("inf")) == "9999-12-31T23:59:59.000Z"
