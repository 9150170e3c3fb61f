"""The ``sessionkit`` command, run as an operator runs it."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from subprocess import CompletedProcess

__all__ = ["Failed", "command", "run", "text"]


class Failed(Exception):  # noqa: N818 - tells what happened
    """A run cannot go on; the message is for people."""


def command() -> str:
    """Return the ``sessionkit`` command that belongs to this interpreter."""
    return str(Path(sys.executable).with_name("sessionkit"))


async def run(*arguments: str) -> CompletedProcess[bytes]:
    """Run the command line; what it says for people and what it says of errors come as one output."""
    return await anyio.run_process([command(), *arguments], check=False, stdout=PIPE, stderr=STDOUT)


def text(result: CompletedProcess[bytes]) -> str:
    """Return what a command said, on one line."""
    return " ".join(result.stdout.decode("utf-8", "replace").split())
