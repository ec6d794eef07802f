"""Whoever keeps an agent alive and does not run itself: the health says so, whatever the resources are like."""

from __future__ import annotations

import itertools

import pytest

from eventstore.records import Instant
from lrm_actors.domain import supervisor
from lrm_actors.domain.children import BACKOFF, GIVEN_UP, HELD, HOLDING, RESTARTING, RUNNING, STOPPED, ChildState
from lrm_actors.domain.deadlines import Deadline
from lrm_actors.domain.health import CRITICAL, FAILING, HEALTHY, STATUSES, WARNING
from lrm_actors.domain.monitor import MonitorState
from lrm_actors.domain.watching import ActorTakenOver, HandlerSlow, WatchdogExhausted
from lrm_actors.inspect import health_of, sections, standing
from lrm_actors.inspect.health import Owner
from lrm_actors.runtime import control
from lrm_actors.runtime.watchdog import Watch
from tests.inspect.logs import BOOT, WALL_S, LogWriter

OURS = ("supervisor", "journal", "checkpointer", "analyzer", "modes", "monitor")
OTHERS = {HEALTHY: HEALTHY, CRITICAL: WARNING, FAILING: WARNING}
"""What a breaker's actor makes of the health where one of ours would make that of it."""


def state_of(name: str, status: str) -> supervisor.SupervisorState:
    """A supervisor whose only child is in this status, after two restarts."""
    child = ChildState(name.partition(":")[0], status, 2, (1.0, 2.0), 3.0, "OSError\nno disk")
    return supervisor.SupervisorState(children={name: child})


@pytest.mark.parametrize(
    ("status", "least", "said"),
    [
        (RUNNING, HEALTHY, ""),
        (BACKOFF, CRITICAL, " failed and waits for its restart: OSError no disk"),
        (RESTARTING, CRITICAL, " failed and is being restarted: OSError no disk"),
        (HOLDING, CRITICAL, " is being stopped with others"),
        (HELD, CRITICAL, " is held while others are restarted"),
        (STOPPED, FAILING, " has stopped; start the process again"),
        (GIVEN_UP, FAILING, " was given up after 2 restarts: OSError no disk; "),
    ],
)
def test_a_child_that_does_not_run_makes_the_health_what_it_is(status: str, least: str, said: str) -> None:
    """By its name, and with what to do; a breaker's actor guards one service, and is a warning."""
    for name, others in itertools.product((*OURS, "breaker/llm"), STATUSES):
        of_it = OTHERS[least] if name.startswith("breaker") else least
        fallen = standing.of_supervisor(state_of(f"actor:{name}", status))
        found, cause = sections.health(MonitorState(status=others, cause="found"), fallen=fallen)
        assert max(of_it, others, key=STATUSES.index) == found
        assert f"{name}{said}" in cause if said else cause == ("" if others == HEALTHY else "found")


@pytest.mark.parametrize(
    ("phase", "least"),
    [
        (control.RUNNING, HEALTHY),
        (control.FAILED, CRITICAL),
        (control.HALTED, CRITICAL),
        (control.STOPPED, FAILING),
    ],
)
def test_an_actor_that_does_not_run_is_told_by_its_phase(phase: str, least: str) -> None:
    """Where the supervisor knows nothing of it, above all of itself."""
    for name in (*OURS, "breaker/llm"):
        fallen = standing.of_phases({name: phase, "other": control.RUNNING})
        of_it = OTHERS[least] if name.startswith("breaker") else least
        status, cause = sections.health(MonitorState(), fallen=fallen)
        assert (of_it, of_it != HEALTHY) == (status, cause.startswith(name))
        assert [] == standing.of_phases({name: phase}, known=[standing.Fallen(name, FAILING, "told")])


def test_a_component_that_was_given_up_is_critical() -> None:
    """Nobody brings it back. One that is on its way back is judged by the monitor, and one that ended may be done."""
    told = sections.health(MonitorState(), fallen=standing.of_supervisor(state_of("component:browser", GIVEN_UP)))
    why = "'lrm why supervisor.child_given_up' tells why"
    assert (CRITICAL, f"browser was given up after 2 restarts: OSError no disk; {why}; {standing.REGISTER}") == told
    for status in (RUNNING, BACKOFF, RESTARTING, HELD, STOPPED):
        assert [] == standing.of_supervisor(state_of("component:browser", status))


def test_a_supervisor_that_stopped_all_is_failing() -> None:
    """Its children are held, and nobody will start them."""
    down = supervisor.SupervisorState(down="escalate", down_because="too many restarts")
    status, cause = sections.health(MonitorState(), fallen=standing.of_supervisor(down))
    assert (FAILING, True) == (status, "stopped every actor: too many restarts" in cause)


def test_who_hangs_is_critical() -> None:
    """From the limit on at which the watchdog calls it slow; and a process that is to be replaced is failing."""
    assert (Watch().slow_s, Watch().hung_s) == (standing.SLOW_S, standing.HUNG_S)
    assert [] == standing.of_busy({"journal": 4.9})
    fallen = standing.of_busy({"journal": 5.0, "breaker/llm": 7.0})
    assert [CRITICAL, WARNING] == [one.status for one in fallen]
    assert "journal has had one message in hand for 5 s" in fallen[0].why
    exhausted = [*standing.of_process(exhausted=True), *fallen]
    assert FAILING == sections.health(MonitorState(), fallen=exhausted)[0]


# --- read from a log ----------------------------------------------------------------------------------------------


def look(log: LogWriter, tick: float, boot_id: str = BOOT) -> tuple[str, str]:
    """Status and cause that a log tells at a moment, while its process lives."""
    now = Instant(WALL_S + tick, 1_000.0 + tick, boot_id)
    told = health_of(log.store, now=now, owner=Owner(alive=True, pid=42)).report
    return told["health_status"], told["health_cause"]


def start(log: LogWriter) -> None:
    """Its process starts."""
    children = tuple(f"actor:{name}" for name in OURS[1:])
    log.add("supervisor", supervisor.ProcessStarted(1, 42, restarted=False, children=children))


@pytest.mark.parametrize("name", OURS[1:])
def test_a_log_tells_of_an_actor_that_was_given_up(writer: LogWriter, name: str) -> None:
    """Failing, until the next process starts; on the way there it is critical."""
    start(writer)
    assert (HEALTHY, "") == look(writer, 2.0)
    writer.add("supervisor", supervisor.ChildFailed(f"actor:{name}", "OSError", "no disk", "", 1_002.0, BOOT))
    due = Deadline(0.1, 1_002.1, WALL_S, BOOT)
    writer.add("supervisor", supervisor.RestartScheduled(f"actor:{name}", 1, 0.1, due))
    status, cause = look(writer, 3.0)
    assert (CRITICAL, True) == (status, f"{name} failed and waits for its restart: OSError" in cause)
    writer.add("supervisor", supervisor.ChildGivenUp(f"actor:{name}", 1, 60.0, "OSError"))
    status, cause = look(writer, 4.0)
    said = (
        f"{name} was given up at 2023-11-14 22:13:24+00:00 after 1 restart within 60 s: OSError: no disk; 'lrm why 4' "
    )
    assert (FAILING, True) == (status, said in cause)
    assert (sections.NOBODY_WATCHES in cause) is (name == "monitor")
    start(writer)
    assert (HEALTHY, "") == look(writer, 6.0)


def test_a_log_tells_of_an_actor_that_hangs(writer: LogWriter) -> None:
    """Seen to be slow, and nothing of it since, until its limit is over or another process started."""
    start(writer)
    slow = HandlerSlow("journal", "BeginStep", "", 5.0, "")
    writer.add("watchdog", slow)
    status, cause = look(writer, 12.0)
    assert (CRITICAL, True) == (status, "journal has had one message in hand for 15 s" in cause)
    assert (HEALTHY, "") == look(writer, 12.0, "another boot")
    assert (HEALTHY, "") == look(writer, 2.0 + standing.HUNG_S)
    writer.add("journal", supervisor.ProcessStopped(clean=True, reason="any event of it"))
    assert (HEALTHY, "") == look(writer, 12.0)
    writer.add("watchdog", slow)
    assert CRITICAL == look(writer, 12.0)[0]
    writer.add("watchdog", ActorTakenOver("journal", "BeginStep", "", 60.0, "", 1, 1))
    assert (HEALTHY, "") == look(writer, 12.0)
    writer.add("watchdog", WatchdogExhausted("journal", "BeginStep", 60.0, "", 8))
    assert (FAILING, f"this process is to be replaced; {standing.RESTART}") == look(writer, 12.0)
    start(writer)
    assert (HEALTHY, "") == look(writer, 12.0)
