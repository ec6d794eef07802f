"""The checkpointer: on step, in trouble, and what is said when a way of finding changes was wrong."""

from __future__ import annotations

import pytest

from lrm_actors.domain import checkpointer, monitor
from lrm_actors.domain.behavior import StartTimer
from lrm_actors.domain.checkpointer import (
    EMERGENCY,
    JANITOR_TIMER,
    LOOK_AFTER_S,
    MANUAL,
    MISSED_AT_LEAST_S,
    NO_CAPTURE,
    NO_PARENT,
    NOT_TAKEN_UP,
    OVERDUE_S,
    PERIODIC,
    Blob,
    CaptureFailed,
    CaptureState,
    ChangeMissed,
    CheckpointDue,
    CheckpointerConfig,
    CheckpointerState,
    CheckpointFailed,
    CheckpointPinned,
    CheckpointRequested,
    CheckpointTaken,
    CleanUp,
    Configure,
    LookAfter,
    MarkDamaged,
    NoteMissed,
    NoteMode,
    NoteStep,
    PinCheckpoint,
    Prune,
    StoreCheckpoint,
    TakeCheckpoint,
    TroubleNoted,
    would_prune,
)
from lrm_actors.domain.checkpointing.chains import chain_of
from lrm_actors.errors import CommandRefused
from tests.domain.kit import Run


@pytest.fixture
def run() -> Run[CheckpointerState]:
    """A checkpointer that has just come to life."""
    return Run.of(checkpointer.spec())


def stored(
    run: Run[CheckpointerState], kind: str = PERIODIC, *, parent: str = "", missed: tuple[str, ...] = ()
) -> tuple[str, tuple[object, ...]]:
    """One checkpoint from the request to the log; its id, and what is said with it."""
    run.seconds += 1.0
    asked = run.ask(TakeCheckpoint(kind, "test"))
    position = int(run.seconds)
    command = StoreCheckpoint(asked, kind, "test", b"x", "d", 5, position, parent=parent, way="marks", missed=missed)
    return asked, run.tell(command)


def fails(run: Run[CheckpointerState], error: str) -> tuple[object, ...]:
    """One that fails."""
    run.seconds += 1.0
    return run.tell(CaptureFailed(run.ask(TakeCheckpoint(PERIODIC, "test")), error, "why"))


# On step


def test_after_every_so_many_steps_one_is_asked_for(run: Run[CheckpointerState]) -> None:
    """By the number of the step, so that no restart puts it off; the reason names it; not in minimal mode."""
    assert () == run.tell(NoteStep(10))
    run.tell(Configure(CheckpointerConfig(every_steps=5)))
    assert () == run.tell(NoteStep(9))
    (asked,) = run.tell(NoteStep(10))
    assert isinstance(asked, CheckpointRequested)
    assert (PERIODIC, "step 10") == (asked.kind, asked.reason)
    assert () == run.tell(NoteStep(15))  # the one under way serves it
    run.tell(CaptureFailed(asked.checkpoint_id, "OSError", "test"))
    run.tell(NoteMode("minimal"))
    assert () == run.tell(NoteStep(20))


# In trouble


def test_three_failures_in_a_row_are_told_and_so_is_their_end(run: Run[CheckpointerState]) -> None:
    """Once, however many follow; the next checkpoint that is stored ends it."""
    assert [1, 1, 2, 1] == [len(fails(run, "OSError")) for _ in range(4)]
    assert "3 checkpoints in a row failed: OSError: why" == run.state.trouble
    _, facts = stored(run)
    assert [CheckpointTaken, TroubleNoted] == [type(fact) for fact in facts]
    assert "" == run.state.trouble
    assert [CheckpointTaken] == [type(fact) for fact in stored(run)[1]]


def test_a_failure_says_how_many_there_were_in_a_row(run: Run[CheckpointerState]) -> None:
    """Nobody else can tell: those that are taken are no failures, and may be an hour apart."""
    noted = [fails(run, error)[0] for error in ("OSError", NOT_TAKEN_UP, "OSError")]
    stored(run)
    noted.append(fails(run, "OSError")[0])
    assert [1, 1, 2, 1] == [one.in_a_row for one in noted if isinstance(one, CheckpointFailed)]


def test_a_host_that_gives_no_state_is_in_no_trouble(run: Run[CheckpointerState]) -> None:
    """However often it is asked; and what was wrong before is over then."""
    for _ in range(5):
        assert 1 == len(fails(run, NO_CAPTURE))
    for _ in range(3):
        fails(run, "OSError")
    assert run.state.trouble
    assert TroubleNoted("") in fails(run, NO_CAPTURE)


def missed(run: Run[CheckpointerState]) -> bool:
    """Whether the janitor finds checkpoints missed. It comes again in any case."""
    run.tell(LookAfter())
    timers = run.effects(StartTimer)
    assert (JANITOR_TIMER, LOOK_AFTER_S) in [(timer.key, timer.delay_s) for timer in timers]
    return NoteMissed() in [timer.command for timer in timers]


def test_checkpoints_that_are_asked_for_and_do_not_come_are_missed(run: Run[CheckpointerState]) -> None:
    """After two and a half intervals; not while nobody asks, nor where nothing can be captured, nor in minimal mode."""
    run.seconds = 10_000.0
    assert not missed(run)
    fails(run, NO_CAPTURE)
    run.seconds += 10_000.0
    assert not missed(run)
    run.tell(CheckpointDue())
    run.seconds += 2.4 * 300.0
    assert not missed(run)
    run.seconds += 0.1 * 300.0
    assert missed(run)
    run.recover()  # and if the process is killed again and again, they are missed all the same
    assert missed(run)
    run.tell(NoteMode("minimal"))
    assert not missed(run)
    run.tell(NoteMode("normal"))
    (noted,) = run.tell(NoteMissed())
    assert TroubleNoted("no checkpoint was stored for 750 s although they are asked for") == noted
    assert not missed(run)
    assert () == run.tell(NoteMissed())
    assert TroubleNoted("") in stored(run)[1]
    run.seconds += 10_000.0
    assert not missed(run)  # nobody has asked since


def test_a_host_that_goes_on_without_what_was_left_to_it_misses_its_checkpoints(run: Run[CheckpointerState]) -> None:
    """That is no failure, which would be told at once: it may be about to recover. For long, it is an agent unsaved."""
    for _ in range(10):
        assert 1 == len(fails(run, NOT_TAKEN_UP))
        run.seconds += 75.0
    assert missed(run)


def test_a_short_interval_makes_nobody_impatient(run: Run[CheckpointerState]) -> None:
    """A capture may wait for a step, however often one is asked for."""
    run.tell(Configure(CheckpointerConfig(interval_s=1.0)))
    run.tell(CheckpointDue())
    run.seconds += MISSED_AT_LEAST_S - 1.0
    assert not missed(run)
    run.seconds += 1.0
    assert missed(run)


def test_the_health_is_a_warning_while_checkpoints_are_in_trouble() -> None:
    """With the reason as its cause; and gets well by itself."""
    run = Run.of(monitor.spec())
    noted, changed = run.tell(monitor.NoteCheckpoints("3 checkpoints in a row failed"))
    assert isinstance(noted, monitor.CheckpointsNoted)
    assert isinstance(changed, monitor.HealthChanged)
    assert ("warning", "3 checkpoints in a row failed") == (changed.status, changed.cause)
    assert () == run.tell(monitor.NoteCheckpoints("3 checkpoints in a row failed"))
    run.seconds += 600.0
    _, changed = run.tell(monitor.NoteCheckpoints(""))
    assert isinstance(changed, monitor.HealthChanged)
    assert ("healthy", "checkpoints are in order again") == (changed.status, changed.cause)


# A way of finding changes that was wrong


def test_a_missed_change_is_told_and_the_way_is_not_trusted_any_more(run: Run[CheckpointerState]) -> None:
    """The checkpoint itself is right and kept. Also the next process captures carefully, until the settings change."""
    _, facts = stored(run, missed=("state['a']",) * 20)
    change = facts[1]
    assert isinstance(change, ChangeMissed)
    assert (10, "marks") == (len(change.paths), change.way)
    assert "first at state['a']" in run.state.trouble
    run.recover()
    run.tell(TakeCheckpoint(EMERGENCY, "test"))
    assert [True] == [effect.careful for effect in run.effects(CaptureState)]
    stored(run, MANUAL, parent="checkpoint_0000000000001_00000000")
    assert [True] == [effect.careful for effect in run.effects(CaptureState)]
    assert TroubleNoted("") in stored(run, MANUAL)[1]
    run.tell(Configure(CheckpointerConfig(max_checkpoints=7)))
    run.tell(TakeCheckpoint(MANUAL, "test"))
    assert [False] == [effect.careful for effect in run.effects(CaptureState)]


# What it builds on


def test_what_builds_on_nothing_is_captured_anew_and_whole(run: Run[CheckpointerState]) -> None:
    """Nothing is stored, and the same checkpoint is asked for again; where nobody waits any more, it has failed."""
    asked, facts = stored(run, parent="checkpoint_0000000000001_00000000")
    assert () == facts
    (again,) = run.effects(CaptureState)
    assert (asked, True) == (again.checkpoint_id, again.whole)
    run.seconds += OVERDUE_S
    late = StoreCheckpoint(asked, PERIODIC, "test", b"x", "d", 5, 7, parent="checkpoint_0000000000001_00000000")
    (failed,) = run.tell(late)
    assert isinstance(failed, CheckpointFailed)
    assert NO_PARENT == failed.error


@pytest.mark.parametrize("digest", ["", "d", "another"])
def test_what_builds_on_another_state_of_the_same_name_is_captured_anew(
    run: Run[CheckpointerState], digest: str
) -> None:
    """A parent that was captured anew meanwhile is another state."""
    parent, _ = stored(run)
    asked = run.ask(TakeCheckpoint(PERIODIC, "test"))
    facts = run.tell(StoreCheckpoint(asked, PERIODIC, "test", b"x", "d", 5, 7, parent=parent, parent_digest=digest))
    assert (digest != "another") == bool(facts)


def test_nothing_builds_on_what_is_damaged(run: Run[CheckpointerState]) -> None:
    """Neither directly nor through others."""
    base, _ = stored(run)
    delta, _ = stored(run, parent=base)
    run.tell(MarkDamaged(base, "test"))
    assert () == stored(run, parent=delta)[1]


def test_once_damage_was_found_the_next_one_is_whole(run: Run[CheckpointerState]) -> None:
    """What is wrong may be a part of the newest, too, which nobody has read. With all its large parts."""
    base = run.ask(TakeCheckpoint(MANUAL, "test"))
    blob = Blob("p", b"picture")
    run.tell(StoreCheckpoint(base, MANUAL, "test", b"x", "d", 5, 7, blobs=(blob,)))
    (read, _), (newest, _) = stored(run, parent=base), stored(run, parent=base)
    run.tell(MarkDamaged(read, "its picture"))
    asked, facts = stored(run, parent=newest)
    assert () == facts
    assert [True] == [effect.whole for effect in run.effects(CaptureState)]
    whole = StoreCheckpoint(asked, PERIODIC, "test", b"x", "d", 5, 7, blobs=(blob,))
    assert run.tell(whole)
    assert ["blob/p"] == [one.key for one in run.last.attachments if one.key.startswith("blob/")]
    assert stored(run, parent=asked)[1]


# By hand


def test_a_pinned_one_outlives_every_rule(run: Run[CheckpointerState]) -> None:
    """Clean-ups, limits, age; unpinned, it goes at once if it is beyond them."""
    pinned, _ = stored(run)
    assert [CheckpointPinned(pinned, pinned=True, reason="for the audit")] == list(
        run.tell(PinCheckpoint(pinned, reason="for the audit"))
    )
    assert () == run.tell(PinCheckpoint(pinned))
    for _ in range(5):
        stored(run)
    run.tell(Prune(max_checkpoints=1, max_age_s=0.001))
    run.tell(CleanUp(1))
    assert pinned in [info.checkpoint_id for info in run.state.kept]
    run.tell(Configure(CheckpointerConfig(max_checkpoints=1)))
    run.tell(PinCheckpoint(pinned, pinned=False))
    assert pinned not in [info.checkpoint_id for info in run.state.kept]
    with pytest.raises(CommandRefused, match="no checkpoint"):
        run.tell(PinCheckpoint(pinned))


def test_only_so_many_are_pinned(run: Run[CheckpointerState], monkeypatch: pytest.MonkeyPatch) -> None:
    """They stay for ever, so they are bounded."""
    monkeypatch.setattr("lrm_actors.domain.checkpointing.keeping.MAX_PINNED", 2)
    ids = [stored(run)[0] for _ in range(3)]
    for checkpoint_id in ids[:2]:
        run.tell(PinCheckpoint(checkpoint_id))
    with pytest.raises(CommandRefused, match="2 checkpoints are pinned"):
        run.tell(PinCheckpoint(ids[2]))


def test_a_dry_run_says_what_pruning_removes(run: Run[CheckpointerState]) -> None:
    """By the same rules, and nothing changes."""
    ids = [stored(run)[0] for _ in range(5)]
    prune = Prune(max_checkpoints=2)
    now_s = 1_700_000_000.0 + run.seconds
    assert tuple(ids[:3]) == would_prune(run.state, prune.config(run.state.config), now_s)
    assert 5 == len(run.state.kept)
    assert ids[:3] == run.ask(prune)
    assert () == would_prune(run.state, run.state.config, now_s)


def test_a_nearly_full_disk_costs_the_older_half(run: Run[CheckpointerState]) -> None:
    """And a full one all but three, and then fewer are kept, which would fill it again."""
    for _ in range(12):
        stored(run)
    run.tell(CleanUp(gently=True))
    assert (6, None) == (len(run.state.kept), run.state.fits)
    run.tell(CleanUp())
    assert (3, 3) == (len(run.state.kept), run.state.fits)


@pytest.mark.parametrize(("every_s", "checkpoints", "bases"), [(300.0, 130, 6), (6.0, 130, 5), (3600.0, 30, 2)])
def test_what_is_kept_builds_on_one_base_for_no_longer_than_it_must(
    run: Run[CheckpointerState], every_s: float, checkpoints: int, bases: int
) -> None:
    """A damaged base takes along all that build on it: there is always another one, however fast they come."""
    newest, whole = "", 0
    for number in range(checkpoints):
        run.seconds += every_s
        asked = run.ask(TakeCheckpoint(PERIODIC, "test"))
        (effect,) = run.effects(CaptureState)
        newest = "" if effect.whole else newest
        whole += not newest
        command = StoreCheckpoint(asked, PERIODIC, "test", b"x", "d", 5, int(run.seconds), parent=newest)
        newest = asked
        run.tell(command)
        if number % 7 == 0 and len(run.state.kept) == 50:
            assert len({chain_of(run.state, info.checkpoint_id)[0].checkpoint_id for info in run.state.kept}) > 1
    assert bases == whole


def test_an_emergency_has_no_time_for_another_base(run: Run[CheckpointerState]) -> None:
    """It is stored as a change, whatever builds on its base."""
    newest = ""
    for _ in range(50):
        newest, _ = stored(run, parent=newest)
    run.seconds += 10_000.0
    run.ask(TakeCheckpoint(EMERGENCY, "test"))
    assert [False] == [effect.whole for effect in run.effects(CaptureState)]
    run.ask(TakeCheckpoint(MANUAL, "test"))
    assert [True] == [effect.whole for effect in run.effects(CaptureState)]
