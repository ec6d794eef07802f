"""A host, a worker and the attachments of a log around the checkpointer: what is kept must come back, byte for byte.

The host's state is a number and the blobs it holds. What a checkpoint stores says what it builds on and what it makes
of it, so that a state is restored from the attachments alone; the checkpointer's rows only say where to look.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import attrs

from eventstore.codec import decode_events, decode_state, encode_event, encode_state
from eventstore.frozen import frozen
from lrm_actors.domain import checkpointer as c
from lrm_actors.domain.behavior import NOTHING, Command, Decision
from lrm_actors.domain.checkpointing.effects import RebaseCheckpoints
from lrm_actors.domain.retention import CheckpointInfo, Tally, best_first
from lrm_actors.errors import CommandRefused
from tests.domain.kit import at

Move = tuple[str, int]
KINDS = (c.PERIODIC, c.EMERGENCY, c.MANUAL)
CONFIGS = (
    c.CheckpointerConfig(max_checkpoints=2, max_emergency=1),
    c.CheckpointerConfig(max_checkpoints=4, max_emergency=2),
    c.CheckpointerConfig(max_checkpoints=1, max_emergency=1, max_age_s=20_000.0),
    c.CheckpointerConfig(max_checkpoints=2, max_emergency=2, keep_hourly_h=6, keep_daily_days=2),
    c.CheckpointerConfig(max_checkpoints=9, max_emergency=3, max_age_s=8_000.0, keep_hourly_h=2),
)
MOVES = (
    *("checkpoint",) * 16,
    *("edit", "edit", "picture", "picture", "unpicture"),
    *("ask", "ask", "ask", "capture", "capture", "encode", "encode", "store", "store", "store", "store"),
    *("fail", "full", "late", "pin", "unpin", "damage", "prune", "prune", "clean", "configure", "configure"),
    *("look", "tidy", "tidy", "tidy", "rebase", "rebase", "rebase", "rebased", "rebased", "rebased", "rebased"),
    *(
        "rebase_now",
        "rebase_now",
        "rebase_now",
        "rebase_now",
        "rebase_now",
        "rebase_full",
        "hours",
        "minutes",
        "restart",
    ),
)


class Broken(AssertionError):
    """What must always hold does not."""


@frozen
class HostState:
    """What the agent knows."""

    number: int = 0
    blobs: frozenset[str] = frozenset()


@frozen
class Taken:
    """A state cut, and what it is to be stored as a change of."""

    effect: c.CaptureState
    state: HostState
    position: int
    parent: str
    before: HostState


class CheckpointedWorld:
    """One log and the processes that live on it, one after the other."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.log: list[object] = []
        self.last = NOTHING
        self.state: c.CheckpointerState = c.spec().initial
        self.there: dict[str, bytes] = {}
        """The attachments."""
        self.stored: dict[str, HostState] = {}
        """The state that was stored under each id."""
        self.captures = 0
        self.host = HostState()
        self.numbers = 0
        self.pictures = 0
        self.position = 0
        self.built_on: tuple[str, HostState] | None = None
        """What this process captured last."""
        self.anchor: tuple[str, HostState] | None = None
        """What every fourth builds on: the fourth before it."""
        self.asked: list[c.CaptureState] = []
        self.cut: list[Taken] = []
        self.encoded: list[c.StoreCheckpoint] = []
        self.to_rebase: list[RebaseCheckpoints] = []
        self.rebased: list[c.StoreRebased] = []
        self.counts = {"stored": 0, "pruned": 0, "rebased": 0, "whole again": 0, "blobs": 0}

    # What happens

    def play(self, moves: Sequence[Move]) -> None:
        """All of it, looking after each move, and in the end at the log."""
        for name, choice in moves:
            before = self.state
            try:
                self._move(name, choice)
            except CommandRefused:
                continue
            self.check(before)
        folded = c.spec().initial
        for event in self.log:
            kind, data = encode_event(event)
            for back in decode_events(1, kind.name, kind.version, data):
                folded = c.evolve(folded, back)
        if not folded == self.state == decode_state(encode_state(self.state), c.CheckpointerState):
            raise Broken("the state is not the fold of what is stored")

    def _move(self, name: str, choice: int) -> None:
        kept = self.state.kept
        match name:
            case "checkpoint":
                self._move("edit", choice)
                self._move("picture", choice)
                self.tell(c.TakeCheckpoint(KINDS[choice % 3], "test"))
                if not self.asked:
                    return
                self._capture(self.asked.pop())
                self.encoded.append(self._encode(self.cut.pop()))
                self.tell(self.encoded.pop())
            case "edit":
                self.numbers += 1
                self.host = attrs.evolve(self.host, number=self.numbers)
                self.position += choice % 3
            case "picture":
                self.pictures += choice % 2
                self.host = attrs.evolve(self.host, blobs=self.host.blobs | {f"p{max(0, self.pictures - choice % 4)}"})
            case "unpicture" if self.host.blobs:
                one = sorted(self.host.blobs)[choice % len(self.host.blobs)]
                self.host = attrs.evolve(self.host, blobs=self.host.blobs - {one})
            case "ask":
                self.tell(c.TakeCheckpoint(KINDS[choice % 3], "test"))
            case "capture" if self.asked:
                self._capture(self.asked.pop(choice % len(self.asked)))
            case "encode" if self.cut:
                self.encoded.append(self._encode(self.cut.pop(0)))
            case "store":
                self._store(choice)
            case "fail" if self.asked:
                effect = self.asked.pop(choice % len(self.asked))
                self.tell(c.CaptureFailed(effect.checkpoint_id, "Error", "test"))
            case "full" if self.encoded:
                self.tell(self.encoded.pop(0).where_nothing_fits("the disk is full"))
            case "late":
                self.seconds += 301.0
                self.tell(c.GiveUpOverdue())
            case "pin" | "unpin" if kept:
                self.tell(c.PinCheckpoint(kept[choice % len(kept)].checkpoint_id, name == "pin", "test"))
            case "damage" if kept:
                self.tell(c.MarkDamaged(kept[choice % len(kept)].checkpoint_id, "test"))
            case "prune":
                self.tell(c.Prune(max_checkpoints=1 + choice % 3, max_age_s=(None, 5_000.0)[choice % 2]))
            case "clean":
                self.tell(c.CleanUp(choice % 4))
            case "configure":
                self.tell(c.Configure(CONFIGS[choice % len(CONFIGS)]))
            case "look":
                self.tell(c.LookAfter())
            case "tidy":
                self.tell(c.TidyUp())
            case "rebase" if self.to_rebase:
                self.rebased.append(self._rebase(self.to_rebase.pop(0)))
            case "rebased" if self.rebased:
                before = self.state
                self.tell(self.rebased.pop(choice % len(self.rebased)))
                self.counts["rebased"] += self.state is not before
            case "rebase_now":
                for move in ("tidy", "rebase", "rebased"):
                    self._move(move, -1)
            case "rebase_full" if self.rebased:
                self.tell(self.rebased.pop(0).where_nothing_fits("the disk is full"))
            case "hours" | "minutes":
                self.seconds += choice * (1_000.0 if name == "hours" else 60.0)
            case "restart":
                self.built_on, self.anchor = None, None
                self.asked, self.cut, self.encoded = [], [], []
                self.to_rebase, self.rebased = [], []
                self._adopt(c.recover(self.state, at(self.seconds)))

    def tell(self, command: Command) -> None:
        """Have a command decided, and the attachments be what it says."""
        self.seconds += 0.01
        self._adopt(c.decide(self.state, command, at(self.seconds)))

    def _adopt(self, decision: Decision) -> None:
        may_be_anew = any(row.damaged for row in self.state.kept)
        for event in decision.events:
            self.log.append(event)
            self.state = c.evolve(self.state, event)
        self.last = decision
        self._keep(decision, may_be_anew=may_be_anew)

    def _keep(self, decision: Decision, *, may_be_anew: bool) -> None:
        keys = [one.key for one in decision.attachments]
        if len(set(keys)) < len(keys) or set(keys) & set(decision.discard):
            raise Broken(f"{keys} are stored, {decision.discard} discarded")
        if missing := [key for key in decision.discard if key not in self.there]:
            raise Broken(f"{missing} are discarded, and were not there")
        if not may_be_anew and (twice := [key for key in keys if key.startswith("blob/") and key in self.there]):
            raise Broken(f"{twice} are stored, and were there")
        for key in decision.discard:
            del self.there[key]
        self.there |= {one.key: one.data for one in decision.attachments}
        self.counts["blobs"] += sum(key.startswith("blob/") for key in keys)
        for effect in decision.effects:
            if isinstance(effect, c.CaptureState):
                self.asked.append(effect)
                self.counts["whole again"] += effect.whole
            elif isinstance(effect, RebaseCheckpoints):
                self.to_rebase.append(effect)
        for event in decision.events:
            if isinstance(event, c.CheckpointTaken):
                to = json.loads(self.there[c.attachment_key(event.checkpoint.checkpoint_id)])["to"]
                self.stored[event.checkpoint.checkpoint_id] = HostState(to[0], frozenset(to[1]))
            self.counts["stored"] += isinstance(event, c.CheckpointTaken)
            self.counts["pruned"] += isinstance(event, c.CheckpointsPruned)

    # The host and the worker

    def _capture(self, effect: c.CaptureState) -> None:
        parent, before = ("", HostState()) if effect.whole or self.built_on is None else self.built_on
        self.captures += 1
        if self.captures % 4 == 0 and self.anchor is not None and parent:
            parent, before = self.anchor  # as the worker does, so that restoring reads few
        if self.captures % 15 == 0:
            parent, before = "", HostState()  # the worker begins a new chain now and then
        self.cut.append(Taken(effect, self.host, self.position, parent, before))
        self.built_on = effect.checkpoint_id, self.host
        if self.captures % 4 == 0 or not parent:
            self.anchor = self.built_on

    @staticmethod
    def _encode(taken: Taken) -> c.StoreCheckpoint:
        new = taken.state.blobs - taken.before.blobs
        return c.StoreCheckpoint(
            taken.effect.checkpoint_id,
            taken.effect.kind,
            taken.effect.reason,
            data_of(taken.state, taken.parent, taken.before),
            str(plain(taken.state)),
            10,
            taken.position,
            taken.effect.hints,
            parent=taken.parent,
            parent_digest=str(plain(taken.before)) if taken.parent else "",
            blobs=tuple(c.Blob(digest, digest.encode()) for digest in sorted(new)),
            gone=tuple(sorted(taken.before.blobs - taken.state.blobs)),
        )

    def _store(self, choice: int) -> None:
        if not self.encoded:
            if self.cut:
                self.encoded.append(self._encode(self.cut.pop(0)))
            elif self.asked:
                self._capture(self.asked.pop(0))
            else:
                self.tell(c.TakeCheckpoint(KINDS[choice % 3], "test"))
            return
        self.tell(self.encoded.pop(choice % len(self.encoded) if choice % 4 == 0 else 0))

    def _rebase(self, effect: RebaseCheckpoints) -> c.StoreRebased:
        """What a worker makes of the chain: from what was captured, as the attachments may be gone by now."""
        rows, parent, before = [], "", HostState()
        for checkpoint_id in effect.keep:
            state = self.stored[checkpoint_id]
            gone = tuple(sorted(before.blobs - state.blobs))
            added = tuple(sorted(state.blobs - before.blobs))
            rows.append(c.RebasedRow(checkpoint_id, parent, data_of(state, parent, before), added, gone))
            parent, before = checkpoint_id, state
        return c.StoreRebased(tuple(rows))

    # What must always hold

    def check(self, before: Any) -> None:
        """Everything that was promised, from the attachments and from what was captured."""
        state = self.state
        for info in state.kept:
            self._restores(info)
        self._nothing_else(state)
        counted = Tally().changed(come=state.kept)
        if counted != state.tally:
            raise Broken(f"the tally is {state.tally}, and there are {counted}")
        self._spared(before, state)

    def _restores(self, info: CheckpointInfo) -> None:
        chain = c.chain_of(self.state, info.checkpoint_id)
        if not chain or chain[-1] != info or chain[0].parent:
            raise Broken(f"{info.checkpoint_id} has no whole chain")
        state = HostState()
        for row in chain:
            data = self.there.get(c.attachment_key(row.checkpoint_id))
            if data is None:
                raise Broken(f"{row.checkpoint_id} is gone, and {info.checkpoint_id} needs it")
            stored = json.loads(data)
            if str(stored["to"]) != row.digest:
                raise Broken(f"{row.checkpoint_id} is not the state that its row says")
            if (stored["parent"], stored["from"]) != (row.parent, plain(state)):
                raise Broken(f"{row.checkpoint_id} builds on another state than there is before it")
            state = HostState(stored["to"][0], frozenset(stored["to"][1]))
        if lost := [digest for digest in state.blobs if c.blob_key(digest) not in self.there]:
            raise Broken(f"{info.checkpoint_id} lacks {lost}")

    def _nothing_else(self, state: Any) -> None:
        rows = {row.checkpoint_id: row for row in (*state.support, *state.kept)}
        needed: set[str] = set()
        for first in (state.tip, *(row.checkpoint_id for row in state.kept)):
            wanted = first
            while wanted in rows and wanted not in needed:
                needed.add(wanted)
                wanted = rows[wanted].parent
        if needed != set(rows):
            raise Broken(f"{set(rows) - needed} are there, and nothing needs them")
        holders = {state.tip, *(row.checkpoint_id for row in state.kept)} & set(rows)
        blobs = {digest for one in holders for digest in json.loads(self.there[c.attachment_key(one)])["to"][1]}
        wanted_keys = {c.attachment_key(one) for one in rows} | {c.blob_key(digest) for digest in blobs}
        if wanted_keys != set(self.there):
            more, less = set(self.there) - wanted_keys, wanted_keys - set(self.there)
            raise Broken(f"{more} are there for nothing, {less} are not there")
        if state.tip and state.tip not in rows:
            raise Broken(f"the next one would build on {state.tip}, which is gone")

    def _spared(self, before: Any, state: Any) -> None:
        """Of what went in this step: not the best, nothing pinned, no emergency one before others of its position."""
        last = [event for event in self.last.events if isinstance(event, c.CheckpointPinned)]
        unpinned = {event.checkpoint_id for event in last if not event.pinned}
        now = {row.checkpoint_id: row for row in state.kept}
        were = {row.checkpoint_id: row for row in before.kept}
        best = next(iter(best_first(tuple({**were, **now}.values()))), None)
        if best is not None and best not in now:
            raise Broken(f"the newest good one, {best}, is gone")
        for row in before.kept:
            if row.checkpoint_id in now:
                continue
            if row.pinned and row.checkpoint_id not in unpinned:
                raise Broken(f"{row.checkpoint_id} was pinned")
            alike = [one for one in state.kept if one.position == row.position and not one.damaged and not one.pinned]
            before_others = alike and not any(one.kind == c.EMERGENCY for one in alike)
            if row.kind == c.EMERGENCY and not row.damaged and before_others:
                raise Broken(f"{row.checkpoint_id} went before {alike[0].checkpoint_id} of the same position")


def plain(state: HostState) -> list[Any]:
    """A state as JSON has it."""
    return [state.number, sorted(state.blobs)]


def data_of(state: HostState, parent: str, before: HostState) -> bytes:
    """What is stored of a state: a whole one is large, a change small."""
    stored = {"parent": parent, "from": plain(before), "to": plain(state), "pad": "" if parent else "x" * 100}
    return json.dumps(stored).encode()
