"""What coverage is not taken of, since tracing it costs more than it tells.

* Processes: servers and commands by the dozen, that the demo, drills and runbooks start (``environment``).
* Searches, floods, crowds within the process (``untraced``): what hypothesis runs, and what is marked ``unmeasured``.
  A line that one of them alone comes upon counts as not covered: a test that says why it is there covers it.

Tracing either doubles the time of the whole suite.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from coverage import Coverage

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["environment", "untraced"]


def environment() -> dict[str, str]:
    """Return the environment without what makes ``coverage`` follow into a new process."""
    return {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_CONFIG"}


@contextmanager
def untraced() -> Iterator[None]:
    """Take no coverage of what runs within; where none is taken anyway, do nothing."""
    current = Coverage.current()
    if current is None:
        yield
        return
    current.stop()
    try:
        yield
    finally:
        current.start()
