"""How ``lrm replay --what-if`` tells of two histories of the operation mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lrm_actors.cli.common import Request
from lrm_actors.cli.output import count, day_time, document, duration, iso_time, paint, say, say_line, table

if TYPE_CHECKING:
    from lrm_actors.inspect.what_if import ModeAt, WhatIf

STYLE_OF = {"normal": "good", "degraded": "warn", "minimal": "bad", "recovery": "bad"}
SHOWN = 40
"""Lines of each list; the rest are counted."""


def replay_what_if(request: Request, texts: Sequence[str], to: int | None) -> None:
    """Judge the samples again and tell both histories.

    Raises:
        BadTarget, UnknownSetting, SettingsError: what was asked cannot be.
        PositionNotFound: the log does not go there.
    """
    from eventstore.errors import PositionNotFound
    from lrm_actors.inspect.what_if import parse, what_if

    changes = parse(texts)
    with request.reader() as reader:
        head = reader.head
        if to is not None and not reader.first - 1 <= to <= head:
            raise PositionNotFound(to, reader.first, head)
        found = what_if(reader, changes, to=to)
        position = head if to is None else to
    if request.json:
        document("replay", {"position": position, "actors": {}, "what_if": _data(found)})
    else:
        _print(found)


def _data(found: WhatIf) -> dict[str, Any]:
    def entry(one: ModeAt) -> dict[str, Any]:
        return {"position": one.position, "at": iso_time(one.at.wall_s), "mode": one.mode, "cause": one.cause}

    return {
        "settings": found.changes,
        "settings_before": found.before,
        "samples": found.samples,
        "was": [entry(one) for one in found.was],
        "would_be": [entry(one) for one in found.would_be],
        "differences": [
            {
                "since": iso_time(one.since.wall_s),
                "seconds": one.seconds,
                "was": one.was,
                "would_be": one.would_be,
            }
            for one in found.differences
        ],
        "note": found.note,
    }


def _print(found: WhatIf) -> None:
    from lrm_actors.domain.deadlines import elapsed_s

    asked = ", ".join(f"{name} = {_value(value)} (it is {_value(found.before[name])})"
                      for name, value in found.changes.items())  # fmt: skip
    say_line(f"what if {paint(asked, 'name')}")
    over = "" if found.first is None or found.last is None else f" over {duration(elapsed_s(found.first, found.last))}"
    say(f"{count(found.samples, 'sample')}{over}")
    if found.note:
        say_line(f"({found.note})")
    _history("as it was", found.was)
    _history("as it would have been", found.would_be)
    say()
    if not found.differences:
        say("they do not differ")
        return
    whole_s = sum(one.seconds for one in found.differences)
    say(f"they differ {count(len(found.differences), 'time')}, {duration(whole_s)} in all")
    table(
        [
            (
                day_time(one.since.wall_s),
                f"for {duration(one.seconds)}",
                f"was {one.was}",
                f"would have been {one.would_be}",
            )
            for one in found.differences[:SHOWN]
        ],
        indent="  ",
    )
    _rest(found.differences)


def _history(title: str, history: Sequence[ModeAt]) -> None:
    say()
    say(f"{title}: {count(len(history), 'change')} of the mode")
    rows = [(day_time(one.at.wall_s), paint(one.mode, STYLE_OF.get(one.mode, "name")), one.cause) for one in history]
    table(rows[:SHOWN], indent="  ")
    _rest(history)


def _rest(shown: Sequence[object]) -> None:
    if len(shown) > SHOWN:
        say(f"  and {len(shown) - SHOWN} more; --json has them all")


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"
