"""A system always ends within its deadline, in reverse order, and says whether it was clean."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from eventstore.memory import MemoryStore
from lrm_actors.errors import ActorStopped, AskError
from lrm_actors.runtime.system import ActorSystem
from tests.runtime.support import PATIENCE_S, Add, Wait, counter, eventually


def test_what_waits_in_the_mailboxes_is_handled_before_the_stop() -> None:
    """An orderly stop loses none of what was told before it."""
    store = MemoryStore()
    system = ActorSystem(store, [counter()])
    system.start()
    entered, release = threading.Event(), threading.Event()
    system.tell("counter", Wait(entered, release))
    entered.wait()
    for _ in range(300):
        system.tell("counter", Add(1))
    threading.Timer(0.05, release.set).start()
    report = system.stop(deadline_s=PATIENCE_S)
    assert report.clean
    assert 0 == report.exit_code
    assert 300 == len(list(store.read_stream("counter")))


def test_actors_stop_in_reverse_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one started ends first."""
    ended: list[str] = []
    system = ActorSystem(MemoryStore(), [counter(name) for name in "abc"])
    system.start()

    def spy(name: str, close: Callable[[str], None]) -> Callable[[str], None]:
        def closing(because: str) -> None:
            ended.append(name)
            close(because)

        return closing

    for name in "abc":
        mailbox = system._mailboxes[name]
        monkeypatch.setattr(mailbox, "close", spy(name, mailbox.close))
    assert system.stop().clean
    assert ["c", "b", "a"] == ended


def test_a_hung_actor_is_left_behind_and_named() -> None:
    """A handler that never returns costs the deadline, not the process; its siblings end in order."""
    entered, release = threading.Event(), threading.Event()
    system = ActorSystem(MemoryStore(), [counter("a"), counter("hung"), counter("b")])
    system.start()
    system.tell("hung", Wait(entered, release))
    entered.wait()
    report = system.stop(deadline_s=0.3)
    assert not report.clean
    assert ("hung",) == report.abandoned
    assert 70 == report.exit_code
    release.set()


def test_asks_end_when_the_system_stops() -> None:
    """An ask behind a hung handler ends with a typed error at the stop, long before its own timeout."""
    entered, release = threading.Event(), threading.Event()
    system = ActorSystem(MemoryStore(), [counter()])
    system.start()
    system.tell("counter", Wait(entered, release))
    entered.wait()
    errors: list[AskError] = []

    def ask() -> None:
        with pytest.raises(ActorStopped) as caught:
            system.ask_blocking("counter", Add(1), timeout_s=60)
        errors.append(caught.value)

    asking = threading.Thread(target=ask)
    asking.start()
    eventually(lambda: system.statistics().actors[0].mailbox_depth >= 1)
    system.stop(deadline_s=0.2)
    asking.join(PATIENCE_S)
    assert 1 == len(errors)
    release.set()


def test_stopping_twice_is_harmless() -> None:
    """The second stop has nothing to do."""
    system = ActorSystem(MemoryStore(), [counter()])
    system.start()
    assert system.stop().clean
    assert system.stop().clean


HANGING_PROCESS = """
import sys, threading
from eventstore.memory import MemoryStore
from lrm_actors.runtime.system import ActorSystem
from tests.runtime.support import Wait, counter

system = ActorSystem(MemoryStore(), [counter(), counter("other")])
system.start()
entered = threading.Event()
if sys.argv[1] == "hang":
    system.tell("counter", Wait(entered, threading.Event()))
    entered.wait()
sys.exit(system.stop(deadline_s=0.5).exit_code)
"""


@pytest.mark.parametrize(("how", "expected"), [("hang", 70), ("work", 0)])
def test_a_process_exits_although_a_handler_is_blocked_for_ever(how: str, expected: int) -> None:
    """A real process with a handler that never returns ends by itself, and its exit code says that it was not clean."""
    done = subprocess.run([sys.executable, "-c", HANGING_PROCESS, how], timeout=60, check=False)
    assert expected == done.returncode


def test_planted_bug_a_thread_that_is_joined_at_exit_is_caught() -> None:
    """Were the actors' threads not daemons, the same process would never end."""
    planted = "import lrm_actors.runtime.actor as a; a.UnregisteredActor.use_daemon_thread = False\n" + HANGING_PROCESS
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", planted, "hang"], timeout=3, check=False)
