from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventstore.opening import open_store
from eventstore.records import Instant
from lrm_actors import report
from lrm_actors.domain import breaker, journal, modes, monitor, supervisor
from lrm_actors.domain.deadlines import Deadline
from lrm_actors.domain.metrics import Metrics
from lrm_actors.inspect import LogHealth, health_of
from lrm_actors.inspect.health import Owner, owner_of
from tests.inspect.conftest import Lived
from tests.inspect.logs import BOOT, CHECKPOINT, WALL_S, LogWriter

ALIVE, DEAD = Owner(alive=True, pid=42), Owner(alive=False, pid=42)
CHILDREN = ("actor:monitor", "actor:modes", "component:browser")


def at(tick: float, boot_id: str = BOOT) -> Instant:
    """A moment on the clock of ``LogWriter``."""
    return Instant(WALL_S + tick, 1_000.0 + tick, boot_id)


def look(log: LogWriter, tick: float, owner: Owner = ALIVE) -> LogHealth:
    """The health that a log tells at a moment."""
    return health_of(log.store, now=at(tick), owner=owner, agent_id="a", path="x")


def sampled(log: LogWriter, tick: float, **metrics: Any) -> int:
    """A sample taken at a moment."""
    return log.add("monitor", monitor.Sampled(Metrics(**metrics), 1_000.0 + tick))


def test_a_dead_agent_is_told_as_it_was(life: Lived) -> None:
    """Everything known of it, from the log alone; and that it is dead."""
    found = health_of(life.reader, now=at(100.0), owner=owner_of(life.path), agent_id="agent-1", path=str(life.path))
    told = found.report
    assert [] == report.missing_keys(told)
    assert told == json.loads(json.dumps(told, allow_nan=False))
    assert ("agent-1", "warning", "degraded") == (told["agent_id"], told["health_status"], told["operation_mode"])
    assert "memory 83.2 % >= 80.0 %" == told["health_cause"]
    assert ("open", 3) == (told["circuit_breakers"]["site"]["state"], told["circuit_breakers"]["site"]["failure_count"])
    assert 1 == told["components"]["browser"]["restarts"]
    assert {"component_exit": 1} == told["failures"]["by_category"]
    assert ("browser", "exit by signal 9") == tuple(
        told["failures"]["recent"][0][key] for key in ("component", "message")
    )
    checkpoints = told["checkpoints"]
    assert (1, CHECKPOINT, WALL_S + 10, 0, 0) == tuple(
        checkpoints[key] for key in ("count", "latest", "last_taken_at", "failures", "pinned")
    )
    assert checkpoints["last_age_s"] >= 0.0
    assert checkpoints["last_size_bytes"] > 0
    assert 1 == told["steps"]["committed"]
    assert life.at["last"] == told["log"]["head"]
    assert (False, "no process is alive, and it did not stop in order") == (found.owner.alive, found.stale)


def test_metrics_of_the_dead_are_the_last_known_and_not_known_now(life: Lived) -> None:
    """Numbers they stay, each named as unknown; the reason, which is the same for all, is told once."""
    found = health_of(life.reader, now=at(100.0), owner=DEAD)
    assert 83.2 == found.report["resource_metrics"]["memory_percent"]
    assert dict.fromkeys(report.METRICS, "stale") == found.report["unknown"]


def test_a_step_that_was_open_when_the_process_died_is_in_doubt(life: Lived) -> None:
    """As the next process will find; while the process lives it is only open."""
    in_doubt = {"step": 2, "name": "think", "attempt": 1}
    assert in_doubt == health_of(life.reader, now=at(9.0), owner=DEAD).report["steps"]["in_doubt"]
    assert health_of(life.reader, now=at(9.0), owner=ALIVE).report["steps"]["in_doubt"] is None


def test_a_living_agent_is_told_as_it_is(writer: LogWriter) -> None:
    """Up since its start, with fresh metrics, its breakers' remaining time and its actors."""
    started = writer.add("supervisor", supervisor.ProcessStarted(1, 42, restarted=False, children=CHILDREN))
    sampled(writer, 10.0, cpu_percent=20.0, memory_percent=30.0)
    until = Deadline(60.0, 1_070.0, WALL_S + 70, BOOT)
    writer.add("breaker/llm", breaker.Opened("llm", 1, "x", until))
    found = look(writer, 31.0)
    began = writer.store.get(started).recorded_at.monotonic_s
    assert 1_031.0 - began == found.report["uptime_s"]
    assert (39.0, "") == (found.report["circuit_breakers"]["llm"]["retry_after_s"], found.stale)
    assert {} == found.report["unknown"]
    assert ["modes", "monitor"] == list(found.report["actors"])
    assert 1 == found.report["actors"]["monitor"]["version"]
    assert "running" == found.report["components"]["browser"]["status"]


def test_a_process_that_says_nothing_any_more_is_stale(writer: LogWriter) -> None:
    """Alive by its lock, but its monitor is silent for far longer than it would be."""
    sampled(writer, 1.0, cpu_percent=20.0, memory_percent=30.0)
    limit_s = 5 * 30.0
    assert "" == look(writer, 1.0 + limit_s).stale
    assert "no sample came for 152 s" in look(writer, 1.0 + limit_s + 2.0).stale


def test_a_slower_mode_may_be_silent_for_longer(writer: LogWriter) -> None:
    """Minimal mode looks three times less often."""
    sampled(writer, 1.0, cpu_percent=20.0, memory_percent=30.0)
    writer.add("monitor", monitor.ModeNoted("minimal"))
    assert "" == look(writer, 400.0).stale
    assert look(writer, 500.0).stale


@pytest.mark.parametrize(
    ("clean", "told"),
    [(True, "no process is alive: it stopped in order"), (False, "no process is alive: it stopped, not all in order")],
)
def test_an_orderly_end_is_told(writer: LogWriter, clean: bool, told: str) -> None:
    """Dead is not the same as crashed."""
    writer.add("supervisor", supervisor.ProcessStarted(1, 42, restarted=False, children=CHILDREN))
    writer.add("supervisor", supervisor.ProcessStopped(clean, "stop"))
    assert told == look(writer, 3.0, DEAD).stale


def test_an_empty_log_has_every_key_and_is_not_known(writer: LogWriter) -> None:
    """Nothing was sampled, so nothing is known; nothing fails either."""
    found = look(writer, 1.0)
    assert [] == report.missing_keys(found.report)
    assert (None, None) == (found.last, found.silent_s)
    assert report.NO_SAMPLE == found.report["unknown"]["cpu_percent"]


def test_after_a_reboot_the_wall_clock_tells_the_age(writer: LogWriter) -> None:
    """Monotonic times of two boots cannot be compared."""
    position = writer.add("journal", journal.JournalOpened(1))
    recorded = writer.store.get(position).recorded_at
    now = Instant(recorded.wall_s + 7.0, 3.0, "another boot")
    found = health_of(writer.store, now=now, owner=DEAD)
    assert 7.0 == found.silent_s
    earlier = msgspec.structs.replace(now, wall_s=0.0)
    assert 0.0 == health_of(writer.store, now=earlier, owner=DEAD).silent_s


def test_a_component_seen_down_is_told(writer: LogWriter) -> None:
    """Until it is restarted."""
    writer.add("supervisor", supervisor.ProcessStarted(1, 42, restarted=False, children=CHILDREN))
    writer.add("monitor", monitor.HeartbeatMissed("browser", 3.0, 1.0))
    assert "heartbeat_missed" == look(writer, 3.0).report["components"]["browser"]["down"]
    writer.add("monitor", monitor.ComponentRestartNoted("browser"))
    assert "" == look(writer, 3.0).report["components"]["browser"]["down"]


def test_a_component_that_left_is_told_no_more(writer: LogWriter) -> None:
    """Nor an actor that is gone."""
    writer.add("supervisor", supervisor.ProcessStarted(1, 42, restarted=False, children=CHILDREN))
    writer.add("supervisor", supervisor.ChildRemoved("component:browser"))
    writer.add("modes", modes.Configured(enabled=True))
    assert {} == look(writer, 3.0).report["components"]


def test_the_lock_tells_whether_somebody_owns_the_log(tmp_path: Path) -> None:
    """While it is open for writing, and no longer; asking takes it from nobody."""
    path = tmp_path / "lrm.db"
    assert Owner(alive=False, pid=None) == owner_of(path)
    with open_store(path):
        assert Owner(alive=True, pid=os.getpid()) == owner_of(path)
        assert Owner(alive=True, pid=os.getpid()) == owner_of(path)
    assert Owner(alive=False, pid=os.getpid()) == owner_of(path)
    open_store(path).close()


def test_a_killed_owner_is_dead(tmp_path: Path) -> None:
    """The lock goes with the process, however it ends."""
    path = tmp_path / "lrm.db"
    opening = f"import sys, eventstore; eventstore.open_store({str(path)!r})"
    code = f"{opening}; print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert b"open\n" == process.stdout.readline()
        assert Owner(alive=True, pid=process.pid) == owner_of(path)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert Owner(alive=False, pid=process.pid) == owner_of(path)
