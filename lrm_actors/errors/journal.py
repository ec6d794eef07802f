"""Errors of steps, effects and durable functions: refusals of the journal, LRM-2009 and on."""

from __future__ import annotations

from lrm_actors.errors.asking import CommandRefused


class StepOrder(CommandRefused):
    """A step was begun or committed out of order."""

    code = "LRM-2009"
    hint = "commit or abandon the open step first"


class AmbiguousEffect(CommandRefused):
    """An effect was asked for while another of its name is under way in the same step: which is which, nobody knows."""

    code = "LRM-2016"

    def __init__(self, name: str, step: int) -> None:
        super().__init__(
            f"effect {name!r} is under way in step {step}, and is asked for again",
            actor="journal",
            hint="put what differs into the name, as in mode.effect(f'fetch {url}', ...), or await one after the other",
        )
        self.name, self.step = name, step


class EffectInDoubt(CommandRefused):
    """Nobody knows whether an effect happened, and its policy leaves it to a human. It was not done again.

    The step is abandoned where this leaves it, and can be begun again once the effect is settled.
    """

    code = "LRM-2017"

    def __init__(self, effect: str, attempt: int, why: str, key: str) -> None:
        super().__init__(
            f"effect {effect} may have happened or not (attempt {attempt}): {why}",
            actor="journal",
            hint="find out, and begin the step again after: lrm effects settle"
            f" {effect!r} --happened RESULT (or --not-happened, or --skip)",
        )
        self.effect, self.attempt, self.why, self.key = effect, attempt, why, key
        """``key``: its idempotency key."""


class JournalMismatch(CommandRefused):
    """The code is not the one that what is on record of a step's effects belongs to. Nothing was done."""

    code = "LRM-2018"

    def __init__(self, message: str, step: int, effects: tuple[str, ...] = ()) -> None:
        super().__init__(
            message,
            actor="journal",
            hint="run the code that wrote it; or give up what is on record, with step.forget_effects() inside the step"
            f" or 'lrm effects forget {step}'",
        )
        self.step, self.effects = step, effects
        """``effects``: those on record that do not fit, ``STEP/NAME#OCCURRENCE``."""


class NoSuchEffect(CommandRefused):
    """No effect of this name can be settled."""

    code = "LRM-2019"
    hint = "'lrm effects' lists those in doubt"

    def __init__(self, effect: str, why: str) -> None:
        super().__init__(f"no effect {effect!r} can be settled: {why}", actor="journal")
        self.effect, self.why = effect, why


class TooManyEffects(CommandRefused):
    """A step has as many effects on record as it may."""

    code = "LRM-2020"
    hint = "do the work in several steps: the effects of a committed step are no longer carried along"

    def __init__(self, step: int, name: str, limit: int) -> None:
        super().__init__(f"step {step} ({name}) has {limit:,} effects on record", actor="journal")
        self.step, self.limit = step, limit


class ResultNotKept(CommandRefused):
    """An effect happened, and what it gave cannot be stored. It is on record as done, and is not done again."""

    code = "LRM-2021"

    def __init__(self, effect: str, why: str) -> None:
        super().__init__(
            f"effect {effect} happened, and its result cannot be kept: {why}",
            actor="journal",
            hint="have its function give a JSON value; for this one, give it by hand:"
            f" lrm effects settle {effect!r} --happened RESULT",
        )
        self.effect, self.why = effect, why


class TaskConflict(CommandRefused):
    """A durable function is called with something else than what is on record of it was called with."""

    code = "LRM-2022"

    def __init__(self, task: str, key: str, step: int) -> None:
        named = f"{task!r} with key {key!r}" if key else repr(task)
        super().__init__(
            f"task {named} is called with other arguments than in step {step}, which is on record",
            actor="journal",
            hint="give each run a key of its own, as in mode.task('report', key=lambda city: city)",
        )
        self.task, self.key, self.step = task, key, step
