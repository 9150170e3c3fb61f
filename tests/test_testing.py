"""The tools for tests hold what they promise: a jar as strict as a browser, a client that hides nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sessionkit.testing import AsgiClient, Cookie, CookieJar, FixedClock, LifespanFailed, Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

NOW = 1_800_000_000.0
HTTPS = "https://shop.example.org/cart/items"
HTTP = "http://shop.example.org/cart/items"


def stored(*fields: bytes, url: str = HTTPS, now: float = NOW, **options: Any) -> CookieJar:
    """Return a new jar after one response with these Set-Cookie fields."""
    jar = CookieJar()
    jar.store([(b"Vary", b"Cookie"), *((b"Set-Cookie", field) for field in fields)], url, now, **options)
    return jar


def only(jar: CookieJar) -> Cookie:
    """Return the jar's one cookie."""
    (cookie,) = jar
    return cookie


# --- the jar: parsing -------------------------------------------------------------------------------------------------


def test_a_cookie_comes_back() -> None:
    """A plain cookie goes to its host, in one field with the others, in the order they were made."""
    jar = stored(b"a=1; Path=/", b"b = x=y ;Path=/")
    assert jar.header(HTTPS, NOW) == [b"a=1; b=x=y"]
    assert jar.header(HTTPS, NOW, crumbs=True) == [b"a=1", b"b=x=y"]
    assert CookieJar().header(HTTPS, NOW) == []
    assert jar.get("b") == b"x=y"
    assert jar.get("c") is None


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        (b"a=1\x07", "a control character"),
        (b"a=1; Path=/\n", "a control character"),
        (b"", "neither name nor value"),
        (b" = ; Path=/", "neither name nor value"),
        (b"a=" + b"x" * 4096, "name and value are longer than 4096 octets"),
        (b"a=1; Domain=example.com", "Domain is not the host's"),
        (b"a=1; Domain=org", "Domain is a public suffix"),
        (b"a=1; SameSite=None", "SameSite=None without Secure"),
        (b"a=1; Partitioned", "Partitioned without Secure"),
        (b"__Secure-a=1; Path=/", "a prefixed name without Secure"),
        (b"__sEcUrE-a=1; Path=/", "a prefixed name without Secure"),
        (b"__Host-a=1; Path=/", "a prefixed name without Secure"),
        (b"__Host-a=1; Secure", "__Host- with a Domain, or without Path=/"),
        (b"__Host-a=1; Secure; Path=/cart", "__Host- with a Domain, or without Path=/"),
        (b"__host-a=1; Secure; Path=/; Domain=shop.example.org", "__Host- with a Domain, or without Path=/"),
        (b"__Http-a=1; Secure", "__Http- without HttpOnly"),
        (b"__Host-Http-a=1; Secure; Path=/", "__Http- without HttpOnly"),
        (b"__Host-a; Secure; Path=/", "a prefix in the value of a nameless cookie"),
    ],
)
def test_what_no_browser_stores_is_refused_with_its_reason(field: bytes, reason: str) -> None:
    """Each rule of sections 5.6 and 5.7 drops the field and says so."""
    jar = stored(field)
    assert len(jar) == 0
    assert jar.refusals == [Refusal(field.partition(b";")[0].partition(b"=")[0].strip(), reason)]


@pytest.mark.parametrize(
    "field",
    [
        b"a=" + b"x" * 4095,
        b"a=1; SameSite=None; Secure",
        b"__Secure-a=1; Secure",
        b"__Host-a=1; Secure; Path=/",
        b"__Host-a=1; Secure; Path=/; Domain=",
        b"__Http-a=1; Secure; HttpOnly",
        b"__Host-Http-a=1; Secure; HttpOnly; Path=/",
        b"nameless",
        b"a=1; Domain=.EXAMPLE.org",
        b"a=\xff\xfe\tz",
        b"a=",
    ],
)
def test_what_browsers_store_is_stored(field: bytes) -> None:
    """The same rules let through what stays within them."""
    jar = stored(field)
    assert len(jar) == 1
    assert jar.refusals == []


def test_a_nameless_cookie_is_sent_as_its_value() -> None:
    """A field without an equals sign has no name and goes back the same way."""
    assert stored(b"flag; Path=/").header(HTTPS, NOW) == [b"flag"]


def test_attributes_that_make_no_sense_are_ignored() -> None:
    """Unknown ones, ones longer than 1,024 octets, and numbers that are none change nothing."""
    cookie = only(
        stored(b"a=1; Colour=red; Path=/" + b"p" * 1024 + b"; Max-Age=1e3; Expires=soon; SameSite=maybe; Domain=;;")
    )
    assert cookie.path == "/cart"
    assert cookie.expires == math.inf
    assert cookie.same_site == "default"
    assert cookie.host_only


def test_the_last_of_two_attributes_counts() -> None:
    """Of two paths the later one is taken."""
    assert only(stored(b"a=1; Path=/x; Path=/y")).path == "/y"


@pytest.mark.parametrize(
    ("attributes", "expires"),
    [
        (b"", math.inf),
        (b"; Max-Age=60", NOW + 60),
        (b"; Max-Age=0000000000060", NOW + 60),
        (b"; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", NOW + 60),
        (b"; Max-Age=" + b"9" * 1000, NOW + 400 * 86400),
        (b"; Expires=Fri, 15 Jan 2027 08:01:00 GMT", NOW + 60),
        (b"; expires=Friday, 15-Jan-27 08:01:00 GMT", NOW + 60),
        (b"; Expires=Fri Jan 15 08:01:00 2027", NOW + 60),
        (b"; Expires=Tue, 01 Jan 2199 00:00:00 GMT", NOW + 400 * 86400),
        (b"; Expires=08:01:00 Jan 2027", math.inf),
        (b"; Expires=15 Jan 1600 08:01:00", math.inf),
        (b"; Expires=31 Feb 2027 08:01:00", math.inf),
        (b"; Expires=15 Jan 2027 25:01:00", math.inf),
    ],
)
def test_the_end_of_a_cookie(attributes: bytes, expires: float) -> None:
    """Max-Age goes before Expires, no cookie outlives 400 days, and a date in any of the old spellings is read."""
    assert only(stored(b"a=1" + attributes)).expires == expires


@pytest.mark.parametrize(
    "attributes",
    [b"Max-Age=0", b"Max-Age=-5", b"Expires=Thu, 01 Jan 1970 00:00:00 GMT", b"Expires=Sun, 06-Nov-94 08:49:37 GMT"],
)
def test_a_cookie_of_the_past_deletes(attributes: bytes) -> None:
    """An expired field removes the cookie of the same name, domain and path, and no other."""
    jar = stored(b"a=1; Path=/", b"a=2; Path=/cart")
    jar.store([(b"set-cookie", b"a=null; Path=/; " + attributes)], HTTPS, NOW)
    assert jar.header(HTTPS, NOW) == [b"a=2"]


def test_a_cookie_ends_by_itself() -> None:
    """At its last second it is gone."""
    jar = stored(b"a=1; Max-Age=10", b"b=2")
    assert jar.header(HTTPS, NOW + 9.9) == [b"a=1; b=2"]
    assert jar.header(HTTPS, NOW + 10) == [b"b=2"]
    assert len(jar) == 1
    jar.close_browser()
    assert len(jar) == 0


# --- the jar: storing and sending -------------------------------------------------------------------------------------


def test_the_same_cookie_is_replaced_in_its_place() -> None:
    """A new value keeps the cookie's place in the order; another path makes another cookie, the longer path first."""
    jar = stored(b"a=1; Path=/", b"b=1; Path=/")
    jar.store([(b"set-cookie", b"a=2; Path=/"), (b"set-cookie", b"a=3; Path=/cart")], HTTPS, NOW)
    assert jar.header(HTTPS, NOW) == [b"a=3; a=2; b=1"]
    assert jar.get("a") == b"3"


def test_duplicates_in_one_response_are_noted() -> None:
    """RFC 6265bis forbids a server to set one name twice in one response."""
    jar = stored(b"a=1", b"b=2", b"a=3; Path=/elsewhere")
    assert jar.duplicates == [b"a"]


@pytest.mark.parametrize(
    ("path", "url", "sent"),
    [
        ("/", "https://shop.example.org", True),
        ("/cart", "https://shop.example.org/cart", True),
        ("/cart", "https://shop.example.org/cart/", True),
        ("/cart/", "https://shop.example.org/cart/x", True),
        ("/cart", "https://shop.example.org/cartoon", False),
        ("/cart/", "https://shop.example.org/cart", False),
        ("cart", "https://shop.example.org/cart/y", True),
        ("cart", "https://shop.example.org/", False),
    ],
)
def test_paths(path: str, url: str, *, sent: bool) -> None:
    """A cookie goes to its path and below it; a path that is none is that of the page."""
    assert bool(stored(f"a=1; Path={path}".encode()).header(url, NOW)) is sent


@pytest.mark.parametrize(
    ("domain", "host", "sent"),
    [
        ("", "shop.example.org", True),
        ("", "www.shop.example.org", False),
        ("", "example.org", False),
        ("example.org", "example.org", True),
        ("example.org", "other.example.org", True),
        ("example.org", "otherexample.org", False),
    ],
)
def test_domains(domain: str, host: str, *, sent: bool) -> None:
    """Without Domain a cookie is its host's alone; with one it is that domain's and all below."""
    assert bool(stored(f"a=1; Path=/; Domain={domain}".encode()).header(f"https://{host}/", NOW)) is sent


def test_an_address_is_no_domain() -> None:
    """An IP address has no parts, and a host of one label may name itself."""
    assert stored(b"a=1; Domain=0.0.1", url="https://127.0.0.1/").refusals
    assert only(stored(b"a=1; Domain=127.0.0.1", url="https://127.0.0.1/")).domain == "127.0.0.1"
    assert only(stored(b"a=1; Domain=localhost", url="https://localhost/")).host_only


def test_secure_cookies_need_a_secure_connection() -> None:
    """They are neither taken from plain http, nor sent over it, nor shadowed by it."""
    assert stored(b"a=1; Secure", url=HTTP).refusals == [Refusal(b"a", "Secure over an insecure connection")]
    jar = stored(b"a=1; Secure; Path=/")
    assert jar.header(HTTP, NOW) == []
    assert jar.header("wss://shop.example.org/", NOW) == [b"a=1"]
    jar.store([(b"set-cookie", b"a=evil; Path=/cart"), (b"set-cookie", b"b=1")], HTTP, NOW)
    assert jar.refusals == [Refusal(b"a", "a Secure cookie of that name is there")]
    assert jar.header(HTTP, NOW) == [b"b=1"]


@pytest.mark.parametrize(
    ("host", "sent"),
    [("localhost", True), ("a.localhost", True), ("127.0.0.7", True), ("[::1]", True), ("192.0.2.1", False)],
)
def test_loopback_may_count_as_secure(host: str, *, sent: bool) -> None:
    """On request, plain http to this machine passes for secure, as it does in Chrome and Firefox."""
    jar = CookieJar(trust_loopback=True)
    jar.store([(b"set-cookie", b"a=1; Secure; Path=/")], f"http://{host}:8000/", NOW)
    assert bool(jar.header(f"http://{host}:8000/", NOW)) is sent
    assert stored(b"a=1; Secure", url=f"http://{host}/").refusals


@pytest.mark.parametrize(
    ("same_site", "navigation", "post", "frame"),
    [
        ("Strict", False, False, False),
        ("Lax", True, False, False),
        ("None", True, True, True),
        ("x", True, False, False),
    ],
)
def test_same_site(same_site: str, *, navigation: bool, post: bool, frame: bool) -> None:
    """What another site's page asks for carries lax cookies on safe navigations only, and strict ones never."""
    jar = stored(f"a=1; Secure; SameSite={same_site}".encode())
    assert jar.header(HTTPS, NOW, method="POST") == [b"a=1"]
    assert bool(jar.header(HTTPS, NOW, same_site=False)) is navigation
    assert bool(jar.header(HTTPS, NOW, same_site=False, method="POST")) is post
    assert bool(jar.header(HTTPS, NOW, same_site=False, top_level=False)) is frame
    assert len(stored(f"a=1; Secure; SameSite={same_site}".encode(), same_site=False)) == frame


def test_partitioned_cookies_belong_to_a_site_at_the_top() -> None:
    """The same frame in another page has another jar."""
    field = b"a=%d; Secure; SameSite=None; Partitioned; Path=/"
    jar = stored(field % 1, partition="one.example")
    jar.store([(b"set-cookie", field % 2)], HTTPS, NOW, partition="two.example")
    assert jar.header(HTTPS, NOW, partition="one.example") == [b"a=1"]
    assert jar.header(HTTPS, NOW, partition="two.example") == [b"a=2"]
    assert jar.header(HTTPS, NOW) == []


def test_a_partition_holds_10240_octets() -> None:
    """What was used longest ago makes room; another partition is not touched."""
    field = b"%b=" + b"x" * 3999 + b"; Secure; SameSite=None; Partitioned"
    jar = stored(field % b"o", partition="other.example")
    for name in (b"a", b"b", b"c"):
        jar.store([(b"set-cookie", field % name)], HTTPS, NOW)
    assert jar.evicted == [b"a"]
    assert len(jar) == 3


def test_a_domain_holds_a_number_of_cookies() -> None:
    """The insecure go before the secure, and of these the one that was not used for longest."""
    jar = CookieJar(max_per_domain=3)
    for field in (b"s=1; Secure; Path=/", b"a=1; Path=/a", b"b=1; Path=/b"):
        jar.store([(b"set-cookie", field)], HTTPS, NOW)
    assert jar.header("https://shop.example.org/a", NOW) == [b"a=1; s=1"]
    jar.store([(b"set-cookie", b"c=1; Path=/")], HTTPS, NOW)
    assert jar.evicted == [b"b"]
    jar.store([(b"set-cookie", b"d=1; Path=/")], "https://other.example.org/", NOW)
    assert jar.evicted == [b"b"]


def test_a_copy_goes_its_own_way() -> None:
    """A second tab starts with the same cookies; what it gets later is its own."""
    jar = stored(b"a=1; Path=/")
    twin = jar.copy()
    twin.store([(b"set-cookie", b"b=2; Path=/")], HTTPS, NOW)
    assert jar.header(HTTPS, NOW) == [b"a=1"]
    assert twin.header(HTTPS, NOW) == [b"a=1; b=2"]
    twin.clear()
    assert len(twin) == 0
    assert len(jar) == 1


def test_cookies_can_be_planted() -> None:
    """A forged value takes the place of the one that is there, or makes a cookie for the whole host."""
    jar = stored(b"a=1; Path=/cart")
    jar.plant("a", b"forged", HTTPS)
    jar.plant("b", b"\xff", HTTPS)
    assert jar.header(HTTPS, NOW) == [b"a=forged; b=\xff"]
    assert jar.header("https://shop.example.org/", NOW) == [b"b=\xff"]


def test_reprs_show_no_value() -> None:
    """Values of cookies appear in no repr."""
    jar = stored(b"a=planted-value; Path=/")
    assert repr(jar) == "<CookieJar of 1>"
    assert repr(only(jar)) == "<Cookie b'a' of shop.example.org/, 13 octets>"
    assert repr(AsgiClient(echo, jar=jar)) == "<AsgiClient https://testserver <CookieJar of 1>>"


# --- the clock --------------------------------------------------------------------------------------------------------


def test_a_clock_that_stands() -> None:
    """It moves when told to, and can be set back."""
    clock = FixedClock(100.0)
    assert clock() == clock() == 100.0
    clock.advance(2.5)
    assert clock() == 102.5
    clock.now = 50.0
    assert clock() == 50.0
    assert repr(clock) == "<FixedClock 50.0>"


# --- the client: http -------------------------------------------------------------------------------------------------


async def echo(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """Answer with what the request was, and count it in a cookie."""
    body = b""
    more = True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    lines = [f"{scope['method']} {scope['scheme']} {scope['path']}?{scope['query_string'].decode()}".encode(), body]
    lines += [name + b": " + value for name, value in scope["headers"]]
    headers = [(b"set-cookie", b"n=1; Path=/"), (b"set-cookie", b"m=2; Path=/")]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": b"\n".join(lines), "more_body": True})
    await send({"type": "http.response.body"})


async def test_a_request_and_its_answer() -> None:
    """Method, path, body and headers arrive; status, headers and body come back; cookies are kept and sent."""
    client = AsgiClient(echo)
    first = await client.get("/a%20b?c=d")
    assert first.status == 201
    assert first.text == "GET https /a b?c=d\n\nhost: testserver"
    assert first.set_cookies == [b"n=1; Path=/", b"m=2; Path=/"]
    assert first.messages == client.messages
    assert [message["type"] for message in first.messages] == ["http.response.start", *["http.response.body"] * 2]
    second = await client.post("/", body=[b"x", b"y"], headers=[(b"x-a", b"1"), (b"x-a", b"2")])
    assert second.text == "POST https /?\nxy\nhost: testserver\nx-a: 1\nx-a: 2\ncookie: n=1; m=2"


async def test_cookie_fields_can_be_many_or_of_ones_own() -> None:
    """A test may split the Cookie field, or write it."""
    client = AsgiClient(echo)
    await client.get()
    assert (await client.get(crumbs=True)).text.endswith("cookie: n=1\ncookie: m=2")
    assert (await client.get(cookies=[b"\xff", b"y=1"])).body.endswith(b"testserver\ncookie: \xff\ncookie: y=1")
    assert (await client.get(cookies=[])).text.endswith("testserver")


async def test_the_scope_can_be_changed() -> None:
    """Entries of the scope, the specification's version and the client's address are the test's to choose."""
    seen: list[MutableMapping[str, Any]] = []

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        seen.append(scope)
        await echo(scope, receive, send)

    client = AsgiClient(app, base_url="http://localhost:81", client=None, spec_version="2.0")
    await client.get("/x", scope={"root_path": "/app", "extensions": {}})
    assert seen[0]["root_path"] == "/app"
    assert seen[0]["extensions"] == {}
    assert seen[0]["client"] is None
    assert seen[0]["server"] == ("localhost", 81)
    assert seen[0]["asgi"] == {"version": "3.0", "spec_version": "2.0"}
    assert "state" not in seen[0]


async def test_an_error_comes_out_as_it_was_raised() -> None:
    """What the application raises is not wrapped, and what it sent before has set its cookies."""

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"set-cookie", b"a=1")]})
        raise KeyError("late")

    client = AsgiClient(app)
    with pytest.raises(KeyError, match="late"):
        await client.get()
    assert client.jar.get("a") == b"1"
    assert len(client.messages) == 1


async def test_a_response_is_owed() -> None:
    """An application that answers nothing, or only an early hint, is at fault."""

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 103})

    with pytest.raises(RuntimeError, match="without a response"):
        await AsgiClient(app).get()


async def test_the_browser_leaves_after_the_last_part() -> None:
    """``receive`` waits until the response is complete, and then tells that the browser has gone."""
    seen: list[str] = []

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        async def listen() -> None:
            seen.append((await receive())["type"])
            seen.append((await receive())["type"])

        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.trailers"})
            await anyio.wait_all_tasks_blocked()
            assert seen == ["http.request"]
            await send({"type": "http.response.body", "body": b"x"})

    assert (await AsgiClient(app).get()).body == b"x"
    assert seen == ["http.request", "http.disconnect"]


async def test_sending_can_fail() -> None:
    """What the test raises at a message, the application gets, and the message does not count as sent."""

    async def broken(message: Message) -> None:
        await anyio.lowlevel.checkpoint()
        raise OSError(message["type"])

    client = AsgiClient(echo)
    with pytest.raises(OSError, match=r"http\.response\.start"):
        await client.get(on_send=broken)
    assert client.messages == []
    assert len(client.jar) == 0


# --- the client: lifespan ---------------------------------------------------------------------------------------------


def living(*, startup: str = "complete", shutdown: str = "complete") -> Callable[..., Awaitable[None]]:
    """Return an application with a lifespan that ends its phases like this."""

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": scope["state"]["word"]})
            return
        assert (await receive())["type"] == "lifespan.startup"
        scope["state"]["word"] = b"up"
        await send({"type": f"lifespan.startup.{startup}"})
        assert (await receive())["type"] == "lifespan.shutdown"
        await send({"type": f"lifespan.shutdown.{shutdown}", "message": "no"})

    return app


async def test_a_lifespan_on_request() -> None:
    """It runs around what stands inside, and its state reaches every request."""
    client = AsgiClient(living())
    async with client.lifespan() as state:
        assert state == {"word": b"up"}
        assert (await client.get()).body == b"up"
    assert client.state is None
    with pytest.raises(KeyError, match="state"):
        await client.get()


async def test_a_lifespan_that_fails() -> None:
    """Either phase may fail; an error inside comes out as it is, after the shutdown."""
    with pytest.raises(LifespanFailed):
        async with AsgiClient(living(startup="failed")).lifespan():
            raise AssertionError
    with pytest.raises(LifespanFailed, match="no"):
        async with AsgiClient(living(shutdown="failed")).lifespan():
            pass
    client = AsgiClient(living())
    with pytest.raises(ZeroDivisionError):
        async with client.lifespan():
            raise ZeroDivisionError
    await AsgiClient(echo).get()


async def test_a_lifespan_that_is_not_spoken() -> None:
    """An application that raises or returns at once has none."""

    async def deaf(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        return

    with pytest.raises(LifespanFailed, match=r"without an answer to lifespan\.startup"):
        async with AsgiClient(deaf).lifespan():
            raise AssertionError
    with pytest.raises(KeyError, match="body"):
        async with AsgiClient(echo).lifespan():
            raise AssertionError


# --- the client: websockets -------------------------------------------------------------------------------------------


async def chat(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """Accept and echo frames until told to stop; refuse other paths in every way there is."""
    assert (await receive())["type"] == "websocket.connect"
    match scope["path"]:
        case "/closed":
            await send({"type": "websocket.close", "code": 1008})
        case "/denied":
            headers = [(b"set-cookie", b"d=1")]
            await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
            await send({"type": "websocket.http.response.body", "body": b"no", "more_body": True})
            await send({"type": "websocket.http.response.body", "body": b"!"})
        case "/silent":
            return
        case "/deaf":
            await send({"type": "websocket.accept"})
            await anyio.sleep_forever()
        case _:
            assert scope["scheme"] == "wss"
            accept = {"headers": [(b"set-cookie", b"w=1")], "subprotocol": (scope["subprotocols"] or [None])[-1]}
            await send({"type": "websocket.accept"} | accept)
            while (message := await receive())["type"] == "websocket.receive":
                if message.get("text") == "stop":
                    await send({"type": "websocket.close"})
                    raise KeyError("stopped")
                await send({**message, "type": "websocket.send"})


async def test_a_websocket() -> None:
    """Frames go both ways, and the handshake's cookies are kept."""
    client = AsgiClient(chat)
    async with client.websocket("/", subprotocols=["a", "b"]) as socket:
        assert socket.accepted
        assert socket.subprotocol == "b"
        assert socket.headers == [(b"set-cookie", b"w=1")]
        assert client.jar.get("w") == b"1"
        await socket.send_text("hello")
        assert await socket.receive_text() == "hello"
        await socket.send_bytes(b"\0")
        assert await socket.receive_bytes() == b"\0"
        socket.close(1001)
        with pytest.raises(EOFError, match="has ended"):
            await socket.receive()
    assert [message["type"] for message in client.messages] == ["websocket.accept", *["websocket.send"] * 2]
    assert socket.close_code is None


async def test_a_websocket_that_is_refused() -> None:
    """A close before the handshake, a denial response, and silence are told apart."""
    client = AsgiClient(chat)
    async with client.websocket("/closed") as socket:
        assert not socket.accepted
        assert socket.close_code == 1008
    async with client.websocket("/denied") as socket:
        assert not socket.accepted
        assert socket.denial is not None
        assert socket.denial.status == 401
        assert socket.denial.body == b"no!"
        assert client.jar.get("d") == b"1"
    with pytest.raises(EOFError):
        async with client.websocket("/silent"):
            raise AssertionError


async def test_errors_around_a_websocket() -> None:
    """The application's error comes out on leaving, the test's own as it is; nobody waits for a deaf application."""
    client = AsgiClient(chat)
    socket = client.websocket("/")
    with pytest.raises(KeyError, match="stopped"):
        async with socket:
            await socket.send_text("stop")
    assert socket.close_code == 1000
    with pytest.raises(ZeroDivisionError):
        async with client.websocket("/"):
            raise ZeroDivisionError
    with pytest.raises(TimeoutError):
        async with client.websocket("/deaf"):
            pass
