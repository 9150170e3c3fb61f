"""Runs servers, one after the other, and asks each of them everything."""

from __future__ import annotations

import shutil
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import anyio

from rotation_shop.command import Failed, run, text
from rotation_shop.server import HOST, free_port, ready, serve
from server_survey.probes import PROBES, Target
from server_survey.row import Row
from server_survey.servers import KEYRING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from server_survey.probes import Probe
    from server_survey.servers import Server

__all__ = ["keyring", "look"]

LONGEST = 60.0
"""Seconds that one server may take."""


async def keyring(folder: Path) -> Path:
    """Make the keyring that every server gets a copy of, with a key that is ready to take over.

    Raises:
        Failed: if it cannot be made.
    """
    path = folder / "keyring.yaml"
    done = await run("keyring", "init", str(path), "--propagation", "0", "--skew", "0")
    if done.returncode:
        raise Failed(f"keyring init: {text(done)}")
    return path


async def look(server: Server, source: Path, seconds: float = LONGEST, *, probes: Sequence[Probe] = PROBES) -> Row:
    """Run a server, and return what was found out; whatever goes wrong is in the row.

    Args:
        server: which.
        source: the keyring file, in a folder where the server's own files go.
        seconds: that it may take, if that is less than it may take anyhow.
        probes: what to ask.
    """
    row = Row(server.name, {package: _version(package) for package in server.packages})
    folder = source.with_name(server.name.replace(", ", "-").replace("/", "").replace(" ", "-").replace("'", ""))
    folder.mkdir()
    ring = folder / "keyring.yaml"
    shutil.copy2(source, ring)
    log, port = folder / "server.log", free_port()
    began = time.monotonic()
    seconds = min(seconds, LONGEST)
    with anyio.move_on_after(seconds) as limit, serve(server.command(port), {KEYRING: str(ring)}, log) as process:
        try:
            await ready(f"http://{HOST}:{port}", process, log, server.workers, http2=server.http2)
        except Failed:
            row.troubles.append(f"it did not start: {_last_words(log)}")
        except Exception as error:  # noqa: BLE001 - whatever answered there, it was not the application
            row.troubles.append(f"it did not start: {type(error).__name__}; {_last_words(log)}")
        else:
            target = Target(server, port, ring, log, row)
            for probe in probes:
                await _ask(probe, target)
    if limit.cancelled_caught:
        row.troubles.append(f"it took longer than {seconds:.0f} s")
    row.seconds = round(time.monotonic() - began, 1)
    return row


async def _ask(probe: Probe, target: Target) -> None:
    """Ask one question; that it fails says nothing of the others."""
    try:
        await probe(target)
    except Exception as error:  # noqa: BLE001 - whatever a client makes of a server's answer is a finding
        target.row.troubles.append(f"{probe.__name__}: {type(error).__name__}: {error}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "without a word"
