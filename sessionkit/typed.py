"""An entry of the session as a pydantic model: validated when it is read and when it is written, with a version.

::

    CART = SessionModel(Cart, "cart", version=2, upgrade=from_version_1)

    cart = CART.load(request.session)
    cart.items.append(item)
    CART.store(request.session, cart)

A model takes one entry, so that several of them, and what other libraries keep in a session, live side by side. What is
stored is ``{"version": 2, "data": {…}}``; what stood in the entry before there was a model counts as version 0.

Rules of this file:

* A payload is authentic, so one that does not fit is a mistake of a release, not of a visitor. It is an error, and the
  session stays as it is: an empty model in its place would be stored with the next write, and the data gone. Who would
  rather lose the entry says ``invalid="reset"``. A payload of a *newer* version is never reset: another process, which
  has been deployed already, reads it.
* No error holds a value, nor an error or a frame that does. pydantic's hold all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args

from pydantic import AliasChoices, BaseModel, ValidationError

from sessionkit.exceptions import ConfigurationError, SessionKitError

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from pydantic.fields import FieldInfo

__all__ = ["SessionModel", "TypedSession", "TypedSessionError"]

Model = TypeVar("Model", bound=BaseModel)

Upgrade = Callable[[Any, int], Any]

_ENVELOPE = frozenset({"version", "data"})
_SHOWN = 40
"""Characters shown of a name in an error: it may be the key of a dict, and so be anything."""
_LISTED = 5
"""Places listed in an error."""


class TypedSessionError(SessionKitError, ValueError):
    """An entry of a session does not fit its model. Nothing was changed.

    Attributes:
        entry: name of the entry.
        problem: what is wrong, with places and kinds of errors; never a value.
    """

    def __init__(self, entry: str, problem: str, remedy: str) -> None:
        self.entry = entry
        self.problem = problem
        super().__init__(f"session[{entry!r}] {problem}. {remedy}")


class SessionModel(Generic[Model]):
    """Reads and writes one entry of a session as a model.

    Args:
        model: a pydantic model.
        entry: name of the session's entry.
        version: of the model, counted up from 1 when data of the version before does not mean the same any more. A new
            field with a default needs no new version.
        upgrade: given the data of an older version, and that version, returns data of this one; 0 is what stood in the
            entry before there was a model. Without it, older data is validated as it is.
        initial: makes the model of a session that has none; by default its class, called without arguments.
        invalid: what to do about data that does not fit: ``raise``, or ``reset`` to begin anew.

    Raises:
        ConfigurationError: if the version is none, there is no initial model, or a field is written under a name that
            it is not read from.
    """

    def __init__(
        self,
        model: type[Model],
        entry: str,
        *,
        version: int = 1,
        upgrade: Upgrade | None = None,
        initial: Callable[[], Model] | None = None,
        invalid: Literal["raise", "reset"] = "raise",
    ) -> None:
        self.model = model
        self.entry = entry
        self.version = version
        self._upgrade = upgrade
        self._initial = model if initial is None else initial
        self._reset = invalid == "reset"
        self._check()

    def __repr__(self) -> str:
        """Show the model, its version and the entry."""
        return f"<SessionModel {self.model.__name__} v{self.version} in {self.entry!r}>"

    def _check(self) -> None:
        if self.version < 1:
            raise ConfigurationError("version", "is less than 1", "Count from 1; 0 is data from before the model.")
        lost = next(_read_elsewhere(self.model, set()), None)
        if lost is not None:
            raise ConfigurationError(
                lost,
                "is written under a name that it is not read from",
                "Give the field one alias for both ways, or set populate_by_name.",
            )
        try:
            self._initial()
        except ValidationError:
            pass
        else:
            return
        raise ConfigurationError(
            "initial",
            f"is missing: {self.model.__name__} cannot be made without arguments",
            "Give all fields defaults, or pass initial=, which makes the model of a session that has none.",
        )

    def load(self, session: MutableMapping[str, Any]) -> Model:
        """Return what the session holds, or the initial model. A copy: ``store`` it after a change.

        Raises:
            TypedSessionError: if it does not fit, or was written by a newer version.
        """
        found = self._load(session)
        if isinstance(found, TypedSessionError):
            raise found
        return found

    def store(self, session: MutableMapping[str, Any], value: Model) -> None:
        """Validate a model and put it into the session.

        Raises:
            TypedSessionError: if it is not valid (any more). The session keeps what it has.
        """
        checked = self._checked(value)
        if isinstance(checked, TypedSessionError):
            del value  # or the frame would show it
            raise checked
        session[self.entry] = {"version": self.version, "data": _dump(checked)}

    def of(self, session: MutableMapping[str, Any]) -> TypedSession[Model]:
        """Return the session together with the model it holds.

        Raises:
            TypedSessionError: as ``load`` does.
        """
        return TypedSession(session, self.load(session), self)

    # Errors are returned, not raised, as long as a frame on the way holds values.

    def _load(self, session: MutableMapping[str, Any]) -> Model | TypedSessionError:
        if self.entry not in session:
            return self._initial()
        version, data = _opened(session[self.entry])
        if version > self.version:
            return TypedSessionError(
                self.entry,
                f"was written by version {version}, this process knows up to {self.version}",
                "Let the release finish: processes before it cannot read what those after it store.",
            )
        found = self._upgraded(data, version)
        return self._initial() if self._reset and isinstance(found, TypedSessionError) else found

    def _upgraded(self, data: Any, version: int) -> Model | TypedSessionError:
        if version < self.version and self._upgrade is not None:
            try:
                data = self._upgrade(data, version)
            except Exception as error:  # noqa: BLE001 - the application's code; its text may quote the data
                return TypedSessionError(
                    self.entry,
                    f"could not be upgraded from version {version}: {type(error).__name__} was raised",
                    "Correct the upgrade.",
                )
        return self._validated(data, f"does not fit {self.model.__name__} (stored by version {version})")

    def _checked(self, value: Model) -> Model | TypedSessionError:
        if not isinstance(value, self.model):
            problem = f"takes a {self.model.__name__}, not a {type(value).__name__}"
            return TypedSessionError(self.entry, problem, "Pass the model.")
        return self._validated(_dump(value), f"was given a {self.model.__name__} that is not valid")

    def _validated(self, data: Any, problem: str) -> Model | TypedSessionError:
        try:
            # Not strictly: an enumeration is stored as its value.
            return self.model.model_validate(data, strict=False)
        except ValidationError as error:
            why = _places(error)
        except Exception as error:  # noqa: BLE001 - as above: a validator's
            why = f"{type(error).__name__} was raised"
        return TypedSessionError(
            self.entry, f"{problem}: {why}", "Correct the data, or count the version up and upgrade what is stored."
        )


@dataclass(slots=True, repr=False)
class TypedSession(Generic[Model]):
    """A session, and the model in one of its entries.

    Attributes:
        session: for ``regenerate``, ``destroy`` and other entries.
        value: the model; ``save`` it after a change.
        schema: what read it.
    """

    session: Any
    value: Model
    schema: SessionModel[Model]

    def save(self) -> None:
        """Validate the model and put it into the session.

        Raises:
            TypedSessionError: if it is not valid. The session keeps what it has.
        """
        self.schema.store(self.session, self.value)

    def __repr__(self) -> str:
        """Show what it is, nothing of the value."""
        return f"<TypedSession {self.schema!r}>"


def _opened(held: Any) -> tuple[int, Any]:
    """Return the version and the data of what an entry holds."""
    if isinstance(held, dict) and held.keys() == _ENVELOPE and type(held["version"]) is int:
        return held["version"], held["data"]
    return 0, held


def _dump(value: BaseModel) -> dict[str, Any]:
    # Warnings of a field that holds another type would quote it; validation tells of it.
    return value.model_dump(by_alias=True, round_trip=True, warnings=False)


def _places(error: ValidationError) -> str:
    """Return where errors are and of which kinds, without a word of what stands there."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    told = [f"{'.'.join(str(step)[:_SHOWN] for step in one['loc']) or 'the whole'} ({one['type']})" for one in found]
    more = f" and {len(told) - _LISTED} more" if len(told) > _LISTED else ""
    return ", ".join(told[:_LISTED]) + more


def _read_elsewhere(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[str]:
    """Yield the fields, of a model and of those inside it, that would not be read from where they are written."""
    if model in seen:
        return
    seen.add(model)
    for name, field in model.model_fields.items():
        if (field.serialization_alias or name) not in _accepted(model, name, field):
            yield f"{model.__name__}.{name}"
        for inner in _models(field.annotation):
            yield from _read_elsewhere(inner, seen)


def _accepted(model: type[BaseModel], name: str, field: FieldInfo) -> set[object]:
    alias = field.validation_alias
    by_name = model.model_config.get("populate_by_name") or model.model_config.get("validate_by_name")
    names: set[object] = {name} if alias is None or by_name else set()
    if isinstance(alias, AliasChoices):
        return names.union(choice for choice in alias.choices if isinstance(choice, str))
    return names | {alias}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation names, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
