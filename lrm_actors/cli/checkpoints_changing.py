"""``lrm checkpoints pin``, ``unpin`` and ``prune``: which checkpoints are kept. The living agent is asked to do it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrm_actors.cli.asking import change
from lrm_actors.cli.checkpoint_output import checkpoints_in, find, flags, sizes
from lrm_actors.cli.common import Request, on_a_log
from lrm_actors.cli.durations import to_seconds
from lrm_actors.cli.output import count, day_time, document, paint, say, say_line, size, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventstore.protocol import EventStore
    from lrm_actors.domain.checkpointer import CheckpointInfo

EXITS = "Exit codes: 1 it is refused, 3 no such checkpoint, 5 another process has locked the log, 13 no answer."
BY_HAND = "by hand with lrm"
REASON = click.option("--reason", metavar="TEXT", default=BY_HAND, help="Kept with it.")


@click.command("pin", epilog=EXITS)
@click.argument("checkpoint_id", metavar="ID")
@REASON
@on_a_log
def pin(*, checkpoint_id: str, reason: str, request: Request) -> None:
    """Keep a checkpoint whatever the rules of retention say.

    ID is an id from the list, the end of one (4 characters at least), or 'latest'. The running agent is asked to do it;
    when none is alive, it is done in the log.
    """
    _pin(request, checkpoint_id, reason, pinned=True)


@click.command("unpin", epilog=EXITS)
@click.argument("checkpoint_id", metavar="ID")
@REASON
@on_a_log
def unpin(*, checkpoint_id: str, reason: str, request: Request) -> None:
    """Leave a pinned checkpoint to the rules of retention again, which may be that it goes at once.

    ID is an id from the list, the end of one, or 'latest'.
    """
    _pin(request, checkpoint_id, reason, pinned=False)


@click.command("prune", epilog=EXITS)
@click.option("--keep", "max_checkpoints", type=click.IntRange(1, 10**9), metavar="N", help="The newest so many stay.")
@click.option(
    "--keep-emergency", "max_emergency", type=click.IntRange(1, 10**9), metavar="N", help="And so many emergency ones."
)
@click.option(
    "--older-than",
    "max_age_s",
    callback=to_seconds,
    metavar="AGE",
    help="What is older goes, but for the newest 3: 12h, 30d.",
)
@click.option("--hourly", "keep_hourly_h", type=click.IntRange(0, 10**6), metavar="H", help="One an hour stays.")
@click.option("--daily", "keep_daily_days", type=click.IntRange(0, 10**6), metavar="D", help="One a day stays.")
@click.option("--yes", is_flag=True, help="Remove them. Without it, nothing is.")
@REASON
@on_a_log
def prune(*, yes: bool, reason: str, request: Request, **rules: Any) -> None:
    """Say which checkpoints retention would remove now, and with --yes remove them.

    By the agent's own settings; each rule that is given takes the place of one of them. What is pinned stays, and so
    does the one that a recovery would take. The running agent is asked to do it; when none is alive, it is done in the
    log.
    """
    rules = {name: value for name, value in rules.items() if value is not None}
    path = request.path()
    if yes:
        done = _change(request, path, "prune_checkpoints", {**rules, "reason": reason})
        removed, freed = done["removed"], done.get("freed_bytes")
        if request.json:
            document("checkpoints.prune", {"removed": removed, "freed_bytes": freed, "dry_run": False})
        else:
            for one in removed:
                say_line(one)
            say(f"{count(len(removed), 'checkpoint')} removed{f', {size(freed)} given back' if freed else ''}")
        return
    would_go = _would_go(request, path, rules)
    if request.json:
        ids = [info.checkpoint_id for info in would_go]
        document("checkpoints.prune", {"would_remove": ids, "dry_run": True})
        return
    table(
        (paint(info.checkpoint_id, "name"), info.kind, day_time(info.taken_at_s), sizes(info), flags(info), info.reason)
        for info in would_go
    )
    stored = sum(info.stored_bytes for info in would_go)
    say(
        f"{count(len(would_go), 'checkpoint')} of {size(stored)}, and blobs that no other holds, would go; "
        "--yes removes them"
        if would_go
        else "no checkpoint would go"
    )


def _pin(request: Request, given: str, reason: str, *, pinned: bool) -> None:
    path = request.path()
    with request.reader(path) as reader:
        info = find(reader, given)
    checkpoint_id = info.checkpoint_id
    wanted = {"checkpoint_id": checkpoint_id, "pinned": pinned, "reason": reason}
    told = _change(request, path, "pin_checkpoint", wanted)
    if request.json:
        document("checkpoints.pin" if pinned else "checkpoints.unpin", dict(told))
    else:
        was = " (it was before)" if info.pinned == pinned else ""
        say_line(f"{checkpoint_id} is {'pinned' if pinned else 'left to the rules of retention'}{was}")


def _would_go(request: Request, path: Path, rules: Mapping[str, Any]) -> list[CheckpointInfo]:
    import time

    from lrm_actors.domain.checkpointer import would_prune
    from lrm_actors.hosting.checkpoint_commands import prune_of

    with request.reader(path) as reader:
        state = checkpoints_in(reader)
    config = prune_of({**rules, "reason": BY_HAND}).config(state.config)
    gone = set(would_prune(state, config, time.time()))
    return [info for info in state.kept if info.checkpoint_id in gone]


def _change(request: Request, path: Path, command: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Have the owner of the log do it, or do it as its owner."""
    return change(path, command, arguments, lambda: _alone(request, path, command, arguments))


def _alone(request: Request, path: Path, command: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    from eventstore.opening import open_store
    from lrm_actors.domain import checkpointer
    from lrm_actors.hosting.checkpoint_commands import pin_of, prune_of
    from lrm_actors.hosting.ownerless import decide_alone
    from lrm_actors.inspect.folds import declare_ours

    declare_ours()
    pins = command == "pin_checkpoint"
    wanted = pin_of(arguments) if pins else prune_of(arguments)
    with open_store(path, unknown="placeholder", key=request.owners_key(path)) as store:
        reply = decide_alone(store, checkpointer.spec(), wanted)
        if pins:
            return {name: arguments[name] for name in ("checkpoint_id", "pinned")}
        return {"removed": reply, "freed_bytes": _given_back(store)}


def _given_back(store: EventStore) -> int:
    """Give free space back to the file system, as a living agent does by and by; no event is removed."""
    from eventstore.records import Retention
    from lrm_actors.hosting.trimming import retain_in_steps

    _, freed, _ = retain_in_steps(lambda: store.retain(Retention(max_events=store.head + 1)))
    return freed
