"""The shop as the demonstration serves it: what each of uvicorn's workers makes when it starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rotation_shop.app import settings, shop

if TYPE_CHECKING:
    from sessionkit import SessionMiddleware

__all__ = ["AUDIT_KEY_VARIABLE", "AUDIT_VARIABLE", "KEYRING_VARIABLE", "MAX_AGE", "create_app"]

KEYRING_VARIABLE = "ROTATION_DEMO_KEYRING"
AUDIT_VARIABLE = "ROTATION_DEMO_AUDIT"
AUDIT_KEY_VARIABLE = "ROTATION_DEMO_AUDIT_KEY"

MAX_AGE = 3600
"""Seconds; the keyring's policy promises tokens no longer a life."""


def create_app() -> SessionMiddleware:
    """Return the shop; its files are named by environment variables."""
    # Line by line, each appended in one piece: the workers share the file. It stays open while the process lives.
    file = Path(os.environ[AUDIT_VARIABLE]).open("a", buffering=1, encoding="utf-8")  # noqa: SIM115 - see above
    # One key for all workers: a session has one reference, whoever serves it.
    config = settings(MAX_AGE, audit={"key": bytes.fromhex(os.environ[AUDIT_KEY_VARIABLE])})
    return shop(os.environ[KEYRING_VARIABLE], file, config)
