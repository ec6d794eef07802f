"""Browser-use agents that outlive their process, their browser and their model.

``from lrm_actors.adapters.browser_use import Agent, AgentSettings``. Needs the extra ``browser-use``, which is imported
only when it is first used: names are loaded then, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.lazy import lazy

if TYPE_CHECKING:
    from lrm_actors.adapters.browser_use.agent import Agent
    from lrm_actors.adapters.browser_use.chromium import Attachment, OwnedChromium
    from lrm_actors.adapters.browser_use.connection import Connection
    from lrm_actors.adapters.browser_use.looking_after import beat, browser_component
    from lrm_actors.adapters.browser_use.remote import RemoteBrowser
    from lrm_actors.adapters.browser_use.run_errors import AgentGaveUp
    from lrm_actors.adapters.browser_use.settings import AgentSettings
    from lrm_actors.adapters.browser_use.storage import read_browser, restore_browser

_HOME = {
    "agent": ("Agent",),
    "chromium": ("Attachment", "OwnedChromium"),
    "connection": ("Connection",),
    "looking_after": ("beat", "browser_component"),
    "remote": ("RemoteBrowser",),
    "run_errors": ("AgentGaveUp",),
    "settings": ("AgentSettings",),
    "storage": ("read_browser", "restore_browser"),
}

__all__ = [
    "Agent",
    "AgentGaveUp",
    "AgentSettings",
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
