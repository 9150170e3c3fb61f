"""``HashChain``: a structlog processor that makes a log tamper-evident.

It stands right before the JSON renderer::

    chain = HashChain({"file": "/run/secrets/chain-key"}, checkpoints="/mnt/elsewhere/app.checkpoints")
    structlog.configure(processors=[merge_contextvars, add_log_level, TimeStamper(fmt="iso"), chain, JSONRenderer()])
    atexit.register(chain.close)

Every line then carries ``chain_uid, sequence, prev_fingerprint, fingerprint``; what they are is written down in
``audit.fingerprint``, and ``sessionkit audit verify`` reads them. The closing line has ``chain_heads`` besides: how
many lines each chain of the process has. A field of the application's with one of these names is kept under its name
with an underscore behind it.

Rules of this file:

* A chain belongs to one thread of one process, so that its lines reach the stream in the order of their numbers: what
  lies between this processor and the write is not under any lock of ours. A further thread, and a forked child, gets a
  chain that descends from the first; so does whatever is written after ``close``. The chain of a thread that has ended
  is taken over by the next new one, so that there are never more chains than threads at once. (A fork that goes around
  ``os.fork`` goes on with its parent's chain; verification then finds each number twice.)
* The root key is used once and forgotten: what is kept leads to later keys only. If the process can fetch the key
  again (its environment, a file that it may read), so can whoever takes it over.
* Nothing is raised into the application. A line that cannot be chained is written as it is; that is counted, and said
  once.
* Values become plain ones, so that every JSON renderer writes the same. ``sessionkit audit verify`` reads no line that
  is longer than a mebibyte (``audit.reading.MAX_LINE``).
* Checkpoints are written by a thread of their own: the second place may be slow, and fsync is.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from base64 import b32encode
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from sessionkit.audit import checkpoints as checkpointing
from sessionkit.audit.events import AuditChainClosed, Level
from sessionkit.audit.fingerprint import (
    CHAIN_FIELDS,
    FIRST,
    Ratchet,
    canonical,
    fingerprint,
    forks_seed,
    lines_seed,
    plain,
    root_secret,
)
from sessionkit.audit.log import AuditLog
from sessionkit.audit.pseudonyms import MIN_KEY_SIZE
from sessionkit.exceptions import ConfigurationError
from sessionkit.keyring.source import SecretSource
from sessionkit.yamlfile import discreet

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from os import PathLike
    from typing import SupportsIndex

    from sessionkit.audit.checkpoints import Checkpoint

__all__ = ["HashChain", "root_key"]

_log = logging.getLogger("sessionkit.audit")

_HERE = Path()
_PRIVATE = frozenset({"_record", "_from_structlog"})
"""What ``ProcessorFormatter`` puts into a line and takes out again before it is rendered."""

_OURS = (*CHAIN_FIELDS, "chain_heads")

_PATIENCE = 5.0
"""Seconds that ``close`` waits for a checkpoint under way."""


@discreet
def root_key(key: bytes | SecretSource | Mapping[str, Any], base: Path = _HERE) -> bytes:
    """Return the root key itself.

    Args:
        key: octets, or a secret by ``base64``, ``env``, ``file`` or ``command`` as in a keyring file.
        base: folder that a relative path is relative to.

    Raises:
        ConfigurationError: if it cannot be fetched or is too short.
    """
    octets = key if isinstance(key, bytes) else _fetched(key, base)
    if len(octets) < MIN_KEY_SIZE:
        problem = f"is {len(octets)} octets long"
        raise ConfigurationError("key", problem, f"Give at least {MIN_KEY_SIZE} random octets.")
    return octets


def _fetched(key: object, base: Path) -> bytes:
    source = SecretSource(**key) if isinstance(key, Mapping) else key
    if not isinstance(source, SecretSource):
        problem = f"is a {type(key).__name__}"
        raise ConfigurationError("key", problem, "Give octets, or one of {'env': …}, {'file': …} and {'command': […]}.")
    try:
        return source.resolve(base)
    except ConfigurationError as error:
        raise ConfigurationError(f"key.{error.field}", error.problem, error.remedy) from None


class _Chain:
    """The state of one chain.

    Attributes:
        uid: its name.
        lock: held while the state moves: checkpoints look at it from another thread.
        keys: key and number of the next line.
        previous: fingerprint of the last line.
        saved: lines that the last checkpoint told of.
        closed: whether the last line was the closing one.
    """

    __slots__ = ("closed", "keys", "lock", "previous", "saved", "uid")

    def __init__(self, uid: str, secret: bytes) -> None:
        self.uid = uid
        self.lock = threading.Lock()
        self.keys = Ratchet(lines_seed(secret))
        self.previous = FIRST
        self.saved = 0
        self.closed = False


class _Hold:
    """A thread's hold on its chain; when the thread ends, the chain is free for another."""

    __slots__ = ("_free", "chain")

    def __init__(self, chain: _Chain, free: deque[_Chain]) -> None:
        self.chain = chain
        self._free = free

    def __del__(self) -> None:
        if not self.chain.closed:
            self._free.append(self.chain)


class HashChain:
    """Adds an HMAC chain to the lines that pass through.

    Args:
        key: the root key, which serves nothing else: at least 16 octets, or where to fetch it from (``{"env": NAME}``,
            ``{"file": PATH}``, ``{"command": […]}``, ``{"base64": …}``).
        component: chain the lines with this ``component`` alone (``"sessionkit"``); by default every line.
        checkpoints: a second place for checkpoints: a file they are appended to, or a function of a line of JSON.
        every: lines of one chain after which a checkpoint is due.
        seconds: time after which one is due if there was any line.
        clock: returns Unix seconds.

    Attributes:
        failures: lines that could not be chained, and checkpoints that could not be written.

    Raises:
        ConfigurationError: if the key cannot be used.
    """

    @discreet
    def __init__(
        self,
        key: bytes | SecretSource | Mapping[str, Any],
        *,
        component: str | None = None,
        checkpoints: str | PathLike[str] | Callable[[str], object] | None = None,
        every: int = 1_000,
        seconds: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        for name, number in (("every", every), ("seconds", seconds)):
            if not number > 0:
                raise ConfigurationError(name, "is not positive", "Say how far apart checkpoints are at most.")
        self.failures = 0
        self._component = component
        self._write = None if checkpoints is None else checkpointing.writer(checkpoints)
        self._every = every
        self._seconds = seconds
        self._clock = clock
        uid = b32encode(os.urandom(10)).decode("ascii")
        self._begin(uid, root_secret(root_key(key), uid))
        with _gate:
            _everywhere.add(self)

    def _begin(self, uid: str, secret: bytes) -> None:
        """Begin a process: its first chain bears its name, further ones descend from it."""
        first = _Chain(uid, secret)
        self._uid = uid
        self._forks = Ratchet(forks_seed(secret))
        self._chains = [first]
        self._free = deque(self._chains)
        self._adding = threading.Lock()
        self._mine = threading.local()
        self._used = self._closing = False
        self._writing = threading.Lock()  # checkpoints are written in order
        self._thread: threading.Thread | None = None
        self._due = threading.Event()

    def __call__(
        self,
        logger: Any,  # noqa: ARG002 - what structlog hands to every processor
        method_name: str,  # noqa: ARG002 - as above
        event_dict: MutableMapping[str, Any],
    ) -> MutableMapping[str, Any]:
        """Add the chain's fields to a line; never raises."""
        if self._component is not None and event_dict.get("component") != self._component:
            return event_dict
        try:
            self._link(event_dict)
        except Exception as error:  # noqa: BLE001 - a value's own repr may raise anything, and the line must go on
            self._fail("a line could not be chained", error)
        return event_dict

    def _link(self, line: MutableMapping[str, Any]) -> None:
        for name in _OURS:
            if name in line:
                line[f"{name}_"] = line.pop(name)
        mine = self._mine
        if getattr(mine, "busy", False):
            # A finalizer or a signal handler that logs has come in between. Its line goes without.
            raise RuntimeError("a line within a line")
        ending = self._closing and AuditChainClosed.name in (line.get("event"), line.get("message"))
        if ending:
            line["chain_heads"] = self._heads()
        for name, value in line.items():
            if not (type(value) is str and value.isascii()) and name not in _PRIVATE:
                line[name] = plain(value)
        text = canonical(line if _PRIVATE.isdisjoint(line) else {n: line[n] for n in line if n not in _PRIVATE})
        mine.busy = True
        try:
            chain = self._chain()
            with chain.lock:
                keys, previous = chain.keys, chain.previous
                sequence = keys.index
                made = fingerprint(keys.key, chain.uid, sequence, previous, text)
                keys.advance()
                chain.previous = made
                chain.closed = ending
        finally:
            mine.busy = False
        line["chain_uid"] = chain.uid
        line["sequence"] = sequence
        line["prev_fingerprint"] = previous
        line["fingerprint"] = made
        self._used = True
        if self._write is not None:
            if self._thread is None:
                self._start()
            if sequence + 1 - chain.saved >= self._every:
                self._due.set()

    # --- chains and threads -------------------------------------------------------------------------------------------

    def _chain(self) -> _Chain:
        """Return this thread's chain: its own, one whose thread has ended, or a new one."""
        hold: _Hold | None = getattr(self._mine, "hold", None)
        if hold is None:
            try:
                chain = self._free.popleft()
            except IndexError:
                chain = self._descendant()
            hold = self._mine.hold = _Hold(chain, self._free)
        elif hold.chain.closed:
            hold.chain = self._descendant()
        return hold.chain

    def _descendant(self) -> _Chain:
        with self._adding:
            chain = _Chain(f"{self._uid}.{self._forks.index}", self._forks.key)
            self._forks.advance()
            self._chains.append(chain)
        return chain

    def _heads(self) -> dict[str, int]:
        """Return how many lines every chain of this process has, the one that is to be closed included."""
        self._mine.busy = True
        try:
            own = self._chain()
        finally:
            self._mine.busy = False
        heads = {chain.uid: chain.keys.index for chain in list(self._chains)}
        heads[own.uid] += 1
        return {uid: count for uid, count in heads.items() if count}

    # --- forks --------------------------------------------------------------------------------------------------------

    def _hold_still(self) -> None:
        """Wait for lines under way in other threads, and let none begin."""
        self._mine.busy = True
        self._adding.acquire()
        for chain in self._chains:
            chain.lock.acquire()

    def _go_on(self) -> None:
        """In the parent: give the child's secret out of hand."""
        self._forks.advance()
        for chain in self._chains:
            chain.lock.release()
        self._adding.release()
        self._mine.busy = False

    def _go_apart(self) -> None:
        """In the child: begin anew, with nothing kept that leads to the parent's lines."""
        self._begin(f"{self._uid}.{self._forks.index}", self._forks.key)

    # --- checkpoints --------------------------------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Write a checkpoint of each chain that has lines no checkpoint tells of; never raises."""
        self._save(closed=False)

    def close(self) -> None:
        """Say that the lines end here in order: by a closing line, and by closing checkpoints; never raises.

        Call it when the process ends, after everything else has logged. Lines that come later begin a new chain, and
        want another call.
        """
        if not self._used:
            return
        self._used = False
        self._closing = True
        AuditLog(Level.INFO, clock=self._clock).emit([AuditChainClosed(chains=len(self._heads()))])
        self._closing = self._used = False
        self._save(closed=True)
        with self._adding:
            self._chains = [chain for chain in self._chains if not chain.closed or self._is_unsaved(chain)]

    def _is_unsaved(self, chain: _Chain) -> bool:
        return self._write is not None and chain.keys.index > chain.saved

    def _save(self, *, closed: bool) -> None:
        if self._write is None:
            return
        if not self._writing.acquire(timeout=_PATIENCE):
            self._fail("a checkpoint could not be written", TimeoutError())
            return
        try:
            for chain in list(self._chains):
                made = self._sealed(chain, closed=closed)
                if made is not None:
                    self._write(made.render())
                    chain.saved = made.lines
        except Exception as error:  # noqa: BLE001 - the second place may raise anything; the lines stay due
            self._fail("a checkpoint could not be written", error)
        finally:
            self._writing.release()

    def _sealed(self, chain: _Chain, *, closed: bool) -> Checkpoint | None:
        """Return a chain's checkpoint if one is due; here, so that no key is in a frame below which a callback runs."""
        self._mine.busy = True
        try:
            with chain.lock:
                key, count, previous, ended = chain.keys.key, chain.keys.index, chain.previous, chain.closed
        finally:
            self._mine.busy = False
        if count == 0 or (count == chain.saved and not closed):
            return None
        return checkpointing.seal(
            key,
            chain_uid=chain.uid,
            lines=count,
            fingerprint=previous,
            closed=closed or ended,
            now=self._clock(),
        )

    def _start(self) -> None:
        with self._adding:
            if self._thread is None:
                weakref.finalize(self, self._due.set).atexit = False
                self._thread = threading.Thread(
                    target=_keep_checkpointing,
                    args=(weakref.ref(self), self._due, self._seconds),
                    name="sessionkit-checkpoints",
                    daemon=True,
                )
                self._thread.start()

    def _fail(self, what: str, error: Exception) -> None:
        self.failures += 1
        if self.failures == 1:
            # The type alone: the error's text may hold a part of the line, and so may the frames of its traceback.
            _log.error("%s (%s); further failures are only counted", what, type(error).__name__)

    def __repr__(self) -> str:
        """Show no key."""
        return f"<HashChain {self._uid}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be copied or pickled: two chains would go on with the same keys."""
        raise TypeError("a chain cannot be copied or pickled: its keys would go along")


def _keep_checkpointing(owner: weakref.ref[HashChain], due: threading.Event, seconds: float) -> None:
    while True:
        due.wait(seconds)
        due.clear()
        chain = owner()
        if chain is None:
            return
        chain.checkpoint()
        del chain


# --- forks of the whole process ---------------------------------------------------------------------------------------

_gate = threading.Lock()
"""Held over a fork, and while a chain joins."""

_everywhere: weakref.WeakSet[HashChain] = weakref.WeakSet()
_still: list[HashChain] = []


def _before_fork() -> None:
    _gate.acquire()
    _still.extend(_everywhere)
    for chain in _still:
        chain._hold_still()  # noqa: SLF001 - same module


def _after_fork(step: Callable[[HashChain], None]) -> None:
    for chain in _still:
        step(chain)
    _still.clear()
    _gate.release()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=lambda: _after_fork(HashChain._go_on),  # noqa: SLF001 - same module
        after_in_child=lambda: _after_fork(HashChain._go_apart),  # noqa: SLF001 - same module
    )
