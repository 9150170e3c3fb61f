"""What the commands have in common: text for people, JSON for programs, and exit statuses.

Exit status 0: done. 1: refused or failed, with the reason. 2: wrong usage.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

from sessionkit.exceptions import ConfigurationError, RotationRefused, SessionKitError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["AsJson", "console", "errors", "failing", "now", "refuse", "say", "span", "when"]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

# No emoji: "log:100: ..." is a place in a file.
console = Console(highlight=False, soft_wrap=True, emoji=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


_LAST = 253_402_300_799.0
"""The end of the year 9999 in Unix seconds."""


def now() -> float:
    """Return whole Unix seconds: keyring files hold no fractions."""
    return float(int(time.time()))


def when(moment: float | None) -> str | None:
    """Return Unix seconds as ISO 8601; of what lies beyond, the last date that there is: a log may say anything."""
    if moment is None:
        return None
    return datetime.fromtimestamp(min(moment, _LAST), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def span(seconds: float) -> str:
    """Return a span of time in one word for people."""
    sign = "" if seconds >= 0 else "in "
    seconds = abs(seconds)
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{sign}{seconds / size:.0f} {name}"
    return f"{sign}{seconds:.0f} s"


def say(text: str, facts: dict[str, Any], *, as_json: bool) -> None:
    """Print the outcome: text, or facts as JSON."""
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        console.print(text, markup=False)


def refuse(reason: str, *, as_json: bool, status: int = 1, **facts: object) -> NoReturn:
    """Print why not, and end with an exit status."""
    if as_json:
        typer.echo(json.dumps({"refused": reason, **facts}))
    else:
        errors.print(reason, markup=False)
    raise typer.Exit(status)


@contextmanager
def failing(*, as_json: bool, status: int = 1) -> Iterator[None]:
    """Turn the package's errors into a message and an exit status."""
    try:
        yield
    except RotationRefused as error:
        allowed = when(error.allowed_at)
        text = str(error) if allowed is None or as_json else f"{error} Allowed from {allowed}."
        refuse(text, as_json=as_json, status=status, allowed_at=allowed)
    except ConfigurationError as error:
        refuse(str(error), as_json=as_json, status=status, field=error.field, line=error.line)
    except SessionKitError as error:
        refuse(str(error), as_json=as_json, status=status)
