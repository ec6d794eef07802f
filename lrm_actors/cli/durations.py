"""Lengths of time as they are given on the command line: ``45s``, ``90m``, ``12h``, ``30d``."""

from __future__ import annotations

import re
from collections.abc import Callable

import click

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def to_seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Turn ``45s``, ``90m``, ``12h`` or ``30d`` into seconds, as a click callback."""
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd])", value)
    if match is None:
        raise click.BadParameter(f"{value!r} is no age: give 45s, 90m, 12h or 30d", ctx, param)
    return float(match[1]) * UNITS_S[match[2]]


def seconds_up_to(most_s: float) -> Callable[[click.Context, click.Parameter, str], float]:
    """A click callback for a length of time: seconds as a number, or with a unit.

    Args:
        most_s: the longest that is allowed; none is as short as nothing.
    """

    def to_time(ctx: click.Context, param: click.Parameter, value: str) -> float:
        match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd]?)", value)
        seconds = float(match[1]) * UNITS_S[match[2] or "s"] if match is not None else 0.0
        if not 0.0 < seconds <= most_s:
            most = f"{most_s / UNITS_S['d']:g}d"
            raise click.BadParameter(f"{value!r} is no time: give seconds, or 45s, 30m, 12h, up to {most}", ctx, param)
        return seconds

    return to_time
