"""Writes the keyring file: comments and order kept, and at every moment either the old file or the new one, whole.

Rules of this file:

* The file is edited as text. What a rotation changes is replaced or added where it stands; everything else stays as
  people wrote it, character by character: YAML writers that carry comments along attach them to the wrong neighbour.
* Comments directly above an entry, at the depth of its dash, and comments inside it are its own and go with it.
* What is to be written is read back and compared before it takes the file's place.
* A temporary file in the same folder, mode 0600 from the first octet on, flushed to the disk, renamed over the old one,
  and the folder flushed as well: a crash at any step leaves one whole file, of the owner it had.
* One writer at a time: the caller holds a lock. Changes made without it, in a text editor say, are noticed before they
  would be overwritten. What a killed writer left behind goes as soon as the next one has the lock.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import secrets
from dataclasses import dataclass
from glob import escape
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import CollectionNode, ScalarNode

from sessionkit.exceptions import KeyringError
from sessionkit.keyring import file
from sessionkit.keyring.key import Key, KeyState
from sessionkit.yamlfile import discreet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

    from sessionkit.keyring.keyring import Keyring

__all__ = ["Editor", "NewKey", "create"]

_HEADER = """\
# A keyring of sessionkit. Whoever reads this file can open and make sessions: keep it as you keep passwords.
# `sessionkit keyring status FILE` says how it stands and what to do next; the other commands of that group change it.
# People may edit it too: raise `generation` with every change, and publish one change at a time.
version: 1
generation: {generation}
policy:
  propagation: {propagation} # seconds until every process has loaded a publish
  skew: {skew} # seconds that two clocks may differ by
  token_lifetime: {token_lifetime} # seconds a session may go without being renewed: at least every max_age
keys:
"""

_POSIX = os.name == "posix"
"""Elsewhere a folder cannot be opened to be flushed, and files have no owner by number."""

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
        inline: whether secrets stand in the file itself.

    Raises:
        KeyringError: if it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        _sweep(self._path)
        self._data = file.read_bytes(self._path)
        self.ring = file.parse(self._data, self._path)
        self.inline = any(_has_inline_secret(entry) for entry in _Text(self._data).entries)

    def __repr__(self) -> str:
        """Show the ring."""
        return f"<Editor {self.ring!r}>"

    def publish(self, ring: Keyring, new: Mapping[str, NewKey] | None = None) -> None:
        """Put another ring in the file's place.

        Args:
            ring: the ring to write.
            new: keys that are not in the file yet, by id in hexadecimal.

        Raises:
            KeyringError: if the result would not be that ring, the file was changed since it was read, or it cannot be
                written. The file is then as it was.
        """
        text = _Text(self._data)
        text.put(text.root, {"generation": str(ring.generation)}, behind="version")
        if ring.not_before is not None and ring.not_before != self.ring.not_before:
            # Where there was no generation either, it is put behind the version first, and this behind it.
            behind = "version" if _field(text.root, "generation") is None else "generation"
            text.put(text.root, {"not_before": file.timestamp(ring.not_before)}, behind=behind)
        gone: list[int] = []
        for number, (before, entry) in enumerate(zip(self.ring.keys, text.entries, strict=True)):
            after = ring.find(before.id)
            if after is None:
                gone.append(number)
                continue
            text.put(entry, _changes(before, after))
            secret = _field(entry, "secret")
            if after.state is KeyState.REVOKED is not before.state and secret and not _has_inline_secret(entry):
                text.bury(entry, secret, after.kid)
        added = [_fields((new or {})[key.kid]) for key in ring.keys if self.ring.find(key.id) is None]
        text.reseat(gone, added)
        data = text.edited().encode("utf-8")
        # Not the ring given: its keys may stand in another order than the file's.
        self.ring = _replace(self._path, data, ring, known=self._data)
        self._data = data


def create(path: Path, ring: Keyring, new: Mapping[str, NewKey]) -> None:
    """Write a first keyring file; the caller holds the lock.

    Raises:
        KeyringError: if there is a file already, or it cannot be written.
    """
    policy = {name: _number(getattr(ring.policy, name)) for name in ("propagation", "skew", "token_lifetime")}
    entries = [_block_entry(_fields(new[key.kid]), "  ", "\n") for key in ring.keys]
    text = _HEADER.format(generation=ring.generation, **policy) + "".join(entries)
    _sweep(path)
    _replace(path, text.encode("utf-8"), ring, known=None)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _changes(before: Key, after: Key) -> dict[str, str]:
    """Return what differs between two states of a key, as YAML; what stays the same keeps its spelling."""
    changes = {} if before.state is after.state else {"state": after.state.value}
    for name in _DATES:
        when = getattr(after, name)
        if when != getattr(before, name):
            changes[name] = "null" if when is None else file.timestamp(when)
    return changes


def _fields(new: NewKey) -> dict[str, str]:
    """Return the entry of a new key, as YAML."""
    fields = {"label": _quoted(new.key.label), "state": new.key.state.value}
    # Base64 of a secret is never taken for anything but text; whatever people name is quoted.
    told = {way: value if way == "base64" else _quoted(value) for way, value in new.secret.items()}
    fields["secret"] = f"{{{', '.join(f'{way}: {value}' for way, value in told.items())}}}"
    for name in _DATES:
        when = getattr(new.key, name)
        if when is not None:
            fields[name] = file.timestamp(when)
    return fields


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)  # JSON is YAML


def _block_entry(fields: Mapping[str, str], indent: str, newline: str) -> str:
    lines = [f"{name}: {value}{newline}" for name, value in fields.items()]
    return f"{indent}- " + f"{indent}  ".join(lines)


def _flow_entry(fields: Mapping[str, str]) -> str:
    return f"{{{', '.join(f'{name}: {value}' for name, value in fields.items())}}}"


def _field(mapping: Node, name: str) -> tuple[Node, Node] | None:
    return next(((key, value) for key, value in mapping.value if key.value == name), None)


def _start(node: Node) -> int:
    index: int = node.start_mark.index
    return index


def _stop(node: Node) -> int:
    index: int = node.end_mark.index
    return index


def _has_inline_secret(entry: Node) -> bool:
    secret = _field(entry, "secret")
    return secret is not None and isinstance(secret[1].value, list) and _field(secret[1], "base64") is not None


class _Text:
    """A valid keyring file as text, and the edits to make in it."""

    def __init__(self, data: bytes) -> None:
        self._text = data.decode("utf-8")
        self._newline = "\r\n" if "\r\n" in self._text else "\n"
        self._edits: list[tuple[int, int, str]] = []
        self.root: MappingNode = YAML(typ="safe", pure=True).compose(self._text)
        self._sequence: SequenceNode = next(value for key, value in self.root.value if key.value == "keys")
        self.entries: Sequence[MappingNode] = self._sequence.value

    def edited(self) -> str:
        """Return the text with all edits made; of two at one place, the first asked for comes first."""
        text = self._text
        for start, end, new in sorted(self._edits, key=lambda edit: edit[0])[::-1]:
            text = text[:start] + new + text[end:]
        return text

    def put(self, mapping: MappingNode, fields: Mapping[str, str], *, behind: str | None = None) -> None:
        """Set fields: where they stand, else behind the last one or the one that is named."""
        added = dict(fields)
        for key, value in mapping.value:
            if key.value in added:
                self._set(key, value, added.pop(key.value))
        if not added:
            return
        end = self._end(*((None if behind is None else _field(mapping, behind)) or mapping.value[-1]))
        if mapping.flow_style:
            self._edits.append((end, end, "".join(f", {name}: {value}" for name, value in added.items())))
            return
        end = self._line_end(end)
        indent = self._newline + " " * mapping.value[0][0].start_mark.column
        self._edits.append((end, end, "".join(f"{indent}{name}: {value}" for name, value in added.items())))

    def bury(self, entry: MappingNode, secret: tuple[Node, Node], kid: str) -> None:
        """Leave the id in place of where a secret comes from: that may go, and the file still loads."""
        if _field(entry, "kid") is not None:
            self._set(*secret, "null")
            return
        self._edits.append((_start(secret[0]), self._end(*secret), f"kid: {_quoted(kid)}"))

    def reseat(self, gone: Sequence[int], added: Sequence[Mapping[str, str]]) -> None:
        """Take entries out by their number, and put others behind the last."""
        if self._sequence.flow_style:
            kept = max(number for number in range(len(self.entries)) if number not in gone)
            for number in gone:
                if number < kept:
                    start, end = _start(self.entries[number]), _start(self.entries[number + 1])
                    self._edits.append((start, end, ""))
            behind = _stop(self.entries[kept])
            new = "".join(f", {_flow_entry(fields)}" for fields in added)
            self._edits.append((behind, _stop(self.entries[-1]), new))
            return
        indent = " " * self._sequence.start_mark.column
        spaced = self._span(len(self.entries) - 1)[2]
        for number in gone:
            start, end, _ = self._span(number)
            self._edits.append((start, end, ""))
        behind = self._span(len(self.entries) - 1)[1]
        if added and self._text[behind - 1] != "\n":
            self._edits.append((behind, behind, self._newline))
        for fields in added:
            entry = _block_entry(fields, indent, self._newline)
            self._edits.append((behind, behind, self._newline + entry if spaced else entry))

    def _set(self, key: Node, value: Node, new: str) -> None:
        if _start(value) < _stop(value):
            self._edits.append((_start(value), self._end(key, value), new))
            return
        end = self._end(key, value)  # nothing stands there but a colon, and in a flow mapping not even that
        self._edits.append((end, end, f" {new}" if self._text[end - 1] == ":" else f": {new}"))

    def _end(self, key: Node, value: Node) -> int:
        """Return where a field ends; what block collections call their end is the beginning of what comes next."""
        if isinstance(value, ScalarNode):
            if _start(value) == _stop(value):
                colon = re.compile(r"\s*:").match(self._text, _stop(key))
                return _stop(key) if colon is None else colon.end()
            inside = self._text[_start(value) : _stop(value)]
            return _start(value) + len(inside.rstrip())
        if isinstance(value, CollectionNode) and value.flow_style:
            return _stop(value)
        last: Any = value.value[-1]  # a field of a mapping, or an entry of a sequence
        return self._end(*last) if isinstance(last, tuple) else self._end(last, last)

    def _line_end(self, index: int) -> int:
        """Return where a line ends, without its line break."""
        found = self._text.find("\n", index)
        end = len(self._text) if found < 0 else found
        return end - 1 if self._text[end - 1] == "\r" else end

    def _next_line(self, index: int) -> int:
        found = self._text.find("\n", index)
        return len(self._text) if found < 0 else found + 1

    def _line(self, start: int) -> str:
        return self._text[start : self._next_line(start)]

    def _before(self, start: int) -> int:
        """Return where the line before another begins."""
        return self._text.rfind("\n", 0, start - 1) + 1

    def _span(self, number: int) -> tuple[int, int, bool]:
        """Return what belongs to an entry of the block sequence: from where, to where, and whether it is set off."""
        column = self._sequence.start_mark.column
        entry = self.entries[number]
        start = self._text.rfind("\n", 0, _start(entry)) + 1
        while start and (self._line(start)[column : column + 1] != "-" or self._line(start)[:column].strip()):
            start = self._before(start)
        while start and _is_comment(self._line(self._before(start)), column):
            start = self._before(start)
        end = self._next_line(self._end(entry, entry))
        while _is_comment(self._line(end), column + 1, deeper=True):
            end = self._next_line(end)
        set_off = False
        while start and not self._line(self._before(start)).strip():
            start, set_off = self._before(start), True
        while not set_off and end < len(self._text) and not self._line(end).strip():
            end = self._next_line(end)
        return start, end, set_off


def _is_comment(line: str, column: int, *, deeper: bool = False) -> bool:
    text = line.lstrip(" ")
    found = len(line) - len(text)
    return text.startswith("#") and (found >= column if deeper else found == column)


def _sweep(path: Path) -> None:
    """Remove what writers left behind that were killed; their secrets are not to lie about."""
    for left in path.parent.glob(f".{escape(path.name)}.*.tmp"):
        with contextlib.suppress(OSError):
            left.unlink()


@discreet
def _replace(path: Path, data: bytes, ring: Keyring, *, known: bytes | None) -> Keyring:
    """Put other octets in a file's place, if they are the ring they are meant to be, and return the ring they are.

    Args:
        path: the file.
        data: what it is to hold.
        ring: what that must be read as.
        known: what it holds now, or ``None`` if there is to be no file yet.

    Raises:
        KeyringError: if it is not that ring, the file has changed, or cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            _write(temporary, data, None if known is None else path.stat())
            written = _read_back(temporary, path, ring)
            if known is None:
                # A link fails where a file stands already; a rename would replace it.
                os.link(temporary, path)
            elif path.read_bytes() != known:
                raise KeyringError(
                    "file", "was changed by somebody else meanwhile", "Look at the change, then try again.", path=path
                )
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
    return written


def _read_back(temporary: Path, path: Path, ring: Keyring) -> Keyring:
    try:
        written = file.parse(file.read_bytes(temporary), temporary)
    except KeyringError as error:
        # Its line is one of a file that nobody will see.
        raise KeyringError(error.field, error.problem, error.remedy, label=error.label, path=path) from None
    if written.digest == ring.digest:
        return written
    raise KeyringError(
        "file", "would not come out as intended, so it was left alone", "Report this as a bug.", path=path
    )


def _write(path: Path, data: bytes, before: os.stat_result | None) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(handle, "wb") as stream:  # noqa: PTH123 - a descriptor, opened with its mode
        if before is not None and _POSIX:
            _give(handle, before)
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _give(handle: int, before: os.stat_result) -> None:
    """Give the new file the owner of the old one: ``sudo`` must not lock out the processes that read it."""
    now = os.fstat(handle)
    if now.st_uid != before.st_uid:
        os.fchown(handle, before.st_uid, before.st_gid)
    elif now.st_gid != before.st_gid:
        # The group has no rights on it; a file that the owner can read is good enough.
        with contextlib.suppress(PermissionError):
            os.fchown(handle, -1, before.st_gid)


def _flush_folder(folder: Path) -> None:
    """Have the disk know of the new name, where folders can be flushed (not on some network file systems).

    The file is in its place already, and told so: without this, a machine that loses its power now may come up with the
    old one, which is whole too.
    """
    if not _POSIX:
        return
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
