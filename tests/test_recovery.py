"""Which checkpoint an agent goes on from: past damaged ones, and past those that hold half a step."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from eventstore.memory import MemoryStore
from eventstore.protocol import EventReader
from eventstore.records import Attachment, Batch, NewEvent, Retention, StreamWrite
from lrm_actors.actors.checkpointer import Captured, cut
from lrm_actors.actors.checkpoints.encoding import Encoder
from lrm_actors.actors.checkpoints.leaves import Node
from lrm_actors.domain import journal
from lrm_actors.domain.checkpointer import CaptureState, CheckpointerState, CheckpointInfo, attachment_key
from lrm_actors.errors import CheckpointDamaged, CheckpointNotFound, StateNotRestored, UpcasterMissing
from lrm_actors.hosting.capturing import Capturing
from lrm_actors.hosting.host import HostBridge
from lrm_actors.hosting.recovery import Damage, choose
from lrm_actors.mode import LongRunningMode
from tests.actors.checkpoints.alone import decode_checkpoint, encode_checkpoint
from tests.mode_kit import records, settings, soon


class Log:
    """A log written by hand: what the journal said, and checkpoints in between."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.kept: tuple[CheckpointInfo, ...] = ()
        self.committed = 0

    def say(self, *events: object) -> None:
        writes = (StreamWrite("journal", tuple(NewEvent(event) for event in events)),)
        self.store.append(Batch(writes=writes))

    def step(self, number: int) -> None:
        self.say(journal.StepBegun(number, "s", 1), journal.StepCommitted(number, "s", number))
        self.committed = number

    def checkpoint(self, state: Any, *, damaged: bool = False, kind: str = "periodic") -> str:
        checkpoint_id = f"checkpoint_{len(self.kept):013d}_abcd"
        encoded = encode_checkpoint(state, checkpoint_id=checkpoint_id)
        data = encoded.data[:-3] if damaged else encoded.data
        self.store.append(Batch(attachments=(Attachment(attachment_key(checkpoint_id), data),)))
        info = CheckpointInfo(checkpoint_id, kind, 1.0, self.store.head, encoded.size_bytes, encoded.digest, "interval")
        self.kept = (*self.kept, info)
        return checkpoint_id

    def choose(self, checkpoint_id: str | None = None) -> Any:
        steps = journal.JournalState(committed=self.committed)
        for record in self.store.read(streams=("journal",), removed="skip"):
            for event in record.events:
                steps = journal.evolve(steps, event)
        return choose(self.store, CheckpointerState(kept=self.kept), steps, checkpoint_id)


def test_the_newest_is_taken_and_the_steps_after_it_are_told() -> None:
    """State and steps together are everything that was committed."""
    log = Log()
    log.step(1)
    log.checkpoint("older")
    log.step(2)
    newest = log.checkpoint({"done": [1, 2]})
    log.step(3)

    recovery = log.choose().recovery

    assert (recovery.checkpoint_id, recovery.state) == (newest, {"done": [1, 2]})
    assert [step.step for step in recovery.steps] == [3]


def test_damaged_ones_are_passed_over_and_named() -> None:
    """An older whole one is better than a newer broken one; what is broken is to be put on record."""
    log = Log()
    whole = log.checkpoint("whole")
    log.step(1)
    damaged = [log.checkpoint("a", damaged=True), log.checkpoint("b", damaged=True)]

    choice = log.choose()

    assert choice.recovery.checkpoint_id == whole
    assert [step.step for step in choice.recovery.steps] == [1]
    assert set(choice.recovery.passed_over) == set(damaged)
    assert {damage.checkpoint_id for damage in choice.damaged} == set(damaged)
    assert all(isinstance(damage, Damage) and damage.reason for damage in choice.damaged)


def test_when_none_is_left_the_steps_run_from_the_beginning() -> None:
    """The log alone is enough to go on."""
    log = Log()
    log.step(1)
    log.checkpoint("a", damaged=True)
    log.step(2)

    recovery = log.choose().recovery

    assert (recovery.checkpoint_id, recovery.state, recovery.position) == (None, None, 0)
    assert [step.step for step in recovery.steps] == [1, 2]


def test_a_checkpoint_older_than_the_log_is_used_and_it_is_said_that_steps_are_missing() -> None:
    """Retention has removed steps since: going on would do again what they did, and nobody shall be surprised by it."""
    log = Log()
    log.step(1)
    old = log.checkpoint([1])
    log.step(2)
    log.step(3)
    newest = log.checkpoint([1, 2, 3])
    log.step(4)
    assert not log.choose(old).recovery.steps_removed
    assert log.store.retain(Retention(max_events=1, keep_after=4, expendable=("journal",))).removed

    choice = log.choose(old)
    assert (choice.recovery.state, choice.recovery.steps_removed) == ([1], True)
    assert [f"steps since {old} are no longer in the log: what they did would be done again"] == list(choice.unsound)
    assert (log.choose().recovery.checkpoint_id, log.choose().recovery.steps_removed) == (newest, False)
    assert log.choose().unsound == ()


def test_without_a_checkpoint_it_is_said_that_the_first_steps_are_missing() -> None:
    """Going on from the beginning would do them again."""
    log = Log()
    log.step(1)
    log.checkpoint([1], damaged=True)
    log.step(2)
    assert not log.choose().recovery.steps_removed
    assert log.store.retain(Retention(max_events=1, keep_after=3, expendable=("journal",))).removed

    choice = log.choose()
    assert (choice.recovery.checkpoint_id, choice.recovery.steps_removed) == (None, True)
    assert choice.unsound == ("the first steps are no longer in the log: what they did would be done again",)


def test_a_step_whose_begin_is_no_longer_in_the_log_is_in_no_checkpoint_between_two_steps() -> None:
    """Only an emergency waits for no step: of one, nobody can say any more whether it holds a part of that step."""
    for kind, used in (("periodic", True), ("emergency", False)):
        log = Log()
        log.step(1)
        old = log.checkpoint([1], kind=kind)
        log.step(2)
        log.checkpoint([1, 2], damaged=True)
        committed = [record.position for record in log.store.read(streams=("journal",))][-1]
        assert log.store.retain(Retention(max_events=1, keep_after=committed - 1, expendable=("journal",))).removed

        recovery = log.choose().recovery
        assert recovery.checkpoint_id == (old if used else None)
        assert recovery.steps_removed


def test_one_asked_for_by_id_is_that_one_or_an_error() -> None:
    """Who names one gets no other in its place."""
    log = Log()
    older = log.checkpoint("older")
    log.step(1)
    damaged = log.checkpoint("newer", damaged=True)

    assert log.choose(older).recovery.state == "older"
    with pytest.raises(CheckpointDamaged):
        log.choose(damaged)
    with pytest.raises(CheckpointNotFound):
        log.choose("checkpoint_1_nobody")


def test_one_without_its_bytes_is_damaged() -> None:
    """Bytes that are gone are no state."""
    log = Log()
    gone = log.checkpoint("x")
    log.store.append(Batch(discard=(attachment_key(gone),)))

    assert [damage.checkpoint_id for damage in log.choose().damaged] == [gone]


def test_one_from_inside_a_step_that_was_committed_later_is_passed_over() -> None:
    """Its state may hold a part of the step, and the step would be handed out again."""
    log = Log()
    before = log.checkpoint("before")
    log.say(journal.StepBegun(1, "s", 1))
    inside = log.checkpoint("half", kind="emergency")
    log.say(journal.StepCommitted(1, "s", 1))

    choice = log.choose()

    assert choice.recovery.checkpoint_id == before
    assert choice.recovery.passed_over == (inside,)
    assert choice.damaged == ()
    assert "step 1" in choice.unsound[0]
    assert log.choose(inside).recovery.state == "half"


ENDS: list[tuple[list[object], bool]] = [
    ([], True),
    ([journal.JournalOpened(2), journal.StepInDoubt(1, "s", 1)], True),
    ([journal.StepAbandoned(1, "s", "x")], True),
    ([journal.StepAbandoned(1, "s", "x"), journal.StepBegun(1, "s", 2)], True),
    (
        [journal.StepAbandoned(1, "s", "x"), journal.StepBegun(1, "s", 2), journal.StepCommitted(1, "s", 1)],
        False,
    ),
    (
        [
            journal.JournalOpened(2),
            journal.StepInDoubt(1, "s", 1),
            journal.StepRepeated(1, "s", 2),
            journal.StepBegun(1, "s", 2),
            journal.StepCommitted(1, "s", 1),
        ],
        False,
    ),
]


@pytest.mark.parametrize(("after", "usable"), ENDS)
def test_one_from_inside_a_step_is_good_as_long_as_that_step_is_not_done(after: list[object], *, usable: bool) -> None:
    """A step in doubt or abandoned is begun again, and says so; only a committed one would be handed out twice."""
    log = Log()
    log.say(journal.StepBegun(1, "s", 1))
    inside = log.checkpoint("half", kind="emergency")
    if after:
        log.say(*after)

    choice = log.choose()
    assert (choice.recovery.checkpoint_id == inside) is usable
    assert choice.recovery.half_step == (1 if usable else None)
    assert (f"{inside} was captured inside step 1" in "".join(choice.unsound)) is usable
    assert 1 == log.choose(inside).recovery.half_step


def test_one_between_two_steps_holds_half_of_none() -> None:
    """Neither a periodic one, nor an emergency one that had no step to wait for, though one began right after it."""
    for kind in ("periodic", "emergency"):
        log = Log()
        log.step(1)
        log.checkpoint([1], kind=kind)
        assert (log.choose().recovery.half_step, log.choose().unsound) == (None, ())
        log.say(journal.StepBegun(2, "s", 1))
        log.say(journal.JournalOpened(2), journal.StepInDoubt(2, "s", 1))
        assert (log.choose().recovery.half_step, log.choose().unsound) == (None, ())


# --- with a whole mode --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("sampled")
def test_damage_on_the_disk_is_found_recorded_and_passed_over(tmp_path: Path) -> None:
    """Flipped bytes in the newest checkpoint: an ERROR, an event, and the older one is restored."""

    async def main() -> None:
        mode = LongRunningMode(settings(tmp_path))
        state = {"n": 1}
        mode.capture_with(lambda: state)
        async with mode:
            older = await mode.take_checkpoint()
            async with mode.step("two"):
                state["n"] = 2
            newest = await mode.take_checkpoint()
            mode.capture_with(object)
        connection = sqlite3.connect(mode.settings.log_path)
        changed = connection.execute(
            "UPDATE attachments SET data = CAST(substr(data, 1, 40) || x'00ff00' || substr(data, 44) AS BLOB)"
            " WHERE key = ?",
            (attachment_key(newest),),
        ).rowcount
        connection.commit()
        connection.close()
        assert changed == 1
        async with mode:
            restored: list[Any] = []
            mode.restore_with(restored.append)
            assert await mode.recover_from_checkpoint(newest) is False
            assert await mode.recover_from_checkpoint() is True
            assert restored == [{"n": 1}]
            assert mode.last_recovery is not None
            assert mode.last_recovery.checkpoint_id == older
            assert [step.name for step in mode.last_recovery.steps] == ["two"]
            assert await mode.checkpointer.list_checkpoints() == [older]
            assert [record.event.checkpoint_id for record in records(mode, "checkpointer.damage_found")] == [newest]

    asyncio.run(main())


@pytest.mark.usefixtures("sampled")
@pytest.mark.parametrize("way", ["compare", "marks"])
def test_the_checkpoint_after_a_recovery_holds_what_the_host_has_become(tmp_path: Path, way: str) -> None:
    """Nobody marks what a recovery changes: the host is not the same, and the last checkpoint is of another state."""

    async def main() -> None:
        agent: dict[str, Any] = {"pages": {str(n): {"text": "x" * 3000, "seen": 0} for n in range(4)}, "n": 0}
        mode = LongRunningMode(settings(tmp_path))
        mode.capture_with(lambda: agent, changes=way)
        mode.restore_with(agent.update)
        async with mode:
            first = await mode.take_checkpoint()
            agent["pages"]["2"]["seen"] = 1
            mode.changed("pages", "2", "seen")
            await mode.take_checkpoint()
            assert await mode.recover_from_checkpoint(first)
            assert agent["pages"]["2"]["seen"] == 0
            agent["n"] = 1
            mode.changed("n")
            last = await mode.take_checkpoint()
            assert (await mode.checkpointer.preview(last))["agent_state"] == agent

    asyncio.run(main())


@pytest.mark.usefixtures("sampled")
def test_no_emergency_is_captured_of_a_host_that_is_half_restored(tmp_path: Path) -> None:
    """It waits for no other capture, but for that."""
    mode = LongRunningMode(settings(tmp_path))
    mode.capture_with(dict)
    refused: list[str] = []

    def restore(_: Any) -> None:
        boundary = mode._engine.boundary
        boundary.other_holder_s = 0.0
        with pytest.raises(TimeoutError) as raised:
            boundary.hold(wait_s=0, even_inside=True, only_looks=True).__enter__()
        refused.append(str(raised.value))

    mode.restore_with(restore)
    with mode as blocking:
        blocking.take_checkpoint()
        assert blocking.recover_from_checkpoint()
    assert len(refused) == 1


@pytest.mark.usefixtures("sampled")
@pytest.mark.parametrize("pinned", [True, False])
def test_a_damaged_large_part_is_stored_anew(tmp_path: Path, *, pinned: bool) -> None:
    """It is kept once for all that hold it, and so are those to come: they would be damaged before they are taken."""

    async def main() -> None:
        agent = {"picture": b"p" * 20_000, "n": 0}
        mode = LongRunningMode(settings(tmp_path))
        mode.capture_with(lambda: agent)
        mode.restore_with(lambda _: None)
        async with mode:
            older, _ = await mode.take_checkpoint(), await mode.take_checkpoint()
            if pinned:
                await mode.checkpointer.pin(older, "test")
            connection = sqlite3.connect(mode.settings.log_path)
            rotten = "UPDATE attachments SET data = CAST(x'00' || substr(data, 2) AS BLOB) WHERE key LIKE 'blob/%'"
            assert connection.execute(rotten).rowcount == 1
            connection.commit()
            connection.close()
            # The newest, which the next one is to be made on, holds it too, and nobody has looked at that one.
            assert await mode.recover_from_checkpoint(older) is False
            agent["n"] = 1
            following = await mode.take_checkpoint()
            assert await mode.recover_from_checkpoint(following) is True
            assert (await mode.checkpointer.describe(following)).parent == ""

    asyncio.run(main())


@pytest.mark.usefixtures("sampled")
def test_a_host_that_cannot_take_its_state_up_does_not_begin_anew(tmp_path: Path) -> None:
    """To go on from nothing would do everything again. Nothing is recorded as restored; mended, it is."""

    async def main() -> None:
        async with LongRunningMode(settings(tmp_path)) as mode:
            mode.capture_with(dict)
            await mode.take_checkpoint()

            def refuse(_: Any) -> None:
                raise KeyError("pages")

            mode.restore_with(refuse)
            with pytest.raises(StateNotRestored, match="could not be taken up: KeyError: 'pages'") as raised:
                await mode.recover_from_checkpoint()
            assert raised.value.checkpoint_id in await mode.checkpointer.list_checkpoints()
            assert isinstance(raised.value.__cause__, KeyError)
            assert mode.last_recovery is None
            assert records(mode, "checkpointer.restored") == []
            mode.restore_with(lambda _: None)
            assert await mode.recover_from_checkpoint() is True

    asyncio.run(main())


def broken_cuts(reader: EventReader, kept: Iterable[CheckpointInfo]) -> list[str]:
    """Checkpoints that lack a step committed up to their position, or hold one committed after it.

    Their state is the list of the steps done.
    """
    committed = {record.event.step: record.position for record in reader.read(types=("journal.step_committed",))}
    broken = []
    for info in kept:
        choice = choose(reader, CheckpointerState(kept=tuple(kept)), journal.JournalState(), info.checkpoint_id)
        expected = [step for step, position in committed.items() if position <= info.position]
        if choice.recovery.state != expected:
            broken.append(info.checkpoint_id)
    return broken


async def busy_agent(mode: LongRunningMode, steps: int) -> list[str]:
    """Steps without a pause, while checkpoints are taken all the time; returns those that do not fit the log."""
    done: list[int] = []

    async def capture() -> list[int]:
        await asyncio.sleep(0)
        return done

    mode.capture_with(capture)
    async with mode:
        taking = asyncio.create_task(take_many(mode))
        for _ in range(steps):
            async with mode.step("count") as step:
                await asyncio.sleep(0)
                done.append(step.number)
                await asyncio.sleep(0)
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        mode.capture_with(object)
        reader = mode.reader()
        kept = mode._engine.state("checkpointer").kept
        assert len(kept) > 1
        broken = broken_cuts(reader, kept)
        reader.close()
        return broken


async def take_many(mode: LongRunningMode) -> None:
    """Checkpoints one after the other."""
    while True:
        await mode.take_checkpoint()


@pytest.mark.usefixtures("sampled")
def test_every_checkpoint_holds_the_steps_up_to_its_position_and_no_other(tmp_path: Path) -> None:
    """Captures and steps race, and every pair of state and position is right."""
    mode = LongRunningMode(settings(tmp_path, max_checkpoints=1000))

    assert asyncio.run(busy_agent(mode, 60)) == []


@pytest.mark.usefixtures("sampled")
def test_the_check_sees_a_capture_that_does_not_wait_for_the_boundary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the boundary a step that is done and not yet committed is in the state: the check finds it."""

    def careless(self: Capturing, _: CaptureState, reader: EventReader, before: Node | None, *__: object) -> Captured:
        function = self.check()
        return cut(self._bridge.call(function), reader.head, before)

    monkeypatch.setattr(Capturing, "capture", careless)
    mode = LongRunningMode(settings(tmp_path, max_checkpoints=1000))

    assert asyncio.run(busy_agent(mode, 60)) != []


@pytest.mark.usefixtures("sampled")
def test_a_blocking_host_is_cut_between_two_steps_as_well(tmp_path: Path) -> None:
    """Its thread waits at the boundary while another one captures."""
    mode = LongRunningMode(settings(tmp_path, checkpoint_interval=0.01, max_checkpoints=1000))
    done: list[int] = []
    mode.capture_with(lambda: done)
    with mode:
        for _ in range(60):
            with mode.blocking.step("count") as step:
                done.append(step.number)
        asyncio.run(soon(mode, "checkpointer.taken"))
        mode.capture_with(object)
        reader = mode.reader()
        kept = mode._engine.state("checkpointer").kept
        assert broken_cuts(reader, kept) == []
        reader.close()


@hypothesis.given(st.lists(st.sampled_from(["step", "abandon", "crash", "inside", "between"]), max_size=25))
def test_state_and_steps_after_it_are_always_the_whole_history(actions: list[str]) -> None:
    """Whatever happened, however checkpoints were taken: each committed step exactly once, in order."""
    log = Log()
    done: list[int] = []
    open_step: int | None = None
    for action in actions:
        number = len(done) + 1
        match action:
            case "step" if open_step is None:
                log.step(number)
                done.append(number)
            case "step":
                log.say(journal.StepCommitted(number, "s", number))
                done.append(number)
                open_step = None
            case "inside" if open_step is None:
                log.say(journal.StepBegun(number, "s", 1))
                open_step = number
                log.checkpoint([*done, number], kind="emergency")
            case "inside":
                log.checkpoint([*done, number], kind="emergency")
            case "between" if open_step is None:
                log.checkpoint(list(done))
            case "abandon" if open_step is not None:
                log.say(journal.StepAbandoned(number, "s", "x"))
                open_step = None
            case "crash":
                doubtful = [journal.StepInDoubt(number, "s", 1)] if open_step is not None else []
                log.say(journal.JournalOpened(2), *doubtful)
                open_step = None

    recovery = log.choose().recovery

    taken_up = [*(recovery.state or []), *(step.result for step in recovery.steps)]
    half = taken_up[len(done) :] if taken_up[: len(done)] == done else None
    assert half in ([], [len(done) + 1]), (taken_up, done)


def test_a_capture_on_a_thread_of_its_own_needs_no_loop() -> None:
    """The bridge without a loop calls the host's function beside whoever asks, who can go on where it hangs."""
    from lrm_actors.hosting.boundary import StepBoundary

    capturing = Capturing(StepBoundary(), HostBridge())
    capturing.capture_with(threading.get_ident)
    captured = capturing.capture(CaptureState("c", "manual", "test"), MemoryStore())
    encoded = Encoder().encode(captured.cut, checkpoint_id="c")

    assert decode_checkpoint(encoded.data, encoded.digest, "c") != threading.get_ident()


# --- the host's version of its state ------------------------------------------------------------------------------


@pytest.mark.usefixtures("sampled")
def test_a_state_of_an_older_release_is_made_one_of_this(tmp_path: Path) -> None:
    """By the host's upcasters; the steps since come with it, and the log keeps the version of each checkpoint."""

    async def main() -> None:
        async with LongRunningMode(settings(tmp_path)) as mode:
            mode.capture_with(lambda: {"pages": ["a"]})
            taken = await mode.take_checkpoint()
            mode.capture_with(object)
        restored: list[Any] = []
        newer = LongRunningMode(settings(tmp_path))
        newer.capture_with(lambda: restored[-1], version=3)
        async with newer:
            newer.restore_with(restored.append, upcasters={1: lambda state: {"seen": state["pages"]}})
            with pytest.raises(UpcasterMissing, match="from version 2 to 3") as raised:
                await newer.recover_from_checkpoint()
            assert f"try: {raised.value.hint}" == raised.value.__notes__[-1]
            assert newer.last_recovery is None
            assert [] == restored
            assert [taken] == await newer.checkpointer.list_checkpoints()
            newer.restore_with(
                restored.append,
                upcasters={1: lambda state: {"seen": state["pages"]}, 2: lambda state: {**state, "open": 0}},
            )
            assert await newer.recover_from_checkpoint()
            assert [{"seen": ["a"], "open": 0}] == restored
            recovery = newer.last_recovery
            assert recovery is not None
            assert (1, {"seen": ["a"], "open": 0}) == (recovery.state_version, recovery.agent_state)
            assert recovery.document is not None
            assert set(recovery.document) == {
                "checkpoint_id",
                "timestamp",
                "agent_state",
                "browser_state",
                "recovery_hints",
            }
            newer.capture_with(object)
        assert [] == [record.event for record in records(newer, "checkpointer.damage_found")]

    asyncio.run(main())
