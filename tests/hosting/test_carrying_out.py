"""What the host's side carries out: a breaker held open, a checkpoint restored, a process replaced, a human called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lrm_actors.blocking import BlockingMode
from lrm_actors.domain import analyzer
from lrm_actors.inspect import why
from lrm_actors.mode import LongRunningMode
from tests.mode_kit import records, settings, wait_for
from tests.runtime.support import eventually

pytestmark = pytest.mark.usefixtures("sampled")

CARRIED_OUT = "analyzer.recovery_carried_out"


class Limited(Exception):
    """As an SDK raises it."""

    status_code = 429
    response = SimpleNamespace(headers={"retry-after": "30"})


class Odd(Exception):
    """Nobody knows what this is."""


def given_up(mode: BlockingMode, component: str) -> None:
    """As when the supervisor says so."""
    mode._engine.ask_blocking(analyzer.NAME, analyzer.NoteRecovery(component, ok=False))


def carried_out(mode: LongRunningMode, strategy: str) -> Any:
    """What became of it."""
    return wait_for(mode, CARRIED_OUT, lambda event: event.strategy == strategy).event


def run(tmp_path: Path, **options: Any) -> LongRunningMode:
    """A mode that is not started yet."""
    return LongRunningMode(settings(tmp_path), **options)


def test_a_breaker_is_held_open_when_the_service_says_so(tmp_path: Path) -> None:
    """The very next call is rejected, long before the guard has seen failures enough."""
    mode = run(tmp_path)
    with mode as blocking:
        guard = blocking.get_circuit_breaker("llm")
        chosen = blocking.handle_failure(Limited("slow down"), {"component": "llm"})
        assert ("open_breaker", 30.0, "rate_limit") == (chosen, chosen.delay_s, chosen.category)
        assert carried_out(mode, "open_breaker").ok
        wait_for(mode, "breaker.opened", lambda event: event.service == "llm")
        eventually(lambda: guard.state == "open")  # it is told a moment after the log


def test_what_cannot_be_done_is_said_and_the_next_rung_tried(tmp_path: Path) -> None:
    """No breaker of that name: the failure is not left without an answer."""
    mode = run(tmp_path)
    with mode as blocking:
        blocking.handle_failure(Limited("slow down"), {"component": "nowhere"})
        done = carried_out(mode, "open_breaker")
        assert (False, "there is no breaker for 'nowhere'") == (done.ok, done.message)
        wait_for(mode, "analyzer.recovery_judged", lambda event: event.outcome == "did_not_help")


def test_the_last_good_checkpoint_is_restored(tmp_path: Path) -> None:
    """When neither retries nor restarts help, the host gets the state back that it had before."""
    state = {"pages": 3}
    restored: list[object] = []
    mode = run(tmp_path)
    mode.capture_with(lambda: dict(state))
    mode.restore_with(restored.append)
    with mode as blocking:
        taken = blocking.take_checkpoint()
        state["pages"] = 99
        mode._engine.ask_blocking(
            analyzer.NAME, analyzer.RecordFailure(analyzer.FailureFacts("agent", ("odd.Odd", "BaseException")))
        )
        exhausted = [("retry_with_backoff", 4), ("restart_component", 1)]
        for strategy, times in exhausted:
            for _ in range(times):
                assert strategy == blocking.handle_failure(Odd("odd"), {"component": "agent"})
        given_up(blocking, "agent")
        done = carried_out(mode, "restore_checkpoint")
        assert (True, taken) == (done.ok, done.message)
        assert [{"pages": 3}] == restored


@pytest.mark.parametrize("replaceable", [True, False])
def test_the_process_is_replaced_or_a_human_called(tmp_path: Path, replaceable: bool) -> None:
    """Who said how its process is replaced is told; where nobody did, a human is called and other work rests."""
    told: list[str] = []
    called: list[str] = []
    options: dict[str, Callable[[str], object]] = {"on_exhausted": told.append} if replaceable else {}
    mode = run(tmp_path, **options)
    mode.call_with(called.append)
    with mode as blocking:
        assert "restart_component" == blocking.handle_failure(RuntimeError("Page crashed"), {"component": "browser"})
        given_up(blocking, "browser")
        assert replaceable == carried_out(mode, "restart_process").ok
        if replaceable:
            assert ["browser_crash: it was given up; nothing less helped"] == told
            assert "" == blocking.paused
            return
        assert carried_out(mode, "pause_and_call").ok
        assert called == [blocking.paused]
        assert [False, True] == [blocking.should_run("sweep", "critical"), blocking.should_run("save", "critical_plus")]
        blocking.go_on("looked after")
        wait_for(mode, "analyzer.went_on")
        assert blocking.should_run("sweep", "critical")
        reader = mode.reader()
        try:
            story = [link.sentence for link in why(reader, records(mode, "analyzer.went_on")[0].position).links]
            chain = [link.sentence for link in why(reader, records(mode, CARRIED_OUT)[-1].position).links]
        finally:
            reader.close()
        assert any("goes on" in sentence for sentence in story)
        assert any("pause_and_call" in sentence for sentence in chain)


def test_a_host_s_own_function_may_fail(tmp_path: Path) -> None:
    """What it raises is on record, and harms nobody."""
    mode = run(tmp_path)

    def broken(reason: str) -> None:
        raise ValueError(f"no number to call for {reason}")

    mode.call_with(broken)
    with mode as blocking:
        assert "stop_and_report" == blocking.handle_failure(KeyError("x"), {"component": "agent"})
        done = carried_out(mode, "stop_and_report")
        assert not done.ok
        assert "no number to call" in done.message
        assert "retry_with_backoff" == blocking.handle_failure(ConnectionError("gone"), {"component": "site"})


def test_nobody_is_called_twice_for_one_reason(tmp_path: Path) -> None:
    """A loop that fails a hundred times a second wakes somebody once."""
    called: list[str] = []
    mode = run(tmp_path)
    mode.call_with(called.append)
    with mode as blocking:
        for _ in range(5):
            blocking.handle_failure(KeyError("x"), {"component": "agent"})
        blocking.handle_failure(Odd("done"), {"component": "other"})
        wait_for(mode, CARRIED_OUT, lambda event: event.message == "called lately for the same reason")
        assert 1 == len(called)
