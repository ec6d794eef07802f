"""The dump of a running agent: of its actors, with whose they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lrm_actors.domain import modes, monitor
from lrm_actors.hosting.owner.errors import RequestRefused

if TYPE_CHECKING:
    from lrm_actors.runtime.system import ActorSystem


class Shown(Protocol):
    """A system that runs, and whose it is."""

    system: ActorSystem
    agent_id: str
    path: Path
    """Its log."""


def dump_of(running: Shown, actor: str | None = None) -> dict[str, Any]:
    """What a running agent looks like now, as JSON data. Asks no actor and changes nothing.

    Args:
        running: the agent.
        actor: only this one.

    Raises:
        NoSuchActor: there is none of this name.
    """
    told = running.system.inspection.dump(actor)
    schema = told.pop("schema")
    return {"schema": schema, "agent": _agent(running), **told}


def dump_command(running: Shown, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The same for whoever asks over the socket.

    Raises:
        RequestRefused: an argument is none.
        NoSuchActor: there is none of this name.
    """
    actor = arguments.get("actor")
    if not isinstance(actor, str | None) or arguments.keys() - {"actor"}:
        raise RequestRefused("dump takes the name of an actor, and nothing else")
    return dump_of(running, actor)


def _agent(running: Shown) -> dict[str, Any]:
    told: dict[str, Any] = {"agent_id": running.agent_id, "log": str(running.path), "mode": "", "health": ""}
    if {modes.NAME, monitor.NAME} <= set(running.system.shells()):  # not before the last of them was started
        told |= {"mode": running.system.state(modes.NAME).mode, "health": running.system.state(monitor.NAME).status}
    return told
