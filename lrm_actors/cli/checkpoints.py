"""``lrm checkpoints``: which there are, what is in one, what changed between two."""

from __future__ import annotations

import click

from lrm_actors.cli import checkpoints_changing
from lrm_actors.cli.checkpoint_output import (
    STDOUT,
    change_data,
    checkpoints_in,
    document_form,
    document_of,
    documents_of,
    find,
    flags,
    record_of,
    say_changes,
    say_state,
    sizes,
    write_document,
)
from lrm_actors.cli.common import ListingGroup, Request, on_a_log, with_options
from lrm_actors.cli.output import count, day_time, document, paint, say, say_line, table, talk

EXITS = "Exit codes: 3 no such checkpoint, 4 it is damaged, 8 no key."


@click.group(cls=ListingGroup, invoke_without_command=True, subcommand_metavar="[LOG] | COMMAND [ARGS]...")
@with_options
@click.pass_context
def command(ctx: click.Context, *, request: Request) -> None:
    """List checkpoints, look into them, compare them, keep or remove them.

    Without a command of its own it lists them.
    """
    if ctx.invoked_subcommand is None:
        _list(request)


command.add_command(checkpoints_changing.pin)
command.add_command(checkpoints_changing.unpin)
command.add_command(checkpoints_changing.prune)


@command.command("list")
@on_a_log
def list_checkpoints(*, request: Request) -> None:
    """List those that are kept, newest first."""
    _list(request)


@command.command("show", epilog=EXITS)
@click.argument("checkpoint_id", metavar="ID")
@on_a_log
def show_checkpoint(*, checkpoint_id: str, request: Request) -> None:
    """Show one checkpoint: what is on record of it, and the state in it.

    ID is an id from the list, the end of one (4 characters at least), or 'latest'.
    """
    with request.reader() as reader:
        info = find(reader, checkpoint_id)
        contents = document_of(reader, info.checkpoint_id)
    if request.json:
        document("checkpoints.show", {**document_form(contents), "record": record_of(info)})
        return
    say_line(paint(info.checkpoint_id, "name"))
    builds_on = [("builds on", info.parent)] if info.parent else []
    rows = [
        ("kind", f"{info.kind} {flags(info)}".rstrip()),
        ("reason", info.reason),
        ("taken", day_time(info.taken_at_s)),
        ("position", f"#{info.position}: every step committed up to there is in it"),
        ("size", sizes(info)),
        *builds_on,
        ("version", f"{info.state_version} of the host's state"),
        ("hints", "; ".join(contents["recovery_hints"]) or "none"),
    ]
    table(rows, indent="  ")
    say_state(contents)


@command.command("diff", epilog=EXITS)
@click.argument("before", metavar="ID")
@click.argument("after", metavar="ID")
@click.option("--limit", type=click.IntRange(1, 100_000), default=1_000, metavar="N", help="Changes at most, 1000.")
@on_a_log
def diff_checkpoints(*, before: str, after: str, limit: int, request: Request) -> None:
    """Show what changed in the state from one checkpoint to another.

    Each ID is an id from the list, the end of one, or 'latest'.
    """
    from lrm_actors.hosting.keeping import compared

    with request.reader() as reader:
        ids = [find(reader, one).checkpoint_id for one in (before, after)]
        old, new = documents_of(reader, ids)
    changes = compared(old, new, limit + 1)
    more = len(changes) > limit
    changes = changes[:limit]
    if request.json:
        told = [change_data(change) for change in changes]
        document("checkpoints.diff", {"before": ids[0], "after": ids[1], "changes": told, "more": more})
        return
    say_changes(changes, more=more)


@command.command("export", epilog=EXITS)
@click.argument("checkpoint_id", metavar="ID")
@click.argument("file", metavar="FILE")
@on_a_log
def export_checkpoint(*, checkpoint_id: str, file: str, request: Request) -> None:
    """Write one checkpoint as a JSON document.

    ID is an id from the list, the end of one, or 'latest'. FILE is the new file, mode 0600, or '-' for standard output.
    Nothing is overwritten.
    """
    with request.reader() as reader:
        info = find(reader, checkpoint_id)
        contents = document_of(reader, info.checkpoint_id)
    write_document(file, contents)
    if file == STDOUT:
        return
    if request.json:
        document("checkpoints.export", {"checkpoint_id": info.checkpoint_id, "path": file})
    else:
        say_line(f"{info.checkpoint_id} is written to {file}")


def _list(request: Request) -> None:
    with request.reader() as reader:
        state = checkpoints_in(reader)
    kept = list(reversed(state.kept))
    at_most = None if state.fits is None or state.fits >= state.config.max_checkpoints else state.fits
    if request.json:
        document("checkpoints", {"checkpoints": [record_of(info) for info in kept], "at_most": at_most})
        return
    table(
        (
            paint(info.checkpoint_id, "name"),
            info.kind,
            day_time(info.taken_at_s),
            f"#{info.position}",
            sizes(info),
            flags(info),
            info.reason,
        )
        for info in kept
    )
    say(count(len(kept), "checkpoint"))
    if at_most is not None:
        talk(f"the disk was full: no more than {at_most} are kept, until a setting of checkpoints is changed")
