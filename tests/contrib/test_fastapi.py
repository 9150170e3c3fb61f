"""FastAPI's dependencies: the session, and a model inside it."""

from __future__ import annotations

import json

import pytest
from fastapi import FastAPI

from sessionkit.contrib.fastapi import CurrentSession  # noqa: TC001 - FastAPI looks annotations up here
from sessionkit.exceptions import ConfigurationError
from sessionkit.testing import AsgiClient, FixedClock
from sessionkit.typed import TypedSessionError
from tests.apps.fastapi_app import application
from tests.middleware.apps import Log, ring


def client() -> AsgiClient:
    """Return a browser in front of the complete application."""
    clock = FixedClock()
    return AsgiClient(application(ring(), clock=clock, logger=Log()), clock=clock)


async def test_a_typed_session_is_kept() -> None:
    """The model's change is saved, and comes back as the model on the next request."""
    browser = client()
    await browser.post("/cart/tea")
    assert (await browser.post("/cart/tea")).text == '{"tea":2}'
    assert json.loads((await browser.get("/read")).text) == {"cart": {"version": 1, "data": {"items": {"tea": 2}}}}


async def test_data_that_does_not_fit_is_an_error_of_the_route() -> None:
    """The route fails with a typed error, the session stays, other routes go on."""
    browser = client()
    held = {"cart": {"items": {"tea": "many"}}}
    await browser.post("/write", body=json.dumps(held).encode(), headers=[(b"content-type", b"application/json")])
    with pytest.raises(TypedSessionError, match=r"items\.tea \(int_parsing\)"):
        await browser.post("/cart/tea")
    assert json.loads((await browser.get("/read")).text) == held


async def test_a_route_without_a_session_says_so() -> None:
    """Without the middleware the dependency names what is missing, instead of failing later on a dict."""
    app = FastAPI()

    @app.get("/")
    async def page(session: CurrentSession) -> int:
        return len(session)

    with pytest.raises(ConfigurationError, match="session: is asked for on a route that has none of sessionkit's"):
        await AsgiClient(app).get("/")
