"""``sessionkit audit``: what the log tells. One module a command; what one alone needs is loaded when it runs."""

from __future__ import annotations

import typer

from sessionkit.cli.audit import follow, ref, report, trace, verify

__all__ = ["app"]

app = typer.Typer(help="Read audit logs.", no_args_is_help=True, add_completion=False)
app.command("report")(report.report)
app.command("trace")(trace.trace)
app.command("ref")(ref.ref)
app.command("follow")(follow.follow)
app.command("verify")(verify.verify)
