"""Structured logging with the standard library alone: a JSON formatter, and the context that every line carries.

Nothing is printed unless the host asks for it: the package's logger has a handler that does nothing.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from typing import Any, TextIO

from eventstore.records import Record
from lrm_actors.inspect.plain import plain_json

LOGGER = "lrm_actors"
"""Name of the package's logger; its modules' loggers stand below it."""
KEYS = ("time", "level", "logger", "message", "agent_id", "step", "position", "event", "fields", "error")
"""Every key of a JSON line, in its order. What is not known is null."""

logging.getLogger(LOGGER).addHandler(logging.NullHandler())


class LogContext:
    """Whose lines these are, and how far the agent and its log have come. Safe to read from any thread."""

    def __init__(self, agent_id: str, *, step: int | None = None, position: int = 0) -> None:
        self.agent_id = agent_id
        self._lock = threading.Lock()
        self._now = (step, position)

    @property
    def step(self) -> int | None:
        """The agent's open step, or the last one it made; None before the first."""
        return self._now[0]

    @property
    def position(self) -> int:
        """The newest position of the log that was seen."""
        return self._now[1]

    def note(self, record: Record) -> None:
        """Take a committed record into account."""
        step = _step_of(record)
        with self._lock:
            was, position = self._now
            self._now = (was if step is None else step, max(position, record.position))

    def passed(self, position: int) -> None:
        """Take into account that the log has come so far."""
        with self._lock:
            step, before = self._now
            self._now = (step, max(before, position))

    def extra(self, *, event: str | None = None, fields: dict[str, Any] | None = None) -> dict[str, Any]:
        """What to pass to a logging call as ``extra``."""
        step, position = self._now
        return {
            "agent_id": self.agent_id,
            "step": step,
            "position": position,
            "event": event,
            "fields": fields if fields is not None else {},
        }


def _step_of(record: Record) -> int | None:
    if not record.type.startswith("journal.step_") or not record.events:
        return None
    step = getattr(record.events[0], "step", None)
    return step if isinstance(step, int) else None


class ContextFilter(logging.Filter):
    """Gives the lines of a handler that carry no context the one it was made with. Never filters any out."""

    def __init__(self, context: LogContext) -> None:
        super().__init__()
        self._context = context

    def filter(self, record: logging.LogRecord) -> bool:
        """Fill in what is missing."""
        if not hasattr(record, "agent_id"):
            vars(record).update(self._context.extra())
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object per line, with the keys of ``KEYS``. Times are UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """The line. Values that JSON has no form for are given as their ``repr``."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **{key: getattr(record, key, None) for key in ("agent_id", "step", "position", "event", "fields")},
            "error": self._error(record),
        }
        return plain_json(json.dumps(line, ensure_ascii=False, default=repr))

    def _error(self, record: logging.LogRecord) -> dict[str, str] | None:
        if not record.exc_info or record.exc_info[1] is None:
            return None
        error = record.exc_info[1]
        # Together on one line: a log is read by line.
        return {
            "type": type(error).__qualname__,
            "message": str(error),
            "traceback": self.formatException(record.exc_info),
        }


def log_to(
    stream: TextIO | None = None, *, level: int = logging.INFO, context: LogContext | None = None
) -> logging.Handler:
    """Write this package's lines as JSON to a stream, stderr by default; returns the handler, to be removed by.

    Args:
        stream: where to.
        level: the least important level written.
        context: carried by lines that have none of their own, those of the runtime.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormatter())
    handler.setLevel(level)
    if context is not None:
        handler.addFilter(ContextFilter(context))
    logger = logging.getLogger(LOGGER)
    logger.addHandler(handler)
    if logger.getEffectiveLevel() > level:
        logger.setLevel(level)
    return handler
