"""Fifteen things that an earlier implementation of a long-running mode got wrong, one test for each.

Each asks our mode for what is wanted, and then a model of the old behaviour, which has to be found wanting: a test that
the old behaviour passes as well would prove nothing. What takes a browser agent is asked of one in ``tests/hosts``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventstore.checksums import attachment_checksum
from lrm_actors.domain import checkpointer, monitor, supervisor
from lrm_actors.domain.analyzer import STRATEGIES
from lrm_actors.domain.behavior import StartTimer
from lrm_actors.domain.breaker import BreakerConfig
from lrm_actors.domain.monitor import Metrics, MonitorState, Sampled
from lrm_actors.domain.supervisor import ReportFailure, RestartDue, RestartPolicy, RestartScheduled
from lrm_actors.domain.trends import telling
from lrm_actors.errors import CircuitOpen
from lrm_actors.integration import LongRunningIntegration
from lrm_actors.mode import LongRunningMode
from lrm_actors.settings import LongRunningSettings
from tests.actors.breaker_kit import Rig
from tests.defects.old import OldBreaker, OldBreakers, OldIntervals, OldMode, OldVitals, old_trends
from tests.domain.kit import Run
from tests.domain.supervising import BROWSER, MONITOR, restart, supervising
from tests.mode_kit import CalmSampler, records, settings, wait_for

pytestmark = pytest.mark.usefixtures("sampled")

STATE = {
    "task": "watch the site",
    "goal": "page 43",
    "n_steps": 42,
    "history": [{"step": number, "result": f"page {number}"} for number in range(42)],
    "output": {"pages": 42},
    "browser": {"tabs": ["http://localhost/43"], "cookies": [{"name": "ticket", "value": "ada"}]},
}


def found_wanting(check: Callable[[Any], None], old: Any) -> None:
    """The old behaviour fails the check that ours has passed."""
    with pytest.raises(AssertionError):
        check(old)


def test_01_monitoring_is_begun_by_the_start_and_by_nobody_else(tmp_path: Path) -> None:
    """Whoever starts the mode has samples and checkpoints, without a second call that could be forgotten."""

    def check(seen: tuple[int, int]) -> None:
        samples, checkpoints = seen
        assert samples
        assert checkpoints

    mode = LongRunningMode(settings(tmp_path, checkpoint_interval=0.05))
    mode.capture_with(dict)
    with mode:
        wait_for(mode, "monitor.sampled")
        wait_for(mode, "checkpointer.taken")
        check((len(records(mode, "monitor.sampled")), len(records(mode, "checkpointer.taken"))))
    old = OldMode(tmp_path / "old")
    old.initialize()
    found_wanting(check, (len(old.samples), old.checkpoints_taken))


def test_02_a_guard_that_is_put_round_a_service_is_asked_before_each_call(tmp_path: Path) -> None:
    """Failures of the service are its failures, and once it is open the service is no more called."""

    def check(calls: int) -> None:
        assert calls == 3

    def fail(asked: list[int]) -> None:
        asked.append(1)
        raise TimeoutError

    asked: list[int] = []
    with LongRunningMode(settings(tmp_path, circuit_breaker_failure_threshold=3)) as mode:
        guard = mode.get_circuit_breaker("llm")
        for _ in range(10):
            with contextlib.suppress(TimeoutError, CircuitOpen):
                guard.call_blocking(fail, asked)
    check(len(asked))
    OldBreaker(lambda: 0.0)  # made, and put round nothing
    asked.clear()
    for _ in range(10):
        with contextlib.suppress(TimeoutError):
            fail(asked)
    found_wanting(check, len(asked))


def test_03_a_recovery_brings_back_everything(tmp_path: Path) -> None:
    """The number of steps, the history, the output and the browser, not the task alone."""

    def check(state: Any) -> None:
        assert state == STATE

    mode = LongRunningMode(settings(tmp_path / "ours"))
    mode.capture_with(lambda: STATE)
    with mode as blocking:
        blocking.take_checkpoint()
    restored: list[Any] = []
    mode = LongRunningMode(settings(tmp_path / "ours"))
    mode.restore_with(restored.append)
    with mode as blocking:
        assert blocking.recover_from_checkpoint()
    check(restored[0])
    old = OldMode(tmp_path / "old")
    old.take(STATE)
    found_wanting(check, old.recover())


def test_04_checkpoints_are_where_they_were_asked_to_be_and_the_next_process_finds_them(tmp_path: Path) -> None:
    """The directory is the one of the settings, and it is the same in each process."""

    def check(seen: tuple[bool, list[str]]) -> None:
        inside, found = seen
        assert inside
        assert found

    for _ in range(2):
        mode = LongRunningMode(settings(tmp_path / "ours"))
        mode.capture_with(dict)
        with mode as blocking:
            found = list(blocking.checkpointer.list_checkpoints())
            blocking.recover_from_checkpoint()
            blocking.take_checkpoint()
            inside = mode.settings.log_path.is_relative_to(tmp_path / "ours")
    check((inside, found))
    first, second = OldMode(tmp_path / "old", "a1"), OldMode(tmp_path / "old", "b7")
    first.take({})
    found_wanting(check, (first.directory == tmp_path / "old", second.listed()))


def test_05_the_settings_of_the_breakers_are_theirs(tmp_path: Path) -> None:
    """Threshold and timeout are those that were set."""

    def check(seen: tuple[int, float]) -> None:
        assert seen == (2, 7.0)

    chosen = {"circuit_breaker_failure_threshold": 2, "circuit_breaker_recovery_timeout": 7.0}
    with LongRunningMode(settings(tmp_path, **chosen)) as mode:
        config = mode.get_circuit_breaker("llm").config
    check((config.failure_threshold, config.recovery_timeout_s))
    old = OldBreakers(lambda: 0.0, **chosen).get("llm")
    found_wanting(check, (old.threshold, old.recovery_s))


def test_06_a_breaker_counts_a_row_probes_with_one_call_and_says_what_it_is(tmp_path: Path) -> None:
    """A success ends the row; of fifty who come when it might be well again one gets through; the error is typed."""

    def check_row(state: str) -> None:
        assert state == "closed"

    def check_probes(let_through: int) -> None:
        assert let_through == 1

    def check_error(error: Exception) -> None:
        assert isinstance(error, CircuitOpen)

    def check_same(guards: tuple[Any, Any]) -> None:
        assert guards[0] is guards[1]

    seconds = [0.0]
    rig, old = Rig(BreakerConfig(failure_threshold=3, recovery_timeout_s=10.0)), OldBreaker(lambda: seconds[0], 3, 10.0)
    for _ in range(3):
        rig.fail()
        with contextlib.suppress(OSError):
            old.call(_refused)
        for _ in range(100):
            rig.succeed()
            with contextlib.suppress(Exception):
                old.call(lambda: "answer")
    check_row(rig.guard.state)
    found_wanting(check_row, old.state)

    rig, old = Rig(BreakerConfig(failure_threshold=1, recovery_timeout_s=10.0)), OldBreaker(lambda: seconds[0], 1, 10.0)
    rig.fail()
    with contextlib.suppress(OSError):
        old.call(_refused)
    check_error(_raised(lambda: rig.guard.call_blocking(lambda: None)))
    found_wanting(check_error, _raised(lambda: old.call(lambda: None)))
    rig.clock.advance(11.0)
    seconds[0] += 11.0
    check_probes(_let_through_at_once(rig.guard.call_blocking, 50))
    found_wanting(check_probes, _let_through_at_once(old.call, 50))

    with LongRunningMode(settings(tmp_path)) as mode:
        check_same((mode.get_circuit_breaker("mail"), mode.get_circuit_breaker("mail")))
    breakers = OldBreakers(lambda: 0.0)
    found_wanting(check_same, (breakers.get("mail"), breakers.get("mail")))


def test_07_a_torn_checkpoint_is_passed_over_and_a_changed_one_is_not_believed(tmp_path: Path) -> None:
    """The one before it is taken: with a checksum of its own, any change is seen."""

    def check(n_steps: int | None) -> None:
        assert n_steps == 42

    for how in ("torn", "changed"):
        check(_recovered_with_a_damaged_newest(tmp_path / how, how))
        old, seconds = OldMode(tmp_path / f"old {how}", how), iter(range(2))
        old.clock = lambda seconds=seconds: float(next(seconds))  # type: ignore[misc]  # bound now
        old.take({"task": "t", "n_steps": 42})
        newest = old.directory / f"{old.take({'task': 't', 'n_steps': 43})}.json"
        newest.write_text(newest.read_text()[:-5] if how == "torn" else newest.read_text().replace("43", "99"))
        recovered = old.recover()
        found_wanting(check, None if recovered is None else recovered["n_steps"])


def test_08_the_newest_is_first_and_is_never_the_one_to_go(tmp_path: Path) -> None:
    """Twelve within one second, five of them kept: the last five, in order."""

    def check(seen: tuple[list[str], list[str]]) -> None:
        taken, kept = seen
        assert kept == taken[:-6:-1]

    mode = LongRunningMode(settings(tmp_path / "ours", max_checkpoints=5))
    mode.capture_with(dict)
    with mode as blocking:
        taken = [blocking.take_checkpoint() for _ in range(12)]
        check((taken, list(blocking.checkpointer.list_checkpoints())))
    old = OldMode(tmp_path / "old", max_checkpoints=5, clock=lambda: 1_700_000_000.5)
    taken = [old.take({"n": number}) for number in range(12)]
    found_wanting(check, (taken, old.listed()))


def test_09_a_checkpoint_costs_what_changed_and_nothing_is_read_on_the_hosts_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a history of a thousand steps the last one is stored; samples are taken beside the loop."""

    def check(stored: list[int]) -> None:
        whole, changed = stored
        assert changed < whole / 10

    def check_thread(threads: set[int]) -> None:
        assert threading.get_ident() not in threads

    history = [{"step": number, "result": _result(number)} for number in range(1_000)]
    threads: set[int] = set()

    class Noticed(CalmSampler):
        def sample(self) -> Metrics:
            threads.add(threading.get_ident())
            return super().sample()

    monkeypatch.setattr("lrm_actors.hosting.engine.Sampler", Noticed)
    mode = LongRunningMode(settings(tmp_path / "ours"))
    mode.capture_with(lambda: {"history": history})
    with mode as blocking:
        blocking.take_checkpoint()
        history.append({"step": 1_000, "result": _result(1_000)})
        blocking.take_checkpoint()
        wait_for(mode, "monitor.sampled")
        taken = [record.event.checkpoint for record in records(mode, "checkpointer.taken")]
    check([one.stored_bytes for one in taken[:2]])
    check_thread(threads)
    old, seconds = OldMode(tmp_path / "old"), iter(range(2))
    old.clock = lambda: float(next(seconds))
    old.take({"history": history[:-1]})
    old.take({"history": history})
    found_wanting(check, old.stored_bytes())
    threads.clear()
    threads.add(threading.get_ident())  # it took its samples wherever it was called: on the loop
    found_wanting(check_thread, threads)


def test_10_a_failure_is_answered_with_a_strategy_that_exists_and_is_counted_once(tmp_path: Path) -> None:
    """At once, whatever the delay that the answer asks for, and however often it was seen before."""

    def check(seen: tuple[list[str | None], int, float]) -> None:
        answers, counted, slept_s = seen
        assert set(answers) <= set(STRATEGIES)
        assert counted == len(answers)
        assert not slept_s

    with LongRunningMode(settings(tmp_path)) as mode:
        answers: list[str | None] = [
            str(mode.handle_failure(ConnectionError("reset"), {"component": "llm"})) for _ in range(8)
        ]
        check((answers, mode.get_health_report()["failures"]["total"], 0.0))
    slept: list[float] = []
    old = OldMode(tmp_path / "old", sleep=slept.append)
    answers = [old.handle_failure(ConnectionError("reset")) for _ in range(8)]
    found_wanting(check, (answers, old.frequency["ConnectionError"], sum(slept)))


def test_11_a_leak_is_told_from_a_step_and_a_saturated_cpu_is_seen() -> None:
    """25 MB once are no leak; 6 MB a minute for hours are; a CPU that stays at 99 % is a trend as well."""

    def check(kinds: dict[str, set[str]]) -> None:
        assert "memory_leak" not in kinds["one step of 25 MB"]
        assert "memory_leak" in kinds["a steady leak"]
        assert "cpu_saturation" in kinds["a saturated CPU"]

    samples = 720  # six hours, one each 30 s
    noise = [((number * 7919) % 13) / 10.0 for number in range(samples)]
    calm = [20.0 + one for one in noise]
    cases = {
        "one step of 25 MB": ([500.0 + one + 25.0 * (at > 400) for at, one in enumerate(noise)], calm),
        "a steady leak": ([500.0 + one + 3.0 * at for at, one in enumerate(noise)], calm),
        "a saturated CPU": ([500.0 + one for one in noise], [*calm[:400], *[99.0] * (samples - 400)]),
    }
    check({name: _trends(memory, cpu) for name, (memory, cpu) in cases.items()})
    found_wanting(check, {name: set(old_trends(memory, cpu)) for name, (memory, cpu) in cases.items()})


def test_12_the_intervals_are_the_users_again_and_minimal_takes_no_periodic_checkpoints() -> None:
    """After any mode and back: what recovery and degraded did is undone, and the defaults do not come instead."""

    def check(seen: tuple[float, float, bool]) -> None:
        assert seen == (7.0, 100.0, False)

    looking = Run.of(monitor.spec())
    looking.tell(monitor.Configure(monitor.MonitorConfig(interval_s=7.0)))
    saving = Run.of(checkpointer.spec())
    saving.tell(checkpointer.Configure(checkpointer.CheckpointerConfig(interval_s=100.0)))
    for mode in ("degraded", "minimal", "recovery", "minimal"):
        looking.tell(monitor.NoteMode(mode))
        saving.tell(checkpointer.NoteMode(mode))
    periodic = any(isinstance(effect, StartTimer) for effect in saving.last.effects)
    looking.tell(monitor.NoteMode("normal"))
    saving.tell(checkpointer.NoteMode("normal"))
    check((_delay(looking), _delay(saving), periodic))
    old = OldIntervals(7.0, 100.0)
    for mode in ("degraded", "minimal", "recovery", "normal"):
        old.enter(mode)
    found_wanting(check, (old.monitoring_s, old.checkpoint_s, old.takes_periodic_checkpoints("minimal")))


def test_13_a_step_that_hangs_is_never_said_to_be_done(tmp_path: Path) -> None:
    """It is abandoned, or in doubt; no result is made up for it."""

    def check(done: list[Any]) -> None:
        assert done == [{"pages": 1}]

    async def main() -> list[Any]:
        async with LongRunningMode(settings(tmp_path)) as mode:
            async with mode.step("works") as step:
                step.result = {"pages": 1}
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05), mode.step("hangs"):
                    await asyncio.Event().wait()
            await mode.handle_failure(TimeoutError("it hangs"), {"component": "browser"})
            return [record.event.result for record in records(mode, "journal.step_committed")]

    check(asyncio.run(main()))
    history: list[Any] = [{"pages": 1}]
    OldMode(tmp_path / "old").force_step_progression(history)
    found_wanting(check, history)


def test_14_a_restart_holds_up_nobody_and_ends_in_giving_up_once(tmp_path: Path) -> None:
    """While one component restarts for a minute another is restarted, and none for want of being heard."""

    def check_chain(restarted: list[str]) -> None:
        assert restarted == ["browser"]

    def check_course(seen: tuple[list[float], int]) -> None:
        assert seen == ([2.0, 4.0, 8.0], 1)

    def check_dead(restarted: list[str]) -> None:
        assert "browser" in restarted

    run = supervising()
    run.tell(supervisor.RestartComponent("browser", "crash"))
    run.tell(RestartDue(BROWSER))
    run.seconds = 60.0  # and it is not back yet
    assert any(isinstance(event, RestartScheduled) for event in run.tell(ReportFailure(MONITOR, "KeyError")))
    started = [event.child for event in run.log if isinstance(event, supervisor.RestartStarted)]
    check_chain([name.partition(":")[2] for name in started])
    vitals = OldVitals()
    for _ in range(9):
        vitals.turn({"browser"})
    found_wanting(check_chain, vitals.restarted)

    policy = RestartPolicy(backoff_initial_s=2.0, backoff_max_s=60.0, jitter=0.0, intensity=3, period_s=600.0)
    run = supervising(policy)
    for _ in range(10):
        if run.ask(ReportFailure(MONITOR, "KeyError")) is not False:
            restart(run, MONITOR)
    delays = [event.delay_s for event in run.log if isinstance(event, RestartScheduled)]
    check_course((delays, sum(isinstance(event, supervisor.ChildGivenUp) for event in run.log)))
    for _ in range(60):
        vitals.turn({"browser", "llm", "bus"})
    found_wanting(check_course, (vitals.delays[:3], vitals.escalated))

    check_dead(_restarted_while_another_is_busy(tmp_path))
    vitals = OldVitals()
    for _ in range(30):
        vitals.turn({"browser"}, queue_busy=True)
    found_wanting(check_dead, vitals.restarted)


def test_15_the_report_has_every_key_when_nothing_runs(tmp_path: Path) -> None:
    """What a document's example reads of it is there, switched off or not."""

    def check(health: dict[str, Any]) -> None:
        assert {"operation_mode", "health_status", "resource_metrics", "trends"} <= health.keys()
        assert re.fullmatch(r"\d+\.\d", f"{health['resource_metrics']['cpu_percent']:.1f}")
        assert json.dumps(health)

    check(asyncio.run(LongRunningIntegration(LongRunningSettings()).get_health_status()))
    found_wanting(check, OldMode(tmp_path / "old").get_health_status(enabled=False))


# --- what ours did ----------------------------------------------------------------------------------------------------


def _refused() -> None:
    raise OSError("refused")


def _raised(call: Callable[[], Any]) -> Exception:
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def _let_through_at_once(call: Callable[[Callable[[], Any]], Any], callers: int) -> int:
    """How many of these who call at the same time reach the service, which answers when all have tried."""
    tried, let_through = threading.Barrier(callers + 1), []

    def service() -> None:
        let_through.append(1)
        tried.wait(30.0)

    def one() -> None:
        try:
            call(service)
        except Exception:
            tried.wait(30.0)

    threads = [threading.Thread(target=one) for _ in range(callers)]
    for thread in threads:
        thread.start()
    tried.wait(30.0)
    for thread in threads:
        thread.join()
    return len(let_through)


def _recovered_with_a_damaged_newest(directory: Path, how: str) -> int | None:
    steps = [42]
    mode = LongRunningMode(settings(directory))
    mode.capture_with(lambda: {"n_steps": steps[0], "filler": _result(0)})
    with mode as blocking:
        blocking.take_checkpoint()
        steps[0] = 43
        newest = f"checkpoint/{blocking.take_checkpoint()}"
        mode.capture_with(object)  # no last one at the stop
    with contextlib.closing(sqlite3.connect(mode.settings.log_path)) as connection:
        (data,) = connection.execute("SELECT data FROM attachments WHERE key = ?", (newest,)).fetchone()
        torn = bytes(data)[:-5] if how == "torn" else bytes([*data[:-1], data[-1] ^ 1])
        change = "UPDATE attachments SET data = ?, checksum = ? WHERE key = ?"
        connection.execute(change, (torn, attachment_checksum(newest, torn), newest))
        connection.commit()
    restored: list[Any] = []
    mode = LongRunningMode(settings(directory))
    mode.restore_with(restored.append)
    with mode as blocking:
        blocking.recover_from_checkpoint()
    return restored[0]["n_steps"] if restored else None


def _result(number: int) -> str:
    """Text that no compression makes much smaller."""
    return "".join(chr(97 + (number * 31 + at * at * 7 + at // 5) % 26) for at in range(1_500))


def _trends(memory_mb: list[float], cpu_percent: list[float]) -> set[str]:
    state, told = MonitorState(), set()
    for number, (memory, cpu) in enumerate(zip(memory_mb, cpu_percent, strict=True)):
        left = int((16_000.0 - memory) * 1e6)
        metrics = Metrics(cpu_percent=cpu, memory_anonymous_bytes=int(memory * 1e6), memory_headroom_bytes=left)
        state = monitor.evolve(state, Sampled(metrics, number * 30.0))
        if number % 20 == 0:
            told |= {trend["kind"] for trend in telling.report(state.trends)}
    return told


def _delay(run: Run[Any]) -> float:
    """The delay of the timer that was started last."""
    (timer,) = (effect for effect in run.last.effects if isinstance(effect, StartTimer))
    return timer.delay_s


def _restarted_while_another_is_busy(directory: Path) -> list[str]:
    """A component that is dead, beside one that sends nothing but heartbeats."""
    mode, over, dead = LongRunningMode(settings(directory)), threading.Event(), [-9]
    mode.register_component("browser", restart=dead.clear, exit_status=lambda: dead[0] if dead else None)
    mode.register_component("llm", restart=lambda: None, heartbeat_timeout_s=600.0)

    def beat() -> None:
        while not over.wait(0.0005):
            mode.heartbeat("llm")

    beating = threading.Thread(target=beat)
    with mode:
        beating.start()
        try:
            restarted = wait_for(mode, "supervisor.child_restarted")
        finally:
            over.set()
            beating.join()
    return [restarted.event.child.partition(":")[2]]
