"""What the tests in a browser share with those of the middleware: the same nonces on every run."""

from __future__ import annotations

from tests.middleware.conftest import _same_nonces as _same_nonces
