"""Keeps browser-use agents alive. Needs the extra ``browser-use``, which is imported only when it is first used.

Names are loaded when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.lazy import lazy

if TYPE_CHECKING:
    from lrm_actors.adapters.browser_use.chromium import Attachment, OwnedChromium
    from lrm_actors.adapters.browser_use.connection import Connection
    from lrm_actors.adapters.browser_use.looking_after import beat, browser_component
    from lrm_actors.adapters.browser_use.remote import RemoteBrowser
    from lrm_actors.adapters.browser_use.storage import read_browser, restore_browser

_HOME = {
    "chromium": ("Attachment", "OwnedChromium"),
    "connection": ("Connection",),
    "looking_after": ("beat", "browser_component"),
    "remote": ("RemoteBrowser",),
    "storage": ("read_browser", "restore_browser"),
}

__all__ = [
    "Attachment",
    "Connection",
    "OwnedChromium",
    "RemoteBrowser",
    "beat",
    "browser_component",
    "read_browser",
    "restore_browser",
]


__getattr__, __dir__ = lazy(globals(), _HOME)
