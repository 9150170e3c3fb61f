"""What the tests of the middleware share."""

from __future__ import annotations

import os
from random import Random

import pytest


@pytest.fixture(autouse=True)
def _same_nonces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the same nonces and session ids on every run.

    One chunk in 256 looks like a whole cookie of another session and is left alone (``Codec._foreign``): a test that
    expects it to be cleared would fail now and then.
    """
    monkeypatch.setattr(os, "urandom", Random(1).randbytes)
