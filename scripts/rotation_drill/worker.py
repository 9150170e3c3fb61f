"""The shop as the drill serves it: one of a host's worker processes, with a clock and an audit log of its own."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rotation_shop.app import settings, shop

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from sessionkit import SessionMiddleware

__all__ = ["AUDIT_KEY", "CLOCKS", "FOLDER", "LIFETIME", "create_app", "log_name", "worker"]

FOLDER = "ROTATION_DRILL_FOLDER"
"""The host's folder: its copy of the keyring, and its workers' logs."""

CLOCKS = "ROTATION_DRILL_CLOCKS"
"""Seconds by which the clock of each worker is ahead, separated by spaces."""

LIFETIME = "ROTATION_DRILL_LIFETIME"
"""Seconds a session lives without being renewed."""

AUDIT_KEY = "ROTATION_DRILL_AUDIT_KEY"
"""Key of the references in the log, in hexadecimal: the same for all workers, so that their logs speak of the same
sessions."""


def create_app() -> SessionMiddleware:
    """Return the shop, with what the environment says."""
    return worker(os.environ)[0]


def worker(environment: Mapping[str, str]) -> tuple[SessionMiddleware, TextIO]:
    """Return the shop of the next worker of a host, and its audit log, which stays open as long as it is written to.

    Raises:
        RuntimeError: if the host has as many as it is to have: one of them has ended and was started again.
    """
    folder = Path(environment[FOLDER])
    clocks = [float(ahead) for ahead in environment[CLOCKS].split()]
    number, audit = _claim(folder, len(clocks))
    config = settings(int(environment[LIFETIME]), audit={"key": bytes.fromhex(environment[AUDIT_KEY])})
    return shop(str(folder / "keyring.yaml"), audit, config, clock=lambda: time.time() + clocks[number]), audit


def log_name(number: int) -> str:
    """Return the name of the audit log of a host's worker."""
    return f"audit-{number}.jsonl"


def _claim(folder: Path, places: int) -> tuple[int, TextIO]:
    """Take the first place that no other worker has, by making its log."""
    for number in range(places):
        try:
            # Written line by line, so that whoever reads along sees whole lines soon.
            return number, (folder / log_name(number)).open("x", buffering=1, encoding="utf-8")
        except FileExistsError:
            continue
    raise RuntimeError(f"{folder.name} has its {places} workers already: one was started again")
