"""Rotations as an operator makes them: through the command line, on the file that the workers watch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from rotation_demo.worker import MAX_AGE
from rotation_shop.command import Failed, run, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Plan", "Rotations"]

RETRY = 0.5
"""Seconds between two tries of a promotion that is refused because it comes too early."""


@dataclass(frozen=True, slots=True)
class Plan:
    """When to rotate, and what the ring's policy must be for it.

    Attributes:
        seconds: that the traffic lasts.
        rotations: how many.
    """

    seconds: float
    rotations: int

    @property
    def interval(self) -> float:
        """Seconds from one promotion to the next; a quarter of that before the first, a quarter more after the last."""
        return self.seconds / (self.rotations + 0.5) if self.rotations else self.seconds

    @property
    def propagation(self) -> int:
        """Whole seconds that the workers get to load a new file. They need far less: they watch it."""
        return max(1, int(self.interval * 0.3))

    @property
    def skew(self) -> int:
        """Seconds that clocks may differ by; here it is one clock."""
        return 1


class Rotations:
    """Promotes one key after the other.

    Args:
        path: the keyring file.
        plan: when.
        tell: called with a line for people at every step.

    Attributes:
        done: promotions made.
    """

    def __init__(self, path: Path, plan: Plan, tell: Callable[[str], None]) -> None:
        self._path = path
        self._plan = plan
        self._tell = tell
        self.done = 0

    async def create(self) -> None:
        """Write the first ring.

        Raises:
            Failed: if the command line does; with what it said.
        """
        policy = {
            "--propagation": self._plan.propagation,
            "--skew": self._plan.skew,
            "--token-lifetime": MAX_AGE,
        }
        options = [word for option, value in policy.items() for word in (option, str(value))]
        result = await run("keyring", "init", str(self._path), *options)
        if result.returncode != 0:
            raise Failed(text(result))

    async def rotate(self, until: float) -> None:
        """Promote as planned, and at last try to prune too early; end before a time of ``time.monotonic()``."""
        started = time.monotonic()
        for number in range(self._plan.rotations):
            await anyio.sleep(max(0.0, started + (number + 0.25) * self._plan.interval - time.monotonic()))
            while time.monotonic() < until:
                result = await run("keyring", "promote", str(self._path))
                if result.returncode == 0:
                    self.done += 1
                    self._tell(f"rotation {self.done}: {text(result)}")
                    break
                self._tell(f"not yet: {text(result)}")
                await anyio.sleep(RETRY)
        if self.done:  # sessions of the first key are still alive: this must be refused
            result = await run("keyring", "prune", str(self._path))
            self._tell(f"prune, exit status {result.returncode}: {text(result)}")
