"""``lrm import``: a new log of the lines that ``lrm export`` wrote."""
# ruff: noqa: N999 - named after its command, and loaded by that name

from __future__ import annotations

import contextlib
import sys
from typing import IO

import click

from lrm_actors.cli.backup import new_log
from lrm_actors.cli.common import Request, on_a_log
from lrm_actors.cli.export import STDOUT
from lrm_actors.cli.output import count, document, say_line


@click.command()
@click.argument("file", metavar="FILE")
@on_a_log
def command(*, file: str, request: Request) -> None:
    """Make a new log of an export: the same positions, hashes and id.

    FILE is what 'lrm export' wrote, or '-' for standard input. LOG is the new file, or a directory for an lrm.db in it;
    it must be named. Nothing is overwritten. Do not go on with both logs: they are taken for one.
    """
    from eventstore.copying.portable import import_log
    from eventstore.errors import LogNotFound, ReadFailed

    if request.given is None:
        raise click.UsageError("say where the new log is to be: lrm import FILE LOG")
    target = new_log(request.given)
    with contextlib.ExitStack() as stack:
        if file == STDOUT:
            lines: IO[bytes] = sys.stdin.buffer
        else:
            try:
                lines = stack.enter_context(open(file, "rb"))  # noqa: PTH123 - its words are right for any name
            except FileNotFoundError as error:
                raise LogNotFound(file, f"there is no file {file}", hint="check the name of the export") from error
            except OSError as error:
                raise ReadFailed(f"{file}: {error.strerror}", hint="check the name of the file") from error
        done = import_log(lines, target)
    if request.json:
        data = {"path": str(target), "log_id": done.log_id, "head": done.head, "events": done.events}
        document("import", data)
    else:
        say_line(f"{target}: {count(done.events, 'event')} up to #{done.head}, verified")
