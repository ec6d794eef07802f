"""``lrm backup``: a copy of a log as it is at one moment, while its agent goes on."""

from __future__ import annotations

import os
from pathlib import Path

import click

from lrm_actors.cli.common import Request, on_a_log
from lrm_actors.cli.output import count, document, say_line, size


@click.command()
@click.argument("target", metavar="TARGET")
@on_a_log
def command(*, target: str, request: Request) -> None:
    """Copy a log into a new file, alive or not.

    The copy is verified before it is given its name, and opens as a log. TARGET is the new file, or a directory for an
    lrm.db in it. Nothing is overwritten.
    """
    from eventstore.copying.backups import backup

    done = backup(request.path(), new_log(target))
    if request.json:
        data = {"path": str(done.path), "head": done.head, "events": done.events, "size_bytes": done.size_bytes}
        document("backup", data)
    else:
        say_line(f"{done.path}: {count(done.events, 'event')} up to #{done.head}, {size(done.size_bytes)}, verified")


def new_log(target: str) -> Path:
    """Where a new log goes: the path itself, or where that is a directory or ends like one, the usual name in it."""
    from lrm_actors.settings import LOG_NAME

    path = Path(target)
    return path / LOG_NAME if path.is_dir() or target.endswith(os.sep) else path
