"""Cookies to a session and back: composes token, serializer, chunks and cookies.

The plaintext of a token is a header of fixed size, then the payload::

    flags[1] ‖ session id[16] ‖ created[8] ‖ authenticated[8] ‖ issued[8] ‖ payload      41 octets before it

Times are milliseconds since 1970, unsigned, big-endian; ``authenticated`` is 0 if there was no login. Flags: 1, the
payload holds tagged values (see ``serializer``); 2, the cookie outlives the browser session. Any other flag is a newer
release's, so the token is ``unsupported_version`` and the cookie stays.

Rules of this file:

* A cookie that is not accepted is a value, ``Rejected``, with one reason. Nothing a client sends raises.
* Of several candidates under one name the newest authentic one wins, whatever the order.
* Limits are the configuration's, counted from the authenticated times: a limit that was lowered holds at once.
* The ring's ``not_before`` is held against ``created``, the start of the session or its last login, never against
  ``issued``: whoever copied a cookie can have it issued anew, but not begun anew.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

from sessionkit.exceptions import RejectReason
from sessionkit.session import Record, milliseconds
from sessionkit.wire.chunking import candidates
from sessionkit.wire.cookies import CookieReader, CookieWriter
from sessionkit.wire.serializer import BadPayload, Serializer
from sessionkit.wire.token import OVERHEAD, TokenCipher, TokenRejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sessionkit.config import SessionConfig
    from sessionkit.keyring.key import Key
    from sessionkit.keyring.keyring import Keyring
    from sessionkit.wire.cookies import CookieJarView

__all__ = [
    "ABSENT",
    "HEADER",
    "KNOWN_FLAGS",
    "REMEMBER",
    "TYPED",
    "Absent",
    "Codec",
    "Loaded",
    "Received",
    "Rejected",
    "Sealed",
]

HEADER = Struct(">B16sQQQ")

TYPED = 1
REMEMBER = 2
KNOWN_FLAGS = TYPED | REMEMBER

_SMALLEST = (OVERHEAD + HEADER.size) * 4 // 3
"""Characters of the shortest token: overhead, header and an empty payload; no suite has less."""

_TELLING = {
    reason: rank
    for rank, reason in enumerate(
        (
            # Whatever leaves the cookie alone comes first: another node may open what this one cannot.
            RejectReason.UNKNOWN_KEY,
            RejectReason.UNSUPPORTED_VERSION,
            RejectReason.NOT_YET_VALID,
            RejectReason.REVOKED,
            RejectReason.EXPIRED,
            RejectReason.BAD_PAYLOAD,
            RejectReason.BAD_TAG,
            RejectReason.WRONG_CONTEXT,
            RejectReason.CHUNK_MISSING,
            RejectReason.TOO_LARGE,
            RejectReason.MALFORMED,
        )
    )
}
"""Which reason is told when several candidates were refused for different ones."""


class Absent(NamedTuple):
    """No session came. ``names``: cookies of ours without one, such as a clearing ``null``."""

    names: tuple[str, ...] = ()


ABSENT = Absent()


class Loaded(NamedTuple):
    """A session came and is valid.

    Attributes:
        data: the session's values.
        record: its id and times.
        key: the key it came under.
        payload: what ``data`` was decoded from, for comparison at save.
        typed: whether the payload holds tagged values.
        deadline: Unix seconds at which it will be refused if not renewed.
        names: cookies it was read from.
        stale: further cookies of ours that are left over and may be cleared.
        size: octets of its token.
        candidates: authentic cookies there were under this name.
        header_size: octets of all Cookie fields of the request.
    """

    data: dict[str, Any]
    record: Record
    key: Key
    payload: bytes
    typed: bool
    deadline: float
    names: tuple[str, ...]
    stale: tuple[str, ...]
    size: int
    candidates: int
    header_size: int

    def __repr__(self) -> str:
        """Show nothing of it."""
        return "<Loaded>"


class Rejected(NamedTuple):
    """A cookie came and was not accepted; the session is empty.

    Attributes:
        reason: why.
        names: cookies of ours that came and may be cleared, unless ``reason.keeps_cookie``.
        value: the octets refused, for a keyed reference; never to be logged.
        size: octets that came.
        chunks: cookies they came in.
        key: the key named, if the ring holds it.
        record: id and times, if it was authentic. ``revoked`` with a record: not the key is refused but the session,
            which began before the ring's ``not_before``.
        deadline: Unix seconds at which it ended, if it is ``expired``.
        absolute: whether that was the absolute limit, not the idle one.
        delta: seconds it was issued in the future, if it is ``not_yet_valid``.
    """

    reason: RejectReason
    names: tuple[str, ...]
    value: bytes = b""
    size: int = 0
    chunks: int = 1
    key: Key | None = None
    record: Record | None = None
    deadline: float = 0.0
    absolute: bool = False
    delta: float | None = None

    def __repr__(self) -> str:
        """Show nothing of it."""
        return "<Rejected>"


Received = Loaded | Rejected | Absent


class Sealed(NamedTuple):
    """A token ready to be sent.

    Attributes:
        values: the cookie values, in order.
        size: octets of the token.
        max_age: seconds for the cookie, or ``None`` for a browser-session cookie.
        deadline: Unix seconds at which it will be refused if not renewed.
    """

    values: list[bytes]
    size: int
    max_age: int | None
    deadline: float

    def __repr__(self) -> str:
        """Show nothing of it."""
        return "<Sealed>"


class _Refused(NamedTuple):
    reason: RejectReason
    parts: tuple[bytes, ...]
    key: Key | None = None
    record: Record | None = None
    deadline: float = 0.0
    absolute: bool = False
    delta: float | None = None

    def __repr__(self) -> str:
        """Show nothing of it."""
        return "<Refused>"


def _issued(loaded: Loaded) -> float:
    return loaded.record.issued


def _telling(refused: _Refused) -> int:
    return _TELLING[refused.reason]


class Codec:
    """Reads and writes the cookies of one configuration under one ring.

    Args:
        config: names, limits and attributes.
        keyring: the ring in force; a new ring takes a new codec.
        serializer: payloads.

    Attributes:
        cipher: tokens.
        not_before: the ring's, in milliseconds; 0 for none.
        room: characters of the longest token that goes into one cookie.
        skew: the ring's, in seconds.
        reader: cookies that came.
        serializer: as given.
        writer: cookies to set.
    """

    __slots__ = (
        "_absolute",
        "_config",
        "_lifetime",
        "_max_age",
        "_persistent",
        "cipher",
        "not_before",
        "reader",
        "room",
        "serializer",
        "skew",
        "writer",
    )

    def __init__(self, config: SessionConfig, keyring: Keyring, serializer: Serializer) -> None:
        self._config = config
        # Of the settings, which do not change, what every request asks for: a third of a microsecond less a question.
        self._lifetime = config.lifetime
        self._absolute = config.absolute_max_age
        self._max_age = config.max_age
        self._persistent = config.persistent
        self.cipher = TokenCipher(keyring, config.key, config.context)
        self.skew = keyring.policy.skew
        self.not_before = 0 if keyring.not_before is None else milliseconds(keyring.not_before)
        self.serializer = serializer
        self.reader = CookieReader(config.key, config.max_chunks)
        self.writer = CookieWriter(config)
        self.room = min(self.writer.single, self.writer.limit)

    # --- reading ------------------------------------------------------------------------------------------------------

    def load(self, fields: Sequence[bytes], now: float) -> Received:
        """Return the session that a request brought.

        Args:
            fields: values of all its Cookie header fields.
            now: Unix seconds.
        """
        view = self.reader.read(fields)
        if view is None:
            return ABSENT
        sets: list[tuple[bytes, ...]] = [(value,) for value in view.singles]
        if view.chunks:
            sets.extend(candidates(view.chunks))
        if not sets:
            return self._nothing_whole(view)
        tried = [self._open(parts, now, view.size) for parts in sets]
        refused = [one for one in tried if isinstance(one, _Refused)]
        opened = [one for one in tried if isinstance(one, Loaded)]
        if not opened:
            return self._rejected(min(refused, key=_telling), self._clearable(view))
        newest = max(opened, key=_issued)
        stale = tuple(name for name in self._clearable(view) if name not in newest.names)
        unread = sum(one.reason is RejectReason.BAD_PAYLOAD for one in refused)  # authentic as well
        return newest._replace(stale=stale, candidates=len(opened) + unread)

    def names(self, fields: Iterable[bytes]) -> tuple[str, ...]:
        """Return the names of the cookies of this session that came, the unnumbered one first, then by number."""
        view = self.reader.read(fields)
        return () if view is None else self._clearable(view)

    def load_token(self, token: bytes, now: float) -> dict[str, Any] | RejectReason:
        """Return the values inside one whole token, or why it is refused."""
        loaded = self._open((token,), now, 0)
        return loaded.reason if isinstance(loaded, _Refused) else loaded.data

    def read_lone(self, value: bytes, key: Key, plain: bytes, now: float, header_size: int) -> Loaded | Rejected:
        """Return what is in the one cookie that came, whose token has been decrypted.

        Args:
            value: the token.
            key: what it was sealed under.
            plain: header and payload.
            now: Unix seconds.
            header_size: octets of the Cookie field.
        """
        read = self._read((value,), key, plain, now, header_size)
        return read if isinstance(read, Loaded) else self._rejected(read, self.writer.names(1))

    def refuse_lone(self, value: bytes, reason: RejectReason, key: Key | None = None) -> Rejected:
        """Return the refusal of the one cookie that came.

        Args:
            value: the token.
            reason: why.
            key: what it names, if the ring holds it.
        """
        return self._rejected(_Refused(reason, (value,), key), self.writer.names(1))

    def _open(self, parts: tuple[bytes, ...], now: float, header_size: int) -> Loaded | _Refused:
        try:
            key, plain = self.cipher.open(parts[0] if len(parts) == 1 else b"".join(parts))
        except TokenRejected as rejected:
            return _Refused(rejected.reason, parts, rejected.key)
        return self._read(parts, key, plain, now, header_size)

    def _read(  # noqa: PLR0911 - one for each reason to refuse
        self, parts: tuple[bytes, ...], key: Key, plain: bytes, now: float, header_size: int
    ) -> Loaded | _Refused:
        if len(plain) < HEADER.size:
            return _Refused(RejectReason.BAD_PAYLOAD, parts, key)
        flags, session_id, created, authenticated, issued = HEADER.unpack_from(plain)
        if flags & ~KNOWN_FLAGS:
            return _Refused(RejectReason.UNSUPPORTED_VERSION, parts, key)
        record = Record(session_id, created / 1000, authenticated / 1000, issued / 1000, flags & REMEMBER != 0)
        latest = now + self.skew
        # Cookies hold whole milliseconds, rounded: half of one ahead of the very clock that sealed it is no difference.
        if record.issued > latest and issued > milliseconds(latest):
            return _Refused(RejectReason.NOT_YET_VALID, parts, key, record, delta=record.issued - now)
        deadline = self.deadline(record)
        if now >= deadline:
            return _Refused(RejectReason.EXPIRED, parts, key, record, deadline, self._is_absolute(record))
        if created < self.not_before:
            return _Refused(RejectReason.REVOKED, parts, key, record)
        payload, typed = plain[HEADER.size :], flags & TYPED != 0
        try:
            data = self.serializer.load(payload, typed=typed)
        except BadPayload:
            return _Refused(RejectReason.BAD_PAYLOAD, parts, key, record)
        names = self.writer.names(len(parts))
        size = sum(map(len, parts))
        return Loaded(data, record, key, payload, typed, deadline, names, (), size, 1, header_size)

    @staticmethod
    def _rejected(refused: _Refused, names: tuple[str, ...]) -> Rejected:
        value = b"".join(refused.parts)
        return Rejected(
            refused.reason,
            names,
            value,
            len(value),
            len(refused.parts),
            refused.key,
            refused.record,
            refused.deadline,
            refused.absolute,
            refused.delta,
        )

    def _nothing_whole(self, view: CookieJarView) -> Received:
        if view.oversized:
            return Rejected(RejectReason.TOO_LARGE, self._clearable(view), size=view.oversized)
        ours = {number: values for number, values in view.chunks.items() if not self._foreign(number, values)}
        if ours:
            value = b"".join(value for values in ours.values() for value in values)
            return Rejected(RejectReason.CHUNK_MISSING, self._clearable(view), value, len(value), len(ours))
        return Absent(self._clearable(view))

    def _clearable(self, view: CookieJarView) -> tuple[str, ...]:
        foreign = {
            f"{self._config.key}-{number}" for number, values in view.chunks.items() if self._foreign(number, values)
        }
        return tuple(name for name in view.names if name not in foreign) if foreign else view.names

    def _foreign(self, number: int, values: Sequence[bytes]) -> bool:
        """Tell whether cookie ``name-1`` is a whole token: another session's, whose name looks like our chunk's.

        A real chunk begins like a token once in 256 times; then it is left alone, which does no harm.
        """
        return number > 0 and any(value[:2] in self.cipher.beginnings and len(value) >= _SMALLEST for value in values)

    def deadline(self, record: Record) -> float:
        """Return the Unix time at which a session with this record will be refused unless renewed."""
        idle = record.issued + self._lifetime
        return idle if self._absolute is None else min(idle, record.created + self._absolute)

    def _is_absolute(self, record: Record) -> bool:
        """Tell whether it is its absolute limit that ends a session."""
        limit = self._absolute
        return limit is not None and record.created + limit <= record.issued + self._lifetime

    # --- writing ------------------------------------------------------------------------------------------------------

    def fits(self, payload: bytes) -> bool:
        """Return whether a payload can be sealed and sent."""
        return -(-(OVERHEAD + HEADER.size + len(payload)) * 4 // 3) <= self.writer.limit

    def is_ended(self, record: Record) -> bool:
        """Return whether a session began before the ring's ``not_before``, and is refused for that."""
        return self.not_before > 0 and milliseconds(record.created) < self.not_before

    def seal(self, record: Record, payload: bytes, *, typed: bool, key: Key) -> Sealed:
        """Encrypt a session and cut it into cookie values.

        Args:
            record: its id and times; ``issued`` is now.
            payload: what the serializer made.
            typed: likewise.
            key: the key to seal it under.

        Raises:
            SessionTooLargeError: if it does not fit.
        """
        session_id, created, authenticated, issued, remember = record
        flags = (TYPED if typed else 0) | (REMEMBER if remember else 0)
        signed_in = milliseconds(authenticated) if authenticated else 0
        header = HEADER.pack(flags, session_id, milliseconds(created), signed_in, milliseconds(issued))
        token = self.cipher.seal(key, header + payload)
        size = len(token)
        values = [token] if size <= self.room else self.writer.split(token)
        age = None
        if self._persistent or remember:
            age = self._max_age if self._absolute is None else self._cookie_age(record, self._absolute)
        return Sealed(values, size, age, self.deadline(record))

    def _cookie_age(self, record: Record, limit: int) -> int:
        return max(0, min(self._max_age, int(record.created + limit - record.issued)))
