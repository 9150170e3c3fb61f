"""The same events in the words of others: how to map them to ECS and OCSF.

Rules of this file:

* Class and field names are those of the Elastic Common Schema 8.17, whose expected types for each category are kept to,
  and of the Open Cybersecurity Schema Framework 1.9 (its Application Error came with 1.4, the other classes are older).
* What has no counterpart stays under our own name: in ECS as a label, in OCSF under ``unmapped``.

OWASP's word needs no mapping: it is in the line.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ECS", "ECS_FIELDS", "ECS_VERSION", "OCSF", "OCSF_FIELDS", "OCSF_VERSION", "Ecs", "Ocsf"]

ECS_VERSION = "8.17"
OCSF_VERSION = "1.9"


class Ecs(NamedTuple):
    """An event in ECS.

    Attributes:
        kind: ``event.kind``.
        category: ``event.category``.
        type: ``event.type``.
    """

    kind: str
    category: str
    type: str


class Ocsf(NamedTuple):
    """An event in OCSF.

    Attributes:
        class_uid: number of the class.
        class_name: its caption.
        activity_id: number of the activity in that class; 99 is "Other", whose name is then the event's.
        activity: its caption.
    """

    class_uid: int
    class_name: str
    activity_id: int
    activity: str


def _authentication(activity_id: int, activity: str) -> Ocsf:
    return Ocsf(3002, "Authentication", activity_id, activity)


def _entity(activity_id: int, activity: str) -> Ocsf:
    return Ocsf(3004, "Entity Management", activity_id, activity)


def _lifecycle(activity_id: int, activity: str) -> Ocsf:
    return Ocsf(6002, "Application Lifecycle", activity_id, activity)


_SESSION = _authentication(99, "Other")
_ERROR = Ocsf(6008, "Application Error", 1, "General Error")

ECS: dict[str, Ecs] = {
    "session.created": Ecs("event", "session", "start"),
    "session.loaded": Ecs("event", "session", "info"),
    "session.migrated": Ecs("event", "session", "start"),
    "session.migration_refused": Ecs("event", "session", "info"),
    "session.migration_over": Ecs("event", "session", "info"),
    "session.updated": Ecs("event", "session", "info"),
    "session.renewed": Ecs("event", "session", "info"),
    "session.regenerated": Ecs("event", "session", "info"),
    "session.rekeyed": Ecs("event", "session", "info"),
    "session.expired": Ecs("event", "session", "end"),
    "session.use_after_expire": Ecs("event", "session", "info"),
    "session.destroyed": Ecs("event", "session", "end"),
    "session.revoked": Ecs("event", "session", "end"),
    "session.rejected": Ecs("event", "session", "info"),
    "session.duplicate": Ecs("event", "session", "info"),
    "session.oversized": Ecs("event", "session", "info"),
    "session.large": Ecs("event", "session", "info"),
    "session.save_failed": Ecs("event", "session", "info"),
    "session.write_lost": Ecs("event", "session", "info"),
    "session.cookie_conflict": Ecs("event", "session", "info"),
    "session.cacheable_set_cookie": Ecs("event", "session", "info"),
    "session.insecure_transport": Ecs("event", "session", "info"),
    "keyring.loaded": Ecs("event", "configuration", "access"),
    "keyring.reloaded": Ecs("event", "configuration", "change"),
    "keyring.reload_failed": Ecs("event", "configuration", "info"),
    "keyring.unsafe": Ecs("event", "configuration", "info"),
    "keyring.recovered": Ecs("event", "configuration", "info"),
    "keyring.key_staged": Ecs("event", "configuration", "creation"),
    "keyring.key_activated": Ecs("event", "configuration", "change"),
    "keyring.key_retired": Ecs("event", "configuration", "change"),
    "keyring.key_pruned": Ecs("event", "configuration", "deletion"),
    "keyring.key_revoked": Ecs("event", "configuration", "change"),
    "keyring.key_usage": Ecs("metric", "configuration", "info"),
    "keyring.rotation_overdue": Ecs("event", "configuration", "info"),
    "revocation.unavailable": Ecs("event", "session", "info"),
    "revocation.recovered": Ecs("event", "session", "info"),
    "actor.started": Ecs("event", "process", "start"),
    "actor.stopped": Ecs("event", "process", "end"),
    "actor.restarted": Ecs("event", "process", "start"),
    "actor.failed": Ecs("event", "process", "end"),
    "actor.message_failed": Ecs("event", "process", "info"),
    "actor.overloaded": Ecs("event", "process", "info"),
    "actor.recovered": Ecs("event", "process", "info"),
    "actor.inline": Ecs("event", "process", "info"),
    "audit.summary": Ecs("event", "session", "info"),
    "audit.overflow": Ecs("event", "session", "info"),
    "audit.recovered": Ecs("event", "process", "info"),
    "audit.chain_closed": Ecs("event", "process", "end"),
}
"""Every event in ECS."""

OCSF: dict[str, Ocsf] = {
    "session.created": _authentication(1, "Logon"),
    "session.loaded": _SESSION,
    "session.migrated": _SESSION,
    "session.migration_refused": _SESSION,
    "session.migration_over": _SESSION,
    "session.updated": _SESSION,
    "session.renewed": _SESSION,
    "session.regenerated": _SESSION,
    "session.rekeyed": _SESSION,
    "session.expired": _authentication(2, "Logoff"),
    "session.use_after_expire": _SESSION,
    "session.destroyed": _authentication(2, "Logoff"),
    "session.revoked": _SESSION,
    "session.rejected": _SESSION,
    "session.duplicate": _SESSION,
    "session.oversized": _ERROR,
    "session.large": _SESSION,
    "session.save_failed": _ERROR,
    "session.write_lost": _ERROR,
    "session.cookie_conflict": _SESSION,
    "session.cacheable_set_cookie": _SESSION,
    "session.insecure_transport": _SESSION,
    "keyring.loaded": _entity(2, "Read"),
    "keyring.reloaded": _entity(3, "Update"),
    "keyring.reload_failed": _entity(3, "Update"),
    "keyring.unsafe": _entity(99, "Other"),
    "keyring.recovered": _entity(2, "Read"),
    "keyring.key_staged": _entity(1, "Create"),
    "keyring.key_activated": _entity(10, "Activate"),
    "keyring.key_retired": _entity(11, "Deactivate"),
    "keyring.key_pruned": _entity(4, "Delete"),
    "keyring.key_revoked": _entity(9, "Disable"),
    "keyring.key_usage": _entity(99, "Other"),
    "keyring.rotation_overdue": _entity(99, "Other"),
    "revocation.unavailable": _ERROR,
    "revocation.recovered": _lifecycle(99, "Other"),
    "actor.started": _lifecycle(3, "Start"),
    "actor.stopped": _lifecycle(4, "Stop"),
    "actor.restarted": _lifecycle(5, "Restart"),
    "actor.failed": _ERROR,
    "actor.message_failed": _ERROR,
    "actor.overloaded": _ERROR,
    "actor.recovered": _lifecycle(99, "Other"),
    "actor.inline": _lifecycle(99, "Other"),
    "audit.summary": _SESSION,
    "audit.overflow": _SESSION,
    "audit.recovered": _ERROR,
    "audit.chain_closed": _lifecycle(99, "Other"),
}
"""Every event in OCSF; ``status_id`` is 1 for success and 2 for failure."""

ECS_FIELDS: dict[str, str] = {
    "timestamp": "@timestamp",
    "level": "log.level",
    "event": "event.action",
    "outcome": "event.outcome",
    "component": "event.provider",
    "instance": "service.node.name",
    "reason": "event.reason",
    "error_type": "error.type",
    "problem": "error.message",
    "duration": "event.duration, in nanoseconds",
    "first_seen": "event.start",
    "last_seen": "event.end",
}
"""Our fields in ECS; all others as ``labels.NAME``."""

OCSF_FIELDS: dict[str, str] = {
    "timestamp": "time, in milliseconds since 1970",
    "level": "severity_id: 1 Informational for debug and info, 3 Medium for warning, 4 High for error, 5 Critical",
    "event": "metadata.event_code; also activity_name where activity_id is 99",
    "outcome": "status_id: 1 Success, 2 Failure",
    "component": "metadata.product.name",
    "reason": "status_detail",
    "problem": "status_detail",
    "error_type": "status_code",
    "session_ref": "session.uid",
    "expires_at": "session.expiration_time",
    "kid": "entity.uid, in Entity Management",
    "label": "entity.name",
    "count": "count",
    "first_seen": "start_time",
    "last_seen": "end_time",
    "duration": "duration, in milliseconds",
}
"""Our fields in OCSF; all others in ``unmapped``."""
