"""Cookies that a neighbouring domain puts in front of a session's."""

from __future__ import annotations

from sessionkit.testing import FixedClock
from sessionkit.wire.cookies import MAX_DUPLICATES
from tests.middleware.hosting import Stage


async def test_cookies_of_longer_paths_do_not_crowd_a_session_out() -> None:
    """However many cookies of its name come before it, the session opens and its cookie is not cleared."""
    stage = Stage()
    assert isinstance(stage.clock, FixedClock)
    await stage.count()
    [(name, value)] = stage.cookies.items()
    junk = [b"session=junk-%d" % number for number in range(2 * MAX_DUPLICATES)]
    stage.client.jar.clear()
    response = await stage.client.get("/read", headers=[(b"cookie", b"; ".join([*junk, name.encode() + b"=" + value]))])
    assert response.values(b"x-count") == [b"1"]
    assert response.values(b"set-cookie") == []
