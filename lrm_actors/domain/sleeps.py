"""Durable sleeps of the journal: on record when they begin, so that a resumed agent waits for what is left only."""

from __future__ import annotations

from collections.abc import Mapping

from eventstore.events import event
from eventstore.frozen import frozen
from eventstore.records import Instant
from lrm_actors.domain.behavior import Command, Context, Decision, then
from lrm_actors.domain.deadlines import Deadline, deadline
from lrm_actors.errors import StepOrder

MAX_KEYS = 1_000
"""Keys of which the newest sleep is remembered until a step is committed. The oldest go, and are slept again."""
INSIDE = "inside "
"""How the names of those begin that were begun inside a step."""
LONGEST_S = 366 * 86_400.0
"""Seconds that one may take: a year."""


@frozen
class BeginSleep(Command):
    """The reply is a dict: remaining_s, resumed (bool: it had begun before).

    It belongs to the step that is open, or, begun between two steps, to the next one. Inside a step, which is repeated
    from its beginning, the same sleep is the same occurrence of its key. Between two steps the first one of a process
    goes on with the newest of its key, and each further one is another. One inside a step where none is open is refused
    with ``StepOrder``.
    """

    key: str
    inside: bool
    occurrence: int
    """From 1, of this key: inside since the step began, outside since the last one was committed, in this process."""
    delay_s: float


@event("journal.sleep_begun", 1)
class SleepBegun:
    step: int
    key: str
    inside: bool
    occurrence: int
    until: Deadline


@frozen
class Sleep:
    """The newest of a key; those before it are over."""

    occurrence: int
    until: Deadline


@frozen
class Sleeps:
    """Those that belong to the step that is next to be committed."""

    newest: Mapping[str, Sleep] = {}
    """By where they were begun and their key, oldest first."""

    def with_(self, begun: SleepBegun) -> Sleeps:
        """One more."""
        name = _name(begun.key, inside=begun.inside)
        newest = {other: sleep for other, sleep in self.newest.items() if other != name}
        while len(newest) >= MAX_KEYS:
            newest.pop(next(iter(newest)))
        return Sleeps({**newest, name: Sleep(begun.occurrence, begun.until)})

    def apart(self) -> tuple[Sleeps, Sleeps]:
        """Those begun inside the step, and those begun before it."""
        inside = {name: sleep for name, sleep in self.newest.items() if name.startswith(INSIDE)}
        before = {name: sleep for name, sleep in self.newest.items() if name not in inside}
        return Sleeps(inside), Sleeps(before)

    def together(self, other: Sleeps) -> Sleeps:
        """These and those, which are of other keys or other places."""
        return Sleeps({**self.newest, **other.newest}) if other.newest else self

    def left_s(self, now: Instant) -> dict[str, float]:
        """Seconds until each is over, by its key, of those that are not: the longest where a key has several."""
        left: dict[str, float] = {}
        for name, sleep in self.newest.items():
            if (seconds := sleep.until.remaining_s(now)) > 0.0:
                key = name.partition(" ")[2]
                left[key] = max(seconds, left.get(key, 0.0))
        return left


def begin(sleeps: Sleeps, command: BeginSleep, ctx: Context, *, step: int, is_open: bool) -> Decision:
    """Decide on one.

    Raises:
        StepOrder: it is inside a step, and none is open.
    """
    if command.inside and not is_open:
        about = f"cannot sleep {command.key!r} in step {step}: it is not open"
        raise StepOrder(about, actor="journal", hint="begin a step first, or sleep outside of any")
    known = sleeps.newest.get(_name(command.key, inside=command.inside))
    if known is not None and command.inside and command.occurrence < known.occurrence:
        return then(reply={"remaining_s": 0.0, "resumed": True})
    if known is not None and command.occurrence == (known.occurrence if command.inside else 1):
        return then(reply={"remaining_s": known.until.remaining_s(ctx.now), "resumed": True})
    until = deadline(ctx.now, command.delay_s)
    occurrence = command.occurrence if command.inside or known is None else known.occurrence + 1
    begun = SleepBegun(step, command.key, command.inside, occurrence, until)
    return then(begun, reply={"remaining_s": until.delay_s, "resumed": False})


def _name(key: str, *, inside: bool) -> str:
    return f"{INSIDE if inside else 'before '}{key}"
