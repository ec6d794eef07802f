"""``lrm salvage``: a new log of whatever can still be read of a damaged one."""

from __future__ import annotations

import attrs
import click

from lrm_actors.cli import exits
from lrm_actors.cli.backup import new_log
from lrm_actors.cli.common import Request, with_options
from lrm_actors.cli.output import count, document, paint, say, say_line


@click.command(epilog="Exit code 4 when something is lost.")
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@with_options
@click.pass_context
def command(ctx: click.Context, *, source: str, target: str, request: Request) -> None:
    """Make a new log of everything undamaged in SOURCE.

    SOURCE stays as it is; no process may own it. TARGET is the new file, or a directory for an lrm.db in it. Nothing is
    overwritten.
    """
    from eventstore.damage.salvaging import salvage

    place = new_log(target)
    result = salvage(attrs.evolve(request, given=source).path(), place)
    if request.json:
        document("salvage", {"path": str(place), **attrs.asdict(result)})
    else:
        rest = ", ".join(
            (
                count(result.snapshots, "snapshot"),
                count(result.attachments, "attachment"),
                count(result.cursors, "cursor"),
                count(result.receipts, "receipt"),
            )
        )
        say_line(f"{place}: {count(result.events, 'event')} up to #{result.head}, {rest}")
        for first, last in result.lost:
            say_line(paint(f"lost: #{first}" if first == last else f"lost: #{first} to #{last}", "bad"))
        if not result.lost:
            say(paint("no event is lost", "good"))
    ctx.exit(exits.BROKEN if result.lost else exits.OK)
