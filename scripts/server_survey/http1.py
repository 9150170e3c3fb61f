"""A connection of HTTP/1.1 as far as httpx has none: a header that comes in two parts, and websockets.

From a browser far away a long header comes in parts, and servers measure what they have before it is whole. On loopback
it would come at once, and be let through. So its end comes a moment later here. (On a machine so busy that a server
sees both parts at once, its limit comes out larger than it is.)
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from server_survey.answer import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio.abc import ByteStream
    from websockets.datastructures import Headers

    Fields = Sequence[tuple[bytes, bytes]]

__all__ = ["get", "socket"]

GRACE = 0.05
"""Seconds that a server is given to object to a header that lacks its end."""

_END = b"\r\n\r\n"


async def get(host: str, port: int, path: str, headers: Fields) -> Answer:
    """Make a GET request; a refusal below HTTP is an answer, too."""
    lines = [f"GET {path} HTTP/1.1".encode(), f"Host: {host}:{port}".encode(), b"Connection: close"]
    lines += [b"%b: %b" % header for header in headers]
    received = bytearray()
    async with await anyio.connect_tcp(host, port) as stream:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            received += await _begin(stream, b"\r\n".join(lines) + _END)
            while True:
                received += await stream.receive()
    head, _, body = bytes(received).partition(_END)
    if not head.startswith(b"HTTP/1."):
        return Answer()
    return Answer(int(head.split(b" ", 2)[1]), body=body)


async def socket(host: str, port: int, path: str, headers: Fields) -> Answer:
    """Open a websocket and return what came before its first message, or instead of it."""
    protocol = ClientProtocol(parse_uri(f"ws://{host}:{port}{path}"))
    request = protocol.connect()
    for name, value in headers:
        request.headers[name.decode("ascii")] = value.decode("latin-1")
    protocol.send_request(request)
    answer = Answer()
    async with await anyio.connect_tcp(host, port) as stream:
        try:
            protocol.receive_data(await _begin(stream, b"".join(protocol.data_to_send())))
            while not (answer := _heard(protocol, answer)).body:
                protocol.receive_data(await stream.receive())
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            protocol.receive_eof()
    return _heard(protocol, answer)


def _heard(protocol: ClientProtocol, answer: Answer) -> Answer:
    """Return the answer with what has come since: the response, or the first message after it."""
    for event in protocol.events_received():
        if isinstance(event, Response):
            answer = Answer(event.status_code, _octets(event.headers), bytes(event.body or b""))
        elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
            answer = replace(answer, body=bytes(event.data))
    return answer


async def _begin(stream: ByteStream, head: bytes) -> bytes:
    """Send a request without its end, then that, unless the server objects before; return what it said first."""
    await stream.send(head.removesuffix(_END))
    with anyio.move_on_after(GRACE):
        return await stream.receive()
    await stream.send(_END)
    return await stream.receive()


def _octets(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.raw_items()]
