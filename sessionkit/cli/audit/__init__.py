"""``sessionkit audit``: what a log tells, and whether it can be believed."""

from __future__ import annotations

import typer

from sessionkit.cli.audit.verify import verify

__all__ = ["app"]

app = typer.Typer(help="Read audit logs.", no_args_is_help=True)
app.command("verify")(verify)


@app.callback()
def root() -> None:
    """Read audit logs."""
