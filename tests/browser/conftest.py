"""What the tests in a browser share with those of the middleware: the same nonces on every run."""

from __future__ import annotations

from tests.middleware.conftest import _same_nonces

__all__ = ["_same_nonces"]
