"""The catalogue of the audit log as a page: every event, every field, and the words of others for them."""

from __future__ import annotations

from sessionkit.audit import catalogue, vocabularies
from sessionkit.audit.events import CATALOGUE, Event

HEAD = """# The audit log: every event and every field

Generated from the event classes by `scripts/generate`; [audit.schema.json](audit.schema.json) is the same for machines.
How to set the log up is in the [README](../README.md#audit-log).

⚡ marks what a client can cause at will: of these the first ten a minute of a kind (event, reason, client) are written,
the rest is counted in `audit.summary`. Fields in *italics* are there only where they apply.
"""


def page() -> str:
    """Return the page."""
    return "\n".join([HEAD, *_common(), *_events(), *_fields(), *_others()])


def summary() -> str:
    """Return the events in short, for the README: their names by level of interest."""
    rows = ["| | events |", "|---|---|"]
    for category, about in _ABOUT.items():
        named = [f"`{name}`{_mark(kind)}" for name, kind in CATALOGUE.items() if name.startswith(f"{category}.")]
        rows.append(f"| {about} | {', '.join(named)} |")
    return "\n".join(rows) + "\n"


_ABOUT = {
    "session": "a session",
    "keyring": "the keyring and its keys",
    "actor": "the actor",
    "audit": "the log itself",
}


def _mark(kind: type[Event]) -> str:
    return " ⚡" if kind.hostile else ""


def _common() -> list[str]:
    rows = ["## On every line", "", "| field | meaning | values |", "|---|---|---|"]
    for name, field in catalogue.COMMON.items():
        values = _values(field) if name not in {"event", "owasp"} else f"`{field.example}`, …"
        rows.append(f"| `{name}` | {field.text} | {values} |")
    rows += ["", "Beside them stands whatever the application has bound to structlog's context.", ""]
    return rows


def _events() -> list[str]:
    rows = ["## Events", "", "| event | level | outcome | OWASP | when | fields |", "|---|---|---|---|---|---|"]
    for name, kind in CATALOGUE.items():
        levels = ", ".join(level.name.lower() for level in catalogue.levels(kind))
        words = ", ".join(f"`{word}`" for word in catalogue.words(kind) if word) or "–"
        when = " ".join((kind.__doc__ or "").replace("``", "`").split())
        told = ", ".join(
            f"`{field}`" if always else f"*`{field}`*" for field, (_, always) in catalogue.types(kind).items()
        )
        rows.append(f"| `{name}`{_mark(kind)} | {levels} | {kind.outcome} | {words} | {when} | {told or '–'} |")
    return [*rows, ""]


def _fields() -> list[str]:
    rows = ["## Fields", "", "| field | type | meaning | values |", "|---|---|---|---|"]
    kinds = {field: json_type for kind in CATALOGUE.values() for field, (json_type, _) in catalogue.types(kind).items()}
    for name, field in sorted(catalogue.MEANINGS.items(), key=lambda entry: (entry[0].split(".")[-1], entry[0])):
        event, _, plain = name.rpartition(".")
        where = f" in `{event}`" if event else ""
        rows.append(f"| `{plain}`{where} | {kinds[plain]} | {field.text} | {_values(field)} |")
    return [*rows, ""]


def _values(field: catalogue.Meaning) -> str:
    if field.words:
        return ", ".join(f"`{word}`" for word in field.words)
    example = str(field.example).lower() if isinstance(field.example, bool) else field.example
    return f"such as `{example}`"


def _others() -> list[str]:
    rows = [
        "## In the words of others",
        "",
        "OWASP's word is on the line, as `owasp` ([Logging Vocabulary Cheat Sheet][owasp]). For the",
        f"[Elastic Common Schema][ecs] {vocabularies.ECS_VERSION} and the",
        f"[Open Cybersecurity Schema Framework][ocsf] {vocabularies.OCSF_VERSION}:",
        "",
        "[owasp]: https://cheatsheetseries.owasp.org/cheatsheets/Logging_Vocabulary_Cheat_Sheet.html",
        "[ecs]: https://www.elastic.co/docs/reference/ecs",
        "[ocsf]: https://schema.ocsf.io",
        "",
        "| event | ECS `event.kind` | `event.category` | `event.type` | OCSF class | activity |",
        "|---|---|---|---|---|---|",
    ]
    for name in CATALOGUE:
        ecs, ocsf = vocabularies.ECS[name], vocabularies.OCSF[name]
        rows.append(
            f"| `{name}` | {ecs.kind} | {ecs.category} | {ecs.type} | {ocsf.class_name} ({ocsf.class_uid}) "
            f"| {ocsf.activity} ({ocsf.activity_id}) |"
        )
    rows += ["", "| field | ECS | OCSF |", "|---|---|---|"]
    ours = [*catalogue.COMMON, *(name for name in catalogue.MEANINGS if "." not in name)]
    for name in ours:
        if name in vocabularies.ECS_FIELDS or name in vocabularies.OCSF_FIELDS:
            ecs_name = vocabularies.ECS_FIELDS.get(name, f"labels.{name}")
            rows.append(f"| `{name}` | {ecs_name} | {vocabularies.OCSF_FIELDS.get(name, f'unmapped.{name}')} |")
    rows += ["", "All other fields: `labels.NAME` in ECS, `unmapped.NAME` in OCSF.", ""]
    return rows
