"""A list of revocations in Redis (or Valkey), shared by all processes that reach it.

What lies there: ``PREFIX:t:MARK`` for a session that has ended, ``PREFIX:s:MARK`` for a subject, with the time in
milliseconds before which its sessions are revoked. Marks are base64url of a keyed hash. Each entry ends by itself once
no cookie can outlive it.

Rules of this file:

* One round trip a question: ``MGET`` to look, ``MULTI``/``EXEC`` around it to end a session in the same step.
* A command is never cancelled half way: it runs in a task of its own that ends by its own timeouts, and whoever asked
  goes when they must. A cancelled command would leave its connection to the pool with an answer still to come.
* Times are durations to the server, so its clock need not agree with anybody's.
* Nothing of the address is told: it may hold a password.
"""

from __future__ import annotations

import asyncio
import threading
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from sessionkit.exceptions import ConfigurationError
from sessionkit.revocation.lists import Standing
from sessionkit.session import milliseconds
from sessionkit.yamlfile import discreet

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ["CONNECTIONS", "RedisRevocationList"]

CONNECTIONS = 32
"""Connections of one process at most. One serves some thousands of questions a second; who finds none free waits."""

_NOT_BEFORE = """
local held = tonumber(redis.call('GET', KEYS[1]) or '0')
redis.call('SET', KEYS[1], string.format('%.0f', math.max(held, tonumber(ARGV[1]))), 'PX', ARGV[2])
"""
"""Never moves a subject's time back, also where two hosts with clocks that differ revoke at once."""

Result = TypeVar("Result")


class RedisRevocationList:
    """Keeps in Redis what has ended. On asyncio only, as the library it uses.

    Args:
        url: of the server: ``redis://``, ``rediss://`` (TLS) or ``unix://``. Its query may set what redis-py knows.
        timeout: seconds that connecting, and each answer, may take.
        prefix: what names of entries begin with.

    Raises:
        ConfigurationError: if the address cannot be used.
    """

    __slots__ = ("_clients", "_lock", "_prefix", "_running", "_timeout", "_url")

    @discreet
    def __init__(self, url: str, *, timeout: float = 0.25, prefix: str = "sessionkit") -> None:
        self._url = url
        self._timeout = timeout
        self._prefix = prefix
        self._lock = threading.Lock()
        self._clients: dict[asyncio.AbstractEventLoop, Redis] = {}
        self._running: set[asyncio.Future[Any]] = set()
        self._pool()  # refuses now what would be refused with the first request

    def __repr__(self) -> str:
        """Show no address."""
        return f"<RedisRevocationList {self._prefix!r}>"

    def _pool(self) -> BlockingConnectionPool:
        try:
            pool = BlockingConnectionPool.from_url(
                self._url,
                max_connections=CONNECTIONS,
                timeout=self._timeout,
                socket_timeout=self._timeout,
                socket_connect_timeout=self._timeout,
                socket_keepalive=True,
                retry=Retry(NoBackoff(), 0),  # who asks has a deadline, and a command that ends a session is said once
                protocol=2,  # no greeting of its own: a connection is made in one round trip less
            )
            pool.make_connection()  # type: ignore[no-untyped-call]  # not opened; refuses what it does not know
        except (RedisError, TypeError, ValueError):
            raise ConfigurationError(
                "revocation.redis", "is no address that redis-py takes", "Write redis://HOST:PORT/NUMBER."
            ) from None
        return pool

    # --- what a list does ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Refuse to run anywhere but on asyncio.

        Raises:
            ConfigurationError: on another event loop.
        """
        _loop()

    async def look(
        self, session: bytes | None, subject: bytes | None, *, terminate_for: float | None = None
    ) -> Standing:
        """Tell how a session and its subject stand; see ``RevocationList.look``.

        Raises:
            ConfigurationError: on another event loop than asyncio's.
            Exception: what the library raises, if there is no answer.
        """
        asked = [self._name("t", session)] if session is not None else []
        if subject is not None:
            asked.append(self._name("s", subject))
        client = self._client()
        if session is None or terminate_for is None:
            held = await self._whole(client.mget(asked))
        else:
            transaction = client.pipeline(transaction=True)
            transaction.mget(asked)
            transaction.set(asked[0], b"1", px=_milliseconds(terminate_for))
            held = (await self._whole(transaction.execute()))[0]
        found = dict(zip(asked, held, strict=True))
        terminated = session is not None and found[asked[0]] is not None
        since = found[asked[-1]] if subject is not None else None
        return Standing(terminated, 0.0 if since is None else int(since) / 1000)

    async def revoke(self, subject: bytes, not_before: float, *, keep_for: float) -> None:
        """Revoke the sessions of a subject; see ``RevocationList.revoke``.

        Raises:
            ConfigurationError: on another event loop than asyncio's.
            Exception: what the library raises, if it was not taken down.
        """
        arguments = (self._name("s", subject), milliseconds(not_before), _milliseconds(keep_for))
        await self._whole(self._client().eval(_NOT_BEFORE, 1, *arguments))

    async def aclose(self) -> None:
        """Close the connections of this loop; what is under way ends first, within its timeouts."""
        loop = _loop()
        with self._lock:
            client = self._clients.pop(loop, None)
        if client is None:
            return
        mine = [task for task in self._running if task.get_loop() is loop]
        if mine:
            await asyncio.wait(mine)
        await client.aclose()

    # --- connections --------------------------------------------------------------------------------------------------

    def _name(self, kind: str, mark: bytes) -> str:
        return f"{self._prefix}:{kind}:{urlsafe_b64encode(mark).rstrip(b'=').decode('ascii')}"

    def _client(self) -> Redis:
        """Return the client of the loop that runs now: connections belong to the loop they were made on."""
        loop = _loop()
        client = self._clients.get(loop)
        if client is None:
            with self._lock:
                for other in [one for one in self._clients if one.is_closed()]:
                    del self._clients[other]  # a test client's, for one request: nobody can close it any more
                client = self._clients[loop] = Redis.from_pool(self._pool())
        return client

    async def _whole(self, command: Awaitable[Result]) -> Result:
        """Have a command run to its end, whoever waits for it."""
        task = asyncio.ensure_future(command)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Future[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # seen, or asyncio would complain of it where nobody waits any more


def _loop() -> asyncio.AbstractEventLoop:
    """Return the loop that runs now.

    Raises:
        ConfigurationError: if it is not asyncio's.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "revocation.redis",
            "needs asyncio, and this server runs another event loop (trio)",
            "Serve with asyncio or uvloop, or give a RevocationList of your own in code.",
        ) from None


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
