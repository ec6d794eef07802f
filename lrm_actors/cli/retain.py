"""``lrm retain``: the oldest events removed, as far as nothing needs them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from lrm_actors.cli.common import Request, on_a_log
from lrm_actors.cli.durations import to_seconds
from lrm_actors.cli.output import count, document, say_line, size

if TYPE_CHECKING:
    from eventstore.records import Retained


@click.command()
@click.option("--older-than", "max_age_s", callback=to_seconds, metavar="AGE", help="Remove what is older: 12h, 30d.")
@click.option(
    "--keep-events", "max_events", type=click.IntRange(0, 10**18), metavar="N", help="Keep the newest so many events."
)
@click.option(
    "--expendable", multiple=True, metavar="CATEGORY", help="Its streams may lose what no snapshot covers. Repeatable."
)
@click.option(
    "--consumer", "consumers", multiple=True, metavar="NAME", help="Only this one's cursor holds events. Repeatable."
)
@click.option("--archive", metavar="DIRECTORY", help="Keep what is removed there, compressed.")
@on_a_log
def command(
    *,
    max_age_s: float | None,
    max_events: int | None,
    expendable: tuple[str, ...],
    consumers: tuple[str, ...],
    archive: str | None,
    request: Request,
) -> None:
    """Remove the oldest events of a log that nobody owns.

    Those go that are older than AGE and not among the newest N, and that neither a consumer has yet to read nor
    recovery needs: of each actor, the events after its oldest snapshot, and all after the oldest checkpoint. The space
    goes back to the file system, also where the disk is full.
    """
    from eventstore.opening import open_store
    from eventstore.records import Retention
    from lrm_actors.hosting.trimming import retain_in_steps
    from lrm_actors.inspect.folds import BREAKER, OURS, declare_ours
    from lrm_actors.inspect.needed import needed_after

    if max_age_s is None and max_events is None:
        raise click.UsageError("say what may go: give --older-than, --keep-events or both")
    if vital := {*OURS, BREAKER}.intersection(expendable):
        names = ", ".join(sorted(vital))
        raise click.UsageError(f"{names}: an agent cannot start again without the events of its own actors")
    declare_ours()
    path = request.path()
    key = request.owners_key(path)  # a log must be there: opening it for writing would make one
    with open_store(path, unknown="placeholder", key=key) as store:
        needed = needed_after(store)
        at_least = 0 if needed is None else store.head - needed
        keep = max(max_events or 0, at_least) if max_events is not None or at_least else None
        retention = Retention(max_age_s, keep, consumers or None, expendable)
        removed, freed, result = retain_in_steps(lambda: store.retain(retention, archive=archive))
        head = store.head
    if result.held_by == "policy" and needed is not None and result.first == needed + 1:
        result = attrs.evolve(result, held_by="checkpoint")
    if request.json:
        data = {"removed": removed, "first": result.first, "head": head, "freed_bytes": freed}
        document("retain", {**data, "held_by": result.held_by, "archive": archive and str(Path(archive))})
        return
    given_back = f", {size(freed)} given back" if removed else ""  # else it is only what the WAL took meanwhile
    say_line(f"{count(removed, 'event')} removed{given_back}")
    kept = count(head - result.first + 1, "event")
    say_line(f"{kept} kept, from #{result.first} on: {reason(result)}" if head >= result.first else "no event kept")


def reason(result: Retained) -> str:
    """What kept the oldest event that is left, in words."""
    what, _, name = result.held_by.partition(" ")
    if what == "cursor":
        return f"{name} has not read it yet"
    if what == "checkpoint":
        return "to go on from a checkpoint, or without one, needs the steps since"
    if what == "stream":
        return f"{name} needs it to be recovered, no snapshot covers it"
    return "it is not to go by what was asked"
