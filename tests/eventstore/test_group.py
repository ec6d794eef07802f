"""Group commit: callers share transactions, each gets its own outcome, and nobody takes the lead away with him."""

from __future__ import annotations

import contextlib
import ctypes
import inspect
import itertools
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from eventstore import group as group_module
from eventstore.errors import AppendFailed, OutcomeUnknown, WrongVersion
from eventstore.group import Entry, GroupCommit
from eventstore.records import Appended

PATIENCE_S = 30.0


class Committing:
    """Stands in for the transaction: notes each group, and can be held up in the middle of one."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.told: list[list[str]] = []
        self.held = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.fails: BaseException | None = None
        self.pause_s = 0.0
        self.group = GroupCommit(self.commit, lambda entries: self.told.append([entry.item for entry in entries]))

    def commit(self, entries: list[Entry[str]]) -> None:
        self.held.set()
        self.group.wake()
        assert self.go_on.wait(PATIENCE_S)
        if self.pause_s:
            threading.Event().wait(self.pause_s)
        fails, self.fails = self.fails, None
        if fails is not None:
            raise fails
        self.groups.append([entry.item for entry in entries])
        for entry in entries:
            if entry.item == "refused":
                entry.error = WrongVersion("a", 1, 2)
            else:
                entry.appended = Appended(len(self.groups), len(self.groups), {})

    def hold(self) -> None:
        self.held.clear()
        self.go_on.clear()


class Callers:
    """Threads that each commit one item, and what became of it."""

    def __init__(self, group: GroupCommit[str]) -> None:
        self._group = group
        self.outcomes: dict[str, Appended | BaseException] = {}
        self._threads: list[threading.Thread] = []

    def start(self, item: str) -> threading.Thread:
        def call() -> None:
            try:
                self.outcomes[item] = self._group.commit(item)
            except BaseException as error:
                self.outcomes[item] = error

        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        self._threads.append(thread)
        return thread

    def until_queued(self, count: int) -> None:
        """Until so many wait behind the one that commits."""
        eventually(lambda: sum(bool(entry.sleepers) for entry in list(self._group._queue)) == count)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


def eventually(condition: Callable[[], bool]) -> None:
    """Until something is true, bounded."""
    tick = threading.Event()
    for _ in range(int(PATIENCE_S * 1000)):
        if condition():
            return
        tick.wait(0.001)
    pytest.fail("it never came true")


@pytest.fixture
def committing() -> Iterator[Committing]:
    """Let go at the end, whatever happened."""
    found = Committing()
    yield found
    found.go_on.set()


@pytest.fixture
def callers(committing: Committing) -> Callers:
    """None yet."""
    return Callers(committing.group)


def test_one_caller_commits_for_itself(committing: Committing) -> None:
    """And is told apart from nobody: one group, one item, no thread."""
    before = threading.active_count()
    assert Appended(1, 1, {}) == committing.group.commit("a")
    assert [["a"]] == committing.groups == committing.told
    assert threading.active_count() <= before


def test_who_comes_during_a_commit_shares_the_next(committing: Committing, callers: Callers) -> None:
    """All that wait behind one transaction are in one transaction, in the order they came."""
    committing.hold()
    callers.start("first")
    assert committing.held.wait(PATIENCE_S)
    for number in range(5):
        callers.start(f"behind {number}")
        callers.until_queued(number + 1)
    committing.go_on.set()
    callers.join()
    assert [["first"], [f"behind {number}" for number in range(5)]] == committing.groups
    assert Appended(1, 1, {}) == callers.outcomes.pop("first")
    assert [Appended(2, 2, {})] * 5 == list(callers.outcomes.values())


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """By this clock the first transaction of several takes ten seconds, and nothing takes any time after that."""
    clock = itertools.chain((0.0,), itertools.repeat(10.0))
    monkeypatch.setattr(group_module, "MAX_GATHER_S", PATIENCE_S)
    monkeypatch.setattr(group_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))


def answer_together(committing: Committing, callers: Callers, items: list[str]) -> None:
    """Let these share a transaction."""
    committing.hold()
    callers.start("first")
    assert committing.held.wait(PATIENCE_S)
    for number, item in enumerate(items):
        callers.start(item)
        callers.until_queued(number + 1)
    committing.go_on.set()
    callers.join()


@pytest.mark.usefixtures("slow")
def test_who_was_answered_together_is_waited_for(committing: Committing, callers: Callers) -> None:
    """The next leader gives the others the time to come again, and commits as soon as the last of them is there."""
    answer_together(committing, callers, ["a", "b", "c"])
    callers.start("a again")
    eventually(lambda: committing.group._gathering is not None)
    callers.start("b again")
    callers.until_queued(1)
    assert [["first"], ["a", "b", "c"]] == committing.groups
    callers.start("c again")
    callers.join()
    assert ["a again", "b again", "c again"] == committing.groups[-1]


def test_nobody_is_waited_for_longer_than_the_transaction_took(committing: Committing, callers: Callers) -> None:
    """One that comes alone after many is stored all the same, and the next one is not held up at all."""
    answer_together(committing, callers, ["a", "b", "c"])
    committing.group.commit("alone")
    assert 0 == committing.group._coming
    committing.group.commit("alone again")
    assert [["alone"], ["alone again"]] == committing.groups[-2:]


def test_everybody_is_woken_and_nobody_has_to_look_again(
    committing: Committing, callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is answered hears of it at once: the looking again is for what a signal's exception does."""
    monkeypatch.setattr(group_module, "LOOK_AGAIN_S", 2 * PATIENCE_S)
    committing.hold()
    callers.start("first")
    assert committing.held.wait(PATIENCE_S)
    for number in range(3):
        callers.start(f"behind {number}")
        callers.until_queued(number + 1)
    committing.go_on.set()
    callers.join()
    assert 4 == len(callers.outcomes)


def test_who_is_answered_is_woken_when_the_next_leader_waits(committing: Committing) -> None:
    """The first of them, who wakes the next, and then nobody is left to be woken."""
    group = committing.group
    sleepers = [threading.Lock() for _ in range(2)]
    for sleeper in sleepers:
        sleeper.acquire()
    group._answered = list(sleepers)
    group.wake()
    assert [False, True] == [sleeper.locked() for sleeper in sleepers]
    group.wake()
    assert [False, True] == [sleeper.locked() for sleeper in sleepers]
    group._wake_next()
    assert [False, False] == [sleeper.locked() for sleeper in sleepers]
    group._wake_next()


def test_whoever_leaves_wakes_the_next(committing: Committing) -> None:
    """A signal's exception that hits a caller as it wakes does not leave those behind it asleep."""
    sleeper = threading.Lock()
    sleeper.acquire()
    committing.group._waking.append(sleeper)
    committing.group._leave(committing.group.hand_in("x"), threading.get_ident())
    assert not sleeper.locked()


class Impatient:
    """The lock of a caller that has waited long enough, or is hit by an exception, just when it was answered."""

    def __init__(self, error: BaseException | None) -> None:
        self._lock = threading.Lock()
        self._error = error
        self.leave = threading.Event()

    def acquire(self, timeout: float = -1) -> bool:
        if timeout < 0:
            return self._lock.acquire()
        assert self.leave.wait(PATIENCE_S)
        if self._error is not None:
            raise self._error
        return self._lock.acquire(blocking=False)

    def release(self) -> None:
        self._lock.release()


def answered_with_one_that_left(
    committing: Committing, callers: Callers, monkeypatch: pytest.MonkeyPatch, error: BaseException | None
) -> list[threading.Thread]:
    """Two callers that were answered behind one that left at that moment, and who was to wake them is done."""
    monkeypatch.setattr(group_module, "LOOK_AGAIN_S", 100 * PATIENCE_S)  # nobody looks again by itself
    impatient, threads = Impatient(error), dict[str, threading.Thread]()

    def lock() -> Any:
        return impatient if "leaves" in threads and "stays 0" not in threads else threading.Lock()

    def commit(entries: list[Entry[str]]) -> None:
        committing.commit(entries)
        if len(entries) > 1:
            impatient.leave.set()
            threads["leaves"].join(PATIENCE_S)

    monkeypatch.setattr(group_module, "threading", SimpleNamespace(Lock=lock, get_ident=threading.get_ident))
    monkeypatch.setattr(committing.group, "_commit", commit)
    committing.hold()
    for number, item in enumerate(("first", "leads", "leaves", "stays 0", "stays 1")):
        threads[item] = threading.Thread(target=lambda: None)  # there before its caller makes its lock
        threads[item] = callers.start(item)
        if number == 0:
            assert committing.held.wait(PATIENCE_S)
        else:
            callers.until_queued(number)
    committing.go_on.set()
    threads["leads"].join(PATIENCE_S)
    assert not threads["leads"].is_alive()
    return [threads["stays 0"], threads["stays 1"]]


@pytest.mark.parametrize("error", [None, KeyboardInterrupt()], ids=["looks again", "is interrupted"])
def test_one_that_left_keeps_nobody_asleep(
    committing: Committing, callers: Callers, monkeypatch: pytest.MonkeyPatch, error: BaseException | None
) -> None:
    """Who comes to wake one that is up already passes on to the next: it would wake nobody."""
    answered_with_one_that_left(committing, callers, monkeypatch, error)
    callers.join()
    left = callers.outcomes.pop("leaves")
    assert left is error if error is not None else isinstance(left, Appended)
    assert all(isinstance(one, Appended) for one in callers.outcomes.values())


def test_planted_one_that_left_without_a_word_is_caught(
    committing: Committing, callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it does not say that it is up, those behind it sleep until they look again."""
    let_go = GroupCommit._let_go
    planted = staticmethod(lambda sleeper: None if isinstance(sleeper, Impatient) else let_go(sleeper))
    monkeypatch.setattr(GroupCommit, "_let_go", planted)
    stay = answered_with_one_that_left(committing, callers, monkeypatch, None)
    stay[0].join(0.1)
    assert [True, True] == [thread.is_alive() for thread in stay]
    for _ in stay:
        committing.group._wake_next()
    callers.join()


def crowd(committing: Committing, each: int, patience_s: float) -> int:
    """Many callers that commit again and again, each in its own way; how many have not ended in time."""
    committing.pause_s = 0.0005
    group, tick = committing.group, threading.Event()

    def work(number: int) -> None:
        for turn in range(each):
            if (number + turn) % 7 == 0:
                group.hand_in("handed in").result()
            else:
                group.commit("committed")
            if (number * turn) % 5 == 4:
                tick.wait(0.0005)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience_s)
    return sum(thread.is_alive() for thread in threads)


def test_in_a_crowd_nobody_is_left_asleep(
    committing: Committing, monkeypatch: pytest.MonkeyPatch, release: bool
) -> None:
    """Each who is woken wakes another, whoever leaves and comes meanwhile. Nobody would look again by itself."""
    monkeypatch.setattr(group_module, "LOOK_AGAIN_S", 100 * PATIENCE_S)
    each = 2_000 if release else 50
    assert 0 == crowd(committing, each, PATIENCE_S * (10 if release else 1))
    assert 16 * each == sum(map(len, committing.groups))
    print(f"{16 * each} commits of 16 threads in {len(committing.groups)} transactions")


def test_one_who_is_woken_and_wakes_nobody_is_caught(committing: Committing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others sleep on."""

    def wake_one(group: GroupCommit[str]) -> None:
        answered, group._answered = group._answered, []
        for sleeper in answered[:1]:
            sleeper.release()

    monkeypatch.setattr(GroupCommit, "wake", wake_one)
    monkeypatch.setattr(group_module, "LOOK_AGAIN_S", 1.0)  # and then they look, or their threads would stay
    assert crowd(committing, 3, 0.02) > 0
    eventually(lambda: 16 * 3 == sum(map(len, committing.groups)))


def test_the_lead_is_handed_over(committing: Committing, callers: Callers) -> None:
    """The first caller is answered while the second's transaction is under way: nobody works for all the others."""
    committing.hold()
    first = callers.start("first")
    assert committing.held.wait(PATIENCE_S)
    callers.start("second")
    callers.until_queued(1)
    committing.held.clear()
    committing.go_on.set()
    assert committing.held.wait(PATIENCE_S)
    first.join(PATIENCE_S)
    assert not first.is_alive()
    callers.join()
    assert [["first"], ["second"]] == committing.groups


def test_a_refusal_is_one_callers_own(committing: Committing, callers: Callers) -> None:
    """The others of its transaction are stored."""
    committing.hold()
    callers.start("first")
    assert committing.held.wait(PATIENCE_S)
    for number, item in enumerate(("before", "refused", "after")):
        callers.start(item)
        callers.until_queued(number + 1)
    committing.go_on.set()
    callers.join()
    assert isinstance(callers.outcomes["refused"], WrongVersion)
    assert isinstance(callers.outcomes["before"], Appended)
    assert isinstance(callers.outcomes["after"], Appended)


@pytest.mark.parametrize(
    ("error", "of_others"), [(AppendFailed("no"), AppendFailed), (KeyboardInterrupt(), OutcomeUnknown)]
)
def test_a_failed_transaction_is_everybodys(
    committing: Committing, callers: Callers, error: BaseException, of_others: type[Exception]
) -> None:
    """A signal's exception goes to the one that led, the others know nothing; the next transaction is as ever."""
    committing.fails = error
    callers.start("leads")
    callers.join()
    assert error is callers.outcomes["leads"]
    pending = [committing.group.hand_in("x"), committing.group.hand_in("y")]
    committing.fails = error
    with pytest.raises(type(error)):
        committing.group.wait(pending[0])
        pending[0].result()
    with pytest.raises(of_others):
        pending[1].result()
    assert isinstance(committing.group.commit("after"), Appended)


def test_a_caller_that_leaves_does_not_take_the_lead_along(
    committing: Committing, callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was to lead next is hit by a signal's exception while it sleeps: those behind it go on all the same."""
    monkeypatch.setattr(group_module, "LOOK_AGAIN_S", 0.01)
    committing.hold()
    callers.start("first")
    assert committing.held.wait(PATIENCE_S)
    leaves = callers.start("leaves")
    callers.until_queued(1)
    callers.start("stays")
    callers.until_queued(2)
    assert leaves.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(leaves.ident), ctypes.py_object(KeyboardInterrupt))
    leaves.join(PATIENCE_S)
    assert isinstance(callers.outcomes["leaves"], KeyboardInterrupt)
    committing.go_on.set()
    callers.join()
    assert isinstance(callers.outcomes["stays"], Appended)


class InterruptedQueue(deque[Entry[str]]):
    """A queue of which a signal's exception comes right after something was taken."""

    def popleft(self) -> Entry[str]:
        super().popleft()
        raise KeyboardInterrupt

    def clear(self) -> None:
        super().clear()
        raise KeyboardInterrupt


@pytest.mark.parametrize("taken", [1, 2])
def test_what_an_interrupted_leader_had_taken_is_told_as_unknown(
    committing: Committing, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    """Whoever waits for it is answered, and does not lead empty transactions for ever; nothing is stored after that."""
    monkeypatch.setattr(group_module, "MAX_WEIGHT", taken)
    pending = [committing.group.hand_in("x"), committing.group.hand_in("y")]
    committing.group._queue = InterruptedQueue(committing.group._queue)
    with pytest.raises(KeyboardInterrupt):
        committing.group.wait(pending[1])
    committing.group._queue = deque(committing.group._queue)
    for one in pending[:taken]:
        with pytest.raises(OutcomeUnknown):
            one.result()
    for one in pending[taken:]:
        assert isinstance(one.result(), Appended)
    committing.group.commit("z")
    assert [*[["y"]] * (2 - taken), ["z"]] == committing.groups


@pytest.mark.parametrize("line", range(len(inspect.getsourcelines(GroupCommit._take)[0])))
def test_what_an_exception_makes_unknown_is_settled_for_good(
    committing: Committing, monkeypatch: pytest.MonkeyPatch, line: int
) -> None:
    """Wherever it hits a leader that takes what waits: what is then told as unknown is not stored any more."""
    _, first = inspect.getsourcelines(GroupCommit._take)
    pending = [committing.group.hand_in("x"), committing.group.hand_in("y")]

    def interrupt(frame: FrameType, event: str, arg: object) -> Any:
        if frame.f_code is GroupCommit._take.__code__ and event == "line" and frame.f_lineno == first + line:
            sys.settrace(None)
            raise KeyboardInterrupt
        return interrupt

    before = sys.gettrace()
    sys.settrace(interrupt)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            pending[1].result()
    finally:
        sys.settrace(before)
    unknown = []
    for one in pending:
        try:
            one.result()
        except OutcomeUnknown:
            unknown.append(one.item)
    committing.group.commit("z")
    stored = [item for group in committing.groups for item in group]
    assert sorted([*stored, *unknown]) == ["x", "y", "z"]


def test_in_a_forked_child_nobody_waits_for_who_is_not_there(committing: Committing) -> None:
    """The leader stayed in the parent, and what was handed in there is stored there or nowhere."""
    pending = committing.group.hand_in("x")
    committing.group._leader = -1
    committing.group._lock.acquire()
    committing.group.abandon()
    with pytest.raises(OutcomeUnknown):
        pending.result()
    assert isinstance(committing.group.commit("y"), Appended)


def test_a_flush_tells_what_the_storage_refused(committing: Committing) -> None:
    """A refusal of one item is its caller's alone."""
    committing.group.hand_in("refused")
    committing.group.flush()
    committing.group.hand_in("x")
    committing.fails = AppendFailed("no")
    with pytest.raises(AppendFailed):
        committing.group.flush()


def test_planted_a_lead_that_is_kept_is_caught(
    committing: Committing, callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the hand-over, who waits would wait for ever."""
    monkeypatch.setattr(group_module, "LOOK_AGAIN_S", 0.01)
    monkeypatch.setattr(committing.group, "_hand_over", lambda: None)
    committing.hold()
    callers.start("first")
    assert committing.held.wait(PATIENCE_S)
    second = callers.start("second")
    callers.until_queued(1)
    committing.go_on.set()
    eventually(lambda: "first" in callers.outcomes)
    second.join(0.1)
    assert second.is_alive()
    monkeypatch.undo()
    committing.group._hand_over()
    callers.join()


def test_what_is_handed_in_waits_for_somebody_who_waits(committing: Committing) -> None:
    """Then all of it is committed at once, in order; so is it where too much waits."""
    pending = [committing.group.hand_in(f"item {number}") for number in range(4)]
    assert not any(entry.done for entry in pending)
    committing.group.wait(pending[-1])
    assert all(entry.done for entry in pending)
    assert [[f"item {number}" for number in range(4)]] == committing.groups
    for number in range(group_module.MAX_PENDING):
        committing.group.hand_in(f"more {number}")
    assert group_module.MAX_PENDING == len(committing.groups[1])


def test_one_transaction_takes_a_bounded_weight(committing: Committing) -> None:
    """More is left for the next, and something heavier than that goes alone."""
    half = group_module.MAX_WEIGHT // 2
    for number in range(3):
        committing.group.hand_in(f"half {number}", half)
    committing.group.hand_in("heavy", 2 * group_module.MAX_WEIGHT)
    committing.group.flush()
    assert [["half 0", "half 1"], ["half 2"], ["heavy"]] == committing.groups


def test_a_flush_waits_for_what_another_has_taken(committing: Committing) -> None:
    """What was handed in before is under way in another caller's transaction: it is not done yet, nor is the flush."""
    pending = committing.group.hand_in("handed in")
    committing.hold()
    leading = threading.Thread(target=pending.result)
    leading.start()
    assert committing.held.wait(PATIENCE_S)
    done: list[bool] = []

    def flush() -> None:
        committing.group.flush()
        done.append(pending.done)

    flushing = threading.Thread(target=flush)
    flushing.start()
    while flushing.is_alive() and not pending.sleepers:
        pass
    committing.go_on.set()
    for thread in (leading, flushing):
        thread.join(PATIENCE_S)
    assert [True] == done
