"""The table at the end: a row for each fault, also for one that nobody noticed."""

from __future__ import annotations

from eventstore import Instant, Record
from eventstore.events import type_of
from lrm_actors.demo.compare import Match
from lrm_actors.demo.injected import Injected
from lrm_actors.demo.ledger import Ledger
from lrm_actors.demo.plan import Kind
from lrm_actors.demo.table import render, rows
from lrm_actors.domain import supervisor


def at(seconds: float) -> Instant:
    """A moment on the story's clock."""
    return Instant(1000.0 + seconds, seconds, "boot")


def record(position: int, seconds: float, event: object) -> Record:
    """A record of an event that happened at a time."""
    kind = type_of(type(event))
    return Record(position, "supervisor", position, kind.name, 1, (event,), at(seconds), None, None, "", 0, b"{}")


def test_each_fault_has_its_row() -> None:
    """What was done, when it was noticed, what ended it and what it cost; ``never`` for what went unnoticed."""
    killed = Injected(1, Kind.KILL_AGENT, at(3.0), step=4, acknowledged=3)
    hung = Injected(2, Kind.SITE_HANGS, at(9.0), step=8, acknowledged=7)
    exited = record(20, 3.5, supervisor.ProcessExitObserved(-9, "exit by signal 9"))
    started = record(21, 3.5, supervisor.ProcessStarted(2, 99, restarted=True))
    ledger = Ledger(9, (), (4,), (), lost_after={1: 0}, repeated_after={1: 1})

    table = rows([killed, hung], [Match(killed, exited, started, started)], ledger, began=at(1.0))

    assert [row.cells() for row in table] == [
        ("kill agent", "2.0 s", "0.5 s", "[21] process 2 of this log started (pid 99)", "0", "1"),
        ("site hangs", "8.0 s", "never", "nothing", "0", "0"),
    ]
    header, rule, *lines = render(table)
    assert header.split("  ")[0] == "fault"
    assert set(rule) == {"-", " "}
    column = header.index("recovered by")
    assert [line[column:].split()[0] for line in lines] == ["[21]", "nothing"]
