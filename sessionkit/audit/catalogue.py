"""What every field of the audit log means, and the JSON Schema that every line satisfies.

Rules of this file:

* A name means the same wherever it stands; where it cannot, the event's own meaning is given as ``event.field``.
* A field whose values are a closed set says so, and one of a fixed form gives its pattern. All other text is free: up
  to ``MAX_TEXT`` characters, without control characters.
* Types, names, levels and which fields must be there come from the event classes, never from here.

The page ``config/audit.md`` and ``config/audit.schema.json`` are generated from this; each test's lines are held
against the schema (``tests/line_schema.py``).
"""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any, get_type_hints

from sessionkit.audit.events import CATALOGUE, SCHEMA, Event, Level
from sessionkit.audit.text import MAX_TEXT
from sessionkit.exceptions import RejectReason
from sessionkit.keyring.key import KeyState
from sessionkit.keyring.safety import CONDITIONS
from sessionkit.migrate.old import OldRefusal
from sessionkit.migrate.settings import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["COMMON", "MEANINGS", "Meaning", "levels", "meaning", "schema", "types", "words"]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a field tells.

    Attributes:
        text: in words, with the unit.
        example: a value it may have.
        pattern: its form, if that is fixed: a regular expression.
        words: its values, if they are a closed set.
        smallest: the least number it may be.
    """

    text: str
    example: object
    pattern: str | None = None
    words: tuple[str, ...] = ()
    smallest: int | None = None


def _words(text: str, words: Iterable[str]) -> Meaning:
    known = tuple(words)
    return Meaning(text, known[0], words=known)


def _count(text: str, example: int = 3) -> Meaning:
    return Meaning(text, example, smallest=0)


def _seconds(text: str, example: float = 1.5) -> Meaning:
    return Meaning(f"{text}, in seconds", example)


def _time(text: str) -> Meaning:
    return Meaning(text, "2026-11-25T12:00:00.000Z", r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


def _key(text: str) -> Meaning:
    return Meaning(text, "b35e5601", "^[0-9a-f]{8}$")


def _digest(text: str) -> Meaning:
    return Meaning(text, "0f1e2d3c4b5a6978", "^[0-9a-f]{16}$")


def _reference(text: str) -> Meaning:
    return Meaning(text, "MZXW6YTBOI5DEMZV", "^[A-Z2-7]{16}$")


_REASONS = tuple(reason.value for reason in RejectReason)
_STATES = tuple(state.value for state in KeyState)
_CLOSED = ("response_started", "websocket_open")
_LOST = (
    "error_response",
    "exception",
    "handshake_refused",
    "key_revoked",
    "no_response",
    "not_before",
    "subject",
    "terminated",
    "websocket",
    *_CLOSED,
)
_HOSTILE = tuple(name for name, kind in CATALOGUE.items() if kind.hostile)

COMMON: dict[str, Meaning] = {
    "timestamp": Meaning(
        "when it happened: UTC, ISO 8601 with milliseconds; a TimeStamper of the application's puts its own there",
        "2026-11-25T12:00:00.000Z",
        r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z$",
    ),
    "level": _words("severity", (level.name.lower() for level in Level)),
    "event": _words("what happened", CATALOGUE),
    "schema": Meaning("version of this catalogue", SCHEMA),
    "component": _words("who says it", ("sessionkit",)),
    "category": _words("first word of the event's name", ("session", "keyring", "revocation", "actor", "audit")),
    "outcome": _words("whether what was attempted came about", ("success", "failure")),
    "instance": Meaning("random name of the process", "9d5c0e21", "^[0-9a-f]{8}$"),
    "owasp": Meaning("word of OWASP's logging vocabulary, or null where it has none", "session_created"),
}
"""Fields of every line."""

MEANINGS: dict[str, Meaning] = {
    "activates_at": _time("when the staged key takes over by itself; absent: when it is promoted"),
    "active_for": _seconds("how long the key has sealed by now", 8_000_000.0),
    "active_kid": _key("key that seals from now on"),
    "age": _seconds("time since the session began, or since the last login", 3600.0),
    "automatic": Meaning("because half of its life was over; otherwise by the application's wish", example=False),
    "candidates": _count("authentic cookies of this name that came", 2),
    "chunks": _count("cookies it takes, or came in", 1),
    "client_ref": _reference("keyed hash of the client's address, if `audit.client_ref` is on"),
    "consecutive_failures": _count("looks in a row that refused the file", 1),
    "cookie": Meaning("name of the session's cookie, from the settings", "__Host-session"),
    "cookie_ref": _reference("keyed hash of the cookie that was refused"),
    "delta": _seconds("how far in the future it was issued, by this clock", 600.0),
    "depth": _count("messages that wait", 1024),
    "digest": _digest("ring in force: equal in all processes that have loaded the same file"),
    "duration": _seconds("time it took to read, check and adopt", 0.0042),
    "early": Meaning("before the time at which nothing depends on it any more", example=False),
    "error_type": Meaning("class of the error, never its text", "TimeoutError"),
    "expired_for": _seconds("time since the deadline", 12.0),
    "expires_at": _time("deadline from now on, unless it is renewed"),
    "failed": _count("cookies that named the key and were not accepted", 0),
    "failures": _count("looks in a row that had refused the file", 2),
    "first_seen": _time("the first of them"),
    "generation": _count("generation of that ring", 7),
    "condition": _words("safety condition that is broken, as `keyring check` names it", CONDITIONS),
    "handled": _count("messages answered since the start", 12_345),
    "idle": _seconds("time since the session was last written", 60.0),
    "key_state": _words("state of the key it came under", _STATES),
    "kid": _key("key the session is, or was, sealed under; the key this is about"),
    "label": Meaning("name of the key in the keyring file", "2026-11"),
    "largest_key": Meaning("top-level key of the largest entry", "cart"),
    "last_opened_at": _time("last time it opened a session in this window"),
    "last_seen": _time("the last of them"),
    "last_sealed_at": _time("last time it sealed a session in this window"),
    "limit": _count("octets there may be, or from which on it is told", 7500),
    "location": Meaning("file, and line if one is to blame", "keyring.yaml:12"),
    "max_age": _seconds("how long one key should seal", 7_776_000.0),
    "message_type": Meaning("class of the message", "Load"),
    "opened": _count("sessions opened", 120),
    "policy": _words("what holds meanwhile for requests with a session", ("closed", "open")),
    "previous_digest": _digest("ring that was in force before"),
    "previous_expires_at": _time("deadline before"),
    "previous_key_state": _words("state of the key before", _STATES),
    "previous_kid": _key("key before"),
    "previous_session_ref": _reference("reference under the id before"),
    "problem": Meaning("what is wrong with it; never a value from it", "has no active key"),
    "prune_after": _time("when nothing depends on it any more"),
    "rejected": _count("requests refused meanwhile", 17),
    "rekeyed_from": _count("sessions that left the key for a newer one", 4),
    "restarts": _count("times the loop was started anew", 1),
    "retired": _count("retired keys in the ring", 1),
    "revoked": _count("revoked keys in the ring", 0),
    "scope_type": _words("kind of connection", ("http", "websocket")),
    "sealed": _count("sessions sealed", 30),
    "session_ref": _reference("keyed hash of the session's id: the same in all lines about it"),
    "size": _count("octets of the token, or of what came", 180),
    "source": Meaning("name of the keyring file, or `code`", "keyring.yaml"),
    "staged": _count("staged keys in the ring", 1),
    "stale_for": _seconds("time since the file was first refused", 7.0),
    "state": _words("state of the key from now on", _STATES),
    "summarised": _words("event that was counted", _HOSTILE),
    "trigger": _words("what made the process look at the file", ("watch", "poll", "signal", "unknown_key", "start")),
    "unanswered": _count("messages that got no answer", 0),
    "unavailable_for": _seconds("time since the first question without an answer", 12.5),
    "unchecked": _count("times that the policy decided in place of the list", 40),
    "what": _words("what is large", ("session", "request_cookies")),
    "where": Meaning("place in the source, or `inline`", "backend.py:210"),
    "window": _seconds("time this is about", 60.0),
    # Where one name tells different things:
    "actor.inline.reason": _words("why no actor serves", ("no_lifespan", "stopped")),
    "chains": _count("hash chains that end: one for each thread and forked child that wrote"),
    "audit.recovered.count": _count("lines that were lost"),
    "audit.recovered.error_type": Meaning("class of the first error; `QueueFull` if lines came too fast", "OSError"),
    "audit.summary.reason": Meaning("their reason, where they have one", "bad_tag"),
    "audit.summary.count": _count("how many were counted instead of written"),
    "audit.overflow.count": _count("how many were counted here, of whatever kind"),
    "keyring.key_pruned.state": _words("state of the key when it went", _STATES),
    "keyring.key_usage.state": _words("state of the key", _STATES),
    "session.migrated.age": _seconds("time since the session began there, or since its last write", 3600.0),
    "session.migrated.source": _words("library it comes from", DEFAULTS),
    "session.migration_over.cookie": Meaning("name of the old cookie, from the settings", "sessionid"),
    "session.migration_over.source": _words("library that sessions are no longer taken over from", DEFAULTS),
    "session.migration_refused.cookie": Meaning("name of the old cookie, from the settings", "sessionid"),
    "session.migration_refused.reason": _words("why it was not taken over", (word.value for word in OldRefusal)),
    "session.migration_refused.source": _words("library it seemed to come from", DEFAULTS),
    "until": _time("end date of the move"),
    "revocation.recovered.failures": _count("questions without an answer"),
    "session.destroyed.reason": Meaning("the application's word; `cleared` if it emptied the session", "logout"),
    "session.expired.reason": _words("which deadline", ("idle", "absolute")),
    "session.regenerated.reason": Meaning("the application's word", "privilege_change"),
    "session.rejected.reason": _words("why it was not accepted", _REASONS),
    "session.revoked.reason": _words("by which rule", ("key_revoked", "not_before", "terminated", "subject")),
    "session.use_after_expire.reason": _words("which deadline", ("idle", "absolute")),
    "session.write_lost.reason": _words("why it was lost", _LOST),
}
"""Fields by name, or by event and name."""

_LEVELS: dict[str, tuple[Level, ...]] = {
    "session.renewed": (Level.DEBUG, Level.INFO),
    "keyring.key_pruned": (Level.INFO, Level.WARNING),
    "audit.summary": tuple(sorted({kind.level for kind in CATALOGUE.values() if kind.hostile})),
}
"""Where a level depends on a field."""

_VOCABULARY: dict[str, tuple[str, ...]] = {"session.rejected": ("input_validation_fail", "crypt_decrypt_fail")}
"""Where OWASP's word depends on a field."""

_NAMES: dict[object, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


def meaning(event: str, field: str) -> Meaning:
    """Return what a field of an event tells.

    Raises:
        LookupError: if nobody has written it down.
    """
    told = MEANINGS.get(f"{event}.{field}") or MEANINGS.get(field)
    if told is None:
        raise LookupError(f"{event} has a field {field!r} whose meaning nobody has written down: add it to MEANINGS")
    return told


def types(kind: type[Event]) -> dict[str, tuple[str, bool]]:
    """Return the fields of an event: the name of each one's JSON type, and whether every line has it."""
    hints = get_type_hints(kind)
    told: dict[str, tuple[str, bool]] = {}
    for field in fields(kind):
        hint = hints[field.name]
        [plain] = {hint} & _NAMES.keys() or {name for name in _NAMES if hint == name | None}  # type: ignore[operator]  # all of them are types
        told[field.name] = _NAMES[plain], field.default is MISSING or field.default is not None
    return told


def levels(kind: type[Event]) -> tuple[Level, ...]:
    """Return the levels that an event may have."""
    return _LEVELS.get(kind.name, (kind.level,))


def words(kind: type[Event]) -> tuple[str | None, ...]:
    """Return OWASP's words that an event may carry."""
    return _VOCABULARY.get(kind.name, (kind.owasp,))


def schema() -> str:
    """Return the JSON Schema of a line. What the application has bound may stand beside."""
    described: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of sessionkit's audit log",
        "description": "One object a line; fields that an application has bound to its context may stand beside.",
        "type": "object",
        "required": list(COMMON),
        "properties": {name: _described(field, _type_of(field.example)) for name, field in COMMON.items()},
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in CATALOGUE],
        "$defs": {name: _event(kind) for name, kind in CATALOGUE.items()},
    }
    described["properties"]["owasp"]["type"] = ["string", "null"]
    return json.dumps(described, indent=2, ensure_ascii=False) + "\n"


def _event(kind: type[Event]) -> dict[str, Any]:
    told = types(kind)
    constants = {
        "event": {"const": kind.name},
        "level": {"enum": [level.name.lower() for level in levels(kind)]},
        "category": {"const": kind.name.partition(".")[0]},
        "outcome": {"const": kind.outcome},
        "owasp": {"enum": list(words(kind))},
    }
    own = {name: _described(meaning(kind.name, name), json_type) for name, (json_type, _) in told.items()}
    return {
        "description": " ".join((kind.__doc__ or "").replace("``", "`").split()),
        "required": [name for name, (_, always) in told.items() if always],
        "properties": constants | own,
    }


def _described(field: Meaning, json_type: str) -> dict[str, Any]:
    told: dict[str, Any] = {"description": field.text, "type": json_type}
    if field.words:
        told["enum"] = list(field.words)
    elif field.pattern is not None:
        told["pattern"] = field.pattern
        if json_type == "string" and "T" in field.pattern:
            told["format"] = "date-time"
    elif json_type == "string":
        told["maxLength"] = MAX_TEXT
    if field.smallest is not None:
        told["minimum"] = field.smallest
    told["examples"] = [field.example]
    return told


def _type_of(example: object) -> str:
    return _NAMES[type(example)]
