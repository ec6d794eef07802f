"""A whole system at one moment as JSON data: the tree, every actor, effects, asks, the store, the main thread.

Takes from the inspection what it says of each part. What cannot be had, or not soon enough, is named with the reason:
whatever state the system is in, there is a dump, and it is of a bounded size.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from lrm_actors.domain.children import ACTOR
from lrm_actors.runtime.actor import describe
from lrm_actors.runtime.inspection.looking import steadily
from lrm_actors.runtime.inspection.stacks import main_thread_stack

if TYPE_CHECKING:
    from lrm_actors.runtime.system import ActorSystem

Children = Mapping[str | None, tuple[str, ...]]
SCHEMA = "lrm.dump/1"
ACTORS_SHOWN = 500
ACTORS_AT_ONCE = 10
"""Told in a row: a millisecond or two. Letting others in costs more than that while they are busy."""
STACKS_SHOWN = 32
"""Actors and effects whose stack is shown, those that have been at the same thing longest."""
COMPONENTS_SHOWN = 200
TRACE_SHOWN = 200
STORE_WAIT_S = 0.5
"""Seconds that the store has to tell its counts: one whose disk hangs does not hold up the dump."""
TEXT_LIMIT = 500


def dump(system: ActorSystem, *, actor: str | None = None) -> dict[str, Any]:
    """What the system looks like now. Never raises for the state that the system is in, and changes nothing.

    Args:
        system: running, starting, stopping, stopped, or hung.
        actor: only this one, and its stack whatever it does.

    Raises:
        NoSuchActor: there is none of this name.
    """
    names = system.shells() if actor is None else (system.shell(actor).spec.name,)
    inspection = system.inspection
    children = inspection.children()
    actors = []
    for index, name in enumerate(names[:ACTORS_SHOWN]):
        actors.append(_told(partial(_actor, system, children, name, stack=actor is not None)))
        if index % ACTORS_AT_ONCE == ACTORS_AT_ONCE - 1:
            time.sleep(0)  # other threads, the host's loop among them, go first
    effects = _told(lambda: [attrs.asdict(one) for one in inspection.effects() if actor in {None, one.actor}])
    zombies = _told(lambda: [attrs.asdict(one) for one in inspection.zombies() if actor in {None, one.name}])
    _limit_stacks([*actors, *(one for told in (effects, zombies) if isinstance(told, list) for one in told)])
    count, oldest = inspection.asks()
    return {
        "schema": SCHEMA,
        "system": {
            "name": system.name,
            "state": system.life,
            "pid": os.getpid(),
            "supervisor": system.supervisor,
            "threads": threading.active_count(),
            "main_thread": list(main_thread_stack()),
        },
        "actors": actors,
        "actors_left_out": max(0, len(names) - ACTORS_SHOWN),
        "components": _told(lambda: _components(system)),
        "zombies": zombies,
        "effects": {"running": effects, "waiting": system.statistics().effects_waiting},
        "asks": {"waiting": count, "oldest": None if oldest is None else attrs.asdict(oldest)},
        "store": in_time(lambda: attrs.asdict(system.store.statistics())),
        "trace": {
            "on": inspection.tracing,
            "entries": [
                attrs.asdict(one) for one in inspection.traced(TRACE_SHOWN) if actor is None or one.actor == actor
            ],
        },
    }


def in_time(read: Callable[[], Any], wait_s: float = STORE_WAIT_S) -> Any:
    """What is read on a thread of its own, or why it could not be had, as ``{"unknown": reason}``."""
    got: list[Any] = []

    def run() -> None:
        got.append(_told(read))

    thread = threading.Thread(target=run, name="lrm-dump", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # the machine has none to give just now
        return {"unknown": str(error)}
    thread.join(wait_s)
    return got[0] if got else {"unknown": f"no answer within {wait_s:g} s"}


def _told(read: Callable[[], Any]) -> Any:
    """What is read, or why it could not be."""
    try:
        return read()
    except Exception as error:  # noqa: BLE001 - one part that cannot be told must not hide the others
        name, text = describe(error)
        return {"unknown": f"{name}: {text}"}


def _actor(system: ActorSystem, children: Children, name: str, *, stack: bool) -> dict[str, Any]:
    status = system.inspection.status_among(children, name, stack=stack)
    counts = attrs.asdict(system.inspection.statistics(name))
    del counts["name"]
    told = attrs.asdict(status) | {"statistics": counts}
    if told["last_error"] is not None:
        del told["last_error"]["at_s"]
    if told["supervised"] is not None:
        told["supervised"]["last_error"] = told["supervised"]["last_error"][:TEXT_LIMIT]
    return told


def _components(system: ActorSystem) -> list[dict[str, Any]]:
    supervisor = None if system.supervisor is None else system.state(system.supervisor)
    children = steadily(lambda: sorted(getattr(supervisor, "children", {}).items())) or []
    shown = [(name, child) for name, child in children if not name.startswith(f"{ACTOR}:")]
    return [
        {
            "name": name[:TEXT_LIMIT],
            "status": child.status,
            "attempt": child.attempt,
            "last_error": child.last_error[:TEXT_LIMIT],
        }
        for name, child in shown[:COMPONENTS_SHOWN]
    ]


def _limit_stacks(told: list[dict[str, Any]]) -> None:
    """Leave those that have been at it longest; the name of the rest says enough."""

    def age_s(one: dict[str, Any]) -> float:
        in_hand = one.get("in_hand")
        return float(one.get("age_s", 0.0) if in_hand is None else in_hand["age_s"])

    for one in sorted(told, key=age_s, reverse=True)[STACKS_SHOWN:]:
        one["stack"] = []
