"""``sessionkit inspect``: what a cookie is, without showing what is in it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from sessionkit.backend.backend import SessionBackend
from sessionkit.backend.messages import Absent, Loaded, Rejected
from sessionkit.cli.output import AsJson, console, failing, now, refuse, say, when
from sessionkit.config import MAX_CHUNKS_LIMIT, SessionConfig
from sessionkit.keyring.keyring import DEFAULT_POLICY, Keyring

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionkit.backend.messages import Received

__all__ = ["described", "inspect"]


def inspect(
    cookie: Annotated[
        str,
        typer.Argument(
            help="The cookie: its value, or 'name=value; name-1=value' as in a Cookie header; '-' reads stdin."
        ),
    ],
    keyring: Annotated[Path, typer.Option("--keyring", help="The keyring file.")],
    name: Annotated[str, typer.Option(help="The cookie's name.")] = "session",
    context: Annotated[str, typer.Option(help="The audience it is sealed for.")] = "",
    reveal: Annotated[bool, typer.Option("--reveal", help="Show the session's values, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what a cookie is: its key, its times, its size; the values only with --reveal."""
    with failing(as_json=as_json):
        received = described(cookie, Keyring.load(keyring), name, context, clock=now)
    match received:
        case Loaded() as loaded:
            facts = _facts(loaded)
            if reveal:
                facts["values"] = loaded.data
            _show(facts, as_json=as_json)
        case Rejected() as rejected:
            kid = None if rejected.key is None else rejected.key.kid
            label = None if rejected.key is None else rejected.key.label
            refuse(f"not accepted: {rejected.reason.value}", as_json=as_json, kid=kid, label=label)
        case Absent():
            refuse(f"there is no cookie named {name!r} in it", as_json=as_json)


def described(cookie: str, ring: Keyring, name: str, context: str, *, clock: Callable[[], float]) -> Received:
    """Return what a ring makes of a cookie as people give it.

    Args:
        cookie: its value, or a Cookie header's; ``-`` reads standard input, where no history of a shell keeps it.
        ring: the keys.
        name: the cookie's name.
        context: the audience it is sealed for.
        clock: returns Unix seconds.

    Raises:
        ConfigurationError: if no cookie can have such a name, or no session such a context.
    """
    text = sys.stdin.read().strip() if cookie == "-" else cookie.strip()
    config = SessionConfig(key=name, context=context, max_chunks=MAX_CHUNKS_LIMIT)
    policy_free = ring.changed(policy=DEFAULT_POLICY)
    field = text if "=" in text else f"{name}={text}"
    return SessionBackend(config, policy_free, clock=clock).describe([field.encode("utf-8", "replace")])


def _facts(loaded: Loaded) -> dict[str, Any]:
    record, key = loaded.record, loaded.key
    return {
        "kid": key.kid,
        "label": key.label,
        "state": key.state.value,
        "session_id": record.id.hex(),
        "created": when(record.created),
        "authenticated": when(record.authenticated or None),
        "issued": when(record.issued),
        "remember": record.remember,
        "size": loaded.size,
        "cookies": len(loaded.names),
        "entries": len(loaded.data),
    }


def _show(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        values = {name: value if name != "values" else repr(value) for name, value in facts.items()}
        say("", values, as_json=True)
        return
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), "-" if value is None else str(value))
    console.print(table, markup=False)
