"""``lrm run``: keeps a process alive."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

from lrm_actors.cli.app import Common
from lrm_actors.cli.durations import seconds_up_to
from lrm_actors.domain.outliving.policy import NEVER, ON_FAILURE, RESTARTS, Policy

CALLABLE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
DAY_S = 86_400.0
_LIMIT = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def to_bytes(ctx: click.Context, param: click.Parameter, value: str | None) -> int:
    """Turn ``800M`` or ``2GiB`` into bytes, as a click callback."""
    if value is None:
        return 0
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([KMGT]?I?)B?", value.upper())
    if match is None or match[2] == "I" or float(match[1]) <= 0:
        raise click.BadParameter(f"{value!r} is no size: give 800M, 2G or 512MiB", ctx, param)
    return int(float(match[1]) * _LIMIT[match[2]])


def to_optional_seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float:
    """Turn a length of time into seconds, as a click callback; 0 where none is given."""
    return 0.0 if value is None else seconds_up_to(DAY_S)(ctx, param, value)


@click.command(
    context_settings={"allow_interspersed_args": False},
    epilog="Exit codes: that of the command, 128 and the number of the signal that ended it; 69 given up; 126 it "
    "cannot be executed; 127 there is no such command; 5 another 'lrm run' keeps this agent alive.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND [ARGS]...")
@click.option("--agent-id", metavar="ID", help="The agent, as in its settings: names the directory of the log.")
@click.option("--log", metavar="PATH", help="The agent's log or its directory, in place of the one of the settings.")
@click.option(
    "--restart",
    type=click.Choice(RESTARTS),
    default=ON_FAILURE,
    show_default=True,
    help="When the process is started again. on-failure: unless it ended with 0.",
)
@click.option(
    "--heartbeat-timeout",
    metavar="TIME",
    default="60",
    show_default=True,
    callback=seconds_up_to(DAY_S),
    help="It hangs when no heartbeat came for so long, once one has come.",
)
@click.option(
    "--start-timeout",
    metavar="TIME",
    callback=to_optional_seconds,
    help="It hangs when the first heartbeat has not come by then. Not set: it need not send any.",
)
@click.option(
    "--step-timeout",
    metavar="TIME",
    default="10m",
    show_default=True,
    callback=seconds_up_to(DAY_S),
    help="An agent without an event loop hangs when one of its steps says nothing for so long.",
)
@click.option("--memory-limit", metavar="SIZE", callback=to_bytes, help="What it may hold with all below it: 800M, 2G.")
@click.option(
    "--max-restarts", type=click.IntRange(0, 1_000), default=10, show_default=True, help="Given up after so many"
)
@click.option(
    "--within",
    metavar="TIME",
    default="10m",
    show_default=True,
    callback=seconds_up_to(DAY_S),
    help="in so long a time.",
)
@click.option(
    "--backoff",
    metavar="TIME",
    default="1",
    show_default=True,
    callback=seconds_up_to(DAY_S),
    help="The first wait, no longer than the longest.",
)
@click.option(
    "--max-backoff",
    metavar="TIME",
    default="60",
    show_default=True,
    callback=seconds_up_to(DAY_S),
    help="The longest wait.",
)
@click.option(
    "--stop-timeout",
    metavar="TIME",
    default="20",
    show_default=True,
    callback=seconds_up_to(DAY_S),
    help="How long it has to end when it is asked to, before it is killed.",
)
@click.option("--keep-orphans", is_flag=True, help="Leave what outlives the process to the next one.")
@click.option("--fresh-env", is_flag=True, help="Give it only the variables that a program needs to run.")
@click.option(
    "--stderr-lines",
    type=click.IntRange(0, 1_000),
    default=20,
    show_default=True,
    help="Lines of its standard error that are kept; 0 leaves it alone.",
)
@click.pass_context
def command(
    ctx: click.Context,
    *,
    command: tuple[str, ...],
    agent_id: str | None,
    log: str | None,
    restart: str,
    heartbeat_timeout: float,
    start_timeout: float,
    step_timeout: float,
    memory_limit: int,
    max_restarts: int,
    within: float,
    backoff: float,
    max_backoff: float,
    stop_timeout: float,
    keep_orphans: bool,
    fresh_env: bool,
    stderr_lines: int,
) -> None:
    """Keep a process alive: start it, watch it, and start it again when it ends, hangs or holds too much memory.

    COMMAND is a program with its arguments, after '--', or MODULE:FUNCTION for a Python function, plain or async.
    """
    from lrm_actors.outer.watching import Options, watch

    _check_backoff(ctx, backoff, max_backoff)
    common = ctx.find_object(Common) or Common(None, json=False)
    path, settings = _place(log or common.log, agent_id)
    policy = Policy(
        restart=restart,
        heartbeat_timeout_s=heartbeat_timeout,
        first_beat_within_s=start_timeout,
        step_timeout_s=step_timeout,
        memory_limit_bytes=memory_limit,
        max_restarts=max_restarts if restart != NEVER else 0,
        within_s=within,
        backoff_initial_s=min(backoff, max_backoff),
        backoff_max_s=max_backoff,
        stop_timeout_s=stop_timeout,
        keep_orphans=keep_orphans,
    )
    options = Options(
        command=_executed(command),
        log=path,
        policy=policy,
        stderr_lines=stderr_lines,
        fresh_env=fresh_env,
        settings=settings,
        shown=command,
    )
    ctx.exit(watch(options))


def _check_backoff(ctx: click.Context, backoff: float, max_backoff: float) -> None:
    """Refuse a first wait that is longer than the longest. Where only the longest is given, the first is cut to it."""
    given = ctx.get_parameter_source("backoff") is not click.core.ParameterSource.DEFAULT
    if given and backoff > max_backoff:
        raise click.UsageError(
            f"--backoff {backoff:g} s is longer than --max-backoff {max_backoff:g} s: lower the one or raise the other"
        )


def _executed(command: tuple[str, ...]) -> tuple[str, ...]:
    """The command, or the Python that calls the function which is meant."""
    if CALLABLE.fullmatch(command[0]):
        return (sys.executable, "-m", "lrm_actors.outer.calling", *command)
    return command


def _place(log: str | None, agent_id: str | None) -> tuple[Path, dict[str, str]]:
    """The watchdog's log, and the settings that the process must have to write its own beside it."""
    from lrm_actors.inspect.outer import outer_log
    from lrm_actors.settings import LOG_NAME, LongRunningSettings

    if log is None:
        given = {} if agent_id is None else {"agent_id": agent_id}
        settings = LongRunningSettings.load(**given)
        return outer_log(settings.log_path.absolute()), {} if agent_id is None else {"LRM_AGENT_ID": agent_id}
    if agent_id is not None:
        raise click.UsageError("give --log or --agent-id, not both")
    path = Path(log).absolute()
    directory = path.parent if path.suffix == ".db" else path
    variables = {"LRM_AGENT_ID": directory.name, "LRM_CHECKPOINT_DIR": str(directory.parent)}
    return outer_log(directory / LOG_NAME), variables
