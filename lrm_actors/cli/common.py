"""What the commands over a log have in common: how the log is named and opened, and how a record is printed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from lrm_actors.cli.app import Common
from lrm_actors.cli.finding import find_log
from lrm_actors.cli.output import clock_time, iso_time, talk

if TYPE_CHECKING:
    from eventstore.reader import SqliteReader
    from eventstore.records import Record


@attrs.frozen
class Request:
    """Which log, and whether JSON is wanted."""

    given: str | None
    json: bool

    def path(self) -> Path:
        """Where the log is. Says so on stderr when it was not named.

        Raises:
            LogNotFound: there is none.
        """
        path, how = find_log(self.given)
        if how:
            talk(f"reading {path} ({how})")
        return path

    @contextmanager
    def reader(self) -> Iterator[SqliteReader]:
        """The log, open for reading.

        Raises:
            OpenError: it cannot be read.
        """
        from lrm_actors.inspect.folds import open_log

        with open_log(self.path()) as reader:
            yield reader


def on_a_log(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options ``--log`` and ``--json`` and the argument ``LOG``; it gets them as ``request``."""

    def with_argument(*, request: Request, log: str | None, **arguments: Any) -> Any:
        if log is not None and request.given is not None and request.given != log:
            raise click.UsageError(f"the log is named twice: {log} and {request.given}")
        return function(request=attrs.evolve(request, given=log or request.given), **arguments)

    functools.update_wrapper(with_argument, function)
    return click.argument("log", required=False, metavar="[LOG]")(with_options(with_argument))


def with_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same without the argument."""

    def with_request(ctx: click.Context, /, *, log_option: str | None, as_json: bool, **arguments: Any) -> Any:
        common = ctx.find_object(Common) or Common(None, json=False)
        request = Request(log_option or common.log, as_json or common.json)
        ctx.obj = Common(request.given, request.json)  # a command of a command goes by them too
        return function(request=request, **arguments)

    functools.update_wrapper(with_request, function)
    log = click.option("--log", "log_option", metavar="PATH", help="The log: lrm.db, its directory, or one above it.")
    as_json = click.option("--json", "as_json", is_flag=True, help="JSON on stdout instead of text.")
    return log(as_json(click.pass_context(with_request)))


def to_position(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Turn ``123`` or ``#123`` into a number, as a click callback."""
    if value is None:
        return None
    digits = value.removeprefix("#")
    if not digits.isascii() or not digits.isdigit():
        raise click.BadParameter(f"{value!r} is no position: give 123 or #123", ctx, param)
    return int(digits)


def record_data(record: Record) -> dict[str, Any]:
    """A record as JSON data."""
    from lrm_actors.inspect.sentences import fields, sentence

    return {
        "position": record.position,
        "time": iso_time(record.recorded_at.wall_s),
        "stream": record.stream,
        "version": record.version,
        "type": record.type,
        "schema_version": record.schema_version,
        "sentence": sentence(record),
        "cause": record.cause,
        "command_id": record.command_id,
        "correlation_id": record.correlation_id,
        "depth": record.depth,
        "data": fields(record),
    }


def record_line(record: Record) -> str:
    """A record on one line, without the cause."""
    from lrm_actors.inspect.sentences import sentence

    return f"#{record.position}  {clock_time(record.recorded_at.wall_s)}  {record.type}  {sentence(record)}"
