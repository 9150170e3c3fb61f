"""The command's groups."""

from __future__ import annotations

import typer

from sessionkit.cli import inspect as inspecting
from sessionkit.cli import keyring
from sessionkit.cli.audit.report import report

__all__ = ["app"]

app = typer.Typer(
    name="sessionkit",
    help="Encrypted cookie sessions: keyrings and cookies.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(keyring.app, name="keyring")
audit = typer.Typer(help="Read audit logs.", no_args_is_help=True)
audit.command("report")(report)
audit.callback()(lambda: None)
app.add_typer(audit, name="audit")
app.command("inspect")(inspecting.inspect)


@app.callback()
def root() -> None:
    """Encrypted cookie sessions: keyrings and cookies."""
