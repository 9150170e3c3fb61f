"""Settings of the list of revocations, in code and in YAML.

Rules of this file:

* The address of a server may hold a password: no error, repr or log shows it.
* What cannot be decided here (is there a list at all, is there a key) is decided when the service is made, since a list
  may also be given in code.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretBytes,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from sessionkit.exceptions import ConfigurationError
from sessionkit.keyring.source import SecretSource, key_or_source
from sessionkit.yamlfile import Unsuitable, discreet, translate

__all__ = ["RevocationConfig", "Variable"]

_HERE = Path()
_SCHEMES = frozenset({"redis", "rediss", "unix"})
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_ADDRESS = "Write redis://HOST:PORT/NUMBER, rediss://… for TLS, unix:///PATH, or {env: NAME} of a variable."


class Variable(BaseModel):
    """An environment variable that holds a setting."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    env: str = Field(min_length=1, description="name of the environment variable")

    @discreet
    def __init__(self, /, **settings: Any) -> None:
        """Check that it names one.

        Raises:
            ConfigurationError: if it does not.
        """
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise translate(error, type(self)) from None

    def value(self) -> str:
        """Return what it holds.

        Raises:
            ConfigurationError: if it is not set.
        """
        held = os.environ.get(self.env)
        if held is None:
            name = self.env if _VARIABLE.fullmatch(self.env) else "…"  # perhaps the address itself
            raise ConfigurationError("env", f"variable {name} is not set", "Set it, or name another.")
        return held


def _url(value: object) -> object:
    if isinstance(value, dict):
        return Variable(**{str(name): told for name, told in value.items()})
    if isinstance(value, str | SecretStr):
        _check_url(value if isinstance(value, str) else value.get_secret_value())
    elif value is not None and not isinstance(value, Variable):
        raise Unsuitable(f"is a {type(value).__name__}", _ADDRESS)
    return value


def _check_url(value: str) -> None:
    """Refuse what is no address of a Redis server.

    Raises:
        Unsuitable: if it is none.
    """
    try:
        parts = urlsplit(value)
        known = parts.scheme in _SCHEMES and bool(parts.path if parts.scheme == "unix" else parts.hostname)
        _ = parts.port
    except ValueError:
        known = False
    if not known:
        raise Unsuitable("is no address of a Redis server", _ADDRESS)


def _seconds(value: object) -> object:
    if isinstance(value, bool | str):
        raise Unsuitable(f"is a {type(value).__name__}", "Give a number of seconds, such as 0.25.")
    return value


def _prefix(value: str) -> str:
    if not re.fullmatch(r"[!-~]{1,64}", value):
        raise Unsuitable("is no beginning of names", "Use 1 to 64 characters of ASCII without spaces.")
    return value


class RevocationConfig(BaseModel):
    """Real logout: which list is asked whether a session has ended, and what holds while it does not answer.

    Attributes:
        redis: address of the server that keeps the list.
        memory: keep the list in this process.
        policy: ``closed``: while the list does not answer, requests with a session get 503. ``open``: they are served.
        cache: seconds for which an answer is believed; how long a logout elsewhere may take to be seen here.
        timeout: seconds that a request waits for the list at most.
        subject_key: entry of the session that says whose it is.
        key: key of the marks that stand for sessions and subjects in the list.
        prefix: what names of entries in Redis begin with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    redis: Annotated[SecretStr | Variable | None, BeforeValidator(_url)] = Field(
        default=None, description="address of the server that keeps the list: redis://…, or {env: NAME}"
    )
    memory: bool = Field(default=False, strict=True, description="keep the list in this process, for a service of one")
    policy: Literal["closed", "open"] = Field(
        default="closed",
        description="while the list does not answer: refuse sessions with 503, or serve them unchecked",
    )
    cache: Annotated[float, BeforeValidator(_seconds)] = Field(
        default=1.0, ge=0, le=60, description="seconds for which an answer is believed; 0 asks every time"
    )
    timeout: Annotated[float, BeforeValidator(_seconds)] = Field(
        default=0.25, gt=0, le=10, description="seconds that a request waits for the list at most"
    )
    subject_key: str | None = Field(
        default=None, min_length=1, description="entry of the session that says whose it is, such as 'user_id'"
    )
    key: Annotated[SkipJsonSchema[SecretBytes] | SecretSource | None, BeforeValidator(key_or_source)] = Field(
        default=None, description="key of what stands in the list for sessions and subjects; by default audit.key"
    )
    prefix: Annotated[str, AfterValidator(_prefix)] = Field(
        default="sessionkit", description="what names of entries in Redis begin with"
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

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.memory and self.redis is not None:
            raise Unsuitable("names two lists", "Give one of redis and memory.")
        return self

    @discreet
    def resolved(self, base: Path = _HERE) -> Self:
        """Return the same with its key and its address fetched.

        Args:
            base: folder that the path of the key is relative to.

        Raises:
            ConfigurationError: if one cannot be fetched, or is none.
        """
        found: dict[str, object] = {}
        if isinstance(self.redis, Variable):
            try:
                address = self.redis.value()
                _check_url(address)
            except ConfigurationError as error:
                raise ConfigurationError(f"redis.{error.field}", error.problem, error.remedy) from None
            except Unsuitable as error:
                raise ConfigurationError("redis.env", f"its variable {error.problem}", error.remedy) from None
            found["redis"] = SecretStr(address)
        if isinstance(self.key, SecretSource):
            try:
                key = self.key.resolve(base)
            except ConfigurationError as error:
                raise ConfigurationError(f"key.{error.field}", error.problem, error.remedy) from None
            found["key"] = SecretBytes(key)
        return self.model_copy(update=found)

    @property
    def address(self) -> str | None:
        """Address of the server, of resolved settings."""
        return self.redis.get_secret_value() if isinstance(self.redis, SecretStr) else None

    @property
    def octets(self) -> bytes | None:
        """Key of the marks, of resolved settings."""
        return self.key.get_secret_value() if isinstance(self.key, SecretBytes) else None
