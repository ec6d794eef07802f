"""Which mode the health asks for, and what each mode changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm_actors.domain import modes
from lrm_actors.domain.behavior import StartTimer
from lrm_actors.domain.deadlines import deadline
from lrm_actors.domain.modes import (
    CRITICALITIES,
    MODE_FOR_HEALTH,
    PROFILES,
    Configure,
    Configured,
    ConsiderHealth,
    HealthConsidered,
    LoadReduced,
    ModeChanged,
    ModesState,
    Pin,
    Pinned,
    ReduceLoad,
    should_run,
    wanted,
)
from lrm_actors.errors import CommandRefused
from tests.domain.kit import Run, at


def normal() -> Run[ModesState]:
    """Modes before anything happened."""
    return Run.of(modes.spec())


@pytest.mark.parametrize(
    ("health", "mode"),
    [("warning", "degraded"), ("critical", "minimal"), ("failing", "recovery")],
)
def test_health_asks_for_a_mode(health: str, mode: str) -> None:
    """Warning means degraded, critical minimal, failing recovery; the change names the health as its cause."""
    run = normal()
    events = run.tell(ConsiderHealth(health, "memory 96 %"))
    assert (
        HealthConsidered(health, "memory 96 %"),
        ModeChanged("normal", mode, f"health {health}: memory 96 %"),
    ) == events
    run.tell(ConsiderHealth("healthy", ""))
    assert ModeChanged(mode, "normal", "health healthy") == run.log[-1]


def test_the_same_health_again_is_no_news() -> None:
    """Health that did not change leaves no trace; another cause of the same health is recorded and changes no mode."""
    run = normal()
    run.tell(ConsiderHealth("warning", "cpu"))
    assert () == run.tell(ConsiderHealth("warning", "cpu"))
    assert (HealthConsidered("warning", "memory"),) == run.tell(ConsiderHealth("warning", "memory"))


def test_switched_off_holds_normal() -> None:
    """Switched off, the mode is normal whatever the health; switched on again, the health counts at once."""
    run = normal()
    run.tell(ConsiderHealth("critical", "cpu"))
    assert (Configured(False), ModeChanged("minimal", "normal", "modes switched off")) == run.tell(Configure(False))
    assert (HealthConsidered("failing", "two down"),) == run.tell(ConsiderHealth("failing", "two down"))
    assert () == run.tell(ReduceLoad("cpu"))
    assert ModeChanged("normal", "recovery", "modes switched on") == run.tell(Configure(True))[-1]
    assert () == run.tell(Configure(True))


def test_a_pin_holds_until_it_is_let_go() -> None:
    """A mode set by hand stays whatever the health, and the health counts again afterwards."""
    run = normal()
    assert (Pinned("minimal", "night"), ModeChanged("normal", "minimal", "night")) == run.tell(Pin("minimal", "night"))
    assert (HealthConsidered("warning", "cpu"),) == run.tell(ConsiderHealth("warning", "cpu"))
    assert ModeChanged("minimal", "degraded", "by hand") == run.tell(Pin(None))[-1]
    assert () == run.tell(Pin(None))


def test_a_pin_lets_go_by_itself() -> None:
    """When its time has passed the health counts again, in the next process too; an earlier timer does nothing."""
    run = normal()
    run.tell(ConsiderHealth("critical", "cpu"))
    run.tell(Pin("normal", "a demonstration", 600.0))
    (first,) = run.effects(StartTimer)
    assert (600.0, "normal") == (first.delay_s, run.state.mode)
    run.seconds = 500.0
    run.tell(Pin("degraded", "a longer one", 600.0))
    (second,) = run.effects(StartTimer)
    run.seconds = 600.0
    assert () == run.tell(first.command)
    run.recover()
    assert [500.0] == [timer.delay_s for timer in run.effects(StartTimer)]
    assert () == run.tell(second.command)
    run.seconds = 1100.0
    held, changed = run.tell(second.command)
    assert Pinned(None, "held for 600 s") == held
    assert ModeChanged("degraded", "minimal", "no longer held: a longer one") == changed
    assert "no longer held: a longer one" == run.state.why


@pytest.mark.parametrize("for_s", [0.0, -1.0, float("nan"), float("inf"), 8 * 86_400.0])
def test_a_pin_that_would_never_end_is_refused(for_s: float) -> None:
    """A mode is held for a week at most, and for no time that is none."""
    with pytest.raises(CommandRefused):
        normal().tell(Pin("minimal", "night", for_s))


def reduced(run: Run[ModesState], reason: str) -> LoadReduced:
    """What is put on record of a load that is reduced now."""
    return LoadReduced(reason, deadline(at(run.seconds).now, modes.REDUCED_S))


def test_reduced_load_lasts_until_the_health_changes() -> None:
    """Asked to reduce load it is degraded at least, until the health changes; a worse mode is not lifted by it."""
    run = normal()
    busy = reduced(run, "busy")
    assert (busy, ModeChanged("normal", "degraded", "busy")) == run.tell(ReduceLoad("busy"))
    assert () == run.tell(ReduceLoad("busier"))
    run.tell(ConsiderHealth("critical", "cpu"))
    assert (busy,) == run.tell(ReduceLoad("busy"))
    run.tell(ConsiderHealth("healthy", ""))
    assert ("normal", None) == (run.state.mode, run.state.reduced_until)


def test_reduced_load_is_over_in_time_where_the_health_never_changes() -> None:
    """A failure that goes on makes it longer; one timer at a time counts, and another process goes on with it."""
    run = normal()
    run.tell(ReduceLoad("busy"))
    first = next(one.command for one in run.last.effects if isinstance(one, StartTimer))
    run.seconds += modes.REDUCED_S * 0.6
    assert (reduced(run, "busy still"),) == run.tell(ReduceLoad("busy still"))
    run.seconds += modes.REDUCED_S * 0.5
    assert () == run.tell(first)
    (timer,) = modes.recover(run.state, at(run.seconds)).effects
    assert isinstance(timer, StartTimer)
    assert timer.delay_s == pytest.approx(modes.REDUCED_S * 0.5)
    run.seconds += timer.delay_s
    over, changed = run.tell(timer.command)
    assert LoadReduced("") == over
    assert ModeChanged("degraded", "normal", "reduced for 600 s: busy still") == changed
    assert "" == run.state.reduced


@pytest.mark.parametrize("command", [ConsiderHealth("poorly", ""), Pin("turbo")])
def test_unknown_words_are_refused(command: ConsiderHealth | Pin) -> None:
    """A status or mode that does not exist is refused with those that do."""
    with pytest.raises(CommandRefused) as refused:
        normal().tell(command)
    allowed = MODE_FOR_HEALTH if isinstance(command, ConsiderHealth) else PROFILES
    assert all(word in refused.value.hint for word in allowed)


@pytest.mark.parametrize(
    ("mode", "runs"),
    [
        ("normal", ["sheddable", "sheddable_plus", "critical", "critical_plus"]),
        ("degraded", ["sheddable_plus", "critical", "critical_plus"]),
        ("minimal", ["critical", "critical_plus"]),
        ("recovery", ["critical", "critical_plus"]),
    ],
)
def test_each_mode_sheds_what_matters_least(mode: str, runs: list[str]) -> None:
    """Work below the mode's least criticality is shed, work at it or above runs."""
    state = ModesState(mode=mode)
    assert runs == [criticality for criticality in CRITICALITIES if should_run(state, criticality)]


def test_unknown_criticality_is_refused() -> None:
    """A misspelt criticality is an error with the allowed words, not work that silently runs or never does."""
    with pytest.raises(ValueError, match="no criticality 'urgent'") as refused:
        should_run(ModesState(), "urgent")
    assert isinstance(refused.value, CommandRefused)
    assert "sheddable, sheddable_plus, critical, critical_plus" in refused.value.hint


commands = st.one_of(
    st.builds(Configure, st.booleans()),
    st.builds(ConsiderHealth, st.sampled_from(sorted(MODE_FOR_HEALTH)), st.sampled_from(["", "cpu"])),
    st.builds(ReduceLoad, st.just("busy")),
    st.builds(
        Pin, st.one_of(st.none(), st.sampled_from(sorted(PROFILES))), st.just("by hand"), st.none() | st.just(9.0)
    ),
)


@given(st.lists(commands, max_size=30))
def test_the_mode_is_always_the_wanted_one(sequence: list[Configure | ConsiderHealth | ReduceLoad | Pin]) -> None:
    """After any sequence of commands the mode is what off, pin, load and health ask for, in this order."""
    run = normal()
    for command in sequence:
        run.tell(command)
        assert wanted(run.state) == run.state.mode
        assert run.state.changes == sum(isinstance(fact, ModeChanged) for fact in run.log)
