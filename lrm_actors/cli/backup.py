"""``lrm backup``: a copy of a log as it is at one moment, while its agent goes on."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import attrs
import click

from lrm_actors.cli import exits
from lrm_actors.cli.common import Request, on_a_log
from lrm_actors.cli.output import count, document, paint, say, say_line, size


@click.command(epilog="With --even-damaged: exit code 4 when the log, and so the copy, is damaged.")
@click.argument("target", metavar="TARGET")
@click.option("--even-damaged", is_flag=True, help="Copy a damaged log too, as it is: for 'lrm salvage'.")
@on_a_log
@click.pass_context
def command(ctx: click.Context, *, target: str, even_damaged: bool, request: Request) -> None:
    """Copy a log into a new file, alive or not.

    The copy is verified before it is given its name, and opens as a log. TARGET is the new file, or a directory for an
    lrm.db in it. Nothing is overwritten.
    """
    from eventstore.copying.backups import backup, said

    done = backup(request.path(), new_log(target), even_damaged=even_damaged)
    if request.json:
        data = {"path": str(done.path), "head": done.head, "events": done.events, "size_bytes": done.size_bytes}
        document("backup", data | {"problems": [attrs.asdict(one) for one in done.problems]})
    else:
        how = "as damaged as the log is" if done.problems else "verified"
        say_line(f"{done.path}: {count(done.events, 'event')} up to #{done.head}, {size(done.size_bytes)}, {how}")
        for problem in done.problems:
            say_line(paint(f"damaged: {said(problem)}", "bad"))
        if done.problems:
            say(f"  try: lrm salvage {shlex.quote(str(done.path))} NEW, which takes what is whole")
    ctx.exit(exits.BROKEN if done.problems else exits.OK)


def new_log(target: str) -> Path:
    """Where a new log goes: the path itself, or where that is a directory or ends like one, the usual name in it."""
    from lrm_actors.settings import LOG_NAME

    path = Path(target)
    return path / LOG_NAME if path.is_dir() or target.endswith(os.sep) else path
