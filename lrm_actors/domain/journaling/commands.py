"""What the journal is told: of the process, of its steps, and of the effects within a step."""

from __future__ import annotations

from typing import Any

from eventstore.frozen import frozen
from lrm_actors.domain.behavior import Command
from lrm_actors.domain.tasks import TaskCall

# Of the process and its steps


@frozen
class OpenJournal(Command):
    """A process takes the journal up. The reply is a dict: committed, in_doubt (step, name, attempt) or None."""


@frozen
class BeginStep(Command):
    """The reply is a dict: step, attempt, repeated (bool: it was in doubt).

    Besides, where there is something to say, ``origin`` as in ``StepBegun``, and ``forgotten``: how many finished
    effects of an abandoned step are not known any more, as this one has another name.

    Beginning while a step is open is refused with ``StepOrder``. ``attempt`` counts on after an abandoned step as after
    one in doubt: either may have had effects outside. Effects on record of an earlier attempt are for a step of the
    same name: under another name it is refused with ``JournalMismatch``, unless the earlier one was abandoned and none
    of its effects is in doubt; those are forgotten. Those of a task are set aside until that task begins again,
    whatever is in doubt of them, but where the task was in doubt only for a task that is known: one of the same name
    with another key, or one that was set aside. A plain step with a key is as good as a task in this.
    """

    name: str
    at: int | None = None
    """Which of ``of`` it is, for whoever asks how far the agent is; None: its number."""
    of: int | None = None
    """How many steps there will be; None: nobody knows."""
    task: TaskCall | None = None
    """The call of a durable function that it is, or its key. Another call than before is refused (``TaskConflict``)."""


@frozen
class CommitStep(Command):
    """The open step is done; or the step in doubt is, as the host found out.

    Any other number is refused with ``StepOrder``, and so is a step with an effect that is still being carried out. The
    reply is a dict: step.
    """

    step: int
    result: Any
    """A JSON value."""
    forget: bool = False
    """What is on record of the step's effects does not count any more."""
    progress: str = ""
    """How far the step came, in the host's words."""


@frozen
class AbandonStep(Command):
    """The step failed and will be begun again, or never; or the step in doubt is known not to have happened.

    Any other number is refused with ``StepOrder``. The reply is a dict: step. Its effects that have no end are in doubt
    from now on.
    """

    step: int
    error: str
    mismatch: bool = False
    """Its code did not fit what is on record: what it asked for beyond that, the right code need not ask for."""


# Of effects. An effect is named by its step's number, its name, and which of that name it is within the step.


@frozen
class IntendEffect(Command):
    """Its function is about to be called; once this is answered, it may be. The reply is a dict: attempt.

    One that is finished is refused with ``CommandRefused``; one that has no end is put in doubt first, and then
    settled, as ``settled`` says.
    """

    step: int
    name: str
    occurrence: int
    policy: str = "retry"
    given: str = ""
    settled: str = "retried"
    """How one in doubt is settled by this: ``retried``, or ``probed`` when it was found not to have happened."""
    forget: bool = False
    """What is on record of the step's effects does not count any more; this one is the first again."""
    of: str = ""
    """Name of its step: another one may have its number by now. Empty: whichever has it."""


@frozen
class FinishEffect(Command):
    """It happened. Told twice, it counts once; also where its task is set aside by now. The reply is None."""

    step: int
    name: str
    occurrence: int
    attempt: int
    result: Any
    """A JSON value."""
    lost: str = ""
    """Why the result cannot be kept, although it happened."""
    of: str = ""
    """Name of its step: another one may have its number by now. Empty: whichever has it."""


@frozen
class FailEffect(Command):
    """Its function raised, or was not called after all. The reply is None."""

    step: int
    name: str
    occurrence: int
    attempt: int
    error: str
    of: str = ""
    """Name of its step: another one may have its number by now. Empty: whichever has it."""


@frozen
class DoubtEffect(Command):
    """Nobody knows what came of it: its function was cancelled, or gave up waiting. The reply is None."""

    step: int
    name: str
    occurrence: int
    attempt: int
    error: str
    of: str = ""
    """Name of its step: another one may have its number by now. Empty: whichever has it."""


@frozen
class SettleEffect(Command):
    """Somebody knows what became of an effect in doubt. The reply is a dict: effect, step, status.

    Also for one whose result could not be kept. Anything else is refused: with ``NoSuchEffect`` where there is none.
    """

    effect: str
    """``STEP/NAME#OCCURRENCE``, or without the step; of a task set aside, the name of its step in place of a number."""
    outcome: str
    """``done`` with its result, ``not_happened``, or ``skipped`` with what is given in place of a result."""
    result: Any = None
    """A JSON value."""
    how: str = "by hand"
    """``by hand``, ``probed`` or ``skipped``: who knows."""


@frozen
class ForgetEffects(Command):
    """What is on record of a step's effects does not count any more: all are carried out anew. For a step not open.

    The reply is a dict: step, name, forgotten, in_doubt. Refused with ``StepOrder`` while the step is open, or when it
    is no step that has any.
    """

    step: int
    """0: those of the task set aside that ``task`` names."""
    why: str = "by hand"
    task: str = ""
    """Name of the step of a task set aside."""
