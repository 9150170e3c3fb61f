"""All runs of one simulation, as many at a time as there are cores, and the search for the smallest barrier.

Which runs are made depends on results alone, never on the number of cores or on which run ends first.
"""

from __future__ import annotations

import math
import multiprocessing
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from rotation_sim.strategies import STRATEGIES, barrier
from rotation_sim.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from multiprocessing.sharedctypes import SynchronizedArray

    from rotation_sim.world import Result, Settings

__all__ = ["BARRIERS", "Outcome", "Runs"]

BARRIERS = (0, 60, 120, 300, 600)
"""Seconds of the barriers that are shown, beside the smallest one that loses none."""

FRAME = 0.25
"""Seconds between two looks at how far the runs have come."""

_places: SynchronizedArray[float]
"""In a worker: how far each strategy has come, in seconds since the start of its run."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of all runs.

    Attributes:
        settings: what they had in common.
        strategies: results by the strategies' names.
        curve: results by the barriers' seconds, in order.
        smallest: seconds of the smallest barrier that loses none; every longer one that was tried loses none either.
    """

    settings: Settings
    strategies: dict[str, Result]
    curve: dict[int, Result]
    smallest: int


def _keep(places: SynchronizedArray[float]) -> None:
    global _places  # noqa: PLW0603 - a pool hands shared memory to its workers in this way alone
    _places = places


def _strategy(settings: Settings, number: int) -> Result:
    def tell(seconds: float) -> None:
        _places[number] = seconds

    return World(settings, STRATEGIES[number]).run(tell=tell)


def _barrier(settings: Settings, seconds: int, until_lost: bool) -> Result:  # noqa: FBT001 - called by a pool
    return World(settings, barrier(seconds)).run(until_lost=until_lost)


class Runs:
    """Makes all runs. A context manager: leaving it ends its processes.

    Args:
        settings: what the runs have in common.
        jobs: runs at a time.
        tell: called several times a second with the seconds that each strategy has come, and the runs that are done.
    """

    def __init__(self, settings: Settings, jobs: int, tell: Callable[[Sequence[float], int], None]) -> None:
        self._settings = settings
        self._tell = tell
        self._done = 0
        # Spawned, not forked: forking a process that has threads, as a progress bar does, may hang.
        spawning = multiprocessing.get_context("spawn")
        self._places: SynchronizedArray[float] = spawning.Array("d", len(STRATEGIES))
        self._pool = ProcessPoolExecutor(jobs, spawning, initializer=_keep, initargs=(self._places,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def make(self) -> Outcome:
        """Make all runs."""
        started = [self._pool.submit(_strategy, self._settings, number) for number in range(len(STRATEGIES))]
        started += [self._start(seconds) for seconds in BARRIERS]
        results = self._results(started)
        strategies = {strategy.name: result for strategy, result in zip(STRATEGIES, results, strict=False)}
        curve = dict(zip(BARRIERS, results[len(STRATEGIES) :], strict=True))
        smallest = self._smallest(curve)
        if smallest not in curve:
            (curve[smallest],) = self._results([self._start(smallest)])
        return Outcome(self._settings, strategies, dict(sorted(curve.items())), smallest)

    def _smallest(self, tried: dict[int, Result]) -> int:
        """Search between the longest barrier that lost something and one at which every node had the key."""
        good = math.ceil(max(result.everywhere for result in tried.values()))
        bad = max((seconds for seconds, result in tried.items() if result.lost), default=-1)
        while good - bad > 1:
            # Two at a time, also where there is one core: the outcome must not depend on it.
            third = max(1, (good - bad) // 3)
            asked = sorted({bad + third, min(good - 1, bad + 2 * third)})
            lost = [one.lost > 0 for one in self._results([self._start(one, until_lost=True) for one in asked])]
            bad = max([bad, *(one for one, loses in zip(asked, lost, strict=True) if loses)])
            good = min([good, *(one for one in asked if one > bad)])
        return good

    def _start(self, seconds: int, *, until_lost: bool = False) -> Future[Result]:
        return self._pool.submit(_barrier, self._settings, seconds, until_lost)

    def _results(self, futures: Sequence[Future[Result]]) -> list[Result]:
        """Wait for runs, and say meanwhile how far they have come."""
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, FRAME, FIRST_COMPLETED)
            self._done += len(done)
            self._tell(self._places[:], self._done)
        return [future.result() for future in futures]
