"""The command ``lrm`` itself: its commands by name, each loaded when it is run, and what becomes of errors."""

from __future__ import annotations

import errno
import importlib
import io
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import click

from eventstore.errors import EventStoreError
from lrm_actors import __version__
from lrm_actors.cli import exits
from lrm_actors.cli.output import json_line, silence, talk
from lrm_actors.cli.streams import open_standard_streams
from lrm_actors.errors import LrmError
from lrm_actors.inspect.plain import plain

COMMANDS = {
    "run": "Keep a process alive.",
    "log": "Print what happened, event by event; follow it live.",
    "show": "Show one event whole, with what led to it and what it led to.",
    "why": "Explain a restart, a mode, a breaker or any event by what caused it.",
    "replay": "Show what each actor knew at any position.",
    "health": "Tell how an agent is, alive or dead.",
    "dump": "Show what a running agent is doing at this moment.",
    "mode": "Hold an operation mode of a running agent by hand.",
    "dead-letters": "List the messages that nobody handled, or send one again.",
    "trace": "Show what a running agent's actors are given and do.",
    "checkpoints": "List checkpoints, look into them, compare, keep or remove them.",
    "effects": "List what the agent did outside, and settle what is in doubt.",
    "recover": "Say what a recovery would give now, and why.",
    "verify": "Check that a log is as it was written.",
    "doctor": "Look for what is wrong with a log, or soon will be.",
    "salvage": "Make a new log of what a damaged one still holds.",
    "accept": "Go on with a log whose tail is missing.",
    "backup": "Copy a log while its agent goes on.",
    "export": "Write a log as lines of JSON.",
    "import": "Make a log of an export.",
    "retain": "Remove the oldest events that nothing needs.",
    "rekey": "Change the key of an encrypted log.",
    "demo": "Show an agent that survives.",
}
"""Every command, and what it is for. Its module is loaded when it is run."""


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What becomes of output that goes to a file. Errors of a log's own disk are typed."""


class Common(NamedTuple):
    """Options given before the command's name. No attrs class: ``lrm --help`` need not wait for that import."""

    log: str | None
    json: bool
    key_file: str | None = None


class LazyGroup(click.Group):
    """Loads a command when it is run, and turns errors into two lines and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"lrm_actors.cli.{cmd_name.replace('-', '_')}").command
        command.name = cmd_name
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant, or one that was probably meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            close = get_close_matches(args[0], COMMANDS, 1)
            if close:
                raise click.UsageError(f"{error.message} Did you mean {close[0]!r}?", ctx) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Click would end a broken pipe as a failure; it is none."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            return _seen_enough()

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> NoReturn:
        """Run and exit. Nothing ends with a traceback but an error of this program itself."""
        words = list(sys.argv[1:] if args is None else args)
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")  # a terminal without these characters shows '?'
        try:
            options = {**options, "standalone_mode": False}
            code = super().main(words, *rest, **options)
            if sys.stdout is not None:
                sys.stdout.flush()
        except click.UsageError as error:
            _show(error)
            code = exits.USAGE
        except (LrmError, EventStoreError) as error:
            code = _report(error, as_json="--json" in words)
        except click.ClickException as error:
            _show(error)
            code = error.exit_code
        except (KeyboardInterrupt, click.Abort):
            code = exits.INTERRUPTED
        except BrokenPipeError:
            code = _seen_enough()
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            talk(f"error: what is printed cannot be written: {error.strerror}")
            _seen_enough()
            code = exits.FAILURE
        sys.exit(code if isinstance(code, int) else exits.OK)


def _seen_enough() -> int:
    """Whoever read us has seen enough; what is still in the buffer must not fail at exit."""
    silence(sys.stdout)
    return exits.OK


def _show(error: click.ClickException) -> None:
    """Say what click has to say. It may repeat what a server answered, or a file's name."""
    told = io.StringIO()
    error.show(told)
    talk(told.getvalue().rstrip("\n"))


def _report(error: LrmError | EventStoreError, *, as_json: bool) -> int:
    """Say what was wrong and what to try; with ``--json`` a document on stdout besides."""
    code = exits.code_of(error)
    talk(plain(f"error {error.code}: {error}"))
    hint = exits.hint_of(error)
    if hint:
        talk(plain(f"try: {hint}"))
    if as_json:
        told = {"code": error.code, "message": str(error), "hint": hint, "exit_code": code}
        json_line("error", {"error": told})
    return code


@click.group(
    cls=LazyGroup,
    name="lrm",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="A log is found by --log, LRM_LOG, the settings, or as the one written last below .lrm. "
    "Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 broken, 5 locked, 6 too new, 7 no access, "
    "8 no key; health: 10 warning, 11 critical, 12 failing, 13 stale; run: the command's own, 69 given up.",
)
@click.option("--log", metavar="PATH", help="The log: lrm.db, its directory, or one above it.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout instead of text.")
@click.option("--key-file", metavar="FILE", help="The key of an encrypted log; otherwise the one in LRM_LOG_KEY.")
@click.version_option(__version__, prog_name="lrm", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, *, log: str | None, as_json: bool, key_file: str | None) -> None:
    """Look into the log of a long-running agent: what happened, why, and how it is.

    Reading never disturbs a running agent, and needs none.
    """
    ctx.obj = Common(log, as_json, key_file)


def main() -> NoReturn:
    """Run the command line."""
    open_standard_streams()
    cli.main(prog_name="lrm")
