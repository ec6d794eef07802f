"""Hypothesis strategies for actors: commands of given classes, histories of events, and what may go wrong when.

Needs hypothesis: install ``lrm-actors[testing]``. Values of fields come from the strategies of ``eventstore.testing``,
with small pools beside them, so that two commands often mean the same thing.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import attrs
from hypothesis import strategies as st

from eventstore.testing.strategies import events, values
from lrm_actors.domain.behavior import Command, Spec

FEW_TEXTS = ("a", "b", "c")
FEW_INTEGERS = (0, 1, 2, 3)
FEW_FLOATS = (0.0, 0.5, 1.0, 60.0)
"""What fields of these types have most often: commands that never meet find nothing."""

FaultKind: TypeAlias = Literal["crash", "power cut", "io error", "disk full", "failing sync", "restart", "clock jump"]
FAULTS: tuple[FaultKind, ...] = typing.get_args(FaultKind)


@attrs.frozen
class PlannedFault:
    """One thing that goes wrong, before the command of this number."""

    before: int
    kind: FaultKind
    nth: int = 1
    """Which file operation from then on, for those that hit one."""
    sticky: bool = False
    """Whether every later one is hit too, until it is mended."""


def commands(*classes: type[Command], fields: Mapping[str, st.SearchStrategy[Any]] | None = None) -> Any:
    """Commands of some classes, their fields drawn by their annotations.

    Args:
        classes: at least one.
        fields: strategies to draw fields of these names from instead.
    """
    if not classes:
        msg = "name the classes of the commands, at least one"
        raise ValueError(msg)
    return st.one_of([_command(cls, fields or {}) for cls in classes])


def histories(*classes: type, max_size: int = 20, fields: Mapping[str, st.SearchStrategy[Any]] | None = None) -> Any:
    """Tuples of events of some classes, in any order, for ``BehaviorKit.initialize``.

    ``evolve`` has to take every one of them: a log that another release wrote may hold what today's ``decide`` would
    not decide on.

    Args:
        classes: declared with ``@event``, at least one.
        max_size: the most events in one.
        fields: strategies to draw fields of these names from instead.
    """
    pools = {name: strategy for cls in classes for name, strategy in _pools(cls).items()} | dict(fields or {})
    return st.lists(events(*classes, fields=pools), max_size=max_size).map(tuple)


def fault_schedules(
    *kinds: FaultKind, commands: int = 20, max_faults: int = 4
) -> st.SearchStrategy[tuple[PlannedFault, ...]]:
    """What goes wrong while so many commands are carried out, in order.

    Args:
        kinds: of these only; all of them where none is named.
        commands: faults come before one of these.
        max_faults: the most in one schedule.

    Raises:
        ValueError: there is no such kind.
    """
    unknown = set(kinds) - set(FAULTS)
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: it is one of {', '.join(FAULTS)}")
    one = st.builds(
        PlannedFault,
        before=st.integers(0, max(0, commands - 1)),
        kind=st.sampled_from(kinds or FAULTS),
        nth=st.integers(1, 4),
        sticky=st.booleans(),
    )
    return st.lists(one, max_size=max_faults).map(lambda found: tuple(sorted(found, key=lambda fault: fault.before)))


def commands_of(spec: Spec[Any]) -> tuple[type[Command], ...]:
    """The command classes that an actor takes, as far as can be seen.

    Those that its spec lists; else those that its ``decide`` names in the annotation of its second argument; where that
    says no more than ``Command``, all that are defined in the module of ``decide``.
    """
    if spec.commands:
        return spec.commands
    decide: Any = getattr(spec.decide, "__func__", spec.decide)
    try:
        second = list(inspect.signature(spec.decide).parameters)[1]
        hint = typing.get_type_hints(decide).get(second)
    except Exception:  # noqa: BLE001 - names that only a type checker knows
        hint = None
    named = [cls for cls in (typing.get_args(hint) or (hint,)) if _is_command(cls)]
    if named:
        return tuple(named)
    module = getattr(decide, "__module__", None)
    return tuple([cls for cls in _subclasses(Command) if cls.__module__ == module and _is_command(cls)])


def _is_command(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, Command) and cls is not Command and attrs.has(cls)


def _subclasses(cls: type[Command]) -> list[type[Command]]:
    found: dict[tuple[str, str], type[Command]] = {}
    for sub in cls.__subclasses__():
        for one in (sub, *_subclasses(sub)):
            found[one.__module__, one.__qualname__] = one  # slots make attrs build a class twice; the later one counts
    return list(found.values())


def _command(cls: type, fields: Mapping[str, st.SearchStrategy[Any]]) -> Any:
    drawn = {**_pools(cls), **{name: fields[name] for name in fields if hasattr(attrs.fields(cls), name)}}
    if any(field.validator is not None for field in attrs.fields(cls)):
        return events(cls, fields=drawn)  # which tries others where one is refused
    aliases = {field.name: field.alias for field in attrs.fields(cls)}
    return st.builds(cls, **{aliases[name]: strategy for name, strategy in drawn.items()})


def _pools(cls: type) -> dict[str, st.SearchStrategy[Any]]:
    hints = typing.get_type_hints(cls)
    return {
        field.name: _with_few(hints[field.name]) for field in attrs.fields(cls) if field.init and field.name in hints
    }


def _with_few(hint: Any) -> st.SearchStrategy[Any]:
    few = {str: FEW_TEXTS, int: FEW_INTEGERS, float: FEW_FLOATS}.get(hint)
    if few is None:
        return values(hint)
    return st.sampled_from(few) | st.sampled_from(few) | values(hint)
