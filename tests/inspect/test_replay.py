from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from eventstore.codec import encode_state
from eventstore.events import event
from eventstore.records import Batch, Retention, Snapshot
from lrm_actors.domain import journal, modes, supervisor
from lrm_actors.domain.behavior import Spec, then
from lrm_actors.domain.breaker import BreakerState
from lrm_actors.domain.journal import JournalState
from lrm_actors.inspect import Folds, LoadFailed, open_log, state_at, states_at
from lrm_actors.inspect.replay import EVENTS_KEPT, state_data
from tests.inspect.conftest import Lived
from tests.inspect.logs import LogWriter


@event("tally.added", 1)
class Added:
    amount: int


@attrs.frozen
class Tally:
    total: int = 0
    history: tuple[int, ...] = ()


def fold_tally(state: Tally, fact: object) -> Tally:
    """Add it up; an amount of 13 is what this function cannot fold."""
    assert isinstance(fact, Added)
    if fact.amount == 13:
        raise ValueError("thirteen")
    return Tally(state.total + fact.amount, (*state.history, fact.amount))


TALLY = Spec("tally", Tally(), lambda state, command, ctx: then(), fold_tally)
TALLIES = Folds((TALLY,))


@pytest.mark.parametrize("snapshots", [True, False])
def test_an_actor_is_what_it_was_at_every_position(writer: LogWriter, snapshots: bool) -> None:
    """With snapshots and without: the state is the fold of the events up to there."""
    expected: dict[int, tuple[int, int]] = {0: (0, 0)}
    for amount in range(1, 10):
        at = writer.add("tally", Added(amount))
        expected[at] = (amount, sum(range(amount + 1)))
        expected[writer.add("notes", journal.JournalOpened(amount))] = expected[at]
        if amount % 3 == 0:
            state = Tally(sum(range(amount + 1)), tuple(range(1, amount + 1)))
            writer.store.append(Batch(snapshots=(Snapshot("tally", amount, TALLY.state_schema, encode_state(state)),)))
    for position, (version, total) in expected.items():
        replayed = state_at(writer.store, "tally", position, folds=TALLIES, snapshots=snapshots)
        assert (version, total) == (replayed.version, replayed.state.total)
        assert tuple(range(1, version + 1)) == replayed.state.history
        assert (version // 3 * 3 if snapshots else 0) == replayed.from_snapshot
        assert replayed.last_position <= position


def test_a_snapshot_that_makes_no_state_is_passed_over(writer: LogWriter) -> None:
    """For an older one, or the events themselves; one of another form is not looked at."""
    for amount in (1, 2, 3):
        writer.add("tally", Added(amount))
    for version, schema, data in (
        (1, "tally/1", encode_state(Tally(1, (1,)))),
        (2, "tally/1", b"[]"),
        (3, "tally/2", b"{}"),
    ):
        writer.store.append(Batch(snapshots=(Snapshot("tally", version, schema, data),)))
    replayed = state_at(writer.store, "tally", folds=TALLIES)
    assert (Tally(6, (1, 2, 3)), 1) == (replayed.state, replayed.from_snapshot)


def test_all_actors_at_one_position(life: Lived) -> None:
    """Those that had begun by then, each folded by its own functions."""
    at = life.at["mode"]
    found = {one.stream: one for one in states_at(life.reader, at)}
    assert {"supervisor", "journal", "monitor", "modes"} == set(found)
    assert ("degraded", 2) == (found["modes"].state.mode, found["supervisor"].state.starts)
    assert JournalState(committed=1, start=1) == found["journal"].state
    everything = {one.stream for one in states_at(life.reader)}
    assert everything == {one.name for one in life.reader.streams()}


def test_a_breaker_is_folded_as_its_own_service(life: Lived) -> None:
    """The state knows which one it is."""
    state = state_at(life.reader, "breaker/site").state
    assert isinstance(state, BreakerState)
    assert ("site", "open", 1) == (state.service, state.status, state.generation)


def test_an_actor_of_others_is_shown_by_its_events(writer: LogWriter, tmp_path: Path) -> None:
    """The newest of them, and it is said that they are no state."""
    for amount in range(EVENTS_KEPT + 5):
        writer.add("tally", Added(amount))
    replayed = state_at(writer.store, "tally")
    assert (False, None) == (replayed.folded, replayed.state)
    assert "not known here" in replayed.note
    assert list(range(5, EVENTS_KEPT + 5)) == [record.event.amount for record in replayed.events]
    assert EVENTS_KEPT + 5 == replayed.version


def test_a_function_that_fails_is_told_and_hides_no_other_actor(writer: LogWriter) -> None:
    """The events are shown instead, with where it failed."""
    writer.add("modes", modes.Configured(enabled=False))
    writer.add("tally", Added(1))
    at = writer.add("tally", Added(13))
    found = {one.stream: one for one in states_at(writer.store, folds=TALLIES)}
    assert (False, f"tally cannot be folded past #{at}: ValueError: thirteen") == (
        found["tally"].folded,
        found["tally"].note,
    )
    assert found["modes"].state.enabled is False


def test_events_of_types_not_known_here_are_counted(writer: LogWriter) -> None:
    """A state folded without them may be another than it was, and says so."""
    writer.add("journal", journal.JournalOpened(1))
    writer.store.close()
    script = tmp_event_of_a_stranger(writer)
    with open_log(script) as reader:
        replayed = state_at(reader, "journal")
    assert "1 events of types not known here are left out" == replayed.note
    assert JournalState(start=1) == replayed.state


def tmp_event_of_a_stranger(writer: LogWriter) -> Path:
    """The same log with an event of a later release; the process that knows it is another one."""
    import subprocess

    path = writer.store.path
    code = (
        "from eventstore import event, open_store, Batch, StreamWrite, NewEvent\n"
        "@event('journal.renamed', 1)\nclass Renamed:\n    name: str\n"
        f"with open_store({str(path)!r}) as store:\n"
        "    store.append(Batch(writes=(StreamWrite('journal', (NewEvent(Renamed('x')),)),)))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    return path


def test_others_can_be_one_of_many(writer: LogWriter) -> None:
    """An actor ``tally/eu`` is folded as another of its category is."""
    writer.add("tally/eu", Added(5))
    assert 5 == state_at(writer.store, "tally/eu", folds=TALLIES).state.total


def test_a_module_names_its_actors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As attributes or in ``SPECS``, each counted once."""
    (tmp_path / "shop_actors.py").write_text(
        "import attrs\nfrom lrm_actors.domain.behavior import Spec\n"
        "@attrs.frozen\nclass S:\n    n: int = 0\n"
        "one = Spec('one', S(), print, print)\nSPECS = (one, Spec('two', S(), print, print))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    folds = Folds().with_modules(["shop_actors"])
    assert ["one", "two"] == [spec.name for spec in folds.added]
    assert folds.spec("three") is None
    assert folds.spec("monitor") is not None


@pytest.mark.parametrize(
    ("text", "reason"), [(None, "No module named"), ("1/0", "ZeroDivisionError"), ("x = 1", "it describes no actor")]
)
def test_a_module_that_cannot_be_used_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, reason: str
) -> None:
    """Missing, failing or without actors: typed, with what to give instead."""
    name = f"unusable_{abs(hash(text))}"
    if text is not None:
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(LoadFailed, match=reason) as failed:
        Folds().with_modules([name])
    assert name == failed.value.module


def test_no_stream_without_an_instance_is_taken_for_a_breaker() -> None:
    """And none with one for an actor that has no instances."""
    assert Folds().spec("breaker") is None
    assert Folds().spec("monitor/2") is None
    assert Folds().spec("deliveries") is None


@pytest.mark.parametrize("state", [Tally(3, (1, 2)), {"a": object}, {1: b"x"}, float("nan"), [1, "a", None]])
def test_any_state_can_be_shown(state: Any) -> None:
    """As JSON, whatever it is made of."""
    json.dumps(state_data(state), allow_nan=False)


def test_an_actor_all_of_whose_events_were_removed(writer: LogWriter) -> None:
    """Is what its snapshot says; where its last event was is not known any more."""
    writer.add("journal", journal.JournalOpened(3))
    before = state_at(writer.store, "journal")
    writer.snapshot("journal")
    writer.add("supervisor", supervisor.ProcessExitObserved(-9, "exit by signal 9"))
    assert 1 == writer.store.retain(Retention(max_events=0)).removed
    after = state_at(writer.store, "journal")
    assert (before.state, 1, 1, 0, "") == (
        after.state, after.version, after.from_snapshot, after.last_position, after.note,
    )  # fmt: skip
