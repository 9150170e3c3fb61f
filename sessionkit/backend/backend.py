"""The actor's behaviour: what happens to a session, as a pure function of a message, a ring and a clock.

Rules of this file:

* Synchronous and total: a bad cookie, a session that cannot be stored, a ring that is refused are replies.
* It builds events and emits none; events below the configured level are not even built.
* A session is written when its *value* differs from what came, when the application asks for it, or when half of its
  life is over and the response depends on it anyway (ASP.NET's sliding rule). Never on a mere read: a slow read would
  overwrite a faster write.
* Writing seals under the active key, unless the session came under a newer one already: it never goes back to an older
  key while nodes differ. Nothing moves what was revoked meanwhile, by its key or by the ring's ``not_before``.

The methods below ``handle`` are those of the reference, Litestar's ``ClientSideSessionBackend``, with the ASGI scope
where it has its connection; they work without an actor.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from sessionkit.audit import events
from sessionkit.audit.events import Event, Level, timestamp
from sessionkit.audit.pseudonyms import Pseudonyms
from sessionkit.backend.messages import (
    NOTHING,
    Absent,
    Inspect,
    Inspected,
    Load,
    Loaded,
    Message,
    Migrated,
    Received,
    Rejected,
    Reload,
    Reloaded,
    Reply,
    Save,
    Saved,
    Unsaved,
)
from sessionkit.backend.trail import LARGE, Trail
from sessionkit.exceptions import ConfigurationError, RejectReason, SerializationError, SessionTooLargeError
from sessionkit.migrate.old import OldRefusal
from sessionkit.migrate.reader import Found, Reader, Refused, readers, telling
from sessionkit.session import Record, Session
from sessionkit.wire.codec import Codec
from sessionkit.wire.cookies import without
from sessionkit.wire.serializer import Serializer
from sessionkit.wire.straight import Straight

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping, Sequence

    from sessionkit.config import SessionConfig
    from sessionkit.keyring.key import Key
    from sessionkit.keyring.keyring import Keyring
    from sessionkit.wire.codec import Sealed

__all__ = ["SCOPE_KEY", "SessionBackend", "cookie_fields", "is_cleared", "system_clock"]

SCOPE_KEY = "sessionkit"
"""Where the sessions of a connection lie in its ASGI scope, by cookie name: one dict, shared by copies of the scope."""

ROTATION_PERIOD = 90 * 86_400.0
"""Seconds for which one key should seal at most: XAES does not wear out, but what a leaked key opens grows daily."""

REMINDER_INTERVAL = 86_400.0
"""Seconds between reminders of a rotation that is overdue."""

_HOLDING = (Loaded, Migrated)
"""What holds a session. A name, since ``Loaded | Migrated`` is put together anew at every turn."""

_COOKIE_LENGTH = len(b"cookie")
_EMPTY = b"{}"
_NONE: frozenset[str] = frozenset()

_new = tuple.__new__
"""Makes a named tuple past its own constructor, as in ``wire.straight``."""
_LARGEST = 3
"""Entries named when a session is too large."""


def system_clock() -> float:
    """Return Unix seconds; looks ``time.time`` up late, so that tools which replace it are heeded."""
    return time.time()


def cookie_fields(scope: Mapping[str, Any]) -> tuple[bytes, ...]:
    """Return the values of all Cookie header fields of a connection."""
    fields: list[bytes] = []  # no tuple that grows: it would be copied for each of the fields a client can think of
    for name, value in scope.get("headers") or ():
        # By length first: most names fail here, and nearly all others are spelled as ASGI has them.
        if len(name) == _COOKIE_LENGTH and (name == b"cookie" or name.lower() == b"cookie"):
            fields.append(value)
    return tuple(fields)


class _Usage:
    """What one key did since the last tally."""

    __slots__ = ("failed", "key", "last_opened", "last_sealed", "opened", "rekeyed_from", "sealed")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.opened = self.sealed = self.rekeyed_from = self.failed = 0
        self.last_opened = self.last_sealed = 0.0


class _Plan(NamedTuple):
    """What a save is about, after a look at the value."""

    payload: bytes
    typed: bool
    changed: bool


def _begun(created: float) -> Record:
    """Return the record of a session of which nothing but its beginning is known."""
    return Record(b"", created, 0.0, created)


def _before(came: Received | None) -> Record | None:
    """Return what is known of a session that is to be written again."""
    if isinstance(came, Loaded):
        return came.record
    return _begun(came.created) if isinstance(came, Migrated) else None


def _prevails(received: Received) -> bool:
    """Tell whether what came of ours keeps an older session of another library out."""
    if isinstance(received, Rejected):
        reason = received.reason
        return received.record is not None or reason is RejectReason.REVOKED or reason.keeps_cookie
    return not isinstance(received, Absent)


class SessionBackend:
    """Encrypts and chunks with the active key, decrypts with whichever key a cookie names.

    Args:
        config: settings of the session.
        keyring: the ring in force at first.
        clock: returns Unix seconds.
        pseudonyms: makes the references in events; by default under the key of ``config.audit`` or a random one.
        migrate: readers of other libraries' sessions; by default those of ``config.migrate``.

    Raises:
        ConfigurationError: if sessions could outlive the keys by the ring's policy, or an old secret cannot be fetched.
    """

    def __init__(
        self,
        config: SessionConfig,
        keyring: Keyring,
        *,
        clock: Callable[[], float] = system_clock,
        pseudonyms: Pseudonyms | None = None,
        migrate: Sequence[Reader] | None = None,
    ) -> None:
        self.config = config
        self._readers = readers(config) if migrate is None else migrate
        self._clock = clock
        self._trail = Trail(config.audit, Pseudonyms() if pseudonyms is None else pseudonyms)
        self._serializer = Serializer(config.type_encoders)
        self._quiet = Level[config.audit.level.upper()] > Level.DEBUG
        self._half_life = config.lifetime / 2
        self._tallied = clock()
        self._usage: dict[bytes, _Usage] = {}  # by the key's id: to hash a whole key takes microseconds
        self._reminded: float | None = None
        self._use(keyring)

    @property
    def keyring(self) -> Keyring:
        """The ring in force."""
        return self._keyring

    def __repr__(self) -> str:
        """Show the cookie's name and the ring."""
        return f"<SessionBackend {self.config.key!r} {self._keyring!r}>"

    @staticmethod
    def check(config: SessionConfig, keyring: Keyring) -> None:
        """Check that a ring suits a configuration.

        Raises:
            ConfigurationError: if sessions may live longer than the ring's policy keeps retired keys.
        """
        promised = keyring.policy.token_lifetime
        if promised is not None and config.lifetime > promised:
            raise ConfigurationError(
                "max_age",
                f"is {config.lifetime} s, but the keyring's policy.token_lifetime is {promised:.0f} s: "
                "pruning a key would lose sessions",
                f"Set policy.token_lifetime to at least {config.lifetime}, or lower max_age or idle_timeout.",
            )

    def _use(self, keyring: Keyring) -> None:
        self.check(self.config, keyring)
        self._codec = Codec(self.config, keyring, self._serializer)
        self._straight = Straight(self.config, self._codec)
        self._names = frozenset(self._codec.writer.names(1))
        self._keyring = keyring

    # --- messages -----------------------------------------------------------------------------------------------------

    def handle(self, message: Message) -> tuple[Reply, Sequence[Event]]:
        """Answer one message.

        Returns:
            The reply, and events to be emitted now. Events of a ``Save`` travel in its reply instead, since they are
            true only once the response has been handed to the server.
        """
        kind = type(message)
        if kind is Save:
            again = self._save_again(message)  # type: ignore[arg-type]  # its type was just looked at
            return (again if type(again) is Saved else self._save(message, again)), ()  # type: ignore[arg-type]  # likewise
        if kind is Load:
            return self._load(message)  # type: ignore[arg-type]  # likewise
        match message:
            case Reload():
                self._use(message.keyring)
                return Reloaded(self._keyring.digest, self._keyring.generation), ()
            case Inspect():
                return self._inspected(), ()
            case _:  # Tally
                return self._inspected(), self._tally(all_keys=message.all_keys)  # type: ignore[union-attr]  # see above

    def facts(self) -> dict[str, object]:
        """Return which ring is in force, beside the figures of the actor."""
        return {"digest": self._keyring.digest, "generation": self._keyring.generation}

    def _inspected(self) -> Inspected:
        ring = self._keyring
        counts = {state.value: count for state, count in ring.counts().items()}
        return Inspected(ring.digest, ring.generation, ring.active(self._clock()).kid, counts)

    def _used(self, key: Key) -> _Usage:
        usage = self._usage.get(key.id)
        if usage is None:
            usage = self._usage[key.id] = _Usage(key)
        return usage

    def _tally(self, *, all_keys: bool) -> list[Event]:
        now = self._clock()
        counted, self._usage = self._usage, {}
        window, self._tallied = max(0.0, now - self._tallied), now
        ring = self._keyring
        idle = [_Usage(key) for key in ring.keys if key.id not in counted] if all_keys else []
        built: list[Event] = []
        for usage in (*counted.values(), *idle):
            key = ring.find(usage.key.id) or usage.key  # a reload may have changed its state meanwhile
            built.append(
                events.KeyUsage(
                    kid=key.kid,
                    state=key.state.value,
                    digest=ring.digest,
                    generation=ring.generation,
                    window=round(window, 3),
                    opened=usage.opened,
                    sealed=usage.sealed,
                    rekeyed_from=usage.rekeyed_from,
                    failed=usage.failed,
                    last_opened_at=timestamp(usage.last_opened) if usage.opened else None,
                    last_sealed_at=timestamp(usage.last_sealed) if usage.sealed else None,
                )
            )
        built.extend(self._overdue(now))
        return built

    def _overdue(self, now: float) -> Sequence[Event]:
        """Say once a day that the active key has sealed for longer than a key should."""
        ring = self._keyring
        key = ring.active(now)
        since = key.created if key.activates is None else key.activates
        reminded = self._reminded is not None and abs(now - self._reminded) < REMINDER_INTERVAL
        if since is None or now - since <= ROTATION_PERIOD or reminded:
            return ()
        self._reminded = now
        return (
            events.RotationOverdue(
                kid=key.kid,
                digest=ring.digest,
                generation=ring.generation,
                active_for=round(now - since),
                max_age=ROTATION_PERIOD,
            ),
        )

    # --- load ---------------------------------------------------------------------------------------------------------

    def _load(self, message: Load) -> tuple[Received, Sequence[Event]]:
        now = self._clock()
        fields, client = message
        received: Received
        received, refused = self._receive(fields, now) if self._readers else (self._came(fields, now), None)
        if isinstance(received, Loaded):
            return received, self._opened(received, now)
        told = self._trail.not_migrated(refused, client) if refused is not None else ()
        if isinstance(received, Migrated):
            return received, told
        if isinstance(received, Rejected):
            if received.key is not None and received.reason is not RejectReason.EXPIRED:
                self._used(received.key).failed += 1
            if refused is None or refused.cookie != self.config.key:
                return received, (*self._trail.refused(received, client, now), *told)
            # One cookie under two names for what is wrong with it: the reader's, if it knew the format.
            if refused.reason is OldRefusal.MALFORMED:
                return received, self._trail.refused(received, client, now)
        return received, told

    def _came(self, fields: tuple[bytes, ...], now: float) -> Loaded | Rejected | Absent:
        """Return what came of ours, the straight way where there is one Cookie field: nearly always."""
        came = self._straight.open(fields[0], now) if len(fields) == 1 else None
        return self._codec.load(fields, now) if came is None else came

    def _opened(self, loaded: Loaded, now: float) -> Sequence[Event]:
        usage = self._usage.get(loaded.key.id) or self._used(loaded.key)
        usage.opened += 1
        usage.last_opened = now
        return () if self._quiet and loaded.header_size < LARGE else self._trail.accepted(loaded, now)

    def _receive(self, fields: tuple[bytes, ...], now: float) -> tuple[Received, Refused | None]:
        """Return what came, and why an old session that came is not taken over, if one is not.

        A session of ours comes first, also one that has ended, was revoked, or that another node may open: what it
        became must not be undone by the older one. Where both have one name, what the old library made is told from
        ours by its signature alone.
        """
        received = self._came(fields, now)
        if isinstance(received, Loaded):
            return self._with_leftovers(received, fields), None
        refusals: list[Refused] = []
        for reader in self._readers:
            read: Found | Migrated | Refused | None = reader.read(fields, now)
            if isinstance(read, Found):
                rest = self._codec.load(without(fields, read.values), now)
                if _prevails(rest):
                    return rest, None
                read = self._taken(read, rest, reader)
            if isinstance(read, Migrated):
                return read, None
            if read is not None:
                refusals.append(read)
        return received, max(refusals, key=telling, default=None)

    def _taken(self, found: Found, rest: Received, reader: Reader) -> Migrated | Refused:
        """Return an old session as ours will hold it, or why we cannot hold it."""
        value = b"".join(found.values)
        if self._codec.is_ended(_begun(found.created)):
            return Refused(found.source, reader.cookie, OldRefusal.REVOKED, value)
        try:
            payload, typed = self._serializer.dump(found.data)
        except SerializationError:
            return Refused(found.source, reader.cookie, OldRefusal.BAD_PAYLOAD, value)
        if not self._codec.fits(payload):
            return Refused(found.source, reader.cookie, OldRefusal.TOO_LARGE, value)
        ours = rest.names if isinstance(rest, Rejected | Absent) else ()
        names = tuple(dict.fromkeys((*found.names, *ours)))
        return Migrated(found.data, found.source, found.created, payload, typed, names)

    def _with_leftovers(self, loaded: Loaded, fields: tuple[bytes, ...]) -> Loaded:
        """Return a session of ours with the old cookies that came beside it: they would outlive a logout."""
        known = {*loaded.names, *loaded.stale}
        left = dict.fromkeys(name for reader in self._readers for name in reader.names(fields) if name not in known)
        return loaded._replace(stale=(*loaded.stale, *left)) if left else loaded

    # --- save ---------------------------------------------------------------------------------------------------------

    def _save(self, message: Save, plan: _Plan | None) -> Saved | Unsaved:
        received, session = message.received, message.session
        try:
            plan = plan or self._look(message)
        except SerializationError as error:
            if not message.failed:
                # Its traceback ends here: the frames below hold the session's values.
                error.with_traceback(None)
                return Unsaved(error, tuple(self._trail.failed(session.record, type(error).__name__)))
            # It would not be kept anyway, and an error here would take the place of the application's error page.
            plan = _Plan(b"", typed=False, changed=True)
        if message.failed and plan.payload != _EMPTY:
            return self._keep_as_it_was(message, plan)
        if plan.payload == _EMPTY:
            return self._clear(message)
        now = self._clock()
        came = None if session.destroyed else received
        loaded = came if isinstance(came, Loaded) else None
        record = self._record(session, _before(came), now)
        if loaded is not None:
            left = self._left_under_its_key(message, plan, loaded, record, now=now)
        elif isinstance(came, Migrated):
            left = self._left_where_it_was(message, plan, came)
        else:
            left = None
        if left is not None:
            return left
        key = self._sealing_key(loaded, now)
        try:
            sealed = self._codec.seal(record, plan.payload, typed=plan.typed, key=key)
        except SessionTooLargeError as error:
            return self._too_large(message.value, session, error)
        usage = self._used(key)
        usage.sealed += 1
        usage.last_sealed = now
        if loaded is not None and loaded.key.id != key.id:
            self._used(loaded.key).rekeyed_from += 1
        return self._written(message, plan, record, sealed, key=key, loaded=loaded)

    def _save_again(  # noqa: PLR0911 - giving up is most of it
        self, message: Save
    ) -> Saved | _Plan | None:
        """Answer for a session that goes on as it came: one cookie under the active key, plain values, nothing to tell.

        Nearly all are. The others take the long way, with the same result (a test holds one against the other).

        Returns:
            The answer; or what is known for the long way, if there was a look at the value.
        """
        value, session, loaded, _, _, failed, _ = message
        if type(loaded) is not Loaded:
            return None
        _, record, key, before, typed, _, names, stale, _, _, _ = loaded
        if (
            session.asked is not None
            or session.record is not record
            or failed
            or typed
            or stale
            or len(names) > 1
            or value is None
            or not self._quiet
        ):
            return None
        try:
            payload, typed = self._serializer.dump(value)
        except SerializationError:
            return None
        now = self._clock()
        if not typed and (payload == before or self._serializer.same(payload, before)):
            if now - record.issued >= self._half_life or payload == _EMPTY:
                # Whether it is time to write it all the same is a longer story.
                return _Plan(payload, typed, changed=False)
            return _new(Saved, ((), _NONE, payload, (), None, None, None, False))
        cookie = None
        if not typed and payload != _EMPTY and key is self._keyring.active(now):
            cookie = self._straight.seal(record, payload, key, now)
        if cookie is None:
            return _Plan(payload, typed, changed=True)
        usage = self._usage.get(key.id) or self._used(key)
        usage.sealed += 1
        usage.last_sealed = now
        return _new(Saved, ((cookie,), self._names, payload, (), key.kid, None, record.id, False))

    def _left_where_it_was(self, message: Save, plan: _Plan, came: Migrated) -> Saved | None:
        """Answer for a session of another library that is not written; ``None`` if it is."""
        if self._codec.is_ended(_begun(came.created)):
            # Since it was loaded, as below.
            built = tuple(self._trail.lost(None, "not_before")) if plan.changed else ()
            return Saved(stored=plan.payload, events=built, lost="not_before" if plan.changed else None)
        if message.shared and not message.touched:
            return Saved(stored=plan.payload)  # a cache could hand it to others; a later response will carry it
        return None

    def _left_under_its_key(
        self, message: Save, plan: _Plan, loaded: Loaded, record: Record, *, now: float
    ) -> Saved | None:
        """Answer for a session of ours that is not written; ``None`` if it is."""
        key = self._keyring.find(loaded.key.id)
        if key is not None and not key.decrypts:
            # Revoked since it was loaded: whoever held the key may have made this session up, and the active key would
            # vouch for it from now on. The cookie stays, so that the next request is refused for it and that is told.
            if not plan.changed:
                return Saved(stored=plan.payload)
            built = tuple(self._trail.lost(None, "key_revoked"))
            return Saved(stored=plan.payload, events=built, lost="key_revoked")
        if self._codec.is_ended(loaded.record):
            # Likewise by the ring's ``not_before``, also for a login: what it would carry over may be a thief's.
            if not plan.changed:
                return Saved(stored=plan.payload)
            built = tuple(self._trail.lost(loaded.record, "not_before"))
            return Saved(stored=plan.payload, events=built, lost="not_before")
        if plan.changed or self._must_write(message, loaded, record, now):
            return None
        return self._tidy(message, loaded.stale, plan.payload)

    def _look(self, message: Save) -> _Plan:
        value, received = message.value, message.received
        if value is None or (isinstance(value, dict) and not dict.__len__(value)):
            payload, typed = _EMPTY, False
        else:
            payload, typed = self._serializer.dump(value)
        if not isinstance(received, _HOLDING):
            return _Plan(payload, typed, payload != _EMPTY)
        same = typed == received.typed and (
            payload == received.payload or self._serializer.same(payload, received.payload)
        )
        return _Plan(payload, typed, not same)

    def _record(self, session: Session, before: Record | None, now: float) -> Record:
        signed_in, start = session.signed_in, self._keyring.start
        if signed_in is not None:
            created, authenticated = start(signed_in), signed_in
        elif before is not None:
            created, authenticated = before.created, before.authenticated
        else:
            created, authenticated = start(now), 0.0
        return Record(session.raw_id, created, authenticated, now, session.remember)

    def _must_write(self, message: Save, loaded: Loaded, record: Record, now: float) -> bool:
        session, before = message.session, loaded.record
        if session.renewed or record.id != before.id or record.remember != before.remember:
            return True
        if not message.touched or now - before.issued < self._half_life:
            return False
        return self._codec.deadline(record) > loaded.deadline

    def _sealing_key(self, loaded: Loaded | None, now: float) -> Key:
        """Return the active key, or the newer one that a session came under: no session goes back to an older key.

        A cookie under a key that is only staged here proves that its time has come on another node, and that key is on
        every node already (C1), so going on with it loses nothing.
        """
        active = self._keyring.active(now)
        if loaded is None or loaded.key is active or loaded.key.id == active.id:
            return active
        came = self._keyring.find(loaded.key.id)
        return active if came is None or not self._keyring.is_older(active, came) else came

    def _keep_as_it_was(self, message: Save, plan: _Plan) -> Saved:
        """Answer for an error response: what the application wrote is not kept, what it ended is."""
        session, received = message.session, message.received
        lost = "error_response" if plan.changed else None
        built = () if lost is None else tuple(self._trail.lost(session.record, lost))
        if session.destroyed and isinstance(received, _HOLDING):
            names = received.names + (received.stale if isinstance(received, Loaded) else ())
            cookies = self._codec.writer.clear(names)
            ended = self._trail.ended(session, received) if isinstance(received, Loaded) else ()
            return Saved(tuple(cookies), frozenset(names), plan.payload, (*built, *ended), lost=lost)
        stale = received.stale if isinstance(received, Loaded) else ()
        tidy = self._tidy(message, stale, plan.payload)
        return Saved(tidy.cookies, tidy.names, plan.payload, built, lost=lost)

    def _clear(self, message: Save) -> Saved:
        received, session = message.received, message.session
        match received:
            case Loaded():
                names = received.names + received.stale
                ended = tuple(self._trail.ended(session, received))
                return Saved(tuple(self._codec.writer.clear(names)), frozenset(names), _EMPTY, ended)
            case Migrated(names=names):
                return Saved(tuple(self._codec.writer.clear(names)), frozenset(names))
            case Rejected(reason=reason, names=names) if names:
                if session.destroyed:
                    return Saved(tuple(self._codec.writer.clear(names)), frozenset(names))
                return NOTHING if reason.keeps_cookie else self._tidy(message, names, _EMPTY)
            case Absent(names=names) if names and session.destroyed:
                return Saved(tuple(self._codec.writer.clear(names)), frozenset(names))
            case _:
                return NOTHING

    def _tidy(self, message: Save, names: tuple[str, ...], stored: bytes) -> Saved:
        """Clear what is left over, unless a cache could store the response with it."""
        if not names or (message.shared and not message.touched):
            return Saved(stored=stored)
        return Saved(tuple(self._codec.writer.clear(names)), frozenset(names), stored)

    def _written(
        self, message: Save, plan: _Plan, record: Record, sealed: Sealed, *, key: Key, loaded: Loaded | None
    ) -> Saved:
        writer = self._codec.writer
        names = writer.names(len(sealed.values))
        received = message.received
        came = received.names + received.stale if isinstance(received, Loaded) else received.names
        over = () if came == names else tuple([name for name in came if name not in names])
        cookies = tuple(writer.set(sealed.values, sealed.max_age))
        if over:
            cookies += tuple(writer.clear(over))
        if isinstance(received, Migrated):
            cookies += tuple(writer.clear_replaced(name for name in received.names if name in names))
        built: Sequence[Event]
        if loaded is not None:
            built = self._trail.written(message.session, loaded, record, sealed, key, changed=plan.changed)
        else:
            built = self._trail.created(record, sealed, key, message.scope_type)
            if isinstance(received, Loaded):
                built = (*self._trail.ended(message.session, received), *built)
            if isinstance(received, Migrated) and not message.session.destroyed:
                built = (*built, *self._trail.migrated(received, record, key))
        touched = frozenset((*names, *over) if over else names)
        begun = message.session.record is None
        return Saved(cookies, touched, plan.payload, tuple(built) if built else (), key.kid, None, record.id, begun)

    def _too_large(self, value: object, session: Session, error: SessionTooLargeError) -> Unsaved:
        largest: tuple[tuple[str, int], ...] = ()
        if isinstance(value, dict):
            sizes = ((str(name), len(self._serializer.dump({name: entry})[0])) for name, entry in dict.items(value))
            largest = tuple(sorted(sizes, key=lambda entry: -entry[1])[:_LARGEST])
        named = SessionTooLargeError(
            size=error.size, limit=error.limit, chunks=error.chunks, max_chunks=error.max_chunks, largest=largest
        )
        return Unsaved(named, tuple(self._trail.oversized(session.record, named)))

    # --- the reference's methods --------------------------------------------------------------------------------------

    def dump_data(self, data: Any, scope: MutableMapping[str, Any] | None = None) -> list[bytes]:
        """Serialise, encrypt, encode and cut data into cookie values.

        Args:
            data: serialisable data: a mapping, a pydantic model or a dataclass.
            scope: the ASGI scope, whose session lends its id.

        Returns:
            Chunks of one base64url string, each at most ``CHUNK_SIZE`` octets.

        Raises:
            SerializationError: if a value cannot be stored.
            SessionTooLargeError: if it needs more cookies than allowed.
        """
        return self._dump(data, scope).values

    def _dump(self, data: Any, scope: MutableMapping[str, Any] | None) -> Sealed:
        now = self._clock()
        session = Session(clock=self._clock) if scope is None else self._session_of(scope)
        record = self._record(session, session.record, now)
        payload, typed = self._serializer.dump(data)
        return self._codec.seal(record, payload, typed=typed, key=self._keyring.active(now))

    def load_data(self, data: list[bytes]) -> dict[str, Any]:
        """Return the session inside cookie values given in order; an empty one if they are not accepted."""
        loaded = self._codec.load_token(b"".join(data), self._clock())
        return {} if isinstance(loaded, RejectReason) else loaded

    def get_cookie_keys(self, scope: Mapping[str, Any]) -> list[str]:
        """Return the names of a connection's session cookies: the unnumbered one, then by number."""
        return list(self._codec.names(cookie_fields(scope)))

    def get_cookie_key_set(self, scope: Mapping[str, Any]) -> set[str]:
        """Return the names of a connection's session cookies as a set."""
        return set(self.get_cookie_keys(scope))

    async def store_in_message(
        self, session: Any, message: MutableMapping[str, Any], scope: MutableMapping[str, Any]
    ) -> None:
        """Put the session into a message as cookies; an empty one, or one that shrinks, clears cookies by ``null``.

        Args:
            session: the session to store; empty or ``None`` clears it.
            message: an outgoing message with headers; it gets a new list of them.
            scope: the connection's ASGI scope.

        Raises:
            SerializationError: if a value cannot be stored.
            SessionTooLargeError: if it needs more cookies than allowed.
        """
        writer = self._codec.writer
        names: tuple[str, ...] = ()
        cookies: list[bytes] = []
        empty = session is None or (isinstance(session, Mapping) and not session) or is_cleared(session)
        if not empty:
            sealed = self._dump(session, scope)
            names = writer.names(len(sealed.values))
            cookies = writer.set(sealed.values, sealed.max_age)
        cookies += writer.clear(name for name in self.get_cookie_keys(scope) if name not in names)
        message["headers"] = [*(message.get("headers") or ()), *((b"set-cookie", cookie) for cookie in cookies)]

    async def load_from_connection(self, scope: Mapping[str, Any]) -> dict[str, Any]:
        """Return the session of a connection; an empty one if there is none or it is not accepted."""
        received, _ = self._receive(cookie_fields(scope), self._clock())
        return received.data if isinstance(received, _HOLDING) else {}

    def get_session_id(self, scope: MutableMapping[str, Any]) -> str | None:
        """Return the id of a connection's session in hexadecimal; if it has none yet, make one and keep it there."""
        return self._session_of(scope).id

    def _session_of(self, scope: MutableMapping[str, Any]) -> Session:
        """Return the session object of a connection; without the middleware, one that knows its record alone."""
        sessions = scope.setdefault(SCOPE_KEY, {})
        session = sessions.get(self.config.key)
        if not isinstance(session, Session):
            received = self._came(cookie_fields(scope), self._clock())
            record = received.record if isinstance(received, Loaded) else None
            session = Session(record=record, clock=self._clock)
            sessions.setdefault(self.config.key, session)  # what an application put in the session's place stays
        return session

    def describe(self, received: Iterable[bytes]) -> Received:
        """Return what the codec makes of Cookie fields, for tools that explain a cookie; counts nothing."""
        return self._came(tuple(received), self._clock())


def is_cleared(value: object) -> bool:
    """Return whether an application put "no session" in the session's place: ``None``, or Litestar's ``Empty``."""
    return value is None or (type(value).__module__.startswith("litestar.") and "Empty" in type(value).__name__)
