"""A page for probes and people: whether sessions can be served now, and under which ring. Holds no secret.

What makes it unhealthy (503) is what makes requests with a session fail: the actor does not answer a message put to it
as any request would, or it is stopping. A keyring file that is refused, or audit lines that a sink did not take, only
degrade it (200, named under ``problems``): the ring in force serves every session there is, and a bad file reaches all
processes at once, so that a probe that failed for it would take the whole service down for no reason. So does a list of
revocations that does not answer: it is away for all processes, and none of them would be better for a restart.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sessionkit.backend.lifecycle import ActorState
from sessionkit.backend.messages import Inspect, Inspected
from sessionkit.exceptions import ActorError

if TYPE_CHECKING:
    from sessionkit.asgi import Scope, Send
    from sessionkit.backend.service import SessionService

__all__ = ["answer", "report"]

_ACTOR = ("state", "depth", "high_water", "handled", "failed", "rejected", "inline", "restarts", "uptime")
"""Figures of the actor worth a look from outside."""


async def report(service: SessionService) -> dict[str, Any]:
    """Return how a service is: ``status`` is ``ok``, ``degraded`` or ``unhealthy``, ``problems`` says why."""
    wrong: list[str] = []
    inspected: Inspected | None = None
    try:
        reply = await service.ask(Inspect())
    except ActorError as error:
        wrong.append(f"actor: {type(error).__name__}")
    else:
        inspected = reply if isinstance(reply, Inspected) else None
    stats = service.stats()
    if stats["state"] == ActorState.DRAINING.value:
        wrong.append("actor: stopping")
    lesser = [
        problem
        for count, problem in (
            (stats["reload_failures"], "keyring: the file is refused, the ring before it serves"),
            (stats["audit_failures"], "audit: lines were lost"),
            (stats["revocation_unavailable"], "revocation: the list does not answer, the policy holds"),
        )
        if count
    ]
    return {
        "status": "unhealthy" if wrong else "degraded" if lesser else "ok",
        "problems": wrong + lesser,
        "instance": service.log.instance,
        "digest": stats["digest"],
        "generation": stats["generation"],
        "active_kid": None if inspected is None else inspected.active_kid,
        "keys": None if inspected is None else dict(inspected.counts),
        "hosted": service.hosted,
        "reload_failures": stats["reload_failures"],
        "audit_failures": stats["audit_failures"],
        "actor": {name: stats[name] for name in _ACTOR},
    }


async def answer(service: SessionService, scope: Scope, send: Send) -> None:
    """Answer a request for the page."""
    method = scope.get("method", "GET")
    if method not in {"GET", "HEAD"}:
        await _respond(send, 405, b"", (b"allow", b"GET, HEAD"))
        return
    told = await report(service)
    body = json.dumps(told).encode("ascii")
    status = 503 if told["status"] == "unhealthy" else 200
    await _respond(send, status, body, (b"content-type", b"application/json"), head=method == "HEAD")


async def _respond(send: Send, status: int, body: bytes, header: tuple[bytes, bytes], *, head: bool = False) -> None:
    length = str(len(body)).encode("ascii")
    headers = [header, (b"content-length", length), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})
