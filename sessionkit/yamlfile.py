"""YAML files into pydantic models, with errors that name file, line and remedy, and never a value.

Rules of this file:

* What ruamel.yaml and pydantic say of an error may quote the file, secrets included. Nothing of it is passed on but
  positions and types; errors are raised ``from None``.
* A file is one mapping of plain values. No tags, anchors or aliases, so nothing is built, shared or expanded.
* Times stay text, for the models to read: YAML's own reading of them differs between libraries.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from sessionkit.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydantic_core import ErrorDetails

__all__ = ["MAX_SIZE", "Document", "Unsuitable", "parse", "read_bytes", "read_model", "translate", "validate"]

MAX_SIZE = 1 << 20
"""Octets of a file at most: a keyring of 1,000 keys has a fifth of that."""

_TAG = "tag:yaml.org,2002:"
_PLAIN = re.compile(r"[a-z][a-z_]{0,23}[0-9]{0,2}")
"""What may be quoted of a file: entries named like settings. A misplaced secret is longer or looks different."""

Model = TypeVar("Model", bound=BaseModel)


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
        lines: line of each entry, counted from 1, by its dotted name.
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


def read_bytes(path: Path) -> bytes:
    """Return what a file holds.

    Raises:
        ConfigurationError: if it cannot be read, or is larger than ``MAX_SIZE``.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_SIZE + 1)
    except OSError as error:
        raise ConfigurationError(
            "file", f"cannot be read ({error.strerror})", "Check the path and its permissions.", path=path
        ) from None
    if len(data) > MAX_SIZE:
        raise ConfigurationError("file", f"is larger than {MAX_SIZE} octets", "Is it the right file?", path=path)
    return data


def parse(data: bytes, path: Path) -> Document:
    """Return the mapping inside a YAML file.

    Raises:
        ConfigurationError: if it is no such file.
    """
    try:
        root = YAML(typ="safe", pure=True).compose(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError("file", "is not UTF-8", "Save it as UTF-8.", path=path, line=line) from None
    except YAMLError as error:
        mark = error.problem_mark or error.context_mark if isinstance(error, MarkedYAMLError) else None
        line = None if mark is None else mark.line + 1
        raise ConfigurationError(
            "file", "is not valid YAML", "Look for wrong indentation, quotes or brackets there.", path=path, line=line
        ) from None
    except RecursionError:
        raise ConfigurationError("file", "is nested too deeply", "Is it the right file?", path=path) from None
    if not isinstance(root, MappingNode):
        problem = "is empty" if root is None else "is not a mapping"
        raise ConfigurationError("file", problem, "Write entries as 'name: value'.", path=path, line=1)
    builder = _Builder(path)
    values = builder.build(root, "")
    return Document(values, builder.lines, path)


class _Builder:
    """Makes plain values of YAML nodes and notes their lines."""

    def __init__(self, path: Path) -> None:
        self.lines: dict[str, int] = {}
        self._path = path
        self._seen: set[int] = set()

    def build(self, node: Node, name: str) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(name, line)
        if id(node) in self._seen:
            raise self._refuse(name, "is an alias", "Write the value out; anchors and aliases are not taken.", line)
        self._seen.add(id(node))
        if isinstance(node, MappingNode):
            return self._mapping(node, name)
        if isinstance(node, SequenceNode):
            return [self.build(entry, _join(name, str(index))) for index, entry in enumerate(node.value)]
        return self._scalar(node, name, line)

    def _mapping(self, node: MappingNode, name: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, ScalarNode):
                raise self._refuse(name, "has an entry whose name is not text", "Write 'name: value'.", line)
            if key.value in values:
                raise self._refuse(name, "has an entry that stands twice", "Drop one of them.", line)
            inner = _join(name, key.value)
            self.lines[inner] = line
            values[key.value] = self.build(value, inner)
        return values

    def _scalar(self, node: Node, name: str, line: int) -> Any:
        text: str = node.value
        kind = str(node.tag).removeprefix(_TAG)
        if kind in {"str", "timestamp"}:
            return text
        try:
            return _SCALARS[kind](text)
        except (KeyError, ValueError):
            raise self._refuse(name, "is no plain value", "Write text, a number, true, false or null.", line) from None

    def _refuse(self, name: str, problem: str, remedy: str, line: int) -> ConfigurationError:
        return ConfigurationError(_public(name) or "file", problem, remedy, path=self._path, line=line)


_BOOLEANS = {"true": True, "false": False}
_SCALARS: dict[str, Callable[[str], Any]] = {
    "null": lambda _: None,
    "bool": lambda text: _BOOLEANS[text.lower()],
    "int": lambda text: int(text, 10),
    "float": float,
}


def _join(name: str, part: str) -> str:
    return f"{name}.{part}" if name and part else name or part


def _public(name: str) -> str:
    """Return a dotted name without parts that might be anything but names of settings."""
    return ".".join(part if part.isdigit() or _PLAIN.fullmatch(part) else "…" for part in name.split(".") if part)


def read_model(path: Path, model: type[Model]) -> Model:
    """Read a YAML file into a model.

    Raises:
        ConfigurationError: naming the field, the file and the line.
    """
    return validate(parse(read_bytes(path), path), model)


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
    names, description = _locate(first, model)
    field = _public(".".join(names))
    if isinstance(cause, ConfigurationError):
        return ConfigurationError(_join(field, cause.field), cause.problem, cause.remedy)
    if isinstance(cause, Unsuitable):
        if cause.field is not None:
            field = _join(field, cause.field)
        return ConfigurationError(field, cause.problem, cause.remedy)
    if first["type"] == "extra_forbidden":
        return ConfigurationError(field, "is not known here", _suggest(names[-1], first, model))
    if first["type"] == "missing":
        return ConfigurationError(field, "is missing", f"Add it: {description}.")
    problem = first["msg"][0].lower() + first["msg"][1:]
    return ConfigurationError(field, problem, f"Expected: {description}.")


def _locate(error: ErrorDetails, model: type[BaseModel]) -> tuple[list[str], str]:
    """Return the names on the way to an error, without what pydantic adds for unions, and what is expected there."""
    names: list[str] = []
    description = "see the documentation"
    inside: type[BaseModel] | None = model
    for part in error["loc"]:
        if isinstance(part, int):
            names.append(str(part))
            continue
        known = inside.model_fields.get(part) if inside is not None else None
        if known is None:
            if error["type"] == "extra_forbidden" and part == error["loc"][-1]:
                names.append(part)
            continue
        names.append(part)
        description = known.description or description
        inside = _model_in(known.annotation)
    return names, description


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_model_in, get_args(annotation)) if found is not None), None)


def _suggest(name: str, error: ErrorDetails, model: type[BaseModel]) -> str:
    inside = model
    for part in error["loc"][:-1]:
        known = inside.model_fields.get(part) if isinstance(part, str) else None
        inside = (_model_in(known.annotation) or inside) if known is not None else inside
    close = difflib.get_close_matches(name, inside.model_fields, 1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known are: {', '.join(inside.model_fields)}."
