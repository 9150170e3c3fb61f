"""What becomes of an old session: precedence, limits, logout, caches, errors, and what no client can do."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from sessionkit.backend.backend import SessionBackend
from sessionkit.backend.messages import Load, Migrated, Reload, Save, Saved
from sessionkit.config import AuditConfig, SessionConfig
from sessionkit.keyring.keyring import Keyring
from sessionkit.migrate.reader import Found, Reader, Refused
from sessionkit.session import Session
from sessionkit.testing import FixedClock
from tests.middleware.apps import Site, key, ring
from tests.migrate.peers import AES_SECRET, DAY, PEERS, SECRET
from tests.migrate.test_peers import EVERY, NOW, move, names, site

if TYPE_CHECKING:
    from collections.abc import Callable

OLD = {"user": "ann"}


def moving(name: str = "flask", *, at: float = NOW, data: dict[str, Any] | None = None, **settings: Any) -> Site:
    """Return a site and a browser that comes with an old session."""
    place = site(move(name), **settings)
    place.put(*PEERS[name].at(at, OLD if data is None else data))
    return place


# --- precedence -------------------------------------------------------------------------------------------------------


async def test_ours_wins_and_the_old_cookie_goes() -> None:
    """Where both come, the old one is not even told of: it is cleared, so that no logout brings it back."""
    place = site(move("flask"))
    await place.write(user="bob")
    place.jar.plant("session", PEERS["flask"].at(NOW, OLD)[0][1], place.client.base_url)
    assert await place.read() == {"user": "bob"}
    assert names(place.jar) == ["ours"]
    assert place.log.names() == ["session.created"]


@pytest.mark.parametrize("end", ["expired", "not_before", "unknown_key"])
@pytest.mark.parametrize("same_name", [True, False])
async def test_a_session_of_ours_that_has_ended_is_not_undone(end: str, same_name: bool) -> None:
    """It expired, began before ``not_before``, or another node may open it: the older session stays out."""
    place = site(move("flask"), key="session" if same_name else "ours", idle_timeout=60)
    await place.write(user="bob")
    fields = [b"%b=%b" % (name.encode(), value) for name, value in place.cookies().items()]
    fields += [b"session=" + PEERS["flask"].at(NOW, OLD)[0][1]]
    clock = place.clock
    if end == "expired":
        clock.advance(61)
    keyring = {"not_before": Keyring([key(1)], not_before=NOW + 1), "unknown_key": ring(key(2))}.get(end, ring())
    backend = SessionBackend(place.config, keyring, clock=clock)
    for order in (fields, fields[::-1]):
        reply, _ = backend.handle(Load((b"; ".join(order),)))
        assert type(reply).__name__ == "Rejected"


async def test_what_is_neither_theirs_nor_ours_is_told_once() -> None:
    """Garbage under a name that both have is one refused cookie of ours, not also one that was to move in."""
    place = site(move("flask"), key="session")
    place.jar.plant("session", b"garbage", place.client.base_url)
    assert await place.read() == {}
    assert place.log.names() == ["session.rejected"]


async def test_an_altered_cookie_of_ours_is_no_session() -> None:
    """Garbage under our name keeps nobody from moving in, and is cleared."""
    place = moving()
    place.jar.plant("ours", b"garbage", place.client.base_url)
    assert await place.read() == OLD
    assert names(place.jar) == ["ours"]
    assert await place.read() == OLD


async def test_the_first_reader_that_opens_it_counts() -> None:
    """Several libraries, one cookie name: each is asked in turn, and one that does not fit is not told of."""
    place = site(move("starlette"), move("flask"), move("quart"))
    place.put(*PEERS["quart"].at(NOW, OLD))
    assert await place.read() == OLD
    assert [line["source"] for line in place.log.named("session.migrated")] == ["flask"]
    assert place.log.names() == ["session.created", "session.migrated"]


async def test_of_two_cookies_of_one_name_the_genuine_one_counts() -> None:
    """A neighbour's cookie of the same name does not lock anybody out."""
    place = site(move("django"))
    [(name, value)] = PEERS["django"].at(NOW, OLD)
    for field in (b"%b=junk; %b=%b", b"%b=%b; %b=junk"):
        parts = (
            (name.encode(), name.encode(), value)
            if field.startswith(b"%b=junk")
            else (name.encode(), value, name.encode())
        )
        read = place.middleware.service._readers[0].read([field % parts], NOW)
        assert isinstance(read, Found)
        assert read.data == OLD


# --- limits -----------------------------------------------------------------------------------------------------------


@EVERY
async def test_moving_in_prolongs_no_life(name: str) -> None:
    """The absolute limit counts from the beginning there, before and after the move."""
    place = moving(name, at=NOW - 3000, absolute_max_age=3600)
    assert await place.read() == OLD
    place.clock.advance(599)
    assert await place.read() == OLD
    place.clock.advance(1)
    assert await place.read() == {}

    late = moving(name, at=NOW - 3600, absolute_max_age=3600)
    assert await late.read() == {}
    assert late.log.lines[-1]["reason"] == "expired"


async def test_not_before_ends_old_sessions_too() -> None:
    """A ring's ``not_before`` refuses what began before it, wherever it began."""
    place = moving(at=NOW - 10, keyring=Keyring([key(1)], not_before=NOW - 5))
    assert await place.read() == {}
    assert place.log.lines[-1]["reason"] == "revoked"
    place.put(*PEERS["flask"].at(NOW - 5, OLD))
    assert await place.read() == OLD


@pytest.mark.parametrize("changed", [True, False])
def test_not_before_that_comes_in_between(changed: bool) -> None:
    """A ring that ends the session while the application works keeps it from being written; a change is lost."""
    clock = FixedClock(NOW)
    config = SessionConfig(key="ours", migrate=(move("flask"),), audit=AuditConfig(level="debug"))
    backend = SessionBackend(config, ring(), clock=clock)
    received, _ = backend.handle(Load((b"session=" + PEERS["flask"].at(NOW - 10, OLD)[0][1],)))
    assert isinstance(received, Migrated)
    backend.handle(Reload(Keyring([key(1)], not_before=NOW - 5)))
    session = Session(received.data | ({"n": 1} if changed else {}), clock=clock)
    saved, _ = backend.handle(Save(session, session, received))
    assert isinstance(saved, Saved)
    assert saved.cookies == ()
    assert saved.lost == ("not_before" if changed else None)
    assert [event.name for event in saved.events] == (["session.write_lost"] if changed else [])


async def test_a_session_too_large_for_ours_is_refused_at_once() -> None:
    """It is told when it comes, not by an error in every response."""
    place = moving("litestar", data={"text": "x" * 9000}, max_chunks=1)
    assert await place.read() == {}
    assert place.log.lines[-1]["reason"] == "too_large"


def test_what_fits_is_what_can_be_sealed() -> None:
    """The look ahead agrees with the seal, octet by octet around the limit."""
    clock = FixedClock(NOW)
    config = SessionConfig(key="ours", max_chunks=1, migrate=(move("litestar"),))
    backend = SessionBackend(config, ring(), clock=clock)
    fitting: set[bool] = set()
    for size in range(2900, 3000):
        values = {"t": "x" * size}
        field = b"; ".join(name.encode() + b"=" + value for name, value in PEERS["litestar"].at(NOW, values))
        received, _ = backend.handle(Load((field,)))
        session = Session(values, clock=clock)
        reply, _ = backend.handle(Save(session, session))
        assert isinstance(received, Migrated) == isinstance(reply, Saved)
        fitting.add(isinstance(received, Migrated))
    assert fitting == {True, False}


async def test_a_value_we_cannot_store_is_refused() -> None:
    """Half a character, which JSON can spell and UTF-8 cannot."""
    place = moving("starlette", data={"half": "\ud800"})
    assert await place.read() == {}
    assert place.log.lines[-1]["reason"] == "bad_payload"


# --- on the way out ---------------------------------------------------------------------------------------------------


async def test_a_response_that_caches_may_store_moves_nobody() -> None:
    """The move waits for a response that is the visitor's alone."""
    place = moving()
    response = await place.visit(headers=((b"cache-control", b"public, max-age=60"),))
    assert response.values(b"set-cookie") == []
    await place.visit()
    assert names(place.jar) == ["ours"]


async def test_an_error_response_moves_nobody_and_loses_nothing() -> None:
    """The old cookie stays for the next request; only a change is told as lost."""
    place = moving()
    await place.visit(lambda session: session.get("user"), status=500)
    assert names(place.jar) == ["session"]
    assert place.log.names() == []
    await place.visit(lambda session: session.update(n=1), status=500)
    assert place.log.names() == ["session.write_lost"]
    assert await place.read() == OLD


@pytest.mark.parametrize("act", [lambda session: session.clear(), lambda session: session.destroy()])
@pytest.mark.parametrize("status", [200, 500])
async def test_logging_out_at_once(act: Callable[[Session], None], status: int) -> None:
    """A logout in the very first request clears the old cookie; by ``destroy`` also on an error page."""
    place = moving()
    await place.visit(act, status=status)
    assert names(place.jar) == []
    assert await place.read() == {}
    assert place.log.named("session.migrated") == []


async def test_an_end_and_a_new_beginning_on_an_error_page() -> None:
    """What was ended goes, what was begun is not kept."""
    place = moving()

    def again(session: Session) -> None:
        session.destroy()
        session["n"] = 1

    await place.visit(again, status=500)
    assert names(place.jar) == []
    place.put(*PEERS["flask"].at(NOW - 100, OLD))
    await place.visit(again)
    assert names(place.jar) == ["ours"]
    assert place.log.named("session.migrated") == []


async def test_a_login_begins_anew() -> None:
    """After a real login the absolute window counts from there."""
    place = moving(at=NOW - 3000, absolute_max_age=3600)
    await place.visit(lambda session: session.regenerate(authenticated=True))
    place.clock.advance(3599)
    assert await place.read() == OLD


async def test_an_empty_old_session_is_cleared() -> None:
    """Nothing is written for it."""
    place = moving("django", data={})
    await place.visit()
    assert names(place.jar) == []
    assert place.log.names() == []


async def test_the_old_cookie_is_cleared_where_it_lies() -> None:
    """Path, domain and partition are the old cookie's; also where it has the name of ours and another place."""
    for name in ("old", "__Secure-old"):
        place = site(move("flask", cookie=name, path="/app", domain="example.org", partitioned=name != "old"))
        place.put(*PEERS["flask"].at(NOW, OLD, name=name))
        *_, cleared = (await place.visit()).values(b"set-cookie")
        tail = b"; Secure; Partitioned" if name != "old" else b""
        assert cleared == (
            name.encode()
            + b"=null; Path=/app; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Domain=example.org"
            + tail
        )

    place = site(move("flask", path="/app"), key="session")
    place.put(*PEERS["flask"].at(NOW, OLD))
    ours, cleared = (await place.visit()).values(b"set-cookie")
    assert (ours.startswith(b"session="), cleared.startswith(b"session=null; Path=/app;")) == (True, True)
    paths = [
        value.split(b"; ")[1] for value in (await place.visit(lambda session: session.clear())).values(b"set-cookie")
    ]
    assert paths == [b"Path=/", b"Path=/app"]


async def test_the_references_methods_read_old_sessions() -> None:
    """``load_from_connection`` gives what the middleware would."""
    place = site(move("flask"))
    backend = SessionBackend(place.config, ring(), clock=place.clock)
    scope = {"headers": [(b"cookie", b"session=" + PEERS["flask"].at(NOW, OLD)[0][1])]}
    assert await backend.load_from_connection(scope) == OLD
    assert await backend.load_from_connection({"headers": []}) == {}


async def test_who_moved_in_has_a_new_id_and_no_login() -> None:
    """The application can tell that nobody has logged in here yet."""
    place = moving()
    seen: list[tuple[float | None, float | None]] = []
    await place.visit(lambda session: seen.append((session.created, session.authenticated)))
    await place.visit(lambda session: seen.append((session.created, session.authenticated)))
    assert seen == [(None, None), (NOW, None)]


# --- what is authentic and yet no session -----------------------------------------------------------------------------


def itsdangerous(value: bytes, octets: bytes, *, flask: bool = False) -> bytes:
    """Return a value as itsdangerous signs it, with any timestamp."""
    secret = SECRET.encode()
    made = hmac.digest(secret, b"cookie-session", "sha1")
    if not flask:
        made = hashlib.sha1(b"itsdangerous.Signersigner" + secret).digest()  # noqa: S324 - the peer's
    body = value + b"." + base64.urlsafe_b64encode(octets).rstrip(b"=")
    return body + b"." + base64.urlsafe_b64encode(hmac.digest(made, body, "sha1")).rstrip(b"=")


def flasks(text: bytes) -> bytes:
    """Return JSON as Flask signs it."""
    return itsdangerous(base64.urlsafe_b64encode(text).rstrip(b"="), int(NOW).to_bytes(4), flask=True)


def djangos(value: bytes, stamp: bytes) -> bytes:
    """Return a value as Django signs it, with any timestamp."""
    salt = b"django.contrib.sessions.backends.signed_cookiessigner"
    made = hmac.digest(hashlib.sha256(salt + SECRET.encode()).digest(), value + b":" + stamp, "sha256")
    return b":".join((value, stamp, base64.urlsafe_b64encode(made).rstrip(b"=")))


def litestars(text: bytes, associated: bytes) -> bytes:
    """Return a session as Litestar seals it, with any associated data."""
    sealed = AESGCM(AES_SECRET).encrypt(bytes(12), text, associated)
    return base64.b64encode(bytes(12) + sealed + b"additional_authenticated_data=" + associated)


def fernets(text: bytes) -> bytes:
    """Return JSON in a Fernet token."""
    return Fernet(base64.urlsafe_b64encode(AES_SECRET)).encrypt_at_time(text, int(NOW))


STAMP = int(NOW).to_bytes(4)
EXPIRES = b'{"expires_at":%d}' % (NOW + 14 * DAY)
DEEP = b"[" * 20_000 + b"]" * 20_000  # more than any Python reads: 3.13 takes some 10,000, 3.11 a thousand
BAD = {
    "a list": ("flask", flasks(b"[1]")),
    "no JSON": ("flask", flasks(b"{")),
    "a tag that holds no UUID": ("flask", flasks(b'{"a":{" u":"x"}}')),
    "a tag that holds no list": ("flask", flasks(b'{"a":{" t":1}}')),
    "a tag that holds no text": ("flask", flasks(b'{"a":{" b":[]}}')),
    "a tag that holds no date": ("flask", flasks(b'{"a":{" d":"x"}}')),
    "a tag that holds no dict": ("flask", flasks(b'{"a":{" di":{}}}')),
    "no base64": ("starlette", itsdangerous(b"e30", STAMP)),
    "other base64": ("starlette", itsdangerous(b"e31=", STAMP)),
    "no dict": ("starlette", itsdangerous(base64.b64encode(b"1"), STAMP)),
    "a time of nine octets": ("starlette", itsdangerous(base64.b64encode(b"{}"), bytes(9))),
    "a time beyond dates": ("starlette", itsdangerous(base64.b64encode(b"{}"), b"\xff" * 8)),
    "no time": ("django", djangos(b"e30", b"")),
    "a time of other digits": ("django", djangos(b"e30", b"-1")),
    "a time of too many digits": ("django", djangos(b"e30", b"00000001")),
    "a time beyond all dates": ("django", djangos(b"e30", b"zzzzzzz")),
    "another base64": ("django", djangos(b"e31", b"1")),
    "nested too deeply": ("litestar", litestars(b'{"a":' + DEEP + b"}", EXPIRES)),
    "no date of expiry": ("litestar", litestars(b"{}", b"{}")),
    "a date of expiry that is none": ("litestar", litestars(b"{}", b'{"expires_at":NaN}')),
    "associated data of another kind": ("litestar", litestars(b"{}", b"1")),
    "no octets of text": ("litestar", litestars(b"\xff", EXPIRES)),
    "no session": ("aiohttp", fernets(b'{"created":1}')),
    "another thing": ("aiohttp", fernets(b"null")),
}


@pytest.mark.parametrize(("name", "value"), BAD.values(), ids=BAD)
def test_what_the_old_secret_made_and_is_no_session(name: str, value: bytes) -> None:
    """Refused like anything else, also if the old application's own key was put to other use."""
    [reader] = site(move(name)).middleware.service._readers
    fields = (
        [
            b"; ".join(
                b"%b-%d=%b" % (reader.cookie.encode(), number, value[start : start + 4032])
                for number, start in enumerate(range(0, len(value), 4032))
            )
        ]
        if len(value) > 4032
        else [b"%b=%b" % (reader.cookie.encode(), value)]
    )
    read = reader.read(fields, NOW)
    assert isinstance(read, Refused)
    assert read.reason in {"bad_payload", "malformed"}


def test_times_within_that_are_not_believed() -> None:
    """A beginning that is no time, or lies after the cookie's own, is the cookie's own."""
    [reader] = site(move("aiohttp")).middleware.service._readers
    for told in (b'"x"', b"-1", b"true", b"1e300", b"%d" % (NOW + 5)):
        read = reader.read([b"AIOHTTP_SESSION=" + fernets(b'{"created":%b,"session":{}}' % told)], NOW + 9)
        assert isinstance(read, Found)
        assert read.created == NOW
    [reader] = site(move("starsessions")).middleware.service._readers
    for told in (b'"x"', b"{}", b'{"created":null}'):
        text = base64.b64encode(b'{"__metadata__":%b}' % told)
        read = reader.read([b"session=" + itsdangerous(text, STAMP)], NOW + 9)
        assert isinstance(read, Found)
        assert (read.created, read.data) == (NOW, {})


def test_a_date_without_a_zone_is_utc() -> None:
    """As werkzeug reads it."""
    [reader] = site(move("flask")).middleware.service._readers
    read = reader.read([b"session=" + flasks(b'{"a":{" d":"Wed, 25 Nov 2026 12:00:00 -0000"}}')], NOW)
    assert isinstance(read, Found)
    assert read.data == {"a": datetime(2026, 11, 25, 12, tzinfo=UTC)}


# --- what no client can do --------------------------------------------------------------------------------------------


def all_readers() -> tuple[Reader, ...]:
    """Return a reader of each library, all for one cookie name."""
    return site(*(move(name, cookie="session") for name in PEERS)).middleware.service._readers


READERS = all_readers()
PIECES = st.sampled_from(
    [
        b"session=",
        b"session-0=",
        b"session-1=",
        b"session-15=",
        b";",
        b".",
        b":",
        b"e30",
        b"gAAAAA",
        b"=",
        b'"',
        b"null",
    ]
)


@given(st.lists(st.lists(st.one_of(PIECES, st.binary(max_size=60)), max_size=12).map(b"".join), max_size=3))
def test_nothing_a_client_sends_raises(fields: list[bytes]) -> None:
    """Whatever stands in the Cookie fields, a reader answers."""
    for reader in READERS:
        assert not isinstance(reader.read(fields, NOW), Found)


@given(st.binary(max_size=200))
def test_no_value_raises(value: bytes) -> None:
    """Nor does any value, as one cookie or as parts of one."""
    for reader in READERS:
        assert not isinstance(reader.read([b"session=" + value], NOW), Found)
        assert not isinstance(reader.read([b"session-0=" + value], NOW), Found)


def test_values_longer_than_a_cookie_are_not_looked_at() -> None:
    """No browser keeps one that long."""
    for reader in READERS:
        read = reader.read([b"session=" + b"A" * 5000], NOW)
        assert isinstance(read, Refused)
        assert (read.reason, read.value) == ("malformed", b"")
        assert reader.read([b"session=null; session-1=x"], NOW) is None or reader.source == "litestar"


def test_a_clearing_value_is_no_session() -> None:
    """``null`` and the empty value say that there is none."""
    for reader in READERS:
        assert reader.read([b"session=null; other=1"], NOW) is None
        assert reader.read([b"session="], NOW) is None
        assert reader.read([b"other=1"], NOW) is None
        assert reader.names([b"other=1"]) == ()


def test_quoted_values_are_read() -> None:
    """Litestar's cookies come in quotes, for they hold ``=`` and ``/``."""
    [(_, value)] = PEERS["litestar"].at(NOW, OLD)
    [reader] = site(move("litestar")).middleware.service._readers
    assert isinstance(reader.read([b'session="' + value + b'"'], NOW), Found)
