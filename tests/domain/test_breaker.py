"""What a breaker's actor decides: generations, open times, and what a report is worth."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm_actors.domain import breaker
from lrm_actors.domain.behavior import CancelTimer, Command, Context, Decision, Spec, then
from lrm_actors.domain.breaker import (
    BreakerConfig,
    BreakerState,
    Closed,
    Configure,
    Configured,
    FailuresObserved,
    ForceState,
    HalfOpened,
    Opened,
    ProbeFailed,
    ProbeSucceeded,
    PublishBreaker,
    ReportProbe,
    ReportProbeStarted,
    ReportTrip,
    summary,
)
from lrm_actors.domain.deadlines import deadline
from lrm_actors.errors import CommandRefused
from tests.domain.kit import Run, at

CONFIG = BreakerConfig(failure_threshold=3, recovery_timeout_s=10.0, recovery_timeout_max_s=35.0)
TIMEOUTS = ("timeout: ReadTimeout",) * 3


def new(config: BreakerConfig = CONFIG) -> Run[BreakerState]:
    """A breaker in its first life."""
    return Run.of(breaker.spec("llm", config))


def trip(run: Run[BreakerState], generation: int = 1) -> tuple[object, ...]:
    """The guard reports that it tripped."""
    return run.tell(ReportTrip(generation, TIMEOUTS, deadline(at(run.seconds).now, 10.0)))


def half_open(**config: Any) -> Run[BreakerState]:
    """A breaker that tripped and lets probes through, in generation 2."""
    run = new(attrs.evolve(CONFIG, **config))
    trip(run)
    run.tell(ReportProbeStarted(2))
    return run


def published(run: Run[BreakerState]) -> BreakerState:
    """The state that the last decision hands to the guard."""
    (effect,) = run.effects(PublishBreaker)
    assert isinstance(effect, PublishBreaker)
    return effect.state


def test_first_life_takes_the_config_on_the_record() -> None:
    """The config of a new breaker is an event, so its state follows from the log and its name alone."""
    run = new()
    assert [Configured(CONFIG)] == run.log
    assert BreakerState(service="llm") == run.spec.initial == breaker.spec("llm").initial
    assert "breaker/llm" == run.spec.name


def test_later_lives_keep_the_config_of_the_log() -> None:
    """What was configured while it ran is not undone by the spec when the actor is restarted."""
    run = new()
    changed = attrs.evolve(CONFIG, failure_threshold=9)
    assert (Configured(changed),) == run.tell(Configure(changed))
    assert () == run.tell(Configure(changed))
    assert () == run.recover()
    assert changed == published(run).config


def test_a_trip_is_observed_then_opens() -> None:
    """The failures are the root of the opening, which says what they were and keeps the guard's own deadline."""
    run = new()
    observed, opened = trip(run)
    assert FailuresObserved("llm", TIMEOUTS) == observed
    assert Opened("llm", 1, "3 timeouts in a row", deadline(at(0).now, 10.0)) == opened
    assert run.state == published(run)
    assert ("open", 1, 1) == (run.state.status, run.state.generation, run.state.openings)


def test_a_stale_trip_changes_nothing_and_tells_the_guard() -> None:
    """A trip out of a generation that is over is no event; the guard is told where the breaker stands."""
    run = half_open()
    assert () == trip(run, generation=2)
    assert run.state == published(run)


def test_probes_begin_half_open_once() -> None:
    """The first probe's report opens it half; a second report of the same generation is nothing new."""
    run = new()
    trip(run)
    assert (HalfOpened("llm", 2),) == run.tell(ReportProbeStarted(2))
    assert () == run.tell(ReportProbeStarted(2))


def test_a_good_probe_closes() -> None:
    """A successful probe closes the breaker, and the next opening is the first in its row."""
    run = half_open()
    assert (ProbeSucceeded("llm", 2), Closed("llm", 3, "a probe succeeded")) == run.tell(ReportProbe(2, ok=True))
    assert ("closed", 3, 0, ()) == (
        run.state.status,
        run.state.generation,
        run.state.openings,
        run.state.last_failures,
    )


def test_as_many_good_probes_as_configured() -> None:
    """With several successes to close, the first ones only count."""
    run = half_open(successes_to_close=2)
    assert (ProbeSucceeded("llm", 2),) == run.tell(ReportProbe(2, ok=True))
    assert Closed("llm", 3, "2 probes succeeded") == run.tell(ReportProbe(2, ok=True))[-1]


def test_failed_probes_double_the_open_time_up_to_the_cap() -> None:
    """Each failed probe opens it again for twice as long, never longer than the cap."""
    run = half_open()
    delays = []
    for _ in range(3):
        generation = run.state.generation
        failed, opened = run.tell(ReportProbe(generation, ok=False, failure="ConnectError"))
        assert ProbeFailed("llm", generation, "ConnectError") == failed
        assert isinstance(opened, Opened)
        assert "probe failed: ConnectError" == opened.reason
        delays.append(opened.open_until.delay_s)
        run.tell(ReportProbeStarted(opened.generation + 1))
    assert [20.0, 35.0, 35.0] == delays


def test_a_stale_probe_cannot_close() -> None:
    """A probe of an earlier half-open state that succeeds late changes nothing."""
    run = half_open()
    run.tell(ReportProbe(2, ok=False, failure="ConnectError"))
    assert () == run.tell(ReportProbe(2, ok=True))
    assert "open" == run.state.status


def test_a_stale_probe_cannot_extend() -> None:
    """A probe of an earlier half-open state that fails late does not open it for longer."""
    run = half_open()
    run.tell(ReportProbe(2, ok=False, failure="ConnectError"))
    before = run.state
    assert () == run.tell(ReportProbe(2, ok=False, failure="ConnectError"))
    assert before == run.state


@pytest.mark.parametrize(("ok", "status"), [(True, "closed"), (False, "open")])
def test_a_probe_is_believed_though_its_beginning_was_lost(ok: bool, status: str) -> None:
    """A probe's result says that the breaker was half open, also when nothing else did; its own event is the root."""
    run = new()
    trip(run)
    events = run.tell(ReportProbe(2, ok=ok, failure="" if ok else "ConnectError"))
    assert [ProbeSucceeded if ok else ProbeFailed, Closed if ok else Opened] == [type(fact) for fact in events]
    assert (status, 3) == (run.state.status, run.state.generation)


def test_a_guard_ahead_of_its_actor_is_believed() -> None:
    """When reports were lost the guard knows better: a newer generation is taken as it is."""
    run = new()
    assert (HalfOpened("llm", 4),) == run.tell(ReportProbeStarted(4))


@pytest.mark.parametrize("generation", [0, 1])
def test_forced_open(generation: int) -> None:
    """Forced open it stays open for the longest time there is, from closed as from open."""
    run = new()
    if generation:
        trip(run)
    assert (Opened("llm", generation + 1, "forced: no credit", deadline(at(0).now, 35.0)),) == run.tell(
        ForceState("open", "no credit")
    )


def test_forced_closed() -> None:
    """Forced closed it closes; closed already, nothing happens."""
    run = new()
    trip(run)
    assert (Closed("llm", 2, "forced: service is back"),) == run.tell(ForceState("closed", "service is back"))
    assert () == run.tell(ForceState("closed", "again"))


def test_what_is_let_go_of_has_no_timer_any_more() -> None:
    """The timer of a hold is cancelled as it ends, and not where nothing was held."""
    run = new()
    run.tell(ForceState("closed", "nothing is held"))
    assert [] == run.effects(CancelTimer)
    run.tell(ForceState("disabled", "by hand", for_s=60.0))
    assert [] == run.effects(CancelTimer)
    run.tell(ForceState("auto", "let go"))
    assert [CancelTimer(breaker.HOLD_TIMER)] == run.effects(CancelTimer)
    trip(run, run.state.generation)
    assert [] == run.effects(CancelTimer)


def test_forced_otherwise_is_refused() -> None:
    """What cannot be forced is refused with what can."""
    with pytest.raises(CommandRefused) as refused:
        new().tell(ForceState("half_open", "why not"))
    hint = "force it 'open', 'closed', 'forced_closed', 'disabled', 'metrics_only' or 'auto'"
    assert ("breaker/llm", hint) == (refused.value.actor, refused.value.hint)


def test_recovery_tells_the_guard_how_long_is_left() -> None:
    """After a restart the guard gets the state with what is left of the open time and the row of openings."""
    run = half_open()
    run.tell(ReportProbe(2, ok=False, failure="ConnectError"))
    run.seconds = 8.0
    run.recover()
    state = published(run)
    assert state.open_until is not None
    assert 12.0 == state.open_until.remaining_s(at(8.0).now)
    assert 2 == state.openings


@pytest.mark.parametrize(
    ("failures", "words"),
    [
        (("timeout: ReadTimeout",), "1 timeout in a row"),
        (("timeout: A", "timeout: B"), "2 timeouts in a row"),
        (("status 500: E", "timeout: A", "status 500: F"), "3 failures in a row: 2 status 500, 1 timeout"),
        (("ConnectError",), "1 failure in a row: 1 ConnectError"),
    ],
)
def test_failures_in_words(failures: tuple[str, ...], words: str) -> None:
    """Timeouts are called by name; other failures are counted by kind, the most frequent first."""
    assert words == summary(failures)


generations = st.integers(0, 12)
commands = st.one_of(
    st.builds(ReportTrip, generations, st.just(TIMEOUTS), st.just(deadline(at(0).now, 10.0))),
    st.builds(ReportProbeStarted, generations),
    st.builds(ReportProbe, generations, st.booleans(), st.just("ConnectError")),
    st.builds(ForceState, st.sampled_from(["open", "closed"]), st.just("by hand")),
    st.builds(Configure, st.builds(BreakerConfig, st.integers(1, 5), st.floats(0.1, 10.0), st.floats(10.0, 60.0))),
)


def play(spec: Spec[BreakerState], sequence: list[Any]) -> None:
    """The checker: generations only rise, what is decided is what is published, and open times keep to the cap."""
    run = Run.of(spec)
    for command in sequence:
        before = run.state
        events = run.tell(command)
        after = run.state
        entered = any(isinstance(fact, Opened | HalfOpened | Closed) for fact in events)
        assert after.generation > before.generation or not entered
        assert (after.status == before.status or entered) or after.generation > before.generation
        assert (after.status == "open") == (after.open_until is not None)
        if events:
            assert after == published(run)
        for fact in events:
            if isinstance(fact, Opened) and not isinstance(command, ReportTrip):
                assert fact.open_until.delay_s <= after.config.recovery_timeout_max_s


@given(st.lists(commands, max_size=40))
def test_any_sequence_keeps_the_rules(sequence: list[Any]) -> None:
    """Whatever is reported in whatever order: state is the fold, generations rise, the guard hears every change."""
    play(breaker.spec("llm", CONFIG), sequence)


def believes_stale(state: BreakerState, command: Command, ctx: Context) -> Decision:
    """Planted: a late success closes whatever the breaker is now."""
    if isinstance(command, ReportProbe) and command.ok:
        closed = Closed(state.service, state.generation, "a probe succeeded")
        return then(closed, effects=(PublishBreaker(state.service, breaker.evolve(state, closed)),))
    return breaker.decide(state, command, ctx)


def keeps_quiet(state: BreakerState, command: Command, ctx: Context) -> Decision:
    """Planted: the guard is not told."""
    return attrs.evolve(breaker.decide(state, command, ctx), effects=())


@pytest.mark.parametrize("planted", [believes_stale, keeps_quiet])
def test_planted_bugs_are_caught(planted: Any) -> None:
    """The checker sees a stale success that closes, and a guard that is not told."""
    spec = breaker.spec("llm", CONFIG)
    sequence = [
        ReportTrip(1, TIMEOUTS, deadline(at(0).now, 10.0)),
        ReportProbe(2, ok=False, failure="ConnectError"),
        ReportProbe(2, ok=True),
    ]
    play(spec, sequence)
    with pytest.raises((AssertionError, ValueError)):
        play(attrs.evolve(spec, decide=planted), sequence)
