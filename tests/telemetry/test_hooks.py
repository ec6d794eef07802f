from __future__ import annotations

import importlib
import logging
import pkgutil
import threading
from pathlib import Path
from typing import Any

import attrs
import pytest

import lrm_actors.domain
from eventstore.events import UnknownEvent, declared_types
from eventstore.memory import MemoryStore
from eventstore.records import Batch, Instant, NewEvent, Record, StreamWrite
from lrm_actors.domain import analyzer, breaker, checkpointer, journal, modes, monitor, supervisor
from lrm_actors.domain.deadlines import Deadline
from lrm_actors.inspect import open_log
from lrm_actors.telemetry.hooks import EVENTS_LOGGER, LEVELS, SELDOM_TOLD, TOLD, LogHook, dispatch, follow, level_of
from lrm_actors.telemetry.logging import LogContext
from tests.inspect.logs import lived

for found in pkgutil.iter_modules(lrm_actors.domain.__path__, "lrm_actors.domain."):
    importlib.import_module(found.name)

D, I, W, E = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR  # noqa: E741
LATER = Deadline(1.0, 1.0, 1.0, "b")
SAMPLES: list[tuple[int, str, object]] = [
    (I, "monitor.health_changed", monitor.HealthChanged("healthy", "warning", "x")),
    (W, "monitor.component_exited", monitor.ComponentExited("browser", -9, "exit by signal 9")),
    (W, "analyzer.recovery_finished", analyzer.RecoveryFinished("browser", ok=True)),
    (E, "analyzer.recovery_finished", analyzer.RecoveryFinished("browser", ok=False)),
    (W, "breaker.opened", breaker.Opened("llm", 1, "x", LATER)),
    (W, "supervisor.child_restarted", supervisor.ChildRestarted("component:browser", 1, 0.1)),
    (E, "supervisor.child_given_up", supervisor.ChildGivenUp("component:browser", 5, 60.0, "x")),
    (E, "checkpointer.damage_found", checkpointer.DamageFound("c", "x")),
    (D, "journal.step_committed", journal.StepCommitted(1, "look", None)),
    (D, "monitor.mode_noted", monitor.ModeNoted("normal")),
    (D, "others.happened", UnknownEvent("others.happened", 1, {}, "not known")),
    (W, "breaker.opened", UnknownEvent("breaker.opened", 9, {}, "a later form")),
]


def record(type_name: str, *events: object, position: int = 7) -> Record:
    """A record of these events."""
    return Record(
        position, "s", 1, type_name, 1, events, Instant(0.0, 0.0, "b"), None, None, "", 0, b'{"service":"llm"}'
    )


@pytest.mark.parametrize(("level", "name", "event"), SAMPLES, ids=lambda one: str(one)[:40])
def test_each_event_has_the_level_it_is_worth(level: int, name: str, event: object) -> None:
    """Health at INFO, failures and recoveries at WARNING, what was lost at ERROR, the rest at DEBUG."""
    assert level == level_of(record(name, event))


def test_the_table_names_only_events_there_are() -> None:
    """A name that is gone would be a line at the wrong level."""
    assert set() == set(LEVELS) - set(declared_types())


@pytest.mark.parametrize("word", ["failed", "failure", "given_up", "damage", "overdue", "missed", "exited", "doubt"])
def test_no_failure_hides_at_debug(word: str) -> None:
    """Every event of ours whose name speaks of one has a level of its own, but those that only note another's."""
    ours = [name for name, kind in declared_types().items() if kind.cls.__module__.startswith("lrm_actors.domain.")]
    hidden = [name for name in ours if word in name and "noted" not in name and name not in LEVELS]
    assert [] == hidden


def test_a_line_carries_agent_step_position_event_and_fields(caplog: pytest.LogCaptureFixture) -> None:
    """And says in a sentence what happened."""
    hook = LogHook(LogContext("agent-1"))
    with caplog.at_level(logging.DEBUG, EVENTS_LOGGER):
        hook.committed(record("journal.step_begun", journal.StepBegun(3, "look", 1), position=6))
        hook.committed(record("breaker.opened", breaker.Opened("llm", 1, "3 timeouts in a row", LATER)))
    line: Any = caplog.records[-1]
    assert "s: the breaker of llm opened: 3 timeouts in a row" == line.getMessage()
    assert ("agent-1", 3, 7, "breaker.opened", {"service": "llm"}) == (
        line.agent_id,
        line.step,
        line.position,
        line.event,
        line.fields,
    )


def test_in_recovery_everything_has_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """While failures are recovered from, what is otherwise at DEBUG is at INFO; afterwards it is not any more."""
    hook = LogHook(LogContext("a"))
    step = record("journal.step_committed", journal.StepCommitted(1, "look", None))
    with caplog.at_level(logging.INFO, EVENTS_LOGGER):
        for mode in ("recovery", "normal"):
            hook.committed(record("modes.changed", modes.ModeChanged("normal", mode, "x")))
            hook.committed(step)
    assert ["modes.changed", "journal.step_committed", "modes.changed"] == [
        vars(one)["event"] for one in caplog.records
    ]


def test_what_nobody_wants_costs_no_sentence(caplog: pytest.LogCaptureFixture) -> None:
    """But the context is kept up to date."""
    context = LogContext("a")
    with caplog.at_level(logging.WARNING, EVENTS_LOGGER):
        LogHook(context).committed(record("journal.step_begun", journal.StepBegun(3, "look", 1)))
    assert ([], 3) == (caplog.records, context.step)


@attrs.define
class Seeing:
    seen: list[int] = attrs.field(factory=list)

    def committed(self, record: Record) -> None:
        self.seen.append(record.position)


class Failing:
    def committed(self, record: Record) -> None:
        raise RuntimeError("a hook of the host")


def test_a_hook_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The others see the record, and the failure is logged."""
    seeing = Seeing()
    dispatch((Failing(), seeing), record("x.y", position=4))
    assert [4] == seeing.seen
    assert "a hook failed on #4 x.y" in caplog.text


def test_hooks_see_every_record_once_and_in_order(tmp_path: Path) -> None:
    """Those that were there, and those that come while they watch."""
    store = MemoryStore()

    def add(count: int) -> None:
        events = (NewEvent(journal.JournalOpened(1)),) * count
        store.append(Batch(writes=(StreamWrite("journal", events),)))

    add(3)
    seeing, enough = Seeing(), threading.Event()

    class Counting:
        def committed(self, record: Record) -> None:
            if record.position == 6:
                enough.set()

    watching = threading.Thread(
        target=follow, args=(store, (seeing, Counting())), kwargs={"after": 1, "stop": enough.is_set, "poll_s": 0.01}
    )
    watching.start()
    add(3)
    watching.join(10.0)
    assert [2, 3, 4, 5, 6] == seeing.seen


def test_whoever_is_woken_need_not_look_often() -> None:
    """With an hour between two looks, what is committed is seen at once, and so is the end."""
    woken, over, seen = threading.Event(), threading.Event(), threading.Event()

    class Seeing:
        def committed(self, record: Record) -> None:
            seen.set()

    with MemoryStore() as store:
        store.subscribe(lambda _head, _types: woken.set())
        watching = threading.Thread(
            target=lambda: follow(store, (Seeing(),), after=0, stop=over.is_set, poll_s=3600.0, woken=woken)
        )
        watching.start()
        store.append(Batch((StreamWrite("modes", (NewEvent(modes.ModeChanged("normal", "minimal", "")),)),)))
        assert seen.wait(30.0)
        over.set()
        woken.set()
        watching.join(30.0)
        assert not watching.is_alive()


class Unreadable:
    """A reader whose log is gone."""

    def read(self, **how: Any) -> Any:
        raise OSError("disk gone")


def test_a_log_that_cannot_be_read_ends_the_watching_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """It is said once; when it was to stop anyway, not at all."""
    reader: Any = Unreadable()
    follow(reader, (), after=0, stop=lambda: False)
    assert 1 == caplog.text.count("hooks see no more records")
    caplog.clear()
    follow(reader, (), after=0, stop=lambda: True)
    assert "" == caplog.text


def test_a_whole_life_can_be_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every record of a real log makes a line, and each line has a position."""
    lived(tmp_path / "lrm.db")
    hook = LogHook(LogContext("a"))
    with caplog.at_level(logging.DEBUG, EVENTS_LOGGER), open_log(tmp_path / "lrm.db") as reader:
        for one in reader.read():
            hook.committed(one)
        head = reader.head
    assert list(range(1, head + 1)) == [vars(line)["position"] for line in caplog.records]


def test_what_nobody_wants_is_passed_over_without_being_read() -> None:
    """An agent that does a thousand things outside has not each of them read again for a line that is not written."""
    with MemoryStore() as store:
        few, many = NewEvent(journal.JournalOpened(1)), NewEvent(journal.EffectIntended(1, "send", 1, 1, "retry"))
        store.append(Batch(writes=(StreamWrite("journal", (few, *[many] * 20, few, many)),)))
        seen: list[int] = []
        passed: list[int] = []

        class Seeing:
            def committed(self, record: Record) -> None:
                seen.append(record.position)

        follow(
            store,
            (Seeing(),),
            after=0,
            stop=lambda: bool(passed),
            wants=lambda: frozenset(("journal.opened",)),
            passed=passed.append,
        )
    assert ([1, 22], [23]) == (seen, passed)


def test_every_event_is_wanted_where_lines_of_all_are_written() -> None:
    """At level DEBUG, or at INFO while failures are recovered from."""
    for level, verbose, everything in (("DEBUG", False, True), ("INFO", False, False), ("INFO", True, True)):
        logger = logging.Logger("one", level)  # noqa: LOG001 - not the one that others share
        hook = LogHook(LogContext("agent"), logger)
        if verbose:
            hook.committed(record("modes.changed", modes.ModeChanged("normal", "recovery", "")))
        assert everything == (hook.wants() is None)
    assert set(LEVELS) < TOLD
    assert not TOLD & SELDOM_TOLD
