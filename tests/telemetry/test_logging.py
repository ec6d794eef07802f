from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventstore.records import Instant, Record
from lrm_actors.domain.journal import StepBegun, StepCommitted
from lrm_actors.domain.supervisor import ProcessStarted
from lrm_actors.telemetry.logging import KEYS, LOGGER, ContextFilter, JsonFormatter, LogContext, log_to


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the package's logger writes as JSON, DEBUG included; nothing of it stays afterwards."""
    stream = io.StringIO()
    logger = logging.getLogger(LOGGER)
    level, handlers = logger.level, list(logger.handlers)
    log_to(stream, level=logging.DEBUG, context=LogContext("agent-1", step=4, position=17))
    yield stream
    logger.setLevel(level)
    logger.handlers[:] = handlers


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    """The lines, each read as JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def record(position: int, event: object, type_name: str) -> Record:
    """A record of the journal."""
    return Record(
        position, "journal", 1, type_name, 1, (event,), Instant(0.0, 0.0, "b"), None, None, "", 0, b'{"step":1}'
    )


def test_each_line_is_one_json_object_with_every_key(lines: io.StringIO) -> None:
    """Whatever is in the message, and whether there is an error."""
    logger = logging.getLogger(f"{LOGGER}.tests")
    logger.warning("two\nlines of %s", '"quotes" and ünïcode')
    try:
        raise ValueError("wrong\nvalue")
    except ValueError:
        logger.exception("it failed")
    first, second = written(lines)
    assert list(KEYS) == list(first) == list(second)
    assert ("WARNING", f"{LOGGER}.tests", 'two\nlines of "quotes" and ünïcode', None) == (
        first["level"],
        first["logger"],
        first["message"],
        first["error"],
    )
    assert ("ValueError", "wrong\nvalue") == (second["error"]["type"], second["error"]["message"])
    assert "Traceback" in second["error"]["traceback"]


def test_a_line_without_a_context_carries_its_handlers(lines: io.StringIO) -> None:
    """Lines of the runtime, which knows no agent, have agent id, step and position too."""
    logging.getLogger(f"{LOGGER}.runtime").info("x")
    (line,) = written(lines)
    assert ("agent-1", 4, 17) == (line["agent_id"], line["step"], line["position"])


def test_a_line_with_a_context_carries_its_own(lines: io.StringIO) -> None:
    """Another agent of the same process keeps its id."""
    other = LogContext("agent-2", step=9, position=3)
    logging.getLogger(LOGGER).info("x", extra=other.extra(event="breaker.opened", fields={"service": "llm"}))
    (line,) = written(lines)
    assert ("agent-2", 9, 3, "breaker.opened", {"service": "llm"}) == tuple(
        line[key] for key in ("agent_id", "step", "position", "event", "fields")
    )


def test_times_are_utc(lines: io.StringIO) -> None:
    """To the millisecond, with the offset."""
    made = logging.LogRecord("x", logging.INFO, "f", 1, "m", None, None)
    made.created = 1_700_000_000.25
    assert "2023-11-14T22:13:20.250+00:00" == json.loads(JsonFormatter().format(made))["time"]


def test_what_json_has_no_form_for_is_written_all_the_same(lines: io.StringIO) -> None:
    """A log line must never be what fails."""
    logging.getLogger(LOGGER).info("x", extra=LogContext("a").extra(fields={"thing": {1, 2}, "path": Path("/x")}))
    (line,) = written(lines)
    assert "{1, 2}" == line["fields"]["thing"]


def test_a_filter_lets_everything_through() -> None:
    """It only adds."""
    made = logging.LogRecord("x", logging.DEBUG, "f", 1, "m", None, None)
    assert ContextFilter(LogContext("a")).filter(made) is True
    assert "a" == vars(made)["agent_id"]


def test_the_context_follows_the_log() -> None:
    """Step and position of the newest record; an older one that comes late sets nothing back."""
    context = LogContext("a")
    assert (None, 0) == (context.step, context.position)
    context.note(record(5, StepBegun(1, "look", 1), "journal.step_begun"))
    assert (1, 5) == (context.step, context.position)
    context.note(record(6, ProcessStarted(1, 2, restarted=False), "supervisor.process_started"))
    context.note(record(7, StepCommitted(1, "look", None), "journal.step_committed"))
    context.note(record(8, StepBegun(2, "think", 1), "journal.step_begun"))
    context.note(record(3, ProcessStarted(1, 2, restarted=False), "supervisor.process_started"))
    assert (2, 8) == (context.step, context.position)


def test_a_host_that_asks_for_nothing_sees_nothing() -> None:
    """Not even a warning on stderr: what to do with lines is the host's choice."""
    code = "import lrm_actors.telemetry.logging, logging; logging.getLogger('lrm_actors.x').error('unwanted')"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert ("", "") == (done.stdout, done.stderr)


def test_the_level_asked_for_is_the_level_written() -> None:
    """And the handler can be taken off again."""
    stream = io.StringIO()
    logger = logging.getLogger(LOGGER)
    level = logger.level
    handler = log_to(stream)
    try:
        logger.debug("no")
        logger.info("yes")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    logger.warning("no more")
    assert ["yes"] == [line["message"] for line in written(stream)]
