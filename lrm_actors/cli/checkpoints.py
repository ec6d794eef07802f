"""``lrm checkpoints``: which there are, and what is in one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from msgspec import structs

from lrm_actors.cli.common import ListingGroup, Request, on_a_log, with_options
from lrm_actors.cli.output import count, day_time, document, iso_time, paint, say, say_line, size, table

if TYPE_CHECKING:
    from eventstore.protocol import EventReader
    from lrm_actors.domain.retention import CheckpointInfo


@click.group(cls=ListingGroup, invoke_without_command=True, subcommand_metavar="[LOG] | COMMAND [ARGS]...")
@with_options
@click.pass_context
def command(ctx: click.Context, *, request: Request) -> None:
    """List checkpoints, or look into one.

    Without a command of its own it lists them.
    """
    if ctx.invoked_subcommand is None:
        _list(request)


@command.command("list")
@on_a_log
def list_checkpoints(*, request: Request) -> None:
    """List those that are kept, newest first."""
    _list(request)


@command.command("show")
@click.argument("checkpoint_id", metavar="ID")
@on_a_log
def show_checkpoint(*, checkpoint_id: str, request: Request) -> None:
    """Show one checkpoint: what is on record of it, and the state in it.

    ID is one that the list shows, or 'latest'.
    """
    from lrm_actors.actors.checkpointer import read_envelope
    from lrm_actors.domain.checkpointer import attachment_key

    with request.reader() as reader:
        info = _find(reader, checkpoint_id)
        envelope = read_envelope(
            reader.attachment(attachment_key(info.checkpoint_id)).data, info.digest, info.checkpoint_id
        )
    contents = {key: value for key, value in envelope.items() if key != "in_parts"}
    if request.json:
        document("checkpoint", {"checkpoint": _data(info), "contents": _plain(contents)})
        return
    say_line(paint(info.checkpoint_id, "name"))
    rows = [
        ("kind", info.kind),
        ("reason", info.reason),
        ("taken", day_time(info.taken_at_s)),
        ("position", f"#{info.position}: every step committed up to there is in it"),
        ("size", size(info.size_bytes)),
        ("hints", "; ".join(contents["recovery_hints"]) or "none"),
    ]
    table(rows, indent="  ")
    for part in ("agent_state", "browser_state"):
        if contents[part] is not None:
            say(f"  {part}")
            for line in json.dumps(_plain(contents[part]), ensure_ascii=False, indent=2).split("\n"):
                say(f"    {line}")


def _list(request: Request) -> None:
    with request.reader() as reader:
        kept = _kept(reader)
    if request.json:
        document("checkpoints", {"checkpoints": [_data(info) for info in kept]})
        return
    table(
        (
            paint(info.checkpoint_id, "name"),
            info.kind,
            day_time(info.taken_at_s),
            f"#{info.position}",
            size(info.size_bytes),
            paint("damaged", "bad") if info.damaged else "",
            info.reason,
        )
        for info in kept
    )
    say(count(len(kept), "checkpoint"))


def _kept(reader: EventReader) -> list[CheckpointInfo]:
    """Those on record as kept, newest first."""
    from lrm_actors.inspect.replay import state_at

    state: Any = state_at(reader, "checkpointer").state
    return list(reversed(state.kept))


def _find(reader: EventReader, checkpoint_id: str) -> CheckpointInfo:
    from lrm_actors.errors import CheckpointNotFound

    kept = _kept(reader)
    for info in kept:
        if checkpoint_id in {info.checkpoint_id, "latest"}:
            return info
    raise CheckpointNotFound(checkpoint_id)


def _data(info: CheckpointInfo) -> dict[str, Any]:
    return {**structs.asdict(info), "taken_at": iso_time(info.taken_at_s)}


def _plain(value: Any) -> Any:
    """What a checkpoint may hold as JSON: bytes as their ``repr``, numbers that JSON lacks as text."""
    return json.loads(json.dumps(value, default=repr), parse_constant=str)
