"""What a measurement is made of: options, figures with their goals, groups of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["LOOPS", "Figure", "Group", "Options"]

LOOPS: dict[str, tuple[str, dict[str, bool]]] = {
    "asyncio": ("asyncio", {}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}
"""Event loops, and how anyio is asked for each."""


@dataclass(frozen=True, slots=True)
class Options:
    """How thorough to be.

    Attributes:
        quick: fewer and shorter rounds, for a look.
        loop: of ``LOOPS``.
    """

    quick: bool = False
    loop: str = "asyncio"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value.

    Attributes:
        row: what was measured.
        value: the median, or the one value.
        unit: of it; ``×`` is a ratio.
        low: lower quartile, if there were rounds.
        high: upper quartile, if there were rounds.
        against: what it is compared with.
        extra: how much more than that it is, in the same unit.
        goal: what it may be at most, in the same unit.
        note: what else there is to know.
    """

    row: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    against: str | None = None
    extra: float | None = None
    goal: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; ``None`` if there is none. Judged by what is printed: two decimals of a ratio."""
        return None if self.goal is None else round(self.value, 2) <= self.goal


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that belong together.

    Attributes:
        name: to choose it by.
        title: what is measured, with what it is compared.
        run: measures.
        loops: event loops it is run on, unless one is asked for.
        asked: whether it is run only where it is asked for by name.
    """

    name: str
    title: str
    run: Callable[[Options], Awaitable[list[Figure]]]
    loops: tuple[str, ...] = ("asyncio",)
    asked: bool = False
