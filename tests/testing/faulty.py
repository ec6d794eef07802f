"""Faults that an actor of anybody's may have, each planted in a copy of the mailing actor."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import random
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from lrm_actors.domain.behavior import Command, Context, Decision, StartTimer, then
from tests.testing import mailing as m


def hand_over(state: m.Outbox, command: Any, ctx: Context, wall_s: float) -> Decision:
    """A reply that says more than it should."""
    decision = m.decide(state, command, ctx)
    return attrs.evolve(decision, reply=[decision.reply, wall_s])


def with_clock(state: m.Outbox, command: Any, ctx: Context) -> Decision:
    """Decides by the clock, by whole seconds: two runs in a row agree."""
    return hand_over(state, command, ctx, int(time.time()))


def with_date(state: m.Outbox, command: Any, ctx: Context) -> Decision:
    """Decides by the year."""
    return hand_over(state, command, ctx, dt.datetime.now(dt.UTC).year)


def with_chance(state: m.Outbox, command: Any, ctx: Context) -> Decision:
    """Decides by chance, that comes out the same this time."""
    return hand_over(state, command, ctx, 0.0 if random.random() < 2 else 1.0)


def with_uuid(state: m.Outbox, command: Any, ctx: Context) -> Decision:
    """Makes an id of its own."""
    return hand_over(state, command, ctx, len(str(uuid.uuid4())))


def with_file(state: m.Outbox, command: Any, ctx: Context) -> Decision:
    """Looks at a file."""
    return hand_over(state, command, ctx, float(Path("/nowhere/at/all").exists()))


def caught(state: m.Outbox, command: Any, ctx: Context) -> Decision:
    """Opens a file, and hides that it failed."""
    with contextlib.suppress(OSError), open("/nowhere/at/all"):  # noqa: PTH123
        pass
    return m.decide(state, command, ctx)


NUMBERS = itertools.count()
SEEN: list[int] = []
TOTALS = {"events": 0}


def counting(state: m.Outbox, command: Any, ctx: Context) -> Decision:
    """Counts the decisions for itself."""
    return hand_over(state, command, ctx, next(NUMBERS))


def remembering(state: m.Outbox, fact: Any) -> m.Outbox:
    """Keeps a list beside the state."""
    SEEN.append(1)
    return m.evolve(state, fact)


def totalling(state: m.Outbox, fact: Any) -> m.Outbox:
    """Keeps a total beside the state."""
    TOTALS["events"] += 1
    return m.evolve(state, fact)


def timed(state: m.Outbox, fact: Any) -> m.Outbox:
    """Asks for the time while it folds."""
    time.monotonic()
    return m.evolve(state, fact)


def numbered(state: m.Outbox, fact: Any) -> m.Outbox:
    """Counts the folds for itself."""
    return attrs.evolve(m.evolve(state, fact), count=next(NUMBERS))


def in_place(state: m.Outbox, fact: Any) -> m.Outbox:
    """Changes the state that it was given."""
    object.__setattr__(state, "count", state.count + 1)
    return state


def deciding_in_place(state: m.Outbox, command: Any, ctx: Context) -> Decision:
    """Changes the state where only evolve may say what it is."""
    object.__setattr__(state, "count", state.count + 1)
    return then(m.Reminded())


def folded_otherwise(state: m.Outbox, command: Any, ctx: Context) -> Decision:
    """Says what its event folds to, and evolve says otherwise."""
    return then(m.Reminded(), folded=attrs.evolve(state, count=state.count + 7))


def changing_the_command(state: m.Outbox, command: Any, ctx: Context) -> Decision:
    """Changes the command."""
    object.__setattr__(command, "text", "changed")
    return then()


def changing_the_event(state: m.Outbox, fact: Any) -> m.Outbox:
    """Changes the event."""
    object.__setattr__(fact, "text", "changed")
    return state


def bad_event(state: m.Outbox, command: Any, ctx: Context) -> Decision:
    """An event with text that is none."""
    return then(m.Planned(1, "x\ud800", 1.0))


def no_event(state: m.Outbox, command: Any, ctx: Context) -> Decision:
    """An event that was never declared."""
    return then(m.Mail(1, "never declared"))


def bad_reply(state: m.Outbox, command: Any, ctx: Context) -> Decision:
    """A reply that is no JSON value."""
    return then(m.Reminded(), reply={1, 2})


def bad_state(state: m.Outbox, fact: Any) -> m.Outbox:
    """A state that would come back otherwise."""
    return attrs.evolve(state, waiting=[m.Mail(1, "a list")])  # type: ignore[arg-type]  # the fault


def bad_timer(state: m.Outbox, command: Any, ctx: Context) -> Decision:
    """A timer whose command could not be kept."""
    return then(effects=[StartTimer("odd", 1.0, Odd(print))])


@attrs.frozen
class Odd(Command):
    call: Callable[..., Any]


def careless(state: m.Outbox, command: Any, ctx: Context) -> Decision:
    """An effect without an event: no reply is kept for a retry."""
    return then(effects=[m.Deliver(1, "again and again")])


FAULTS: tuple[tuple[str, str, Any], ...] = (
    ("decide-reaches-outside", "decide", with_clock),
    ("decide-reaches-outside", "decide", with_date),
    ("decide-reaches-outside", "decide", with_chance),
    ("decide-reaches-outside", "decide", with_uuid),
    ("decide-reaches-outside", "decide", with_file),
    ("decide-reaches-outside", "decide", caught),
    ("decide-differs", "decide", counting),
    ("argument-changed", "decide", deciding_in_place),
    ("argument-changed", "decide", changing_the_command),
    ("state-is-not-the-fold", "decide", folded_otherwise),
    ("event-not-storable", "decide", bad_event),
    ("event-not-storable", "decide", no_event),
    ("reply-not-storable", "decide", bad_reply),
    ("evolve-reaches-outside", "evolve", timed),
    ("evolve-differs", "evolve", numbered),
    ("outside-changed", "evolve", remembering),
    ("outside-changed", "evolve", totalling),
    ("argument-changed", "evolve", in_place),
    ("argument-changed", "evolve", changing_the_event),
    ("state-not-storable", "evolve", bad_state),
    ("timer-forgotten", "recover", None),
)
"""The rule that each breaks, the function of the actor that it stands in for, and itself."""
