"""What can keep a browser agent from running, and why a run could not go on."""

from __future__ import annotations

from typing import Any

from lrm_actors.errors import LrmError

FAILURES = "too many steps in a row failed"
MAX_STEPS = "there are no steps left"
BROWSER = "the browser cannot be brought back"
OUTAGE = "the model did not come back"
DOUBT = "an action is in doubt, and somebody has to say what became of it"
ENDED = "browser-use ended the run"
_HINTS = {
    FAILURES: "look at history.errors(); run() again goes on where it was, with its failures forgotten",
    MAX_STEPS: "raise max_steps, and call run() again: it goes on where it was",
    BROWSER: "see the cause; run() again goes on where it was, in a new browser",
    OUTAGE: "see the cause, and llm_outage_limit_s; run() again goes on where it was",
    DOUBT: "see 'lrm effects', settle it with 'lrm effects settle', and call run() again",
    ENDED: "see the last of history.errors(); run() again goes on where it was",
}


class HostNotUsable(LrmError, ImportError):
    """The library of the host is missing, or of a version that its adapter does not know."""

    code = "LRM-7010"

    def __init__(self, library: str, reason: str) -> None:
        super().__init__(f"{library} cannot be used: {reason}", hint=f"pip install 'lrm-actors[{library}]'")
        self.library, self.reason = library, reason


class AgentGaveUp(LrmError, RuntimeError):
    """A run cannot go on, and its task is not done. Nothing that it did is lost: call ``run()`` again to go on."""

    code = "LRM-7011"

    def __init__(self, reason: str, detail: str, *, history: Any, checkpoint_id: str | None) -> None:
        # At the end of its steps browser-use adds an item that is none.
        steps = sum(item.metadata is not None for item in history.history) if history is not None else 0
        said = f"the agent gave up after {steps} steps: {reason}" + (f": {detail}" if detail else "")
        super().__init__(said, hint=_HINTS.get(reason, "see the cause"))
        self.reason, self.detail = reason, detail
        self.history = history
        """browser-use's history of all steps, those of earlier processes among them."""
        self.checkpoint_id = checkpoint_id
        """Of the checkpoint that was taken just now; None: none could be."""


class NothingToResume(LrmError, LookupError):
    """An agent was to go on, and there is no log, or no task in it."""

    code = "LRM-7012"
    hint = "see checkpoint_dir and agent_id; a new run needs task="


class AlreadyRunning(LrmError, RuntimeError):
    """``run()`` of an agent was called while it runs."""

    code = "LRM-7013"
    hint = "await the run that is under way; for a second task make a second agent, with an agent_id of its own"
