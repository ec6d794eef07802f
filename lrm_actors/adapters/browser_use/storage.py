"""What a browser holds for the agent, to and fro: ``read_browser`` and ``restore_browser``."""

from __future__ import annotations

from lrm_actors.adapters.browser_use.browser_reading import read_browser
from lrm_actors.adapters.browser_use.browser_restoring import restore_browser

__all__ = ["read_browser", "restore_browser"]
