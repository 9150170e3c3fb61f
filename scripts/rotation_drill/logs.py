"""What the workers' audit logs tell: which ring each of them runs, and what became of the sessions.

Each worker stamps its lines by its own clock; times here are those of the drill's clock.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rotation_drill.hosts import Host

__all__ = ["Logs", "Ran", "Worker"]

_RINGS = frozenset({"keyring.loaded", "keyring.reloaded"})


class Ran(NamedTuple):
    """From when on a worker ran a ring.

    Attributes:
        since: Unix seconds.
        generation: of the ring.
        refusing: whether the worker refused a newer file at that time.
    """

    since: float
    generation: int
    refusing: bool


@dataclass(slots=True)
class Worker:
    """One worker, as its log shows it.

    Attributes:
        name: host and number.
        ahead: seconds by which its clock is ahead.
        digest: of the ring it runs.
        refused: files that it refused.
        recovered: times that it said the file was good again.
        activated: ids of the keys that it said took over.
        instances: names of the processes that wrote the log: more than one, if it was started again.
        history: which ring it ran since when, in order.
    """

    name: str
    ahead: float
    digest: str | None = None
    refused: int = 0
    recovered: int = 0
    activated: set[str] = field(default_factory=set)
    instances: set[str] = field(default_factory=set)
    history: list[Ran] = field(default_factory=list)

    def take(self, event: dict[str, Any]) -> None:
        """Take notice of a line."""
        self.instances.add(event["instance"])
        name = event["event"]
        if name == "keyring.key_activated":
            self.activated.add(event["kid"])
        since = datetime.fromisoformat(event["timestamp"]).timestamp() - self.ahead
        if name in _RINGS:
            self.digest = event["digest"]
        elif name == "keyring.reload_failed":
            self.refused += 1
        elif name == "keyring.recovered":
            self.recovered += 1
        else:
            return
        self.history.append(Ran(since, event["generation"], name == "keyring.reload_failed"))


class Logs:
    """Reads the audit logs of all workers as they grow.

    Args:
        hosts: whose workers.

    Attributes:
        workers: all of them.
        events: how often each event was logged.
        rekeyed: sessions that were re-encrypted, by the key before and the key after.
        rejected: cookies that were not accepted, by reason.
    """

    def __init__(self, hosts: Sequence[Host]) -> None:
        self._files: dict[Path, tuple[Worker, int]] = {}
        for host in hosts:
            for number, (path, ahead) in enumerate(zip(host.audits(), host.clocks, strict=True)):
                self._files[path] = Worker(f"{host.server} {number + 1}", ahead), 0
        self.workers = [worker for worker, _ in self._files.values()]
        self.events: Counter[str] = Counter()
        self.rekeyed: Counter[tuple[str, str]] = Counter()
        self.rejected: Counter[str] = Counter()

    def look(self) -> None:
        """Read what has been written since the last look."""
        for path, (worker, position) in self._files.items():
            with path.open("rb") as file:
                file.seek(position)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]  # of a line that is being written, the rest comes later
            self._files[path] = worker, position + len(whole)
            for line in whole.splitlines():
                self._take(worker, json.loads(line))

    def _take(self, worker: Worker, event: dict[str, Any]) -> None:
        self.events[event["event"]] += 1
        match event["event"]:
            case "session.rekeyed":
                self.rekeyed[event["previous_kid"], event["kid"]] += 1
            case "session.rejected":
                self.rejected[event["reason"]] += 1
            case _:
                worker.take(event)

    def behind(self, digest: str) -> list[str]:
        """Return the workers that do not run the ring of this digest."""
        return [worker.name for worker in self.workers if worker.digest != digest]
