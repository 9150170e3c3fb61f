"""YAML into models: plain values with their lines, and errors that quote nothing but names of settings."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, model_validator
from ruamel.yaml import YAML

from sessionkit import yamlfile
from sessionkit.exceptions import ConfigurationError
from sessionkit.yamlfile import Document, Unsuitable, discreet, parse, read_bytes, schema, validate

FILE = Path("config") / "x.yaml"
SECRET = "Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFy"


class Inner(BaseModel):
    """What is inside."""

    model_config = ConfigDict(extra="forbid")

    size: int = Field(default=1, description="a number of octets")
    name: str = "x"


class Outer(BaseModel):
    """The whole.

    More for readers of the code.
    """

    model_config = ConfigDict(extra="forbid")

    inner: Inner = Field(default_factory=Inner, description="what is inside")
    several: list[Inner] = Field(default_factory=list, description="some of them")
    either: int | Inner | None = Field(default=None, description="a number, or one of them")
    needed: str = Field(description="what cannot be left out")
    parts: dict[str, int] = Field(default_factory=dict, description="numbers by name")

    @model_validator(mode="after")
    def _fits(self) -> Outer:
        if self.needed == "never":
            raise Unsuitable("cannot be", "Say something else.", "needed")
        if self.needed == "nowhere":
            raise Unsuitable("do not fit together", "Change one.")
        return self


def values(text: str) -> dict[str, Any]:
    """Return what a text holds."""
    return parse(text.encode(), FILE).values


def refused(text: str) -> ConfigurationError:
    """Return the error a text is refused with as an ``Outer``."""
    with pytest.raises(ConfigurationError) as caught:
        validate(parse(text.encode(), FILE), Outer)
    error = caught.value
    assert (error.path, error.__context__, error.__cause__) == (FILE, None, None)
    assert SECRET not in str(error)
    return error


def test_plain_values() -> None:
    """Text, numbers, booleans, nothing, lists and mappings; times stay text; other tags for these are taken."""
    text = """
        text: a b
        quoted: "1"
        number: -12
        fraction: 1.5e3
        right: [true, True, false, FALSE]
        nothing: [null, ~, ]
        empty:
        inner: {a: {b: [1, {c: 2}]}}
        day: 2026-11-01
        time: 2026-11-01T00:00:00Z
        yes: no
        tagged: !!str 5
        folded: >-
          a
          b
    """
    assert values(text) == {
        "text": "a b",
        "quoted": "1",
        "number": -12,
        "fraction": 1500.0,
        "right": [True, True, False, False],
        "nothing": [None, None],
        "empty": None,
        "inner": {"a": {"b": [1, {"c": 2}]}},
        "day": "2026-11-01",
        "time": "2026-11-01T00:00:00Z",
        "yes": "no",
        "tagged": "5",
        "folded": "a b",
    }
    assert values("\ufeffa: 1") == {"a": 1}


# JSON spells characters beyond the first plane as two halves, which YAML does not put together.
NAMES = st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_json_is_read_as_json(whole: dict[str, Any]) -> None:
    """What JSON says in ASCII means the same here."""
    assert parse(json.dumps(whole).encode(), FILE).values == whole


def test_lines() -> None:
    """An entry's line is that of its name; of what is not there, that of the nearest thing around it."""
    document = parse(b"a:\n  b: 1\n  c:\n    - d: 1\n\n    - e: 2\nOdd Name: 1\n9Odd: 2\n", FILE)
    lines = {"a": 1, "a.b": 2, "a.c": 3, "a.c.0": 4, "a.c.0.d": 4, "a.c.1.e": 6, "a.c.1.f.g": 6, "a.x": 1, "…": 7}
    assert {name: document.line(name) for name in lines} == lines
    assert document.line("b") is document.line("") is None


def test_a_document_shows_nothing() -> None:
    """Its repr holds neither values nor lines."""
    assert SECRET not in repr(parse(f"a: {SECRET}".encode(), FILE))


@pytest.mark.parametrize(
    ("text", "told", "line"),
    [
        ("needed: x\ninner: {size: big}", "inner.size: input should be a valid integer", 2),
        ("needed: x\ninner: 5", "inner: is not a mapping. Expected: what is inside.", 2),
        ("needed: x\ninner: {name: 5}", "inner.name: input should be a valid string", 2),
        ("needed: x\nseveral:\n- size: 1\n- siez: 1", "several.1.siez: is not known here. Did you mean 'size'?", 4),
        (f"needed: x\nseveral:\n- {SECRET}: 1", "several.0.…: is not known here. Known are: size, name.", 3),
        (f"{SECRET}: 1\nneeded: x", "…: is not known here. Known are: inner, several, either, needed, parts.", 1),
        ("a1234567: 1\nneeded: x", "…: is not known here", 1),
        (f"needed: x\nparts: {{{SECRET}: y}}", "parts: input should be a valid integer", 2),
        (f"needed: x\neither: {SECRET}", "either: input should be a valid integer", 2),
        ("inner: {}", "needed: is missing. Add it: what cannot be left out.", None),
        ("inner: {}\nneeded: never", "needed: cannot be. Say something else.", 2),
        ("needed: nowhere", ": do not fit together. Change one.", None),
    ],
)
def test_errors_name_field_line_and_remedy(text: str, told: str, line: int | None) -> None:
    """The first mistake is told in the words of settings, with no input and no jargon of the libraries."""
    error = refused(text)
    assert told in str(error)
    assert error.line == line


def test_fields_without_a_description() -> None:
    """There is a remedy all the same."""

    class Bare(BaseModel):
        number: int

    with pytest.raises(ConfigurationError, match=r"number: is missing\. Add it: see the documentation\."):
        validate(Document({}, {}, FILE), Bare)


def test_what_fits_is_a_model() -> None:
    """Values are checked and converted by the model."""
    made = validate(parse(b"needed: x\nseveral: [{size: 3}]\neither: {size: 4}", FILE), Outer)
    assert made == Outer(needed="x", several=[Inner(size=3)], either=Inner(size=4))


def test_unforeseen_errors_of_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that tells no place, or only the place it began at, is told as well as it can be."""

    def told_by(text: str) -> ConfigurationError:
        with pytest.raises(ConfigurationError, match="is not valid YAML") as caught:
            parse(text.encode(), FILE)
        return caught.value

    assert told_by("a: [1\nb").line == 2

    def compose(_: YAML, __: str) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(YAML, "compose", compose)
    assert (told_by("a: 1").line, told_by("a: 1").__context__) == (None, None)


def test_files(tmp_path: Path) -> None:
    """As many octets as a file may have are read, one more is refused."""
    path = tmp_path / "x"
    path.write_bytes(b"#" * yamlfile.MAX_SIZE)
    assert len(read_bytes(path)) == yamlfile.MAX_SIZE
    path.write_bytes(b"#" * (yamlfile.MAX_SIZE + 1))
    with pytest.raises(ConfigurationError, match="is larger than 1048576 octets"):
        read_bytes(path)
    with pytest.raises(ConfigurationError, match="no such path can be"):
        read_bytes(tmp_path / "\0")


def test_discreet_errors_come_alone() -> None:
    """No frame below, no local variable and no other error hangs on what a discreet function raises."""

    def below(given: str) -> None:
        try:
            int(given)
        except ValueError as error:
            raise ConfigurationError("a", "is wrong", "Mend it.") from error

    @discreet
    def work(given: str, *, more: str) -> None:
        below(given + more)

    with pytest.raises(ConfigurationError) as caught:
        work(SECRET, more=SECRET)
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert (told.__context__, told.__cause__) == (None, None)
    assert [frame.name for frame in told.stack] == ["test_discreet_errors_come_alone", "call"]
    assert SECRET not in repr(told.stack[-1].locals)


def test_discreet_functions_are_what_they_were() -> None:
    """Results, other errors and the name pass."""

    @discreet
    def divide(one: int, other: int) -> float:
        return one / other

    assert (divide(4, other=2), divide.__name__) == (2.0, "divide")
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)


def test_a_schema_is_for_everybody() -> None:
    """It names its dialect and keeps the first line of each docstring, in plain letters."""
    described = json.loads(schema(Outer))
    assert described["$schema"].endswith("2020-12/schema")
    assert (described["description"], described["$defs"]["Inner"]["description"]) == ("The whole.", "What is inside.")
    assert json.loads(schema(Inner))["properties"]["size"]["default"] == 1
