"""Every reader against the real peer: its cookies come in, ours go out, through the whole middleware.

A thousand sessions a reader: half of them on asyncio, the other half on trio.
"""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from markupsafe import Markup

from sessionkit.backend.backend import SessionBackend
from sessionkit.config import AuditConfig
from sessionkit.migrate import Migration
from tests.middleware.apps import Site, page, ring
from tests.migrate.peers import DAY, PEERS, Peer, session
from tests.wire.same_value import identical

if TYPE_CHECKING:
    from sessionkit.asgi import ASGIMessage
    from sessionkit.testing import CookieJar
    from tests.migrate.peers import Cookies

NOW = 1_800_000_000.0
UNTIL = datetime.fromtimestamp(NOW + 30 * DAY, UTC)
HALF = 500
EVERY = pytest.mark.parametrize("name", PEERS)


def move(name: str, **more: Any) -> Migration:
    """Return the settings of a move from a peer."""
    return Migration(**{"source": name, "secret": PEERS[name].secret, "until": UNTIL, **more})


def site(*moves: Migration, **settings: Any) -> Site:
    """Return a site that takes sessions over, under a cookie name that none of the peers has."""
    return Site(**{"key": "ours", "audit": AuditConfig(level="info"), "migrate": moves, **settings})


def names(jar: CookieJar) -> list[str]:
    """Return the names of a browser's cookies."""
    return [cookie.name.decode() for cookie in jar]


async def visit(place: Site, cookies: Cookies) -> dict[str, bytes]:
    """Make one request, without a client's weight, and return what the response sets, by name."""
    sent: list[ASGIMessage] = []

    async def receive() -> ASGIMessage:
        return {"type": "http.disconnect"}

    async def send(message: ASGIMessage) -> None:
        sent.append(message)

    header = b"; ".join(name.encode() + b"=" + value for name, value in cookies)
    await place.middleware({"type": "http", "path": "/", "headers": [(b"cookie", header)]}, receive, send)
    pairs = [value.partition(b";")[0].partition(b"=") for name, value in sent[0]["headers"] if name == b"set-cookie"]
    return {name.decode(): value for name, _, value in pairs}


@pytest.mark.unmeasured
@EVERY
async def test_sessions_move_in(name: str, anyio_backend_name: str) -> None:
    """Each session is read with its values and types, written as ours on the first response, and ours opens again."""
    peer, random = PEERS[name], Random(1 if anyio_backend_name == "asyncio" else 2)
    place = site(move(name), audit=AuditConfig(level="warning"))
    backend = SessionBackend(place.config, ring(), clock=place.clock)
    seen: list[dict[str, Any]] = []
    look = page(lambda scope: seen.append(dict(scope["session"])))

    for number in range(HALF):
        values = session(random, typed=peer.typed)
        cookies = peer.at(NOW - 100, values)
        place._current = look if number % 2 else page()
        written = await visit(place, cookies)
        assert written.keys() == {"ours", *dict(cookies)}
        sealed = written.pop("ours")
        assert set(written.values()) == {b"null"}
        assert identical(backend.load_data([sealed]), values)
        if number % 2:
            assert identical(seen.pop(), values)
    assert seen == []


@EVERY
async def test_moves_are_counted(name: str) -> None:
    """Every move is a line that says where the session came from and how old it was; no secret is in it."""
    peer, random = PEERS[name], Random(3)
    place = site(move(name))
    for _ in range(10):
        place.put(*peer.at(NOW - 100, session(random, typed=peer.typed)))
        await place.visit()
        assert names(place.jar) == ["ours"]
    moved = place.log.named("session.migrated")
    assert [line["source"] for line in moved] == [name] * 10
    assert {line["age"] for line in moved} == {100.0}
    assert len({line["session_ref"] for line in moved}) == 10
    assert place.log.names() == ["session.created", "session.migrated"] * 10
    said = repr(place.log.lines)
    assert peer.secret.hex() not in said
    assert repr(peer.secret)[2:-1] not in said


@EVERY
async def test_under_our_own_name(name: str) -> None:
    """An old cookie that has the name of ours is replaced by it, not cleared beside it."""
    place = site(move(name, cookie="session"), key="session")
    place.put(*PEERS[name].at(NOW, {"user": "ann"}, name="session"))
    response = await place.visit()
    assert len(response.values(b"set-cookie")) == 1
    assert await place.read() == {"user": "ann"}
    assert place.log.names() == ["session.created", "session.migrated"]


def forgeries(peer: Peer, random: Random) -> list[bytes]:
    """Return values that come close to a genuine one: of another secret, altered in one bit, cut, or extended."""
    [(_, genuine)] = peer.at(NOW, {"user": "ann", "n": list(range(9))})
    [(_, foreign)] = peer.at(NOW, {"user": "ann"}, secret=bytes(32))
    altered = []
    for bit in range(len(genuine) * 8):
        value = bytearray(genuine)
        value[bit // 8] ^= 1 << bit % 8
        altered.append(bytes(value))
    cut = [genuine[:size] for size in range(1, len(genuine))]
    return [
        foreign,
        *random.sample(altered, 100),
        *random.sample(cut, 40),
        genuine + b"A",
        genuine + b"==",
        b"A" + genuine,
    ]


@EVERY
def test_forged_sessions_are_refused(name: str) -> None:
    """What the old secret did not make, octet by octet, opens nothing and raises nothing."""
    place = site(move(name))
    [reader] = place.middleware.service._readers
    separators = b';", \t\\'
    for value in forgeries(PEERS[name], Random(3)):
        if set(value) & set(separators) or value.strip() != value:
            continue  # no cookie, or another one
        read = reader.read([b"%b=%b" % (reader.cookie.encode(), value)], NOW)
        assert type(read).__name__ == "Refused", value
        assert read.reason in {"malformed", "bad_signature"}  # type: ignore[union-attr]  # a refusal has one


@EVERY
async def test_a_forged_session_is_told_and_left_alone(name: str) -> None:
    """It opens an empty session, one line tells why, and the cookie of another name stays where it is."""
    place = site(move(name))
    place.put(*PEERS[name].at(NOW, {"user": "ann"}, secret=bytes(32)))
    before = place.cookies()
    assert await place.read() == {}
    assert place.cookies() == before
    [line] = place.log.lines[-1:]
    assert (line["event"], line["reason"], line["source"]) == ("session.migration_refused", "bad_signature", name)
    assert line["cookie"] == PEERS[name].cookie
    assert not any(value.decode() in repr(place.log.lines) for value in before.values())


@EVERY
async def test_a_forged_session_under_our_name_is_told_once(name: str) -> None:
    """Two looks at one cookie make one line: that of the reader, which knows the format."""
    place = site(move(name, cookie="session"), key="session")
    place.put(*PEERS[name].at(NOW, {"user": "ann"}, secret=bytes(32), name="session"))
    assert await place.read() == {}
    assert place.log.names() == ["session.migration_refused"]


@EVERY
@pytest.mark.parametrize("by_default", [True, False], ids=["its own age", "an age that is given"])
async def test_the_old_age_holds(name: str, by_default: bool) -> None:
    """A session is taken over up to the old library's age, and not a second later."""
    peer = PEERS[name]
    # Litestar writes its age into the cookie, so there only its own can be right.
    age = peer.max_age if by_default or name == "litestar" else 3600
    place = site(move(name, max_age=None if by_default else age))
    cookies = peer.at(NOW - age, {"user": "ann"})
    place.put(*cookies)
    assert await place.read() == {"user": "ann"}

    place.put(*cookies)
    place.clock.advance(1)
    assert await place.read() == {}
    assert place.log.lines[-1]["reason"] == "expired"


@EVERY
async def test_the_future_is_refused(name: str) -> None:
    """Clocks may differ by a minute; a session from later than that is none."""
    place = site(move(name))
    place.put(*PEERS[name].at(NOW + 61, {"user": "ann"}))
    assert await place.read() == {}
    assert place.log.lines[-1]["reason"] == "not_yet_valid"
    place.put(*PEERS[name].at(NOW + 60, {"user": "ann"}))
    assert await place.read() == {"user": "ann"}
    assert place.log.named("session.migrated")[0]["age"] == 0


@EVERY
async def test_after_the_end_date_nobody_moves_in(name: str) -> None:
    """From the end date on a session is refused with that as its reason; the second before it is taken over."""
    place = site(move(name, until=datetime.fromtimestamp(NOW + 1, UTC)))
    cookies = PEERS[name].at(NOW, {"user": "ann"})
    place.put(*cookies)
    assert await place.read() == {"user": "ann"}
    place.put(*cookies)
    place.clock.advance(1)
    assert await place.read() == {}
    assert place.log.lines[-1]["reason"] == "over"


async def test_a_move_that_is_over_is_told_at_the_start() -> None:
    """One line for each, with its date; none for a move that goes on."""
    place = site(move("flask", until=datetime.fromtimestamp(NOW, UTC)), move("django"))
    await place.write(user="ann")
    await place.visit()
    [line] = place.log.named("session.migration_over")
    assert (line["source"], line["cookie"], line["until"]) == ("flask", "session", "2027-01-15T08:00:00.000Z")


@EVERY
async def test_older_secrets_are_tried_too(name: str) -> None:
    """A list of secrets opens what any of them made."""
    peer = PEERS[name]
    place = site(move(name, secret=[bytes(range(1, 33)), peer.secret]))
    for secret in (bytes(range(1, 33)), peer.secret):
        place.put(*peer.at(NOW, {"user": "ann"}, secret=secret))
        assert await place.read() == {"user": "ann"}


@pytest.mark.parametrize("size", [2000, 9000, 25_000])
async def test_litestars_chunks(size: int) -> None:
    """A session in up to ten cookies is put together in the order of their numbers, and all of them are cleared."""
    text = "".join(Random(size).choices("abcdefghij", k=size))
    place = site(move("litestar"), max_chunks=16)
    cookies = PEERS["litestar"].at(NOW, {"text": text})
    assert (len(cookies) > 1) == (size > 2000)
    place.put(*cookies)
    await place.visit()
    assert {name.partition("-")[0] for name in names(place.jar)} == {"ours"}
    assert await place.read() == {"text": text}


async def test_litestars_chunks_under_our_name() -> None:
    """Its parts and ours have the same names: ours replace them, and those that are too many go."""
    place = site(move("litestar"), key="session", max_chunks=16)
    cookies = PEERS["litestar"].at(NOW, {"text": "x" * 9000})
    place.put(*cookies)
    await place.visit(lambda session: session.update(text="y"))
    assert names(place.jar) == ["session"]
    assert await place.read() == {"text": "y"}


async def test_what_is_left_over_of_a_longer_litestar_session() -> None:
    """A part behind one that is not full belongs to nobody."""
    place = site(move("litestar"))
    cookies = PEERS["litestar"].at(NOW, {"text": "x" * 4000})
    place.put(*cookies, (f"session-{len(cookies)}", b"AAAA"))
    assert await place.read() == {"text": "x" * 4000}
    assert {name.partition("-")[0] for name in names(place.jar)} == {"ours"}


async def test_a_missing_part_is_refused() -> None:
    """Without its middle a session is not opened."""
    place = site(move("litestar"))
    first, _, *rest = PEERS["litestar"].at(NOW, {"text": "x" * 12_000})
    place.put(first, *rest)
    assert await place.read() == {}
    assert place.log.lines[-1]["reason"] == "malformed"


@pytest.mark.parametrize("name", ["flask", "quart", "django"])
async def test_compressed_sessions(name: str) -> None:
    """A session that the peer compressed is read; one that would fill memory is refused once it is authentic."""
    place = site(move(name))
    place.put(*PEERS[name].at(NOW, {"text": "x" * 5000}))
    assert await place.read() == {"text": "x" * 5000}

    [(cookie, bomb)] = PEERS[name].at(NOW, {"text": "x" * 2_000_000})
    assert len(bomb) < 4096
    place.put((cookie, bomb))
    assert await place.read() == {}
    assert place.log.lines[-1]["reason"] == "too_large"


@pytest.mark.parametrize("name", ["flask", "django"])
def test_streams_that_do_not_end_well(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An authentic value whose compressed part is broken, cut off or followed by more is no session."""
    place = site(move(name))
    [reader] = place.middleware.service._readers
    compress = zlib.compress

    for spoil in (lambda data: b"no" + data[2:], lambda data: data[:-1], lambda data: data + b"more"):
        monkeypatch.setattr(zlib, "compress", lambda data, spoil=spoil: spoil(compress(data)))
        [(cookie, value)] = PEERS[name].at(NOW, {"text": "x" * 500})
        read = reader.read([b"%b=%b" % (cookie.encode(), value)], NOW)
        assert read.reason == "bad_payload"  # type: ignore[union-attr]  # a refusal has one


@pytest.mark.parametrize("name", ["flask", "quart"])
async def test_markup_comes_back_as_text(name: str) -> None:
    """Markup is text in a session of ours, from the first request on."""
    place = site(move(name))
    place.put(*PEERS[name].at(NOW, {"html": Markup("<b>ann</b>")}))
    read = await place.read()
    assert read == {"html": "<b>ann</b>"}
    assert type(read["html"]) is str
