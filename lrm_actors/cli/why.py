"""``lrm why``: the chain of causes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from lrm_actors.cli import exits
from lrm_actors.cli.common import Request, on_a_log, outer_of, record_data, record_line
from lrm_actors.cli.finding import looks_like_log
from lrm_actors.cli.output import document, paint, say, say_line

if TYPE_CHECKING:
    from lrm_actors.inspect.chains import Chain, Link


@click.command(epilog="Exit code 4 when a link of the chain is wrong; 3 when the log holds no such thing.")
@click.argument("target")
@click.argument("name", required=False, metavar="[NAME]")
@on_a_log
@click.pass_context
def command(ctx: click.Context, *, target: str, name: str | None, request: Request) -> None:
    """Explain something by what caused it.

    TARGET is a position (123 or #123; outer#123 in the log of 'lrm run'), an event's type, or one of: restart, process,
    mode, health, trend, breaker, failure, checkpoint, effect. The last one of its kind is explained; NAME picks that of
    one component, service, mode, status, kind or effect: 'lrm why restart browser' or 'lrm why restart:browser'. The
    death of a process is followed into the log of the 'lrm run' that started the next one.
    """
    if name is not None and request.given is None and looks_like_log(name) and not _is_effect(target, name):
        request, name = attrs.evolve(request, given=name), None
    if name is not None:
        target = f"{target}:{name}"
    from lrm_actors.inspect.chains import why

    path = request.path()
    with request.reader(path) as reader, request.watchdog(path, reader) as watchdog:
        if target.startswith("outer#") and outer_of(path, reader, watchdog, target) is reader:
            target = target.removeprefix("outer")
        chain = why(reader, target, watchdog=watchdog)
    if request.json:
        document("why", chain_data(target, chain))
    else:
        _print(chain)
    ctx.exit(exits.BROKEN if chain.problem else exits.OK)


def _is_effect(target: str, name: str) -> bool:
    """Whether a name with a slash is what 'lrm effects' calls one, and no log."""
    return target == "effect" and not name.endswith(".db") and not Path(name).exists()


def chain_data(target: str, chain: Chain) -> dict[str, object]:
    """A chain as JSON data."""
    return {
        "target": target,
        "links": [record_data(link.record) | {"log": log_of(link)} for link in chain.links],
        "root": chain.root.position,
        "began": chain.began,
        "ends_at_observation": chain.ends_at_observation,
        "observation": chain.observation,
        "problem": chain.problem,
    }


def log_of(link: Link) -> str:
    """Whether a link stands in the agent's log or in the watchdog's."""
    return "outer" if link.outer or link.record.stream == "outer" else "agent"


def _print(chain: Chain) -> None:
    for depth, link in enumerate(chain.links):
        line = record_line(link.record, outer=link.outer)
        say_line(f"{'  ' * (depth - 1)}└ because {line}" if depth else paint(line, "name"))
    match chain.began:
        case "observation":
            say_line(f"It began with what was seen: {paint(chain.observation, 'name')}")
        case "call":
            say("It began with a call from outside, a timer, or a recovery.")
        case _:
            say_line(paint(f"The chain is broken: {chain.problem}", "bad"))
