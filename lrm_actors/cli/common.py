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
from lrm_actors.cli.finding import find_log, looks_like_log
from lrm_actors.cli.output import clock_time, iso_time, talk

if TYPE_CHECKING:
    from eventstore.encrypting.keyring import Keyring
    from eventstore.reader import SqliteReader
    from eventstore.records import Record


@attrs.frozen
class Request:
    """Which log, with which key, and whether JSON is wanted."""

    given: str | None
    json: bool
    key_file: str | None = None

    def path(self) -> Path:
        """Where the log is. Says so on stderr when it was not named.

        Raises:
            LogNotFound: there is none.
        """
        path, how = find_log(self.given)
        if how:
            talk(f"reading {path} ({how})")
        return path

    def key(self) -> Keyring | None:
        """The key of an encrypted log, if one was given.

        Raises:
            BadKey: what was given is none.
        """
        if self.key_file is not None:
            from eventstore.encrypting.keyring import key_from_file

            return key_from_file(self.key_file)
        from lrm_actors.inspect.keys import log_key

        return log_key()

    def owners_key(self, path: Path) -> Keyring | None:
        """The key to own a log with that is there already; None where it is not encrypted, and is not to become so.

        Raises:
            OpenError: there is none, or it cannot be read.
            BadKey: what was given as its key is none.
        """
        from eventstore.opening import open_reader

        with open_reader(path, unknown="placeholder") as reader:
            return self.key() if reader.locked else None

    @contextmanager
    def reader(self, path: Path | None = None, *, without_key: bool = False) -> Iterator[SqliteReader]:
        """The log, open for reading.

        Args:
            path: where it is, if that was asked already.
            without_key: what is in the clear in an encrypted log will do.

        Raises:
            OpenError: it cannot be read.
            BadKey: what was given as its key is none.
        """
        from eventstore.errors import KeyRequired
        from lrm_actors.inspect.folds import open_log

        with open_log(path or self.path(), key=self.key()) as reader:
            if reader.locked and not without_key:
                raise KeyRequired(str(reader.path))
            yield reader

    @contextmanager
    def watchdog(self, path: Path, reader: SqliteReader) -> Iterator[SqliteReader | None]:
        """The log of the ``lrm run`` that started the processes of an agent, open for reading; None without one.

        Args:
            path: the agent's log.
            reader: of it.
        """
        from eventstore.errors import EventStoreError
        from lrm_actors.inspect.folds import open_log
        from lrm_actors.inspect.outer import outer_beside

        beside = outer_beside(path, reader)
        try:
            opened = None if beside is None else open_log(beside, key=self.key())
        except EventStoreError as error:
            talk(f"the watchdog's log at {beside} is left out: {error}")
            opened = None
        try:
            yield opened
        finally:
            if opened is not None:
                opened.close()


def outer_of(path: Path, reader: SqliteReader, beside: SqliteReader | None, target: str) -> SqliteReader:
    """The watchdog's log that a question is about: the one beside the agent's, or the one that was named itself.

    Args:
        path: the log that was named.
        reader: of it.
        beside: reader of the watchdog's beside it, if there is one.
        target: what is asked about.

    Raises:
        TargetNotFound: there is none. The agent's own events are no answer.
    """
    from lrm_actors.inspect.errors import TargetNotFound
    from lrm_actors.inspect.outer import is_outer

    if is_outer(path):
        return reader
    if beside is None:
        raise TargetNotFound(target, f"{path} has no log of 'lrm run' beside it that can be read")
    return beside


class ListingGroup(click.Group):
    """Takes a log in place of a command of its own for ``list`` of that log, as every other command takes one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant."""
        if args and args[0] not in self.commands and looks_like_log(args[0]):
            args = ["list", *args]
        return super().resolve_command(ctx, args)


def on_a_log(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of every log and the argument ``LOG``; it gets them as ``request``."""

    def with_argument(*, request: Request, log: str | None, **arguments: Any) -> Any:
        if log is not None and request.given is not None and request.given != log:
            raise click.UsageError(f"the log is named twice: {log} and {request.given}")
        return function(request=attrs.evolve(request, given=log or request.given), **arguments)

    functools.update_wrapper(with_argument, function)
    return click.argument("log", required=False, metavar="[LOG]")(with_options(with_argument))


def with_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same without the argument."""

    def with_request(
        ctx: click.Context, /, *, log_option: str | None, as_json: bool, key_file: str | None, **arguments: Any
    ) -> Any:
        common = ctx.find_object(Common) or Common(None, json=False)
        request = Request(log_option or common.log, as_json or common.json, key_file or common.key_file)
        ctx.obj = Common(request.given, request.json, request.key_file)  # a command of a command goes by them too
        return function(request=request, **arguments)

    functools.update_wrapper(with_request, function)
    log = click.option("--log", "log_option", metavar="PATH", help="The log: lrm.db, its directory, or one above it.")
    as_json = click.option("--json", "as_json", is_flag=True, help="JSON on stdout instead of text.")
    key_file = click.option("--key-file", metavar="FILE", help="The key of an encrypted log.")
    return log(as_json(key_file(click.pass_context(with_request))))


POSITION_DIGITS = 100
"""Of a number that is taken for a position; none has more than 19, and int() takes only so many."""


def to_position(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Turn ``123`` or ``#123`` into a number, as a click callback."""
    if value is None:
        return None
    digits = value.removeprefix("#")
    if not digits.isascii() or not digits.isdigit() or len(digits) > POSITION_DIGITS:
        raise click.BadParameter(f"{value[:POSITION_DIGITS]!r} is no position: give 123 or #123", ctx, param)
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


def record_line(record: Record, *, outer: bool = False) -> str:
    """A record on one line, without the cause.

    Args:
        record: the record.
        outer: it is of a watchdog's log that is read beside an agent's.
    """
    from lrm_actors.inspect.sentences import sentence

    position = f"{'outer' if outer else ''}#{record.position}"
    return f"{position}  {clock_time(record.recorded_at.wall_s)}  {record.type}  {sentence(record)}"
