"""What every store promises, as tests that any store can run: a class to inherit from, in pytest.

Needs pytest: install ``lrm-actors[test]``.
"""

from __future__ import annotations

import pytest

for _name in ("appending", "keeping", "outliving", "owning", "reading", "refusing", "retaining", "retrying", "sharing"):
    pytest.register_assert_rewrite(f"{__name__}.{_name}")  # a failed assertion then shows what it compared

from eventstore.testing.conformance.appending import Appending
from eventstore.testing.conformance.base import Beneath, Counted, Measured, append, counts
from eventstore.testing.conformance.keeping import Keeping
from eventstore.testing.conformance.outliving import Outliving
from eventstore.testing.conformance.owning import Owning
from eventstore.testing.conformance.reading import Reading
from eventstore.testing.conformance.refusing import Refusing
from eventstore.testing.conformance.retaining import Retaining
from eventstore.testing.conformance.retrying import Retrying
from eventstore.testing.conformance.sharing import Sharing

__all__ = ["Beneath", "Counted", "Measured", "StoreConformance", "append", "counts"]


class StoreConformance(Appending, Refusing, Retrying, Owning, Sharing, Reading, Keeping, Retaining, Outliving, Beneath):
    """Everything that is asked of a store.

    Inherit from it in a class whose name begins with ``Test`` and say in ``open_store`` how a store is opened. What a
    store need not have is skipped, with a reason: readers beside the owner, where ``open_reader`` is not overridden,
    and what becomes of an older owner, where ``second_owner`` raises ``NotImplementedError`` or an error of the store.
    """
