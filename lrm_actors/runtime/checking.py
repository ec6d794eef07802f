"""What a system is given, looked at before anything of it runs. Talks to nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lrm_actors.domain import dead_letters, trimming, watching
from lrm_actors.domain.behavior import Effect, Spec, Wire
from lrm_actors.domain.contract import shown
from lrm_actors.domain.deliveries import DELIVERIES
from lrm_actors.errors import WiringError
from lrm_actors.runtime.control import Handler

RESERVED = frozenset((dead_letters.STREAM, trimming.STREAM, watching.STREAM, DELIVERIES))
"""Streams that the runtime writes itself, so that no actor may have their names."""


def check_parts(
    specs: Sequence[Spec[Any]], wires: Sequence[Wire], handlers: Mapping[type[Effect], Handler] | None
) -> None:
    """See that actors, wiring and handlers can work together.

    Raises:
        WiringError: they cannot; names what does not fit.
    """
    if isinstance(specs, Spec):
        raise WiringError(f"one Spec, of {specs.name}, was given in place of many", hint="give a list of Specs")
    _check_specs(specs)
    _check_wires(wires, {spec.name for spec in specs})
    given: Mapping[Any, Any] = handlers or {}
    for kind, handler in given.items():
        if not (isinstance(kind, type) and issubclass(kind, Effect)):
            hint = "the keys of handlers are subclasses of Effect"
            raise WiringError(f"there is a handler for {shown(kind)}, which is no class of effects", hint=hint)
        if not callable(handler):
            hint = "give a function of the effect"
            raise WiringError(f"the handler of {kind.__name__} is {shown(handler)}, which is no function", hint=hint)


def _check_specs(specs: Sequence[Spec[Any]]) -> None:
    for spec in specs:
        if not isinstance(spec, Spec):
            raise WiringError(f"{shown(spec)} is among the actors and is no Spec", hint="give a list of Specs")
        if spec.name in RESERVED:
            hint = f"give it another name; {', '.join(sorted(RESERVED))} are kept by the runtime"
            raise WiringError(f"an actor cannot be named {spec.name}", hint=hint)
    twice = sorted(name for name, count in Counter(spec.name for spec in specs).items() if count > 1)
    if twice:
        msg = f"more than one actor is named {', '.join(twice)}"
        raise WiringError(msg)


def _check_wires(wires: Sequence[Wire], names: set[str]) -> None:
    rows = Counter((wire.event, wire.to) for wire in wires)
    for (event, to), count in rows.items():
        if count > 1:
            msg = f"more than one row wires {event.__name__} to {to}"
            raise WiringError(msg)
        if to not in names:
            msg = f"{event.__name__} is wired to {to!r}, which is not among the actors"
            raise WiringError(msg, hint=f"the actors are {', '.join(sorted(names))}")
