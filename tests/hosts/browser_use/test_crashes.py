"""One run in which the browser is killed and frozen again and again, and the model is away for ten minutes.

Nothing of it is the agent's mistake, so nothing of it is in its history or its memory, and none of its steps is spent
on it. Each test looks at the same run.
"""

from __future__ import annotations

import contextlib
import signal
import statistics
import threading
import time
from typing import Any

import attrs
import psutil
import pytest

from tests.hosts.browser_use import judging
from tests.hosts.browser_use.conftest import Run
from tests.hosts.browser_use.lives import LIFE_TIMEOUT_S, Life, Lives
from tests.hosts.browser_use.scripted import STEPS
from tests.hosts.browser_use.site import Site

AWAY_AT, AWAY_S = 3, 600.0
CRASHES = (
    ("before-model@1", "kill"), ("after-model@2", "kill"), ("before-action@4", "kill"), ("before-model@5", "freeze"),
    ("before-commit@5", "kill"), ("after-commit@6", "kill"), ("in-action@apple/after", "kill"),
    ("before-action@8", "freeze"), ("after-first-action@8", "kill"), ("before-model@9", "kill"),
    ("in-action@plum/before", "kill"), ("after-model@11", "freeze"), ("after-actions@11", "kill"),
)  # fmt: skip
FEW = (CRASHES[2], CRASHES[3], CRASHES[10])
"""In the profile of the hosts."""


@attrs.define
class Crashed:
    """What became of the run."""

    end: Run
    events: list[Any]
    crashes: tuple[tuple[str, str], ...]
    heals_s: list[float]
    """From each crash to the next step that was committed."""


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory, release: bool) -> Crashed:
    """The run."""
    directory, crashes = tmp_path_factory.mktemp("crashed"), CRASHES if release else FEW
    with Site() as site:
        lives = Lives(directory, site)
        held = [point for point, _ in crashes if not point.startswith("in-action")]
        away = ("--away-at", str(AWAY_AT), "--away-s", str(AWAY_S))
        life = lives.begin(held, go_on=True, more=away)
        try:
            times = crash(lives, life, crashes)
            end = Run(lives.end_of(life), site.books())
        finally:
            life.kill()
            lives.end_browsers()
    events = judging.events_of(directory / "checkpoints" / "default" / "lrm.db")
    committed = [record.recorded_at.wall_s for record in events if record.type == "journal.step_committed"]
    shift_s = end.result["shift_s"]
    heals_s = [min(one for one in committed if one > at) - at for at in times]
    return Crashed(end, events, crashes, [heal_s - shift_s * (heal_s > shift_s) for heal_s in heals_s])


def crash(lives: Lives, life: Life, crashes: tuple[tuple[str, str], ...]) -> list[float]:
    """Do these things to the browser, each where it belongs; the wall clock's times."""
    times = []
    for number, (point, how) in enumerate(crashes):
        in_action = point.startswith("in-action")
        if number == 0 and in_action:
            hold(lives.site, point)
        if not in_action:
            life.wait_for(point)
        else:
            assert lives.site.wait_held(), f"{point} was not reached\n{life.said()}"
        signal_tree(a_browser(lives), signal.SIGKILL if how == "kill" else signal.SIGSTOP)
        times.append(time.time())
        if number + 1 < len(crashes) and crashes[number + 1][0].startswith("in-action"):
            if in_action:
                lives.site.release()
            hold(lives.site, crashes[number + 1][0])
        elif in_action:
            lives.site.release()
        if not in_action:
            life.let_go_on()
    return times


def a_browser(lives: Lives) -> psutil.Process:
    """The agent's browser, waited for where it is just being replaced."""
    deadline, pause = time.monotonic() + LIFE_TIMEOUT_S, threading.Event()
    while not (found := lives.browsers()):
        assert time.monotonic() < deadline, "there is no browser, and none is started"
        pause.wait(0.05)
    return found[0]


def hold(site: Site, point: str) -> None:
    """Hold up the request of this point."""
    item, _, when = point.partition("@")[2].partition("/")
    site.hold(f"PUT /orders/{item}", when)


def signal_tree(process: psutil.Process, number: int) -> None:
    """Send it to a process and everything below it."""
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            one.send_signal(number)


def test_an_agent_goes_on_through_crashes_and_freezes_of_its_browser(crashed: Crashed, undisturbed: Run) -> None:
    """It ends as an undisturbed one does; what came twice was reported in doubt first."""
    repeats = judging.repeated(crashed.end.books, undisturbed.books)
    doubts = judging.doubts_in(crashed.events, crashed.end.result)
    assert judging.differences(crashed.end.result, undisturbed.result, may_spend=len(crashed.crashes) // 3) == []
    assert judging.effect_differences(crashed.end.books, undisturbed.books) == []
    assert judging.unreported(repeats, doubts) == []
    assert judging.unsaid(crashed.events) == []
    kills = sum(how == "kill" for _, how in crashed.crashes)
    heals = f"median {statistics.median(crashed.heals_s):.1f} s, longest {max(crashed.heals_s):.1f} s"
    print(
        f"{kills} kills, {len(crashed.crashes) - kills} freezes; to the next committed step: {heals}; {repeats=}, "
        f"steps spent {judging.spent(crashed.end.result, undisturbed.result)}"
    )


def test_an_outage_of_the_model_is_waited_out_between_two_steps(crashed: Crashed, undisturbed: Run) -> None:
    """Ten minutes of it spend no step and put nothing into the memory; the breaker stands before the model."""
    result = crashed.end.result
    assert result["waited_s"] >= 0.99 * AWAY_S, "the rest of it went by while steps were taken"
    assert 0 < result["refused"] <= 20, "it is asked now and then only"
    spent = len(judging.history_of(result)) - STEPS
    assert spent <= 1
    assert judging.memory_of(result) == judging.memory_of(undisturbed.result)
    assert not [text for text in result["memory"] if "right format" in text or "reached" in text]
    assert [record for record in crashed.events if record.type == "breaker.opened" and record.stream == "breaker/llm"]
    print(f"{result['waited_s']:.0f} s waited for, asked in vain {result['refused']} times, {spent} steps spent")
