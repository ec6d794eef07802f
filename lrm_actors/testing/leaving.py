"""What a process leaves on the disk when it ends without warning: killed at any operation, or with its power cut."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import attrs

from eventstore.testing.capture import Capture
from eventstore.testing.powercut import CrashState, PowerCut

End: TypeAlias = Literal["crash", "power cut"]

LOOK_BACK = 8
"""Entries before a point that are looked through for one at which a cut is another state than a moment before."""


@attrs.frozen
class Left:
    """A directory with what was left in it."""

    marks: Mapping[str, int]
    """How far things had come at that point."""
    how: str


def leave(capture: Capture, directory: Path, end: End, *, since: int, point: int, choice: int) -> Left:
    """Put what was left into a new directory.

    Args:
        capture: what the process did.
        directory: made here.
        end: a killed process leaves all it wrote; after a power cut only what was synchronised is certain.
        since: entries before this one are behind it for certain.
        point: how many entries before the last one it ends: 0 is after everything, more than there are wraps around.
        choice: which of the states that are possible there.
    """
    entries = capture.entries
    last = len(entries) - point % (len(entries) - since + 1)
    model: Literal["keep_all", "reorder"] = "keep_all" if end == "crash" else "reorder"
    state = _state(PowerCut(entries[:last], model=model, seed=choice, samples=3, start=last - 1), choice)
    for back in range(1, LOOK_BACK):
        if state is not None:
            break
        state = _state(PowerCut(entries[:last], model=model, seed=choice, samples=3, start=last - 1 - back), choice)
    if state is None:
        state = _state(PowerCut(entries[:last], model="keep_all"), len(entries))
    directory.mkdir(mode=0o700)
    if state is None:  # nothing was written yet
        return Left({}, "nothing")
    state.write(directory)
    return Left(state.marks, state.how)


def _state(cut: PowerCut, choice: int) -> CrashState | None:
    """One of the first states; where there are fewer, the last. Valid as long as no other is asked for."""
    chosen: CrashState | None = None
    for number, state in enumerate(cut.states()):
        chosen = state
        if number >= choice:
            break
    return chosen
