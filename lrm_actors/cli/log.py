"""``lrm log``: what happened, event by event."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from lrm_actors.cli.common import Request, on_a_log, outer_of, record_data, to_position
from lrm_actors.cli.output import clock_time, json_line, paint, say_line, talk

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore.protocol import EventReader
    from eventstore.reader import SqliteReader
    from eventstore.records import Record
    from lrm_actors.inspect.outer import Told

STREAM_WIDTH, WORD_WIDTH = 14, 24
POSITION_WIDTH, POSITION_WIDTH_OF_BOTH = 7, 9
POLL_S = 0.1


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Wait for more, until Ctrl-C.")
@click.option("--actor", "actors", multiple=True, metavar="NAME", help="Only of this actor; 'breaker' means every one.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only of this type; 'breaker.' means every one.")
@click.option("--since", callback=to_position, metavar="POSITION", help="Begin at this position.")
@click.option("--limit", type=click.IntRange(0, 10**9), help="Only the newest so many.")
@click.option("--only", type=click.Choice(("agent", "outer")), help="Only this log of the two.")
@on_a_log
def command(
    *,
    follow: bool,
    actors: tuple[str, ...],
    types: tuple[str, ...],
    since: int | None,
    limit: int | None,
    only: str | None,
    request: Request,
) -> None:
    """Print what happened, event by event.

    Each line has the time, the position, the actor, what happened, and the position of its cause. With --json each
    line is one JSON document. What 'lrm run' did beside the agent is told in its place, with positions outer#1.
    """
    wanted = _wanted(actors, types)
    path = request.path()
    with request.reader(path, without_key=True) as reader, request.watchdog(path, reader) as beside:
        _check(only, path, reader, beside)
        logs = _Logs(reader, None if only == "agent" else beside, agent=only != "outer" or beside is None)
        begin = logs.position(since or 1)
        found = False
        for told in logs.until_now(wanted, begin, limit):
            found = True
            _print(told, as_json=request.json, both=beside is not None)
        if logs.head and not found and not follow and limit != 0:
            talk(_nothing(reader, logs.head, actors, types))
        if follow:
            for told in logs.from_now_on(wanted, begin):
                _print(told, as_json=request.json, both=beside is not None)


def _check(only: str | None, path: Path, reader: SqliteReader, beside: SqliteReader | None) -> None:
    """Refuse to show one log for the other, which is not there."""
    from lrm_actors.inspect.errors import TargetNotFound
    from lrm_actors.inspect.outer import is_outer

    if only == "outer":
        outer_of(path, reader, beside, "--only outer")
    elif only == "agent" and is_outer(path):
        raise TargetNotFound("--only agent", f"{path} is the log of 'lrm run', and has none of an agent's events")


class _Logs:
    """An agent's log and its watchdog's, or one of them, as one.

    Args:
        reader: of the agent's log, or of the only one there is.
        watchdog: of the watchdog's beside it; None: without it.
        agent: with the agent's.
    """

    def __init__(self, reader: EventReader, watchdog: EventReader | None, *, agent: bool) -> None:
        self._readers = (reader if agent else None, watchdog)
        self._heads = [0 if one is None else one.head for one in self._readers]
        self.head = sum(self._heads)

    def position(self, since: int) -> list[int]:
        """Where to begin in each, for a position in the agent's log, or in the only one."""
        reader, watchdog = self._readers
        if reader is None or watchdog is None or since <= 1:
            return [since - 1, since - 1]
        from eventstore.errors import PositionNotFound

        try:
            return [since - 1, watchdog.position_at(reader.get(since).recorded_at.wall_s)]
        except PositionNotFound:
            return [since - 1, self._heads[1]]

    def until_now(self, wanted: Callable[[Record], bool], after: list[int], limit: int | None) -> Iterator[Told]:
        """What is there."""
        found = self._read(wanted, after, self._heads)
        yield from found if limit is None else deque(found, maxlen=limit)

    def from_now_on(self, wanted: Callable[[Record], bool], after: list[int]) -> Iterator[Told]:
        """What comes, for ever."""
        seen = [max(head, begin) for head, begin in zip(self._heads, after, strict=True)]
        reader, watchdog = self._readers
        if reader is not None and watchdog is None:
            from lrm_actors.inspect.outer import Told

            for record in filter(wanted, reader.tail(after=seen[0], poll_s=POLL_S, removed="skip")):
                yield Told(record, outer=False)
        while True:
            heads = [0 if one is None else one.head for one in self._readers]
            yield from self._read(wanted, seen, heads)
            seen = [max(head, before) for head, before in zip(heads, seen, strict=True)]
            time.sleep(POLL_S)

    def _read(self, wanted: Callable[[Record], bool], after: list[int], up_to: list[int]) -> Iterator[Told]:
        from lrm_actors.inspect.outer import together

        agent, watchdog = (
            () if one is None else filter(wanted, one.read(after=begin, up_to=end, removed="skip"))
            for one, begin, end in zip(self._readers, after, up_to, strict=True)
        )
        return together(agent, watchdog)


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


def _wanted(actors: tuple[str, ...], types: tuple[str, ...]) -> Callable[[Record], bool]:
    def wanted(record: Record) -> bool:
        of_actor = not actors or any(record.stream == one or record.stream.startswith(f"{one}/") for one in actors)
        of_type = not types or any(
            record.type == one or (one[-1:] == "." and record.type.startswith(one)) for one in types
        )
        return of_actor and of_type

    return wanted


def _print(told: Told, *, as_json: bool, both: bool) -> None:
    record = told.record
    if as_json:
        json_line("log", record_data(record) | {"log": "outer" if told.outer or record.stream == "outer" else "agent"})
        return
    from lrm_actors.inspect.sentences import sentence

    category, _, word = record.type.partition(".")
    if category != record.stream.partition("/")[0]:
        word = record.type
    cause = paint(f"  └ {told.cause}", "dim") if told.cause else ""
    columns = (
        clock_time(record.recorded_at.wall_s),
        paint(f"{told.position:>{POSITION_WIDTH_OF_BOTH if both else POSITION_WIDTH}}", "dim"),
        f"{record.stream:<{STREAM_WIDTH}}",
        paint(f"{word:<{WORD_WIDTH}}", "name"),
        f"{sentence(record)}{cause}",
    )
    say_line("  ".join(columns))
