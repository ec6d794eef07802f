"""Which checkpoints are kept, and which is tried first: the words of one, and pure helpers of the checkpointer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from operator import attrgetter

from msgspec import Struct

from eventstore.events import float_fields
from eventstore.frozen import frozen

PERIODIC, EMERGENCY, MANUAL = "periodic", "emergency", "manual"
KINDS = (PERIODIC, EMERGENCY, MANUAL)
SPARED_BY_AGE = 3
"""Newest sound checkpoints that no age removes: the clock may be wrong, and the agent may have slept that long."""
HOUR_S, DAY_S = 3_600.0, 86_400.0


@frozen(field_transformer=float_fields)
class CheckpointerConfig:
    """When checkpoints are taken, and which stay."""

    interval_s: float = 300.0
    max_checkpoints: int = 50
    """Newest periodic and manual ones kept; emergency and pinned ones are counted apart."""
    max_emergency: int = 10
    max_age_s: float = 0.0
    """Age from which periodic and manual ones go, however few there are; 0 for none."""
    keep_hourly_h: int = 0
    """Of those beyond ``max_checkpoints`` the first of each hour stays, for so many hours."""
    keep_daily_days: int = 0
    """Of those the first of each day stays, for so many days."""
    every_steps: int = 0
    """A checkpoint whenever so many steps were committed since the last; 0 for none."""


class CheckpointInfo(Struct, frozen=True, omit_defaults=True):
    """One checkpoint, as the log and the state name it. What is at its default is not written."""

    checkpoint_id: str
    kind: str
    taken_at_s: float
    """Wall time."""
    position: int
    """Head of the log when the state was captured: everything up to it is in the checkpoint."""
    size_bytes: int
    digest: str
    """Of the whole state and of what stands beside it, hex."""
    reason: str
    damaged: bool = False
    parent: str = ""
    """The checkpoint whose state its bytes are a change of; empty for one that is whole."""
    stored_bytes: int = 0
    """Of its own bytes as they are kept, without its blobs; 0 in logs of earlier releases."""
    added: tuple[str, ...] = ()
    """Digests of blobs that its state holds and its parent's does not; all of them without a parent."""
    gone: tuple[str, ...] = ()
    """Digests of blobs that its parent's state holds and its own does not."""
    pinned: bool = False
    """No rule of retention removes it."""
    stall_ms: float = 0.0
    """Longest time that the capture held the host's event loop."""
    state_version: int = 1
    """Schema version of the host's state."""


@frozen
class Tally:
    """How many of each sort are kept, so that nobody has to count them at every checkpoint."""

    ordinary: int = 0
    """Periodic and manual ones; sound, not pinned."""
    emergencies: int = 0
    """Sound, not pinned."""
    damaged: int = 0
    """Not pinned."""
    pinned: int = 0

    def changed(self, gone: Iterable[CheckpointInfo] = (), come: Iterable[CheckpointInfo] = ()) -> Tally:
        """The tally without some and with others."""
        counts = [self.ordinary, self.emergencies, self.damaged, self.pinned]
        for infos, by in ((gone, -1), (come, 1)):
            for info in infos:
                counts[_sort(info)] += by
        return Tally(*counts)


def _sort(info: CheckpointInfo) -> int:
    if info.pinned:
        return 3
    if info.damaged:
        return 2
    return 1 if info.kind == EMERGENCY else 0


def best_first(kept: Sequence[CheckpointInfo]) -> tuple[str, ...]:
    """Ids of the sound ones in the order to try them: newest position first, at the same one emergencies first.

    Args:
        kept: oldest first. There may be thousands, and an agent waits to go on: so the sort is a stable one of what is
            nearly in order already.
    """
    sound = [info for info in kept if not info.damaged]
    order = [info for info in sound if info.kind != EMERGENCY]
    order += [info for info in sound if info.kind == EMERGENCY]
    order.sort(key=_position)
    return tuple([info.checkpoint_id for info in reversed(order)])


_position = attrgetter("position")


def beyond_retention(
    kept: Sequence[CheckpointInfo], config: CheckpointerConfig, now_s: float = 0.0, tally: Tally | None = None
) -> tuple[str, ...]:
    """Ids of those that need not be kept, oldest first.

    The newest ``max_checkpoints`` periodic and manual ones stay, and the newest ``max_emergency`` emergency ones.
    Where it is asked for, the first of each hour and of each day stay longer, and periodic and manual ones go by age.
    A damaged one takes nobody's place, and goes as soon as there is a sound one after it. Pinned ones stay. What would
    be restored first stays whatever the rules say, and so does the newest emergency one of a position as long as
    another one of that position does.

    Args:
        kept: oldest first.
        config: says how many, and for how long.
        now_s: wall time.
        tally: of ``kept``, where it is known: then nothing is looked at when nothing is to go.
    """
    tally = Tally().changed(come=kept) if tally is None else tally
    over = tally.ordinary - max(config.max_checkpoints, 1)
    too_many = tally.emergencies - config.max_emergency
    damaged = tally.damaged
    if over <= 0 and too_many <= 0 and not damaged and not config.max_age_s:
        return ()
    thinning = _Thinning(config, now_s)
    spared = set(_newest_sound(kept, SPARED_BY_AGE)) if config.max_age_s else set()
    newest_sound = next(iter(_newest_sound(kept, 1)), "")
    gone: list[CheckpointInfo] = []
    for info in kept:
        if info.pinned:
            continue
        if info.damaged:
            damaged -= 1
            if info.checkpoint_id < newest_sound:
                gone.append(info)
        elif info.kind == EMERGENCY:
            if too_many > 0:
                gone.append(info)
            too_many -= 1
        else:
            old = bool(config.max_age_s) and now_s - info.taken_at_s >= config.max_age_s
            if (over > 0 and not thinning.keeps(info)) or (old and info.checkpoint_id not in spared):
                gone.append(info)
            over -= 1
            if not old and over <= 0 and too_many <= 0 and damaged <= 0:
                break
    return _but_the_best(kept, gone) if gone else ()


class _Thinning:
    """Goes through those beyond the limit, oldest first, and says which are the first of their hour or day."""

    def __init__(self, config: CheckpointerConfig, now_s: float) -> None:
        self._now_s = now_s
        spans = ((HOUR_S, config.keep_hourly_h * HOUR_S), (DAY_S, config.keep_daily_days * DAY_S))
        self._spans = tuple(span for span in spans if span[1])
        self._seen: set[tuple[float, int]] = set()

    def keeps(self, info: CheckpointInfo) -> bool:
        """Whether this one stays; each is asked about once."""
        stays = False
        for every_s, for_s in self._spans:
            place = every_s, int(info.taken_at_s // every_s)
            if place not in self._seen:
                self._seen.add(place)
                stays |= self._now_s - info.taken_at_s < for_s
        return stays


def _but_the_best(kept: Sequence[CheckpointInfo], gone: list[CheckpointInfo]) -> tuple[str, ...]:
    """What is to go, without what would be restored first, and without the last emergency one of a position."""
    ids = {info.checkpoint_id for info in gone}
    newest = kept[-1]
    if newest.damaged or newest.checkpoint_id in ids or any(info.position >= newest.position for info in gone):
        ids.discard(next(iter(best_first(kept)), ""))
    for info in reversed(gone):
        if info.kind == EMERGENCY and not info.damaged and info.checkpoint_id in ids:
            others = [
                one
                for one in kept
                if one.position == info.position and not one.pinned and not one.damaged and one.checkpoint_id not in ids
            ]
            if others and not any(one.kind == EMERGENCY for one in others):
                ids.discard(info.checkpoint_id)
    return tuple(info.checkpoint_id for info in gone if info.checkpoint_id in ids)


def _newest_sound(kept: Sequence[CheckpointInfo], count: int) -> list[str]:
    newest: list[str] = []
    for info in reversed(kept):
        if len(newest) >= count:
            break
        if not info.damaged:
            newest.append(info.checkpoint_id)
    return newest


def new_id(now_s: float, last_ms: int, seed: str) -> str:
    """An id later than the one of ``last_ms``, also when the wall clock went back: ids sort by time."""
    now_ms = max(int(now_s * 1000), last_ms + 1)
    return f"checkpoint_{now_ms:013d}_{hashlib.blake2b(seed.encode(), digest_size=4).hexdigest()}"


def id_ms(checkpoint_id: str) -> int:
    """The time in an id, milliseconds since the epoch; 0 for a name that is no id."""
    middle = checkpoint_id.removeprefix("checkpoint_").partition("_")[0]
    return int(middle) if middle.isascii() and middle.isdigit() else 0
