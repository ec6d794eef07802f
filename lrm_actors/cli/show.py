"""``lrm show``: one event whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from lrm_actors.cli.common import Request, on_a_log, record_data, record_line, to_position
from lrm_actors.cli.output import day_time, document, paint, say, say_line, table

if TYPE_CHECKING:
    from eventstore.protocol import EventReader
    from eventstore.records import Record

EFFECTS_WITHIN = 10_000
"""Positions after an event among which its effects are looked for."""


@click.command()
@click.argument("position", callback=to_position)
@on_a_log
def command(*, position: int, request: Request) -> None:
    """Show one event whole, with what led to it and what it led to.

    POSITION is a number, with or without #.
    """
    with request.reader() as reader:
        record = reader.get(position)
        effects = effects_of(reader, record)
        cause = reader.get(record.cause) if record.cause is not None and record.cause >= reader.first else None
    if request.json:
        document("show", {"event": record_data(record), "effects": [effect.position for effect in effects]})
        return
    say_line(paint(record_line(record), "name"))
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
    if record.cause is None:
        say("└ comes from outside, or was seen")
    else:
        say_line(
            f"└ because {record_line(cause) if cause is not None else f'#{record.cause}, which is not kept any more'}"
        )
    for effect in effects:
        say_line(f"→ led to {record_line(effect)}")


def effects_of(reader: EventReader, record: Record) -> list[Record]:
    """The records that name this one as their cause, of those not too far after it."""
    after = record.position
    return [one for one in reader.read(after=after, up_to=after + EFFECTS_WITHIN) if one.cause == record.position]
