"""For ``logging.config``: one formatter for the lines of structlog and for everybody else's, as JSON.

``dictConfig`` can call a factory by its name, but cannot make the list of processors that structlog's formatter takes;
in YAML there is no other way to them. ``config/logging.yaml`` shows the use.
"""

from __future__ import annotations

import structlog

__all__ = ["json_formatter"]


def json_formatter() -> structlog.stdlib.ProcessorFormatter:
    """Return a formatter that writes each record as one JSON object.

    Records that came from structlog (by ``ProcessorFormatter.wrap_for_formatter``) keep their fields; those of other
    loggers get ``event``, ``level``, ``logger``, ``timestamp``, their ``extra``, and what is bound in structlog's
    context variables. A timestamp that is there already stays: a line of the audit log tells when it happened, not when
    it was written. An exception is text; frames' local variables are never shown.
    """
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.stdlib.add_log_level,
            structlog.processors.MaybeTimeStamper("iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )
