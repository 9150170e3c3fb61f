"""Processes whose coverage is not taken: servers and commands by the dozen, that drills start.

Tracing each of them doubles the time of the whole suite, and what they run is covered by tests within the process.
"""

from __future__ import annotations

import os

__all__ = ["environment"]


def environment() -> dict[str, str]:
    """Return the environment without what makes ``coverage`` follow into a new process."""
    return {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_CONFIG"}
