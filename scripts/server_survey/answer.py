"""What a server answered, by whichever client it was asked."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Answer"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        status: of HTTP; 0 if there was none.
        headers: as they came.
        body: of the response, or the first message of a websocket.
        refused: what came instead of HTTP, if something did.
    """

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    refused: str = ""

    @property
    def told(self) -> dict[str, Any]:
        """What the application told; nothing if it was not the application that answered."""
        try:
            told = json.loads(self.body)
        except ValueError:
            return {}
        return told if isinstance(told, dict) else {}

    @property
    def said(self) -> str:
        """How it was answered, in short."""
        return self.refused or (str(self.status) if self.status else "the connection is closed")

    @property
    def sets_cookies(self) -> bool:
        """Whether it sets any."""
        return any(name.lower() == b"set-cookie" for name, _ in self.headers)
