"""Rule 10: durations come from a monotonic clock; wall time is a label, and tests can own both.

Wall time decides only where the rule lets it: a deadline or an interval across a reboot, the age of the replies that
are remembered for retries, and how long ago things were that ``lrm health`` shows of a log.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from eventstore.records import Instant
from lrm_actors.actors.breaker import CircuitBreaker
from lrm_actors.actors.supervisor import ComponentRegistry
from lrm_actors.domain import breaker, checkpointer, supervisor
from lrm_actors.domain.behavior import Context, StartTimer
from lrm_actors.domain.checkpointing import requesting
from lrm_actors.domain.children import RestartPolicy
from lrm_actors.domain.deadlines import Deadline, deadline, elapsed_s
from lrm_actors.runtime.clock import ManualClock, SystemClock
from tests.rules import timing
from tests.rules.clock_process import live as live_for_real
from tests.rules.clock_sources import ALLOWED, READS_LABELS, product, reads_clocks, reads_labels
from tests.rules.support import PROCESS_PATIENCE_S, ROOT
from tests.runtime.support import PATIENCE_S

HOUR_S, DAY_S = 3_600.0, 86_400.0
JUMPS = (HOUR_S, -HOUR_S, DAY_S, -DAY_S)

# --- a life on the test's clock -----------------------------------------------------------------------------------


def _zigzag(size_s: float) -> Callable[[ManualClock], None]:
    """Back and forth again and again, each time a little further in the first direction."""
    there = True

    def jump(clock: ManualClock) -> None:
        nonlocal there
        clock.jump_wall(size_s if there else -0.9 * size_s)
        there = not there

    return jump


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> list[timing.Line]:
    """All that happens in a life whose wall clock does not jump."""
    lines = timing.live(tmp_path_factory.mktemp("rule-10"), lambda _: None)
    kinds = {what for _, _, what, _ in lines}
    assert kinds >= {
        "monitor.sampled", "monitor.heartbeat_missed", "supervisor.restart_scheduled", "supervisor.child_given_up",
        "checkpointer.taken", "checkpointer.failed", "breaker.opened", "breaker.half_opened", "breaker.closed",
    }  # fmt: skip
    return lines


def changes(untouched: list[timing.Line], lines: list[timing.Line]) -> list[str]:
    """What happened otherwise, or at another time."""
    return [f"{one}" for one in timing.different(untouched, lines)]


@pytest.mark.parametrize("size_s", JUMPS)
def test_rule_10_holds_whatever_the_wall_clock_does(
    size_s: float, untouched: list[timing.Line], tmp_path: Path
) -> None:
    """Timers, backoff, breaker, heartbeats, samples, checkpoints, windows: each at its own moment, to the second."""
    found = changes(untouched, timing.live(tmp_path, _zigzag(size_s)))
    assert not found, "\n".join(found)


def _intervals_by_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requesting, "elapsed_s", lambda since, now: max(0.0, now.wall_s - since.wall_s))


def _heartbeats_by_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    by_the_wall = lambda clock: ComponentRegistry(timing.ByTheWall(clock))  # noqa: E731 - as the class is called
    monkeypatch.setattr(timing, "ComponentRegistry", by_the_wall)


def _timers_by_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    start = ManualClock.call_later

    def call_later(clock: ManualClock, delay_s: float, function: Callable[[], object]) -> Any:
        return start(clock, delay_s + clock.now().wall_s % HOUR_S / HOUR_S, function)

    monkeypatch.setattr(ManualClock, "call_later", call_later)


def _decisions_by_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    now = ManualClock.now
    monkeypatch.setattr(ManualClock, "now", lambda clock: structs.replace(now(clock), monotonic_s=now(clock).wall_s))


@pytest.mark.parametrize(
    "plant", [_intervals_by_the_wall, _heartbeats_by_the_wall, _timers_by_the_wall, _decisions_by_the_wall]
)
def test_rule_10_planted_a_duration_by_the_wall_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A domain module, a registry, a timer or a whole clock that measures by the wall notices when it jumps."""
    plant(monkeypatch)
    calm = timing.live(tmp_path / "calm", lambda _: None)
    assert changes(calm, timing.live(tmp_path / "jumping", _zigzag(DAY_S)))


def test_rule_10_planted_a_breaker_by_the_wall_is_caught(untouched: list[timing.Line], tmp_path: Path) -> None:
    """A guard on such a clock is open too long, or not long enough, or for ever."""
    lines = timing.live(tmp_path, _zigzag(-DAY_S), timing.ByTheWall)
    assert any("'guard'" in one for one in changes(untouched, lines))


# --- a life on the machine's clocks -------------------------------------------------------------------------------


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Have the machine's wall clock jump, as far as this process can tell."""
    wall, offset_s = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: wall() + offset_s[0])
    return lambda seconds: offset_s.__setitem__(0, seconds)


@pytest.mark.parametrize("size_s", [DAY_S, -DAY_S])
def test_rule_10_holds_for_a_real_agent(
    size_s: float, tmp_path: Path, jump: Callable[[float], None], sampled: dict[str, float]
) -> None:
    """It goes on sampling, takes no checkpoint early, and its breaker stays open as long as it is to be."""
    assert [] == live_for_real(tmp_path, lambda: jump(size_s))


class WallClock(SystemClock):
    """Planted: timers, and the time that decisions are told, are the wall's."""

    def now(self) -> Instant:
        now = super().now()
        return structs.replace(now, monotonic_s=time.time())

    def monotonic(self) -> float:
        return time.time()

    def call_later(self, delay_s: float, function: Callable[[], object]) -> Any:
        due_s = time.time() + delay_s

        def look() -> None:
            left_s = due_s - time.time()
            if left_s <= 0:
                function()
            else:
                super(WallClock, self).call_later(min(left_s, 0.01), look)

        return super().call_later(min(delay_s, 0.01), look)


@pytest.fixture
def by_the_wall(monkeypatch: pytest.MonkeyPatch, sampled: dict[str, float]) -> None:
    """An agent started from here on goes by a clock of that kind."""
    for module in ("engine", "running"):
        monkeypatch.setattr(f"lrm_actors.hosting.{module}.SystemClock", WallClock)


@pytest.mark.usefixtures("by_the_wall")
@pytest.mark.parametrize(("size_s", "told"), [(-DAY_S, "samples did not come"), (DAY_S, "the breaker is")])
def test_rule_10_planted_an_agent_by_the_wall_is_caught(
    size_s: float, told: str, tmp_path: Path, jump: Callable[[float], None]
) -> None:
    """It stops sampling for a day, or tries a broken service a minute early."""
    found = live_for_real(tmp_path, lambda: jump(size_s), patience_s=0.4)
    assert any(one.startswith("after") and told in one for one in found), found


def test_rule_10_holds_under_a_faked_clock(tmp_path: Path) -> None:
    """A process of its own in which a second of wall time is a day, or nothing; with ``faketime``, if it is here.

    Without it, the machine's clock is faked inside the process, which is less of a proof.
    """
    program = shutil.which("faketime")
    for number, (specification, rate) in enumerate((("+0 x86400", DAY_S), ("-1d x0.0001", 0.0001))):
        place = str(tmp_path / str(number))
        if program is not None:
            command = [program, "-m", "-f", specification, sys.executable, "-m", "tests.rules.clock_process", place]
        else:
            command = [sys.executable, "-c", FAKED, str(rate), place]
        env = {**os.environ, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=PROCESS_PATIENCE_S, check=False
        )
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert [] == told["found"]
        assert (told["wall_s"] > HOUR_S) == (rate > 1), "the clock was not faked"


FAKED = """
import sys, time
from pathlib import Path
wall, begun_s, rate = time.time, time.time(), float(sys.argv[1])
time.time = lambda: begun_s + (wall() - begun_s) * rate
from tests.rules.clock_sources import ALLOWED, READS_LABELS, product, reads_clocks, reads_labels
from tests.rules.clock_process import main
main(Path(sys.argv[2]))
"""


# --- timers of the machine's clock --------------------------------------------------------------------------------


def fired(clock: SystemClock, jump: Callable[[float], None], patience_s: float) -> list[str]:
    """Which of three timers fire, when the wall clock goes a day back, and then two days forward."""
    names: list[str] = []
    soon, later = threading.Event(), threading.Event()

    def tell(name: str, event: threading.Event | None = None) -> Callable[[], None]:
        def call() -> None:
            names.append(name)
            if event is not None:
                event.set()

        return call

    try:
        clock.call_later(0.02, tell("soon", soon))
        clock.call_later(HOUR_S, tell("in an hour"))
        jump(-DAY_S)
        soon.wait(patience_s)
        jump(DAY_S)
        clock.call_later(0.02, tell("later", later))
        later.wait(patience_s)
    finally:
        clock.close()
    return names


def test_rule_10_holds_for_timers_of_the_machine(jump: Callable[[float], None]) -> None:
    """A jump back holds up none, and a jump forward makes none come early."""
    assert ["soon", "later"] == fired(SystemClock(), jump, PATIENCE_S)


def test_rule_10_planted_timers_by_the_wall_are_caught(jump: Callable[[float], None]) -> None:
    """The first is held up, the one in an hour comes at once."""
    assert ["soon", "later"] != fired(WallClock(), jump, 0.3)


# --- across a reboot ----------------------------------------------------------------------------------------------

moments = st.floats(-1e6, 1e10, allow_nan=False)
delays = st.floats(0.0, 1e7, allow_nan=False)
instants = st.builds(Instant, moments, st.floats(0.0, 1e8, allow_nan=False), st.sampled_from(("one", "two")))


def wrong_with_wait(since: Instant, delay_s: float, now: Instant, remaining_s: float) -> list[str]:
    """What is wrong with the rest of a wait."""
    found = []
    if not 0.0 <= remaining_s <= delay_s:
        found.append(f"{remaining_s} s are left of {delay_s} s")
    if since.boot_id == now.boot_id:
        left_s = min(max(since.monotonic_s + delay_s - now.monotonic_s, 0.0), delay_s)
        if remaining_s != left_s:
            found.append(f"{remaining_s} s instead of {left_s} s by the monotonic clock")
    return found


@given(since=instants, delay_s=delays, now=instants)
def test_rule_10_holds_for_deadlines(since: Instant, delay_s: float, now: Instant) -> None:
    """On one boot to the second; after another, whatever the wall clock says, between nothing and the whole wait."""
    assert [] == wrong_with_wait(since, delay_s, now, deadline(since, delay_s).remaining_s(now))


@given(since=instants, now=instants)
def test_rule_10_holds_for_what_went_by(since: Instant, now: Instant) -> None:
    """Never less than nothing, and on one boot never by the wall."""
    assert elapsed_s(since, now) >= 0.0
    if since.boot_id == now.boot_id:
        assert max(0.0, now.monotonic_s - since.monotonic_s) == elapsed_s(since, now)


@pytest.mark.parametrize(
    "plant",
    [
        lambda self, now: self.wall_s - now.wall_s,
        lambda self, now: self.monotonic_s - now.monotonic_s,
        lambda self, now: min(max(self.wall_s - now.wall_s, 0.0), self.delay_s),
    ],
    ids=["by the wall", "no clamp", "always by the wall"],
)
def test_rule_10_planted_a_deadline_without_its_clamp_is_caught(plant: Callable[[Deadline, Instant], float]) -> None:
    """By the wall alone, by a clock that began anew with the boot, or clamped and by the wall on the same boot."""
    found = []
    for since_boot, jump_s, passed_s in (("one", HOUR_S, 10.0), ("two", -DAY_S, 10.0), ("two", DAY_S, -900.0)):
        since = Instant(1e9, 1_000.0, since_boot)
        now = Instant(1e9 + jump_s, 1_000.0 + passed_s, "one")
        found += wrong_with_wait(since, 60.0, now, plant(deadline(since, 60.0), now))
    assert found


def waits_after_reboot(wall_s: float) -> Iterator[tuple[str, float, float]]:
    """What each actor waits for that is recovered on another boot: its name, how long, and how long at most."""
    then = Instant(1_700_000_000.0, 50_000.0, "before")
    now = Instant(then.wall_s + wall_s, 7.0, "after")
    ctx = Context(now, "command", "all")
    due = deadline(then, 20.0)
    child = supervisor.ChildState("component", "backoff", 5, due=due, boot_id="before")
    down = supervisor.SupervisorState(RestartPolicy(), configured=True, children={"component:browser": child})
    taken = checkpointer.CheckpointerState(checkpointer.CheckpointerConfig(interval_s=300.0), periodic_at=then)
    recovered = (
        ("supervisor", supervisor.recover(down, ctx), 20.0),
        ("checkpointer", checkpointer.recover(taken, ctx), 300.0),
    )
    for name, decision, longest_s in recovered:
        timers = [one for one in decision.effects if isinstance(one, StartTimer)]
        assert timers
        yield from ((name, one.delay_s, longest_s) for one in timers)
    clock = ManualClock(wall_s=now.wall_s, monotonic_s=now.monotonic_s, boot_id=now.boot_id)
    guard = CircuitBreaker("llm", tell=lambda _: None, clock=clock)
    opened = breaker.BreakerState("llm", status=breaker.OPEN, generation=1, open_until=deadline(then, 60.0))
    guard.publish(opened)
    yield "breaker", guard.retry_after_s, 60.0


def wrong_waits(wall_s: float) -> list[str]:
    """Those that are shorter than nothing or longer than they ever were."""
    return [
        f"{name} waits {delay_s} s, {longest_s} s at most"
        for name, delay_s, longest_s in waits_after_reboot(wall_s)
        if not 0.0 <= delay_s <= longest_s
    ]


@pytest.mark.parametrize("wall_s", [0.0, 10.0, *JUMPS, 20 * 365 * DAY_S, -20 * 365 * DAY_S])
def test_rule_10_holds_after_a_reboot(wall_s: float) -> None:
    """However far the wall clock is off, a restart, a checkpoint, an open breaker wait no longer than they were to."""
    assert [] == wrong_waits(wall_s)


def test_rule_10_planted_waits_of_another_boot_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Monotonic times of the boot before, taken for those of this one, make waits of many hours."""
    monkeypatch.setattr(Deadline, "remaining_s", lambda self, now: self.monotonic_s - now.monotonic_s)
    assert ["supervisor", "breaker"] == [one.split()[0] for one in wrong_waits(0.0)]


# --- the sources --------------------------------------------------------------------------------------------------


def test_rule_10_holds_in_the_sources() -> None:
    """Only the clock, and a few who are named with their reason, ask the machine for the time or read its label."""
    assert ALLOWED.keys() == set(reads_clocks(product()))
    assert READS_LABELS.keys() == reads_labels(product())


@pytest.mark.parametrize(
    "source",
    [
        "import time\ndef f(): return time.time()",
        "import time as clock\nBEGUN = clock.time()",
        "from time import time\ndef f(): return time()",
        "from time import monotonic as now\ndef f(): return now()",
        "import datetime\ndef f(): return datetime.datetime.now()",
        "from datetime import datetime, UTC\ndef f(): return datetime.now(UTC)",
        "from datetime import date\ndef f(): return date.today()",
        "import time\ndef f(): time.sleep(1)",
        "import time\ndef f(clock=time.time): ...",
    ],
)
def test_rule_10_planted_source_that_asks_for_the_time_is_caught(source: str) -> None:
    """Under whichever name, called at once or handed on."""
    assert set(reads_clocks([("lrm_actors/domain/breaker.py", ast.parse(source))])) - ALLOWED.keys()


def test_rule_10_planted_source_that_reads_a_label_is_caught() -> None:
    """A decision that compares wall times."""
    source = "def f(state, ctx): return ctx.now.wall_s - state.at.wall_s > 60"
    assert {"lrm_actors/domain/breaker.py"} == reads_labels([("lrm_actors/domain/breaker.py", ast.parse(source))])
