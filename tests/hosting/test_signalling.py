"""Taking ``SIGUSR1``: never from somebody else, never from an event loop, and given back when nobody needs it."""

from __future__ import annotations

import asyncio
import faulthandler
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lrm_actors.hosting import signalling
from lrm_actors.hosting.signalling import SignalDump
from lrm_actors.mode import LongRunningMode
from tests.mode_kit import settings
from tests.runtime.support import PATIENCE_S, eventually

pytestmark = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals are for the main thread"
)


class Shown:
    """Something that has a tree."""

    def __init__(self, text: str = "a tree") -> None:
        self.text = text
        self.count = 0

    def tree(self) -> str:
        """Its text."""
        self.count += 1
        return self.text


def has(texts: list[str], count: int) -> bool:
    """Whether there are so many."""
    return len(texts) == count


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is printed, in place of standard error."""
    texts: list[str] = []
    monkeypatch.setattr(signalling, "_write", texts.append)
    return texts


@pytest.fixture
def dump() -> Iterator[SignalDump]:
    """One of the test's own, given back at the end."""
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    one = SignalDump()
    yield one
    for shown in list(one._shown):
        one.remove(shown)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1


def test_a_signal_prints_every_tree_and_the_last_one_gives_it_back(dump: SignalDump, printed: list[str]) -> None:
    """Also while one of them cannot be shown; and each signal prints once, whichever way it is told of."""

    class Broken(Shown):
        def tree(self) -> str:
            raise OSError("gone")

    one, other = Shown("first"), Broken()
    assert dump.add(one)
    assert dump.add(other)
    for number in range(1, 6):
        os.kill(os.getpid(), signal.SIGUSR1)
        eventually(partial(has, printed, number))
    assert all("first" in text and "OSError: gone" in text for text in printed)
    dump.remove(other)
    dump.remove(one)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    eventually(lambda: not [thread for thread in threading.enumerate() if thread.name == "lrm-signal-dump"])
    assert len(printed) == 5


@pytest.mark.parametrize("theirs", [signal.SIG_IGN, lambda number, frame: None])
def test_a_handler_of_somebody_elses_stays(theirs: Any, printed: list[str]) -> None:
    """One that handles it and one that ignores it; unless it is asked for."""
    dump, shown = SignalDump(), Shown()
    before = signal.signal(signal.SIGUSR1, theirs)
    try:
        assert not dump.add(shown)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert signal.getsignal(signal.SIGUSR1) is theirs
        assert dump.add(shown, replace=True)
        os.kill(os.getpid(), signal.SIGUSR1)
        eventually(lambda: len(printed) == 1)
        dump.remove(shown)
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the platform does not tell")
def test_a_native_handler_stays(tmp_path: Path) -> None:
    """``faulthandler`` does not tell the ``signal`` module."""
    dump, shown = SignalDump(), Shown()
    with (tmp_path / "trace").open("w") as file:
        faulthandler.register(signal.SIGUSR1, file=file)
        try:
            dump.prepare()
            assert not dump.add(shown)
            os.kill(os.getpid(), signal.SIGUSR1)
        finally:
            faulthandler.unregister(signal.SIGUSR1)
    assert "Current thread" in (tmp_path / "trace").read_text()


def test_planted_a_handler_that_is_replaced_unasked_is_caught(
    monkeypatch: pytest.MonkeyPatch, printed: list[str]
) -> None:
    """If everything were free, the test above would see it."""
    monkeypatch.setattr(SignalDump, "_is_free", lambda self: True)
    with pytest.raises(AssertionError):
        test_a_handler_of_somebody_elses_stays(lambda number, frame: None, printed)
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)


def test_who_sets_a_handler_later_keeps_it(printed: list[str]) -> None:
    """Ours is not put back over theirs, and the end of ours leaves theirs alone."""
    dump, shown = SignalDump(), Shown()
    assert dump.add(shown)
    heard: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    theirs = signal.getsignal(signal.SIGUSR1)
    try:
        dump.remove(shown)
        assert signal.getsignal(signal.SIGUSR1) is theirs
        os.kill(os.getpid(), signal.SIGUSR1)
        assert heard == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def test_an_event_loops_descriptor_is_left_to_it(dump: SignalDump, printed: list[str]) -> None:
    """The interpreter goes on writing signals there, also while ours comes and goes; ours is then told by hand."""
    reading, writing = socket.socketpair()
    with reading, writing:
        reading.settimeout(PATIENCE_S)
        writing.setblocking(False)
        signal.set_wakeup_fd(writing.fileno())
        before = signal.signal(signal.SIGUSR2, lambda number, frame: None)
        try:
            shown = Shown()
            assert dump.add(shown)
            os.kill(os.getpid(), signal.SIGUSR2)
            assert reading.recv(16) == bytes((signal.SIGUSR2,))
            os.kill(os.getpid(), signal.SIGUSR1)
            eventually(lambda: len(printed) == 1)
            dump.remove(shown)
            assert reading.recv(16) == bytes((signal.SIGUSR1,))
            os.kill(os.getpid(), signal.SIGUSR2)
            assert reading.recv(16) == bytes((signal.SIGUSR2,))
        finally:
            assert signal.set_wakeup_fd(-1) == writing.fileno()
            signal.signal(signal.SIGUSR2, before)


def test_off_the_main_thread_nothing_is_taken(printed: list[str]) -> None:
    """The interpreter would not let us; what is shown there is shown once somebody else has the signal."""
    dump, first, second = SignalDump(), Shown("first"), Shown("second")
    got: list[bool] = []
    beside = threading.Thread(target=lambda: got.append(dump.add(first)))
    beside.start()
    beside.join()
    assert got == [False]
    assert dump.add(second)
    os.kill(os.getpid(), signal.SIGUSR1)
    eventually(lambda: len(printed) == 1)
    assert "first" in printed[0]
    assert "second" in printed[0]
    dump.remove(first)
    dump.remove(second)


def _in_child(told: Any) -> None:
    told.send(signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL)
    told.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking with threads, which is what is tried here
def test_a_forked_child_has_the_signal_as_it_was(tmp_path: Path, printed: list[str]) -> None:
    """Its signals print nothing in its parent, whose own go on doing so."""
    fork = multiprocessing.get_context("fork")
    with LongRunningMode(settings(tmp_path)):
        heard, told = fork.Pipe(duplex=False)
        child = fork.Process(target=_in_child, args=(told,))
        child.start()
        assert heard.recv()
        child.join()
        assert printed == []
        os.kill(os.getpid(), signal.SIGUSR1)
        eventually(lambda: len(printed) == 1)
        heard.close()
        told.close()
    assert "agent default" in printed[0]


def test_an_event_loop_keeps_its_signals_and_the_tree_is_printed_all_the_same(
    tmp_path: Path, printed: list[str]
) -> None:
    """A host that handles ``SIGTERM`` in its loop still gets it; after the mode nothing of ours is left."""

    async def host() -> None:
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, told.set)
        async with LongRunningMode(settings(tmp_path)):
            os.kill(os.getpid(), signal.SIGUSR1)
            while not printed:  # noqa: ASYNC110 - it is printed by a thread
                await asyncio.sleep(0.005)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(told.wait(), PATIENCE_S)
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
        told.clear()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(told.wait(), PATIENCE_S)

    asyncio.run(host())
    assert "supervisor  running" in printed[0]
