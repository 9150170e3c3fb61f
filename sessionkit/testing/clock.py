"""A clock that moves only when told to."""

from __future__ import annotations

__all__ = ["FixedClock"]


class FixedClock:
    """Returns the same Unix time at every call, until it is set or advanced.

    Attributes:
        now: Unix time in seconds; may be set, backwards too, as clocks of machines do.
    """

    __slots__ = ("now",)

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def __repr__(self) -> str:
        """Show the time."""
        return f"<FixedClock {self.now!r}>"

    def advance(self, seconds: float) -> None:
        """Move the time on."""
        self.now += seconds
