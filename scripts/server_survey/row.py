"""What was found out of one server: a row of the table."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Row"]


@dataclass(slots=True)
class Row:
    """One server. What is ``None`` could not be found out.

    Attributes:
        server: its name.
        versions: of what it is made of.
        http: the version that the application was told.
        loop: the library whose loop ran the application.
        hosted: whether the server runs the application's lifespan.
        large: cookies of the larger of the sessions it was asked with: three, if it takes so many.
        walked: whether a session of one cookie and the larger one were kept, grew, shrank and were cleared.
        fields: Cookie fields that arrive of as many as the larger session has cookies.
        rotated: whether no session was lost while the keys changed.
        reads: answers that showed a session meanwhile.
        lag: seconds from the end of the command to the first answer of the last worker under the new ring.
        socket: whether websockets get the session; ``None`` also if the server offers none over this HTTP.
        accept_cookies: whether Set-Cookie arrives with the accepted handshake.
        refusal_cookies: whether it arrives with a handshake that the application refuses.
        largest: octets of the longest Cookie header that is accepted.
        refused: how a longer one is answered; ``None`` if none was tried that is not accepted.
        cookies: of the longest session that comes back.
        socket_cookies: of the longest one that a websocket gets.
        socket_refused: how the handshake of a longer one is answered, as ``refused``.
        seconds: that all this took.
        troubles: what does not hold and has to.
    """

    server: str
    versions: dict[str, str]
    http: str | None = None
    loop: str | None = None
    hosted: bool | None = None
    large: int | None = None
    walked: bool | None = None
    fields: int | None = None
    rotated: bool | None = None
    reads: int | None = None
    lag: float | None = None
    socket: bool | None = None
    accept_cookies: bool | None = None
    refusal_cookies: bool | None = None
    largest: int | None = None
    refused: str | None = None
    cookies: int | None = None
    socket_cookies: int | None = None
    socket_refused: str | None = None
    seconds: float = 0.0
    troubles: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether all holds that has to."""
        return not self.troubles
