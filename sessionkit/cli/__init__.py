"""The ``sessionkit`` command."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command; say what to install if its libraries are missing."""
    try:
        from sessionkit.cli.app import app  # noqa: PLC0415 - typer, rich and filelock come with an extra
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] == "sessionkit":
            raise
        sys.stderr.write(f'The command line needs {error.name}. Install it: pip install "asgi-sessionkit[cli]"\n')
        sys.exit(2)
    app()
