"""Retention: exactly what it says is kept, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from lrm_actors.domain import checkpointer
from lrm_actors.domain.checkpointer import (
    EMERGENCY,
    MANUAL,
    PERIODIC,
    CheckpointerConfig,
    CheckpointerState,
    CheckpointInfo,
    CheckpointsPruned,
    Configure,
    MarkDamaged,
    StoreCheckpoint,
    TakeCheckpoint,
    attachment_key,
)
from lrm_actors.domain.retention import best_first, beyond_retention, id_ms
from tests.domain.kit import Run

Retention = Callable[[Sequence[CheckpointInfo], CheckpointerConfig], tuple[str, ...]]


def info(number: int, kind: str = PERIODIC, *, damaged: bool = False) -> CheckpointInfo:
    """The checkpoint of this number, the higher the newer."""
    return CheckpointInfo(f"checkpoint_{number:013d}_00000000", kind, float(number), number, 1, "", "", damaged)


def violations(retention: Retention, kept: Sequence[CheckpointInfo], config: CheckpointerConfig) -> list[str]:
    """The checker, written from the promise and not from the code: what retention does that it must not."""
    gone = set(retention(kept, config))
    problems = []
    for kinds, limit in (({EMERGENCY}, config.max_emergency), ({PERIODIC, MANUAL}, config.max_checkpoints)):
        newest_first = [one for one in reversed(kept) if one.kind in kinds and not one.damaged]
        problems += [f"{one.checkpoint_id} was to stay" for one in newest_first[:limit] if one.checkpoint_id in gone]
        problems += [f"{one.checkpoint_id} was to go" for one in newest_first[limit:] if one.checkpoint_id not in gone]
    if gone and not any(one.checkpoint_id not in gone and not one.damaged for one in kept):
        problems.append("nothing to restore is left")
    return problems


kept_ones = st.lists(st.tuples(st.sampled_from([PERIODIC, MANUAL, EMERGENCY]), st.booleans()), max_size=30).map(
    lambda rows: [info(number, kind, damaged=damaged) for number, (kind, damaged) in enumerate(rows)]
)
configs = st.builds(CheckpointerConfig, max_checkpoints=st.integers(1, 8), max_emergency=st.integers(1, 4))


@given(kept_ones, configs)
def test_keeps_exactly_the_newest_of_each(kept: list[CheckpointInfo], config: CheckpointerConfig) -> None:
    """So many periodic and manual ones, and so many emergencies; damaged ones take nobody's place."""
    assert [] == violations(beyond_retention, kept, config)


def test_the_checker_sees_one_limit_for_all() -> None:
    """The planted bug: emergencies are counted with the others, so that a storm of them pushes every other one out."""

    def one_limit(kept: Sequence[CheckpointInfo], config: CheckpointerConfig) -> tuple[str, ...]:
        return tuple(one.checkpoint_id for one in kept[: max(len(kept) - config.max_checkpoints, 0)])

    kept = [info(0), info(1), *(info(number, EMERGENCY) for number in range(2, 5))]
    config = CheckpointerConfig(max_checkpoints=2, max_emergency=3)
    assert [] == violations(beyond_retention, kept, config)
    assert violations(one_limit, kept, config)


def test_the_checker_sees_damaged_ones_counted() -> None:
    """The planted bug: a damaged one takes the place of a sound one, which is then deleted."""

    def counts_damaged(kept: Sequence[CheckpointInfo], config: CheckpointerConfig) -> tuple[str, ...]:
        return beyond_retention([info(id_ms(one.checkpoint_id), one.kind) for one in kept], config)

    kept = [info(0), info(1, damaged=True), info(2, damaged=True)]
    config = CheckpointerConfig(max_checkpoints=2)
    assert [] == violations(beyond_retention, kept, config)
    assert violations(counts_damaged, kept, config)


def test_a_damaged_one_goes_when_there_is_a_sound_one_after_it() -> None:
    """Until then it stays, as the newest thing there is to look at."""
    config = CheckpointerConfig()
    assert () == beyond_retention([info(0), info(1, damaged=True)], config)
    assert (info(1).checkpoint_id,) == beyond_retention([info(0), info(1, damaged=True), info(2)], config)


@given(kept_ones)
def test_restoring_tries_sound_ones_newest_first(kept: list[CheckpointInfo]) -> None:
    """Each sound one is tried once, and no damaged one."""
    order = best_first(kept)
    assert [one.checkpoint_id for one in reversed(kept) if not one.damaged] == list(order)


def fill(run: Run[CheckpointerState], count: int, kind: str = PERIODIC) -> list[str]:
    """So many checkpoints, one a second."""
    ids = []
    for _ in range(count):
        run.seconds += 1.0
        ids.append(run.ask(TakeCheckpoint(kind, "test")))
        run.tell(StoreCheckpoint(ids[-1], kind, "test", b"bytes", "digest", 5, position=int(run.seconds)))
    return ids


def test_each_new_one_takes_the_place_of_the_oldest() -> None:
    """The event that names it, the one that prunes, and the deletion of the bytes are one transaction."""
    run = Run.of(checkpointer.spec())
    run.tell(Configure(CheckpointerConfig(max_checkpoints=3)))
    ids = fill(run, 4)
    assert ids[1:] == [one.checkpoint_id for one in run.state.kept]
    assert CheckpointsPruned((ids[0],), "newer ones took their place") == run.last.events[-1]
    assert (attachment_key(ids[0]),) == run.last.discard


@pytest.mark.parametrize("shrunk", [1, 2, 5])
def test_a_smaller_limit_prunes_at_once(shrunk: int) -> None:
    """It does not wait for the next checkpoint; emergencies keep their own places."""
    run = Run.of(checkpointer.spec())
    emergencies, ids = fill(run, 2, EMERGENCY), fill(run, 6)
    run.tell(Configure(CheckpointerConfig(max_checkpoints=shrunk)))
    assert [*emergencies, *ids[6 - shrunk :]] == [one.checkpoint_id for one in run.state.kept]
    assert {attachment_key(gone) for gone in ids[: 6 - shrunk]} == set(run.last.discard)


def test_a_late_one_beyond_retention_stays_until_the_next() -> None:
    """It is on record as taken and pruned; but the next one may build on it, so its bytes go only then."""
    run = Run.of(checkpointer.spec())
    run.tell(Configure(CheckpointerConfig(max_checkpoints=2)))
    late = run.ask(TakeCheckpoint(MANUAL, "test"))
    ids = fill(run, 2, MANUAL)
    run.tell(StoreCheckpoint(late, MANUAL, "test", b"bytes", "digest", 5, position=0))
    assert ["CheckpointTaken", "CheckpointsPruned"] == [type(fact).__name__ for fact in run.last.events]
    assert ids == [one.checkpoint_id for one in run.state.kept]
    assert [late] == [one.checkpoint_id for one in run.state.support]
    assert ([attachment_key(late)], ()) == ([one.key for one in run.last.attachments], run.last.discard)
    fill(run, 1, MANUAL)
    assert () == run.state.support
    assert {attachment_key(late), attachment_key(ids[0])} == set(run.last.discard)


def test_damage_does_not_push_out_what_is_sound() -> None:
    """With the newest damaged, the older ones still fill all places."""
    run = Run.of(checkpointer.spec())
    run.tell(Configure(CheckpointerConfig(max_checkpoints=3)))
    ids = fill(run, 3)
    run.tell(MarkDamaged(ids[2], "test"))
    ids += fill(run, 1)
    assert [ids[0], ids[1], ids[3]] == [one.checkpoint_id for one in run.state.kept]


def test_beyond_the_newest_one_of_each_hour_and_day_stays_for_as_long_as_was_asked() -> None:
    """The first of each, over ten days of a checkpoint every ten minutes, and nothing else."""
    config = CheckpointerConfig(max_checkpoints=6, keep_hourly_h=24, keep_daily_days=7)
    all_of_them: list[CheckpointInfo] = []
    kept: list[CheckpointInfo] = []
    for second in range(0, 10 * 86_400, 600):
        all_of_them.append(info(second))
        kept.append(info(second))
        gone = beyond_retention(kept, config, float(second))
        kept = [one for one in kept if one.checkpoint_id not in gone]
    now = all_of_them[-1].position
    wanted = {one.position for one in all_of_them[-6:]}
    for every_s, for_s in ((3_600, 86_400), (86_400, 7 * 86_400)):
        firsts = {one.position // every_s: one.position for one in reversed(all_of_them)}
        wanted |= {first for first in firsts.values() if now - first < for_s}
    assert sorted(wanted) == [one.position for one in kept]
    assert len(kept) == 6 + 23 + 6


def test_what_is_too_old_goes_but_for_the_newest_three() -> None:
    """However few there are: the clock may be wrong. Emergency and pinned ones are not counted by their age."""
    kept = [info(number, EMERGENCY if number == 2 else PERIODIC, damaged=number == 7) for number in range(9)]
    kept[3] = structs.replace(kept[3], pinned=True)
    config = CheckpointerConfig(max_age_s=100.0)
    assert (info(7).checkpoint_id,) == beyond_retention(kept, CheckpointerConfig(max_age_s=200.0), 108.0)
    gone = beyond_retention(kept, config, 1_000.0)
    assert [info(one).checkpoint_id for one in (0, 1, 4, 7)] == list(gone)
    gone = beyond_retention(kept, config, 104.0)
    assert [info(one).checkpoint_id for one in (0, 1, 4, 7)] == list(gone)
    gone = beyond_retention(kept, config, 103.0)
    assert [info(one).checkpoint_id for one in (0, 1, 7)] == list(gone)
