"""Group P: sessions that are large, too large, or among too many other cookies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sessionkit.exceptions import SessionTooLargeError
from tests.middleware.apps import Site, answer, noise, page

if TYPE_CHECKING:
    from sessionkit.asgi import Receive, Scope, Send
    from sessionkit.session import Session


async def test_a_session_over_the_limit() -> None:
    """Case 161: too large a session is an error with sizes and the largest entries, and the old one stays."""
    site = Site(max_chunks=3)
    await site.write(user="ann")
    before = site.cookies()

    with pytest.raises(SessionTooLargeError) as caught:
        await site.write(cart=noise(9_000), history=noise(5_000), seen=noise(700), tiny="x")

    assert [name for name, _ in caught.value.largest] == ["cart", "history", "seen"]
    assert [octets for _, octets in caught.value.largest] == [9_000 + 11, 5_000 + 14, 700 + 11]
    assert caught.value.limit < caught.value.size
    assert caught.value.chunks > caught.value.max_chunks == 3
    assert noise(20) not in str(caught.value)
    assert site.client.messages == []
    assert site.cookies() == before
    (line,) = site.log.named("session.oversized")
    assert line["largest_key"] == "cart"
    assert line["size"] == caught.value.size


async def test_a_new_session_over_the_limit() -> None:
    """Case 161: also one that was put in the session's place and is no dict, whose entries cannot be told."""

    class Model:
        def __init__(self) -> None:
            self.text = noise(5_000)

    site = Site(max_chunks=1, type_encoders={Model: vars})
    with pytest.raises(SessionTooLargeError) as caught:
        await site.run(page(lambda scope: scope.update(session=Model())))

    assert caught.value.largest == ()
    assert "largest_key" not in site.log.named("session.oversized")[0]


async def test_an_application_answers_a_session_over_the_limit() -> None:
    """Case 161: an application may catch the error where it sends, and answer something else."""
    site = Site(max_chunks=1)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["session"]["text"] = noise(5_000)
        try:
            await answer(send)
        except SessionTooLargeError:
            await answer(send, status=413)

    response = await site.run(app)

    assert response.status == 413
    assert response.set_cookies == []


async def test_a_large_session_is_told() -> None:
    """Case 162: from 7.5 kB on a session is told as large, whatever the configured limit."""
    site = Site()

    await site.write(text=noise(5_000))
    assert site.log.named("session.large") == []
    await site.write(text=noise(5_700))

    (line,) = site.log.named("session.large")
    assert (line["what"], line["limit"], line["chunks"]) == ("session", 7_500, 2)
    assert line["size"] >= 7_500


async def test_a_large_cookie_header_is_told() -> None:
    """Case 163: so is a request whose cookies together, ours and others, near what servers take."""
    site = Site()
    await site.write(user="ann")
    site.jar.plant("analytics", b"x" * 4_000, site.client.base_url)
    site.jar.plant("adverts", b"x" * 3_500, site.client.base_url)

    await site.visit()

    (line,) = site.log.named("session.large")
    assert line["what"] == "request_cookies"
    assert line["size"] == sum(map(len, site.jar.header(site.client.base_url, site.clock.now)))


async def test_partitioned_sessions() -> None:
    """Case 164: a partitioned session is refused where browsers would evict it, not before."""
    site = Site(partitioned=True, secure=True, max_chunks=8)

    await site.write(text=noise(7_400))
    assert site.jar.evicted == []
    assert await site.read() == {"text": noise(7_400)}
    with pytest.raises(SessionTooLargeError) as caught:
        await site.write(text=noise(7_650))

    assert caught.value.limit < 10_240
    assert await site.read() == {"text": noise(7_400)}


async def test_messages_that_pile_up() -> None:
    """Case 167: messages kept for a next page go when they are shown, and the cookie shrinks again."""
    site = Site()

    def add(session: Session) -> None:
        session.setdefault("messages", []).append(noise(2_000))

    for _ in range(3):
        await site.visit(add)
    assert len(site.cookies()) == 3

    await site.visit(lambda session: session.pop("messages"))

    assert site.cookies() == {}
