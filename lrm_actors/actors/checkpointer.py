"""How a checkpoint is taken: the host's state, cut at one instant, turned into bytes that say what changed.

Talks to the host through the ``capture`` function it is given, on the worker thread of the effect. Never touches a
file: the bytes are committed by the log together with the event that names them.

**What belongs to a checkpoint.** Its position promises that every step committed up to it is contained in the state and
no later one, because recovery hands the steps after the position to the host again. So state and position must be taken
at one boundary between two steps. Only the mode knows that boundary; hence ``capture`` returns both, cut while the
boundary is held. Everything slower happens afterwards on bytes of our own, while the host goes on and may change its
state as it likes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from eventstore.frozen import frozen
from eventstore.protocol import EventReader
from lrm_actors.actors.analyzer import text_of
from lrm_actors.actors.checkpoints.cutting import Cutter
from lrm_actors.actors.checkpoints.encoding import EncodedCheckpoint, Encoder
from lrm_actors.actors.checkpoints.leaves import Cut, Node
from lrm_actors.actors.checkpoints.marking import COMPARE
from lrm_actors.actors.checkpoints.restoring import rebase
from lrm_actors.domain.behavior import Command, Effect
from lrm_actors.domain.checkpointer import (
    EMERGENCY,
    Blob,
    CaptureFailed,
    CaptureState,
    MarkDamaged,
    RebaseCheckpoints,
    RebaseFailed,
    StoreCheckpoint,
    StoreRebased,
)
from lrm_actors.errors import CheckpointDamaged

CAPTURE_WAIT_S = 120.0
"""How long a capture waits for one before it, whose host may hang. Then it has failed."""
EMERGENCY_WAIT_S = 1.0
"""How long an emergency waits for the open step to end. Then it is captured inside the step."""
EMERGENCY_TURN_S = 0.25
"""How long it waits for a capture before it. Then it is made apart from the others. With the time above it is less than
what an orderly stop has for it."""


@frozen
class Captured:
    """A state as it was at one instant, and the position of the log that it belongs to."""

    cut: Cut
    position: int
    stall_ms: float = 0.0
    """Longest time that the host's loop was held."""
    way: str = COMPARE
    """How the change was found."""
    state_version: int = 1
    """Of the host's state."""


Capture = Callable[[CaptureState, Node | None], Captured]
"""Blocks until a boundary between two steps is held, has the host give its state there, and cuts it, given what was cut
before. May raise anything: the checkpoint has then failed, and nothing else."""


def cut(state: Any, position: int, previous: Node | None = None) -> Captured:
    """Cut a state in one go, on no loop that could be held. Call it where no step can begin or commit.

    Args:
        state: plain data, or objects of attrs, dataclasses or pydantic.
        position: head of the log now; every committed step up to it is in ``state``, and no later one.
        previous: what was cut before.

    Raises:
        NotCapturable: something in it is not plain data; the message names the path.
    """
    return Captured(Cutter(previous).at_once(state), position)


class Taker:
    """Takes the checkpoints of one log, each as what changed since the one before.

    Args:
        capture: how the host's state is had.
        taken: told when the state of a capture has been turned into bytes.
    """

    def __init__(self, capture: Capture, taken: Callable[[], object] = lambda: None) -> None:
        self._capture = capture
        self._taken = taken
        self._encoder = Encoder()
        self._one = threading.Lock()

    def take(self, effect: CaptureState) -> Command:
        """Carry the effect out."""
        try:
            return self._take(effect)
        except BaseException as error:  # noqa: BLE001 - the host's function may end in any way, a cancellation too
            return CaptureFailed(effect.checkpoint_id, type(error).__qualname__, text_of(error))

    def _take(self, effect: CaptureState) -> Command:
        is_emergency = effect.kind == EMERGENCY
        wait_s = EMERGENCY_TURN_S if is_emergency else CAPTURE_WAIT_S
        if not self._one.acquire(timeout=wait_s):
            if not is_emergency:
                msg = f"the capture before it has not ended for {wait_s:g} s"
                raise TimeoutError(msg)
            return _store(effect, *_encoded(effect, self._capture(effect, None), Encoder()))
        try:
            captured, encoded = _encoded(effect, self._capture(effect, self._encoder.root), self._encoder)
            self._taken()
            return _store(effect, captured, encoded)
        finally:
            self._one.release()


def _encoded(effect: CaptureState, captured: Captured, encoder: Encoder) -> tuple[Captured, EncodedCheckpoint]:
    return captured, encoder.encode(
        captured.cut,
        checkpoint_id=effect.checkpoint_id,
        hints=effect.hints,
        state_version=captured.state_version,
        whole=effect.whole,
    )


def _store(effect: CaptureState, captured: Captured, encoded: EncodedCheckpoint) -> StoreCheckpoint:
    return StoreCheckpoint(
        checkpoint_id=effect.checkpoint_id,
        kind=effect.kind,
        reason=effect.reason,
        data=encoded.data,
        digest=encoded.digest,
        size_bytes=encoded.size_bytes,
        position=captured.position,
        hints=effect.hints,
        parent=encoded.parent,
        parent_digest=encoded.parent_digest,
        blobs=tuple(Blob(digest, data) for digest, data in encoded.blobs),
        gone=encoded.gone,
        stall_ms=round(captured.stall_ms, 3),
        way=captured.way,
        missed=captured.cut.missed,
        state_version=captured.state_version,
    )


class Rebaser:
    """Stores chains anew, so that they need nothing that is not kept.

    Args:
        reader: the log.
    """

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader

    def rebase(self, effect: RebaseCheckpoints) -> Command:
        """Carry the effect out."""
        try:
            rows = rebase(self._reader, effect.chain, effect.keep, let_others_in=lambda: time.sleep(0))
        except CheckpointDamaged as error:
            return MarkDamaged(error.checkpoint_id, error.reason, effect.chain)
        except Exception as error:  # noqa: BLE001 - the log may end beneath it; the chain stays as it is
            return RebaseFailed(effect.keep, type(error).__qualname__, text_of(error))
        return StoreRebased(rows)


def checkpoint_handlers(
    reader: EventReader, capture: Capture, taken: Callable[[], object] = lambda: None
) -> Mapping[type[Effect], Callable[[Any], Command | None]]:
    """How the checkpoints of one log are taken and stored anew. See ``Taker`` and ``Rebaser``."""
    return {CaptureState: Taker(capture, taken).take, RebaseCheckpoints: Rebaser(reader).rebase}
