"""Damaged checkpoints: each is told from a good one, whatever byte of it changed, and the next good one is used.

The bytes are changed behind the store's own checksums, so that only what a checkpoint itself carries can tell.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from eventstore.checksums import attachment_checksum
from lrm_actors.actors.checkpoints import form
from lrm_actors.domain.checkpointer import restore_order
from lrm_actors.domain.journal import JournalState
from lrm_actors.hosting import recovery
from lrm_actors.mode import LongRunningMode
from tests.faults.checkpoint_hosts import shown
from tests.faults.checkpoint_specimens import Shelf, Specimen, specimen
from tests.mode_kit import records, settings

CHANGES, CHANGES_FOR_RELEASE = 400, 20_000


@pytest.fixture(scope="module")
def stored() -> Specimen:
    """What is damaged."""
    return specimen()


@attrs.define
class Counts:
    """What was tried."""

    changes: int = 0
    passed_over: int = 0
    """Checkpoints that were found damaged on the way to a good one."""
    restored: int = 0
    missed: list[str] = attrs.Factory(list)


def recovered(reader: Any, stored: Specimen) -> tuple[str | None, list[str]]:
    """The checkpoint that a recovery ends with, and those that it found damaged and passed over."""
    choice = recovery.choose(reader, stored.state, JournalState())
    found, damaged = choice.recovery, [one.checkpoint_id for one in choice.damaged]
    assert tuple(damaged) == found.passed_over
    assert all(one.reason for one in choice.damaged)
    if found.checkpoint_id is not None and shown(found.state) != stored.truth[found.checkpoint_id]:
        return "torn", damaged
    return found.checkpoint_id, damaged


def damage(stored: Specimen, changed: dict[str, bytes | None], counts: Counts, told: str) -> None:
    """Recover from a log with some attachments changed, or gone, and note what was not as it must be."""
    kept = {**stored.kept, **changed}
    reader = Shelf({key: data for key, data in kept.items() if data is not None})
    order = list(restore_order(stored.state))
    good = [one for one in order if not stored.needs[one] & changed.keys()]
    expected: tuple[str | None, list[str]] = (good[0], order[: order.index(good[0])]) if good else (None, order)
    counts.changes += 1
    try:
        found = recovered(reader, stored)
    except Exception as error:
        counts.missed.append(f"{told}: {error!r}")
        return
    counts.passed_over += len(found[1])
    counts.restored += found[0] is not None
    if found != expected:
        counts.missed.append(f"{told}: {found}")


def places(stored: Specimen, many: int) -> Iterator[tuple[str, int]]:
    """Bytes of all that is stored, each once. Half of them of rows, or all that those have."""
    every = [(key, at) for key, data in stored.kept.items() for at in range(len(data))]
    chance = random.Random(3)
    chance.shuffle(every)
    rows = [place for place in every if place[0].startswith("checkpoint/")][: many // 2]
    yield from rows  # large parts are most of the bytes, and the least of what can go wrong
    yield from [place for place in every if not place[0].startswith("checkpoint/")][: many - len(rows)]


def change_bytes(stored: Specimen, many: int) -> Counts:
    """One byte at a time."""
    counts, chance = Counts(), random.Random(4)
    for key, at in places(stored, many):
        data = bytearray(stored.kept[key])
        data[at] ^= chance.randrange(1, 256)
        damage(stored, {key: bytes(data)}, counts, f"byte {at} of {key}")
    return counts


def test_every_changed_byte_is_detected_and_the_next_good_one_is_used(stored: Specimen, release: bool) -> None:
    """Of whole states, of changes on them, and of large parts."""
    counts = change_bytes(stored, CHANGES_FOR_RELEASE if release else CHANGES)
    print(f"bytes changed: {counts.changes}, passed over: {counts.passed_over}, recovered: {counts.restored}")
    assert [] == counts.missed
    assert counts.changes >= (10_000 if release else CHANGES // 2)
    assert counts.passed_over
    assert counts.restored


def test_cut_short_longer_swapped_or_gone_is_detected(stored: Specimen) -> None:
    """Rows and large parts that were cut, lengthened, put in each other's place, or are not there."""
    counts, chance = Counts(), random.Random(5)
    for key, data in stored.kept.items():
        for size in {0, 1, len(data) - 1, *(chance.randrange(len(data)) for _ in range(5))}:
            damage(stored, {key: data[:size]}, counts, f"{key} cut to {size}")
        damage(stored, {key: data + b"\0"}, counts, f"{key} longer")
        damage(stored, {key: data + data}, counts, f"{key} twice")
        damage(stored, {key: None}, counts, f"{key} gone")
        for other, others in stored.kept.items():
            if other != key:
                damage(stored, {key: others}, counts, f"{other} in place of {key}")
    print(f"damaged otherwise: {counts.changes}, passed over: {counts.passed_over}")
    assert [] == counts.missed


def test_planted_checks_that_are_left_out_are_caught(stored: Specimen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the checksum of a row and the digest of the state, changed bytes give states that never were."""
    with monkeypatch.context() as without:
        without.setattr(form, "_check", lambda body: b"always right....")
        good = {
            key: data[: len(form.MAGIC)] + b"always right...." + data[len(form.MAGIC) + 16 :]
            if key.startswith("checkpoint/")
            else data
            for key, data in stored.kept.items()
        }
        planted = attrs.evolve(stored, kept=good)
        only_digest = change_bytes(planted, 150)
        digests = {info.checkpoint_id: info.digest for info in stored.state.kept}
        without.setattr(form, "digest_of_state", lambda checkpoint_id, *_: digests.get(checkpoint_id, ""))
        neither = change_bytes(planted, 150)
    print(f"missed by the digest alone: {len(only_digest.missed)}, without it as well: {len(neither.missed)} of 150")
    # The digest alone lets a byte pass that changes nothing of what comes back, and never one that does.
    assert not [one for one in only_digest.missed if "torn" in one]
    assert [one for one in neither.missed if "torn" in one]


def spoil(log: Path, *, sealed: bool) -> list[str]:
    """Change a byte of the newest checkpoint in the file; the ids of all, newest first.

    Args:
        log: the file, which nobody has open.
        sealed: the store's checksum over it is made right again.
    """
    connection = sqlite3.connect(log)
    rows = connection.execute("SELECT key, data FROM attachments ORDER BY key DESC").fetchall()
    key, data = rows[0]
    changed = data[:-1] + bytes((data[-1] ^ 1,))
    connection.execute("UPDATE attachments SET data = ? WHERE key = ?", (changed, key))
    if sealed:
        checksum = attachment_checksum(key, changed)
        connection.execute("UPDATE attachments SET checksum = ? WHERE key = ?", (checksum, key))
    connection.commit()
    connection.close()
    return [one.removeprefix("checkpoint/") for one, _ in rows]


@pytest.mark.parametrize("sealed", [False, True], ids=["as it rots", "sealed"])
def test_a_recovery_passes_a_damaged_checkpoint_over_and_says_so(
    tmp_path: Path, sampled: dict[str, float], sealed: bool
) -> None:
    """In its result, and as an event."""

    async def lives() -> None:
        state = {"steps": [0]}
        first = LongRunningMode(settings(tmp_path))
        first.capture_with(lambda: state)
        async with first:
            for step in range(1, 4):
                state["steps"].append(step)
                await first.take_checkpoint()
            state["steps"].append(4)  # the stop's own checkpoint is the newest
        ids = spoil(tmp_path / "default" / "lrm.db", sealed=sealed)
        given: list[Any] = []
        second = LongRunningMode(settings(tmp_path))
        second.restore_with(given.append)
        async with second:
            assert await second.recover_from_checkpoint()
            found = second.last_recovery
            assert found is not None
            assert found.checkpoint_id == ids[1]
            assert found.passed_over == (ids[0],)
            assert [{"steps": [0, 1, 2, 3]}] == given
            damaged = [one.event.checkpoint_id for one in records(second, "checkpointer.damage_found")]
            assert [ids[0]] == damaged
            [restored] = records(second, "checkpointer.restored")
            assert restored.event.passed_over == (ids[0],)

    asyncio.run(lives())
