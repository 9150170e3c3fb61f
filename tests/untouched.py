"""Tests that configure structlog and logging leave both as they found them."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["untouched"]


@contextmanager
def untouched() -> Iterator[None]:
    """Begin with structlog as nobody configured it; end with that, and with the loggers of before."""
    loggers = [logging.getLogger(name) for name in (None, "sessionkit", "sessionkit.audit")]
    before = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    for logger, handlers, level, propagate in before:
        for handler in set(logger.handlers).difference(handlers):
            handler.close()
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)
