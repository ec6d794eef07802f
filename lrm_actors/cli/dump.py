"""``lrm dump``: what a running agent is doing at this moment, asked of its process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import click

from lrm_actors.cli.asking import ask
from lrm_actors.cli.common import Request, on_a_log
from lrm_actors.cli.output import json_document, say


@click.command(epilog="Exit codes: 0 printed, 13 no process is alive, or it does not answer.")
@click.option("--agent", metavar="ID", help="The agent of this id, below the checkpoint directory of the settings.")
@click.option("--actor", metavar="NAME", help="Only this actor, with the stack of its thread.")
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=click.FloatRange(0.05, 600.0),
    default=10.0,
    help="How long the process has to answer; 10 by default.",
)
@on_a_log
def command(*, agent: str | None, actor: str | None, timeout_s: float, request: Request) -> None:
    """Show what a running agent is doing at this moment.

    Its process is asked over a socket beside the log, and tells the tree of its actors with what each has in hand, for
    how long, and where a stuck one is. It asks no actor, so it answers while they hang. A dead agent is shown by
    'lrm health' and 'lrm log'.
    """
    from lrm_actors.runtime.inspection.rendering import lines_of

    path = (_of_agent(request, agent) if agent is not None else request).path()
    told: dict[str, Any] = ask(path, "dump", {} if actor is None else {"actor": actor}, timeout_s=timeout_s)
    if request.json:
        json_document(told)
    else:
        say("\n".join(lines_of(told)))


def _of_agent(request: Request, agent: str) -> Request:
    """The same request for the log of an agent."""
    from lrm_actors.settings import LOG_NAME, LongRunningSettings

    if request.given is not None:
        raise click.UsageError(f"the log is named twice: {request.given} and the agent {agent}")
    checked = LongRunningSettings.load(agent_id=agent)
    return attrs.evolve(request, given=str(Path(checked.log_path).with_name(LOG_NAME)))
