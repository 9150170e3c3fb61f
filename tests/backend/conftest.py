"""Both ways of dispatch under the same tests."""

from __future__ import annotations

import pytest


@pytest.fixture(params=[True, False], ids=["in-place", "mailbox"])
def in_place(request: pytest.FixtureRequest) -> bool:
    """Whether an idle actor serves in the caller's task."""
    chosen: bool = request.param
    return chosen
