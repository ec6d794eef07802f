"""Tools to test actors: any schedule, any fault, any moment of a crash, and the same again from what a failure prints.

Names are loaded when first used, so that importing the package costs next to nothing. What they need comes with the
``testing`` extra.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME: dict[str, tuple[str, ...]] = {}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__: list[str] = []


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
