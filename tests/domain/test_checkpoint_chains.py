"""Retention under chains, whatever is stored, pinned, pruned, rebased and cleaned up; and the bugs this catches."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrm_actors.domain import checkpointer
from lrm_actors.domain.behavior import StartTimer
from lrm_actors.domain.checkpointing import folding, keeping, rebasing, requesting, tending
from lrm_actors.domain.checkpointing.chains import attachment_key, needed
from tests.domain.checkpointed_world import MOVES, Broken, CheckpointedWorld, Move
from tests.domain.kit import Run, at

EXAMPLES, RELEASE_EXAMPLES = 30, 2_500
moves = st.lists(st.tuples(st.sampled_from(MOVES), st.integers(0, 30)), min_size=50, max_size=150)


def test_whatever_is_kept_restores_and_nothing_else_is_there(release: bool) -> None:
    """Every kept one has its chain and its blobs, nothing else stays, and what is best, or pinned, is never lost."""
    total: Counter[str] = Counter()
    histories = []

    @settings(max_examples=RELEASE_EXAMPLES if release else EXAMPLES)
    @given(moves)
    def any_history(history: list[Move]) -> None:
        world = CheckpointedWorld()
        world.play(history)
        total.update(world.counts)
        histories.append(len(history))

    any_history()
    assert min(total["stored"], total["pruned"]) > 0
    print(f"{len(histories)} histories, {sum(histories)} moves: {dict(total)}")


def drawn(seed: int, count: int = 150) -> list[Move]:
    """A history of its own for each seed."""
    source = random.Random(seed)
    return [(source.choice(MOVES), source.randrange(31)) for _ in range(count)]


def broken_by(histories: int = 200) -> str:
    """What is found out by so many histories; nothing if all is well."""
    for seed in range(histories):
        world = CheckpointedWorld()
        try:
            world.play(drawn(seed))
        except Broken as error:
            return str(error)
    return ""


def test_drawn_histories_reach_what_they_are_for() -> None:
    """Rebases that are taken, states captured anew, blobs stored: else the planted bugs would prove nothing."""
    total: Counter[str] = Counter()
    for seed in range(25):
        world = CheckpointedWorld()
        world.play(drawn(seed))
        total.update(world.counts)
    assert all(total[name] for name in ("stored", "pruned", "rebased", "whole again", "blobs")), total


RETURNING = [
    *(("picture", 7), *(("checkpoint", choice) for choice in (30, 21, 17, 26, 2)), ("unpicture", 14)),
    *(("checkpoint", 17), ("prune", 12), ("checkpoint", 8), ("checkpoint", 10)),
]
"""A picture that comes, goes, and comes again in a checkpoint that builds on one which held it."""


def test_a_large_part_that_comes_back_is_stored_again() -> None:
    """It went with the last state that held it; but what the next checkpoint builds on, which is not kept, had it."""
    world = CheckpointedWorld()
    world.play(RETURNING)
    assert world.counts["whole again"]


# --- not all on one ---------------------------------------------------------------------------------------------------


def take(run: Run[checkpointer.CheckpointerState], kind: str = checkpointer.PERIODIC) -> bool:
    """One checkpoint as the worker makes it, a change of the one before where it may; whether that was a whole one."""
    parent = run.state.tip
    run.seconds += 1.0
    run.tell(checkpointer.TakeCheckpoint(kind, "test"))
    (effect,) = run.effects(checkpointer.CaptureState)
    parent = "" if effect.whole else parent
    run.tell(checkpointer.StoreCheckpoint(effect.checkpoint_id, kind, "test", b"x", "d", 5, 7, parent=parent))
    return bool(effect.whole)


@pytest.mark.parametrize("max_checkpoints", [9, 11, 20])
def test_what_is_kept_never_builds_on_one_whole_state_alone(max_checkpoints: int) -> None:
    """A damaged byte of it would cost all. The first few do, for there are no others."""
    run = Run.of(checkpointer.spec())
    run.tell(checkpointer.Configure(checkpointer.CheckpointerConfig(max_checkpoints=max_checkpoints)))
    whole = 0
    for number in range(1, 4 * max_checkpoints):
        whole += take(run)
        bases = {checkpointer.chain_of(run.state, row.checkpoint_id)[0] for row in run.state.kept}
        assert len(bases) > 1 or number <= 8
    assert 3 <= whole <= 8


def test_a_whole_state_is_not_asked_for_where_it_may_be_what_does_not_fit() -> None:
    """An emergency is in a hurry; a checkpoint that failed, and a disk that was full, want what is small."""
    run = Run.of(checkpointer.spec())
    for _ in range(8):
        take(run)
    assert not take(run, checkpointer.EMERGENCY)
    run.tell(checkpointer.CaptureFailed(run.ask(checkpointer.TakeCheckpoint(checkpointer.MANUAL, "test")), "E", "test"))
    assert not take(run)
    assert take(run)
    run = Run.of(checkpointer.spec())
    for _ in range(20):
        take(run)
    run.tell(checkpointer.CleanUp(19))
    assert run.state.fits == 10
    assert not any(take(run) for _ in range(12))
    assert len(run.state.kept) == 10


def test_a_base_of_a_clock_that_went_back_is_not_new() -> None:
    """It would be for as long as the clock went back."""
    run = Run.of(checkpointer.spec())
    for _ in range(34):
        take(run)
    now, earlier = at(run.seconds), at(-1.0)
    assert not requesting._wants_base(run.state, checkpointer.PERIODIC, now)
    assert requesting._wants_base(run.state, checkpointer.PERIODIC, earlier)


# --- stored anew ------------------------------------------------------------------------------------------------------


def stored(
    run: Run[checkpointer.CheckpointerState],
    parent: str = "",
    *,
    data: bytes = b"x",
    added: tuple[str, ...] = (),
    gone: tuple[str, ...] = (),
) -> str:
    """A checkpoint from the request to the log; its id."""
    run.seconds += 1.0
    asked: str = run.ask(checkpointer.TakeCheckpoint(checkpointer.MANUAL, "test"))
    blobs = tuple(checkpointer.Blob(digest, b"blob") for digest in added)
    run.tell(
        checkpointer.StoreCheckpoint(
            asked, checkpointer.MANUAL, "test", data, "d", 5, 7, parent=parent, blobs=blobs, gone=gone
        )
    )
    return asked


def test_a_chain_of_many_rows_is_stored_anew_however_small_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a row to read, and to remember. Not while more are stored on them, nor where one of them is damaged."""
    monkeypatch.setattr(rebasing, "MAX_SUPPORT", 3)
    run = Run.of(checkpointer.spec())
    last = stored(run, data=b"x" * 1000)
    for _ in range(4):
        last = stored(run, last)
    run.tell(checkpointer.PinCheckpoint(last))
    stored(run)
    run.tell(checkpointer.Prune(max_checkpoints=1))
    assert 4 == len(run.state.support)
    due = rebasing.most_wasteful(run.state)
    assert due is not None
    assert (last,) == due.keep
    monkeypatch.setattr(rebasing, "MAX_SUPPORT", 4)
    assert rebasing.most_wasteful(run.state) is None
    monkeypatch.setattr(rebasing, "MAX_SUPPORT", 3)
    newest = stored(run, data=b"x" * 1000)
    for _ in range(5):
        newest = stored(run, newest, data=b"x" * 1000)
    run.tell(checkpointer.Prune(max_checkpoints=1))
    assert 9 == len(run.state.support)
    assert rebasing.most_wasteful(run.state) == due
    run.tell(checkpointer.MarkDamaged(last, "test"))
    assert rebasing.most_wasteful(run.state) is None


def test_large_parts_that_went_on_the_way_are_gone_from_what_is_stored_anew() -> None:
    """What builds on another one now lacks what went with each that lay between them."""
    run = Run.of(checkpointer.spec())
    first = stored(run, added=("p", "q"))
    between = stored(run, first, gone=("p",))
    last = stored(run, between, gone=("q",), added=("r",))
    for one in (first, last):
        run.tell(checkpointer.PinCheckpoint(one))
    stored(run)
    run.tell(checkpointer.Prune(max_checkpoints=1))
    assert [between] == [row.checkpoint_id for row in run.state.support]
    anew = (
        checkpointer.RebasedRow(first, "", b"x", ("p", "q")),
        checkpointer.RebasedRow(last, first, b"x", ("r",), ("p", "q")),
    )
    assert () == run.tell(checkpointer.StoreRebased((anew[0], attrs.evolve(anew[1], gone=("q",)))))
    assert run.tell(checkpointer.StoreRebased(anew))
    assert () == run.state.support
    assert [checkpointer.TidyUp()] == [timer.command for timer in run.effects(StartTimer)]  # for the next chain
    run.tell(checkpointer.PinCheckpoint(first, pinned=False))
    run.tell(checkpointer.Prune(max_checkpoints=1))
    assert {"r": 1} == run.state.blobs


# --- planted ----------------------------------------------------------------------------------------------------------


def forgets_the_tip(patch: pytest.MonkeyPatch) -> None:
    """What the next one will build on is not needed."""
    patch.setattr(folding, "needed", lambda kept, others, _: needed(kept, others, ""))


def forgets_grandparents(patch: pytest.MonkeyPatch) -> None:
    """Only what a kept one builds on directly stays."""

    def direct(kept: Any, others: Any, tip: str) -> Any:
        wanted = {tip, *(row.parent for row in kept)}
        return tuple(row for row in others if row.checkpoint_id in wanted)

    patch.setattr(folding, "needed", direct)


def blob_too_early(patch: pytest.MonkeyPatch) -> None:
    """The blobs of a checkpoint that goes, go with it, whoever else holds them."""
    lost = keeping._lost

    def all_of_it(before: Any, after: Any, events: Any) -> tuple[str, ...]:
        gone = [event.checkpoint_ids for event in events if isinstance(event, checkpointer.CheckpointsPruned)]
        rows = {one for ids in gone for one in ids}
        blobs = [f"blob/{digest}" for row in before.kept if row.checkpoint_id in rows for digest in row.added]
        return tuple(dict.fromkeys((*lost(before, after, events), *blobs)))

    patch.setattr(keeping, "_lost", all_of_it)


def blob_too_late(patch: pytest.MonkeyPatch) -> None:
    """The blobs of what is only there for others stay."""
    patch.setattr(folding, "_blobs_without", lambda state, *_: state.blobs)


def deletes_before_it_rebases(patch: pytest.MonkeyPatch) -> None:
    """What nobody keeps goes as soon as the chain is on its way to be stored anew."""
    tidy = tending.tidy_up

    def too_soon(state: Any, ctx: Any) -> Any:
        decision = tidy(state, ctx)
        for effect in decision.effects:
            assert isinstance(effect, checkpointer.RebaseCheckpoints)
            rows = [row.checkpoint_id for row in effect.chain if row.checkpoint_id not in effect.keep]
            decision = attrs.evolve(decision, discard=(*decision.discard, *map(attachment_key, rows)))
        return decision

    patch.setattr(checkpointer, "tidy_up", too_soon)


def takes_any_rebase(patch: pytest.MonkeyPatch) -> None:
    """What was kept when the work began is taken for what is kept now."""
    patch.setattr(rebasing, "_fits", lambda state, event: True)


def removes_the_best(patch: pytest.MonkeyPatch) -> None:
    """The newest by its id is spared, and not the one that would be restored first."""
    from lrm_actors.domain import retention

    patch.setattr(retention, "_but_the_best", lambda kept, gone: tuple(info.checkpoint_id for info in gone))


PLANTED = (
    forgets_the_tip,
    forgets_grandparents,
    blob_too_early,
    blob_too_late,
    deletes_before_it_rebases,
    takes_any_rebase,
    removes_the_best,
)


@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found(bug: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each within a few histories."""
    bug(monkeypatch)
    assert broken_by()
