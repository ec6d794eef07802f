"""Which pure functions fold which actor's events: our own actors', and those that somebody names with a module.

Nothing a log says is ever imported: our modules are listed here, and others come from the command line only.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from eventstore.codec import decode_state
from eventstore.frozen import frozen
from eventstore.protocol import EventReader
from eventstore.records import Snapshot
from lrm_actors.domain.behavior import Spec
from lrm_actors.inspect.errors import LoadFailed
from lrm_actors.inspect.keys import log_key

if TYPE_CHECKING:
    from eventstore.encrypting.keyring import LogKey
    from eventstore.reader import SqliteReader

OURS = ("supervisor", "monitor", "analyzer", "checkpointer", "modes", "journal", "outer")
BREAKER, SUPERVISOR = "breaker", "supervisor"
STATELESS = frozenset(("dead-letters", "deliveries", "log", "watchdog"))
"""Streams that no actor folds."""


@frozen
class Folds:
    """What is known of actors: our own, and those added."""

    added: tuple[Spec[Any], ...] = ()

    def spec(self, stream: str) -> Spec[Any] | None:
        """The actor of a stream; None when nobody told how its events are folded.

        One of several instances, ``order/17``, is folded as another of its category is.
        """
        by_name = {spec.name: spec for spec in self.added}
        if stream in by_name:
            return by_name[stream]
        category, slash, instance = stream.partition("/")
        ours = _our_spec(category, instance) if _is_ours(category, instance=bool(slash)) else None
        if ours is not None:
            return ours
        return next((attrs.evolve(spec, name=stream) for spec in self.added if spec.category == category), None)

    def with_modules(self, names: Iterable[str]) -> Folds:
        """These, and the actors that some modules describe: every ``Spec`` in them, and in their ``SPECS``.

        Raises:
            LoadFailed: a module cannot be imported, or describes no actor.
        """
        found: list[Spec[Any]] = []
        for name in names:
            specs = _specs_of(name)
            if not specs:
                raise LoadFailed(name, "it describes no actor")
            found.extend(specs)
        return Folds((*self.added, *found))


def declare_ours() -> None:
    """Make every event of our own actors known to this process, so that they are decoded when read."""
    import pkgutil

    import lrm_actors.domain

    for module in pkgutil.iter_modules(lrm_actors.domain.__path__, "lrm_actors.domain."):
        importlib.import_module(module.name)


def open_log(path: str | os.PathLike[str], *, key: LogKey | None = None) -> SqliteReader:
    """A reader of a log that gives our own events as themselves, and those of others as ``UnknownEvent``.

    One that is encrypted is opened with ``key``, or with the one in ``LRM_LOG_KEY``. Where there is none, all of its
    events come as ``UnknownEvent``.

    Raises:
        OpenError: see ``eventstore.open_reader``.
        BadKey: what was given as a key is none.
    """
    from eventstore.opening import open_reader

    declare_ours()
    return open_reader(path, unknown="placeholder", key=key or log_key())


def snapshot_state(spec: Spec[Any], snapshot: Snapshot) -> Any:
    """The state in a snapshot.

    Raises:
        SnapshotUnusable: there is none in it that this actor could have.
    """
    return decode_state(snapshot.data, type(spec.initial))


def newest_snapshot(reader: EventReader, spec: Spec[Any], *, up_to: int) -> Snapshot | None:
    """The newest snapshot of an actor at or below a version, of the form that its state has now."""
    return reader.snapshot(spec.name, schema=spec.state_schema, up_to=up_to)


def _is_ours(category: str, *, instance: bool) -> bool:
    """Breakers have instances, supervisors may have, and no other actor of ours has."""
    return category == SUPERVISOR or instance == (category == BREAKER)


def _our_spec(category: str, instance: str) -> Spec[Any] | None:
    if category == SUPERVISOR and instance:
        from lrm_actors.domain import supervisor

        return supervisor.spec(name=f"{SUPERVISOR}/{instance}")
    if category == BREAKER:
        from lrm_actors.domain import breaker

        return breaker.spec(instance)
    if category in OURS:
        spec: Spec[Any] = importlib.import_module(f"lrm_actors.domain.{category}").spec()
        return spec
    return None


def _specs_of(name: str) -> Sequence[Spec[Any]]:
    try:
        module = importlib.import_module(name)
    except Exception as error:
        # Whatever the module does while it is imported is its author's affair, and told to whoever named it.
        raise LoadFailed(name, f"{type(error).__name__}: {error}") from error
    candidates = [*vars(module).values(), *getattr(module, "SPECS", ())]
    specs = {id(one): one for one in candidates if _is_spec(one)}
    return tuple(specs.values())


def _is_spec(value: Any) -> bool:
    return isinstance(value, Spec)
