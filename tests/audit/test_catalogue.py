"""Fields, their meaning, and what others call them: whole, and of the forms that it promises."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING

import jsonschema
import pytest

from sessionkit.audit import catalogue, vocabularies
from sessionkit.audit.catalogue import COMMON, MEANINGS, meaning, types
from sessionkit.audit.events import CATALOGUE, Event, KeyPruned, SessionRejected, SessionRenewed
from sessionkit.audit.pseudonyms import Pseudonyms
from sessionkit.audit.text import clean
from sessionkit.exceptions import RejectReason
from sessionkit.keyring.keyring import Keyring
from tests.audit.samples import KINDS, full

if TYPE_CHECKING:
    from sessionkit.audit.catalogue import Meaning

every_kind = pytest.mark.parametrize("kind", KINDS, ids=CATALOGUE)


@every_kind
def test_every_field_is_written_down(kind: type[Event]) -> None:
    """Each field of each event has a meaning, whose example is of its type."""
    names: dict[str, type | tuple[type, ...]] = {"string": str, "integer": int, "number": float, "boolean": bool}
    for name, (json_type, _) in types(kind).items():
        assert isinstance(meaning(kind.name, name).example, names[json_type]), name


def test_a_field_that_nobody_has_written_down() -> None:
    """Who adds a field is told where its meaning belongs."""
    with pytest.raises(LookupError, match=r"actor.inline has a field 'colour' .* add it to MEANINGS"):
        meaning("actor.inline", "colour")


def test_nothing_is_written_down_that_is_not_there() -> None:
    """A meaning that no event needs is taken out."""
    needed = Counter(
        f"{name}.{field}" if f"{name}.{field}" in MEANINGS else field
        for name, kind in CATALOGUE.items()
        for field in types(kind)
    )
    assert set(MEANINGS) - set(needed) == set()


@pytest.mark.parametrize("field", [*COMMON.values(), *MEANINGS.values()], ids=[*COMMON, *MEANINGS])
def test_examples_are_what_they_are_examples_of(field: Meaning) -> None:
    """An example satisfies its own form, and is text as lines have it."""
    assert field.text
    if field.words:
        assert field.example in field.words
        assert len(set(field.words)) == len(field.words)
    if field.pattern is not None:
        assert re.search(field.pattern, str(field.example))
    if isinstance(field.example, str):
        assert clean(field.example) == field.example


def test_forms_are_those_of_the_real_things() -> None:
    """Ids of keys, digests of rings and references, as the code makes them, have the forms written down."""
    ring, refs = Keyring.from_secret(b"x" * 32), Pseudonyms(b"k" * 32)
    made = {"kid": ring.active(0).kid, "digest": ring.digest, "session_ref": refs.session(b"id")}
    for name, value in made.items():
        pattern = MEANINGS[name].pattern
        assert pattern is not None
        assert re.fullmatch(pattern, value)


@every_kind
def test_levels_and_words_are_those_of_the_events(kind: type[Event]) -> None:
    """An event has the one level and word of its class, unless it says that they depend; then these are among them."""
    event = full(kind)
    assert event.severity in catalogue.levels(kind)
    assert event.vocabulary in catalogue.words(kind)
    assert (len(catalogue.levels(kind)) > 1) is (kind.severity is not Event.severity)
    assert (len(catalogue.words(kind)) > 1) is (kind.vocabulary is not Event.vocabulary)


def test_levels_and_words_that_depend() -> None:
    """All that an event can have is written down, and nothing else."""
    renewed = [SessionRenewed(**{**full(SessionRenewed).as_fields(), "automatic": mark}) for mark in (False, True)]  # type: ignore[arg-type]  # fields of all types
    pruned = [KeyPruned(**{**full(KeyPruned).as_fields(), "early": mark}) for mark in (False, True)]  # type: ignore[arg-type]  # fields of all types
    for events in (renewed, pruned):
        assert {event.severity for event in events} == set(catalogue.levels(type(events[0])))
    rejected = [
        SessionRejected(reason=reason.value, cookie_ref="r", size=1, chunks=1).vocabulary for reason in RejectReason
    ]
    assert set(rejected) == set(catalogue.words(SessionRejected))


def test_the_schema_is_one() -> None:
    """It is valid by JSON Schema's own rules of 2020-12, and has a part for every event."""
    schema = json.loads(catalogue.schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]
    assert list(schema["$defs"]) == list(CATALOGUE)
    assert len(schema["oneOf"]) == len(CATALOGUE)


# Of ECS 8.17: which types its documentation expects under each category that is used here.
ECS_TYPES = {
    "configuration": {"access", "change", "creation", "deletion", "info"},
    "process": {"access", "change", "end", "info", "start"},
    "session": {"start", "end", "info"},
}

# Of OCSF 1.9: activities of the classes that are used here.
OCSF_ACTIVITIES = {
    (3002, "Authentication"): {1: "Logon", 2: "Logoff", 99: "Other"},
    (3004, "Entity Management"): {
        1: "Create",
        2: "Read",
        3: "Update",
        4: "Delete",
        9: "Disable",
        10: "Activate",
        11: "Deactivate",
        99: "Other",
    },
    (6002, "Application Lifecycle"): {3: "Start", 4: "Stop", 5: "Restart", 99: "Other"},
    (6008, "Application Error"): {1: "General Error"},
}


def test_every_event_has_its_place_in_the_words_of_others() -> None:
    """ECS and OCSF: each event is mapped, to categories, types, classes and activities that are theirs."""
    assert vocabularies.ECS.keys() == vocabularies.OCSF.keys() == CATALOGUE.keys()
    for ecs in vocabularies.ECS.values():
        assert ecs.kind in {"event", "metric"}
        assert ecs.type in ECS_TYPES[ecs.category]
    for ocsf in vocabularies.OCSF.values():
        assert OCSF_ACTIVITIES[ocsf.class_uid, ocsf.class_name][ocsf.activity_id] == ocsf.activity


def test_fields_that_are_mapped_are_ours() -> None:
    """No mapping names a field that no line has."""
    ours = {*COMMON, *(field for kind in KINDS for field in types(kind))}
    assert ours.issuperset(vocabularies.ECS_FIELDS)
    assert ours.issuperset(vocabularies.OCSF_FIELDS)
