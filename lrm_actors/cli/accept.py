"""``lrm accept``: goes on with a log whose tail is missing, with a copy of what there is kept first."""

from __future__ import annotations

import time

import click

from lrm_actors.cli.common import Request, on_a_log
from lrm_actors.cli.output import document, say_line


@click.command()
@on_a_log
def command(*, request: Request) -> None:
    """Go on with a log whose tail is missing.

    What was acknowledged after its end is given up: try salvage first. A copy of all its files is kept beside it.
    Nothing is done to a log that misses nothing.
    """
    from eventstore.damage.diagnosis import doctor
    from eventstore.damage.salvaging import keep_copy
    from eventstore.errors import TailMissing
    from eventstore.opening import open_store

    log = request.path()
    behind = any(finding.code == "mark" and finding.level == "problem" for finding in doctor(log).findings)
    kept = None
    if behind:
        kept = keep_copy(log, log.with_name(f"{log.name}-before-{time.strftime('%Y%m%d-%H%M%S')}"))
        try:
            key = request.owners_key(log)
        except TailMissing:  # nothing is left that would tell whether it was encrypted
            key = request.key()
        with open_store(log, accept_lost_tail=True, unknown="placeholder", key=key) as store:
            head = store.head
    else:
        with request.reader(log, without_key=True) as reader:
            head = reader.head
    if request.json:
        document("accept", {"path": str(log), "head": head, "kept": None if kept is None else str(kept)})
    elif kept is None:
        say_line(f"{log} misses nothing that was acknowledged: it ends at #{head}")
    else:
        say_line(f"{log} goes on from #{head}; what there was is kept in {kept.parent}")
