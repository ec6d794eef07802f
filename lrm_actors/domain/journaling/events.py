"""What the journal puts on record."""

from __future__ import annotations

from typing import Any

from eventstore.events import event


@event("journal.opened", 1)
class JournalOpened:
    start: int
    journal_id: str = ""
    """The first time only: what makes the idempotency keys of this log's effects its own."""


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
    at: int | None = None
    of: int | None = None
    origin: int | None = None
    """Number of the step that the idempotency keys of its effects are made from, or one below 0; None: its own."""
    key: str | None = None
    """What tells a plain step from others of its name, which ends in it; None: nothing does, or it is a task."""


@event("journal.step_repeated", 1)
class StepRepeated:
    """A step in doubt is begun again: what it does outside may happen twice, but for its effects."""

    step: int
    name: str
    attempt: int


@event("journal.step_committed", 1)
class StepCommitted:
    step: int
    name: str
    result: Any
    progress: str = ""


@event("journal.step_abandoned", 1)
class StepAbandoned:
    step: int
    name: str
    error: str
    mismatch: bool = False
    """Its code did not fit what is on record of its effects."""


@event("journal.effect_intended", 1)
class EffectIntended:
    """Its function is called once this is in the log, and not before."""

    step: int
    name: str
    occurrence: int
    attempt: int
    policy: str
    given: str = ""


@event("journal.effect_done", 1)
class EffectDone:
    step: int
    name: str
    occurrence: int
    attempt: int
    result: Any
    lost: str = ""
    """Why the result is not there; empty: it is."""


@event("journal.effect_failed", 1)
class EffectFailed:
    step: int
    name: str
    occurrence: int
    attempt: int
    error: str


@event("journal.effect_in_doubt", 1)
class EffectUnfinished:
    """It was intended, and has no end: it may have happened or not. Nothing is repeated before this is in the log."""

    step: int
    name: str
    occurrence: int
    attempt: int
    policy: str
    why: str


@event("journal.effect_settled", 1)
class EffectSettled:
    """An effect in doubt is so no more."""

    step: int
    name: str
    occurrence: int
    attempt: int
    outcome: str
    """``done``, ``not_happened``, ``skipped``; ``repeated``: not known, it is done again; ``left``: never known."""
    how: str
    """``retried``, ``probed``, ``skipped``, ``by hand``, ``step ended``."""
    result: Any = None


@event("journal.effects_forgotten", 1)
class EffectsForgotten:
    """What was on record of a step's effects does not count any more."""

    step: int
    name: str
    finished: int
    in_doubt: int
    why: str
