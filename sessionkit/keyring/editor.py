"""Writes the keyring file: comments and order kept, and at every moment either the old file or the new one, whole.

Rules of this file:

* What is to be written is read back and compared before it takes the file's place.
* A temporary file in the same folder, mode 0600 from the first octet on, flushed to the disk, renamed over the old one,
  and the folder flushed as well: a crash at any step leaves one whole file.
* Only what a rotation changes is touched; what people wrote beside it stays.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from sessionkit.exceptions import KeyringError
from sessionkit.keyring import file
from sessionkit.keyring.key import Key, KeyState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sessionkit.keyring.keyring import Keyring

__all__ = ["Editor", "NewKey", "create"]

_HEADER = """\
# A keyring of sessionkit. Whoever reads this file can open and make sessions: keep it as you keep passwords.
# `sessionkit keyring status FILE` says how it stands and what to do next; the other commands of that group change it.
# People may edit it too: raise `generation` with every change, and publish one change at a time.
"""

_POSIX = os.name == "posix"
"""Elsewhere a folder cannot be opened to be flushed."""

_DATES = ("created", "activates", "retired", "revoked", "prune_after")


@dataclass(frozen=True, slots=True, repr=False)
class NewKey:
    """A key that is not in the file yet.

    Attributes:
        key: the key.
        secret: how the file is to tell its secret: one of ``base64``, ``env``, ``file`` and ``command``.
    """

    key: Key
    secret: Mapping[str, Any]

    @classmethod
    def generate(cls, label: str, state: KeyState, now: float) -> NewKey:
        """Make a key of 32 random octets whose secret stands in the file itself."""
        octets = secrets.token_bytes(32)
        key = Key.from_secret(octets, label=label, state=state, created=now)
        return cls(key, {"base64": base64.b64encode(octets).decode("ascii")})


class Editor:
    """One keyring file on its way from one ring to the next.

    Args:
        path: the file; a link is followed, so that the file it points to is replaced and not the link.

    Attributes:
        ring: the ring that the file holds.

    Raises:
        KeyringError: if it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        data = file.read_bytes(self._path)
        self.ring = file.parse(data, self._path)
        self._yaml = _yaml()
        self._document: CommentedMap = self._yaml.load(data.decode("utf-8"))

    def __repr__(self) -> str:
        """Show the ring."""
        return f"<Editor {self.ring!r}>"

    def publish(self, ring: Keyring, new: Mapping[str, NewKey] | None = None) -> None:
        """Put another ring in the file's place.

        Args:
            ring: the ring to write.
            new: keys that are not in the file yet, by id in hexadecimal.

        Raises:
            KeyringError: if the result would not be that ring, or cannot be written. The file is then as it was.
        """
        document = self._document
        document["generation"] = ring.generation
        entries = document["keys"]
        known = {before.kid: (before, entry) for before, entry in zip(self.ring.keys, list(entries), strict=True)}
        gone = [number for number, before in enumerate(self.ring.keys) if ring.find(before.id) is None]
        for number in reversed(gone):
            del entries[number]
        for key in ring.keys:
            if key.kid not in known:
                entries.append(_entry((new or {})[key.kid]))
                continue
            before, entry = known[key.kid]
            if before.state is not key.state:
                entry["state"] = key.state.value
            _dates(entry, key, before)
        stream = io.StringIO()
        self._yaml.dump(document, stream)
        _replace(self._path, stream.getvalue(), ring)
        self.ring = ring


def create(path: Path, ring: Keyring, new: Mapping[str, NewKey]) -> None:
    """Write a first keyring file.

    Raises:
        KeyringError: if there is a file already, or it cannot be written.
    """
    document = CommentedMap()
    document["version"] = 1
    document["generation"] = ring.generation
    policy = CommentedMap()
    for name, comment in (
        ("propagation", "seconds until every process has loaded a publish"),
        ("skew", "seconds that two clocks may differ by"),
        ("token_lifetime", "seconds a session may go without being renewed: at least every max_age"),
    ):
        value = getattr(ring.policy, name)
        policy[name] = int(value) if value == int(value) else value
        policy.yaml_add_eol_comment(comment, name)
    document["policy"] = policy
    document["keys"] = [_entry(new[key.kid]) for key in ring.keys]
    stream = io.StringIO()
    stream.write(_HEADER)
    _yaml().dump(document, stream)
    _replace(path, stream.getvalue(), ring, fresh=True)


def _yaml() -> YAML:
    yaml = YAML(typ="rt")
    yaml.Constructor = _Constructor
    yaml.Representer = _Representer
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _entry(new: NewKey) -> CommentedMap:
    entry = CommentedMap()
    entry["label"] = DoubleQuotedScalarString(new.key.label)
    entry["state"] = new.key.state.value
    secret = CommentedMap(new.secret)
    secret.fa.set_flow_style()
    entry["secret"] = secret
    _dates(entry, new.key)
    return entry


def _dates(entry: CommentedMap, key: Key, before: Key | None = None) -> None:
    """Write the dates that are new or moved; one that stands there keeps its spelling."""
    for name in _DATES:
        when = getattr(key, name)
        if when == getattr(before, name, None):
            continue
        if when is None:
            del entry[name]
        else:
            entry[name] = _Time(file.timestamp(when))


class _Time(str):
    """A time as it is spelt in the file: ruamel's own reading of times would spell them anew."""

    __slots__ = ()


class _Constructor(RoundTripConstructor):
    pass


class _Representer(RoundTripRepresenter):
    pass


_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_Constructor.add_constructor(_TIMESTAMP, lambda _, node: _Time(node.value))
_Representer.add_representer(_Time, lambda dumper, time: dumper.represent_scalar(_TIMESTAMP, time))


def _replace(path: Path, text: str, ring: Keyring, *, fresh: bool = False) -> None:
    """Put a text in a file's place, if it is the ring it is meant to be.

    Raises:
        KeyringError: if it is not, or cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            _write(temporary, text.encode("utf-8"))
            written = file.parse(file.read_bytes(temporary), temporary)
            if written.digest != ring.digest:
                raise KeyringError(
                    "file", "would not come out as intended, so it was left alone", "Report this as a bug.", path=path
                )
            if fresh:
                # A link fails where a file stands already; a rename would replace it.
                os.link(temporary, path)
            else:
                temporary.replace(path)
            _flush_folder(path.parent)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
    except FileExistsError:
        raise KeyringError("file", "exists already", "Choose another path, or rotate this one.", path=path) from None
    except OSError as error:
        raise KeyringError(
            "file", f"cannot be written ({error.strerror})", "Check the folder and its permissions.", path=path
        ) from None


def _write(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(handle, "wb") as stream:  # noqa: PTH123 - a descriptor, opened with its mode
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    if not _POSIX:
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
