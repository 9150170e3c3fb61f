"""What the strict jar of ``sessionkit.testing`` says browsers do, a browser does: chromium, over TLS, by two servers.

The tests are synchronous: the browser is waited for in the test's own thread, the server runs in another, uvicorn on
asyncio with HTTP/1.1, hypercorn on trio with HTTP/2.
"""

from __future__ import annotations

import json
import math
import time
from bisect import bisect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from sessionkit.config import AuditConfig, SessionConfig
from sessionkit.exceptions import SessionTooLargeError
from sessionkit.keyring.key import Key
from sessionkit.middleware import SessionMiddleware
from sessionkit.testing import CookieJar, Sessions
from tests.browser.chromium import Chromium
from tests.browser.serving import Certificate, serving
from tests.browser.shop import Heard, Shop, live, page, portal
from tests.keyring.rings import A, B, text, write
from tests.middleware.apps import noise, ring

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sessionkit.asgi import Receive, Scope, Send
    from sessionkit.keyring.keyring import Keyring
    from tests.browser.chromium import Context, Tab

SIZES = {1: 500, 2: 4_000, 6: 16_000}
"""Octets of text that make a session of so many cookies."""

HARDENED: dict[str, Any] = {"key": "__Host-shop", "secure": True}

BOTH_SERVERS = pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Return a certificate for the hosts of these tests."""
    return Certificate.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[Chromium]:
    """Run one browser for all tests; each has a context of its own."""
    with Chromium(tmp_path_factory.mktemp("profile"), trusted=certificate.pin) as browser:
        yield browser


@pytest.fixture
def browser(chromium: Chromium) -> Iterator[Context]:
    """Return a browser profile without cookies."""
    with chromium.context() as context:
        yield context


class Opened(NamedTuple):
    """A shop that serves."""

    app: Shop
    heard: Heard
    url: str


@contextmanager
def opened(
    server: str,
    certificate: Certificate | None,
    keyring: Keyring | Path | None = None,
    *,
    embedded: int = 0,
    **settings: Any,
) -> Iterator[Opened]:
    """Open a shop; other sites' pages embed one of its, with a session of so many octets of text."""
    app, heard = Shop(), Heard()
    # With a key of its own, no draw of nonces depends on what ran in this process before (``conftest``).
    config = SessionConfig(audit=AuditConfig(level="debug", key=bytes(32)), **settings)
    shop = SessionMiddleware(app, ring() if keyring is None else keyring, config, logger=heard)
    with serving(server, portal(shop, embedded), certificate) as port:
        scheme = "http" if certificate is None else "https"
        yield Opened(app, heard, f"{scheme}://shop.test:{port}/")
    assert heard.names().isdisjoint({"session.rejected", "session.write_lost", "session.save_failed"})


def names(chunks: int, name: str = "__Host-shop") -> list[str]:
    """Return the names of a session of so many cookies."""
    return [name] if chunks == 1 else [f"{name}-{number}" for number in range(chunks)]


def shown(tab: Tab) -> dict[str, Any]:
    """Return the session as the page tells it."""
    told: dict[str, Any] = json.loads(tab.run("document.querySelector('#told').textContent"))
    return told


def put(tab: Tab, octets: int) -> None:
    """Fill in the form and send it: a session with so many octets of new text."""
    tab.run(f"document.querySelector('[name=octets]').value = '{octets}'")
    tab.click("#put")


@BOTH_SERVERS
def test_a_session_survives_reloads(browser: Context, certificate: Certificate, server: str) -> None:
    """A session of one, two or six cookies is the same after reloads and in another tab, and is not written again."""
    with opened(server, certificate, **HARDENED) as shop:
        tab, other = browser.tab(), browser.tab()
        tab.goto(shop.url)
        for number, (chunks, octets) in enumerate(SIZES.items(), 1):
            put(tab, octets)
            told = shown(tab)
            assert (told["puts"], told["notes"]) == (number, noise(octets, number))
            held = browser.cookies()
            assert [cookie["name"] for cookie in held] == names(chunks)
            for _ in range(2):
                tab.reload()
                assert shown(tab) == told
            other.goto(shop.url)
            assert shown(other) == told
            assert browser.cookies() == held


@BOTH_SERVERS
def test_a_session_grows_and_shrinks_without_leftovers(browser: Context, certificate: Certificate, server: str) -> None:
    """Whatever the session needed before, the browser holds the cookies it needs now, and no more."""
    with opened(server, certificate, **HARDENED) as shop:
        tab = browser.tab()
        tab.goto(shop.url)
        for number, chunks in enumerate([1, 6, 2, 1, 2, 6, 1], 1):
            put(tab, SIZES[chunks])
            assert shown(tab)["notes"] == noise(SIZES[chunks], number)
            assert browser.names() == names(chunks)


def test_cookies_have_the_attributes_that_were_asked_for(browser: Context, certificate: Certificate) -> None:
    """The browser's own list tells of a host's cookie that no script sees, for as long as the session lives."""
    with opened("uvicorn", certificate, max_age=3600, samesite="strict", **HARDENED) as shop:
        tab = browser.tab()
        tab.goto(shop.url)
        begun = time.time()
        put(tab, SIZES[2])
        ended = time.time()
        for cookie in browser.cookies():
            assert begun + 3599 <= cookie.pop("expires") <= ended + 3601
            del cookie["value"], cookie["size"], cookie["name"], cookie["sourcePort"]
            assert cookie == {
                "domain": "shop.test",  # without a dot before it: this host's alone
                "path": "/",
                "httpOnly": True,
                "secure": True,
                "session": False,
                "sameSite": "Strict",
                "priority": "Medium",
                "sourceScheme": "Secure",
            }
        assert tab.run("document.cookie") == ""


def test_a_session_without_persistence_ends_with_the_browser(browser: Context, certificate: Certificate) -> None:
    """A browser-session cookie has no date in the browser either."""
    with opened("uvicorn", certificate, persistent=False, **HARDENED) as shop:
        tab = browser.tab()
        tab.goto(shop.url)
        put(tab, SIZES[1])
        [cookie] = browser.cookies()
        assert (cookie["session"], cookie["expires"]) == (True, -1)


def test_a_secure_cookie_is_not_kept_without_tls(browser: Context) -> None:
    """Over plain http the browser drops the session, and the audit log has said so."""
    with opened("uvicorn", None, secure=True) as shop:
        tab = browser.tab()
        tab.goto(shop.url)
        put(tab, SIZES[1])
        assert "notes" not in shown(tab)
        assert browser.names() == []
        assert "session.insecure_transport" in shop.heard.names()


def test_embedded_sessions_are_kept_apart(browser: Context, certificate: Certificate) -> None:
    """A shop inside pages of two sites has a session in each, with ``Partitioned``, and a third one at the top.

    The embedded ones are as large as sessionkit lets them become: the octets that a browser keeps in one partition.
    """
    settings = HARDENED | {"samesite": "none", "partitioned": True}
    sessions = Sessions(ring(), SessionConfig(**settings))

    def is_too_large(octets: int) -> bool:
        try:
            sessions.header({"visits": 1, "notes": noise(octets)})
        except SessionTooLargeError:
            return True
        return False

    largest = bisect(range(10_000), False, key=is_too_large) - 1
    with opened("uvicorn", certificate, embedded=largest, **settings) as shop:
        tab = browser.tab()
        for site, visits in (("portal", 1), ("portal", 2), ("magazine", 1), ("portal", 3)):
            tab.goto(shop.url.replace("shop", site))
            assert tab.run("heard") == visits
        tab.goto(shop.url)
        assert "visits" not in shown(tab)
        put(tab, SIZES[1])
        held: dict[str, list[int]] = {}
        for cookie in browser.cookies():
            held.setdefault(cookie["partitionKey"]["topLevelSite"], []).append(cookie["size"])
        cookies = {"https://magazine.test": 3, "https://portal.test": 3, "https://shop.test": 1}
        assert {site: len(sizes) for site, sizes in held.items()} == cookies
        # Room for the names of eight cookies is set aside, whatever their number.
        assert 10_240 - 8 * len("__Host-shop-0") < sum(held["https://portal.test"]) <= 10_240


@BOTH_SERVERS
def test_two_tabs_write_at_once(browser: Context, certificate: Certificate, server: str) -> None:
    """Of two writes at once the last response counts, whole; nothing of the other is left, and nothing else is lost."""
    octets = {"large": SIZES[6], "small": SIZES[1]}
    with opened(server, certificate, **HARDENED) as shop:
        tabs = {"large": browser.tab(), "small": browser.tab()}
        for tab in tabs.values():
            tab.goto(shop.url)
        tabs["large"].click("#login")
        for first, last in (("large", "small"), ("small", "large")):
            put(tabs["large"], SIZES[2])
            before = shown(tabs["large"])
            shop.app.hold(*tabs)
            for name, tab in tabs.items():
                tab.run(f"void (window.held = fetch('/held?name={name}&octets={octets[name]}', {{method: 'POST'}}))")
            assert {shop.app.arrived.get(timeout=30) for _ in tabs} == set(tabs)
            for name in (first, last):
                shop.app.release(name)
                assert tabs[name].run("window.held.then(response => response.text())") == "done"
            expected = before | {"last": last, "notes": noise(octets[last])}
            for tab in tabs.values():
                tab.reload()
                assert shown(tab) == expected
                assert browser.names() == names(6 if last == "large" else 1)


@BOTH_SERVERS
def test_a_rotation_between_two_clicks_is_not_noticed(
    browser: Context, certificate: Certificate, server: str, tmp_path: Path
) -> None:
    """A key is staged, takes over, its predecessor goes, each published between two clicks: one session throughout."""
    path = tmp_path / "keyring.yaml"
    write(path, text(1, a="active"))
    kids = {label: Key.from_secret(secret).kid for label, secret in (("a", A), ("b", B))}
    with opened(server, certificate, path, **HARDENED) as shop:
        tab = browser.tab()
        tab.goto(shop.url)
        tab.click("#login")
        before = shown(tab)
        published = [
            ({"a": "active", "b": "staged"}, "a"),
            ({"a": "retired", "b": "active"}, "b"),
            ({"b": "active"}, "b"),
        ]
        for number, (keys, sealing) in enumerate(published, 1):
            write(path, text(number + 1, **keys))
            shop.heard.wait("keyring.reloaded", generation=number + 1)
            put(tab, SIZES[2])
            assert shown(tab) == before | {"puts": number, "notes": noise(SIZES[2], number)}
            shop.heard.wait("session.updated", kid=kids[sealing])
            assert browser.names() == names(2)


@BOTH_SERVERS
def test_logout_clears_everything(browser: Context, certificate: Certificate, server: str) -> None:
    """After a logout the browser holds nothing of a session of six cookies, nor of what else lay there of ours."""
    with opened(server, certificate, **HARDENED) as shop:
        tab = browser.tab()
        tab.goto(shop.url)
        tab.click("#login")
        put(tab, SIZES[6])
        browser.plant("__Host-shop-7", "left-over", shop.url)
        browser.plant("foreign", "stays", shop.url)
        assert browser.names() == [*names(6), "__Host-shop-7", "foreign"]
        tab.click("#logout")
        assert browser.names() == ["foreign"]
        assert "user" not in shown(tab)
        assert "session.destroyed" in shop.heard.names()


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn-http1"])
def test_a_websocket_counts_in_the_session(browser: Context, certificate: Certificate, server: str) -> None:
    """A browser keeps the cookie of a websocket's handshake, and shows it at the next one and on the next page."""
    with opened(server, certificate, **HARDENED) as shop:
        tab = browser.tab()
        tab.goto(shop.url)
        address = shop.url.replace("https", "wss") + "ws"
        for count in (1, 2):
            told = tab.run(
                f"new Promise((resolve, reject) => {{ const socket = new WebSocket('{address}');"
                "socket.onmessage = message => { socket.onclose = () => resolve(message.data) };"
                "socket.onerror = reject })"
            )
            assert told == str(count)
        tab.reload()
        assert shown(tab)["sockets"] == 2


# --- the jar that all other tests rely on -----------------------------------------------------------------------------

FIELDS: list[bytes | tuple[bytes, ...]] = [
    b"a=1",
    b"a=1; Path=/; Max-Age=60; HttpOnly; SameSite=Lax",
    b"a = x=y ; path=/ ; secure",
    b'a="quoted"; Path=/',
    b"a=",
    b"=b",
    b"nameless",
    b"=",
    b"a=" + b"x" * 4095,
    b"a=" + b"x" * 4096,
    b"a=1; Path=/" + b"p" * 1024,
    b"a=1; Path=/x; Path=/cart",
    b"a=1; Path=cart",
    b"a=1; Path=/cart/",
    b"a=1; Path=/cartoon",
    b"a=1; Colour=red; Max-Age=1e3; Expires=soon; SameSite=maybe",
    b"a=1; Max-Age=0",
    b"a=1; Max-Age=-5",
    b"a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
    b"a=1; Expires=Sun, 06-Nov-94 08:49:37 GMT",
    b"a=1; Expires=Friday, 15-Jan-60 08:01:00 GMT",
    b"a=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
    b"a=1; Domain=shop.test",
    b"a=1; Domain=.SHOP.test",
    b"a=1; Domain=www.shop.test",
    b"a=1; Domain=",
    b"a=1; Domain=test",
    b"a=1; Domain=other.test",
    b"a=1; Domain=deep.www.shop.test",
    b"a=1; SameSite=Strict",
    b"a=1; SameSite=None",
    b"a=1; SameSite=None; Secure",
    b"a=1; Partitioned",
    b"a=1; Partitioned; Secure; SameSite=None; Path=/",
    b"__Secure-a=1",
    b"__Secure-a=1; Secure",
    b"__Host-a=1; Path=/",
    b"__Host-a=1; Secure",
    b"__Host-a=1; Secure; Path=/",
    b"__Host-a=1; Secure; Path=/cart",
    b"__hOsT-a=1; Secure; Path=/; Domain=www.shop.test",
    b"__Host-a=1; Secure; Path=/; Domain=",
    b"__Http-a=1; Secure",
    b"__Http-a=1; Secure; HttpOnly",
    b"__Host-Http-a=1; Secure; Path=/",
    b"__Host-Http-a=1; Secure; Path=/; HttpOnly",
    b"=__Host-a=1; Secure; Path=/",
    b"__Host-a; Secure; Path=/",
    # With another value, Chromium would send it after c: an update is a new cookie there, other than in the RFC.
    (b"a=1; Path=/", b"b=2; Path=/cart", b"c=3; Path=/", b"a=1; Path=/; HttpOnly"),
    (b"a=1; Path=/; Secure", b"a=2; Path=/cart; Secure", b"a=null; Path=/; Max-Age=0; Secure"),
    (b"a=1; Domain=shop.test; Path=/", b"a=2; Path=/"),
    # A browser keeps 10,240 octets of a site in one partition.
    tuple(b"a-%d=%s; Path=/; Secure; SameSite=None; Partitioned" % (n, b"x" * 3000) for n in range(3)),
    tuple(b"a-%d=%s; Path=/; Secure; SameSite=None; Partitioned" % (n, b"x" * 4000) for n in range(6)),
]
"""``Set-Cookie`` fields of one response of ``https://www.shop.test/cart/items``."""


LEADING = """<!doctype html><meta charset="utf-8"><title>portal</title><link rel="icon" href="data:,">
<a href="{url}">a link</a> <form method="post" action="{url}"><button>a form</button></form>
"""


class Setter:
    """Sets the cookies it is told to, and keeps what comes back; another host's page leads to it."""

    def __init__(self) -> None:
        self.fields: tuple[bytes, ...] = ()
        self.came: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer at one path; under others, browsers look for icons and the like."""
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        headers = [(b"content-length", b"0")]
        host = dict(scope["headers"])[b"host"].decode()
        if scope["path"] == "/other":
            await page(send, LEADING.format(url=f"https://{host.replace('portal', 'www.shop')}/cart/items"))
            return
        if scope["path"] == "/cart/items":
            self.came = [value for name, value in scope["headers"] if name == b"cookie"]
            headers += [(b"set-cookie", field) for field in self.fields]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def kept(jar: CookieJar) -> list[tuple[Any, ...]]:
    """Return what a jar holds, as ``told`` tells it of the browser."""
    return sorted(
        (
            cookie.name.decode(),
            cookie.value.decode(),
            ("" if cookie.host_only else ".") + cookie.domain,
            cookie.path,
            cookie.secure,
            cookie.http_only,
            cookie.same_site,
            cookie.partition is not None,
            cookie.expires == math.inf,
        )
        for cookie in jar
    )


def told(browser: Context) -> list[tuple[Any, ...]]:
    """Return what the browser holds."""
    words = ("name", "value", "domain", "path", "secure", "httpOnly")
    return sorted(
        (
            *(cookie[word] for word in words),
            cookie.get("sameSite", "default").lower(),
            "partitionKey" in cookie,
            cookie["session"],
        )
        for cookie in browser.cookies()
    )


def test_the_strict_jar_keeps_what_a_browser_keeps(browser: Context, certificate: Certificate) -> None:
    """For every rule on storing, jar and browser hold the same cookies afterwards, and send the same header."""
    setter = Setter()
    with serving("uvicorn", setter, certificate) as port:
        url = f"https://www.shop.test:{port}/cart/items"
        tab = browser.tab()
        tab.goto(url)
        for case in FIELDS:
            setter.fields = (case,) if isinstance(case, bytes) else case
            assert tab.run("fetch('/cart/items').then(response => response.status)") == 200
            jar, now = CookieJar(), time.time()
            jar.store([(b"set-cookie", field) for field in setter.fields], url, now)
            assert kept(jar) == told(browser), case
            setter.fields = ()
            assert tab.run("fetch('/cart/items').then(response => response.status)") == 200
            assert jar.header(url, now) == setter.came, case
            browser.clear()


def test_the_strict_jar_sends_what_a_browser_sends(browser: Context, certificate: Certificate) -> None:
    """A link and a form on another site's page take along the same cookies from jar and browser.

    What is embedded there is told above: this browser blocks all cookies of third parties but partitioned ones.
    """
    setter = Setter()
    with serving("uvicorn", setter, certificate) as port:
        url = f"https://www.shop.test:{port}/cart/items"
        tab = browser.tab()
        tab.goto(url)
        setter.fields = (
            b"strict=1; SameSite=Strict; Secure",
            b"lax=2; SameSite=Lax; Secure",
            b"none=3; SameSite=None; Secure",
            b"apart=4; SameSite=None; Secure; Partitioned",
        )
        tab.run("fetch('/cart/items').then(response => response.status)")
        jar, now = CookieJar(), time.time()
        jar.store([(b"set-cookie", field) for field in setter.fields], url, now)
        setter.fields = ()
        for selector, method in (("a", "GET"), ("button", "POST")):
            tab.goto(f"https://portal.test:{port}/other")
            tab.click(selector)
            assert jar.header(url, now, same_site=False, method=method) == setter.came, method
        tab.goto(url)
        assert jar.header(url, now) == setter.came
