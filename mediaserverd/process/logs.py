"""Logging of a role process: structlog, JSON lines on standard error."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

SECRET_KEYS = frozenset({"password", "token", "authorization", "secret", "ha1_md5", "ha1_sha256", "private_key"})

# Without locals: they would carry secrets and audio into the log.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def configure_logging(role: str, level: str, *, console: bool = False) -> None:
    """JSON lines; ``console`` gives coloured lines for people instead."""
    renderer: Any = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _hide_secrets,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.ExceptionPrettyPrinter() if console else _TRACEBACKS,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
    logging.basicConfig(level=logging.WARNING, handlers=[_ToStructlog()], force=True)


def _hide_secrets(_: Any, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """The last line of defence: a secret never reaches a log, whoever passes it."""
    return {key: "***" if key in SECRET_KEYS else value for key, value in event.items()}


class _ToStructlog(logging.Handler):
    """Libraries log through the standard module; their lines take the same way out."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger().bind(logger=record.name)
        fields = {"exc_info": record.exc_info} if record.exc_info else {}
        logger.log(record.levelno, "library_message", text=record.getMessage(), **fields)
