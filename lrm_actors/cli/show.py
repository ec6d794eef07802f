"""``lrm show``: one event whole."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from lrm_actors.cli.common import Request, on_a_log, outer_of, record_data, record_line, to_position
from lrm_actors.cli.output import day_time, document, paint, say, say_line, table

if TYPE_CHECKING:
    from eventstore.protocol import EventReader
    from eventstore.records import Record

EFFECTS_WITHIN = 10_000
"""Positions after an event among which its effects are looked for."""


@click.command()
@click.argument("position")
@on_a_log
@click.pass_context
def command(ctx: click.Context, *, position: str, request: Request) -> None:
    """Show one event whole, with what led to it and what it led to.

    POSITION is a number, with or without #; outer#12 in the log of 'lrm run' beside an agent's.
    """
    from lrm_actors.inspect.effect_history import effect_before

    with ExitStack() as opened:
        path = request.path()
        reader = opened.enter_context(request.reader(path))
        outer = position.startswith("outer#")
        if outer:
            beside = opened.enter_context(request.watchdog(path, reader))
            reader = outer_of(path, reader, beside, position)
        number = to_position(ctx, ctx.command.params[0], position.removeprefix("outer"))
        assert number is not None
        record = reader.get(number)
        effects = effects_of(reader, record)
        cause = reader.get(record.cause) if record.cause is not None and record.cause >= reader.first else None
        before = effect_before(reader, record)
    if request.json:
        data: dict[str, Any] = {"event": record_data(record), "effects": [effect.position for effect in effects]}
        if before is not None:
            data["before"] = before.position
        document("show", data | {"log": "outer" if outer or record.stream == "outer" else "agent"})
        return
    say_line(paint(record_line(record, outer=outer), "name"))
    rows = [
        ("time", day_time(record.recorded_at.wall_s)),
        ("stream", f"{record.stream}, version {record.version}"),
        ("form", f"version {record.schema_version}"),
        ("correlation", record.correlation_id or "none"),
        ("command", record.command_id or "none"),
        ("depth", str(record.depth)),
    ]
    table(rows, indent="  ")
    say("  data")
    for line in json.dumps(json.loads(record.data), ensure_ascii=False, indent=2).split("\n"):
        say(f"    {line}")
    if before is not None:
        say_line(f"└ after {record_line(before, outer=outer)}")
    elif record.cause is None:
        say("└ comes from outside, or was seen")
    else:
        gone = f"#{record.cause}, which is not kept any more"
        say_line(f"└ because {gone if cause is None else record_line(cause, outer=outer)}")
    for effect in effects:
        say_line(f"→ led to {record_line(effect, outer=outer)}")


def effects_of(reader: EventReader, record: Record) -> list[Record]:
    """The records that name this one as their cause, of those not too far after it."""
    after = record.position
    return [
        one
        for one in reader.read(after=after, up_to=after + EFFECTS_WITHIN, removed="skip")
        if one.cause == record.position
    ]
