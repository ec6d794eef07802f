"""Commands for every actor, drawn from small pools of names so that they meet each other."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from lrm_actors.domain import analyzer, breaker, checkpointer, journal, modes, monitor, sleeps, supervisor
from lrm_actors.domain.behavior import Command
from lrm_actors.domain.children import RestartPolicy
from lrm_actors.domain.deadlines import Deadline
from tests.machines.world import BROWSER, SERVICE, TABS

COMPONENTS = ("browser", "llm", "worker")
CHILDREN = tuple(f"component:{name}" for name in COMPONENTS)
MODES = tuple(modes.PROFILES)

component = st.sampled_from(COMPONENTS)
child = st.sampled_from(CHILDREN)
mode = st.sampled_from(MODES)
few = st.integers(0, 4)
seconds = st.floats(0.0, 500.0, allow_nan=False)
percent = st.none() | st.floats(0.0, 130.0, allow_nan=False) | st.just(float("nan"))
names = st.sampled_from(("send", "fetch"))
text = st.sampled_from(("", "timeout", "boom: 17", "ü ☃"))
checkpoint_id = st.sampled_from(tuple(f"checkpoint_{n:013d}_abcd" for n in range(1, 6)))

metrics = st.builds(
    monitor.Metrics,
    cpu_percent=percent,
    memory_percent=percent,
    memory_rss_bytes=st.none() | st.integers(0, 2**40),
    unknown=st.sampled_from(({}, {"cpu_percent": "no reason"})),
)
observation = st.builds(
    monitor.Observation,
    component=component,
    heartbeat_age_s=st.none() | seconds,
    heartbeat_timeout_s=st.none() | st.just(2.0),
    exited=st.booleans(),
    exit_status=st.none() | st.integers(-9, 2),
)
facts = st.builds(
    analyzer.FailureFacts,
    component=st.sampled_from((*COMPONENTS, "", "actor:checkpointer")),
    class_names=st.sampled_from(
        ((), ("builtins.TimeoutError",), ("MemoryError",), ("playwright.TargetClosedError",), ("CancelledError",))
    ),
    message=text,
    status_code=st.sampled_from((None, 429, 500, 502, 401)),
    os_error=st.sampled_from(("", "ENOSPC", "EMFILE")),
    observation=st.sampled_from(("", "heartbeat_missed", "component_exited", "breaker_opened", "cpu_overload")),
)
tab = st.sampled_from(TABS)
deadlines = st.builds(Deadline, seconds, seconds, seconds, st.sampled_from(("boot", "boot-2")))

COMMANDS: dict[str, st.SearchStrategy[Command]] = {
    "supervisor": st.one_of(
        st.builds(supervisor.StartSupervising, st.lists(child, unique=True).map(tuple), st.just(7)),
        st.builds(supervisor.AddChild, child),
        st.builds(supervisor.RemoveChild, child),
        st.builds(supervisor.ReportFailure, child, text, text, text),
        st.builds(supervisor.RestartComponent, component, text),
        st.builds(supervisor.ClearCaches, component, text),
        st.builds(supervisor.CachesDone, child, st.sampled_from(("", "OSError"))),
        st.builds(supervisor.RestartDue, child),
        st.builds(supervisor.RestartInDoubt, child),
        st.builds(supervisor.RestartDone, child, seconds),
        st.builds(supervisor.RestartFailed, child, text, text),
        st.builds(supervisor.Configure, st.builds(RestartPolicy, intensity=st.integers(1, 4))),
    ),
    BROWSER: st.one_of(
        st.builds(supervisor.ReportFailure, tab, text, text, text, handled=st.none() | few),
        st.builds(supervisor.ReportFailure, tab, text, text, text, handled=st.none() | few),
        st.builds(supervisor.ReportEnd, tab),
        st.builds(supervisor.HoldDone, tab, st.booleans()),
        st.builds(supervisor.RestartDue, tab),
        st.builds(supervisor.RestartDone, tab, seconds),
        st.builds(supervisor.RestartFailed, tab, text, text),
        st.builds(supervisor.TerminateChild, tab),
        st.builds(supervisor.StartChild, tab),
        st.builds(supervisor.AddChild, tab, st.none() | st.builds(supervisor.ChildSpec, tab)),
        st.builds(supervisor.RemoveChild, tab),
        st.builds(supervisor.HoldAll),
        st.builds(supervisor.StartAll),
        st.builds(supervisor.HostWarned),
    ),
    "monitor": st.one_of(
        st.builds(monitor.RecordSample, metrics),
        st.builds(monitor.RecordObservations, st.lists(observation, max_size=3).map(tuple), seconds),
        st.builds(monitor.NoteComponentFailed, component, st.floats(900.0, 1100.0), st.just("boot")),
        st.builds(monitor.NoteComponentRestarted, component),
        st.builds(monitor.NoteMode, mode),
        st.builds(monitor.SampleMissing, seconds),
        st.builds(monitor.SampleDue, st.none() | seconds),
        st.builds(monitor.HeartbeatCheckDue),
        st.builds(monitor.ForgetDown),
        st.builds(monitor.Configure, st.builds(monitor.MonitorConfig, cpu_warning=st.sampled_from((50.0, 80.0)))),
    ),
    "analyzer": st.one_of(
        st.builds(analyzer.RecordFailure, facts),
        st.builds(analyzer.NoteRecovery, component, st.booleans()),
        st.builds(analyzer.Configure, st.booleans()),
    ),
    "checkpointer": st.one_of(
        st.builds(checkpointer.TakeCheckpoint, st.sampled_from(("periodic", "emergency", "manual", "odd")), text),
        st.builds(
            checkpointer.StoreCheckpoint,
            checkpoint_id,
            st.sampled_from(("periodic", "emergency")),
            text,
            st.binary(max_size=20),
            text,
            few,
            few,
        ),
        st.builds(checkpointer.CaptureFailed, checkpoint_id, text, text),
        st.builds(checkpointer.MarkDamaged, checkpoint_id, text),
        st.builds(checkpointer.ReportRestored, checkpoint_id),
        st.builds(checkpointer.CleanUp, few, st.booleans()),
        st.builds(checkpointer.PinCheckpoint, checkpoint_id, st.booleans(), text),
        st.builds(checkpointer.Prune, st.none() | few, st.none() | few),
        st.builds(checkpointer.NoteStep, few),
        st.sampled_from((checkpointer.LookAfter(), checkpointer.TidyUp(), checkpointer.NoteMissed())),
        st.builds(checkpointer.NoteMode, mode),
        st.builds(
            checkpointer.Configure,
            st.builds(
                checkpointer.CheckpointerConfig,
                max_checkpoints=st.integers(1, 3),
                max_emergency=st.just(2),
                every_steps=few,
            ),
        ),
        st.builds(checkpointer.CheckpointDue),
        st.builds(checkpointer.GiveUpOverdue),
        st.builds(checkpointer.IntervalOver),
    ),
    "modes": st.one_of(
        st.builds(modes.ConsiderHealth, st.sampled_from((*modes.MODE_FOR_HEALTH, "odd")), text),
        st.builds(modes.ReduceLoad, text),
        st.builds(modes.Pin, st.none() | mode, text),
        st.builds(modes.Configure, st.booleans()),
    ),
    "journal": st.one_of(
        st.builds(journal.OpenJournal),
        st.builds(journal.BeginStep, text),
        st.builds(journal.CommitStep, few, st.sampled_from((None, 1, "done", {"a": [1, 2.5, None]}))),
        st.builds(journal.AbandonStep, few, text),
        st.builds(journal.IntendEffect, few, names, few, st.sampled_from(("retry", "ask")), forget=st.booleans()),
        st.builds(journal.FinishEffect, few, names, few, few, st.sampled_from((None, {"a": [1]})), text),
        st.builds(journal.FailEffect, few, names, few, few, text),
        st.builds(journal.DoubtEffect, few, names, few, few, text),
        st.builds(journal.SettleEffect, names, st.sampled_from(("done", "skipped", "not_happened", "odd"))),
        st.builds(journal.ForgetEffects, few),
        st.builds(sleeps.BeginSleep, names, st.booleans(), few, seconds),
    ),
    SERVICE: st.one_of(
        st.builds(breaker.ReportTrip, few, st.lists(text, max_size=3).map(tuple), deadlines),
        st.builds(breaker.ReportProbeStarted, few),
        st.builds(breaker.ReportProbe, few, st.booleans(), text),
        st.builds(
            breaker.ForceState, st.sampled_from((*breaker.FORCIBLE, "ajar")), text, st.none() | st.floats(1.0, 99.0)
        ),
        st.builds(breaker.ReportHoldOver, few),
        st.builds(breaker.Configure, st.builds(breaker.BreakerConfig, successes_to_close=st.integers(1, 2))),
    ),
}
"""By actor. Some are refused: asking for what makes no sense is a part of life."""


def addressed(*names: str) -> st.SearchStrategy[tuple[str, Any]]:
    """An actor's name and a command for it."""
    return st.sampled_from(names).flatmap(lambda name: st.tuples(st.just(name), COMMANDS[name]))
