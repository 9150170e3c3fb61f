"""A Django project with sessions: its pages and what its ``asgi.py`` would hold. Its settings are beside it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import django
from django.core.asgi import get_asgi_application
from django.http import JsonResponse
from django.test import override_settings
from django.urls import path

from sessionkit.contrib.django import around

if TYPE_CHECKING:
    from django.http import HttpRequest

    from sessionkit import Keyring, SessionConfig
    from sessionkit.asgi import ASGIApp, Receive, Scope, Send

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.apps.django_settings")
django.setup()


async def read(request: HttpRequest) -> JsonResponse:
    """Tell what the session holds."""
    return JsonResponse(dict(await request.session.aitems()))


async def write(request: HttpRequest) -> JsonResponse:
    """Merge a JSON object into the session."""
    await request.session.aupdate(json.loads(request.body))
    return JsonResponse(None, safe=False)


def nested(request: HttpRequest) -> JsonResponse:
    """Change a list inside the session, and nothing at its top; in a thread."""
    request.session["list"].append("more")
    return JsonResponse(None, safe=False)


async def login(request: HttpRequest) -> JsonResponse:
    """Give the session a new id, as Django's own login does."""
    before = request.session.session_key
    await request.session.acycle_key()
    await request.session.aset("user", "ann")
    return JsonResponse({"before": before, "after": request.session.session_key})


async def logout(request: HttpRequest) -> JsonResponse:
    """End the session."""
    await request.session.aflush()
    return JsonResponse(None, safe=False)


def clear(request: HttpRequest) -> JsonResponse:
    """Empty the session."""
    request.session.clear()
    return JsonResponse(None, safe=False)


def big(request: HttpRequest) -> JsonResponse:
    """Store n characters."""
    request.session["big"] = "x" * int(request.GET["n"])
    return JsonResponse(None, safe=False)


async def health(request: HttpRequest) -> JsonResponse:
    """Answer without a session."""
    return JsonResponse({"session": "session" in request.scope})


async def boom(request: HttpRequest) -> JsonResponse:
    """Fail after a write."""
    request.session["lost"] = True
    raise LookupError("boom")


urlpatterns = [
    path("read", read),
    path("write", write),
    path("nested", nested),
    path("login", login),
    path("logout", logout),
    path("clear", clear),
    path("big", big),
    path("health", health),
    path("boom", boom),
]


async def ws(scope: Scope, receive: Receive, send: Send) -> None:
    """Count in the session before accepting, then tell the count; beside Django, which has no websockets."""
    session = scope["session"]
    session["sockets"] = session.get("sockets", 0) + 1
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": str(session["sockets"])})
    await send({"type": "websocket.close"})


def application(
    keyring: Keyring | str = "config/keyring.yaml", *, config: SessionConfig | None = None, **options: Any
) -> ASGIApp:
    """Return the application.

    Args:
        keyring: a ring, or the path of its file.
        config: settings of the session, as the other applications take them.
        options: entries of ``SESSIONKIT``, in lower case.
    """
    if config is not None:
        options |= {name: getattr(config, name) for name in config.model_fields_set}
    own = {name.upper(): value for name, value in options.items()}
    with override_settings(SESSIONKIT={"KEYRING": keyring, **own}):
        pages = get_asgi_application()

        async def site(scope: Scope, receive: Receive, send: Send) -> None:
            await (ws if scope["type"] == "websocket" else pages)(scope, receive, send)

        return around(site)  # shown
