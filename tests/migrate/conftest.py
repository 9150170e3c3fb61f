"""What the tests of moves share."""

from __future__ import annotations

from tests.middleware import conftest

_same_nonces = conftest._same_nonces
