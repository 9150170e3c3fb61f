"""Fits for other people's libraries: a module a library, named after it; each is imported by who wants it alone."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["extra"]


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Say what to install if the body, which imports a library, does not find it.

    Args:
        name: of the library, and of the extra that installs it.

    Raises:
        ModuleNotFoundError: if it is not installed. Other modules that are missing are told as Python tells them.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != name:
            raise
        problem = f"sessionkit.contrib.{name} needs {name}: pip install 'asgi-sessionkit[{name}]'"
        raise ModuleNotFoundError(problem, name=name) from error
