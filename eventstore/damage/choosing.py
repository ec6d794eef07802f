"""Which of the events found in a damaged log's files are those that it held."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import product

import attrs

from eventstore.checksums import Header, chain_next, record_bytes, record_checksum
from eventstore.damage.carving import Row
from eventstore.damage.remains import UNCOMMITTED

Names = Mapping[str, Mapping[int, Iterable[str]]]
"""By table and id: what the name may be."""


@attrs.frozen
class Found:
    """An event whose bytes were found."""

    header: Header
    data: bytes
    chain: bytes
    checksum: int | None
    trust: int
    record: bytes = attrs.field(repr=False)

    @property
    def position(self) -> int:
        """Index in the log."""
        return self.header[0]


def resolve(row: Row, names: Names, trust: int) -> Iterable[Found]:
    """The events that a row can be. One with a checksum is right, or there is none."""
    (
        _, stream_id, version, type_id, schema_version, wall_us, monotonic_us, boot_id,
        cause, command_id, correlation_id, depth, data, chain, *rest,
    ) = row.columns  # fmt: skip
    checksum = rest[0] if rest else None
    numbers = stream_id, version, type_id, schema_version, wall_us, monotonic_us, boot_id, depth
    if not all(isinstance(number, int) for number in numbers) or not isinstance(data, bytes):
        return
    for stream, kind, boot in product(
        names["streams"].get(stream_id, ()), names["types"].get(type_id, ()), names["boots"].get(boot_id, ())
    ):
        header: Header = (
            row.rowid, stream, version, kind, schema_version, wall_us, monotonic_us, boot,
            cause, command_id, correlation_id, depth,
        )  # fmt: skip
        record = record_bytes(header, data)
        if checksum is None or checksum == record_checksum(record):
            yield Found(header, data, chain, checksum, trust, record)


def choose(found: Iterable[Found], *, after: int, chain: bytes, marked: int) -> list[Found]:
    """Of all that was found, one event for each position that has one, in order.

    An event is taken if its checksum is right, or if it fits the chain that goes on from the event before it, or, where
    there is no checksum and nothing before it, if the next one fits it. What no commit vouches for is taken only up to
    the mark. An event whose own hash is wrong gets the right one.

    Args:
        found: with right checksums, or with none.
        after: the last position that was removed on purpose.
        chain: at that position.
        marked: the position that was acknowledged, 0 when that is not known.
    """
    places: defaultdict[int, list[Found]] = defaultdict(list)
    for one in found:
        if one.position > after and (one.trust < UNCOMMITTED or one.position <= marked):
            places[one.position].append(one)
    chosen: list[Found] = []
    last, previous = after, chain
    for position in sorted(places):
        following = places.get(position + 1, [])
        known = previous if position == last + 1 else None
        best = _best(places[position], known, following)
        if best is None:
            continue
        one = best
        if known is not None:
            right = chain_next(known, one.record)
            if one.chain != right and (not following or _goes_on(right, following)):
                one = attrs.evolve(one, chain=right)
        chosen.append(one)
        last, previous = position, one.chain
    return chosen


def _best(candidates: list[Found], known: bytes | None, following: list[Found]) -> Found | None:
    fitting = [one for one in candidates if known is not None and chain_next(known, one.record) == one.chain]
    sound = [one for one in candidates if one.checksum is not None]
    vouched = [one for one in candidates if _goes_on(one.chain, following)] if known is None else []
    for group in (fitting, sound, vouched):
        if group:
            return min(group, key=lambda one: one.trust)
    return None


def _goes_on(chain: bytes, following: list[Found]) -> bool:
    return any(chain_next(chain, one.record) == one.chain for one in following)
