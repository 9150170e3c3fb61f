"""One cookie in, one cookie out: what nearly every request with a session is, in one function for each way.

``codec`` composes the same of parts that are named, tested and good for everything: many cookies or none, a token in
pieces, refusals with their reasons. Here, what is known beforehand is looked up beforehand, and what is in hand is not
handed on.

Rules of this file:

* Nothing is decided here that ``codec`` decides otherwise. Whatever is out of the ordinary ``codec`` looks at: with
  what is known by then, or from the beginning, where ``None`` is answered. The tests hold one against the other.
* Nothing is done twice that takes long: whoever sends made-up cookies shall not cost more than who has a session.
"""

from __future__ import annotations

from struct import error as StructError  # noqa: N812 - as errors are written
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag

from sessionkit.exceptions import RejectReason
from sessionkit.session import Record
from sessionkit.wire import base64url
from sessionkit.wire.codec import HEADER, KNOWN_FLAGS, REMEMBER, TYPED, Loaded
from sessionkit.wire.cookies import MAX_COOKIE
from sessionkit.wire.serializer import BadPayload
from sessionkit.wire.token import OVERHEAD, PREFIX_SIZE

if TYPE_CHECKING:
    from sessionkit.config import SessionConfig
    from sessionkit.keyring.key import Key
    from sessionkit.wire.codec import Codec, Rejected

__all__ = ["Straight"]

_new = tuple.__new__
"""Makes a named tuple past its own constructor, which is a function in Python: 0.13 µs instead of 0.33 (``Record``)."""

_header_of, _header, _HEADER_SIZE = HEADER.unpack_from, HEADER.pack, HEADER.size
_UNKNOWN = ~KNOWN_FLAGS


class Straight:
    """Opens and seals where nothing is out of the ordinary.

    Args:
        config: names, limits and attributes.
        codec: what does everything else, under the ring in force.
    """

    __slots__ = (
        "_absolute",
        "_aim",
        "_codec",
        "_lifetime",
        "_longest",
        "_max_age",
        "_name",
        "_names",
        "_not_before",
        "_opened_by",
        "_sealed_by",
        "_serializer",
        "_skew",
        "_writer",
    )

    def __init__(self, config: SessionConfig, codec: Codec) -> None:
        self._name = config.key.encode("ascii")
        self._aim = self._name + b"="
        self._names = codec.writer.names(1)
        self._absolute = config.absolute_max_age
        self._lifetime = config.lifetime
        self._max_age = config.max_age if config.persistent else None
        self._not_before = codec.not_before
        self._opened_by = codec.cipher.opened_by
        self._sealed_by = codec.cipher.sealed_by
        self._longest = codec.room * 3 // 4 - OVERHEAD - _HEADER_SIZE
        self._codec = codec
        self._serializer = codec.serializer
        self._skew = codec.skew
        self._writer = codec.writer

    def open(self, field: bytes, now: float) -> Loaded | Rejected | None:
        """Return what is in the one Cookie field of a request; ``None`` if ``codec`` is to look at it.

        Ordinary is: our name occurs in it once, as browsers spell it, with something that may be a token.

        Args:
            field: the field's value.
            now: Unix seconds.
        """
        aim = self._aim
        at = field.find(aim)
        if at < 0 or field.count(self._name) != 1 or (at and not field.startswith(b"; ", at - 2)):
            return None
        start = at + len(aim)
        end = field.find(b";", start)
        value = field[start:] if end < 0 else field[start:end]
        if len(value) > MAX_COOKIE or (raw := base64url.decode(value)) is None or len(raw) < OVERHEAD:
            return None
        found = self._opened_by.get(raw[:PREFIX_SIZE])
        if found is None:
            return self._codec.refuse_lone(value, self._codec.cipher.unknown(raw))
        key, sealer, aad = found
        if sealer is None:
            return self._codec.refuse_lone(value, RejectReason.REVOKED, key)
        try:
            plain = sealer.open(raw, PREFIX_SIZE, aad)
        except InvalidTag:
            return self._codec.refuse_lone(value, RejectReason.BAD_TAG, key)
        return self._read(value, key, plain, now, len(field)) or self._codec.read_lone(
            value, key, plain, now, len(field)
        )

    def _read(self, value: bytes, key: Key, plain: bytes, now: float, header_size: int) -> Loaded | None:
        """Return the session in a plaintext; ``None`` if it is refused, and ``codec`` is to say why."""
        try:
            flags, session_id, created, authenticated, issued = _header_of(plain)
            payload = plain[_HEADER_SIZE:]
            issued_at, begun = issued / 1000, created / 1000
            deadline = issued_at + self._lifetime
            if self._absolute is not None:
                deadline = min(deadline, begun + self._absolute)
            if flags & _UNKNOWN or issued_at > now + self._skew or now >= deadline or created < self._not_before:
                return None
            typed = flags & TYPED != 0
            data = self._serializer.load(payload, typed=typed)
        except (BadPayload, StructError):  # the latter: it is too short
            return None
        record = _new(Record, (session_id, begun, authenticated / 1000, issued_at, flags & REMEMBER != 0))
        return _new(Loaded, (data, record, key, payload, typed, deadline, self._names, (), len(value), 1, header_size))

    def seal(self, record: Record, payload: bytes, key: Key, now: float) -> bytes | None:
        """Return the ``Set-Cookie`` value of a session that goes on as it came; ``None`` if ``codec`` is to make it.

        Args:
            record: the session's, as it came.
            payload: of plain values.
            key: the key to seal it under.
            now: Unix seconds.
        """
        session_id, begun, authenticated, _, remember = record
        created = int(begun * 1000 + 0.5)  # as ``milliseconds`` has it, without a call for each of three
        if remember or created < self._not_before or now <= 0 or len(payload) > self._longest:
            return None
        max_age = self._max_age
        if self._absolute is not None and max_age is not None:
            max_age = max(0, min(max_age, int(begun + self._absolute - now)))
        prefix, sealer, aad = self._sealed_by[key.id]
        header = _header(0, session_id, created, int(authenticated * 1000 + 0.5), int(now * 1000 + 0.5))
        token = base64url.encode(prefix + sealer.seal(header + payload, aad))
        return self._writer.lone(token, max_age)
