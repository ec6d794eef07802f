"""``lrm export``: a log as lines of JSON."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lrm_actors.cli.common import Request, on_a_log
from lrm_actors.cli.output import count, document, say_line, talk

STDOUT = "-"


@click.command()
@click.argument("file", metavar="FILE")
@on_a_log
def command(*, file: str, request: Request) -> None:
    """Write everything in a log as lines of JSON, alive or not.

    'lrm import' makes the same log of them again. FILE is the new file, or '-' for standard output. Nothing is
    overwritten.
    """
    from eventstore.copying.placing import placed
    from eventstore.copying.portable import export_log

    if file == STDOUT:
        if request.json:
            raise click.UsageError("with FILE '-' the lines are what is printed; leave --json out")
        done = export_log(request.path(), sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        log = request.path()
        with placed(Path(file)) as partial, partial.open("wb") as lines:
            done = export_log(log, lines)
    told = f"{count(done.events, 'event')} up to #{done.head}, {count(done.lines, 'line')}"
    if request.json:
        data = {"path": file, "log_id": done.log_id, "head": done.head, "events": done.events, "lines": done.lines}
        document("export", data)
    elif file == STDOUT:
        talk(told)
    else:
        say_line(f"{file}: {told}")
