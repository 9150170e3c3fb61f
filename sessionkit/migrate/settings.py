"""Which sessions of another library are taken over, with which of its secrets, and until when.

Rules of this file:

* There is no reader without an end date: a secret that was good enough for the old library is not kept in service by
  being forgotten.
* An old secret is text as the old application had it, octet by octet, or octets in base64 or hexadecimal where it said
  so. Errors name the variable or the file, never what it holds.
* The ages are the old libraries' own defaults; where one has none, fourteen days.
"""

from __future__ import annotations

import binascii
import os
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretBytes,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from sessionkit.exceptions import ConfigurationError
from sessionkit.keyring.source import looks_like_secret
from sessionkit.yamlfile import Unsuitable, discreet, translate

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DEFAULTS", "Defaults", "Migration", "OldSecret", "Source"]

_HERE = Path()
_DAY: Final = 86_400
_MAX_SECRET: Final = 4096
"""Octets of an old secret at most: far beyond what anybody has, and a file of another kind is told apart."""

_AES_SIZES: Final = (16, 24, 32)
_FERNET_SIZE: Final = 32

Source = Literal["litestar", "starlette", "fastapi", "flask", "quart", "django", "aiohttp", "starsessions"]


class Defaults(NamedTuple):
    """What the old library does unless told otherwise.

    Attributes:
        cookie: name of its cookie.
        max_age: seconds for which it accepts one.
    """

    cookie: str
    max_age: int


DEFAULTS: dict[str, Defaults] = {
    "litestar": Defaults("session", 14 * _DAY),  # CookieBackendConfig.max_age
    "starlette": Defaults("session", 14 * _DAY),  # SessionMiddleware(max_age=)
    "fastapi": Defaults("session", 14 * _DAY),  # Starlette's
    "flask": Defaults("session", 31 * _DAY),  # PERMANENT_SESSION_LIFETIME
    "quart": Defaults("session", 31 * _DAY),  # PERMANENT_SESSION_LIFETIME
    "django": Defaults("sessionid", 14 * _DAY),  # SESSION_COOKIE_AGE
    "aiohttp": Defaults("AIOHTTP_SESSION", 14 * _DAY),  # none of its own
    "starsessions": Defaults("session", 14 * _DAY),  # lifetime=0: as long as the browser runs
}


class OldSecret(BaseModel):
    """Where an old secret comes from."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, json_schema_extra={"minProperties": 1}
    )

    env: str | None = Field(default=None, min_length=1, description="name of an environment variable that holds it")
    file: str | None = Field(
        default=None, min_length=1, description="path of a file that holds it; one line break at its end is dropped"
    )
    encoding: Literal["text", "base64", "hex"] = Field(
        default="text", description="how it stands there: as the old application's text, or octets in base64 or hex"
    )

    @discreet
    def __init__(self, /, **settings: object) -> None:
        """Check that there is exactly one way to it.

        Raises:
            ConfigurationError: if there is none, or both.
        """
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise translate(error, type(self)) from None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.env is None) == (self.file is None):
            problem = "names no way to the secret" if self.env is None else "names two ways to the secret"
            raise Unsuitable(problem, "Give one of env and file.")
        return self

    @discreet
    def resolve(self, base: Path) -> bytes:
        """Fetch the secret.

        Args:
            base: folder that a relative path is relative to.

        Raises:
            ConfigurationError: naming the way (``env`` or ``file``) and what went wrong.
        """
        if self.env is not None:
            way, name = "env", "…" if looks_like_secret(self.env) else self.env
            text = os.environ.get(self.env)
            if text is None:
                raise ConfigurationError("env", f"variable {name} is not set", "Set it, or name another.")
            held = text.encode("utf-8", "surrogateescape")
        else:
            way, told = "file", self.file or ""
            name = "…" if looks_like_secret(told) else str(base / told)
            held = _held(base / told, name)
        if not held or len(held) > _MAX_SECRET:
            problem = f"{name} {'is empty' if not held else f'holds more than {_MAX_SECRET} octets'}"
            raise ConfigurationError(way, problem, "Put the old application's secret there.")
        try:
            return _DECODERS[self.encoding](held)
        except ValueError:
            raise ConfigurationError(
                way, f"{name} does not hold {self.encoding}", "Correct it, or change encoding."
            ) from None


def _held(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as stream:
            held = stream.read(_MAX_SECRET + 2)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no such name can be"
        raise ConfigurationError(
            "file", f"{name} cannot be read ({why})", "Check the path and its permissions."
        ) from None
    return held.removesuffix(b"\n").removesuffix(b"\r")


def _base64(held: bytes) -> bytes:
    plain = held.strip().rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
    return b64decode(plain + b"=" * (-len(plain) % 4), validate=True)


_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "text": bytes,
    "base64": _base64,
    "hex": lambda held: binascii.unhexlify(held.strip()),
}


def _secrets(value: object) -> object:
    """Make a tuple of whatever one secret, or several, may be given as."""
    entries = value if isinstance(value, list | tuple) else [value]
    made: list[object] = []
    for number, entry in enumerate(entries):
        if isinstance(entry, str):
            raise Unsuitable("is text", "Give {env: …} or {file: …}; in code octets, as in 'secret'.encode().")
        if isinstance(entry, bytes):
            made.append(SecretBytes(entry))
        elif isinstance(entry, dict):
            try:
                made.append(OldSecret(**{str(name): told for name, told in entry.items()}))
            except ConfigurationError as error:
                at = error.field if entries is not value else f"{number}.{error.field}".rstrip(".")
                raise ConfigurationError(at, error.problem, error.remedy) from None
        elif isinstance(entry, OldSecret | SecretBytes):
            made.append(entry)
        else:
            problem = f"is a {type(entry).__name__}" if entry is not None else "is missing"
            raise Unsuitable(problem, "Give {env: …} or {file: …}, or a list of them; in code also octets.")
    if not made:
        raise Unsuitable("is empty", "Give at least one of the old application's secrets.")
    return tuple(made)


def _not_in_file(value: object) -> object:
    """Refuse what pydantic would take for a time although nobody meant one."""
    if isinstance(value, bool | int | float):
        raise Unsuitable(f"is a {type(value).__name__}", "Give a date and time with its zone: 2027-01-01T00:00:00Z.")
    return value


def _name(value: str | None) -> str | None:
    if value is not None and not (value.isascii() and value.isprintable() and not set(value) & set(' ";,=\\')):
        raise Unsuitable("is no name that a cookie may have", "Write it as the old application did.")
    return value


def _place(value: str | None) -> str | None:
    if value is not None and not (value.isascii() and value.isprintable() and not set(value) & set(";, ")):
        raise Unsuitable("is no attribute that a cookie may have", "Write it as the old application did.")
    return value


class Migration(BaseModel):
    """Sessions of another library that are taken over.

    Attributes:
        source: whose they are; in files it is called ``from``.
        cookie: name of the old cookie.
        secret: the old secret or secrets.
        until: from then on they are refused.
        max_age: seconds after which the old library would have refused one.
        path: the old cookie's path, so that it can be cleared.
        domain: the old cookie's domain, likewise.
        partitioned: whether the old cookie is partitioned, likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)

    source: Source = Field(alias="from", description="library whose sessions are taken over")
    cookie: Annotated[str | None, AfterValidator(_name)] = Field(
        default=None, min_length=1, max_length=256, description="name of its cookie; by default the library's own"
    )
    secret: Annotated[
        tuple[SkipJsonSchema[SecretBytes] | OldSecret, ...],
        BeforeValidator(_secrets, json_schema_input_type=OldSecret | list[OldSecret]),
    ] = Field(description="the old secret, or a list of them: {env: …} or {file: …}")
    until: Annotated[AwareDatetime, BeforeValidator(_not_in_file)] = Field(
        description="end of the move, with its time zone: from then on these sessions are refused"
    )
    max_age: int | None = Field(
        default=None,
        strict=True,
        gt=0,
        le=400 * _DAY,
        description="seconds for which the old library accepted one; by default the library's own",
    )
    path: Annotated[str, AfterValidator(_place)] = Field(
        default="/", pattern="^/", description="path of the old cookie, so that it can be cleared"
    )
    domain: Annotated[str | None, AfterValidator(_place)] = Field(
        default=None, min_length=1, description="domain of the old cookie, so that it can be cleared"
    )
    partitioned: bool = Field(default=False, description="whether the old cookie is partitioned")

    @discreet
    def __init__(self, /, **settings: Any) -> None:
        """Check and keep the settings.

        Raises:
            ConfigurationError: if one cannot be used.
        """
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise translate(error, type(self)) from None

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        for secret in self.secret:
            if isinstance(secret, SecretBytes):
                self._check(secret.get_secret_value())
        return self

    @property
    def name(self) -> str:
        """Name of the old cookie."""
        return self.cookie or DEFAULTS[self.source].cookie

    @property
    def age(self) -> int:
        """Seconds for which the old library accepted one."""
        return self.max_age or DEFAULTS[self.source].max_age

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """The old secrets of a resolved migration."""
        return tuple(secret.get_secret_value() for secret in self.secret if isinstance(secret, SecretBytes))

    @discreet
    def resolved(self, base: Path = _HERE) -> Self:
        """Return the same with its secrets fetched.

        Args:
            base: folder that paths of secrets are relative to.

        Raises:
            ConfigurationError: if one cannot be fetched or is none that the old library takes; ``field`` begins with
                ``secret``.
        """
        found = []
        for number, secret in enumerate(self.secret):
            at = f"secret.{number}" if len(self.secret) > 1 else "secret"
            if isinstance(secret, OldSecret):
                try:
                    octets = secret.resolve(base)
                except ConfigurationError as error:
                    raise ConfigurationError(f"{at}.{error.field}", error.problem, error.remedy) from None
                try:
                    self._check(octets)
                except Unsuitable as error:
                    raise ConfigurationError(at, error.problem, error.remedy) from None
                found.append(SecretBytes(octets))
            else:
                found.append(secret)
        return self.model_copy(update={"secret": tuple(found)})

    def _check(self, secret: bytes) -> None:
        """Refuse what the old library would have refused.

        Raises:
            Unsuitable: if it would.
        """
        if not secret:
            raise Unsuitable("is empty", "Give the old application's secret.", "secret")
        if self.source == "litestar" and len(secret) not in _AES_SIZES:
            problem = f"is {len(secret)} octets long, but Litestar takes 16, 24 or 32"
            raise Unsuitable(problem, "Is it base64 or hex? Then add 'encoding'.", "secret")
        if self.source == "aiohttp" and len(secret) != _FERNET_SIZE and len(_fernet(secret)) != _FERNET_SIZE:
            raise Unsuitable("is no Fernet key", "Give 32 octets, or their 44 characters of URL-safe base64.", "secret")


def _fernet(secret: bytes) -> bytes:
    try:
        return _base64(secret)
    except ValueError:
        return b""
