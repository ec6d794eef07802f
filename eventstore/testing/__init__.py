"""Tools to test a store, and any other use of SQLite, against what disks, kernels and power supplies do to it.

Names are loaded when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.lazy import lazy

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


__getattr__, __dir__ = lazy(globals(), _HOME)
