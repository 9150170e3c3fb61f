"""What ASGI's callables look like, in the words of its specification."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias, TypeVar

__all__ = ["ASGIApp", "ASGIMessage", "Receive", "Scope", "Send", "marked"]

Scope: TypeAlias = MutableMapping[str, Any]
ASGIMessage: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[ASGIMessage]]
Send: TypeAlias = Callable[[ASGIMessage], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def marked(function: _Function) -> _Function:
    """Mark a function that returns what is to be awaited as asynchronous, without making it a coroutine function.

    For those who ask before they call: asgiref warns of any other ``send`` (WSGI applications, Channels' consumers).
    """
    if sys.version_info >= (3, 12):
        from inspect import markcoroutinefunction  # noqa: PLC0415 - of these releases

        return markcoroutinefunction(function)
    from asyncio import coroutines  # noqa: PLC0415 - where it is kept in the older ones

    function._is_coroutine = coroutines._is_coroutine  # type: ignore[attr-defined]  # noqa: SLF001 - as asgiref does it
    return function
