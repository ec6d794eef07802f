"""A running agent keeps its log within its limits by itself, and loses nothing that going on would need."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from eventstore.opening import open_reader
from eventstore.records import Retention
from lrm_actors.blocking import BlockingMode
from lrm_actors.domain import monitor, trimming
from lrm_actors.domain.metrics import Metrics
from lrm_actors.hosting import trimming as hosting
from lrm_actors.hosting.trimming import Limits, Trimmer
from lrm_actors.mode import LongRunningMode
from tests.mode_kit import records, settings, wait_for

SAMPLE = Metrics(cpu_percent=1.0)
SMALL = Limits(max_bytes=1.0, max_age_s=1e9)
KEPT = 50


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch, sampled: dict[str, float]) -> None:
    """A log of hundreds of events is already a large one, and the machine is calm."""
    monkeypatch.setattr(hosting, "KEPT_AT_LEAST", KEPT)


@contextmanager
def agent(directory: Path, *, captured: bool = False, **changes: Any) -> Iterator[BlockingMode]:
    """An agent whose log grows only as the test has it grow, with checkpoints or without."""
    mode = LongRunningMode(settings(directory, monitoring_interval=80_000.0, **changes))
    if captured:
        mode.capture_with(dict)
        mode.restore_with(lambda _state: None)
    with mode as blocking:
        yield blocking


def trimmer(mode: BlockingMode, limits: Limits = SMALL) -> Trimmer:
    """What looks after the log of this agent, to be called at will."""
    running = mode._engine.running
    assert running is not None
    return Trimmer(running.path, running.store, running.system, lambda: limits)


def grow(mode: BlockingMode, samples: int = 300) -> int:
    """Have the monitor put samples on record; the head of the log then."""
    system = mode._engine.running.system  # type: ignore[union-attr]  # it runs
    for _ in range(samples - 1):
        system.tell("monitor", monitor.RecordSample(SAMPLE))
    system.ask_blocking("monitor", monitor.RecordSample(SAMPLE), timeout_s=30.0)
    return system.store.head


def first(mode: BlockingMode) -> int:
    """Position of the oldest event kept."""
    return next(iter(mode._engine.running.store.read())).position  # type: ignore[union-attr]


def test_a_log_that_is_too_large_loses_its_oldest_events_and_says_so(tmp_path: Path) -> None:
    """Calm actors, without a snapshot or far behind in what is wired to them, hold nothing."""
    with agent(tmp_path) as mode:
        head = grow(mode)
        trimmer(mode).look()
        assert head - KEPT < first(mode) <= head
        (record,) = records(mode, "log.trimmed")
        fact = record.event
        assert isinstance(fact, trimming.LogTrimmed)
        assert (fact.removed, fact.because) == (fact.first - 1, "size")
        trimmer(mode).look()
    with agent(tmp_path) as mode:
        assert mode.get_health_report()
        assert 2 == mode._engine.state("supervisor").starts
    with open_reader(mode._engine.settings.log_path) as reader:
        assert reader.verify().ok


def test_an_actor_that_is_calm_for_the_life_of_a_process_does_not_hold_the_log(tmp_path: Path) -> None:
    """Its newest snapshot is enough, as it will write nothing that older ones could give way to."""
    with agent(tmp_path) as mode:
        grow(mode, 3)  # the stop leaves a snapshot
    with agent(tmp_path) as mode:
        head = grow(mode)
        trimmer(mode).look()
        assert first(mode) > head - KEPT


def test_planted_bug_older_snapshots_hold_the_log_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without that, the supervisor's last event is the first that stays, whatever the limit is."""
    monkeypatch.setattr(
        "lrm_actors.hosting.trimming.attrs.evolve",
        lambda one, **changes: one if "newest_snapshot" in changes else _evolve(one, **changes),
    )
    with pytest.raises(AssertionError):
        test_an_actor_that_is_calm_for_the_life_of_a_process_does_not_hold_the_log(tmp_path)


_evolve = attrs.evolve


def steps_survive(directory: Path) -> None:
    """Steps without a checkpoint are the only trace of what was done: their results stay."""
    with agent(directory) as mode:
        for number in range(3):
            with mode.step("count") as step:
                step.result = number
        committed = records(mode, "journal.step_committed")
        grow(mode)
        trimmer(mode).look()
        kept = records(mode, "journal.step_committed")
        assert [one.position for one in committed] == [one.position for one in kept], "results of steps are gone"


def test_the_results_of_steps_since_the_oldest_checkpoint_stay(tmp_path: Path, caplog: Any) -> None:
    """And without a checkpoint all of them; with one, what is before it goes."""
    with caplog.at_level(logging.WARNING, "lrm_actors.mode"):
        steps_survive(tmp_path)
    assert "nothing can go" in caplog.text
    with agent(tmp_path, captured=True) as mode:
        with mode.step("count") as step:  # the host says that it has taken up where it was
            step.result = "before"
        checkpoint_id = mode.take_checkpoint()
        with mode.step("count") as step:
            step.result = "after"
        grow(mode)
        trimmer(mode).look()
        (kept,) = records(mode, "journal.step_committed")
        assert "after" == kept.event.result
        assert first(mode) > 300
    with agent(tmp_path, captured=True) as mode:
        assert mode.recover_from_checkpoint(checkpoint_id)
        assert mode.last_recovery is not None
        assert ["after"] == [step.result for step in mode.last_recovery.steps]


def test_planted_bug_a_removal_that_forgets_the_steps_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As retention without the position does."""
    monkeypatch.setattr(Trimmer, "_needed_after", lambda _trimmer: None)
    with pytest.raises(AssertionError, match="results of steps are gone"):
        steps_survive(tmp_path)


def test_events_go_when_they_are_too_old(tmp_path: Path) -> None:
    """Whatever the size is; at most once an hour."""
    with agent(tmp_path) as mode:
        head = grow(mode)
        looking = trimmer(mode, Limits(max_bytes=1e12, max_age_s=0.0))
        looking.look()
        assert first(mode) > head - KEPT
        (record,) = records(mode, "log.trimmed")
        assert "age" == record.event.because
        grow(mode)
        looking.look()
        assert 1 == len(records(mode, "log.trimmed"))


def test_within_its_limits_nothing_is_touched(tmp_path: Path) -> None:
    """Not an event, and nothing is asked of the actors."""
    with agent(tmp_path) as mode:
        grow(mode, 100)
        trimmer(mode, Limits(max_bytes=1e12, max_age_s=1e9)).look()
        assert 1 == first(mode)
        assert [] == records(mode, "log.trimmed")
        assert mode._engine.running.store.snapshot("supervisor") is None  # type: ignore[union-attr]


def test_a_running_mode_looks_by_itself_with_the_limits_of_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Soon after its start and then again and again, beside the host's thread; a changed setting counts at once."""
    monkeypatch.setattr(hosting, "FIRST_LOOK_S", 0.01)
    monkeypatch.setattr(hosting, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr("lrm_actors.hosting.life.MB", 1)  # the least that may be set is then a byte
    looked: list[threading.Thread] = []
    look = Trimmer.look

    def noted(one: Trimmer) -> None:
        looked.append(threading.current_thread())
        look(one)

    monkeypatch.setattr(Trimmer, "look", noted)
    with agent(tmp_path, max_log_mb=1e6) as mode:
        grow(mode)
        mode._engine.settings.max_log_mb = 1.0
        wait_for(mode, "log.trimmed")
    assert threading.main_thread() not in looked


def test_what_cannot_be_removed_ends_nothing(tmp_path: Path, caplog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage that refuses is said once a look, and the agent goes on."""
    from eventstore.errors import AppendFailed
    from eventstore.store import SqliteStore

    def refuse(_store: Any, _retention: Retention, **_: Any) -> Any:
        raise AppendFailed("no space")

    with agent(tmp_path) as mode:
        grow(mode, 100)
        monkeypatch.setattr(SqliteStore, "retain", refuse)
        trimmer(mode).look()
        assert "could not be made smaller" in caplog.text
        grow(mode, 1)


def test_what_the_open_step_did_outside_outlives_its_events(tmp_path: Path) -> None:
    """Their results are kept with the journal's state, so that the step goes on though its log was cut behind it."""
    done: list[int] = []

    def act() -> int:
        done.append(len(done))
        return done[-1]

    for attempt in (1, 2):
        with agent(tmp_path) as mode, pytest.raises(ValueError, match="not yet"), mode.step("long") as step:
            assert attempt == step.attempt
            assert [0, 1, 2] == [mode.effect("act", act) for _ in range(3)]
            grow(mode)
            trimmer(mode).look()
            assert not records(mode, "journal.effect_done")
            raise ValueError("not yet")
    with agent(tmp_path) as mode, mode.step("long"):
        assert [0, 1, 2, 3] == [mode.effect("act", act) for _ in range(4)]
