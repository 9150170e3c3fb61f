"""Where a secret comes from: the file itself, an environment variable, another file, or a command that prints it.

Rules of this file:

* Text is base64 (either alphabet, padding optional) or hexadecimal of 16, 24 or 32 octets. Where text could be both, it
  is hexadecimal: 32 characters that are all hexadecimal digits. A file may also hold the octets themselves, if they are
  no base64 of whatever length: a secret that was cut off is never taken for another one.
* Errors name the variable, the file or the command, never what it delivered; nor a name that might be the secret
  itself, put into the wrong field.
"""

from __future__ import annotations

import os
import re
import subprocess
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from sessionkit.audit.pseudonyms import MIN_KEY_SIZE
from sessionkit.exceptions import ConfigurationError
from sessionkit.yamlfile import Unsuitable, discreet, translate

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["COMMAND_TIMEOUT", "LONGER", "SecretSource", "key_or_source", "looks_like_secret"]

COMMAND_TIMEOUT = 10.0
"""Seconds a command may take: sops and vault clients ask over the network, and a reload must end some time."""

LONGER = f"Give at least {MIN_KEY_SIZE} random octets: shorter keys can be searched for."
"""What to do about a key of references that is too short."""

_MAX_TEXT = 4096
_RAW_SIZES = (16, 24, 32)
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){16}|(?:[0-9a-fA-F]{2}){24}|(?:[0-9a-fA-F]{2}){32}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_FORMS = "Give base64 or hexadecimal of 16, 24 or 32 octets."


class SecretSource(BaseModel):
    """One of four ways to a secret."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={"minProperties": 1, "maxProperties": 1},
    )

    base64: SecretStr | None = Field(
        default=None, description="the secret itself, in base64; the file must be readable by its owner alone"
    )
    env: str | None = Field(
        default=None, min_length=1, description="name of an environment variable with it in base64 or hexadecimal"
    )
    file: str | None = Field(
        default=None, min_length=1, description="path of a file with it in base64, hexadecimal or as octets"
    )
    command: list[str] | None = Field(
        default=None, min_length=1, description="a command and its arguments, run without a shell, that prints it"
    )

    @discreet
    def __init__(self, /, **settings: object) -> None:
        """Check that there is exactly one way.

        Raises:
            ConfigurationError: if there is none, or more than one.
        """
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise translate(error, type(self)) from None

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            problem = "names no way to the secret" if not given else f"names {len(given)} ways: {', '.join(given)}"
            raise Unsuitable(problem, "Give exactly one of base64, env, file and command.")
        return self

    @property
    def inline(self) -> bool:
        """Whether the secret stands in the file itself."""
        return self.base64 is not None

    @discreet
    def resolve(self, base: Path) -> bytes:
        """Fetch the secret.

        Args:
            base: folder that a relative path is relative to.

        Raises:
            ConfigurationError: naming the way (``base64``, ``env``, ``file`` or ``command``) and what went wrong.
        """
        if self.base64 is not None:
            return _from_base64(self.base64.get_secret_value().strip(), "base64", "is not base64")
        if self.env is not None:
            text = os.environ.get(self.env)
            name = self.env if _VARIABLE.fullmatch(self.env) else "…"
            if text is None:
                raise ConfigurationError("env", f"variable {name} is not set", "Set it, or name another.")
            return _from_text(text, "env", f"variable {name} holds neither base64 nor hexadecimal")
        if self.file is not None:
            return _from_file(base / self.file, str(base / _told(self.file)))
        return _from_command(self.command or [], base)


def key_or_source(value: object) -> object:
    """Check a key of references as settings give it: octets in code, the way to them in a file.

    Raises:
        Unsuitable: if it is neither.
    """
    if isinstance(value, str):
        raise Unsuitable("is text", "Give octets, or one of {base64: …}, {env: …}, {file: …} and {command: […]}.")
    if isinstance(value, dict):
        # Made here, since a union would first say that it is no bytes.
        return SecretSource(**{str(name): told for name, told in value.items()})
    if isinstance(value, bytes) and len(value) < MIN_KEY_SIZE:
        problem = f"is {len(value)} octets long"
        raise Unsuitable(problem, LONGER)
    return value


def looks_like_secret(name: str) -> bool:
    """Return whether a path or a name may be a secret: of the right length, and hexadecimal or mixed case."""
    if _HEX.fullmatch(name):
        return True
    mixed = name.upper() != name != name.lower() and _BASE64.fullmatch(name) is not None
    return mixed and len(name.rstrip("=")) * 6 // 8 in _RAW_SIZES


def _told(name: str) -> str:
    """Return a path for an error, unless it looks like a secret."""
    return "…" if looks_like_secret(name) else name


def _from_file(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_TEXT + 1)
    except (OSError, ValueError) as error:
        problem = f"{name} cannot be read ({_why(error)})"
        raise ConfigurationError("file", problem, "Check the path and its permissions.") from None
    problem = f"{name} holds neither base64 nor hexadecimal, nor 16, 24 or 32 octets"
    try:
        return _from_text(data.decode("ascii"), "file", problem)
    except (UnicodeDecodeError, ConfigurationError):
        if len(data) in _RAW_SIZES:
            return data
    raise ConfigurationError("file", problem, _FORMS)


def _why(error: OSError | ValueError) -> str | None:
    return error.strerror if isinstance(error, OSError) else "no such name can be"


def _from_command(command: list[str], base: Path) -> bytes:
    name = _told(command[0])
    problem: str | None = None
    output = b""
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command, without a shell
            command, cwd=base, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        problem = f"{name} did not end within {COMMAND_TIMEOUT:.0f} s"
    except (OSError, ValueError) as error:
        problem = f"{name} cannot be run ({_why(error)})"
    else:
        output = done.stdout
        if done.returncode:
            problem = f"{name} failed with exit status {done.returncode}"
    if problem is not None:
        raise ConfigurationError("command", problem, "Run it by hand as the same user to see what it says.")
    garbage = f"{name} printed neither base64 nor hexadecimal"
    try:
        return _from_text(output[: _MAX_TEXT + 1].decode("ascii"), "command", garbage)
    except UnicodeDecodeError:
        problem = garbage
    raise ConfigurationError("command", problem, _FORMS)


def _from_text(text: str, field: str, problem: str) -> bytes:
    text = text.strip()
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    return _from_base64(text, field, problem)


def _from_base64(text: str, field: str, problem: str) -> bytes:
    if not _BASE64.fullmatch(text) or len(text) > _MAX_TEXT:
        raise ConfigurationError(field, problem, _FORMS)
    plain = text.rstrip("=").replace("+", "-").replace("/", "_")
    try:
        return urlsafe_b64decode(plain + "=" * (-len(plain) % 4))
    except ValueError:
        raise ConfigurationError(field, problem, _FORMS) from None
