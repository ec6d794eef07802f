"""Tools to test a store, and any other use of SQLite, against what disks, kernels and power supplies do to it.

Names are loaded when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eventstore.testing.capture import Capture, Entry
    from eventstore.testing.clock import FakeClock
    from eventstore.testing.conformance import StoreConformance
    from eventstore.testing.faults import Fault, Operation
    from eventstore.testing.machine import StoreMachine
    from eventstore.testing.powercut import CrashState, PowerCut
    from eventstore.testing.strategies import batches, events, histories, play, poison_payloads, poison_values
    from eventstore.testing.vfs import FaultVFS

_HOME = {
    "capture": ("Capture", "Entry"),
    "clock": ("FakeClock",),
    "conformance": ("StoreConformance",),
    "faults": ("Fault", "Operation"),
    "machine": ("StoreMachine",),
    "powercut": ("CrashState", "PowerCut"),
    "strategies": ("batches", "events", "histories", "play", "poison_payloads", "poison_values"),
    "vfs": ("FaultVFS",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [  # noqa: RUF022 - grouped by module, as above
    "Capture",
    "Entry",
    "FakeClock",
    "StoreConformance",
    "Fault",
    "Operation",
    "StoreMachine",
    "CrashState",
    "PowerCut",
    "batches",
    "events",
    "histories",
    "play",
    "poison_payloads",
    "poison_values",
    "FaultVFS",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
