"""The checkpointer's decisions on real bytes: what it keeps comes back, whatever it removed and had stored anew."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from lrm_actors.actors.checkpointer import Rebaser
from lrm_actors.actors.checkpoints import encoding, restoring
from lrm_actors.actors.checkpoints.cutting import Cutter
from lrm_actors.domain import checkpointer as c
from lrm_actors.domain.behavior import Command, StartTimer
from tests.actors.checkpoints.kit import Shelf
from tests.domain.kit import at

HISTORIES, RELEASE_HISTORIES = 12, 400
PICTURE_BYTES = 20_000
CONFIG = c.CheckpointerConfig(max_checkpoints=4, max_emergency=2, keep_hourly_h=48)


class Life:
    """A host whose state changes, a worker, and the attachments of a log."""

    def __init__(self, seed: int, *, at_once: float = 0.7) -> None:
        self.at_once = at_once
        """Share of the chains that are stored anew before anything else happens."""
        self.chance = random.Random(seed)
        self.shelf = Shelf()
        self.host: dict[str, Any] = {"pages": [{"n": n, "text": f"page {n} " * 90} for n in range(30)], "shots": []}
        self.state = c.evolve(c.CheckpointerState(), c.Configured(CONFIG))
        self.captured: dict[str, Any] = {}
        self.seconds = 0.0
        self.rebased = 0
        self.removed = 0
        self.slow: list[c.RebaseCheckpoints] = []
        """On a slow machine the next one is begun before these have come back."""

    def tell(self, command: Command) -> None:
        """Decide, keep and remove what is decided, and carry out what follows."""
        decision = c.decide(self.state, command, at(self.seconds))
        for event in decision.events:
            self.state = c.evolve(self.state, event)
            self.rebased += isinstance(event, c.CheckpointsRebased)
        for key in decision.discard:
            del self.shelf.kept[key]
            self.removed += 1
        self.shelf.kept |= {one.key: one.data for one in decision.attachments}
        for effect in decision.effects:
            if isinstance(effect, c.CaptureState):
                self.capture(effect)
            elif isinstance(effect, c.RebaseCheckpoints):
                self.slow.append(effect)
                if self.chance.random() < self.at_once:
                    self.rebase()
            elif isinstance(effect, StartTimer) and effect.delay_s == 0.0:
                self.tell(effect.command)

    def rebase(self) -> None:
        """What the worker does, with all that wait for it."""
        slow, self.slow = self.slow, []
        for effect in slow:
            self.tell(Rebaser(self.shelf).rebase(effect))  # type: ignore[arg-type]

    def change(self) -> None:
        """A little of the state, and a picture now and then."""
        page = self.host["pages"][self.chance.randrange(30)]
        page["n"], page["text"] = self.chance.random(), f"page {self.chance.random()} " * self.chance.randrange(9, 99)
        if self.chance.random() < 0.5:
            self.host["shots"] = [*self.host["shots"], self.chance.randbytes(PICTURE_BYTES)][-3:]

    def capture(self, effect: c.CaptureState) -> None:
        """What the worker does."""
        made = Cutter(self.shelf.encoder.root).at_once(self.host)
        encoded = self.shelf.encoder.encode(
            made, checkpoint_id=effect.checkpoint_id, hints=effect.hints, whole=effect.whole
        )
        if self.chance.random() < 0.05:
            self.tell(c.CaptureFailed(effect.checkpoint_id, c.FULL, "the disk is full"))
            return
        self.captured[effect.checkpoint_id] = copy.deepcopy(self.host)
        self.tell(
            c.StoreCheckpoint(
                effect.checkpoint_id,
                effect.kind,
                effect.reason,
                encoded.data,
                encoded.digest,
                encoded.size_bytes,
                int(self.seconds),
                effect.hints,
                parent=encoded.parent,
                parent_digest=encoded.parent_digest,
                blobs=tuple(c.Blob(digest, data) for digest, data in encoded.blobs),
                gone=encoded.gone,
            )
        )

    def check(self) -> None:
        """All that is kept comes back, nothing else is there, and nothing sound was taken for damaged."""
        assert not self.state.damages
        for info in self.state.kept:
            chain = c.chain_of(self.state, info.checkpoint_id)
            assert self.captured[info.checkpoint_id] == restoring.restore(self.shelf, chain).state  # type: ignore[arg-type]
        rows = {c.attachment_key(row.checkpoint_id) for row in (*self.state.kept, *self.state.support)}
        blobs = {c.blob_key(digest) for digest in self.state.blobs}
        assert rows | blobs == self.shelf.kept.keys()


def test_what_is_kept_comes_back_from_its_bytes(release: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With few checkpoints from anchor to anchor, hours that pass, pins, and a disk that is full now and then."""
    monkeypatch.setattr(encoding, "STRIDE", 4)
    monkeypatch.setattr(encoding, "MAX_ANCHORS", 3)
    rebased = removed = 0
    histories = RELEASE_HISTORIES if release else HISTORIES
    for seed in range(histories):
        life = Life(seed)
        for _ in range(40):
            life.seconds += life.chance.choice((6.0, 6.0, 6.0, 2_000.0))
            life.change()
            kind = c.EMERGENCY if life.chance.random() < 0.1 else c.PERIODIC
            life.tell(c.TakeCheckpoint(kind, "test"))
            if life.chance.random() < 0.1 and life.state.kept:
                life.tell(c.PinCheckpoint(life.chance.choice(life.state.kept).checkpoint_id))
            if life.chance.random() < 0.05:
                life.tell(c.CleanUp(gently=True))
            if life.chance.random() < 0.3:
                life.tell(c.LookAfter())
        life.check()
        rebased += life.rebased
        removed += life.removed
    assert min(rebased, removed) > 0
    print(f"{histories} histories: {rebased} times stored anew, {removed} attachments removed")


@pytest.mark.parametrize("meanwhile", [False, True])
def test_damage_that_a_rebase_finds_is_put_on_record(*, meanwhile: bool) -> None:
    """Unless a row was stored anew or removed while it read: what looked like damage may have been that."""
    life = Life(1, at_once=0.0)
    for _ in range(200):
        life.seconds += 600.0
        life.change()
        life.tell(c.TakeCheckpoint(c.PERIODIC, "test"))
        life.tell(c.LookAfter())
        if life.slow:
            break
    effect = life.slow[0]
    key = c.attachment_key(effect.keep[0])
    data = life.shelf.kept[key]
    life.shelf.kept[key] = data[:-1] + bytes((data[-1] ^ 1,))
    if meanwhile:
        life.tell(c.PinCheckpoint(effect.keep[-1]))
    life.rebase()
    assert life.state.damages == (0 if meanwhile else 1)
