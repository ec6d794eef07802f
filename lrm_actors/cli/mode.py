"""``lrm mode``: hold an operation mode of a running agent by hand, or let the health choose it again."""

from __future__ import annotations

from typing import Any

import click

from lrm_actors.cli.asking import ask
from lrm_actors.cli.common import Request, on_a_log
from lrm_actors.cli.durations import seconds_up_to
from lrm_actors.cli.output import document, duration, say_line

AUTO = "auto"
CHOICES = ("normal", "degraded", "minimal", "recovery", AUTO)


@click.command(epilog="Exit codes: 0 done, 13 no process is alive, or it does not answer.")
@click.argument("mode", type=click.Choice(CHOICES))
@click.option(
    "--for",
    "for_s",
    metavar="TIME",
    callback=seconds_up_to(7 * 86_400.0),
    default="1h",
    help="How long it is held: seconds, or 45s, 30m, 12h; an hour by default, a week at most.",
)
@click.option("--reason", metavar="TEXT", default="by hand with lrm", help="Kept with it, and told by 'lrm why mode'.")
@on_a_log
def command(*, mode: str, for_s: float, reason: str, request: Request) -> None:
    """Hold an operation mode of a running agent, or let its health choose again (auto).

    It lets go by itself when the time is over, also if the process is replaced meanwhile.
    """
    wanted = {"mode": None if mode == AUTO else mode, "for_s": for_s, "reason": reason}
    told: dict[str, Any] = ask(request.path(), "pin_mode", wanted)
    if request.json:
        document("mode", told)
    elif told["pinned"] is None:
        say_line(f"mode {told['mode']}; the health chooses it")
    else:
        say_line(f"mode {told['mode']}, held for {duration(told['pinned_for_s'] or 0.0)}")
