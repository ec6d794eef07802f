"""A program with many lives: for each line on its input it forks a process that works on a log until it is killed.

Forked from a process without threads, so a life begins in a few milliseconds and is a process of its own all the same.
Each life asks its actors from several threads at once and writes a line for every command that was acknowledged.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventstore.opening import open_store
from eventstore.records import Batch
from eventstore.store import SqliteStore
from lrm_actors.domain import analyzer, journal
from lrm_actors.domain.behavior import Spec, Wire
from lrm_actors.runtime import shell as shells
from lrm_actors.runtime.clock import SystemClock
from lrm_actors.runtime.committing import CURSOR_LAG
from lrm_actors.runtime.turn import Turn
from tests.machines.world import ALL_WIRES, WITNESSED, Deliver, World, specs
from tests.runtime.support import Add, Added, Look, Note, counter

SNAPSHOT_EVERY = 7
PLANTED_PAUSE_S = 0.05
"""How long a planted bug holds open the gap that a kill falls into."""
COUNTERS = ("left", "right")
KINDS = (*WITNESSED, Added)
"""Everything that the witness hears of."""


def actors() -> list[Spec[Any]]:
    """All of ours, two counters that are asked, and one that is only ever told by the wiring."""
    counters = [counter(name, snapshot_every=SNAPSHOT_EVERY) for name in (*COUNTERS, "noter")]
    return [*specs(SNAPSHOT_EVERY), *counters]


def wires() -> tuple[Wire, ...]:
    """The whole table, and what the counters add."""
    return (
        *ALL_WIRES,
        Wire(Added, to="tally", make=lambda _fact, record: Deliver(record.position)),
        Wire(Added, to="noter", make=lambda fact, _record: Note(str(fact.amount))),
    )


def world(directory: Path) -> World:
    """One life of the log in a directory."""
    questions = dict.fromkeys((*COUNTERS, "noter"), Look())
    return World(directory, SystemClock(), actors=actors(), wires=wires(), questions=questions)


# --- the life of one process --------------------------------------------------------------------------------------


def live(directory: Path, life: int, planted: str) -> None:
    """Work until killed."""
    plant(planted)
    one = world(directory)
    numbers = itertools.count(life * 1_000_000)
    for name in COUNTERS:
        start_thread(count, one, name, numbers)
    start_thread(take_steps, one)
    start_thread(fail, one)
    threading.Event().wait()


def count(one: World, name: str, numbers: Iterator[int]) -> None:
    """Add one number after the other."""
    for number in numbers:
        one.ask(name, Add(number))
        acknowledge(name, number)


def take_steps(one: World) -> None:
    """Take one step of the agent after the other."""
    one.ask("journal", journal.OpenJournal())
    while True:
        step = one.ask("journal", journal.BeginStep("step"))["step"]
        one.ask("journal", journal.CommitStep(step, {"of": step}))
        acknowledge("journal", step)


def fail(one: World) -> None:
    """Have the analyzer, and by the wiring the supervisor and the monitor, something to do."""
    for observation in itertools.cycle(("heartbeat_missed", "component_exited", "cpu_overload")):
        one.ask("analyzer", analyzer.RecordFailure(analyzer.FailureFacts("browser", observation=observation)))


def acknowledge(name: str, number: int) -> None:
    """Tell the parent in one write, which a kill cannot cut in two."""
    os.write(1, f"{name} {number}\n".encode())


def start_thread(function: Callable[..., object], *args: Any) -> None:
    """Run on a daemon thread."""
    threading.Thread(target=function, args=args, daemon=True).start()


# --- planted bugs -------------------------------------------------------------------------------------------------


def plant_reply_before_append() -> None:
    """An actor that answers before its events are in the log."""
    append = shells.Shell._append

    def eager(shell: shells.Shell, turn: Turn, flush_cursor_after: int = CURSOR_LAG) -> None:
        answered = [one.envelope.reply_to for one in turn.outcomes if one.envelope.reply_to is not None]
        for outcome in turn.outcomes:
            if outcome.envelope.reply_to is not None:
                outcome.envelope.reply_to.set(outcome.reply)
        if answered and shell.spec.name in COUNTERS:
            time.sleep(PLANTED_PAUSE_S)
        append(shell, turn, flush_cursor_after)

    PATCH.setattr(shells.Shell, "_append", eager)


def plant_cursor_apart() -> None:
    """A consumer whose cursor is stored in a transaction of its own, ahead of its events."""
    make = Turn.batch

    def apart(turn: Turn, epoch: int, stored_cursor: int, flush_cursor_after: int) -> Batch | None:
        batch = make(turn, epoch, stored_cursor, flush_cursor_after)
        if batch is None or not batch.cursors or not batch.writes:
            return batch
        STORES[-1].append(Batch(cursors=batch.cursors))
        time.sleep(PLANTED_PAUSE_S)
        return msgspec.structs.replace(batch, cursors=())

    def remember(*args: Any, **options: Any) -> SqliteStore:
        STORES.append(open_store(*args, **options))
        return STORES[-1]

    PATCH.setattr("tests.machines.world.open_store", remember)
    PATCH.setattr(Turn, "batch", apart)


PATCH = pytest.MonkeyPatch()
STORES: list[SqliteStore] = []
PLANTS: dict[str, Callable[[], None]] = {
    "": lambda: None,
    "reply_before_append": plant_reply_before_append,
    "cursor_apart": plant_cursor_apart,
}


def plant(name: str) -> None:
    """Plant one of these bugs, or one of those that the whole kit is put to."""
    if name in PLANTS:
        PLANTS[name]()
        return
    from tests.mutants.planted import BUGS

    BUGS[name].plant(PATCH)


# --- the parent of all lives --------------------------------------------------------------------------------------


def main() -> None:
    """Fork a life for each line ``<number> <planted bug or -> <directory>``, say its pid, and wait for its end."""
    for line in sys.stdin:
        life, planted, directory = line.rstrip("\n").split(" ", 2)
        pid = os.fork()
        if pid == 0:
            try:
                live(Path(directory), int(life), planted.strip("-"))
            finally:
                os._exit(1)
        os.write(1, f"pid {pid}\n".encode())
        os.waitpid(pid, 0)
        os.write(1, b"ended 0\n")


if __name__ == "__main__":
    main()
