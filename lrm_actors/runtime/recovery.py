"""How an actor's state comes back: the newest usable snapshot, then the events after it. Reads only."""

from __future__ import annotations

import logging
from typing import Any

from eventstore.codec import decode_state
from eventstore.protocol import EventReader
from lrm_actors.domain.behavior import Spec

logger = logging.getLogger(__name__)


def recover_state(reader: EventReader, spec: Spec[Any]) -> tuple[Any, int]:
    """The state of an actor at the end of its stream, and the version it is at."""
    state, version = spec.initial, 0
    snapshot = reader.snapshot(spec.name, schema=spec.state_schema)
    if snapshot is not None:
        try:
            state, version = decode_state(snapshot.data, type(spec.initial)), snapshot.version
        except ValueError as error:
            # A snapshot is a shortcut; the events say the same, slower.
            logger.warning("%s: snapshot at version %d not used: %s", spec.name, snapshot.version, error)
    folded = reader.fold(spec.name, spec.evolve, state, after=version)
    return folded.state, folded.version
