"""Histories of edits, retention and crashes: whatever is kept restores to what was captured, wherever the power went.

Each history is a few lives of a process with the real checkpointer, encoder and log. It is captured below SQLite, and
some of the states that a disk may be left in by a power cut, or by a kill, are judged; in some of them one more process
goes on.
"""

from __future__ import annotations

import logging
import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from eventstore.errors import LogNotFound, NotALog
from eventstore.opening import open_store
from eventstore.protocol import EventStore
from eventstore.records import Appended, Batch
from eventstore.testing import Capture, CrashState, FaultVFS, PowerCut
from lrm_actors.domain.behavior import Command, Context, Decision, Spec
from lrm_actors.domain.checkpointer import EMERGENCY, MANUAL, PERIODIC, attachment_key
from lrm_actors.errors import CheckpointDamaged
from tests.faults.checkpoint_lives import CONFIGS, SPEC, Lives, Simulated, judge
from tests.faults.cutting import memory_directory

HISTORIES, HISTORIES_FOR_RELEASE = 5, 1_700
"""By examples; the others are long ones by a seed."""
LONG, LONG_FOR_RELEASE = (1_013, 1_015), range(1_000, 1_300)
CUTS = 1
"""Points of a history at which it is cut, about. Each leaves several states."""
GO_ON = 4
"""Crash states, of which one is gone on from."""
LONGEST = 25
"""Things that happen in a history."""

Told = list[tuple[str, int]]


@attrs.define
class Counts:
    """How much was looked at."""

    histories: int = 0
    checkpoints: int = 0
    changes: int = 0
    """Of them, that were stored as what changed."""
    rebased: int = 0
    """Chains that were stored anew."""
    restored: int = 0
    kills: int = 0
    cuts: int = 0
    """Crash states that were judged."""
    lives_after: int = 0
    """Processes that went on in one."""


KINDS = (MANUAL, MANUAL, PERIODIC, EMERGENCY)
SECONDS = (1.0, 3_601.0, 20_000.0)


WORDS = (
    *[("edit", 0, 12)] * 3,
    ("take", 0, len(KINDS) - 1),
    *[("take", 0, 0)] * 2,
    ("configure", 0, len(CONFIGS) - 1),
    ("pin", 0, 9),
    ("prune", 1, 4),
    ("clean_up", 1, 4),
    ("wait", 0, len(SECONDS) - 1),
    ("fail", 0, 3),
    ("forget_events", 0, 0),
    ("kill", 0, 0),
)
"""What may happen, each with the least and the most of its number."""
steps = st.sampled_from(WORDS).flatmap(lambda word: st.tuples(st.just(word[0]), st.integers(*word[1:])))
histories = st.tuples(st.integers(0, 2**32), st.lists(steps, min_size=6, max_size=LONGEST))


def long_story(seed: int) -> Told:
    """A long history, as few examples of a strategy are."""
    chance = random.Random(seed)
    words = chance.choices(WORDS, k=LONGEST)
    return [(word, chance.randint(least, most)) for word, least, most in words]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Failures on purpose would fill the captured log."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def vfs() -> Iterator[FaultVFS]:
    """A file system to capture by."""
    with FaultVFS() as made:
        yield made


@attrs.frozen
class Planted:
    """What is wrong with a process, on purpose."""

    spec: Spec[Any] = SPEC
    around: Callable[[EventStore], Any] = lambda store: store


SOUND = Planted()


def live(
    vfs: FaultVFS, path: Path, seed: int, told: Told, counts: Counts, *, planted: Planted = SOUND
) -> tuple[Lives, Capture]:
    """Carry a history out; what the processes knew, and what they did to their files."""
    capture = vfs.capture()
    with Simulated(seed, path, vfs.connect, planted.around) as sim:
        lives = Lives(sim, random.Random(seed), lambda head: capture.mark("head", head), planted.spec)
        lives.begin()
        lives.configure(seed)
        for word, number in told:
            _happens(lives, word, number)
            counts.kills += word == "kill"
        lives.take(MANUAL)
        counts.restored += judge(sim.store, lives.truth)
        lives.look_back()
    counts.histories += 1
    counts.checkpoints += len(lives.truth)
    counts.changes += lives.changes
    counts.rebased += lives.rebased
    vfs.reset()
    return lives, capture


def _happens(lives: Lives, word: str, number: int) -> None:
    match word:
        case "edit":
            lives.host.edit(number)
        case "take":
            lives.take(KINDS[number])
        case "wait":
            lives.wait(SECONDS[number])
        case "kill":
            lives.kill()
        case "forget_events":
            lives.forget_events()
        case _:
            getattr(lives, word)(number)


def look(directory: Path, state: CrashState, lives: Lives, counts: Counts) -> None:
    """Judge what a power cut left, as the next owner finds it."""
    try:
        store = open_store(directory / "lrm.db", reserve_bytes=0)
    except (LogNotFound, NotALog):
        assert not state.marks, "what was acknowledged is gone"
        return
    try:
        assert store.head >= state.marks.get("head", 0), "what was acknowledged is gone"
        counts.restored += judge(store, lives.truth)
    finally:
        store.close()
    counts.cuts += 1


def go_on(directory: Path, seed: int, lives: Lives, counts: Counts) -> None:
    """Another process takes the log of a crash over: its checkpoints build on nothing that is not there."""
    with Simulated(seed + 1, directory / "lrm.db", sqlite3.connect) as sim:
        after = Lives(sim, random.Random(seed), truth=dict(lives.truth))
        after.begin()
        after.take(MANUAL)
        after.host.edit(seed)
        after.take(EMERGENCY)
        after.configure(1)
        after.take(MANUAL)
        counts.restored += judge(sim.store, after.truth)
    counts.lives_after += 1


def history(
    vfs: FaultVFS, seed: int, told: Told, counts: Counts, *, planted: Planted = SOUND, cuts: int = CUTS
) -> None:
    """One history, and the crashes in it.

    Raises:
        AssertionError, CheckpointDamaged: something is not as it must be.
    """
    with memory_directory() as scratch:
        (scratch / "log").mkdir()
        lives, capture = live(vfs, scratch / "log" / "lrm.db", seed, told, counts, planted=planted)
        left = scratch / "left"
        left.mkdir()
        cut = PowerCut(capture, seed=seed, samples=1, share=min(1.0, cuts / max(1, len(capture.entries))))
        for number, state in enumerate(cut.states()):
            state.write(left)
            look(left, state, lives, counts)
            if number % GO_ON == seed % GO_ON:
                go_on(left, seed, lives, counts)


def test_every_checkpoint_kept_is_what_was_captured_wherever_a_history_was_cut(vfs: FaultVFS, release: bool) -> None:
    """And nothing is left that nobody needs, and the log is sound."""
    counts, wanted = Counts(), HISTORIES_FOR_RELEASE if release else HISTORIES

    @settings(max_examples=wanted, suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink])
    @given(histories)
    def every(drawn: tuple[int, Told]) -> None:
        history(vfs, *drawn, counts)

    for seed in LONG_FOR_RELEASE if release else LONG:
        history(vfs, seed, long_story(seed), counts)
    every()
    print(counts)
    assert counts.histories >= (2_000 if release else wanted)
    assert counts.cuts > counts.histories
    assert counts.lives_after
    assert counts.changes
    assert counts.rebased


STORY: Told = [("edit", 2), ("take", 0)] * 6
"""Enough for a chain of changes of which retention keeps the end."""


def _forgets_what_is_built_on() -> Planted:
    """A checkpointer that deletes what is no longer kept, though what is kept builds on it."""

    def decide(state: Any, command: Command, ctx: Context) -> Decision:
        decision: Decision = SPEC.decide(state, command, ctx)
        gone = [one for event in decision.events for one in getattr(event, "checkpoint_ids", ())]
        return attrs.evolve(decision, discard=(*decision.discard, *map(attachment_key, gone)))

    return Planted(spec=attrs.evolve(SPEC, decide=decide))


def _forgets_nothing() -> Planted:
    """A checkpointer that deletes nothing: the log grows for ever."""

    def decide(state: Any, command: Command, ctx: Context) -> Decision:
        decision: Decision = SPEC.decide(state, command, ctx)
        return attrs.evolve(decision, discard=())

    return Planted(spec=attrs.evolve(SPEC, decide=decide))


class Apart:
    """A store that keeps a checkpoint's bytes in a transaction after that of its event."""

    def __init__(self, inner: EventStore) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def append(self, batch: Batch) -> Appended:
        """In two."""
        fields = {name: getattr(batch, name) for name in batch.__struct_fields__}
        done = self._inner.append(Batch(**{**fields, "attachments": ()}))
        if batch.attachments:
            self._inner.append(Batch(attachments=batch.attachments))
        return done


@pytest.mark.parametrize(
    "planted",
    [_forgets_what_is_built_on(), _forgets_nothing(), Planted(around=Apart)],
    ids=["forgets what is built on", "forgets nothing", "two transactions"],
)
def test_planted_bugs_are_found_by_a_history(planted: Planted, vfs: FaultVFS) -> None:
    """What retention takes too much or too little, and a checkpoint that is not one transaction."""
    with pytest.raises((AssertionError, CheckpointDamaged)):
        history(vfs, 1, STORY, Counts(), planted=planted, cuts=15)
    vfs.reset()
