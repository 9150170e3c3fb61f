"""YAML files into pydantic models, with errors that name file, line and remedy, and never a value.

Rules of this file:

* What ruamel.yaml and pydantic say of an error may quote the file, secrets included. Nothing of it is passed on but
  positions and types; errors leave without the errors and frames they stem from (``discreet``).
* A file is one mapping of plain values. No tags but YAML's own for these, no anchors and no aliases, so nothing is
  built, shared or expanded.
* Times stay text, for the models to read: YAML's own reading of them differs between libraries.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sessionkit.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydantic.fields import FieldInfo

__all__ = [
    "MAX_SIZE",
    "Document",
    "Unsuitable",
    "discreet",
    "parse",
    "read_bytes",
    "schema",
    "translate",
    "validate",
]

MAX_SIZE = 1 << 20
"""Octets of a file at most: a keyring of 1,000 keys has a fifth of that."""

_TAG = "tag:yaml.org,2002:"
_PLAIN = re.compile(r"[a-z][a-z_]{0,23}[0-9]{0,2}|[0-9]{1,6}")
"""What may be quoted of a file: entries named like settings. A misplaced secret is longer or looks different."""

Model = TypeVar("Model", bound=BaseModel)
Given = ParamSpec("Given")
Result = TypeVar("Result")


class Unsuitable(ValueError):  # noqa: N818 - said of a value, and turned into a ConfigurationError
    """A value that a model's validator refuses, in the words of ``ConfigurationError``.

    Args:
        problem: what is wrong with the value; never the value of a secret.
        remedy: what to write instead.
        field: the field at fault, where the validator looks at several.
    """

    def __init__(self, problem: str, remedy: str, field: str | None = None) -> None:
        self.problem = problem
        self.remedy = remedy
        self.field = field
        super().__init__(problem)


@dataclass(frozen=True, slots=True, repr=False)
class Document:
    """A file as plain values.

    Attributes:
        values: the mapping it holds.
        lines: line of each entry, counted from 1, by its dotted name as errors tell it.
        path: where it was read from.
    """

    values: dict[str, Any]
    lines: dict[str, int]
    path: Path

    def line(self, field: str) -> int | None:
        """Return the line of a dotted name, or of the nearest thing around it."""
        while field:
            if field in self.lines:
                return self.lines[field]
            field = field.rpartition(".")[0]
        return None


def discreet(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Let a function's ``ConfigurationError`` leave without the errors and frames it stems from.

    ``from None`` hides them from a printed traceback only. Log processors that follow ``__context__`` or print the
    local variables of each frame, as structlog's do, would find the file there.
    """

    @wraps(function)
    def call(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except ConfigurationError as error:
            refused = error
        del args, kwargs
        refused.__cause__ = refused.__context__ = None
        raise refused.with_traceback(None)

    return call


def read_bytes(path: Path) -> bytes:
    """Return what a file holds.

    Raises:
        ConfigurationError: if it cannot be read, or is larger than ``MAX_SIZE``.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_SIZE + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no such path can be"
        raise ConfigurationError(
            "file", f"cannot be read ({why})", "Check the path and its permissions.", path=path
        ) from None
    if len(data) > MAX_SIZE:
        raise ConfigurationError("file", f"is larger than {MAX_SIZE} octets", "Is it the right file?", path=path)
    return data


@discreet
def parse(data: bytes, path: Path) -> Document:
    """Return the mapping inside a YAML file.

    Raises:
        ConfigurationError: if it is no such file.
    """
    try:
        root = _compose(data, path)
        if isinstance(root, MappingNode):
            builder = _Builder(path)
            return Document(builder.build(root, ""), builder.lines, path)
    except RecursionError:
        raise ConfigurationError("file", "is nested too deeply", "Is it the right file?", path=path) from None
    problem = "is empty" if root is None else "is not a mapping"
    raise ConfigurationError("file", problem, "Write entries as 'name: value'.", path=path, line=1)


def _compose(data: bytes, path: Path) -> Node | None:
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False  # the warning would quote the file, and no anchor passes anyway
    mark = None
    try:
        root: Node | None = yaml.compose(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError("file", "is not UTF-8", "Save it as UTF-8.", path=path, line=line) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
    except (YAMLError, ValueError):
        pass  # a character that YAML does not take, or that does not exist: no mark is given
    else:
        return root
    raise ConfigurationError(
        "file",
        "is not valid YAML",
        "Look for wrong indentation, quotes or brackets there.",
        path=path,
        line=None if mark is None else mark.line + 1,
    )


class _Builder:
    """Makes plain values of YAML nodes and notes their lines."""

    def __init__(self, path: Path) -> None:
        self.lines: dict[str, int] = {}
        self._path = path

    def build(self, node: Node, name: str) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(name, line)
        self._without_anchor(node, name)
        if isinstance(node, ScalarNode):
            return self._scalar(node, name, line)
        if str(node.tag) not in {f"{_TAG}map", f"{_TAG}seq"}:
            raise self._refuse(name, "has a tag", "Leave the tag out.", line)
        if isinstance(node, SequenceNode):
            return [self.build(entry, _join(name, str(index))) for index, entry in enumerate(node.value)]
        return self._mapping(node, name)

    def _without_anchor(self, node: Node, name: str) -> None:
        # No alias can be without an anchor before it.
        if node.anchor is not None:
            line = node.start_mark.line + 1
            raise self._refuse(name, "has an anchor", "Write every value out; anchors and aliases are not taken.", line)

    def _mapping(self, node: Node, name: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, ScalarNode):
                raise self._refuse(name, "has an entry whose name is not text", "Write 'name: value'.", line)
            if key.value in values:
                raise self._refuse(name, "has an entry that stands twice", "Drop one of them.", line)
            self._without_anchor(key, name)
            inner = _join(name, _public(key.value))
            self.lines.setdefault(inner, line)
            values[key.value] = self.build(value, inner)
        return values

    def _scalar(self, node: Node, name: str, line: int) -> Any:
        text: str = node.value
        kind = str(node.tag).removeprefix(_TAG)
        try:
            return _SCALARS[kind](text)
        except (KeyError, ValueError):
            raise self._refuse(name, "is no plain value", "Write text, a number, true, false or null.", line) from None

    def _refuse(self, name: str, problem: str, remedy: str, line: int) -> ConfigurationError:
        return ConfigurationError(name or "file", problem, remedy, path=self._path, line=line)


_BOOLEANS = {"true": True, "false": False}
_SCALARS: dict[str, Callable[[str], Any]] = {
    "str": lambda text: text.encode("utf-8").decode("utf-8"),  # refuses half a character ("\ud800")
    "timestamp": str,
    "null": lambda _: None,
    "bool": lambda text: _BOOLEANS[text.lower()],
    "int": lambda text: int(text, 10),
    "float": float,
}


def _join(name: str, part: str) -> str:
    return f"{name}.{part}" if name and part else name or part


def _public(part: str) -> str:
    """Return a part of a dotted name, unless it might be anything but the name of a setting.

    Names that are not told share one place, and the first of them stands for all: pydantic too reports it first.
    """
    return part if _PLAIN.fullmatch(part) else "…"


@discreet
def validate(document: Document, model: type[Model]) -> Model:
    """Make a model of a document.

    Raises:
        ConfigurationError: naming the field, the file and the line.
    """
    try:
        return model(**document.values)
    except ValidationError as error:
        refused = translate(error, model)
    except ConfigurationError as error:
        refused = error
    raise ConfigurationError(
        refused.field, refused.problem, refused.remedy, path=document.path, line=document.line(refused.field)
    ) from None


def translate(error: ValidationError, model: type[BaseModel]) -> ConfigurationError:
    """Return the first of pydantic's errors in our words, without its input.

    Args:
        error: what pydantic raised.
        model: the model it was raised for.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    cause = first.get("ctx", {}).get("error")
    unknown = first["type"] == "extra_forbidden"
    names, description = _locate(first["loc"], model, unknown=unknown)
    field = ".".join(map(_public, names))
    if isinstance(cause, ConfigurationError):
        return ConfigurationError(_join(field, cause.field), cause.problem, cause.remedy)
    if isinstance(cause, Unsuitable):
        if cause.field is not None:
            field = _join(field, cause.field)
        return ConfigurationError(field, cause.problem, cause.remedy)
    if unknown:
        return ConfigurationError(field, "is not known here", _suggest(names[-1], first["loc"], model))
    if first["type"] == "missing":
        return ConfigurationError(field, "is missing", f"Add it: {description}.")
    problem = first["msg"][0].lower() + first["msg"][1:]
    if first["type"] == "model_type":
        problem = "is not a mapping"
    return ConfigurationError(field, problem, f"Expected: {description}.")


def _locate(way: tuple[int | str, ...], model: type[BaseModel], *, unknown: bool) -> tuple[list[str], str]:
    """Return the names on the way to an error, without what pydantic adds for unions, and what is expected there."""
    names: list[str] = []
    description = "see the documentation"
    inside: type[BaseModel] | None = model
    for part in way:
        if isinstance(part, int):
            names.append(str(part))
            continue
        known = _field(inside, part) if inside is not None else None
        if known is None:
            if unknown and part == way[-1]:
                names.append(part)
            continue
        names.append(part)
        description = known.description or description
        inside = _model_in(known.annotation)
    return names, description


def _field(model: type[BaseModel], name: str) -> FieldInfo | None:
    """Return the field that a file calls by a name, which may be an alias."""
    fields = model.model_fields
    return fields.get(name) or next((field for field in fields.values() if field.alias == name), None)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_model_in, get_args(annotation)) if found is not None), None)


def _suggest(name: str, way: tuple[int | str, ...], model: type[BaseModel]) -> str:
    inside = model
    for part in way[:-1]:
        known = _field(inside, part) if isinstance(part, str) else None
        inside = (_model_in(known.annotation) or inside) if known is not None else inside
    names = [field.alias or own for own, field in inside.model_fields.items()]
    close = difflib.get_close_matches(name, names, 1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known are: {', '.join(names)}."


def schema(model: type[BaseModel]) -> str:
    """Return the JSON Schema of a model's files, for editors."""
    described: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | model.model_json_schema()
    for part in (described, *described.get("$defs", {}).values()):
        part["description"] = part["description"].partition("\n")[0]  # a docstring's first line is for everybody
    return json.dumps(described, indent=2, ensure_ascii=False) + "\n"
