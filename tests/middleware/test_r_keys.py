"""Group R: keys as seen from the session's side."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING

import pytest

from sessionkit.config import SessionConfig
from sessionkit.exceptions import ConfigurationError
from sessionkit.keyring.key import Key, KeyState
from sessionkit.middleware import SessionMiddleware
from tests.middleware.apps import Log, Site, key, noise, page, ring, secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sessionkit.session import Session

NOW = 1_800_000_000.0
OLD = key(1, KeyState.RETIRED, created=NOW - 9_000)
NEW = key(2, created=NOW - 1_000)


def _bytes(value: bytes) -> bytes:
    return urlsafe_b64decode(value + b"=" * (-len(value) % 4))


def _spelled(octets: bytes) -> bytes:
    return urlsafe_b64encode(octets).rstrip(b"=")


def _kid(site: Site) -> str:
    """Return the id of the key that the browser's cookie names."""
    return _bytes(site.cookies()["session"])[1:5].hex()


async def test_a_retired_key_still_opens() -> None:
    """Case 179: a session under a retired key opens, and moves to the active key when it is written."""
    before = Site(ring(key(1)))
    await before.write(user="ann")
    site = Site(ring(OLD, NEW), site=before)

    assert await site.read() == {"user": "ann"}
    assert _kid(site) == OLD.kid
    await site.write(user="bob")

    assert _kid(site) == NEW.kid
    (line,) = site.log.named("session.rekeyed")
    assert (line["previous_kid"], line["previous_key_state"], line["kid"]) == (OLD.kid, "retired", NEW.kid)
    assert await site.read() == {"user": "bob"}


async def test_a_renewal_moves_to_the_newer_key() -> None:
    """Case 179: a renewal moves a session too, from an older key to a newer one."""
    before = Site(ring(key(1)))
    await before.write(user="ann")
    site = Site(ring(OLD, NEW), site=before)
    site.clock.advance(1_209_600 / 2)

    await site.visit(len)

    assert _kid(site) == NEW.kid


async def test_a_session_never_moves_to_an_older_key() -> None:
    """Case 179: a node that lags behind renews and writes a session under the newer key that it came under.

    What it begins itself is sealed under its own active key, also after a session under the newer one has ended.
    """
    leading = Site(ring(OLD, NEW))
    await leading.write(user="ann")
    lagging = Site(ring(key(1, created=NOW - 9_000), key(2, KeyState.STAGED)), site=leading)
    leading.clock.advance(1_209_600 / 2)

    assert (await lagging.visit(len)).set_cookies != []
    assert _kid(lagging) == NEW.kid
    await lagging.write(user="bob")
    assert _kid(lagging) == NEW.kid
    assert await leading.read() == {"user": "bob"}
    assert lagging.log.named("session.rekeyed") == []

    def begin_anew(session: Session) -> None:
        session.destroy()
        session["user"] = "eve"

    await lagging.visit(begin_anew)
    assert _kid(lagging) == OLD.kid
    assert await leading.read() == {"user": "eve"}


async def test_a_staged_key_opens() -> None:
    """Case 180: a key that is known but not yet active opens what a node ahead of us sealed with it."""
    leading = Site(ring(OLD, NEW))
    await leading.write(user="ann")
    lagging = Site(ring(key(1), key(2, KeyState.STAGED, activates=NOW + 999)), site=leading)

    assert await lagging.read() == {"user": "ann"}


@pytest.mark.parametrize("octets", [100, 8_000])
@pytest.mark.parametrize("touch", [True, False])
async def test_an_unknown_key(octets: int, touch: bool) -> None:
    """Case 181: a session under an unknown key is empty, and its cookies stay: a lagging node logs nobody out."""
    leading = Site(ring(NEW))
    await leading.write(text=noise(octets))
    cookies = leading.cookies()
    lagging = Site(ring(key(1)), site=leading)

    await lagging.visit(len if touch else None)
    await lagging.visit(lambda session: session.clear())

    assert lagging.cookies() == cookies
    assert [line["reason"] for line in lagging.log.named("session.rejected")] == ["unknown_key"] * 2
    assert "kid" not in lagging.log.named("session.rejected")[0]
    assert await leading.read() == {"text": noise(octets)}


async def test_an_unknown_key_and_a_decision() -> None:
    """Case 181: what an application writes, or ends by ``destroy``, does replace such a cookie."""
    leading = Site(ring(NEW))
    await leading.write(text=noise(8_000))
    lagging = Site(ring(key(1)), site=leading)
    await lagging.write(user="bob")
    assert set(lagging.cookies()) == {"session"}
    assert await lagging.read() == {"user": "bob"}

    await leading.write(user="ann")
    await lagging.visit(lambda session: session.destroy())
    assert lagging.cookies() == {}


@pytest.mark.parametrize("place", [5, 28, 29, 40, -16, -1])
async def test_altered_octets(place: int) -> None:
    """Case 182: a known key and altered octets are a ``bad_tag``, told with the key, and the cookie is cleared."""
    site = Site()
    await site.write(user="ann")
    octets = bytearray(_bytes(site.cookies()["session"]))
    octets[place] ^= 1
    site.put(("session", _spelled(bytes(octets))))

    assert await site.read() == {}

    (line,) = site.log.named("session.rejected")
    assert (line["reason"], line["kid"]) == ("bad_tag", key(1).kid)
    assert site.cookies() == {}


async def test_a_cookie_under_another_name() -> None:
    """Case 183: what was made for one name does not open under another."""
    site = Site(key="session")
    admin = Site(site=site, key="admin")
    await site.write(user="ann")
    site.put(("admin", site.cookies()["session"]))

    assert await admin.read() == {}
    assert site.log.named("session.rejected")[0]["reason"] == "bad_tag"


async def test_a_cookie_of_another_application() -> None:
    """Case 183: what was made for one audience does not open for another, though they share the ring."""
    site = Site(context="shop")
    for context in ("", "forum", "shop2"):
        await site.write(user="ann")
        assert await Site(site=site, context=context).read() == {}
    await site.write(user="ann")
    assert await Site(site=site, context="shop").read() == {"user": "ann"}


@pytest.mark.parametrize("version", [0, 2, 255])
async def test_another_version(version: int) -> None:
    """Case 184: a cookie of another version of the format is not read, and stays for the release that can."""
    site = Site()
    await site.write(user="ann")
    octets = bytes([version]) + _bytes(site.cookies()["session"])[1:]
    site.put(("session", _spelled(octets)))

    assert await site.read() == {}

    assert site.log.named("session.rejected")[0]["reason"] == "unsupported_version"
    assert site.cookies() == {"session": _spelled(octets)}


@pytest.mark.parametrize("reverse", [False, True])
async def test_the_newest_active_key_seals(reverse: bool) -> None:
    """Case 185: the key that seals is the newest whose time has come, wherever it stands in the ring."""
    keys: list[Key] = [
        key(1, KeyState.RETIRED, created=NOW - 9_000),
        key(2, created=NOW - 5_000),
        key(3, KeyState.STAGED, activates=NOW + 60),
        key(4, KeyState.STAGED),
    ]
    site = Site(ring(*(reversed(keys) if reverse else keys)))

    await site.write(user="ann")
    assert _kid(site) == keys[1].kid
    site.clock.advance(59.9)
    await site.write(user="bob")
    assert _kid(site) == keys[1].kid
    site.clock.advance(0.1)
    await site.write(user="cid")
    assert _kid(site) == keys[2].kid


async def test_a_revoked_key() -> None:
    """Case 182: a session under a revoked key is refused, its cookie cleared, and it is told as a revocation."""
    before = Site(ring(key(1)))
    await before.write(user="ann")
    site = Site(ring(Key.tombstone(key(1).id, label="leaked"), key(2)), site=before)

    assert await site.read() == {}

    assert site.log.named("session.revoked")[0]["kid"] == key(1).kid
    assert site.cookies() == {}


def test_no_key_is_made_up() -> None:
    """Case 186: without a keyring nothing starts; a random key for each process would end sessions at every restart."""
    with pytest.raises(ConfigurationError, match="keyring: is missing"):
        SessionMiddleware(page())
    with pytest.raises(ConfigurationError, match="keyring: is a int"):
        SessionMiddleware(page(), 1)  # type: ignore[arg-type]  # that is the mistake
    with pytest.raises(ConfigurationError, match="config: is a dict"):
        SessionMiddleware(page(), ring(), {})  # type: ignore[arg-type]  # that is the mistake
    assert SessionMiddleware(page(), secret(1)).config == SessionConfig()


@pytest.mark.parametrize("encode", [lambda octets: b64encode(octets).decode(), bytes.hex])
def test_a_secret_as_text_is_not_repeated(encode: Callable[[bytes], str]) -> None:
    """A secret given as text would be taken for a path, and the path stands in the error: this one does not."""
    text = encode(bytes(range(32)))
    with pytest.raises(ConfigurationError, match="keyring: is no keyring file, and looks like a secret") as caught:
        SessionMiddleware(page(), text)
    assert text not in str(caught.value)
    assert caught.value.__context__ is None


def test_settings_from_a_file(tmp_path: Path) -> None:
    """Case 186: settings may be a path, and the middleware says of itself no more than key ids and names."""
    path = tmp_path / "sessionkit.yaml"
    path.write_text("key: shop\nmax_age: 3600\n", encoding="utf-8")

    middleware = SessionMiddleware(page(), secret(1), path, logger=Log())

    assert middleware.config == SessionConfig(key="shop", max_age=3_600)
    assert repr(middleware).startswith("<SessionMiddleware <SessionService 'shop' ")
    assert SessionMiddleware(page(), secret(1), str(path)).config == middleware.config


@pytest.mark.parametrize("length", [0, 1, 43, 44, 45, 59])
async def test_nothing_is_read_before_it_is_authentic(length: int) -> None:
    """Case 187: too short a token, or one whose key is unknown, is refused by its length, version and key id alone."""
    site = Site()
    octets = b"\x01" + key(1).id + bytes(60)
    site.put(("session", _spelled(octets[:length])))

    assert await site.read() == {}

    reasons = [line["reason"] for line in site.log.named("session.rejected")]
    assert reasons == ([] if not length else ["malformed"] if length < 45 else ["bad_tag"])
