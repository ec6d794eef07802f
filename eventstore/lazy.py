"""Packages whose names are loaded when they are first used, so that to import them costs next to nothing."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy(
    namespace: dict[str, Any], home: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's ``__getattr__`` and ``__dir__`` (PEP 562).

    Args:
        namespace: the ``globals()`` of the package; what was loaded is kept there.
        home: which of the package's modules each name comes from.
    """
    package = namespace["__name__"]
    module_of = {name: module for module, names in home.items() for name in names}

    def load(name: str) -> Any:
        module = module_of.get(name)
        if module is None:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg)
        value = namespace[name] = getattr(importlib.import_module(f"{package}.{module}"), name)
        return value

    return load, lambda: sorted(module_of)
