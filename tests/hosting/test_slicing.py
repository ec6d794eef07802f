"""A state is cut where it lives: in slices while the host keeps still, in one go where it does not."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Generator
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from eventstore.memory import MemoryStore
from lrm_actors.actors import checkpointer
from lrm_actors.actors.checkpointer import Captured, Taker
from lrm_actors.actors.checkpoints import cutting
from lrm_actors.actors.checkpoints.cutting import Cutter
from lrm_actors.actors.checkpoints.encoding import Encoder
from lrm_actors.actors.checkpoints.leaves import Cut, Node
from lrm_actors.actors.checkpoints.plain import unpack
from lrm_actors.domain.checkpointer import EMERGENCY, MANUAL, PERIODIC, CaptureFailed, CaptureState, StoreCheckpoint
from lrm_actors.errors import NotCapturable, SettingsError
from lrm_actors.hosting import capturing as capturing_module
from lrm_actors.hosting import slicing
from lrm_actors.hosting.boundary import StepBoundary
from lrm_actors.hosting.capture_options import CaptureOptions
from lrm_actors.hosting.capturing import Capturing
from lrm_actors.hosting.host import HostBridge
from lrm_actors.hosting.slicing import MAX_MARKS, Change
from tests.actors.checkpoints.alone import decode_checkpoint
from tests.actors.checkpoints.kit import document

pytestmark = pytest.mark.usefixtures("short_slices")

Between = Callable[[], object]


@pytest.fixture
def short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast the machine is, a large state takes several slices."""
    monkeypatch.setattr(cutting, "SLICE_S", 0.0001)
    monkeypatch.setattr(slicing, "SHORT_S", 0.0001)


def large() -> dict[str, Any]:
    """A state that takes several slices."""
    return {"count": 2_000, "history": [{"n": n, "dom": f"{n} " * 600} for n in range(2_000)], "jobs": [1], "task": "t"}


def state_of(captured: Captured) -> Any:
    """What comes back of it."""
    encoded = Encoder().encode(captured.cut, checkpoint_id="c")
    return decode_checkpoint(encoded.data, encoded.digest, "c")


async def capture(
    state: Any,
    between: Between,
    *,
    options: CaptureOptions | None = None,
    kind: str = MANUAL,
    previous: Node | None = None,
    steps: bool = True,
    inside: bool = False,
) -> Captured:
    """Capture a state on this loop, on which something else runs whenever it is let in."""
    bridge = HostBridge()
    bridge.bind(asyncio.get_running_loop())
    boundary = StepBoundary()
    capturing = Capturing(boundary, bridge)
    if inside:
        boundary.enter()
    capturing.capture_with(lambda: state, options)
    if steps:
        capturing.goes_on()
    done = False

    async def beside() -> None:
        while not done:
            between()
            await asyncio.sleep(0)

    running = asyncio.ensure_future(beside())
    effect = CaptureState("c", kind, "test")
    captured = await asyncio.to_thread(capturing.capture, effect, MemoryStore(), previous)
    done = True
    await running
    return captured


def test_others_run_while_a_large_state_is_cut() -> None:
    """The host keeps still between two steps, and its loop goes on."""
    turns: list[int] = []
    state = large()
    captured = asyncio.run(capture(state, lambda: turns.append(1)))
    assert captured.cut.slices > 3
    assert state_of(captured) == state


def in_which_order(monkeypatch: pytest.MonkeyPatch) -> str:
    """What runs on the host's loop, where a timer of the host's is due during each of three slices."""
    seen: list[str] = []

    def in_slices(cutter: Cutter, state: Any, *, first_s: float = 0.0) -> Generator[None, None, Cut]:
        loop = asyncio.get_running_loop()
        for number in range(3):
            seen.append(f"slice {number}")
            loop.call_at(loop.time(), seen.append, f"timer {number}")
            yield
        return (yield from whole(cutter, state, first_s=first_s))

    whole = Cutter.in_slices
    with monkeypatch.context() as patched:
        patched.setattr(Cutter, "in_slices", in_slices)
        asyncio.run(capture({"n": 1}, lambda: None))
    return ", ".join(seen)


def test_a_timer_that_is_due_waits_for_one_slice_and_not_for_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever lets the loop go round once stands before the timers of that round: so it goes round twice."""
    in_turn = "slice 0, timer 0, slice 1, timer 1, slice 2, timer 2"
    assert in_which_order(monkeypatch) == in_turn
    monkeypatch.setattr(slicing, "LETS_IN", 1)
    assert in_which_order(monkeypatch) != in_turn, "planted: the order does not show it"


def test_what_is_shared_may_change_meanwhile() -> None:
    """It is copied in the first slice, all of it at one moment, while the rest is cut in slices."""
    state = large()
    seen: list[int] = []

    def go_on() -> None:
        seen.append(len(state["jobs"]))
        state["jobs"].append(len(state["jobs"]))

    captured = asyncio.run(capture(state, go_on, options=CaptureOptions(shared=("jobs", "not there"))))
    jobs = state_of(captured)["jobs"]
    assert captured.cut.slices > 3
    assert len(jobs) in seen
    assert jobs == state["jobs"][: len(jobs)]


def test_a_host_without_steps_is_cut_in_one_go_when_the_timer_asks() -> None:
    """Nothing keeps it still then: whatever it changes in between, the state is of one moment."""
    state = large()

    def go_on() -> None:
        state["history"].append({})
        state["count"] += 1

    before = Cutter().at_once(large()).root
    for kind, previous in ((PERIODIC, None), (MANUAL, None), (PERIODIC, before), (EMERGENCY, before)):
        captured = asyncio.run(capture(state, go_on, kind=kind, steps=False, previous=previous))
        found = state_of(captured)
        assert captured.cut.slices == 1
        assert found["count"] == len(found["history"])
        assert captured.stall_ms > 0


def test_inside_a_step_an_emergency_is_cut_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step goes on meanwhile, and changes whatever it likes."""
    monkeypatch.setattr(capturing_module, "EMERGENCY_WAIT_S", 0.0)
    state = large()

    def go_on() -> None:
        state["history"][0]["n"] += 1
        state["task"] = state["history"][0]["n"]

    captured = asyncio.run(capture(state, go_on, kind=EMERGENCY, inside=True))
    assert captured.cut.slices == 1


def test_what_is_copied_and_redacted_holds_the_loop_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is told, also where the state is cut again afterwards."""
    now = [0.0]
    monkeypatch.setattr(slicing, "time", SimpleNamespace(perf_counter=lambda: now[0], sleep=time.sleep))
    state = large()

    def slow(given: Any) -> Any:
        now[0] += 60.0
        return given

    def go_on() -> None:
        if len(state["history"]) < 2_010:
            state["history"].append({})

    for between in (lambda: None, go_on):
        captured = asyncio.run(capture(state, between, options=CaptureOptions(redact=slow)))
        assert captured.stall_ms >= 60_000.0


def test_a_host_that_does_not_keep_still_is_cut_again(caplog: pytest.LogCaptureFixture) -> None:
    """It grew while it was cut in slices: what is kept was cut in one go, and the host is told what it did."""
    state = large()

    def go_on() -> None:
        if len(state["history"]) < 2_010:
            state["history"].append({})
            state["count"] += 1

    with caplog.at_level(logging.WARNING):
        captured = asyncio.run(capture(state, go_on))
    found = state_of(captured)
    assert found["count"] == len(found["history"])
    assert not captured.cut.changed_meanwhile
    assert "outside of a step" in caplog.text


def test_a_host_without_a_loop_and_without_steps_is_of_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own thread goes on while it is captured, wherever another thread is let in."""
    state = large()
    state["again"] = 2_000

    def sleep(_: float) -> None:
        state["count"] += 1
        state["again"] += 1

    monkeypatch.setattr(slicing, "time", SimpleNamespace(sleep=sleep, perf_counter=time.perf_counter))
    capturing = Capturing(StepBoundary(), HostBridge())
    capturing.capture_with(lambda: state)
    captured = capturing.capture(CaptureState("c", PERIODIC, "test"), MemoryStore())
    found = state_of(captured)
    assert captured.cut.slices > 1
    assert found["count"] == found["again"] < state["count"]


def test_a_capture_does_not_wait_for_ever_for_one_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its host may hang. An emergency waits less, and is made all the same."""
    monkeypatch.setattr(checkpointer, "CAPTURE_WAIT_S", 0.0)
    monkeypatch.setattr(checkpointer, "EMERGENCY_TURN_S", 0.0)
    taker = Taker(lambda effect, previous: checkpointer.cut({"n": 1}, 0, previous))
    with taker._one:
        failed = taker.take(CaptureState("c1", PERIODIC, "test"))
        emergency = taker.take(CaptureState("c2", EMERGENCY, "test"))
    assert isinstance(failed, CaptureFailed)
    assert failed.error == "TimeoutError"
    assert isinstance(emergency, StoreCheckpoint)
    assert isinstance(taker.take(CaptureState("c3", PERIODIC, "test")), StoreCheckpoint)


async def later(state: Any) -> Any:
    """What redact must not be."""
    return state


@pytest.mark.parametrize(
    ("redact", "why"),
    [(lambda state: state.clear(), "gives None, and must give the state"), (later, "async, and must be a plain")],
)
def test_a_redact_that_forgets_to_give_the_state_loses_none(redact: Any, why: str) -> None:
    """It is refused at the first checkpoint, and not found out when the state is wanted back."""
    with pytest.raises(NotCapturable, match=why):
        asyncio.run(capture({"n": 1}, lambda: None, options=CaptureOptions(redact=redact)))


def test_a_state_of_nothing_is_kept_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """It may be meant; most likely the host's function forgets to return its state."""
    capturing = Capturing(StepBoundary(), HostBridge())
    capturing.capture_with(lambda: None)
    taker = Taker(lambda effect, node: capturing.capture(effect, MemoryStore(), node, change))
    change = Change()
    for _ in range(3):
        assert isinstance(taker.take(CaptureState("c", MANUAL, "test")), StoreCheckpoint)
    assert ["the host gives None as its state"] == [one.message.split(",")[0] for one in caplog.records]


def test_a_host_without_a_loop_that_hangs_holds_no_step_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may wait for a lock that is held where the step waits. It is called anew once it has come back."""
    boundary, bridge, lock = StepBoundary(), HostBridge(timeout_s=0.02), threading.Lock()

    def state() -> dict[str, int]:
        with lock:
            return {"n": 1}

    capturing = Capturing(boundary, bridge)
    capturing.capture_with(state)
    taker = Taker(lambda effect, node: capturing.capture(effect, MemoryStore(), node))
    with lock:
        for why in ("did not answer within", "has not come back"):
            failed = taker.take(CaptureState("c", PERIODIC, "test"))
            assert isinstance(failed, CaptureFailed)
            assert ("TimeoutError", True) == (failed.error, why in failed.message)
            assert boundary.enter().done()
            boundary.leave()
    assert bridge._late is not None
    bridge._late.result(30)
    monkeypatch.setattr(bridge, "timeout_s", 30.0)
    assert isinstance(taker.take(CaptureState("c", PERIODIC, "test")), StoreCheckpoint)


def test_what_is_shared_and_is_not_there_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A slip of the pen, or a state of two parts: nobody would know that a part is copied in slices all the same."""
    state: Any = {"agent_state": {"inbox": []}, "browser_state": {}}
    capturing, change = Capturing(StepBoundary(), HostBridge()), Change()
    capturing.capture_with(lambda: state, CaptureOptions(shared=("inbox", "browser_state")))
    taker = Taker(lambda effect, node: capturing.capture(effect, MemoryStore(), node, change))
    for _ in range(3):
        assert isinstance(taker.take(CaptureState("c", MANUAL, "test")), StoreCheckpoint)
    assert ["not at the top of the state, so nothing is shared by it: 'inbox'"] == [
        one.message for one in caplog.records
    ]


def test_where_the_host_failed_to_give_its_state_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The event keeps the error alone: nobody finds a missing key without the line that asked for it."""
    state: dict[str, Any] = {}

    def forgetful() -> Any:
        return state["task"]

    capturing = Capturing(StepBoundary(), HostBridge())
    capturing.capture_with(forgetful)
    taker = Taker(lambda effect, node: capturing.capture(effect, MemoryStore(), node))
    assert CaptureFailed("c", "KeyError", "'task'") == taker.take(CaptureState("c", MANUAL, "test"))
    assert "in forgetful" in caplog.text


def test_a_checkpoint_tells_what_it_builds_on_and_a_whole_one_builds_on_nothing() -> None:
    """Else one whose parent is gone would be asked for again and again."""
    taker = Taker(lambda effect, previous: checkpointer.cut({"n": 1}, 0, previous))
    first, second, whole = (
        taker.take(CaptureState(one, PERIODIC, "test", whole=one == "c3")) for one in ("c1", "c2", "c3")
    )
    assert isinstance(first, StoreCheckpoint)
    assert isinstance(second, StoreCheckpoint)
    assert isinstance(whole, StoreCheckpoint)
    assert [(second.parent, second.parent_digest), (whole.parent, whole.parent_digest)] == [
        ("c1", first.digest),
        ("", ""),
    ]


def test_what_is_redacted_is_not_kept() -> None:
    """The host's function gives what is kept, and its own state is left as it was."""
    state = {"agent": {"token": "secret"}, "n": 1}
    options = CaptureOptions(redact=lambda given: {**given, "agent": {"token": None}}, version=3)
    captured = asyncio.run(capture(state, lambda: None, options=options))
    assert state_of(captured) == {"agent": {"token": None}, "n": 1}
    assert state["agent"] == {"token": "secret"}
    assert captured.state_version == 3


def test_a_shared_part_that_is_not_plain_is_refused_by_its_place() -> None:
    """As any other part."""
    with pytest.raises(NotCapturable, match=r"state\['jobs'\]\[0\]"):
        asyncio.run(capture({"jobs": [{1}]}, lambda: None, options=CaptureOptions(shared=("jobs",))))


@attrs.define
class Crawl:
    """A state that is an object, with a tuple in it, as objects may have."""

    seen: tuple[str, ...]
    jobs: list[Any]


@pytest.mark.parametrize("steps", [True, False])
def test_parts_of_an_object_may_be_shared(*, steps: bool) -> None:
    """Its fields are copied, or not, and are what they are without that."""
    state = Crawl(("a", "b"), [{"n": 1, "at": (1, 2)}])
    captured = asyncio.run(capture(state, lambda: None, options=CaptureOptions(shared=("jobs",)), steps=steps))
    assert state_of(captured) == {"seen": ["a", "b"], "jobs": [{"n": 1, "at": [1, 2]}]}
    bridge = HostBridge()
    capturing = Capturing(StepBoundary(), bridge)
    capturing.capture_with(lambda: state, CaptureOptions(shared=("jobs",)))
    assert state_of(capturing.capture(CaptureState("c", MANUAL, "test"), MemoryStore())) == state_of(captured)


@pytest.mark.parametrize("holds", [True, False])
def test_an_emergency_waits_for_no_other_capture(monkeypatch: pytest.MonkeyPatch, *, holds: bool) -> None:
    """Whether that waits for a step, which may be what hangs, or for a host that does not answer."""
    monkeypatch.setattr(capturing_module, "EMERGENCY_WAIT_S", 0.0)
    boundary = StepBoundary(other_holder_s=0.0)
    capturing = Capturing(boundary, HostBridge())
    capturing.capture_with(lambda: {"n": 1})
    if not holds:
        boundary.enter()
    captured: list[Captured] = []

    def emergency() -> dict[str, int]:
        effect = CaptureState("e", EMERGENCY, "test")
        capturing.capture_with(lambda: {"n": 2})
        captured.append(capturing.capture(effect, MemoryStore()))
        return {"n": 1}

    if holds:  # the host's function is asked a second time while it is asked
        capturing.capture_with(emergency)
        capturing.capture(CaptureState("c", PERIODIC, "test"), MemoryStore())
    else:
        with boundary._one:  # as who waits has it
            emergency()
    assert state_of(captured[0]) == {"n": 2}


# Marks


def taking(capturing: Capturing) -> Callable[[str], StoreCheckpoint | Any]:
    """Takes one checkpoint after the other, on this thread."""
    taker = taker_of(capturing)
    return lambda checkpoint_id: taker.take(CaptureState(checkpoint_id, MANUAL, "test"))


def taker_of(capturing: Capturing) -> Taker:
    """What takes the checkpoints of a new log."""
    taker = getattr(capturing.handlers(MemoryStore())[CaptureState], "__self__", None)
    assert isinstance(taker, Taker)
    return taker


def marked(state: Any, verify_every: int = 1000, shared: tuple[str, ...] = ()) -> Capturing:
    """A host that marks its changes."""
    capturing = Capturing(StepBoundary(), HostBridge())
    capturing.capture_with(lambda: state, CaptureOptions(1, shared, None, "marks", verify_every))
    capturing.goes_on()
    return capturing


def test_marks_last_until_a_checkpoint_has_them() -> None:
    """One that fails does not use them up."""
    state: dict[str, Any] = {"a": [{"n": n, "t": "x" * 300} for n in range(100)], "b": 1}
    capturing = marked(state)
    take = taking(capturing)
    take("c1")
    state["a"][3]["n"] = state["b"] = object()
    capturing.changed(("a", 3))
    capturing.changed(("b",))
    assert not isinstance(take("c2"), StoreCheckpoint)
    state["a"][3]["n"] = state["b"] = 7
    third = take("c3")
    assert isinstance(third, StoreCheckpoint)
    assert (third.parent, third.way) == ("c1", "marks")
    assert len(third.data) > len(take("c4").data)  # which has nothing to tell


def test_a_forgotten_mark_is_found_told_and_not_trusted_again(caplog: pytest.LogCaptureFixture) -> None:
    """Every so many checkpoints all is compared; what was missed is in that one, and from then on all is."""
    state: dict[str, Any] = {"a": [{"n": n, "t": "x" * 300} for n in range(100)], "b": 1}
    capturing = marked(state, verify_every=3)
    take = taking(capturing)
    take("c0")
    state["a"][3]["n"] = "forgotten"
    found = [take(f"c{n}") for n in range(1, 6)]
    assert [one.missed for one in found] == [(), (), ("state['a'][3]",), (), ()]
    assert [one.way for one in found] == ["marks", "marks", "marks", "compare", "compare"]
    assert "missed state['a'][3]" in caplog.text
    state["a"][4]["n"] = "forgotten"
    again = taking(capturing)  # on another log, which does not know
    assert ["compare", "compare"] == [again("c0").way, again("c1").way]


def test_what_is_shared_needs_no_marks() -> None:
    """Other tasks change it, and whoever does could not mark it at the moment of the copy."""
    state: dict[str, Any] = {"jobs": [{"n": n, "t": "x" * 300} for n in range(100)], "b": 1}
    capturing = marked(state, verify_every=3, shared=("jobs", "not there"))
    take = taking(capturing)
    found = [take("c0")]
    for number in range(1, 5):
        state["jobs"][number]["n"] = "by another task"
        found.append(take(f"c{number}"))
    assert [()] * 5 == [one.missed for one in found]
    assert "marks" == found[-1].way


def test_a_way_that_an_earlier_process_could_not_trust_is_not_gone() -> None:
    """The log remembers, and asks for a careful capture: marks are nothing then."""
    state: dict[str, Any] = {"a": [{"n": n, "t": "x" * 300} for n in range(100)], "b": 1}
    capturing = marked(state)
    taker = taker_of(capturing)
    taker.take(CaptureState("c0", MANUAL, "test", careful=True))
    state["a"][3]["n"] = "not marked"
    first, second = (taker.take(CaptureState(one, MANUAL, "test", careful=True)) for one in ("c1", "c2"))
    assert isinstance(first, StoreCheckpoint)
    assert isinstance(second, StoreCheckpoint)
    assert (first.way, second.way) == ("compare", "compare")
    assert len(first.data) > len(second.data)


def test_a_mark_that_can_be_no_key_is_refused_at_once() -> None:
    """Or every capture after it would fail."""
    capturing = marked({"a": 1})
    with pytest.raises(SettingsError, match="path"):
        capturing.changed(("a", [1]))
    assert isinstance(taking(capturing)("c0"), StoreCheckpoint)


def test_marks_are_bounded() -> None:
    """A host that marks and marks, with no checkpoint in sight, marks everything in the end."""
    change = Change()
    change.marks()
    change.settled()
    for n in range(MAX_MARKS):
        change.mark((n,))
    assert len(change.marks()) == MAX_MARKS
    change.mark(("one more",))
    assert change.marks() is None
    change.settled()
    assert change.marks() == {}


def test_what_is_marked_while_a_cut_is_taken_over_is_there_for_the_next() -> None:
    """Also where there were so many marks before that they have become one for everything."""
    change = Change()
    for n in range(MAX_MARKS - 1):
        change.mark((n,))
    change.marks()
    for n in range(MAX_MARKS + 1):
        change.mark(("meanwhile", n))
    change.settled()
    assert change.marks() is None


def test_an_emergency_beside_another_capture_leaves_the_marks_to_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cut apart from the others, which have not heeded what was marked since they were cut."""
    monkeypatch.setattr(checkpointer, "EMERGENCY_TURN_S", 0.0)
    state: dict[str, Any] = {"a": [{"n": n, "t": "x" * 300} for n in range(100)], "b": 1}
    capturing = marked(state)
    taker = taker_of(capturing)
    taker.take(CaptureState("c0", MANUAL, "test"))
    settled = taker._taken

    def late() -> None:
        state["b"] = 2
        capturing.changed(("b",))
        assert isinstance(taker.take(CaptureState("e", EMERGENCY, "beside")), StoreCheckpoint)
        settled()

    taker._taken = late
    taker.take(CaptureState("c1", MANUAL, "test"))
    taker._taken = settled
    third = taker.take(CaptureState("c2", MANUAL, "test"))
    assert isinstance(third, StoreCheckpoint)
    assert third.way == "marks"
    assert restored(taker, third)["b"] == 2


def test_a_capture_that_hung_while_the_mode_began_anew_takes_no_marks_from_it() -> None:
    """It is of another log."""
    state: dict[str, Any] = {"a": ["x" * 300] * 100, "b": 1}
    capturing = marked(state)
    hung, taker = taker_of(capturing), taker_of(capturing)
    for one in ("c0", "c1"):
        taker.take(CaptureState(one, MANUAL, "test"))
    state["b"] = 2
    capturing.changed(("b",))
    hung.take(CaptureState("late", MANUAL, "test"))
    third = taker.take(CaptureState("c2", MANUAL, "test"))
    assert isinstance(third, StoreCheckpoint)
    assert restored(taker, third)["b"] == 2


def test_another_function_of_the_host_gives_another_state() -> None:
    """What was marked of the state before says nothing of it."""
    states = [{"a": ["x" * 300] * 100, "b": one} for one in (1, 2)]
    capturing = marked(states[0])
    taker = taker_of(capturing)
    taker.take(CaptureState("c0", MANUAL, "test"))
    taker.take(CaptureState("c1", MANUAL, "test"))
    capturing.capture_with(lambda: states[1], CaptureOptions(changes="marks"))
    second = taker.take(CaptureState("c2", MANUAL, "test"))
    assert isinstance(second, StoreCheckpoint)
    assert restored(taker, second) == states[1]


def test_a_state_that_was_small_is_cut_in_slices_once_it_has_grown() -> None:
    """What the last cut took says nothing of how long this one takes."""

    async def grown() -> Captured:
        state: dict[str, Any] = {}
        bridge = HostBridge()
        bridge.bind(asyncio.get_running_loop())
        capturing = Capturing(StepBoundary(), bridge)
        capturing.capture_with(lambda: state)
        capturing.goes_on()
        effect = CaptureState("c", PERIODIC, "test")
        small = await asyncio.to_thread(capturing.capture, effect, MemoryStore())
        assert small.cut.slices == 1
        state.update(large())
        return await asyncio.to_thread(capturing.capture, effect, MemoryStore(), small.cut.root)

    assert asyncio.run(grown()).cut.slices > 1


def restored(taker: Taker, made: StoreCheckpoint) -> Any:
    """The state that a checkpoint was cut from, as its taker remembers it."""
    root = taker._encoder.root
    assert root is not None
    assert taker._encoder.tip == made.checkpoint_id
    return unpack(document(root))
