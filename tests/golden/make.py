"""Makes a golden log: a small one with an event of every type, as this release writes it, and what is in it.

``python -m tests.golden.make VERSION`` writes ``tests/golden/VERSION/lrm.db`` and ``expected.json``. The log of a
release is never made again: whoever adds an event type adds to the story below, and makes a log of the version in
development. Clock and ids are fixed. An event whose type a story lacks is named, and nothing is written.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import msgspec

from eventstore.codec import encode_state
from eventstore.events import declared_types
from eventstore.opening import open_reader, open_store
from eventstore.records import Batch, Cursor, Instant, NewEvent, Receipt, Snapshot, StreamWrite
from lrm_actors.domain import (
    analyzer,
    breaker,
    checkpointer,
    journal,
    modes,
    monitor,
    outer,
    sleeps,
    supervisor,
    trimming,
)
from lrm_actors.domain.analyzer import FailureFacts
from lrm_actors.domain.behavior import Decision, RecoveryContext, Spec
from lrm_actors.domain.children import RestartPolicy
from lrm_actors.domain.dead_letters import (
    DeadLetterAdded,
    DeadLettersDropped,
    ResendFailed,
    ResendRequested,
    Resent,
)
from lrm_actors.domain.deadlines import deadline
from lrm_actors.domain.deliveries import DeliverySkipped
from lrm_actors.domain.tasks import TaskCall
from lrm_actors.domain.trends import Trend
from lrm_actors.domain.trends.telling import TrendCleared, TrendConfirmed, TrendSuspected
from lrm_actors.domain.watching import ActorTakenOver, HandlerSlow, WatchdogExhausted
from lrm_actors.inspect.folds import declare_ours
from tests.actors.checkpoints.alone import decode_checkpoint, encode_checkpoint

GOLDEN = Path(__file__).parent
SERVICE = "breaker/llm"
AGENT_STATE = {"page": 3, "seen": ["a", "ü ☃"], "price": 12.5, "done": None, "nested": {"deep": [True, {}]}}
IN_PARTS = {"agent_state": {"page": 9}, "browser_state": {"tabs": ["x"]}}


def specs() -> list[Spec[Any]]:
    """Every actor."""
    ours = (supervisor, monitor, analyzer, checkpointer, modes, journal, outer)
    return [*(module.spec() for module in ours), breaker.spec("llm"), _browser()]


BROWSER = "supervisor/browser"


def _browser() -> Spec[Any]:
    """A supervisor below the root, with one child of each kind."""
    children = (
        supervisor.ChildSpec("actor:profile"),
        supervisor.ChildSpec("actor:tabs", "transient", 2.5, significant=True, policy=RestartPolicy(jitter=0.0)),
        supervisor.ChildSpec("actor:visit", "temporary"),
    )
    rules = (supervisor.Rule("*Timeout*", "resume"), supervisor.Rule("MemoryError", "escalate"))
    declared = supervisor.Supervision("one_for_all", children, rules, auto_shutdown="any_significant")
    return supervisor.spec(RestartPolicy(intensity=1), name=BROWSER, supervision=declared)


def our_types() -> dict[str, int]:
    """Every event type that is declared by this product, with its version."""
    declare_ours()
    return {
        name: kind.version
        for name, kind in sorted(declared_types().items())
        if kind.cls.__module__.startswith("lrm_actors.")
    }


class Writer:
    """Decides as the runtime does, on one thread, with a clock that goes a second further with each command."""

    def __init__(self, path: Path) -> None:
        self._seconds = 0.0
        self._commands = 0
        self._specs = {spec.name: spec for spec in specs()}
        self._states = {name: spec.initial for name, spec in self._specs.items()}
        self.store = open_store(path, clock=self.now)

    def now(self) -> Instant:
        """The moment that all is recorded at."""
        return Instant(1_700_000_000.25 + self._seconds, 5_000.5 + self._seconds, "boot-of-the-golden-log")

    def later(self, seconds: float) -> None:
        """Let time go by."""
        self._seconds += seconds

    def context(self) -> RecoveryContext:
        """What a decision may know."""
        number = self._commands
        return RecoveryContext(
            self.now(),
            f"command-{number}",
            f"correlation-{number}",
            random=lambda: 0.5,
            new_id=lambda: f"id-{number}",
        )

    def recover(self, name: str) -> None:
        """As at the start of a process."""
        recover = self._specs[name].recover
        if recover is not None:
            self._store(name, recover(self._states[name], self.context()))

    def declare(self, name: str, event: Any) -> None:
        """As if the code had changed and the actor said so."""
        self._store(name, Decision((event,)))

    def do(self, name: str, command: Any) -> Any:
        """Have an actor decide; its reply."""
        self._commands += 1
        self.later(1.0)
        decision = self._specs[name].decide(self._states[name], command, self.context())
        self._store(name, decision)
        return decision.reply

    def _store(self, name: str, decision: Decision) -> None:
        ctx = self.context()
        events = tuple(
            NewEvent(one, None, index > 0, ctx.command_id, ctx.correlation_id, 0)
            for index, one in enumerate(decision.events)
        )
        if not events:
            return
        self.store.append(
            Batch(
                (StreamWrite(name, events),),
                cursors=(Cursor(name, self.store.head),),
                receipts=(Receipt(f"{name} {ctx.command_id}", decision.reply),),
                attachments=decision.attachments,
                discard=decision.discard,
            )
        )
        for one in decision.events:
            self._states[name] = self._specs[name].evolve(self._states[name], one)

    def snapshots(self) -> None:
        """Keep one of each actor."""
        for name, state in self._states.items():
            schema, version = self._specs[name].state_schema, self.store.version(name)
            if version:
                self.store.append(Batch(snapshots=(Snapshot(name, version, schema, encode_state(state)),)))


# --- the story ----------------------------------------------------------------------------------------------------


def tell(log: Writer) -> None:
    """Everything happens at least once."""
    for name in (supervisor.NAME, BROWSER, SERVICE):
        log.recover(name)
    _start(log)
    _monitor(log)
    _analyzer(log)
    _checkpointer(log)
    log.snapshots()
    _modes(log)
    _journal(log)
    _breaker(log)
    _tree(log)
    _outer(log)
    _end(log)


def _start(log: Writer) -> None:
    children = ("actor:monitor", "actor:journal", "component:browser", "component:llm")
    log.do("supervisor", supervisor.StartSupervising(children, 101))
    log.do("supervisor", supervisor.StartSupervising(children, 102, predecessor_exit=-9))
    log.do("supervisor", supervisor.AddChild("component:worker"))
    log.do("supervisor", supervisor.ReportFailure("component:browser", "TargetClosedError", "the page crashed"))
    log.do("supervisor", supervisor.RestartDue("component:browser"))
    log.do("supervisor", supervisor.RestartDone("component:browser", 0.75))
    log.do("supervisor", supervisor.ReportFailure("actor:journal", "ValueError", "it fell", "CommitStep"))
    log.do("supervisor", supervisor.ClearCaches("llm", "memory: memory ran out"))
    log.do("supervisor", supervisor.CachesDone("component:llm"))
    log.do("supervisor", supervisor.Configure(RestartPolicy(intensity=1, jitter=0.0)))
    log.do("supervisor", supervisor.RestartComponent("llm", "network: the connection failed"))
    log.do("supervisor", supervisor.RestartDue("component:llm"))
    log.do("supervisor", supervisor.RestartFailed("component:llm", "OSError", "cannot start"))
    log.do("supervisor", supervisor.RemoveChild("component:worker"))


def _monitor(log: Writer) -> None:
    config = monitor.MonitorConfig(interval_s=20.0, cpu_warning=70.0)
    metrics = monitor.Metrics(
        cpu_percent=97.5,
        process_cpu_percent=12.0,
        memory_percent=50.0,
        memory_rss_bytes=2**31,
        open_files=17,
        unknown={"thread_count": "AccessDenied"},
    )
    silent = monitor.Observation("browser", heartbeat_age_s=9.5, heartbeat_timeout_s=2.0)
    gone = monitor.Observation("llm", None, None, exited=True, exit_status=-9)
    log.do("monitor", monitor.Configure(config))
    log.do("monitor", monitor.RecordSample(metrics))
    log.do("monitor", monitor.RecordPressure(monitor.Metrics(memory_percent=97.0, memory_headroom_bytes=2**20)))
    log.do("monitor", monitor.NoteMode("minimal"))
    log.do("monitor", monitor.RecordObservations((silent,)))
    log.do("monitor", monitor.NoteComponentFailed("browser", log.now().monotonic_s, log.now().boot_id))
    log.do("monitor", monitor.NoteComponentRestarted("browser"))
    log.do("monitor", monitor.RecordObservations((silent,)))
    log.do("monitor", monitor.RecordObservations((attrs.evolve(silent, heartbeat_age_s=0.1),)))
    log.do("monitor", monitor.RecordObservations((gone,)))
    log.do("monitor", monitor.NoteComponentFailed("llm", log.now().monotonic_s, log.now().boot_id))
    log.do("monitor", monitor.NoteComponentFailed("worker", log.now().monotonic_s, log.now().boot_id))
    log.do("monitor", monitor.ForgetDown())
    log.do("monitor", monitor.RecordObservations((gone,)))
    log.do("monitor", monitor.RecordSample(monitor.Metrics(cpu_percent=10.0, memory_percent=50.0)))
    log.do("monitor", monitor.SampleMissing(60.0))
    suspected = Trend("memory_leak", "memory_anonymous_bytes", "suspected", 0.45, 9.5, "MB/min", 12.5, "it grows")
    confirmed = attrs.evolve(
        suspected, stage="confirmed", told=1, exhausted_low_s=600.0, exhausted_s=750.5, exhausted_high_s=1000.0
    )
    log.declare("monitor", TrendSuspected(suspected))
    log.declare("monitor", TrendConfirmed(confirmed))
    log.declare("monitor", TrendCleared("memory_leak", "memory_anonymous_bytes", "confirmed", 3600.0))
    log.declare("monitor", monitor.TrendsBegun())


def _analyzer(log: Writer) -> None:
    timeout = FailureFacts("browser", ("playwright.TimeoutError", "Exception"), "no answer within 30 s", step=4)
    limit = FailureFacts("llm", ("openai.RateLimitError",), "slow down", status_code=429, error_code="rate_limit")
    exited = FailureFacts("worker", exit_status=-11, observation="component_exited", os_error="ENOMEM")
    for facts in (timeout, timeout, limit):
        log.do("analyzer", analyzer.RecordFailure(facts))
    log.do("analyzer", analyzer.NoteRecovery("browser", ok=True))
    for _ in range(4):
        log.do("analyzer", analyzer.RecordFailure(attrs.evolve(limit, retry_after_s=12.5)))
    log.do("analyzer", analyzer.ReportCarriedOut("llm", analyzer.OPEN_BREAKER, ok=True, message="held open"))
    full = FailureFacts("actor:checkpointer", ("OSError",), os_error="ENOSPC", category="disk_full")
    for _ in range(4):
        log.do("analyzer", analyzer.RecordFailure(full))
    log.do("analyzer", analyzer.GoOn("more room"))
    log.do("analyzer", analyzer.Configure(auto_recovery=False))
    log.do("analyzer", analyzer.RecordFailure(exited))
    log.do("analyzer", analyzer.NoteRecovery("worker", ok=False))


def _checkpoint(log: Writer, kind: str, reason: str, state: Any = None, parent: str = "") -> str:
    checkpoint_id = str(log.do("checkpointer", checkpointer.TakeCheckpoint(kind, reason, hints=("by the story",))))
    kept = AGENT_STATE if state is None else state
    encoded = encode_checkpoint(kept, checkpoint_id=checkpoint_id, hints=("by the story",))
    stored = checkpointer.StoreCheckpoint(
        checkpoint_id,
        kind,
        reason,
        encoded.data,
        encoded.digest,
        encoded.size_bytes,
        log.store.head,
        ("by the story",),
        parent,
    )
    log.do("checkpointer", stored)
    return checkpoint_id


def _checkpointer(log: Writer) -> None:
    log.do("checkpointer", checkpointer.Configure(checkpointer.CheckpointerConfig(60.0, 2, 1)))
    first = _checkpoint(log, checkpointer.MANUAL, "first")
    second = _checkpoint(log, checkpointer.MANUAL, "second", parent=first)
    third = _checkpoint(log, checkpointer.MANUAL, "third")
    data = log.store.attachment(checkpointer.attachment_key(second)).data
    log.do("checkpointer", checkpointer.StoreRebased((checkpointer.RebasedRow(second, "", data),)))
    for missed in (("state['pages'][3]",), ()):
        asked = str(log.do("checkpointer", checkpointer.TakeCheckpoint(checkpointer.EMERGENCY, "of the story")))
        encoded = encode_checkpoint(AGENT_STATE, checkpoint_id=asked)
        facts = (asked, checkpointer.EMERGENCY, "of the story", encoded.data, encoded.digest, encoded.size_bytes)
        log.do("checkpointer", checkpointer.StoreCheckpoint(*facts, log.store.head, way="marks", missed=missed))
        log.do("monitor", monitor.NoteCheckpoints("a change was missed" if missed else ""))
    for pinned in (True, False):
        log.do("checkpointer", checkpointer.PinCheckpoint(second, pinned, "by the story"))
    under_way = log.do("checkpointer", checkpointer.TakeCheckpoint(checkpointer.PERIODIC, "interval"))
    log.do("checkpointer", checkpointer.CaptureFailed(str(under_way), "NotCapturable", "state['page'] is an object"))
    _checkpoint(log, checkpointer.EMERGENCY, "memory: memory ran out", IN_PARTS)
    log.do("checkpointer", checkpointer.MarkDamaged(third, "its checksum is wrong"))
    log.do("checkpointer", checkpointer.ReportRestored(second, (third,)))
    log.do("checkpointer", checkpointer.NoteMode("degraded"))
    log.do("checkpointer", checkpointer.TakeCheckpoint(checkpointer.MANUAL, "left under way"))


def _modes(log: Writer) -> None:
    log.do("modes", modes.ConsiderHealth("critical", "cpu 97.5 % >= 95.0 %"))
    log.do("modes", modes.ConsiderHealth("healthy", ""))
    log.do("modes", modes.ReduceLoad("cpu_overload: the machine is overloaded"))
    log.do("modes", modes.Configure(enabled=False))
    log.do("modes", modes.Configure(enabled=True))
    log.do("modes", modes.Pin("recovery", "by hand", 600.0))
    log.do("modes", modes.ReportReclaimed("page cache", 2**26, 2**20, 0.25))
    log.do("modes", modes.ReportRestartAsked("memory 99.0 % >= 95.0 %"))


def _journal(log: Writer) -> None:
    log.do("journal", journal.OpenJournal())
    log.do("journal", journal.BeginStep("look"))
    log.do("journal", journal.CommitStep(1, {"found": ["a", 1, -(2**53), 2.5, None, True, "ü ☃"]}))
    log.do("journal", journal.BeginStep("buy"))
    log.do("journal", journal.OpenJournal())
    log.do("journal", journal.BeginStep("buy"))
    log.do("journal", journal.AbandonStep(2, "TimeoutError: the page was gone"))
    log.do("journal", journal.BeginStep("buy"))
    _effects(log)
    log.do("journal", journal.CommitStep(2, None, progress="all is bought"))
    _tasks(log)
    log.do("journal", sleeps.BeginSleep("until the morning", False, 1, 3600.0))
    log.do("journal", journal.BeginStep("pay"))


def _tasks(log: Writer) -> None:
    """One that fails while another goes on, and begins again; one that is forgotten; and a step with a key."""
    post, read = TaskCall("post", "ü ☃", "c0ffee"), TaskCall("read", "", "")
    order = TaskCall("order", "ü 4711", "", is_step=True)
    log.do("journal", journal.BeginStep("post ü ☃", task=post))
    log.do("journal", sleeps.BeginSleep("a while", True, 1, 60.0))
    log.do("journal", journal.IntendEffect(3, "print", 1, "ask"))
    log.do("journal", journal.AbandonStep(3, "TimeoutError: no paper"))
    log.do("journal", journal.BeginStep("read", task=read))
    log.do("journal", journal.SettleEffect("post ü ☃/print#1", "done", {"pages": 3}))
    log.do("journal", journal.IntendEffect(3, "fetch", 1))
    log.do("journal", journal.FinishEffect(3, "fetch", 1, 1, "a page"))
    log.do("journal", journal.AbandonStep(3, "ValueError: it is empty"))
    log.do("journal", journal.BeginStep("post ü ☃", task=post))
    log.do("journal", journal.ForgetEffects(0, task="read"))
    log.do("journal", journal.AbandonStep(3, "OSError: no ink"))
    log.do("journal", journal.BeginStep(order.step_name, task=order))
    log.do("journal", journal.IntendEffect(3, "pay", 1))
    log.do("journal", journal.FinishEffect(3, "pay", 1, 1, "a receipt"))
    log.do("journal", journal.AbandonStep(3, "OSError: no parcel"))
    log.do("journal", journal.BeginStep("look again"))
    log.do("journal", journal.CommitStep(3, None))
    log.do("journal", journal.BeginStep(order.step_name, task=order))
    log.do("journal", journal.AbandonStep(4, "OSError: no parcel"))


def _effects(log: Writer) -> None:
    log.do("journal", journal.IntendEffect(2, "look up", 1, given="c0ffee"))
    log.do("journal", journal.FinishEffect(2, "look up", 1, 1, {"price": 12.5, "of": ["ü ☃", None]}))
    log.do("journal", journal.IntendEffect(2, "open", 1, "skip"))
    log.do("journal", journal.FinishEffect(2, "open", 1, 1, None, "it is no JSON value"))
    log.do("journal", journal.IntendEffect(2, "order", 1, "ask"))
    log.do("journal", journal.OpenJournal())
    log.do("journal", journal.BeginStep("buy", 2, 12))
    log.do("journal", journal.SettleEffect("2/order#1", "not_happened"))
    log.do("journal", journal.IntendEffect(2, "order", 1, "ask"))
    log.do("journal", journal.FailEffect(2, "order", 1, 2, "ValueError: none left"))
    log.do("journal", journal.AbandonStep(2, "ValueError: none left"))
    log.do("journal", journal.ForgetEffects(2))
    log.do("journal", journal.BeginStep("buy", 2, 12))
    log.do("journal", journal.IntendEffect(2, "mail", 1, "probe"))
    log.do("journal", journal.OpenJournal())
    log.do("journal", journal.BeginStep("buy", 2, 12, TaskCall("buy", "ü ☃", "c0ffee")))
    log.do("journal", journal.IntendEffect(2, "mail", 1, "probe"))
    log.do("journal", journal.FinishEffect(2, "mail", 1, 2, None))


def _breaker(log: Writer) -> None:
    until = deadline(log.now(), 60.0)
    log.do(SERVICE, breaker.Configure(breaker.BreakerConfig(failure_threshold=2, recovery_timeout_s=30.0)))
    log.do(SERVICE, breaker.ReportTrip(1, ("timeout: ReadTimeout", "status 500: ServerError"), until))
    log.do(SERVICE, breaker.ReportProbeStarted(2))
    log.do(SERVICE, breaker.ReportProbe(2, ok=False, failure="status 500: ServerError"))
    log.do(SERVICE, breaker.ReportProbeStarted(4))
    log.do(SERVICE, breaker.ReportProbe(4, ok=True))
    log.do(SERVICE, breaker.ForceState("metrics_only", "to see first", 600))
    log.do(SERVICE, breaker.ForceState("auto", "seen enough"))
    log.do(SERVICE, breaker.ForceState("open", "by hand"))


def _tree(log: Writer) -> None:
    profile, tabs, visit = "actor:profile", "actor:tabs", "actor:visit"
    log.do(BROWSER, supervisor.StartSupervising((profile, tabs, visit), 102))
    log.do(BROWSER, supervisor.ReportFailure(tabs, "ReadTimeout", "no answer", "Open"))
    log.do(BROWSER, supervisor.ReportFailure(profile, "KeyError", "'user'", "Read", kinds=("LookupError",), handled=7))
    log.do(BROWSER, supervisor.HoldDone(visit))
    log.do(BROWSER, supervisor.HoldDone(tabs, in_time=False))
    log.do(BROWSER, supervisor.RestartDue(profile))
    log.do(BROWSER, supervisor.RestartDone(profile, 0.01))
    log.do(BROWSER, supervisor.RestartDone(tabs, 0.01))
    log.do(BROWSER, supervisor.ReportFailure(profile, "KeyError", "'user'", "Read"))
    log.do(BROWSER, supervisor.HoldDone(tabs))
    log.do(BROWSER, supervisor.StartAll())
    log.do(BROWSER, supervisor.RestartDone(profile, 0.01))
    log.do(BROWSER, supervisor.RestartDone(tabs, 0.01))
    log.do(BROWSER, supervisor.AddChild("actor:download", supervisor.ChildSpec("actor:download", "transient")))
    log.do(BROWSER, supervisor.HoldAll())
    for child in ("actor:download", tabs, profile):
        log.do(BROWSER, supervisor.HoldDone(child))
    log.do(BROWSER, supervisor.StartAll())
    for child in (profile, tabs, "actor:download"):
        log.do(BROWSER, supervisor.RestartDone(child, 0.01))
    log.do(BROWSER, supervisor.ReportEnd(tabs))
    log.do(BROWSER, supervisor.HoldDone("actor:download"))
    log.do(BROWSER, supervisor.HoldDone(profile))
    escalating = supervisor.Supervision(rules=(supervisor.Rule("MemoryError", "escalate"),))
    log.declare("supervisor", supervisor.Declared(escalating))
    log.do("supervisor", supervisor.ReportFailure("actor:monitor", "MemoryError", "", "Sample"))
    log.do("supervisor", supervisor.HostWarned())
    log.do("supervisor", supervisor.StartAll())
    log.declare("supervisor", supervisor.Declared(supervisor.AS_BEFORE))


def _outer(log: Writer) -> None:
    """It has a log of its own; here it is beside the others, as its events are read in the same way."""
    policy = outer.Policy("always", 30.0, 10.0, 300.0, 2**30, 2, 600.0, 0.5, 8.0, 5.0)
    command = ("python", "agent.py")
    log.do("outer", outer.BeginWatch(100, policy, command))
    log.do("outer", outer.NoteStarted(1, 101, 4711.0))
    log.do("outer", outer.NoteFirstHeartbeat(0.5))
    log.do("outer", outer.NoteQuiet())
    log.do("outer", outer.NoteFirstHeartbeat(2.5))
    log.do("outer", outer.NoteHeartbeatMissed(30.5))
    log.do("outer", outer.GraceOver(1))
    log.do("outer", outer.NoteExit(1, -9, "Traceback\nKeyError: 'ü'"))
    log.do("outer", outer.NoteCleared(2, (105,)))
    log.do("outer", outer.RestartNow())
    log.do("outer", outer.NoteStarted(2, 102, 4712.0))
    log.do("outer", outer.NoteMemory(2**31))
    log.do("outer", outer.NoteLate(3, "the disk was full"))
    log.do("outer", outer.BeginWatch(110, policy, command, (102, 103)))
    log.do("outer", outer.NoteCleared(2))
    log.do("outer", outer.NoteStartFailed(3, "OSError", "agent.py: Input/output error", 126))
    log.do("outer", outer.BeginWatch(111, policy, command))
    log.do("outer", outer.NoteStarted(4, 112, 4713.0))
    log.do("outer", outer.NoteSignal(10))
    log.do("outer", outer.NoteSignal(15))
    log.do("outer", outer.NoteExit(4, 0))
    log.do("outer", outer.NoteCleared(0))


def _end(log: Writer) -> None:
    skipped = DeliverySkipped("monitor", 1, "modes.changed", 3, "failed again and again")
    log.store.append(Batch((StreamWrite("deliveries", (NewEvent(skipped, cause=1),)),)))
    _aside(log)
    trimmed = trimming.LogTrimmed(100, 101, 4096, "size", "stream supervisor")
    put_back = trimming.LogPutBack("its file was removed", 200)
    log.store.append(Batch((StreamWrite(trimming.STREAM, (NewEvent(trimmed), NewEvent(put_back))),)))
    log.do("supervisor", supervisor.StopSupervising(clean=False, reason="stop after KeyboardInterrupt"))


def _aside(log: Writer) -> None:
    """What the runtime appends beside the actors."""
    stack = '  File "agent.py", line 7, in decide\n    wait()\n'
    letter = DeadLetterAdded(
        "letter-1",
        "modes",
        "ReduceLoad",
        "failed again and again",
        "ValueError",
        "no",
        3,
        '{"reason":"r"}',
        "ReduceLoad",
    )
    for stream, fact in (
        ("watchdog", HandlerSlow("modes", "ReduceLoad", "c-1", 5.0, stack)),
        ("watchdog", ActorTakenOver("modes", "ReduceLoad", "c-1", 60.0, stack, 1, 1)),
        ("watchdog", WatchdogExhausted("modes", "ReduceLoad", 60.0, stack, 8)),
        ("dead-letters", letter),
        ("dead-letters", DeadLettersDropped("modes", 2, "stopped")),
        ("dead-letters", ResendRequested("letter-1")),
        ("dead-letters", ResendFailed("letter-1", "there is no actor modes")),
        ("dead-letters", Resent("letter-1")),
    ):
        log.store.append(Batch((StreamWrite(stream, (NewEvent(fact),)),)))


# --- what is in it ------------------------------------------------------------------------------------------------


def describe(path: Path) -> dict[str, Any]:
    """What a log holds, as whoever made it understands it."""
    known = {spec.name: spec for spec in specs()}
    with open_reader(path) as reader:
        records = list(reader.read())
        states = {name: spec.initial for name, spec in known.items()}
        for record in records:
            if record.stream in known:
                states[record.stream] = known[record.stream].evolve(states[record.stream], record.event)
        streams = {info.name: info.version for info in reader.streams()}
        kept = {
            one.checkpoint_id: decode_checkpoint(
                reader.attachment(checkpointer.attachment_key(one.checkpoint_id)).data, one.digest, one.checkpoint_id
            )
            for one in states[checkpointer.NAME].kept
        }
    return {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "streams": streams,
        "events": [
            {"stream": one.stream, "type": one.type, "schema_version": one.schema_version, "fields": _plain(one.event)}
            for one in records
        ],
        "states": {name: _plain(state) for name, state in states.items()},
        "checkpoints": kept,
    }


def _plain(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def missing(types: set[str]) -> Iterator[str]:
    """The event types that are declared and not among these."""
    yield from sorted(our_types().keys() - types)


def make(directory: Path) -> None:
    """Write a golden log."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "lrm.db"
        log = Writer(path)
        tell(log)
        log.store.close()
        expected = describe(path)
        lacking = list(missing({one["type"] for one in expected["events"]}))
        if lacking:
            sys.exit(f"the story lacks {', '.join(lacking)}: add them to {Path(__file__).name}")
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, directory / "lrm.db")
    text = json.dumps(expected, ensure_ascii=False, indent=1)
    (directory / "expected.json").write_text(f"{text}\n", encoding="utf-8")
    print(f"{directory}: {len(expected['events'])} events of {len(our_types())} types")


def main() -> None:
    """Make the golden log of a version that has none."""
    parser = argparse.ArgumentParser(description="Make the golden log of a version in development.")
    parser.add_argument("version", help="a version that is not released")
    parser.add_argument("--replace", action="store_true", help="make it anew; never do that for a released version")
    arguments = parser.parse_args()
    directory = GOLDEN / arguments.version
    if directory.exists():
        if not arguments.replace:
            sys.exit(f"{directory} is there already. Never change that of a release; of a later version, --replace it")
        for name in ("lrm.db", "expected.json"):
            (directory / name).unlink(missing_ok=True)
    make(directory)


if __name__ == "__main__":
    main()
