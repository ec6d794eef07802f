"""Our own actors, and a small one, in the hands of ``BehaviorKit``: a story each, and what must hold in it."""

from __future__ import annotations

from typing import Any

import pytest

from lrm_actors.domain import analyzer, breaker, checkpointer, journal, modes, monitor, supervisor
from lrm_actors.domain.classify import FailureFacts
from lrm_actors.domain.deadlines import deadline
from lrm_actors.errors import CommandRefused
from lrm_actors.runtime.clock import ManualClock
from lrm_actors.testing import BehaviorKit, check_log
from tests.testing import mailing as m

CHILD = "component:browser"


def _supervising(policy: supervisor.RestartPolicy) -> BehaviorKit[Any]:
    kit: BehaviorKit[Any] = BehaviorKit(supervisor.spec(policy))
    kit.restart()  # a new process: its policy goes on record
    kit.run(supervisor.StartSupervising((CHILD,), 1))
    return kit


def _fail(kit: BehaviorKit[Any]) -> Any:
    return kit.run(supervisor.ReportFailure(CHILD, "OSError", "gone", "loop"))


def _of(kind: type, *results: Any) -> list[Any]:
    return [fact for result in results for fact in result.events if isinstance(fact, kind)]


def supervisor_backs_off() -> None:
    """Delays double up to the cap and never beyond it, each leads to one restart, and too many to none."""
    policy = supervisor.RestartPolicy(backoff_initial_s=1.0, backoff_max_s=4.0, jitter=0.5, intensity=5, period_s=600)
    kit = _supervising(policy)
    for attempt, whole_s in enumerate((1.0, 2.0, 4.0, 4.0, 4.0), 1):
        (scheduled,) = _of(supervisor.RestartScheduled, _fail(kit))
        assert attempt == scheduled.attempt
        assert whole_s / 2 <= scheduled.delay_s <= whole_s
        assert not kit.restart().state.children[CHILD].failed_again
        begun = kit.advance(scheduled.delay_s + supervisor.RECOVERY_GRACE_S)
        assert 1 == len(_of(supervisor.RestartStarted, *begun))
        kit.run(supervisor.RestartDone(CHILD, 0.1))
    assert 1 == len(_of(supervisor.ChildGivenUp, _fail(kit)))
    assert () == kit.advance(60.0)


def supervisor_restarts_once() -> None:
    """What is being restarted is not restarted once more, whoever says that it is due or that it failed."""
    kit = _supervising(supervisor.RestartPolicy(backoff_initial_s=1.0, jitter=0.0))
    _fail(kit)
    assert [] == _of(supervisor.RestartScheduled, _fail(kit))
    begun = kit.advance(1.0)
    assert [supervisor.RestartChild(CHILD, 1)] == [effect for result in begun for effect in result.effects]
    again = [kit.run(supervisor.RestartDue(CHILD)), _fail(kit)]
    assert [] == [*_of(supervisor.RestartStarted, *again), *_of(supervisor.RestartScheduled, *again)]


def supervisor_goes_by_the_monotonic_clock() -> None:
    """A wall clock that is set changes nothing about when a restart is due, over a restart of the supervisor itself."""
    for jump_s in (-3600.0, 3600.0):
        kit = _supervising(supervisor.RestartPolicy(backoff_initial_s=30.0, backoff_max_s=30.0, jitter=0.0))
        _fail(kit)
        kit.advance(20.0)
        kit.clock.jump_wall(jump_s)
        kit.restart()
        assert () == kit.advance(9.0), "a restart came before it was due"
        assert 1 == len(_of(supervisor.RestartStarted, *kit.advance(2.0)))


def breaker_closes_again() -> None:
    """A good probe closes it, a bad one doubles the time that it stays open, and a restart tells the guard."""
    config = breaker.BreakerConfig(recovery_timeout_s=60.0, recovery_timeout_max_s=200.0)
    kit = BehaviorKit(breaker.spec("llm", config))
    kit.restart()
    now = kit.clock.now()
    kit.run(breaker.ReportTrip(1, ("timeout: ReadTimeout",) * 5, deadline(now, 60.0)))
    open_times = []
    for generation in (2, 4, 6):
        kit.run(breaker.ReportProbeStarted(generation))
        kit.run(breaker.ReportProbe(generation, ok=False, failure="timeout"))
        assert breaker.OPEN == kit.state.status
        open_times.append(kit.state.open_until.delay_s if kit.state.open_until else None)
    assert [120.0, 200.0, 200.0] == open_times
    kit.run(breaker.ReportProbeStarted(8))
    kit.run(breaker.ReportProbe(8, ok=True))
    assert (breaker.CLOSED, 9, 0) == (kit.state.status, kit.state.generation, kit.state.openings)
    kit.run(breaker.ReportProbe(2, ok=False, failure="late"))
    assert breaker.CLOSED == kit.state.status, "a stale report opened it"
    assert (breaker.PublishBreaker("llm", kit.state),) == kit.restart().effects


def checkpointer_keeps_what_it_promised() -> None:
    """The newest ones are kept with their bytes, the rhythm outlives restarts, and what was under way is given up."""
    kit = BehaviorKit(checkpointer.spec())
    config = checkpointer.CheckpointerConfig(interval_s=300.0, max_checkpoints=2)
    kit.run(checkpointer.Configure(config))
    taken = []
    for number in range(4):
        kit.advance(1.0)
        taken.append(kit.run(checkpointer.TakeCheckpoint(checkpointer.MANUAL, "by hand")).reply)
        facts = (taken[-1], checkpointer.MANUAL, "by hand", b"state", "digest", 5, number)
        kit.run(checkpointer.StoreCheckpoint(*facts))
    kept = tuple(taken[-2:])
    assert kept == tuple(info.checkpoint_id for info in kit.state.kept)
    assert [f"checkpoint/{one}" for one in kept] == list(kit.log.attachment_keys())
    assert tuple(reversed(kept)) == checkpointer.restore_order(kit.state)
    assert [checkpointer.CaptureState] == [type(effect) for one in kit.advance(300.0) for effect in one.effects]
    assert [checkpointer.CheckpointFailed] == [type(fact) for fact in kit.restart().events]
    assert {checkpointer.INTERVAL_TIMER, checkpointer.JANITOR_TIMER} == set(kit.timers)
    assert () == kit.state.under_way


def journal_neither_skips_nor_repeats() -> None:
    """Steps are counted from 1 without gaps; one that was open as the process ended is in doubt, with its number."""
    kit = BehaviorKit(journal.spec())
    kit.run(journal.OpenJournal())
    for step in (1, 2):
        begun = kit.run(journal.BeginStep("work"), command_id=f"begin {step}").reply
        assert {"step": step, "attempt": 1, "repeated": False} == begun
        assert begun == kit.run(journal.BeginStep("work"), command_id=f"begin {step}").reply
        kit.run(journal.CommitStep(step, "done"))
    kit.run(journal.BeginStep("mail"))
    kit.restart()
    opened = kit.run(journal.OpenJournal()).reply
    assert {"committed": 2, "in_doubt": {"step": 3, "name": "mail", "attempt": 1}} == opened
    assert {"step": 3, "attempt": 2, "repeated": True} == kit.run(journal.BeginStep("mail")).reply
    kit.run(journal.CommitStep(3, "done"))
    assert [1, 2, 3] == [fact.step for fact in kit.events if isinstance(fact, journal.StepCommitted)]


def journal_does_effects_once() -> None:
    """What is finished is not done again, what has no end is in doubt, and keys are the same in each process."""
    kit = BehaviorKit(journal.spec())
    kit.run(journal.OpenJournal())
    journal_id = kit.state.journal_id
    kit.run(journal.BeginStep("buy"))
    kit.run(journal.IntendEffect(1, "look up", 1))
    kit.run(journal.FinishEffect(1, "look up", 1, 1, {"price": 5}))
    kit.run(journal.IntendEffect(1, "order", 1, "ask"))
    kit.restart()
    kit.run(journal.OpenJournal())
    kit.run(journal.BeginStep("buy"))
    assert ["order#1"] == [entry.key for entry in kit.state.effects.of("in_doubt")]
    with pytest.raises(CommandRefused):
        kit.run(journal.IntendEffect(1, "look up", 1))
    assert {"attempt": 2} == kit.run(journal.IntendEffect(1, "order", 1, "ask")).reply
    kit.run(journal.FinishEffect(1, "order", 1, 2, None))
    kit.run(journal.CommitStep(1, "bought"))
    assert [journal_id, 0] == [kit.state.journal_id, len(kit.state.effects)]


def modes_change_only_with_the_health() -> None:
    """Each change of health changes the mode once; the same again, for another cause, does not."""
    kit = BehaviorKit(modes.spec())
    seen: list[Any] = []
    for status in ("healthy", "warning", "warning", "critical", "critical", "warning", "healthy"):
        result = kit.run(modes.ConsiderHealth(status, f"cause {len(seen)}"))
        seen += [(fact.previous, fact.mode) for fact in _of(modes.ModeChanged, result)]
    n, d, m_ = modes.NORMAL, modes.DEGRADED, modes.MINIMAL
    assert [(n, d), (d, m_), (m_, d), (d, n)] == seen
    kit.run(modes.ReduceLoad("overloaded"))
    assert modes.DEGRADED == kit.state.mode
    kit.run(modes.Configure(enabled=False))
    assert modes.NORMAL == kit.state.mode


def monitor_does_not_flap() -> None:
    """A load that swings about a threshold changes the health once; what is not known is never healthy."""
    kit = BehaviorKit(monitor.spec())
    limit = kit.state.config.memory_warning

    def after(percent: float) -> str:
        kit.clock.advance(kit.state.config.interval_s)
        kit.run(monitor.RecordSample(monitor.Metrics(cpu_percent=1.0, memory_percent=percent)))
        return kit.state.status

    assert [monitor.HEALTHY] * 3 == [after(percent) for percent in (limit - 20, limit + 0.5, limit + 0.5)]
    assert [monitor.WARNING] * 30 == [after(percent) for percent in (limit + 0.5, *(limit - 0.5,) * 14) * 2]
    assert monitor.HEALTHY == [after(limit - 20) for _ in range(11)][-1]
    kit.run(monitor.RecordSample(monitor.Metrics(cpu_percent=float("nan"), memory_percent=1.0)))
    assert monitor.WARNING == kit.state.status
    kit.restart()
    assert {monitor.SAMPLE_TIMER, monitor.HEARTBEAT_TIMER} == set(kit.timers)
    observed = (monitor.Observation("browser", 200.0, 120.0), monitor.Observation("llm", 1.0, 9.0))
    missed = kit.run(monitor.RecordObservations(observed)).events
    assert (monitor.HeartbeatMissed("browser", 200.0, 120.0),) == missed


def analyzer_counts_failures_in_a_row() -> None:
    """The second browser timeout in a row asks for more than the first; a recovery, or an hour, begins a new row."""
    kit = BehaviorKit(analyzer.spec())
    facts = FailureFacts("browser", ("playwright.TimeoutError", "Exception"), "page took too long")

    def chosen() -> str:
        return str(kit.run(analyzer.RecordFailure(facts)).reply["strategy"])

    first, second = chosen(), chosen()
    assert (analyzer.RETRY_WITH_BACKOFF, analyzer.RESTART_COMPONENT) == (first, second)
    kit.run(analyzer.NoteRecovery("browser", ok=True))
    assert first == chosen()
    kit.advance(3600.0 * 24)
    assert first == chosen()
    kit.restart()
    assert second == chosen()
    kit.run(analyzer.Configure(auto_recovery=False))
    assert 1 == len(_of(analyzer.RecoveryWithheld, kit.run(analyzer.RecordFailure(facts))))


def mailing_comes_back_from_its_log() -> None:
    """A small actor with snapshots: each state is the fold, each retry gets its first reply, each intent comes back."""
    kit = BehaviorKit(m.mailing(), clock=ManualClock())
    for number in range(1, 12):
        assert number == kit.run(m.Plan(f"mail {number}"), command_id=f"plan {number}").reply
        assert kit.run(m.Plan(f"mail {number}"), command_id=f"plan {number}").repeated
        if number % 3:
            kit.run(m.NoteSent(number))
    assert kit.state == kit.restart().state
    waiting = [m.Deliver(mail.number, mail.text) for mail in kit.state.waiting]
    assert waiting == list(kit.restart().effects)
    assert check_log(kit.log, kit.spec) == kit.version + 1
    kept = [kit.log.snapshot("mailing", up_to=version) for version in range(kit.version + 1)]
    assert [8, 12, 16] == sorted({one.version for one in kept if one is not None})


CHECKS = (
    supervisor_backs_off,
    supervisor_restarts_once,
    supervisor_goes_by_the_monotonic_clock,
    breaker_closes_again,
    checkpointer_keeps_what_it_promised,
    journal_neither_skips_nor_repeats,
    journal_does_effects_once,
    modes_change_only_with_the_health,
    monitor_does_not_flap,
    analyzer_counts_failures_in_a_row,
    mailing_comes_back_from_its_log,
)
