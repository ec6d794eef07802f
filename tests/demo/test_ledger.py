"""The books of a run: nothing acknowledged may be missing, nothing done twice may go unreported."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from eventstore import Instant, Record
from eventstore.events import type_of
from lrm_actors.demo.compare import Match
from lrm_actors.demo.injected import Injected
from lrm_actors.demo.ledger import Acknowledged, Begun, Ledger, keep
from lrm_actors.demo.plan import Kind
from lrm_actors.demo.watch import digest
from lrm_actors.domain import journal, supervisor

NOW = Instant(1000.0, 1.0, "boot")


def record(position: int, event: object) -> Record:
    """A record of an event at a position."""
    kind = type_of(type(event))
    return Record(position, "stream", position, kind.name, 1, (event,), NOW, None, None, "", 0, b"{}")


def result(step: int) -> dict[str, Any]:
    """What a step found."""
    return {"path": f"/{step}"}


ACKNOWLEDGED = tuple(Acknowledged(step, digest(result(step)), start=1 if step < 3 else 2) for step in (1, 2, 3, 4))
BEGUN = (Begun(1, 1), Begun(2, 1), Begun(3, 1), Begun(3, 2), Begun(4, 2))
RECORDS = (
    record(10, journal.StepCommitted(1, "one", result(1))),
    record(20, journal.StepCommitted(2, "two", result(2))),
    record(31, journal.StepRepeated(3, "three", 2)),
    record(33, journal.StepCommitted(3, "three", result(3))),
    record(43, journal.StepCommitted(4, "four", result(4))),
)
EXITED = record(24, supervisor.ProcessExitObserved(-9, "exit by signal 9"))
STARTED = record(25, supervisor.ProcessStarted(2, 99, restarted=True))
KILLED = Match(Injected(1, Kind.KILL_AGENT, NOW, step=3, acknowledged=2), EXITED, STARTED, STARTED)


def books(without: int | None = None, **changed: Any) -> Ledger:
    """The books of the story, with one record left out or something else changed."""
    records = [one for one in RECORDS if one.position != without]
    return keep(**{"acknowledged": ACKNOWLEDGED, "begun": BEGUN, "records": records, "matches": [KILLED], **changed})


def test_a_run_that_kept_everything() -> None:
    """Four steps acknowledged and kept, one of them repeated and reported, after the kill."""
    assert books() == Ledger(
        acknowledged=4, missing=(), repeated=(3,), unreported=(), lost_after={1: 0}, repeated_after={1: 1}
    )
    assert books().ok


@pytest.mark.parametrize(("without", "step", "lost"), [(10, 1, 1), (20, 2, 1), (43, 4, 0)])
def test_an_acknowledged_step_that_is_not_in_the_log_is_missing(without: int, step: int, lost: int) -> None:
    """Whichever it is; it is put down to the fault when it was acknowledged before that."""
    kept = books(without)

    assert kept.missing == (step,)
    assert kept.lost_after == {1: lost}
    assert not kept.ok


def test_an_acknowledged_step_with_another_result_is_missing() -> None:
    """The same number is not enough: what was acknowledged is what must be kept."""
    changed = [attrs.evolve(ACKNOWLEDGED[0], digest="another"), *ACKNOWLEDGED[1:]]

    assert books(acknowledged=changed).missing == (1,)


def test_a_repetition_that_the_log_does_not_report_is_found() -> None:
    """Begun by two processes, and no word of it in the log."""
    kept = books(without=31)

    assert kept.unreported == (3,)
    assert not kept.ok
