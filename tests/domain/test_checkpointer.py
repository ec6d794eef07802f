"""The checkpointer: when the state is captured, and what becomes of a capture."""

from __future__ import annotations

import re
from collections.abc import Callable

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from eventstore.codec import decode_events, decode_state, encode_event, encode_state
from eventstore.memory import MemoryStore
from eventstore.records import Attachment, Batch, NewEvent, Snapshot, StreamWrite
from lrm_actors.domain import checkpointer
from lrm_actors.domain.behavior import STORAGE, CancelTimer, Command, Context, Decision, StartTimer
from lrm_actors.domain.checkpointer import (
    EMERGENCY,
    FULL,
    INTERRUPTED,
    LOOK_AFTER_S,
    MANUAL,
    MAX_CAPTURES,
    OVERDUE,
    OVERDUE_S,
    PERIODIC,
    CaptureFailed,
    CaptureState,
    CheckpointDue,
    CheckpointerConfig,
    CheckpointerState,
    CheckpointFailed,
    CheckpointRequested,
    CheckpointRestored,
    CheckpointsPruned,
    CheckpointTaken,
    CleanUp,
    Configure,
    DamageFound,
    GiveUpOverdue,
    IntervalOver,
    LookAfter,
    MarkDamaged,
    NoteMode,
    ReportRestored,
    StoreCheckpoint,
    TakeCheckpoint,
    TroubleNoted,
    attachment_key,
    restore_order,
)
from lrm_actors.errors import CommandRefused
from lrm_actors.runtime.recovery import recover_state
from tests.domain.kit import START, Run, at


@pytest.fixture
def run() -> Run[CheckpointerState]:
    """A checkpointer that has just come to life."""
    return Run.of(checkpointer.spec())


def stored(checkpoint_id: str, kind: str = PERIODIC, position: int = 7) -> StoreCheckpoint:
    """What comes back when the host has given its state."""
    return StoreCheckpoint(checkpoint_id, kind, "test", b"bytes", "digest", 5, position)


def take(run: Run[CheckpointerState], kind: str = PERIODIC, position: int = 7) -> str:
    """One checkpoint from the request to the log; its id."""
    run.seconds += 1.0
    checkpoint_id = run.ask(TakeCheckpoint(kind, "test"))
    run.tell(stored(checkpoint_id, kind, position))
    assert isinstance(checkpoint_id, str)
    return checkpoint_id


def kept(run: Run[CheckpointerState]) -> list[str]:
    """Ids of what is kept, oldest first."""
    return [info.checkpoint_id for info in run.state.kept]


# One checkpoint


def test_an_intent_then_the_capture_then_the_fact(run: Run[CheckpointerState]) -> None:
    """The request is in the log before the host is asked; the bytes are committed with the event that names them."""
    (requested,) = run.tell(TakeCheckpoint(EMERGENCY, "out of memory", error="MemoryError", hints=("close tabs",)))
    assert isinstance(requested, CheckpointRequested)
    checkpoint_id = run.last.reply
    assert ("Created in an emergency: out of memory", "Error: MemoryError", "close tabs") == requested.hints
    assert [CaptureState(checkpoint_id, EMERGENCY, "out of memory", "MemoryError", requested.hints)] == list(
        run.last.effects
    )
    assert [checkpoint_id] == [capture.checkpoint_id for capture in run.state.under_way]
    (taken,) = run.tell(stored(checkpoint_id, EMERGENCY, position=42))
    assert isinstance(taken, CheckpointTaken)
    assert (42, START.wall_s) == (taken.checkpoint.position, taken.checkpoint.taken_at_s)
    assert (Attachment(attachment_key(checkpoint_id), b"bytes"),) == run.last.attachments
    assert ((), 1) == (run.state.under_way, run.state.taken)


def test_ids_name_their_time_and_sort_by_it(run: Run[CheckpointerState]) -> None:
    """Also within one millisecond, and also when the wall clock goes back an hour."""
    ids = []
    for seconds in (0.0, 0.0, 0.0001, 5.0, -3600.0, 5.001):
        run.seconds = seconds
        ids.append(run.ask(TakeCheckpoint(EMERGENCY, "test")))
        run.tell(stored(ids[-1], EMERGENCY))
    assert sorted(ids) == ids
    assert 6 == len(set(ids))
    assert all(re.fullmatch(r"checkpoint_\d{13}_[0-9a-f]{8}", checkpoint_id) for checkpoint_id in ids)
    assert ids[0].startswith(f"checkpoint_{START.wall_s * 1000:.0f}_")


def test_a_failed_capture_is_counted_until_one_succeeds(run: Run[CheckpointerState]) -> None:
    """Failures in a row, of captures that were asked for."""
    for in_a_row in (1, 2):
        checkpoint_id = run.ask(TakeCheckpoint(PERIODIC, "test"))
        assert (CheckpointFailed(checkpoint_id, "OSError", "no space", in_a_row),) == run.tell(
            CaptureFailed(checkpoint_id, "OSError", "no space")
        )
        assert () == run.tell(CaptureFailed(checkpoint_id, "OSError", "again"))
    assert 2 == run.state.failures
    take(run)
    assert 0 == run.state.failures


def test_stored_twice_is_kept_once(run: Run[CheckpointerState]) -> None:
    """The same capture coming back again changes nothing."""
    checkpoint_id = take(run)
    assert () == run.tell(stored(checkpoint_id))
    assert checkpoint_id == run.last.reply
    assert [checkpoint_id] == kept(run)


def test_an_unknown_kind_is_refused(run: Run[CheckpointerState]) -> None:
    """Nothing is captured under a name that retention does not know."""
    with pytest.raises(CommandRefused, match="hourly"):
        run.tell(TakeCheckpoint("hourly", "test"))


# Several at a time


def test_a_periodic_one_waits_for_the_one_under_way(run: Run[CheckpointerState]) -> None:
    """Its request is answered with the id of the capture that serves it as well."""
    first = run.ask(TakeCheckpoint(MANUAL, "by hand"))
    assert () == run.tell(CheckpointDue())
    assert first == run.last.reply == run.state.pending


def test_an_emergency_waits_for_nobody(run: Run[CheckpointerState]) -> None:
    """Neither for a periodic one nor for many by hand; two emergencies at once are one."""
    for _ in range(MAX_CAPTURES):
        run.ask(TakeCheckpoint(MANUAL, "by hand"))
    (requested,) = run.tell(TakeCheckpoint(EMERGENCY, "now"))
    assert isinstance(requested, CheckpointRequested)
    assert () == run.tell(TakeCheckpoint(EMERGENCY, "now again"))
    assert requested.checkpoint_id == run.last.reply


def test_by_hand_means_the_state_of_now(run: Run[CheckpointerState]) -> None:
    """Each request by hand gets a capture of its own, up to the number that may be under way."""
    ids = [run.ask(TakeCheckpoint(MANUAL, "by hand")) for _ in range(MAX_CAPTURES + 2)]
    assert MAX_CAPTURES == len(set(ids))
    assert {ids[MAX_CAPTURES - 1]} == set(ids[MAX_CAPTURES:])


def test_by_hand_is_refused_while_others_take_all_places(run: Run[CheckpointerState]) -> None:
    """There is no capture of its kind to wait for, so it says that there are too many."""
    state = CheckpointerState(
        under_way=tuple(checkpointer.Capture(f"checkpoint_{n}_x", EMERGENCY, START) for n in range(MAX_CAPTURES))
    )
    with pytest.raises(CommandRefused, match="under way"):
        checkpointer.decide(state, TakeCheckpoint(MANUAL, "by hand"), at(0.0))


def test_a_capture_that_never_comes_back_holds_up_nobody(run: Run[CheckpointerState]) -> None:
    """After a while it is given up and the next one asked for; should it come late, it is kept all the same."""
    lost = run.ask(CheckpointDue())
    run.seconds = OVERDUE_S
    assert () == run.tell(IntervalOver())
    assert [CheckpointDue(), GiveUpOverdue()] == [timer.command for timer in run.effects(StartTimer)][1:]
    assert 1 == len(run.tell(CheckpointDue()))
    (failed,) = run.tell(GiveUpOverdue())
    assert isinstance(failed, CheckpointFailed)
    assert (lost, OVERDUE) == (failed.checkpoint_id, failed.error)
    assert () == run.tell(GiveUpOverdue())
    run.tell(stored(lost))
    assert [lost] == kept(run)


# The rhythm


def timer(run: Run[CheckpointerState]) -> StartTimer:
    """The interval's timer, which the last decision started."""
    (started,) = (effect for effect in run.effects(StartTimer) if effect.key == "interval")
    assert isinstance(started, StartTimer)
    return started


def test_a_tick_stores_nothing_and_starts_itself_again(run: Run[CheckpointerState]) -> None:
    """So that no checkpoint stands in the log as caused by the one before."""
    assert (300.0, IntervalOver()) == (timer(run).delay_s, timer(run).command)
    assert () == run.tell(IntervalOver())
    assert 300.0 == timer(run).delay_s
    assert CheckpointDue() in [started.command for started in run.effects(StartTimer)]


@pytest.mark.parametrize(("mode", "delay_s"), [("degraded", 450.0), ("recovery", 150.0)])
def test_the_mode_sets_the_interval_at_once(run: Run[CheckpointerState], mode: str, delay_s: float) -> None:
    """What is left of it is counted from the last periodic checkpoint, so that changing modes do not put it off."""
    take(run)
    run.seconds += 100.0
    run.tell(NoteMode(mode))
    assert delay_s - 100.0 == timer(run).delay_s
    assert () == run.tell(NoteMode(mode))


def test_minimal_mode_has_no_periodic_ones(run: Run[CheckpointerState]) -> None:
    """A tick that was already on its way does nothing either; emergencies and requests by hand go on."""
    run.tell(NoteMode("minimal"))
    assert [CancelTimer("interval")] == list(run.last.effects)
    assert () == run.tell(IntervalOver()) + run.tell(CheckpointDue())
    assert () == run.last.effects
    assert [take(run, EMERGENCY), take(run, MANUAL)] == kept(run)
    run.tell(NoteMode("normal"))
    assert 300.0 == timer(run).delay_s


def test_a_changed_interval_holds_at_once(run: Run[CheckpointerState]) -> None:
    """A shorter one that is already over makes the next checkpoint due now."""
    take(run)
    run.seconds += 100.0
    run.tell(Configure(CheckpointerConfig(interval_s=40.0)))
    assert 0.0 == timer(run).delay_s
    run.tell(Configure(CheckpointerConfig(interval_s=400.0)))
    assert 300.0 == timer(run).delay_s
    assert () == run.tell(Configure(CheckpointerConfig(interval_s=400.0)))


def test_the_rhythm_outlives_the_process(run: Run[CheckpointerState]) -> None:
    """An agent killed more often than the interval still gets its checkpoints, after a moment to restore first."""
    take(run)
    run.seconds += 119.0
    take(run, MANUAL)  # which is not of the rhythm
    run.recover()
    assert 180.0 == timer(run).delay_s
    run.seconds += 1000.0
    run.recover()
    assert 10.0 == timer(run).delay_s


def test_what_a_dead_process_had_under_way_is_given_up(run: Run[CheckpointerState]) -> None:
    """It is on record as interrupted, and does not count as a failure of checkpointing."""
    first, second = run.ask(TakeCheckpoint(PERIODIC, "test")), run.ask(TakeCheckpoint(EMERGENCY, "test"))
    facts = run.recover()
    assert [(first, INTERRUPTED), (second, INTERRUPTED)] == [
        (fact.checkpoint_id, fact.error) for fact in facts if isinstance(fact, CheckpointFailed)
    ]
    assert ((), 0, None) == (run.state.under_way, run.state.failures, run.state.pending)
    assert 300.0 == timer(run).delay_s


# Damage and restoring


def test_a_damaged_one_is_not_tried_again(run: Run[CheckpointerState]) -> None:
    """It is on record once, and no longer among those to restore."""
    first, second = take(run), take(run)
    told = TroubleNoted(f"{second} is damaged: checksum")
    assert (DamageFound(second, "checksum"), told) == run.tell(MarkDamaged(second, "checksum"))
    assert () == run.tell(MarkDamaged(second, "checksum"))
    assert () == run.tell(MarkDamaged("checkpoint_1_none", "never was"))
    assert (first,) == restore_order(run.state)


def test_what_was_restored_is_on_record(run: Run[CheckpointerState]) -> None:
    """With the newer ones that had to be passed over."""
    first, second = take(run), take(run)
    assert (CheckpointRestored(first, (second,)),) == run.tell(ReportRestored(first, (second,)))
    assert first == run.state.restored


def test_an_emergency_is_tried_before_a_periodic_one_of_the_same_position(run: Run[CheckpointerState]) -> None:
    """The newest position first; at the same one, whichever was taken first, the emergency."""
    ids = [take(run, EMERGENCY, 5), take(run, PERIODIC, 5), take(run, PERIODIC, 9), take(run, EMERGENCY, 3)]
    assert (ids[2], ids[0], ids[1], ids[3]) == restore_order(run.state)


# Cleaning up


def test_cleaning_up_keeps_what_would_be_restored_first(run: Run[CheckpointerState]) -> None:
    """On a full disk only the best few stay, of whatever kind; the others' bytes go in the same transaction."""
    ids = [take(run, EMERGENCY if n % 3 == 0 else PERIODIC, n) for n in range(6)]
    (pruned,) = run.tell(CleanUp(keep=2))
    assert CheckpointsPruned(tuple(ids[:4]), "cleaned up to free space") == pruned
    assert tuple(attachment_key(gone) for gone in ids[:4]) == run.last.discard
    assert ids[:4] == run.last.reply
    assert [] == run.ask(CleanUp(keep=2))
    run.tell(CleanUp(keep=0))
    assert [ids[5]] == kept(run)


def test_a_checkpoint_for_which_there_is_no_room_has_failed(run: Run[CheckpointerState]) -> None:
    """In place of what does not fit its failure is stored, which does; and captures under way are not given up."""
    run.tell(TakeCheckpoint(PERIODIC, "test"))
    (capture,) = run.state.under_way
    again = checkpointer.recover(run.state, structs.replace(at(run.seconds), why=STORAGE))
    assert () == again.events
    instead = stored(capture.checkpoint_id).where_nothing_fits("the disk is full")
    assert (CheckpointFailed(capture.checkpoint_id, FULL, "the disk is full"),) == run.tell(instead)
    assert CheckpointDue() == CheckpointDue().where_nothing_fits("the disk is full")


def test_after_a_full_disk_fewer_are_kept(run: Run[CheckpointerState]) -> None:
    """Half of what there was when it ran full, three at least; until the settings change."""
    for _ in range(10):
        take(run)
    run.tell(CleanUp())
    assert (3, 5) == (len(kept(run)), run.state.fits)
    for _ in range(10):
        take(run)
    assert 5 == len(kept(run))
    assert "more would fill the disk again" in str(run.log[-1])
    run.tell(CleanUp())
    assert (3, 3) == (len(kept(run)), run.state.fits)
    run.tell(Configure(CheckpointerConfig(max_checkpoints=7)))
    for _ in range(10):
        take(run)
    assert 7 == len(kept(run))


def test_an_emergency_for_which_there_was_no_room_is_taken_again_once_there_is(run: Run[CheckpointerState]) -> None:
    """With its own reason, once, and only an emergency: a periodic one comes when it is due."""
    for _ in range(5):
        take(run)
    for kind in (PERIODIC, EMERGENCY):
        checkpoint_id = run.ask(TakeCheckpoint(kind, f"{kind} reason"))
        run.tell(stored(checkpoint_id, kind).where_nothing_fits("the disk is full"))
    pruned, again = run.tell(CleanUp())
    assert isinstance(pruned, CheckpointsPruned)
    assert isinstance(again, CheckpointRequested)
    assert (EMERGENCY, "emergency reason") == (again.kind, again.reason)
    assert [CaptureState, StartTimer] == [type(effect) for effect in run.last.effects]
    run.tell(stored(again.checkpoint_id, EMERGENCY))
    take(run)
    assert [CheckpointsPruned] == [type(fact) for fact in run.tell(CleanUp())]


# Whatever happens

reasons = st.sampled_from(["interval", "test"])
kinds = st.sampled_from([PERIODIC, EMERGENCY, MANUAL])
configs = st.builds(CheckpointerConfig, st.floats(1.0, 600.0), st.integers(1, 6), st.integers(1, 3))
moves = st.one_of(
    st.builds(TakeCheckpoint, kinds, reasons),
    st.sampled_from(["store", "fail", "damage", "late", "recover"]),
    st.builds(CheckpointDue),
    st.builds(IntervalOver),
    st.builds(GiveUpOverdue),
    st.builds(NoteMode, st.sampled_from(["normal", "degraded", "minimal", "recovery"])),
    st.builds(CleanUp, st.integers(0, 4)),
    st.builds(Configure, configs),
)


def command_of(run: Run[CheckpointerState], move: Command | str, choice: int) -> Command | None:
    """A move becomes a command about something that is really under way or kept."""
    under_way, ids = run.state.under_way, kept(run)
    match move:
        case "store" | "fail" if under_way:
            capture = under_way[choice % len(under_way)]
            if move == "fail":
                return CaptureFailed(capture.checkpoint_id, "Error", "test")
            return stored(capture.checkpoint_id, capture.kind, position=choice)
        case "late":
            return stored(f"checkpoint_{choice:013d}_00000000", MANUAL, position=choice)
        case "damage" if ids:
            return MarkDamaged(ids[choice % len(ids)], "test")
        case Command():
            return move
    return None


@given(st.lists(st.tuples(st.floats(-100.0, 400.0), moves, st.integers(0, 50)), max_size=40))
def test_state_is_the_fold_of_what_is_stored(steps: list[tuple[float, Command | str, int]]) -> None:
    """After every event, the state is the fold of the events as they come back from storage.

    And the bytes kept are those of the checkpoints kept, and of what the next one may build on, no more and no fewer.
    """
    run = Run.of(checkpointer.spec())
    folded = run.spec.initial
    files: set[str] = set()
    for seconds, move, choice in steps:
        run.seconds += seconds
        command = command_of(run, move, choice)
        try:
            facts = run.recover() if move == "recover" else () if command is None else run.tell(command)
        except CommandRefused:
            continue
        for fact in facts:
            kind, data = encode_event(fact)
            for back in decode_events(1, kind.name, kind.version, data):
                folded = checkpointer.evolve(folded, back)
        assert folded == run.state
        assert folded == decode_state(encode_state(folded), CheckpointerState)
        if facts:
            assert set(run.last.discard) <= files
            files = (files - set(run.last.discard)) | {attachment.key for attachment in run.last.attachments}
        there = (*kept(run), *(row.checkpoint_id for row in run.state.support))
        assert files == {attachment_key(checkpoint_id) for checkpoint_id in there}
        assert {row.checkpoint_id for row in run.state.support} <= {run.state.tip}
        assert kept(run) == sorted(kept(run))
        assert len(run.state.under_way) <= checkpointer.MAX_REMEMBERED


def loses_the_pending_one(recover: Callable[[CheckpointerState, Context], Decision] | None) -> bool:
    """The checker: whether a capture under way at the end of a process is still under way in the next."""
    spec = attrs.evolve(checkpointer.spec(), recover=recover)
    run = Run.of(spec)
    run.tell(TakeCheckpoint(PERIODIC, "test"))
    run.recover()
    return bool(run.state.under_way)


def test_the_checker_sees_an_intent_left_open() -> None:
    """The planted bug: recovery does not look at what was under way."""
    assert not loses_the_pending_one(checkpointer.recover)
    assert loses_the_pending_one(None)


def test_commands_of_others_are_refused() -> None:
    """A command that is none of the checkpointer's is refused, and nothing is restarted for it."""
    with pytest.raises(CommandRefused):
        checkpointer.decide(CheckpointerState(), Command(), at(0.0))
    with pytest.raises(CommandRefused, match="turbo"):
        checkpointer.decide(CheckpointerState(), NoteMode("turbo"), at(0.0))


@pytest.mark.parametrize(("interval_s", "wait_s"), [(4.0, 4.0), (300.0, 10.0)])
def test_a_new_process_has_a_moment_or_an_interval_if_that_is_less(
    run: Run[CheckpointerState], interval_s: float, wait_s: float
) -> None:
    """Before its first periodic checkpoint, however long ago the last one was."""
    run.tell(Configure(CheckpointerConfig(interval_s=interval_s)))
    run.tell(CheckpointDue())
    run.seconds += 10_000.0
    recovered = checkpointer.recover(run.state, at(run.seconds))
    janitor = StartTimer("janitor", LOOK_AFTER_S, LookAfter())
    assert [StartTimer("interval", wait_s, IntervalOver()), janitor] == list(recovered.effects)


def test_a_new_process_in_minimal_mode_has_no_timer(run: Run[CheckpointerState]) -> None:
    """There are no periodic checkpoints to wait for. What is kept is looked after all the same."""
    run.tell(NoteMode("minimal"))
    janitor = StartTimer("janitor", LOOK_AFTER_S, LookAfter())
    assert [CancelTimer("interval"), janitor] == list(checkpointer.recover(run.state, at(run.seconds)).effects)


def test_a_snapshot_of_an_earlier_release_is_not_believed() -> None:
    """It does not know that the disk was full once, which the events tell: what is recovered is their fold."""
    store, spec = MemoryStore(), checkpointer.spec()
    epoch = store.acquire(spec.name).epoch
    pruned = CheckpointsPruned(("1",), checkpointer.CLEANED_UP)
    earlier = Snapshot(spec.name, 1, "checkpointer/1", encode_state(CheckpointerState()))
    store.append(Batch((StreamWrite(spec.name, (NewEvent(pruned),), 0, epoch),), snapshots=(earlier,)))
    assert (checkpointer.evolve(CheckpointerState(), pruned), 1) == recover_state(store, spec)
