"""The monitor: health from samples, heartbeats and failures."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.codec import decode_events, decode_state, encode_event, encode_state
from lrm_actors.domain import monitor
from lrm_actors.domain.behavior import Command, StartTimer
from lrm_actors.domain.monitor import (
    CheckHeartbeats,
    ComponentExited,
    ComponentResumed,
    Configure,
    Configured,
    DownForgotten,
    ForgetDown,
    HealthChanged,
    HeartbeatCheckDue,
    HeartbeatMissed,
    Metrics,
    MonitorConfig,
    MonitorState,
    NoteComponentFailed,
    NoteComponentRestarted,
    NoteMode,
    Observation,
    RecordObservations,
    RecordSample,
    Sampled,
    SampleDue,
    SampleMissing,
    SampleOverdue,
    TakeSample,
)
from lrm_actors.errors import CommandRefused
from tests.domain.kit import START, Run, at


@pytest.fixture
def run() -> Run[MonitorState]:
    """A monitor that has just come to life."""
    return Run.of(monitor.spec())


def cpu(percent: float | None, memory: float | None = 10.0) -> RecordSample:
    """A sample of these two, with reasons for what is unknown."""
    values = {"cpu_percent": percent, "memory_percent": memory}
    unknown = {name: "it broke" for name, value in values.items() if value is None}
    return RecordSample(Metrics(**values, unknown=unknown))  # type: ignore[arg-type]  # two of many fields


def statuses(run: Run[MonitorState], *samples: RecordSample) -> list[str]:
    """The status after each sample."""
    seen = []
    for sample in samples:
        run.seconds += 30.0
        run.tell(sample)
        seen.append(run.state.status)
    return seen


def fail(run: Run[MonitorState], component: str) -> tuple[object, ...]:
    """A component fails now."""
    return run.tell(NoteComponentFailed(component, START.monotonic_s + run.seconds, run.boot_id))


def tick(run: Run[MonitorState]) -> tuple[object, ...]:
    """A heartbeat check comes back and has seen no components."""
    run.seconds += 1.0
    return run.tell(RecordObservations(()))


# Health


def test_cause_names_metric_value_and_threshold(run: Run[MonitorState]) -> None:
    """A change of health says which metric had which value, and which threshold that meets."""
    statuses(run, cpu(10.0, memory=96.14))
    assert ("memory 96.1 % >= 95.0 %", ("memory",)) == (run.state.cause, run.state.signals)
    statuses(run, *[cpu(10.0, memory=50.0)] * 11)
    assert ("memory 50.0 % < 90.0 %", ("memory",)) == (run.state.cause, run.state.signals)


def test_health_follows_its_sample_in_one_decision(run: Run[MonitorState]) -> None:
    """The sample is stored first, so that the change of health names it as its cause."""
    sampled, changed = run.tell(cpu(10.0, memory=97.0))
    assert isinstance(sampled, Sampled)
    assert {"memory": "critical"} == sampled.levels
    assert HealthChanged("healthy", "critical", "memory 97.0 % >= 95.0 %", at(0.0).now, ("memory",)) == changed


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -1.0])
def test_unknown_is_never_healthy(run: Run[MonitorState], value: float | None) -> None:
    """A metric that could not be read, or has a value that no percentage has, is at least a warning."""
    assert ["warning"] == statuses(run, cpu(value))
    assert run.state.cause.startswith("cpu unknown: ")
    assert run.state.last is not None
    assert "cpu_percent" in run.state.last.unknown
    assert "cpu_percent" not in run.state.last_good


def test_unknown_does_not_lower_what_was_known(run: Run[MonitorState]) -> None:
    """Critical stays critical while its metric is unknown, and goes down only by values."""
    assert ["critical"] * 3 == statuses(run, cpu(1.0, 96.0), cpu(1.0, None), cpu(1.0, None))
    assert ["critical", "warning", "healthy"] == statuses(run, *[cpu(1.0, 10.0)] * 21)[::10]


def test_unknown_lasts_until_it_has_been_known_for_a_while(run: Run[MonitorState]) -> None:
    """So a reading that fails now and then does not change the mode each time; it then is what its value says."""
    assert ["healthy", "warning", "warning", "healthy"] == statuses(run, cpu(77.0), cpu(None), cpu(77.0), cpu(77.0))
    assert "cpu known again" == run.state.cause


def test_last_good_number_is_kept(run: Run[MonitorState]) -> None:
    """The last number known of each metric stays at hand for the health report."""
    statuses(run, cpu(12.0), cpu(None))
    assert {"cpu_percent": 12.0, "memory_percent": 10.0} == run.state.last_good
    assert 2 == run.state.samples


def test_samples_that_never_come_make_health_unknown(run: Run[MonitorState]) -> None:
    """Asked for again and again without an answer, the metrics are unknown, and that is a warning; once."""
    statuses(run, cpu(12.0))
    waiting_since_s = START.monotonic_s + run.seconds + 1.0
    for _ in range(3):
        run.seconds += 30.0
        run.tell(SampleDue(waiting_since_s))
    missing = [timer.command for timer in run.effects(StartTimer) if isinstance(timer.command, SampleMissing)]
    assert [SampleMissing(89.0)] == missing
    overdue, changed = run.tell(missing[0])
    assert isinstance(overdue, SampleOverdue)
    assert isinstance(changed, HealthChanged)
    assert "cpu unknown: no sample for 89 s, memory unknown: no sample for 89 s" == changed.cause
    assert () == run.tell(missing[0])
    assert ["warning", "healthy"] == statuses(run, cpu(12.0), cpu(12.0))


def test_a_sample_that_came_ends_the_waiting(run: Run[MonitorState]) -> None:
    """However slowly samples are taken, as long as they come nothing is overdue."""
    since_s = START.monotonic_s
    for _ in range(10):
        run.seconds += 30.0
        run.tell(cpu(1.0))
        run.seconds += 30.0
        run.tell(SampleDue(since_s))
        timers = run.effects(StartTimer)
        assert ["sample"] == [timer.key for timer in timers]
        since_s = timers[0].command.waiting_since_s


# Failing


def test_two_components_within_the_window_are_failing(run: Run[MonitorState]) -> None:
    """Two distinct components failed within 60 s: failing, and the cause counts and names them."""
    fail(run, "llm")
    run.seconds = 60.0
    fail(run, "browser")
    assert "failing" == run.state.status
    assert "2 components failed within 60 s: browser, llm" == run.state.cause


@pytest.mark.parametrize(("first", "second", "after_s"), [("llm", "llm", 1.0), ("llm", "browser", 60.1)])
def test_the_same_one_or_too_late_is_not_failing(
    run: Run[MonitorState], first: str, second: str, after_s: float
) -> None:
    """One component that fails twice is one component, and the window is a window."""
    fail(run, first)
    run.seconds = after_s
    fail(run, second)
    assert "healthy" == run.state.status


def test_failing_ends_when_the_window_has_moved_on(run: Run[MonitorState]) -> None:
    """Failing is left on a later look, one status at a time, and the cause says what is left in the window."""
    fail(run, "llm")
    run.seconds = 30.0
    fail(run, "browser")
    run.seconds = 59.0
    assert () == tick(run)
    changed = [fact for _ in range(95) for fact in tick(run)]
    assert ["critical", "warning", "healthy"] == [fact.status for fact in changed if isinstance(fact, HealthChanged)]
    assert isinstance(changed[0], HealthChanged)
    assert "1 component failed within 60 s: browser" == changed[0].cause


def test_failing_ends_when_all_are_restarted(run: Run[MonitorState]) -> None:
    """With the last of them restarted it is left at once, and one more failure within the window enters it again."""
    fail(run, "llm")
    fail(run, "browser")
    run.tell(NoteComponentRestarted("llm"))
    assert "failing" == run.state.status
    run.tell(NoteComponentRestarted("browser"))
    assert ("critical", "restarted: browser, llm") == (run.state.status, run.state.cause)
    run.seconds += 1.0
    fail(run, "llm")
    assert "failing" == run.state.status


def test_a_failure_told_twice_is_noted_once(run: Run[MonitorState]) -> None:
    """The same failure again, or one of before the last reboot, changes nothing."""
    told = NoteComponentFailed("llm", START.monotonic_s, run.boot_id)
    assert 1 == len(run.tell(told))
    assert () == run.tell(told)
    assert () == run.tell(attrs.evolve(told, at_s=told.at_s + 1, boot_id="another"))


def test_a_failure_noted_never_brings_better_health(run: Run[MonitorState]) -> None:
    """What gets better meanwhile is not put down to a failure: it waits for the next look."""
    fail(run, "llm")
    fail(run, "browser")
    run.seconds = 300.0
    assert ["ComponentFailureNoted"] == [type(fact).__name__ for fact in fail(run, "disk")]
    assert ["HealthChanged"] == [type(fact).__name__ for fact in tick(run)]


def test_failed_components_are_bounded(run: Run[MonitorState]) -> None:
    """However many components fail, only the newest are remembered."""
    for number in range(monitor.MAX_COMPONENTS + 10):
        run.seconds += 0.001
        fail(run, f"component {number}")
    assert monitor.MAX_COMPONENTS == len(run.state.failed_at_s)
    assert "component 9" not in run.state.failed_at_s


# Heartbeats and exits


def late(component: str, age_s: float = 11.0) -> Observation:
    """A component whose heartbeat is missing for so long."""
    return Observation(component, age_s, 10.0)


def test_a_missed_heartbeat_is_told_once(run: Run[MonitorState]) -> None:
    """It is an event when it is first seen, and again only after a restart."""
    assert (HeartbeatMissed("browser", 11.0, 10.0),) == run.tell(RecordObservations((late("browser"),)))
    assert () == run.tell(RecordObservations((late("browser", 12.0),)))
    run.tell(NoteComponentRestarted("browser"))
    assert 1 == len(run.tell(RecordObservations((late("browser"),))))


def test_what_was_seen_is_news_just_when_it_would_change_something(run: Run[MonitorState]) -> None:
    """A missing heartbeat, once; and that it is back."""

    def is_news(*seen: Observation) -> bool:
        return monitor.changes(run.state, RecordObservations(seen), at(run.seconds).now)

    assert not is_news()
    assert not is_news(Observation("browser", 1.0, 10.0))
    assert is_news(late("browser"))
    assert is_news(late("browser"), late("worker"))
    run.tell(RecordObservations((late("browser"),)))
    assert not is_news(late("browser"))
    assert is_news(Observation("browser", 1.0, 10.0))


def test_heartbeats_are_not_judged_after_a_hold_up(run: Run[MonitorState]) -> None:
    """When the check itself came late by half a timeout, this process was suspended, and only exits are believed."""
    gone = Observation("worker", 11.0, 10.0, exited=True, exit_status=-9)
    assert () == run.tell(RecordObservations((late("browser"),), gap_s=5.0))
    assert (ComponentExited("worker", -9, "exit by signal 9 (SIGKILL)"),) == run.tell(
        RecordObservations((late("browser"), gone), gap_s=5.0)
    )
    assert 1 == len(run.tell(RecordObservations((late("browser"),), gap_s=4.9)))


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "exit status 0"), (1, "exit status 1"), (-9, "exit by signal 9 (SIGKILL)"), (None, "exit status unknown")],
)
def test_every_exit_is_told(run: Run[MonitorState], status: int | None, words: str) -> None:
    """Also one with status 0: the component is gone."""
    seen = Observation("worker", None, None, exited=True, exit_status=status)
    assert (ComponentExited("worker", status, words),) == run.tell(RecordObservations((seen,)))


def test_two_components_that_fall_together_have_a_root_each(run: Run[MonitorState]) -> None:
    """Several observations are sent back one by one, because events of one decision are chained as cause and effect."""
    observations = RecordObservations((late("browser"), late("llm"), Observation("ok", 1.0, 10.0)))
    assert () == run.tell(observations)
    again = [timer.command for timer in run.effects(StartTimer)]
    assert [1, 1] == [len(run.tell(command)) for command in again]
    assert {"browser": "heartbeat_missed", "llm": "heartbeat_missed"} == run.state.down


def test_a_component_that_comes_back_by_itself_is_seen_down_again(run: Run[MonitorState]) -> None:
    """Without a restart of ours: well again is an event, and its next fall is told."""
    run.tell(RecordObservations((late("browser"),)))
    assert (ComponentResumed("browser", "heartbeat_missed"),) == run.tell(RecordObservations((late("browser", 0.5),)))
    assert 1 == len(run.tell(RecordObservations((late("browser"),))))


def test_a_new_process_looks_afresh(run: Run[MonitorState]) -> None:
    """What was down in the last process is forgotten, so that the same component's next fall is told."""
    run.tell(RecordObservations((late("browser"),)))
    run.recover()
    assert [ForgetDown()] == [timer.command for timer in run.effects(StartTimer) if timer.key == "forget_down"]
    assert (DownForgotten(("browser",)),) == run.tell(ForgetDown())
    assert 1 == len(run.tell(RecordObservations((late("browser"),))))


# Timers


def timer_of(run: Run[MonitorState], key: str) -> StartTimer:
    """The one timer of this key that the last decision started."""
    (timer,) = (timer for timer in run.effects(StartTimer) if timer.key == key)
    assert isinstance(timer, StartTimer)
    return timer


def test_recovery_samples_at_once_and_starts_both_timers(run: Run[MonitorState]) -> None:
    """A new process knows how things are before the first interval is over."""
    assert [TakeSample()] == run.effects(TakeSample)
    assert (30.0, 2.0) == (timer_of(run, "sample").delay_s, timer_of(run, "heartbeats").delay_s)


def test_ticks_store_nothing_and_start_themselves_again(run: Run[MonitorState]) -> None:
    """So nothing stands in the log as caused by the tick before."""
    run.seconds = 30.0
    assert () == run.tell(timer_of(run, "sample").command)
    assert [TakeSample()] == run.effects(TakeSample)
    assert 30.0 == timer_of(run, "sample").delay_s
    run.seconds = 33.0
    assert () == run.tell(HeartbeatCheckDue(START.monotonic_s + 31.0))
    assert [CheckHeartbeats(START.monotonic_s + 31.0)] == run.effects(CheckHeartbeats)
    assert HeartbeatCheckDue(START.monotonic_s + 35.0) == timer_of(run, "heartbeats").command


@pytest.mark.parametrize(("mode", "delay_s"), [("degraded", 45.0), ("minimal", 90.0), ("recovery", 30.0)])
def test_the_mode_sets_the_interval_at_once(run: Run[MonitorState], mode: str, delay_s: float) -> None:
    """The user's interval times the mode's factor, from the moment the mode changes."""
    run.tell(NoteMode(mode))
    assert delay_s == timer_of(run, "sample").delay_s
    assert () == run.tell(NoteMode(mode))


def test_a_changed_setting_holds_at_once(run: Run[MonitorState]) -> None:
    """A new interval starts the timers anew, and a new threshold is judged by a sample taken now."""
    config = MonitorConfig(interval_s=5.0, cpu_warning=50.0, heartbeat_check_s=0.5)
    assert (Configured(config),) == run.tell(Configure(config))
    assert [TakeSample()] == run.effects(TakeSample)
    assert (5.0, 0.5) == (timer_of(run, "sample").delay_s, timer_of(run, "heartbeats").delay_s)
    assert ["healthy", "healthy", "warning"] == statuses(run, *[cpu(50.0)] * 3)
    assert () == run.tell(Configure(config))


def test_an_unknown_mode_is_refused(run: Run[MonitorState]) -> None:
    """It names the modes there are."""
    with pytest.raises(CommandRefused, match="turbo") as refused:
        run.tell(NoteMode("turbo"))
    assert "recovery" in refused.value.hint


# Whatever happens

percents = st.one_of(st.none(), st.floats(min_value=0.0, max_value=100.0), st.just(float("nan")))
components = st.sampled_from(["browser", "llm", "site"])
observations = st.builds(
    Observation, components, st.one_of(st.none(), st.floats(0.0, 30.0)), st.just(10.0), st.booleans(), st.none()
)
commands = st.one_of(
    st.builds(cpu, percents, percents),
    st.builds(SampleDue, st.one_of(st.none(), st.floats(0.0, 5000.0))),
    st.builds(SampleMissing, st.floats(0.0, 1e6)),
    st.builds(HeartbeatCheckDue),
    st.builds(RecordObservations, st.lists(observations, max_size=3).map(tuple), st.floats(0.0, 20.0)),
    st.builds(NoteComponentFailed, components, st.floats(900.0, 1400.0), st.sampled_from(["boot", "other"])),
    st.builds(NoteComponentRestarted, components),
    st.builds(ForgetDown),
    st.builds(NoteMode, st.sampled_from(["normal", "degraded", "minimal", "recovery"])),
    st.builds(Configure, st.builds(MonitorConfig, leave_below=st.floats(0.0, 20.0))),
)


@given(st.lists(st.tuples(st.floats(0.0, 60.0), commands), max_size=30))
def test_state_is_the_fold_of_what_is_stored(steps: list[tuple[float, Command]]) -> None:
    """After every event, the state is the fold of the events as they come back from storage; snapshots too."""
    run = Run.of(monitor.spec())
    stored = run.spec.initial
    for seconds, command in steps:
        run.seconds += seconds
        for fact in run.tell(command):
            kind, data = encode_event(fact)
            for back in decode_events(1, kind.name, kind.version, data):
                stored = monitor.evolve(stored, back)
        assert stored == run.state
        assert stored == decode_state(encode_state(stored), MonitorState)
        assert len(repr(run.state)) < 20_000


def healthy_without_knowing(samples: list[RecordSample]) -> list[int]:
    """The checker: samples after which the health is called healthy although a judged metric is not known."""
    run = Run.of(monitor.spec())
    return [
        index
        for index, sample in enumerate(samples)
        if statuses(run, sample) == ["healthy"] and None in (sample.metrics.cpu_percent, sample.metrics.memory_percent)
    ]


def test_the_checker_sees_unknown_read_as_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: what could not be read counts as zero, so that a blind monitor calls everything healthy."""
    samples = [cpu(10.0), cpu(None), cpu(10.0), cpu(10.0, memory=None)]
    assert [] == healthy_without_knowing(samples)

    def reads_as_zero(metrics: Metrics) -> Metrics:
        return attrs.evolve(
            metrics, cpu_percent=metrics.cpu_percent or 0.0, memory_percent=metrics.memory_percent or 0.0
        )

    monkeypatch.setattr(monitor, "sane", reads_as_zero)
    assert [1, 3] == healthy_without_knowing(samples)


def test_commands_of_others_are_refused() -> None:
    """A command that is none of the monitor's is refused, and nothing is restarted for it."""
    with pytest.raises(CommandRefused):
        monitor.decide(MonitorState(), Command(), at(0.0))
