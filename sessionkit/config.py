"""Settings of a session: every field of the reference with its default, and what production needs beyond it.

Everything is checked when the object is made. An error is a ``ConfigurationError`` that names the field, the problem
and the remedy.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    SecretBytes,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from sessionkit import yamlfile
from sessionkit.audit.pseudonyms import MIN_KEY_SIZE
from sessionkit.exceptions import ConfigurationError, SessionKitWarning
from sessionkit.exclude import compile_exclude
from sessionkit.keyring.source import LONGER, SecretSource, key_or_source
from sessionkit.migrate.settings import Migration
from sessionkit.revocation.settings import RevocationConfig
from sessionkit.yamlfile import Unsuitable, discreet, translate

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["MAX_AGE_LIMIT", "MAX_CHUNKS_LIMIT", "AuditConfig", "SessionConfig", "schema"]

MAX_AGE_LIMIT = 400 * 86_400
"""Seconds a browser keeps a cookie at most (RFC 6265bis 5.5)."""

MAX_CHUNKS_LIMIT = 16
"""Cookies of one session at most: 64 kB, four times the whole header block that h11 servers take (16 KiB)."""

MAX_MIGRATIONS = 8
"""Libraries that sessions are taken over from at once: each looks at every cookie that none before it has opened."""

_HERE = Path()
_MAX_NAME = 256
_MAX_ATTRIBUTE = 1024
"""Octets of an attribute's value at most (RFC 6265bis 5.5)."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DOMAIN = re.compile(r"\.?[0-9A-Za-z]([0-9A-Za-z.\-]*[0-9A-Za-z])?")
_PATH = re.compile(r"/[\x20-\x3a\x3c-\x7e]*")
_HEADER = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")
_CHUNK_NAME = re.compile(r"(.+)-(0|[1-9][0-9]?)")

ScopeType = Literal["http", "websocket"]


def _cookie_name(value: str) -> str:
    if not _TOKEN.fullmatch(value):
        problem = "is empty" if not value else "holds a character that no cookie name may hold"
        raise Unsuitable(problem, "Use letters, digits and any of !#$%&'*+-.^_`|~ (RFC 6265 token), as in 'session'.")
    if len(value) > _MAX_NAME:
        problem = f"is {len(value)} characters long"
        raise Unsuitable(problem, f"Use at most {_MAX_NAME}: every one of them is sent with every request.")
    return value


def _cookie_path(value: str) -> str:
    if not _PATH.fullmatch(value) or len(value) > _MAX_ATTRIBUTE:
        problem = "is no path that a cookie may carry"
        raise Unsuitable(
            problem,
            f"Begin with '/', use printable ASCII without ';' and control characters, at most {_MAX_ATTRIBUTE} octets.",
        )
    return value


def _health_path(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"/[^\s?#]*", value):
        problem = "is no path of a page"
        raise Unsuitable(problem, "Begin with '/', without a query, as in '/-/sessions'; leave it out for no page.")
    return value


def _cookie_domain(value: str | None) -> str | None:
    if value is not None and (not _DOMAIN.fullmatch(value) or len(value) > 253):  # noqa: PLR2004 - RFC 1035 2.3.4
        problem = "is no domain name that a cookie may carry"
        raise Unsuitable(
            problem,
            "Give a bare host name of ASCII letters, digits, '-' and '.', such as 'example.org'; no port, no URL.",
        )
    return value


def _seconds(value: object) -> object:
    if isinstance(value, timedelta):
        value = value.total_seconds()
        if value == int(value):
            value = int(value)
    if isinstance(value, bool | float):
        problem = f"is a {type(value).__name__}"
        raise Unsuitable(problem, "Give whole seconds, or a timedelta of whole seconds.")
    if isinstance(value, int) and not 0 < value <= MAX_AGE_LIMIT:
        problem = f"is {'more than 400 days' if value > 0 else 'not positive'}"
        raise Unsuitable(
            problem, f"Give 1 to {MAX_AGE_LIMIT} seconds; browsers keep no cookie for longer than 400 days."
        )
    return value


def _exclude(value: object) -> object:
    if isinstance(value, str | list | tuple):
        try:
            compile_exclude(value)
        except re.error as error:
            problem = f"{error.pattern!r} is no regular expression: {error.msg}"
            raise Unsuitable(problem, "Correct it, or escape what is meant literally with a backslash.") from None
        except (OverflowError, RecursionError):
            problem = "holds a pattern that is too large"
            raise Unsuitable(problem, "Write a simpler one, or several.") from None
        except TypeError:
            problem = "holds something that is no string"
            raise Unsuitable(problem, "Give one pattern or a list of patterns.") from None
    return value


def _context(value: str) -> str:
    try:
        problem = f"is longer than {_MAX_ATTRIBUTE} octets" if len(value.encode("utf-8")) > _MAX_ATTRIBUTE else None
    except UnicodeEncodeError:
        problem = "holds half a character (a lone surrogate)"
    if problem is not None:
        raise Unsuitable(problem, "Give a short name of the audience, such as 'shop' or a tenant's name.")
    return value


def _header_value(value: str | None) -> str | None:
    if value is not None and not _HEADER.fullmatch(value):
        raise Unsuitable("is no value that a header may have", "Use printable ASCII, such as 'private, no-store'.")
    return value


Seconds = Annotated[int, Field(strict=True, gt=0, le=MAX_AGE_LIMIT), BeforeValidator(_seconds)]


MAX_QUEUE = 1_000_000
"""Lines that may wait at most: some 2 GB."""


class AuditConfig(BaseModel):
    """What the audit log says.

    Attributes:
        level: events below it are not even built.
        key: key of the references (``session_ref`` …): octets, or in YAML a secret by ``base64``, ``env``, ``file`` or
            ``command``. Without one, each process makes its own and references do not match between processes.
        client_ref: add a keyed hash of the client's address to rejections.
        queue: lines that may wait for a thread of their own to write them: for sinks that may block. 0 writes each line
            where it is emitted, in order with the application's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Literal["debug", "info", "warning", "error", "critical"] = Field(
        default="info", description="least severe events that are logged"
    )
    key: Annotated[SkipJsonSchema[SecretBytes] | SecretSource | None, BeforeValidator(key_or_source)] = Field(
        default=None, description="key of the references in the log, at least 16 octets; random per process without it"
    )
    client_ref: bool = Field(default=False, description="add a keyed hash of the client's address to rejections")
    queue: int = Field(
        default=0,
        strict=True,
        ge=0,
        le=MAX_QUEUE,
        description="lines that may wait for a sink that blocks; 0: requests wait for it",
    )

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

    @discreet
    def key_octets(self, base: Path = _HERE) -> bytes | None:
        """Return the key of the references, or ``None`` if none is configured.

        Args:
            base: folder that the path of its source is relative to.

        Raises:
            ConfigurationError: if its source delivers nothing usable.
        """
        if not isinstance(self.key, SecretSource):
            return None if self.key is None else self.key.get_secret_value()
        try:
            key = self.key.resolve(base)
        except ConfigurationError as error:
            raise ConfigurationError(f"audit.key.{error.field}", error.problem, error.remedy) from None
        if len(key) < MIN_KEY_SIZE:
            raise ConfigurationError("audit.key", f"is {len(key)} octets long", LONGER)
        return key


class SessionConfig(BaseModel):
    """Settings of one session cookie.

    The fields up to ``exclude_opt_key`` are those of Litestar's ``CookieBackendConfig`` with its defaults; its
    ``secret`` is replaced by the keyring. For production values see ``config/sessionkit.yaml``.

    Raises:
        ConfigurationError: if a setting cannot be used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    key: Annotated[str, AfterValidator(_cookie_name)] = Field(
        default="session", description="name of the cookie; '-0', '-1' … are added where one does not suffice"
    )
    max_age: Seconds = Field(
        default=1_209_600, description="seconds a session lives without being renewed; also the cookie's Max-Age"
    )
    scopes: frozenset[ScopeType] = Field(
        default=frozenset({"http", "websocket"}),
        min_length=1,
        description="kinds of connection that get a session",
        json_schema_extra={"default": ["http", "websocket"]},  # a set has no order, a generated file needs one
    )
    path: Annotated[str, AfterValidator(_cookie_path)] = Field(
        default="/", description="path below which browsers send the cookie"
    )
    domain: Annotated[str | None, AfterValidator(_cookie_domain)] = Field(
        default=None, description="domain browsers send the cookie to; without it, to this host alone"
    )
    secure: bool = Field(default=False, description="send the cookie over HTTPS only")
    httponly: bool = Field(default=True, description="hide the cookie from scripts")
    samesite: Literal["lax", "strict", "none"] = Field(
        default="lax", description="whether the cookie goes along with requests from other sites"
    )
    exclude: Annotated[
        str | list[str] | SkipJsonSchema[Callable[[Mapping[str, Any]], bool]] | None, BeforeValidator(_exclude)
    ] = Field(
        default=None,
        description="paths without a session: a pattern, a list of them, or (in code) a function of the ASGI scope",
    )
    exclude_opt_key: str = Field(
        default="skip_session", min_length=1, description="option that disables the session on one route"
    )

    persistent: bool = Field(default=True, description="false: no Max-Age, the cookie ends with the browser session")
    partitioned: bool = Field(default=False, description="one cookie jar per embedding site (CHIPS)")
    max_chunks: int = Field(default=8, ge=1, le=MAX_CHUNKS_LIMIT, strict=True, description="cookies a session may take")
    absolute_max_age: Seconds | None = Field(
        default=None, description="seconds after which a session ends however busy it is"
    )
    idle_timeout: Seconds | None = Field(
        default=None, description="seconds without a request after which the server refuses a session"
    )
    context: Annotated[str, AfterValidator(_context)] = Field(
        default="", description="audience the session is sealed for: application, tenant or host"
    )
    save_on_error: bool = Field(default=False, description="save changes on responses with a status of 500 and above")
    strict: bool = Field(default=False, description="raise at writes that come too late, instead of logging them")
    cache_control: Annotated[str | None, AfterValidator(_header_value)] = Field(
        default="private, no-store", description="Cache-Control of responses that set the cookie and have none"
    )
    websocket_persistence: Literal["accept", "off"] = Field(
        default="accept", description="write sessions on websocket.accept, or never on websockets"
    )
    health_path: Annotated[str | None, AfterValidator(_health_path)] = Field(
        default=None,
        description="path at which the state of sessions and keyring is served as JSON; not for the public",
    )
    type_encoders: SkipJsonSchema[
        Annotated[Mapping[type, Callable[[Any], Any]], PlainSerializer(lambda _: None, return_type=None)]
    ] = Field(default_factory=dict, exclude=True, description="in code: how values of further types become plain data")
    keyring: Path | None = Field(
        default=None, description="keyring file, relative to this file; what is given in code comes first"
    )
    audit: AuditConfig = Field(default_factory=AuditConfig, description="what the audit log says")
    migrate: tuple[Migration, ...] = Field(
        default=(),
        max_length=MAX_MIGRATIONS,
        description="sessions of other libraries that are taken over until a date; see Moving in",
    )
    revocation: RevocationConfig | None = Field(
        default=None, description="list that is asked whether a session has ended; see Real logout"
    )

    _excluded: Callable[[Mapping[str, Any]], bool] | None = PrivateAttr(default=None)

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
        match = _CHUNK_NAME.fullmatch(self.key)
        if match:
            warnings.warn(
                f"key: {self.key!r} is what a part of a split session named {match[1]!r} is called. "
                "Choose a name that does not end in a number if such a session exists on this host.",
                SessionKitWarning,
                stacklevel=3,
            )

    @classmethod
    @discreet
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read the settings from a YAML file, and fetch the audit key it names. Paths are relative to the file.

        Raises:
            ConfigurationError: if the file cannot be read or a setting cannot be used, with its line.
        """
        source = Path(path)
        document = yamlfile.parse(yamlfile.read_bytes(source), source)
        config = yamlfile.validate(document, cls)
        found: dict[str, object] = {}
        if config.keyring is not None:
            found["keyring"] = source.parent / config.keyring
        if config.audit.key is not None:
            try:
                key = SecretBytes(config.audit.key_octets(source.parent) or b"")
            except ConfigurationError as error:
                line = document.line(error.field)
                raise ConfigurationError(error.field, error.problem, error.remedy, path=source, line=line) from None
            found["audit"] = config.audit.model_copy(update={"key": key})
        try:
            found["migrate"] = config.migrations(source.parent)
        except ConfigurationError as error:
            line = document.line(error.field)
            raise ConfigurationError(error.field, error.problem, error.remedy, path=source, line=line) from None
        if config.revocation is not None:
            try:
                found["revocation"] = config.revocation.resolved(source.parent)
            except ConfigurationError as error:
                field = f"revocation.{error.field}"
                line = document.line(field)
                raise ConfigurationError(field, error.problem, error.remedy, path=source, line=line) from None
        return config.model_copy(update=found)

    @model_validator(mode="after")
    def _together(self) -> Self:
        prefix = self.key.lower()
        if prefix.startswith(("__host-", "__secure-", "__http-")) and not self.secure:
            raise Unsuitable(
                "is False, but the name's prefix demands True", "Set secure=True, or drop the prefix.", "secure"
            )
        if prefix.startswith("__host-") and self.domain is not None:
            raise Unsuitable("is set, but __Host- cookies belong to one host", "Drop it, or use __Secure-.", "domain")
        if prefix.startswith("__host-") and self.path != "/":
            raise Unsuitable("is not '/', which __Host- demands", "Set path='/', or use __Secure-.", "path")
        if prefix.startswith(("__http-", "__host-http-")) and not self.httponly:
            raise Unsuitable("is False, but the name's prefix demands True", "Set httponly=True.", "httponly")
        if self.samesite == "none" and not self.secure:
            raise Unsuitable(
                "is 'none' without secure=True, so browsers drop the cookie",
                "Set secure=True, or samesite='lax'.",
                "samesite",
            )
        if self.partitioned and not self.secure:
            raise Unsuitable("needs secure=True, or browsers drop the cookie", "Set secure=True.", "partitioned")
        if self.idle_timeout is not None:
            longest = min(self.max_age, self.absolute_max_age or self.max_age)
            if self.idle_timeout > longest:
                raise Unsuitable(
                    f"is longer than the session can live ({longest} s by max_age and absolute_max_age)",
                    "Lower it, or raise the others.",
                    "idle_timeout",
                )
        if isinstance(self.exclude, str | list):
            self._excluded = compile_exclude(self.exclude)
        else:
            self._excluded = self.exclude
        return self

    @discreet
    def migrations(self, base: Path = _HERE) -> tuple[Migration, ...]:
        """Return what is taken over from other libraries, with the old secrets fetched.

        Args:
            base: folder that paths of secrets are relative to.

        Raises:
            ConfigurationError: if a secret cannot be fetched.
        """
        found = []
        for number, settings in enumerate(self.migrate):
            try:
                found.append(settings.resolved(base))
            except ConfigurationError as error:
                raise ConfigurationError(f"migrate.{number}.{error.field}", error.problem, error.remedy) from None
        return tuple(found)

    @property
    def lifetime(self) -> int:
        """Seconds after which a session ends unless it is renewed."""
        return self.max_age if self.idle_timeout is None else self.idle_timeout

    def excludes(self, scope: Mapping[str, Any]) -> bool:
        """Return whether a connection gets no session because of its path."""
        return self._excluded is not None and self._excluded(scope)


def schema() -> str:
    """Return the JSON Schema of the YAML file, for editors; without what can be given in code alone."""
    return yamlfile.schema(SessionConfig)
