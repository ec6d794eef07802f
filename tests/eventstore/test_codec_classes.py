"""What classes may be made of, and what of their instances is stored."""

from __future__ import annotations

import functools
import typing
from typing import Annotated, Any, Generic, TypeVar

import attrs
import msgspec
import pytest

from eventstore.codec import decode_events, encode_event
from eventstore.errors import CorruptEvent, EventRefused
from eventstore.events import event, float_fields
from tests.eventstore.test_codec_exact import Level, Point, through
from tests.faults.codec_fuzz import identical

T = TypeVar("T")


@attrs.frozen
class Box(Generic[T]):
    held: T


@attrs.frozen
class Secretive:
    _hidden: int = 0


@event("exact.liar", 1)
@attrs.frozen(eq=False)
class Liar:
    """Says that it equals everything."""

    number: float

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def test_a_class_is_not_asked_whether_it_came_back() -> None:
    """What it says of equality is its own affair."""
    with pytest.raises(EventRefused) as caught:
        encode_event(Liar(1))
    assert "number" == caught.value.field
    assert "1 would come back as 1.0" in caught.value.reason


@event("exact.cached", 1)
class Cached:
    n: int

    @functools.cached_property
    def twice(self) -> int:
        return 2 * self.n


@event("exact.roomy", 1)
@attrs.define(slots=False)
class Roomy:
    n: int


def test_only_fields_are_stored() -> None:
    """Neither what a property cached nor what somebody put into the instance."""
    cached, roomy = Cached(2), Roomy(3)
    assert 4 == cached.twice
    vars(roomy)["note"] = "not a field"
    assert [b'{"n":2}', b'{"n":3}'] == [encode_event(one)[1] for one in (cached, roomy)]


def _halved(value: float) -> float:
    return value / 2


@event("exact.derived", 1)
@attrs.frozen(kw_only=True)
class Derived:
    half: float = attrs.field(converter=_halved)
    name: str = attrs.field(default="x", alias="called")
    double: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "double", 2 * self.half)


@event("exact.unset", 1)
@attrs.frozen
class Unset:
    never: int = attrs.field(init=False)


def test_what_attrs_can_do_to_a_field_does_no_harm() -> None:
    """Converters, aliases, fields that are not arguments; one that nobody set is told."""
    derived = Derived(half=3.0, called="y")
    assert identical(derived, through(derived))
    with pytest.raises(EventRefused) as caught:
        encode_event(Unset())
    assert ("never", "it was never set") == (caught.value.field, caught.value.reason)


def _look_up(self: object, field: object, value: int) -> None:
    _ = {0: 1, 1: 2}[value]


@event("exact.checked", 1)
@attrs.frozen
class Checked:
    small: int = attrs.field(default=0, validator=_look_up)
    positive: Annotated[int, msgspec.Meta(gt=0)] = 1


def test_what_no_reader_would_accept_is_refused() -> None:
    """A validator that was got round, a constraint that attrs does not know; whatever they raise."""
    made = Checked(1)
    assert identical(made, through(made))
    with attrs.validators.disabled():
        unchecked = Checked(5)
    for wrong in (unchecked, attrs.evolve(made, positive=0), attrs.evolve(made, positive=-1)):
        with pytest.raises(EventRefused):
            encode_event(wrong)
    with pytest.raises(CorruptEvent):
        decode_events(1, "exact.checked", 1, b'{"small":5}')


@event("exact.holds_generic", 1)
class HoldsGeneric:
    box: Box[tuple[Secretive, ...]] | None = None


@event("exact.holds_named_tuple", 1)
class HoldsNamedTuple:
    points: list[Point] = attrs.field(factory=list)


@event("exact.holds_anything", 1)
class HoldsUnknown:
    inner: dict[str, typing.Callable[[], int]] = attrs.field(factory=dict)


@pytest.mark.parametrize(
    ("made", "field"),
    [(HoldsGeneric(), "box.held._hidden"), (HoldsNamedTuple(), "points"), (HoldsUnknown(), "inner")],
)
def test_types_that_cannot_be_vouched_for_are_refused(made: object, field: str) -> None:
    """At the first event of the class, whatever is in it; through containers and generic classes."""
    with pytest.raises(EventRefused) as caught:
        encode_event(made)
    assert field == caught.value.field


@event("exact.measured", 1)
class Converted:
    ratio: float
    maybe: float | None = None
    kept: float = attrs.field(default=0.0, converter=_halved)
    anything: Any = None


@attrs.frozen(field_transformer=float_fields)
class Nested:
    size: float


def test_whole_numbers_become_floats_where_a_class_is_made_so() -> None:
    """Event classes are, others if they say so; only numbers that a float holds exactly, and nothing else changes."""
    for made in (Converted(5, 7, 3, 1), Converted(-(2**53), None, 1, Nested(2).size)):
        assert identical(made, through(made))
    assert identical(Converted(5.0, 7.0, 6, 1), Converted(5, 7, 6, 1))
    assert identical(Nested(2.0), Nested(2))
    for wrong in (2**53 + 1, True, "1", Level.LOW, 10**400):
        with pytest.raises(EventRefused) as caught:
            encode_event(Converted(wrong))  # type: ignore[arg-type]
        assert "ratio" == caught.value.field
