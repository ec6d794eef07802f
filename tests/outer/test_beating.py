"""The agent's side of heartbeats: each proves that the agent goes on, and none is sent where it does not."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from lrm_actors.domain.outliving import environment as names
from lrm_actors.hosting.beating import Heart, LoopProof, Outer
from lrm_actors.outer.heartbeats import HeartbeatPipe
from tests.runtime.support import eventually


@attrs.define
class Beating:
    """A heart, and the end of the pipe where its beats come out."""

    heart: Heart
    pipe: HeartbeatPipe

    def came(self) -> bytes:
        """What came since the last look."""
        return self.pipe.came()


@pytest.fixture
def beating(monkeypatch: pytest.MonkeyPatch) -> Iterator[Beating]:
    """A process that ``lrm run`` started, so to say."""
    pipe = HeartbeatPipe()
    for name, value in pipe.variables(0.04, 0.1).items():
        monkeypatch.setenv(name, value)
    yield Beating(Heart(), pipe)
    pipe.close()


class Engine:
    """As much of one as the heart asks for."""

    def __init__(self) -> None:
        self.running: Any = self
        self.system = self
        self.published = self
        self.version = 1
        self.state = self
        self.open: object | None = None
        self.sleeping = self
        self.under_way = False

    def shell(self, name: str) -> Engine:
        assert "journal" == name
        return self


def added(beating: Beating, loop: asyncio.AbstractEventLoop | None = None) -> Any:
    """An agent that has begun."""
    engine: Any = Engine()
    beating.heart.add(engine, loop)
    return engine


def test_a_loop_that_turns_beats_and_takes_its_leave(beating: Beating) -> None:
    """From the first turn on, until the agent ends."""

    async def life() -> None:
        engine = added(beating, asyncio.get_running_loop())
        while len(seen := beating.came()) < 3:
            assert not seen.strip(names.BEAT)
            await asyncio.sleep(0.1)
        beating.heart.remove(engine)

    asyncio.run(asyncio.wait_for(life(), 30))
    assert beating.came().endswith(names.QUIET)


def by_itself(heart: Heart, ended: threading.Event) -> None:
    """Beat until the end, whatever the loop does."""
    while not ended.wait(0.01):
        heart.beat()


def beats_while_blocked(beating: Beating, *, planted: bool) -> bytes:
    """What comes while an agent's loop is blocked; planted: a thread beats for it, as many programs do it."""

    async def life() -> bytes:
        engine = added(beating, asyncio.get_running_loop())
        await asyncio.sleep(0.01)
        eventually(beating.came)
        ended = threading.Event()
        if planted:
            threading.Thread(target=lambda: by_itself(beating.heart, ended)).start()
        time.sleep(0.2)  # noqa: ASYNC251 - the deed
        ended.set()
        came = beating.came()
        beating.heart.remove(engine)
        return came

    return asyncio.run(life())


def test_a_loop_that_is_blocked_does_not(beating: Beating) -> None:
    """Whatever else of the process still runs."""
    assert b"" == beats_while_blocked(beating, planted=False)


def test_a_planted_heart_that_beats_by_itself_is_caught(beating: Beating, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a thread, whatever the loop does."""
    monkeypatch.setattr(LoopProof, "holds", lambda self, now_s: True)
    assert beats_while_blocked(beating, planted=True)


def test_one_agent_of_two_that_is_blocked_is_enough(beating: Beating) -> None:
    """The process is to be replaced though the other one goes on."""
    one, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    threads = [threading.Thread(target=loop.run_forever) for loop in (one, other)]
    for thread in threads:
        thread.start()
    first, second = added(beating, one), added(beating, other)
    eventually(beating.came)
    blocked, go_on = threading.Event(), threading.Event()
    one.call_soon_threadsafe(blocked.set)
    one.call_soon_threadsafe(go_on.wait, 30)
    assert blocked.wait(30)
    eventually(lambda: not beating.heart._proofs[id(first)].holds(time.monotonic()))
    beating.came()
    beating.heart.beat()
    assert b"" == beating.came()
    go_on.set()
    eventually(beating.came)
    beating.heart.remove(first)
    assert not beating.came().endswith(names.QUIET)
    beating.heart.remove(second)
    eventually(lambda: beating.came().endswith(names.QUIET))
    for loop, thread in zip((one, other), threads, strict=True):
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


def test_without_a_loop_a_step_that_says_nothing_ends_them(beating: Beating) -> None:
    """Until the journal hears of it again; between steps nothing is judged."""
    engine = added(beating)
    proof = beating.heart._proofs[id(engine)]
    now_s = time.monotonic()
    assert proof.holds(now_s + 1_000)
    engine.open = "a step"
    engine.version = 2
    assert proof.holds(now_s + 1_000)
    assert proof.holds(now_s + 1_000.05)
    assert not proof.holds(now_s + 1_000.2)
    engine.version = 3
    assert proof.holds(now_s + 1_000.2)
    engine.under_way = True
    assert proof.holds(now_s + 2_000)
    engine.under_way = False
    assert not proof.holds(now_s + 2_000.2)
    engine.open = None
    assert proof.holds(now_s + 9_000)
    eventually(beating.came)
    beating.heart.remove(engine)


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {names.HEARTBEAT_FD: "x"},
        {names.HEARTBEAT_FD: "-1"},
        {names.HEARTBEAT_FD: "99999"},
        {names.HEARTBEAT_PIPE: "1:2"},
        {names.HEARTBEAT_PIPE: ""},
    ],
)
def test_what_is_not_the_pipe_is_never_written_to(beating: Beating, broken: dict[str, str]) -> None:
    """A program further down may have something else under that number: its own database, say."""
    variables = dict(os.environ) | broken
    if not broken:
        variables = {}
    assert Outer(variables).descriptor is None
    assert Outer(dict(os.environ)).descriptor == beating.pipe.writing


def test_a_pipe_that_nobody_reads_holds_up_nobody(beating: Beating) -> None:
    """The watchdog died: it fills, and then heartbeats are lost."""
    engine = added(beating)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(beating.pipe.writing, b"." * 4_096)
    beating.heart.beat()
    beating.heart.remove(engine)


def test_how_the_one_before_ended_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """To this process and to none below it."""
    monkeypatch.setenv(names.PREDECESSOR_EXIT, "-9")
    monkeypatch.setenv(names.OUTER_LOG, "/logs/outer.db#12")
    outer = Outer(os.environ)
    assert (-9, "/logs/outer.db", 12) == (outer.predecessor_exit, outer.log, outer.position)
    assert names.PREDECESSOR_EXIT not in os.environ
    assert Outer(os.environ).predecessor_exit is None


def test_a_forked_child_beats_for_nobody(beating: Beating) -> None:
    """What it inherits of its parent's agents goes on in the parent."""
    engine = added(beating)
    beating.heart.forget()
    beating.came()
    beating.heart.beat()
    assert b"" == beating.came()
    beating.heart.remove(engine)
