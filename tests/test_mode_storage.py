from __future__ import annotations

import asyncio
import contextlib
import resource
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from eventstore.errors import CorruptEvent
from lrm_actors import LongRunningMode
from lrm_actors.domain.health import CRITICAL, FAILING, HEALTHY, WARNING
from lrm_actors.domain.monitor import MonitorState
from lrm_actors.inspect import sections
from lrm_actors.inspect.sections import LOG_CLOSED, NOBODY_WATCHES
from tests.mode_kit import DEADLINE_S, settings, soon


@contextlib.contextmanager
def no_space_after(size_bytes: int) -> Iterator[None]:
    """No file of this process may grow past a size, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def report_of(mode: LongRunningMode, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first health report that fits, asked for again and again; asking costs nothing."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            report = await mode.get_health_report()
            if fits(report):
                return report
            await asyncio.sleep(0)


def test_a_log_that_cannot_be_written_is_never_healthy(tmp_path: Path) -> None:
    """The monitor cannot put on record how the agent is, so its last word is not passed on; with space it is again."""

    async def main() -> None:
        config = settings(tmp_path, cpu_threshold_warning=100.0, cpu_threshold_critical=100.0)
        async with LongRunningMode(config) as mode:
            await soon(mode, "monitor.sampled")
            written = config.log_path.with_name("lrm.db-wal").stat().st_size
            with no_space_after(written):
                told = await report_of(mode, lambda report: LOG_CLOSED in report["health_cause"])
                assert (CRITICAL, True) == (told["health_status"], "no_storage" in str(told["actors"]))
            again = await report_of(mode, lambda report: LOG_CLOSED not in report["health_cause"])
            assert "no_storage" not in str(again["actors"])

    asyncio.run(main())


@pytest.mark.parametrize(
    ("found", "written", "watched", "status", "cause"),
    [
        (HEALTHY, True, True, HEALTHY, ""),
        (WARNING, True, True, WARNING, "found"),
        (HEALTHY, True, False, WARNING, NOBODY_WATCHES),
        (HEALTHY, False, True, CRITICAL, LOG_CLOSED),
        (FAILING, False, True, FAILING, f"{LOG_CLOSED}; found"),
        (CRITICAL, False, False, CRITICAL, f"{LOG_CLOSED}; {NOBODY_WATCHES}; found"),
    ],
)
def test_the_status_is_the_worst_that_is_known(
    found: str, written: bool, watched: bool, status: str, cause: str
) -> None:
    """And the cause names all of it; while nothing is wrong there is none, whatever was wrong before."""
    state = attrs.evolve(MonitorState(), status=found, cause="found")
    assert (status, cause) == sections.health(state, written=written, watched=watched)


def test_a_log_with_a_damaged_event_is_told_at_the_start(tmp_path: Path) -> None:
    """An agent whose past cannot be read is told so, by the position, and waits for no actor that never answers."""
    mine = settings(tmp_path)
    with LongRunningMode(mine) as mode, mode.step("one") as step:
        step.result = 1
    connection = sqlite3.connect(mine.log_path)
    connection.execute("DELETE FROM snapshots")  # with the one from its stop nobody would read so far back
    connection.execute(
        "UPDATE events SET data = X'7B7B' WHERE position = (SELECT max(position) FROM events JOIN streams ON"
        " streams.id = stream_id WHERE streams.name = 'journal')"
    )
    connection.commit()
    connection.close()
    with pytest.raises(CorruptEvent, match="position") as raised, LongRunningMode(mine):
        pass
    assert f"log: {mine.log_path}" == raised.value.__notes__[-1]
