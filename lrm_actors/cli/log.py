"""``lrm log``: what happened, event by event."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from lrm_actors.cli.common import Request, on_a_log, record_data, to_position
from lrm_actors.cli.output import clock_time, json_line, paint, say_line, talk

if TYPE_CHECKING:
    from eventstore.protocol import EventReader
    from eventstore.records import Record

STREAM_WIDTH, WORD_WIDTH = 14, 24
POLL_S = 0.1


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Wait for more, until Ctrl-C.")
@click.option("--actor", "actors", multiple=True, metavar="NAME", help="Only of this actor; 'breaker' means every one.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only of this type; 'breaker.' means every one.")
@click.option("--since", callback=to_position, metavar="POSITION", help="Begin at this position.")
@click.option("--limit", type=click.IntRange(min=0), help="Only the newest so many.")
@on_a_log
def command(
    *,
    follow: bool,
    actors: tuple[str, ...],
    types: tuple[str, ...],
    since: int | None,
    limit: int | None,
    request: Request,
) -> None:
    """Print what happened, event by event.

    Each line has the time, the position, the actor, what happened, and the position of its cause. With --json each
    line is one JSON document.
    """
    wanted = _wanted(actors, types)
    with request.reader(without_key=True) as reader:
        head = reader.head
        after = (since or 1) - 1
        found = False
        for record in _until(reader, head, wanted, after=after, limit=limit):
            found = True
            _print(record, as_json=request.json)
        if head and not found and not follow and limit != 0:
            talk(_nothing(reader, head, actors, types))
        if follow:
            for record in reader.tail(after=max(head, after), poll_s=POLL_S):
                if wanted(record):
                    _print(record, as_json=request.json)


def _nothing(reader: EventReader, head: int, actors: tuple[str, ...], types: tuple[str, ...]) -> str:
    """Why nothing was printed; a name that no actor or no type has is the likely reason."""
    names = [info.name for info in reader.streams()]
    told = f"none of its {head} events fits"
    if actors:
        told += f"; its actors are {', '.join(names)}"
    if types:
        kinds = ", ".join(dict.fromkeys(f"{name.partition('/')[0]}." for name in names))
        told += f"; a type is 'monitor.sampled', or 'monitor.' for all that begin so: {kinds}"
    return told


def _until(
    reader: EventReader, head: int, wanted: Callable[[Record], bool], *, after: int, limit: int | None
) -> Iterator[Record]:
    records = filter(wanted, reader.read(after=after, up_to=head))
    yield from records if limit is None else deque(records, maxlen=limit)


def _wanted(actors: tuple[str, ...], types: tuple[str, ...]) -> Callable[[Record], bool]:
    def wanted(record: Record) -> bool:
        of_actor = not actors or any(record.stream == one or record.stream.startswith(f"{one}/") for one in actors)
        of_type = not types or any(
            record.type == one or (one[-1:] == "." and record.type.startswith(one)) for one in types
        )
        return of_actor and of_type

    return wanted


def _print(record: Record, *, as_json: bool) -> None:
    if as_json:
        json_line("log", record_data(record))
        return
    from lrm_actors.inspect.sentences import sentence

    category, _, word = record.type.partition(".")
    if category != record.stream.partition("/")[0]:
        word = record.type
    cause = paint(f"  └ #{record.cause}", "dim") if record.cause is not None else ""
    columns = (
        clock_time(record.recorded_at.wall_s),
        paint(f"{f'#{record.position}':>7}", "dim"),
        f"{record.stream:<{STREAM_WIDTH}}",
        paint(f"{word:<{WORD_WIDTH}}", "name"),
        f"{sentence(record)}{cause}",
    )
    say_line("  ".join(columns))
