"""The command's groups."""

from __future__ import annotations

import typer

from sessionkit.cli import audit, emergency, keyring
from sessionkit.cli import inspect as inspecting

__all__ = ["app"]

app = typer.Typer(
    name="sessionkit",
    help="Encrypted cookie sessions: keyrings, cookies and audit logs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
keyring.app.command("revoke")(emergency.revoke)
keyring.app.command("not-before")(emergency.not_before)
keyring.app.command("rollback")(emergency.rollback)
app.add_typer(keyring.app, name="keyring")
app.add_typer(audit.app, name="audit")
app.command("inspect")(inspecting.inspect)


@app.callback()
def root() -> None:
    """Encrypted cookie sessions: keyrings, cookies and audit logs."""
