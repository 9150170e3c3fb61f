"""The keyring file: a YAML file that people and one command write, and every process reads.

Rules of this file:

* Every error names the key's label and the line, and never a secret.
* What is read is read once: what was hashed, parsed and checked is one and the same.
* A file with secrets in it must be readable by its owner (and group) alone, and none may be writable by everybody:
  whoever writes it chooses the keys, and the commands that are run.
"""

from __future__ import annotations

import os
import re
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from sessionkit import yamlfile
from sessionkit.exceptions import ConfigurationError, KeyringError
from sessionkit.keyring.key import ID_SIZE, Key, KeyState
from sessionkit.keyring.keyring import Keyring, Policy
from sessionkit.keyring.source import SecretSource
from sessionkit.yamlfile import Unsuitable, discreet, translate

if TYPE_CHECKING:
    from os import PathLike

    from sessionkit.yamlfile import Document

__all__ = [
    "DEFAULT_LIFETIME",
    "LONGEST",
    "MAX_FORMAT",
    "KeyModel",
    "KeyringModel",
    "parse",
    "read",
    "read_bytes",
    "schema",
    "timestamp",
]

DEFAULT_LIFETIME = 1_209_600.0
"""Seconds a session may go without being renewed where a file does not say: the reference's ``max_age``."""

MAX_FORMAT = 255
"""Highest version of the token: it is one octet."""

LONGEST = 3_155_760_000
"""Seconds that a policy may promise at most, a century: every date that follows from it can be written down."""

_MAX_GENERATION = 2**53 - 1
"""Highest whole number that every reader of JSON lines keeps as it is."""

_MAX_LABEL = 64
_YEARS = range(1970, 3000)
"""Years of dates in a file: with what a policy adds to them, they stay dates."""

_KEY_FIELD = re.compile(r"keys\.(?P<number>\d+)\.(?P<field>.+)")
_KID = re.compile(rf"[0-9a-f]{{{2 * ID_SIZE}}}")


def _time(value: object) -> object:
    if isinstance(value, int | float):
        raise Unsuitable("is a number", "Write a time with its zone, such as 2026-11-01T00:00:00Z.")
    return value


def _text(value: object) -> object:
    if isinstance(value, int | float | bool) or value is None:
        raise Unsuitable("is not text", "Put it in quotes.")
    return value


def _representable(value: datetime | None) -> datetime | None:
    if value is not None and value.year not in _YEARS:
        raise Unsuitable(
            f"lies in the year {value.year}", f"Write a time between {_YEARS.start} and {_YEARS.stop - 1}."
        )
    return value


Time = Annotated[AwareDatetime | None, BeforeValidator(_time), AfterValidator(_representable)]
Text = Annotated[str, BeforeValidator(_text)]
Seconds = Annotated[float, Field(ge=0, le=LONGEST, allow_inf_nan=False, strict=True)]


class PolicyModel(BaseModel):
    """What the safety checks reckon with."""

    model_config = ConfigDict(extra="forbid")

    propagation: Seconds = Field(default=300.0, description="seconds until every process has loaded a publish")
    skew: Seconds = Field(default=300.0, description="seconds that two clocks may differ by")
    token_lifetime: Seconds = Field(
        default=DEFAULT_LIFETIME,
        gt=0,
        description="seconds a session may go without being renewed: at least the longest max_age of any application",
    )


class KeyModel(BaseModel):
    """One key."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    label: Text = Field(
        min_length=1, max_length=_MAX_LABEL, description="a name for people and logs, never in a cookie"
    )
    state: Literal["staged", "active", "retired", "revoked"] = Field(
        description="staged opens and will seal, active opens and seals, retired opens, revoked is refused"
    )
    secret: SecretSource | None = Field(default=None, description="one of base64, env, file and command")
    kid: Text | None = Field(
        default=None, description="the id that is derived from the secret; instead of it for revoked keys, else a check"
    )
    created: Time = Field(default=None, description="when the key was made")
    activates: Time = Field(default=None, description="when it takes over by itself, or took over")
    retired: Time = Field(default=None, description="when it stopped sealing")
    revoked: Time = Field(default=None, description="when it was revoked")
    prune_after: Time = Field(default=None, description="when its last session has ended")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kid is not None and not _KID.fullmatch(self.kid):
            raise Unsuitable("is no key id", f"Give {2 * ID_SIZE} lower-case hexadecimal digits, in quotes.", "kid")
        if self.secret is None and (self.state != "revoked" or self.kid is None):
            raise Unsuitable(
                "is missing",
                "Give one of base64, env, file and command; only a revoked key with a kid needs none.",
                "secret",
            )
        return self


class KeyringModel(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", title="sessionkit keyring")

    version: Literal[1] = Field(description="the file's format, always 1")
    generation: Annotated[int, Field(ge=0, le=_MAX_GENERATION, strict=True)] = Field(
        default=0, description="grows with every publish; processes refuse one that goes backwards"
    )
    policy: PolicyModel = Field(default_factory=PolicyModel, description="what the safety checks reckon with")
    not_before: Time = Field(default=None, description="sessions that began before this time are refused")
    write_format: Annotated[int, Field(ge=1, le=MAX_FORMAT, strict=True)] | None = Field(
        default=None, description="version of the format to write while not every process can read the newest"
    )
    keys: list[KeyModel] = Field(min_length=1, description="the keys, in any order; exactly one is active")

    @discreet
    def __init__(self, /, **settings: Any) -> None:
        """Check the shape of a file.

        Raises:
            ConfigurationError: naming the field.
        """
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise translate(error, type(self)) from None


def read(path: str | PathLike[str]) -> Keyring:
    """Read a keyring file.

    Raises:
        KeyringError: naming the file, the line and the key.
    """
    source = Path(path)
    return parse(read_bytes(source), source)


@discreet
def read_bytes(path: Path) -> bytes:
    """Return what a keyring file holds.

    Raises:
        KeyringError: if it cannot be read.
    """
    try:
        return yamlfile.read_bytes(path)
    except ConfigurationError as error:
        raise _as_keyring_error(error) from None


@discreet
def parse(data: bytes, path: Path) -> Keyring:
    """Make a ring of what a keyring file holds; fetches the secrets it names.

    Args:
        data: the file's octets.
        path: where they come from: for errors, relative paths of secrets, and the check of permissions.

    Raises:
        KeyringError: naming the file, the line and the key.
    """
    try:
        document = yamlfile.parse(data, path)
    except ConfigurationError as error:
        raise _as_keyring_error(error) from None
    try:
        model = yamlfile.validate(document, KeyringModel)
    except ConfigurationError as error:
        raise _as_keyring_error(error, document) from None
    _check_mode(path, secrets=any(key.secret is not None and key.secret.inline for key in model.keys))
    keys = [_key(key, number, document) for number, key in enumerate(model.keys)]
    policy = Policy(model.policy.propagation, model.policy.skew, model.policy.token_lifetime)
    try:
        return Keyring(
            keys,
            generation=model.generation,
            policy=policy,
            not_before=_seconds(model.not_before),
            write_format=model.write_format,
        )
    except KeyringError as error:
        # The last of several with that label: the first was there before.
        number = max((number for number, key in enumerate(model.keys) if key.label == error.label), default=None)
        line = document.line("keys" if number is None else f"keys.{number}")
        raise KeyringError(error.field, error.problem, error.remedy, label=error.label, path=path, line=line) from None


def _seconds(when: datetime | None) -> float | None:
    return None if when is None else when.timestamp()


def _key(model: KeyModel, number: int, document: Document) -> Key:
    dates = {
        name: _seconds(getattr(model, name)) for name in ("created", "activates", "retired", "revoked", "prune_after")
    }
    state = KeyState(model.state)
    if model.secret is None:
        return Key.tombstone(bytes.fromhex(model.kid or ""), label=model.label, **dates)
    at = f"keys.{number}.secret"
    try:
        secret = model.secret.resolve(document.path.parent)
        key = Key.from_secret(secret, label=model.label, state=state, **dates)
    except ConfigurationError as error:
        field = "secret" if error.field == "secret" else f"secret.{error.field}"
        raise KeyringError(
            field, error.problem, error.remedy, label=model.label, path=document.path, line=document.line(at)
        ) from None
    if model.kid is not None and model.kid != key.kid:
        raise KeyringError(
            "kid",
            f"is {model.kid}, but the secret's id is {key.kid}",
            "Another secret was put in this key's place. Give the new secret a key of its own.",
            label=model.label,
            path=document.path,
            line=document.line(f"keys.{number}.kid"),
        )
    return key


def _check_mode(path: Path, *, secrets: bool) -> None:
    if os.name != "posix":
        return
    try:
        mode = path.stat().st_mode
    except OSError:
        # Read a moment ago and gone now: what was read is whole, and the next look will tell.
        return
    if mode & stat.S_IWOTH or (secrets and mode & stat.S_IROTH):
        does = "holds secrets" if secrets else "names the keys, and commands to run,"
        raise KeyringError(
            "file",
            f"{does} and is open to everybody on this machine (mode {stat.S_IMODE(mode):04o})",
            f"Run: chmod 600 {path.name} (in a Kubernetes Secret volume: defaultMode: 0440).",
            path=path,
        )


def _as_keyring_error(error: ConfigurationError, document: Document | None = None) -> KeyringError:
    """Return an error with the label of the key it is about, where that much of the file can be read."""
    field, label = error.field, None
    match = _KEY_FIELD.fullmatch(field)
    if match is not None and document is not None:
        entry = document.values["keys"][int(match["number"])]
        told = entry.get("label") if isinstance(entry, dict) else None
        if isinstance(told, str) and len(told) <= _MAX_LABEL:
            field, label = match["field"], told
    return KeyringError(field, error.problem, error.remedy, label=label, path=error.path, line=error.line)


def timestamp(when: float) -> str:
    """Return Unix seconds as the file has them."""
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def schema() -> str:
    """Return the JSON Schema of the file, for editors."""
    return yamlfile.schema(KeyringModel)
