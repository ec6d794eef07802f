"""The agent's own steps: begun, then committed with their result, so that a resumed agent goes on where it was."""

from __future__ import annotations

from typing import Any

import attrs

from eventstore.events import event
from lrm_actors.domain.behavior import Command


@attrs.frozen
class OpenStep:
    """A step begun and not committed."""

    step: int
    name: str
    attempt: int
    """1 for the first time."""
    begun_in_start: int
    """Which start of the process began it."""


@attrs.frozen
class JournalState:
    committed: int = 0
    """Number of the last committed step; steps run from 1 without gaps."""
    open: OpenStep | None = None
    start: int = 0
    """How often a process has opened this journal."""
    in_doubt: OpenStep | None = None
    """Begun by an earlier process and never committed: it may have happened or not."""
    repeated: int = 0
    abandoned: int = 0


# Commands


@attrs.frozen
class OpenJournal(Command):
    """A process takes the journal up. The reply is a dict: committed, in_doubt (step, name, attempt) or None."""


@attrs.frozen
class BeginStep(Command):
    """The reply is a dict: step, attempt, repeated (bool: an earlier process had begun it).

    Beginning while a step is open is refused with ``StepOrder``.
    """

    name: str


@attrs.frozen
class CommitStep(Command):
    step: int
    result: Any
    """A JSON value."""


@attrs.frozen
class AbandonStep(Command):
    """The step failed and will be begun again, or never."""

    step: int
    error: str


# Events


@event("journal.opened", 1)
class JournalOpened:
    start: int


@event("journal.step_in_doubt", 1)
class StepInDoubt:
    step: int
    name: str
    attempt: int


@event("journal.step_begun", 1)
class StepBegun:
    step: int
    name: str
    attempt: int


@event("journal.step_repeated", 1)
class StepRepeated:
    """A step in doubt is begun again: what it does outside may happen twice."""

    step: int
    name: str
    attempt: int


@event("journal.step_committed", 1)
class StepCommitted:
    step: int
    name: str
    result: Any


@event("journal.step_abandoned", 1)
class StepAbandoned:
    step: int
    name: str
    error: str
