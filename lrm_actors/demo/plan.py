"""Which harm is done when: a list that follows from the seed alone, told in steps of the agent, not in seconds."""

from __future__ import annotations

import enum
import random
from typing import Any

import attrs


class Kind(enum.Enum):
    """What can be done to an agent, its browser and its site."""

    KILL_AGENT = "kill agent"
    """SIGKILL to the agent's process."""
    KILL_WORKER = "kill worker"
    """SIGKILL to the browser's process."""
    FREEZE_WORKER = "freeze worker"
    """SIGSTOP to the browser's process."""
    SITE_HANGS = "site hangs"
    """The site accepts and never answers."""
    SITE_FAILS = "site fails"
    """The site answers with status 500."""

    @property
    def of_site(self) -> bool:
        """It is done to the site, and so only to our own."""
        return self in {Kind.SITE_HANGS, Kind.SITE_FAILS}


@attrs.frozen
class Planned:
    """One harm to be done."""

    number: int
    """From 1, in the order in which they are done."""
    kind: Kind
    step: int
    """It is armed when the agent begins to fetch a page in this step or one after it, and not before the last fault is
    recovered from."""
    offset_s: float
    """How long after that it is done."""

    def to_data(self) -> dict[str, Any]:
        """As plain data."""
        return {"number": self.number, "kind": self.kind.value, "step": self.step, "offset_s": self.offset_s}


FAULTS = (
    Kind.KILL_AGENT,
    Kind.KILL_AGENT,
    Kind.KILL_AGENT,
    Kind.KILL_AGENT,
    Kind.KILL_WORKER,
    Kind.FREEZE_WORKER,
    Kind.SITE_HANGS,
    Kind.SITE_FAILS,
)
INSIDE_S = (0.02, 0.1)
"""Offsets that fall inside a step, while the site is thinking."""
KILLS_INSIDE = 2
"""So many kills of the agent fall inside a step, so that it is in doubt and repeated."""
ANYWHERE_S = (0.0, 0.4)
"""Offsets that fall inside a step, or between it and the next."""
STEPS_A_FAULT = 2
"""Least length of a fault's stretch where all planned faults must come to pass."""
LAST_STEPS_SPARED = 4
"""A fault needs steps after it: its offset reaches into the next, and a browser that nobody needs any more, or a site
that nobody asks, is not missed."""


def make_plan(seed: int, steps: int, *, site_faults: bool = True) -> tuple[Planned, ...]:
    """The plan of one seed; the same arguments give the same plan.

    The faults come in random order, one in each of as many equal stretches of the run, so there is progress between any
    two of them. The first kills of the agent fall inside a step.

    Args:
        seed: any integer.
        steps: how many steps the agent will make at least.
        site_faults: whether the site is ours to be harmed. Where it is not, nobody knows how many pages it has, and a
            stretch may be a single step.

    Raises:
        ValueError: the steps do not suffice for a stretch for each fault.
    """
    kinds = [kind for kind in FAULTS if site_faults or not kind.of_site]
    first, last = 2, steps - LAST_STEPS_SPARED
    needed = len(kinds) * (STEPS_A_FAULT if site_faults else 1)
    if last - first + 1 < needed:
        msg = f"{len(kinds)} faults need at least {needed + 1 + LAST_STEPS_SPARED} steps, got {steps}"
        raise ValueError(msg)
    draw = random.Random(seed)
    draw.shuffle(kinds)
    planned: list[Planned] = []
    for index, kind in enumerate(kinds):
        begin = first + (last - first + 1) * index // len(kinds)
        end = first + (last - first + 1) * (index + 1) // len(kinds)
        kills = sum(one.kind is Kind.KILL_AGENT for one in planned)
        inside = kind is Kind.KILL_AGENT and kills < KILLS_INSIDE
        offset_s = round(draw.uniform(*(INSIDE_S if inside else ANYWHERE_S)), 3)
        planned.append(Planned(index + 1, kind, draw.randrange(begin, end), offset_s))
    return tuple(planned)
