"""Without an answer the policy holds, nobody waits for long, and it is told; what ended meanwhile is told later."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sessionkit.exceptions import ConfigurationError
from sessionkit.revocation import RevocationConfig, RevocationUnavailable, guard
from sessionkit.revocation.guard import AT_ONCE, ENDED_FOR
from sessionkit.revocation.outage import FAILURES, PAUSE, QUIET
from sessionkit.testing import AsgiClient, FixedClock
from tests.middleware.apps import Site, answer
from tests.middleware.hosting import Stage
from tests.revocation.lists import Watched
from tests.revocation.test_logout import Slow, log_in, site, watched

if TYPE_CHECKING:
    from sessionkit.asgi import Receive, Scope, Send

PASSWORD = "redis://:hunter2@10.0.0.7"


def dead() -> ConnectionError:
    """Return what a list raises that is not there; its text must go nowhere."""
    return ConnectionError(f"{PASSWORD} refused the connection")


def policy(which: str, **more: Any) -> dict[str, Any]:
    """Return settings with a policy."""
    return {"revocation": RevocationConfig(policy=which, subject_key="user", **more)}


def told(here: Site | Stage) -> list[str]:
    """Return what was told of the list."""
    return [line["event"] for line in here.log.lines if line["category"] == "revocation"]


async def test_closed_is_unavailable() -> None:
    """A session that cannot be looked up is no empty one: 503, the cookie stays, the application is not called."""
    here = site(**policy("closed"))
    await here.visit(log_in())
    before = here.cookies()
    watched(here).failure = dead()
    called: list[object] = []
    response = await here.visit(called.append)
    assert (response.status, response.values(b"retry-after"), response.set_cookies) == (503, [b"1"], [])
    assert called == []
    assert here.cookies() == before
    watched(here).failure = None
    assert await here.read() == {"user": "ann"}


async def test_closed_is_unavailable_on_websockets() -> None:
    """1013, as where the actor does not answer."""
    here = site(**policy("closed"))
    await here.visit(log_in())
    watched(here).failure = dead()
    async with AsgiClient(here.middleware, jar=here.jar, clock=here.clock).websocket("/") as socket:
        assert (socket.accepted, socket.close_code) == (False, 1013)


async def test_closed_serves_who_has_no_session() -> None:
    """Visitors, and who begins a session that is nobody's."""
    here = site(**policy("closed"))
    watched(here).failure = dead()
    assert await here.read() == {}
    await here.write(n=1)
    assert here.cookies() != {}


async def test_closed_keeps_what_is_known() -> None:
    """An answer is believed until its second is over, also while the list is away."""
    here = site(**policy("closed"))
    await here.visit(log_in())
    await here.read()
    watched(here).failure = dead()
    assert await here.read() == {"user": "ann"}
    here.clock.advance(1.0)
    assert (await here.visit()).status == 503


async def test_open_serves() -> None:
    """Without an answer nothing is known, so sessions go on, and are written."""
    here = site(**policy("open"))
    await here.visit(log_in())
    watched(here).failure = dead()
    assert await here.read() == {"user": "ann"}
    await here.write(n=1)
    assert await here.read() == {"user": "ann", "n": 1}


async def test_open_knows_its_own_logouts_at_once_and_tells_them_later() -> None:
    """A logout while the list is away holds in this process, and everywhere once the list is back."""
    here = site(**policy("open"))
    revocations = watched(here)
    copies = []
    for _ in range(AT_ONCE + 3):
        here.jar.clear()
        await here.visit(log_in())
        copies.append(here.cookies())
    revocations.failure = dead()
    for cookies in copies:
        here.put(*cookies.items())
        await here.visit(lambda session: session.destroy())
        assert here.cookies() == {}
    here.put(*copies[0].items())
    assert await here.read() == {}
    elsewhere = Site(site=here, revocations=revocations, **policy("open"))
    assert await elsewhere.read() == {"user": "ann"}
    here.clock.advance(ENDED_FOR)
    revocations.failure = None
    here.jar.clear()
    await here.visit(log_in("bob"))
    assert len(revocations._terminated) == AT_ONCE
    await here.read()
    assert len(revocations._terminated) == len(copies)
    for cookies in copies:
        for everywhere in (here, elsewhere):
            here.put(*cookies.items())
            assert await everywhere.read() == {}


async def test_open_holds_on_to_what_it_knows() -> None:
    """Without an answer, what this process knows of a session and of its subject still holds; also where one writes."""
    here = site(**policy("open"))
    browsers = {}
    for name in ("ann", "bob"):
        here.jar.clear()
        await here.visit(log_in(name))
        browsers[name] = here.jar.copy()
    here.clock.advance(1.0)
    here._current = app = Slow(ann=lambda session: session.update(n=1), bob=lambda session: session.update(n=1))
    clients = {name: AsgiClient(here.middleware, jar=jar.copy(), clock=here.clock) for name, jar in browsers.items()}
    async with anyio.create_task_group() as tasks:
        for name, client in clients.items():
            tasks.start_soon(client.get, f"/{name}")
        await anyio.wait_all_tasks_blocked()
        logout = AsgiClient(here.middleware, jar=browsers["ann"].copy(), clock=here.clock)
        app.acts["out"] = lambda session: session.destroy()
        app.gates["out"] = anyio.Event()
        app.gates["out"].set()
        await logout.get("/out")
        await here.middleware.revoke_subject("bob")
        watched(here).failure = dead()
        for gate in app.gates.values():
            gate.set()
    assert sorted(line["reason"] for line in here.log.named("session.write_lost")) == ["subject", "terminated"]


async def test_what_is_untold_at_the_end_is_told_then() -> None:
    """The last lifespan of a process hands over what it kept; a list that is still away keeps nobody."""
    for back in (True, False):
        stage = Stage(_logout, **policy("open", memory=True))
        revocations = Watched(clock=stage.clock)
        stage.middleware.gate._guard._list = revocations  # type: ignore[union-attr]  # in memory until here
        async with stage.client.lifespan():
            await stage.client.get("/login")
            revocations.failure = dead()
            await stage.client.get("/logout")
            if back:
                revocations.failure = None
                stage.middleware.gate._guard._outage.note_answer()  # type: ignore[union-attr]  # somebody else's
        assert len(revocations._terminated) == back
        assert revocations.closed == 1


async def _logout(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/login":
        scope["session"]["user"] = "ann"
    else:
        scope["session"].destroy()
    await answer(send)


async def test_what_ended_long_ago_is_not_told() -> None:
    """No cookie of it can be accepted any more."""
    here = site(**policy("open"))
    await here.visit(log_in())
    watched(here).failure = dead()
    await here.visit(lambda session: session.destroy())
    watched(here).failure = None
    here.clock.advance(here.config.lifetime * 2)
    await here.visit(log_in())
    assert len(watched(here)._terminated) == 0
    assert here.middleware.gate is not None
    assert here.middleware.gate._guard._untold == {}


async def test_a_list_that_fails_in_the_middle_is_told_the_rest_later() -> None:
    """What it did not take stays untold."""
    here = site(**policy("open"))
    revocations = watched(here)
    await here.visit(log_in())
    revocations.failure = dead()
    await here.visit(lambda session: session.destroy())
    revocations.failure = None
    look = revocations.look

    async def once(*args: Any, **options: Any) -> Any:
        found = await look(*args, **options)
        revocations.failure = dead()
        return found

    revocations.look = once  # type: ignore[method-assign]  # answers one question
    await here.visit(log_in())
    assert len(revocations._terminated) == 0
    revocations.look = look  # type: ignore[method-assign]  # as it was
    revocations.failure = None
    await here.write(n=1)
    assert len(revocations._terminated) == 1


@pytest.mark.parametrize("act", ["write", "regenerate", "destroy", "clear"])
async def test_closed_saves_nothing_unchecked(act: str) -> None:
    """The list went away while the application was at work: an error into the application, and no cookie at all."""
    here = site(**policy("closed"))
    await here.visit(log_in())
    before, clock = here.cookies(), here.clock
    raised: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        watched(here).failure = dead()
        session = scope["session"]
        {
            "write": lambda: session.update(n=1),
            "regenerate": session.regenerate,
            "destroy": session.destroy,
            "clear": session.clear,
        }[act]()
        try:
            await answer(send)
        except RevocationUnavailable as error:
            raised.append(error.error_type)
            await answer(send, status=503)

    response = await here.run(app)
    assert (response.status, response.set_cookies, raised) == (503, [], ["ConnectionError"])
    assert here.cookies() == before
    assert [line["error_type"] for line in here.log.named("session.save_failed")] == ["RevocationUnavailable"]
    watched(here).failure = None
    clock.advance(PAUSE)
    assert await here.read() == ({} if act in {"destroy", "clear"} else {"user": "ann"})


async def test_whoever_revokes_a_subject_is_told(here_policy: str) -> None:
    """Under either policy: nobody would know otherwise that nobody was logged out."""
    here = site(**policy(here_policy))
    await here.visit(log_in())
    here.clock.advance(1.0)
    watched(here).failure = dead()
    with pytest.raises(RevocationUnavailable, match=r"does not answer \(ConnectionError\)\. Try again"):
        await here.middleware.revoke_subject("ann")
    assert told(here) == ["revocation.unavailable"]
    watched(here).failure = None
    assert await here.read() == {"user": "ann"}
    here.clock.advance(1.0)
    await here.middleware.revoke_subject("ann")
    assert await here.read() == {}


@pytest.mark.parametrize("which", ["closed", "open"])
async def test_a_late_logout_without_an_answer_is_told_later(which: str) -> None:
    """The response had begun when the session was destroyed, and the list was away: nothing is raised, nothing lost."""
    here = site(**policy(which))
    await here.visit(log_in())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        watched(here).failure = dead()
        scope["session"].destroy()
        await send({"type": "http.response.body", "body": b""})

    await here.run(app)
    watched(here).failure = None
    assert await here.read() == {}
    here.jar.clear()
    await here.visit(log_in("bob"))
    assert len(watched(here)._terminated) == 1


@pytest.fixture(params=["closed", "open"])
def here_policy(request: pytest.FixtureRequest) -> str:
    """Return each policy."""
    which: str = request.param
    return which


async def test_a_list_that_hangs_costs_little(here_policy: str) -> None:
    """A request waits for ``timeout`` at most, and after a few that did nobody waits: one a second asks."""
    here = site(**policy(here_policy, timeout=0.25))
    await here.visit(log_in())
    watched(here).hangs = True
    waits: list[float] = []
    for step in range(FAILURES + 5):
        begun = anyio.current_time()
        response = await here.visit(lambda session: session.get("user"))
        assert response.status == (503 if here_policy == "closed" else 200)
        waits.append(round(anyio.current_time() - begun, 6))
        if step == FAILURES + 2:
            here.clock.advance(PAUSE)
    assert waits == [0.25] * FAILURES + [0.0] * 3 + [0.25, 0.0]
    assert told(here) == ["revocation.unavailable"]
    watched(here).hangs = False
    here.clock.advance(PAUSE)
    assert await here.read() == {"user": "ann"}
    [line] = here.log.named("revocation.recovered")
    assert (line["failures"], line["unchecked"]) == (FAILURES + 1, FAILURES + 5)
    assert line["unavailable_for"] == 2 * PAUSE
    [line] = here.log.named("revocation.unavailable")
    assert (line["error_type"], line["policy"]) == ("TimeoutError", here_policy)


async def test_a_clock_that_goes_back_makes_nobody_wait_or_believe() -> None:
    """What was known at a later time is asked again, and so is a list that was away then."""
    here = site(**policy("closed"))
    await here.visit(log_in())
    await here.read()
    here.clock.advance(-200.0)
    revocations = watched(here)
    asked = len(revocations.asked)
    await here.read()
    assert len(revocations.asked) == asked + 1
    revocations.failure = dead()
    here.clock.advance(200.0)
    for _ in range(FAILURES):
        await here.visit()
    here.clock.advance(-200.0)
    revocations.failure = None
    here.clock.advance(2.0)
    assert await here.read() == {"user": "ann"}


async def test_a_list_that_fails_now_and_then_is_told_of_once_a_minute() -> None:
    """However it flaps: one pair of lines a minute, and the numbers add up."""
    here = site(**policy("open", cache=0))
    await here.visit(log_in())
    for _ in range(40):
        watched(here).failure = dead()
        await here.read()
        watched(here).failure = None
        await here.read()
        here.clock.advance(2.5)
    pairs = told(here)
    assert pairs == ["revocation.unavailable", "revocation.recovered"] * 2
    here.clock.advance(QUIET)
    await here.read()
    assert sum(line["failures"] for line in here.log.named("revocation.recovered")) == 40
    assert len(told(here)) == 5


async def test_what_a_list_raises_is_named_by_its_class_alone() -> None:
    """Its text may hold an address with a password; no line and no error of ours does, nor leads to it."""
    here = site(**policy("closed"))
    await here.visit(log_in())
    watched(here).failure = dead()
    with pytest.raises(RevocationUnavailable) as caught:
        await here.middleware.revoke_subject("ann")
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    await here.visit()
    assert "hunter2" not in repr(here.log.lines) + repr(here.middleware.gate) + str(caught.value)


async def test_answers_that_overtake_each_other_unlearn_nothing() -> None:
    """A question that was asked before a logout, and answered after it, does not make the session live again here."""
    here = site(**policy("closed"))
    await here.visit(log_in())
    revocations = watched(here)
    other = AsgiClient(here.middleware, jar=here.jar.copy(), clock=here.clock)
    copied = here.cookies()
    look = revocations.look
    answered, asked = anyio.Event(), anyio.Event()

    async def late(*args: Any, **options: Any) -> Any:
        found = await look(*args, **options)
        revocations.look = look  # type: ignore[method-assign]  # only the first is late
        asked.set()
        await answered.wait()
        return found

    revocations.look = late  # type: ignore[method-assign]  # as above
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other.get, "/")
        await asked.wait()
        await here.visit(lambda session: session.destroy())
        await here.middleware.revoke_subject("ann")
        answered.set()
    here.put(*copied.items())
    known = here.middleware.gate._guard._sessions  # type: ignore[union-attr]  # there is one
    assert len(known) == 1
    assert await here.read() == {}
    subjects = here.middleware.gate._guard._subjects  # type: ignore[union-attr]  # there is one
    [(_, (_, kept))] = subjects._entries.items()
    assert kept.not_before == here.clock()


async def test_two_processes_share_a_list() -> None:
    """A logout here ends the session there once the answer there is a second old; without a cache at once."""
    shared = Watched()
    here = site(shared)
    there = Site(site=here, revocations=shared, revocation=RevocationConfig())
    at_once = Site(site=here, revocations=shared, revocation=RevocationConfig(cache=0))
    await here.write(n=1)
    copied = here.cookies()
    assert [await each.read() for each in (here, there, at_once)] == [{"n": 1}] * 3
    await here.visit(lambda session: session.destroy())
    here.put(*copied.items())
    assert [await each.read() for each in (here, at_once, there)] == [{}, {}, {"n": 1}]
    here.clock.advance(1.0)
    assert await there.read() == {}


async def test_the_health_page_says_so() -> None:
    """Degraded, with 200: no restart would bring the list back."""
    here = site(**policy("closed"), health_path="/-/sessions")
    await here.visit(log_in())
    page = await here.client.get("/-/sessions")
    assert json.loads(page.body)["status"] == "ok"
    watched(here).failure = dead()
    await here.visit()
    page = await here.client.get("/-/sessions")
    told_there = json.loads(page.body)
    assert (page.status, told_there["status"]) == (200, "degraded")
    assert told_there["problems"] == ["revocation: the list does not answer, the policy holds"]
    assert repr(here.middleware.gate) == "<Gate: the list does not answer>"
    assert repr(site().middleware.gate) == "<Gate: the list answers>"


async def test_a_start_asks_and_says_so() -> None:
    """That the list is not there is told when the service starts, which it does all the same."""
    stage = Stage(**policy("closed", memory=True))
    stage.middleware.gate._guard._list = revocations = Watched()  # type: ignore[union-attr]  # in memory until here
    revocations.failure = dead()
    async with stage.client.lifespan():
        assert [line["error_type"] for line in stage.log.named("revocation.unavailable")] == ["ConnectionError"]
        revocations.failure = None
        await stage.client.get("/")
        await stage.client.get("/")
        [line] = stage.log.named("revocation.recovered")
        assert (line["failures"], line["unchecked"]) == (1, 0)
    assert revocations.closed == 1


async def test_a_list_that_cannot_work_here_stops_the_start() -> None:
    """That is no outage: no policy makes up for it, at the start or later."""
    stage = Stage(**policy("open", memory=True))
    stage.middleware.gate._guard._list = revocations = Watched(clock=FixedClock())  # type: ignore[union-attr]  # as above
    await stage.client.get("/")
    refusal = ConfigurationError("revocation", "cannot work here", "Choose another.")
    revocations.failure = refusal
    with pytest.raises(ConfigurationError, match="cannot work here"):
        async with stage.client.lifespan():
            raise AssertionError("it started")
    with pytest.raises(ConfigurationError, match="cannot work here"):
        await stage.client.get("/")
    with pytest.raises(ConfigurationError, match="cannot work here"):
        await stage.middleware.revoke_subject("ann")
    assert told(stage) == []


async def test_lists_hold_no_more_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is untold is bounded too: the oldest go."""
    monkeypatch.setattr(guard, "MOST_UNTOLD", 2)
    here = site(**policy("open"))
    watched(here).failure = dead()
    for number in range(3):
        here.jar.clear()
        await here.write(n=number)
        await here.visit(lambda session: session.destroy())
    assert here.middleware.gate is not None
    assert len(here.middleware.gate._guard._untold) == 2
