"""What a planted bug is: a small change of the product's code while it runs, and which part of the kit catches it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import attrs
import pytest

Plant: TypeAlias = Callable[[pytest.MonkeyPatch], None]


@attrs.frozen
class Planted:
    """One bug."""

    name: str
    what: str
    """What is wrong, in a sentence."""
    where: str
    """The module that it is in."""
    caught_by: str
    """The check that it is met by: ``part/check``."""
    plant: Plant


def planted(where: str, caught_by: str, into: list[Planted]) -> Callable[[Plant], Plant]:
    """Collect a function that plants a bug; its name and its docstring are the bug's."""

    def collect(plant: Plant) -> Plant:
        into.append(Planted(plant.__name__, (plant.__doc__ or "").strip(), where, caught_by, plant))
        return plant

    return collect
