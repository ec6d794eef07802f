"""What work is done, shed or put off in each operation mode, by every way to ask."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from benchmarks.mode_noise import Watched
from lrm_actors.domain import analyzer, modes
from lrm_actors.domain.analyzer import AnalyzerState
from lrm_actors.domain.metrics import Metrics
from lrm_actors.domain.modes import CRITICALITIES, ModesState
from lrm_actors.errors import CommandRefused, DeferralFull, NotRunning, SettingsError, WorkShed
from lrm_actors.hosting.host import HostBridge
from lrm_actors.hosting.shedding import Shedding, WorkGate
from lrm_actors.mode import LongRunningMode
from tests.mode_kit import settings, wait_for

LONG_S = 30.0


class Agent:
    """Stands in for a running system: its two published states."""

    def __init__(self, mode: str = modes.NORMAL) -> None:
        self.mode, self.paused = mode, ""
        self.system = self.published = self
        self.version = 1

    def shell(self, _: str) -> Agent:
        """What publishes a state, and of which version that is."""
        return self

    def state(self, name: str) -> Any:
        """What an actor has published."""
        states = {modes.NAME: ModesState(mode=self.mode), analyzer.NAME: AnalyzerState(paused=self.paused)}
        return states[name]


@pytest.fixture
def agent() -> Agent:
    """An agent in minimal mode."""
    return Agent(modes.MINIMAL)


@pytest.fixture
def shedding(agent: Agent) -> Shedding:
    """Of that agent; three pieces of work may be put off."""
    running: Any = agent
    return Shedding(lambda: running, HostBridge(), max_deferred=3)


def test_a_decision_is_that_of_the_mode_and_is_counted(agent: Agent, shedding: Shedding) -> None:
    """What a mode sheds is shed; while a human is called, nothing but critical_plus runs."""
    assert ["critical", "critical_plus"] == [one for one in CRITICALITIES if shedding.should_run(one)]
    agent.paused = "a key is wrong"
    assert ["critical_plus"] == [one for one in CRITICALITIES if shedding.should_run(one)]
    told = shedding.statistics()
    assert {"sheddable": 0, "sheddable_plus": 0, "critical": 1, "critical_plus": 2} == told.allowed
    assert {"sheddable": 2, "sheddable_plus": 2, "critical": 1, "critical_plus": 0} == told.shed
    with pytest.raises(CommandRefused):
        shedding.should_run("urgent")


def order_of(done: list[int]) -> list[int]:
    """The checker: work that was done before some that was put off earlier."""
    return [number for place, number in enumerate(done) if any(later < number for later in done[place:])]


def catch_up(agent: Agent, shedding: Shedding) -> list[int]:
    """Put three pieces of work off and let the mode allow them; the order in which they are done."""
    done: list[int] = []
    outcomes = [shedding.defer("work", functools.partial(done.append, number), "sheddable") for number in range(3)]
    assert not any(outcome.done() for outcome in outcomes)
    agent.mode = modes.NORMAL
    shedding.look_again()
    for outcome in outcomes:
        outcome.result(LONG_S)
    return done


def test_work_that_was_put_off_is_done_oldest_first(agent: Agent, shedding: Shedding) -> None:
    """One at a time, once the mode allows it, and not before."""
    done = catch_up(agent, shedding)
    assert ([0, 1, 2], []) == (done, order_of(done))
    assert (0, 3) == (shedding.statistics().deferred, shedding.statistics().caught_up)


def test_the_checker_sees_the_newest_done_first(
    agent: Agent, shedding: Shedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug: a stack in place of a queue."""

    def newest(self: Shedding) -> Any:
        with self._lock:
            if self._waiting and self._runs(self._waiting[-1].criticality):
                return self._waiting.pop()
            self._working = False
            return None

    monkeypatch.setattr(Shedding, "_next", newest)
    assert [] != order_of(catch_up(agent, shedding))


def test_one_more_than_may_wait_is_refused(shedding: Shedding) -> None:
    """Typed, with the limit; nothing that waits is dropped for it. One that is cancelled is never done."""
    outcomes = [shedding.defer("work", lambda: None, "sheddable") for _ in range(3)]
    with pytest.raises(DeferralFull, match="3 pieces of work wait") as refused:
        shedding.defer("work", lambda: None, "sheddable")
    assert ("work", 3) == (refused.value.name, refused.value.limit)
    assert outcomes[0].cancel()
    shedding.close()
    for outcome in outcomes[1:]:
        with pytest.raises(NotRunning):
            outcome.result(LONG_S)


class Log:
    """Stands in for a log: of which version each stream is, and who is told of a commit."""

    def __init__(self) -> None:
        self.told: list[Callable[[int, frozenset[str]], None]] = []
        self.subscribe = self.told.append

    def version(self, _: str) -> int:
        """One more than was published."""
        return 2


def test_a_mode_that_is_published_after_its_commit_is_not_missed(agent: Agent, shedding: Shedding) -> None:
    """The log tells of a change before the actor publishes it: whoever looked in between would look no more."""
    log: Any = Log()
    shedding.follow(log)
    late = shedding.defer("work", lambda: "late", "sheddable")
    log.told[0](1, frozenset(("modes.changed",)))
    with pytest.raises(TimeoutError):
        late.result(0.05)
    agent.mode = modes.NORMAL
    agent.version = 2
    assert "late" == late.result(LONG_S)


def test_a_change_that_nobody_told_of_is_seen_with_the_next_sample(agent: Agent, shedding: Shedding) -> None:
    """As after a commit whose outcome was not known at first; where nothing waits, a sample costs nothing."""
    log: Any = Log()
    shedding.follow(log)
    agent.version = 2
    late = shedding.defer("work", lambda: "late", "sheddable")
    agent.mode = modes.NORMAL
    log.told[0](1, frozenset(("monitor.sampled",)))
    assert "late" == late.result(LONG_S)


def test_what_was_taken_back_takes_nobodys_place(agent: Agent, shedding: Shedding) -> None:
    """Nor does a gate that was waited at long enough: else a long night of them would leave no room for work."""

    async def waits_in_vain() -> None:
        for _ in range(shedding.max_deferred + 1):
            with pytest.raises(WorkShed):
                await WorkGate(shedding, "shot", "sheddable", wait_s=0.001).call(print)

    asyncio.run(waits_in_vain())
    late = shedding.defer("work", lambda: "late", "sheddable")
    agent.mode = modes.NORMAL
    shedding.look_again()
    assert "late" == late.result(LONG_S)


def test_what_may_run_passes_what_may_not(agent: Agent, shedding: Shedding) -> None:
    """In degraded mode the less sheddable of what was put off is done, and the other waits on."""
    last = shedding.defer("look", lambda: "look", "sheddable")
    first = shedding.defer("sweep", lambda: "sweep", "sheddable_plus")
    agent.mode = modes.DEGRADED
    shedding.look_again()
    assert ("sweep", False) == (first.result(LONG_S), last.done())
    shedding.close()


def test_work_that_fails_late_tells_whoever_waits(agent: Agent, shedding: Shedding) -> None:
    """And keeps nothing after it from being done."""
    bad = shedding.defer("bad", lambda: 1 / 0, "sheddable")
    good = shedding.defer("good", lambda: "done", "sheddable")
    agent.mode = modes.NORMAL
    shedding.look_again()
    assert isinstance(bad.exception(LONG_S), ZeroDivisionError)
    assert "done" == good.result(LONG_S)


def test_a_gate_sheds_or_waits(agent: Agent, shedding: Shedding) -> None:
    """Closed, it raises at once, or after its wait; opened meanwhile, it lets through."""
    with pytest.raises(WorkShed, match="'shot' \\(sheddable\\) does not run in minimal mode") as shed:
        WorkGate(shedding, "shot", "sheddable").call_blocking(print)
    assert ("shot", "sheddable", "minimal") == (shed.value.name, shed.value.criticality, shed.value.mode)
    with pytest.raises(WorkShed), WorkGate(shedding, "shot", "sheddable", wait_s=0.01):
        pass
    gate = WorkGate(shedding, "shot", "sheddable", wait_s=LONG_S)
    waiting = threading.Thread(target=gate.call_blocking, args=(threading.get_ident,))
    waiting.start()
    agent.mode = modes.NORMAL
    shedding.look_again()
    waiting.join(LONG_S)
    assert not waiting.is_alive()
    with pytest.raises(SettingsError):
        WorkGate(shedding, "shot", "urgent")
    with pytest.raises(SettingsError):
        WorkGate(shedding, "shot", "sheddable", wait_s=-1.0)


def test_an_asynchronous_gate_waits_without_a_thread(agent: Agent, shedding: Shedding) -> None:
    """In a row with all that was put off; shed when its time is over."""

    async def main() -> None:
        with pytest.raises(WorkShed, match=r"within 0\.01 s"):
            async with WorkGate(shedding, "shot", "sheddable", wait_s=0.01):
                pass
        gate = WorkGate(shedding, "shot", "sheddable", wait_s=LONG_S)
        entering = asyncio.ensure_future(gate.call(lambda: "through"))
        await asyncio.sleep(0)
        agent.mode = modes.NORMAL
        await asyncio.to_thread(shedding.look_again)
        assert "through" == await entering

    asyncio.run(main())


def test_a_gate_that_nobody_else_may_wait_at_sheds(shedding: Shedding) -> None:
    """Whoever stands at a gate is told that the work is shed, and not how the waiting is done."""

    async def main() -> None:
        with pytest.raises(WorkShed):
            await WorkGate(shedding, "shot", "sheddable", wait_s=LONG_S).call(print)

    for _ in range(shedding.max_deferred):
        shedding.defer("work", lambda: None, "sheddable")
    asyncio.run(main())
    shedding.close()


@pytest.fixture
def mode(tmp_path: Path, sampled: dict[str, float]) -> LongRunningMode:
    """A mode whose memory has nearly run out."""
    sampled["memory_percent"] = 99.0
    return LongRunningMode(settings(tmp_path))


def test_words_of_a_running_mode(mode: LongRunningMode) -> None:
    """Decorators, gates and what was put off follow the mode of the agent itself, which can be held by hand."""
    with mode as running:
        changed = wait_for(running, "modes.changed", lambda event: event.mode == "minimal")
        wait_for(running, "monitor.mode_noted")

        @running.sheddable("shot", instead="none")
        def shot() -> str:
            return "taken"

        @running.work("look", "sheddable_plus")
        def look() -> str:
            return "seen"

        assert "none" == shot()
        with pytest.raises(WorkShed):
            look()
        late: Future[str] = running.defer("shot", lambda: "late")
        assert not late.done()
        running.pin_mode("normal", for_s=0.5, reason="to look at it")
        assert "late" == late.result(LONG_S)
        pinned = wait_for(running, "modes.changed", lambda event: event.mode == "normal", after=changed.position)
        assert "to look at it" == pinned.event.cause
        over = wait_for(running, "modes.changed", lambda event: event.mode == "minimal", after=pinned.position)
        assert "no longer held: to look at it" == over.event.cause
        running.pin_mode("degraded")
        held = wait_for(running, "modes.changed", after=over.position)
        running.unpin_mode()
        wait_for(running, "modes.changed", lambda event: event.mode == "minimal", after=held.position)
        with pytest.raises(SettingsError):
            running.pin_mode("turbo")
        with pytest.raises(SettingsError):
            running.pin_mode("normal", for_s=0.0)


# Overload

SHARES = {"sheddable": 3.0, "sheddable_plus": 1.2, "critical": 0.5, "critical_plus": 0.3}
"""Work that is offered, in units of what can be done: five times too much."""


def under_overload(samples: int) -> tuple[Counter[str], Counter[str]]:
    """Offer five times what can be done; how much of each criticality ran, and how much was offered.

    What runs makes the load of the CPU, the load makes the health, and the health decides what runs next.
    """
    watched, ran, offered = Watched(), Counter[str](), Counter[str]()
    for _ in range(samples):
        runs = {one for one in SHARES if modes.should_run(watched.choosing, one)}
        for one, share in SHARES.items():
            offered[one] += int(share * 100)
            ran[one] += int(share * 100) * (one in runs)
        load = sum(SHARES[one] for one in runs)
        watched.sample(Metrics(cpu_percent=min(100.0, 100.0 * load), memory_percent=30.0))
    return ran, offered


def shed_out_of_order(ran: Counter[str], offered: Counter[str]) -> list[str]:
    """The checker: criticalities of which a larger share was shed than of one that matters less."""
    kept = [ran[one] / offered[one] for one in CRITICALITIES]
    return [name for name, share, below in zip(CRITICALITIES[1:], kept[1:], kept, strict=False) if share < below]


def test_under_overload_what_matters_runs_and_the_lowest_is_shed_first(release: bool) -> None:
    """At five times what can be done, 99 % of the critical work runs, and most is shed of what matters least."""
    ran, offered = under_overload(2880 if release else 500)
    share = {one: ran[one] / offered[one] for one in CRITICALITIES}
    print("share that ran:", ", ".join(f"{one} {kept:.1%}" for one, kept in share.items()))
    assert min(share["critical"], share["critical_plus"]) >= 0.99
    assert [] == shed_out_of_order(ran, offered)
    assert share["sheddable"] < share["sheddable_plus"] < 1.0


def test_the_checker_sees_the_wrong_work_shed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: degraded mode sheds what matters most."""
    monkeypatch.setitem(modes.RUNS, modes.DEGRADED, frozenset(CRITICALITIES[:3]))
    assert ["critical_plus"] == shed_out_of_order(*under_overload(100))
