"""The project's ``frozen`` does what that of attrs does, and keeps less."""

from __future__ import annotations

import copy
import linecache
import math
import pickle
from typing import Any

import attrs
import pytest

from eventstore.frozen import frozen


@frozen
class Point:
    """One of ours."""

    x: float
    y: float = 0.0
    tags: dict[str, Any] = attrs.Factory(dict)


@attrs.frozen
class Other:
    """The same by attrs itself."""

    x: float
    y: float = 0.0
    tags: dict[str, Any] = attrs.Factory(dict)


@frozen
class Nothing:
    """Has no fields."""


@frozen
class Below(Point):
    """Has one more."""

    z: float = 1.0


@frozen
class Secret:
    """Its fields are not all alike, so it is made by attrs as it is."""

    shown: int
    hidden: int = attrs.field(repr=False, eq=False, default=0)


@frozen(kw_only=True)
class Named:
    """Takes names only, and says itself what it looks like."""

    name: str

    def __repr__(self) -> str:
        return f"<{self.name}>"


def same_as_attrs(one: type, other: type) -> None:
    """Compare two classes of these three fields in all that attrs promises."""
    a, b = one(1.0, tags={"k": 1}), other(1.0, tags={"k": 1})
    assert repr(a).replace(one.__name__, "") == repr(b).replace(other.__name__, "")
    assert attrs.asdict(a) == attrs.asdict(b)
    for made in (one, other):
        assert made(1.0) == made(1.0)
        assert made(1.0) != made(2.0)
        assert (made(1.0) == 1.0) is False
        assert made(math.nan) != made(math.nan)
        assert hash(made(1.0, 2.0, ())) == hash(made(1.0, 2.0, ()))
        with pytest.raises(TypeError):
            hash(made(1.0))
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            made(1.0).x = 2.0
        assert made(2.0, tags={}) == attrs.evolve(made(1.0, tags={}), x=2.0)
        assert a.__class__(3.0) == copy.deepcopy(a.__class__(3.0)) == pickle.loads(pickle.dumps(a.__class__(3.0)))
        assert ("x", "y", "tags") == vars(made)["__match_args__"]
        assert ["x", "y", "tags"] == [field.name for field in attrs.fields(made)]
        assert "y" == attrs.fields(made).y.name
        assert not hasattr(attrs.fields(made), "nothing")


def test_it_behaves_as_attrs_does() -> None:
    """Text, comparison, hash, copies, evolution, fields."""
    same_as_attrs(Point, Other)


def test_a_comparison_by_identity_is_seen() -> None:
    """The check above is not blind: what compares otherwise is found."""

    class Wrong(Point):
        def __eq__(self, other: object) -> bool:
            return self is other

        __hash__ = None  # type: ignore[assignment]

    with pytest.raises(AssertionError):
        same_as_attrs(Wrong, Other)


def test_subclasses_compare_with_their_own_kind() -> None:
    """A subclass has all fields, and is no instance of its base when compared."""
    assert "Below(x=1.0, y=0.0, tags={}, z=1.0)" == repr(Below(1.0))
    assert Below(1.0) != Point(1.0)
    assert Nothing() == Nothing()
    assert "Nothing()" == repr(Nothing())


def test_what_is_special_stays_special() -> None:
    """Fields that are left out, and methods of its own."""
    assert "Secret(shown=1)" == repr(Secret(1, 2))
    assert Secret(1, 2) == Secret(1, 3)
    assert "<a>" == repr(Named(name="a"))
    assert Named(name="a") == Named(name="a")
    with pytest.raises(TypeError):
        Named("a")  # type: ignore[call-arg]


def test_one_that_holds_itself_has_a_text() -> None:
    """As with attrs, the text ends where it would begin again."""
    point = Point(1.0)
    point.tags["me"] = point
    assert "Point(x=1.0, y=0.0, tags={'me': ...})" == repr(point)


def test_no_source_is_kept() -> None:
    """Attrs keeps the source of the methods that it writes, for debuggers: a megabyte for all of ours."""
    kept = [name for name in linecache.cache if "attrs generated" in name and "test_frozen.Point" in name]
    assert [] == kept
