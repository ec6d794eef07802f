"""A story in which everything happens at least once: each actor decides on each of its events."""

from __future__ import annotations

import attrs

from eventstore.records import Batch, NewEvent, StreamWrite
from lrm_actors.domain import analyzer, breaker, checkpointer, journal, modes, monitor, sleeps, supervisor
from lrm_actors.domain.children import RestartPolicy
from lrm_actors.domain.deadlines import deadline
from lrm_actors.domain.deliveries import DELIVERIES, DeliverySkipped
from lrm_actors.domain.tasks import TaskCall
from lrm_actors.runtime.clock import ManualClock
from tests.machines.world import BROWSER, SERVICE, TABS, World


def tell_story(world: World) -> None:
    """Live through it. The world's clock is the test's, and the process was announced already."""
    for chapter in (_children, _browser, _health, _failures, _checkpoints, _modes, _steps, _circuit, _the_end):
        chapter(world)
        world.settle()


def _advance(world: World, seconds: float) -> None:
    assert isinstance(world.clock, ManualClock)
    world.settle()
    world.clock.advance(seconds)
    world.settle()


def _children(world: World) -> None:
    world.ask("supervisor", supervisor.AddChild("component:worker"))
    world.ask("supervisor", supervisor.RestartComponent("worker", "asked to"))
    _advance(world, 1.0)
    world.ask("supervisor", supervisor.ClearCaches("browser", "memory"))
    _advance(world, 1.0)
    world.ask("supervisor", supervisor.Configure(RestartPolicy(intensity=1)))
    world.ask("supervisor", supervisor.ReportFailure("component:worker", "OSError", "gone again", "start"))
    world.ask("supervisor", supervisor.RemoveChild("component:worker"))
    world.ask("supervisor", supervisor.Configure(RestartPolicy()))


def _browser(world: World) -> None:
    world.ask(BROWSER, supervisor.ReportFailure(TABS[1], "OSError", "crashed", "Open", handled=3))
    _advance(world, 1.0)
    world.ask(BROWSER, supervisor.TerminateChild(TABS[0]))
    world.ask(BROWSER, supervisor.StartChild(TABS[0]))
    world.settle()
    world.ask(BROWSER, supervisor.HoldAll())
    world.settle()
    world.ask(BROWSER, supervisor.StartAll())


def _health(world: World) -> None:
    bad = monitor.Metrics(cpu_percent=97.0, memory_percent=50.0, memory_rss_bytes=2**31, unknown={"open_files": "no"})
    world.ask("monitor", monitor.Configure(monitor.MonitorConfig(interval_s=20.0)))
    world.ask("monitor", monitor.RecordSample(bad))
    world.ask("monitor", monitor.RecordPressure(monitor.Metrics(memory_percent=97.5, memory_headroom_bytes=2**20)))
    world.ask("monitor", monitor.SampleMissing(60.0))
    missed = monitor.Observation("browser", heartbeat_age_s=9.0, heartbeat_timeout_s=2.0)
    world.ask("monitor", monitor.RecordObservations((missed,)))
    _advance(world, 2.0)
    well = attrs.evolve(missed, heartbeat_age_s=0.1)
    exited = monitor.Observation("llm", None, None, exited=True, exit_status=-9)
    world.ask("monitor", monitor.RecordObservations((missed,)))
    world.ask("monitor", monitor.RecordObservations((well,)))
    world.ask("monitor", monitor.RecordObservations((exited,)))
    world.settle()
    world.ask("monitor", monitor.ForgetDown())


def _failures(world: World) -> None:
    facts = analyzer.FailureFacts("browser", ("MemoryError", "BaseException"), "no memory", os_error="ENOMEM")
    world.ask("analyzer", analyzer.RecordFailure(facts))
    world.settle()
    world.ask("analyzer", analyzer.Configure(auto_recovery=False))
    world.ask("analyzer", analyzer.RecordFailure(analyzer.FailureFacts("llm", status_code=429, step=3)))
    world.ask("analyzer", analyzer.Configure(auto_recovery=True))
    world.ask("analyzer", analyzer.NoteRecovery("llm", ok=False))


def _checkpoints(world: World) -> None:
    world.ask("checkpointer", checkpointer.Configure(checkpointer.CheckpointerConfig(max_checkpoints=2)))
    for reason in ("first", "second", "third"):
        last = world.ask("checkpointer", checkpointer.TakeCheckpoint(checkpointer.MANUAL, reason))
        _advance(world, 1.0)
    world.ask("checkpointer", checkpointer.MarkDamaged(last, "a flipped bit"))
    world.ask(
        "checkpointer", checkpointer.ReportRestored(world.system.state("checkpointer").kept[0].checkpoint_id, (last,))
    )
    world.hands.captures_work = False
    world.ask("checkpointer", checkpointer.TakeCheckpoint(checkpointer.EMERGENCY, "the disk", error="OSError"))
    world.settle()
    world.hands.captures_work = True


def _modes(world: World) -> None:
    world.ask("modes", modes.Configure(enabled=False))
    world.ask("modes", modes.Configure(enabled=True))
    world.ask("modes", modes.ReduceLoad("too much"))
    world.ask("modes", modes.Pin("minimal", "by hand"))
    world.settle()
    world.ask("modes", modes.Pin(None))


def _steps(world: World) -> None:
    world.ask("journal", journal.OpenJournal())
    world.ask("journal", journal.BeginStep("look"))
    world.ask("journal", journal.OpenJournal())  # as the next process would
    world.ask("journal", journal.BeginStep("look"))
    world.ask("journal", journal.AbandonStep(1, "the page was gone"))
    world.ask("journal", journal.BeginStep("look"))
    world.ask("journal", journal.IntendEffect(1, "send", 1))
    world.ask("journal", journal.OpenJournal())
    world.ask("journal", journal.BeginStep("look", 1, 3))
    world.ask("journal", journal.SettleEffect("send", "done", {"sent": [1, None]}))
    world.ask("journal", journal.IntendEffect(1, "wait", 1, "ask"))
    world.ask("journal", journal.DoubtEffect(1, "wait", 1, 1, "nobody waited for it"))
    world.ask("journal", journal.IntendEffect(1, "fetch", 1, "skip", "c0ffee"))
    world.ask("journal", journal.FinishEffect(1, "fetch", 1, 1, {"page": "ü"}))
    world.ask("journal", journal.IntendEffect(1, "fetch", 2, "skip"))
    world.ask("journal", journal.FailEffect(1, "fetch", 2, 1, "no such page"))
    world.ask("journal", journal.CommitStep(1, {"found": ["a", 1, 2.5, None, True]}, progress="a third"))
    world.ask("journal", journal.BeginStep("look again"))
    world.ask("journal", journal.IntendEffect(2, "fetch", 1))
    world.ask("journal", journal.FinishEffect(2, "fetch", 1, 1, None))
    world.ask("journal", journal.AbandonStep(2, "it was no use"))
    world.ask("journal", sleeps.BeginSleep("pause", False, 1, 60.0))
    world.ask("journal", journal.BeginStep("look elsewhere", task=TaskCall("look", "elsewhere", "")))
    world.ask("journal", sleeps.BeginSleep("pause", True, 1, 60.0))


def _circuit(world: World) -> None:
    config = breaker.BreakerConfig(failure_threshold=2)
    until = deadline(world.clock.now(), config.recovery_timeout_s)
    world.ask(SERVICE, breaker.Configure(config))
    world.ask(SERVICE, breaker.ReportTrip(1, ("timeout: ReadTimeout", "timeout: ReadTimeout"), until))
    world.ask(SERVICE, breaker.ReportProbeStarted(2))
    world.ask(SERVICE, breaker.ReportProbe(2, ok=False, failure="status 500"))
    world.ask(SERVICE, breaker.ReportProbeStarted(4))
    world.ask(SERVICE, breaker.ReportProbe(4, ok=True))


def _the_end(world: World) -> None:
    skipped = DeliverySkipped("tally", 1, "supervisor.configured", 3, "failed again and again")
    world.store.append(Batch((StreamWrite(DELIVERIES, (NewEvent(skipped, cause=1),)),)))
    world.ask("supervisor", supervisor.StartSupervising(("component:browser",), 2, predecessor_exit=-9))
    world.ask("supervisor", supervisor.StopSupervising(clean=True))
