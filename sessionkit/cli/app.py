"""The command's groups, each loaded when it is named: a keyring's commands do not wait for what reads logs."""

from __future__ import annotations

from functools import cache
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

__all__ = ["app"]


@cache
def _keyring() -> typer.Typer:
    from sessionkit.cli import emergency, keyring  # noqa: PLC0415 - loaded when it is named

    keyring.app.command("revoke")(emergency.revoke)
    keyring.app.command("not-before")(emergency.not_before)
    keyring.app.command("rollback")(emergency.rollback)
    return keyring.app


@cache
def _audit() -> typer.Typer:
    from sessionkit.cli import audit  # noqa: PLC0415 - loaded when it is named

    return audit.app


@cache
def _inspect() -> typer.Typer:
    from sessionkit.cli.inspect import inspect  # noqa: PLC0415 - loaded when it is named

    alone = typer.Typer(add_completion=False)
    alone.command("inspect")(inspect)
    return alone


_GROUPS = {"keyring": _keyring, "audit": _audit, "inspect": _inspect}
"""In the order in which the help names them."""


class _Named(TyperGroup):
    """Loads what is named; for a name that is none everything, so that a similar one is suggested."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - as the group's own
        """Return the names, of which nothing need be loaded."""
        return list(_GROUPS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a group or command, or None."""
        for name in (cmd_name,) if cmd_name in _GROUPS else _GROUPS:
            if name not in self.commands:
                self.add_command(get_command(_GROUPS[name]()), name)
        return super().get_command(ctx, cmd_name)


app = typer.Typer(
    name="sessionkit",
    cls=_Named,
    help="Encrypted cookie sessions: keyrings, cookies and audit logs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def root() -> None:
    """Encrypted cookie sessions: keyrings, cookies and audit logs."""
