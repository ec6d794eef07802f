"""``lrm verify``: whether a log is as it was written."""

from __future__ import annotations

import sys

import attrs
import click

from lrm_actors.cli import exits
from lrm_actors.cli.common import Request, on_a_log
from lrm_actors.cli.output import count, document, paint, say, say_line


@click.command(epilog="Exit code 4 when something is wrong.")
@click.option(
    "--load", "modules", multiple=True, metavar="MODULE", help="A module that holds the Specs of your own actors."
)
@on_a_log
@click.pass_context
def command(ctx: click.Context, *, modules: tuple[str, ...], request: Request) -> None:
    """Check that a log is as it was written.

    Reads the file, every event, snapshot and checkpoint: hashes and checksums, gaps, causes, that each snapshot is what
    its events add up to, and that each checkpoint can be restored. Of an encrypted log without its key, hashes only.
    """
    from lrm_actors.hosting.checking import checked
    from lrm_actors.inspect.folds import Folds
    from lrm_actors.inspect.verify import verify_log

    if modules and "" not in sys.path:
        sys.path.insert(0, "")
    folds = Folds().with_modules(modules)
    with request.reader(without_key=True) as reader:
        locked = reader.locked
        result = verify_log(reader, folds=folds, check_checkpoints=checked)
    head = result.store.head
    counts = {
        "head": head,
        "marked": result.store.marked,
        "events": result.store.events,
        "streams": result.store.streams,
        "snapshots": result.store.snapshots,
        "snapshots_folded": result.snapshots_folded,
        "checkpoints": result.checkpoints,
        "attachments": result.store.attachments,
    }
    if request.json:
        problems = [attrs.asdict(problem) for problem in result.problems]
        document("verify", {"ok": result.ok, **counts, "locked": locked, "problems": problems})
    else:
        kept = f"{count(result.store.events, 'event')} in {count(result.store.streams, 'stream')}"
        say(f"{kept}, up to #{head}{_mark(result.store.marked)}")
        folded = f"{result.snapshots_folded} of {count(result.store.snapshots, 'snapshot')} folded again"
        say(f"{folded}, {count(result.checkpoints, 'checkpoint')} read")
        if locked:
            say("encrypted, and no key was given: hashes and checksums were checked, and not what they are of")
        for problem in result.problems:
            where = "" if problem.position is None else f" at #{problem.position}"
            say_line(paint(f"{problem.what}{where}: {problem.detail}", "bad"))
        found = count(len(result.problems), "problem")
        say(paint("ok: all is as it was written", "good") if result.ok else paint(found, "bad"))
    ctx.exit(exits.OK if result.ok else exits.BROKEN)


def _mark(marked: int | None) -> str:
    """What the mark beside the log says."""
    return ", with no mark beside it" if marked is None else f", acknowledged up to #{marked} at least"
