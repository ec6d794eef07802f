"""A system of one's own is asked from another terminal as a running mode is."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventstore.opening import open_store
from lrm_actors.hosting.answering import Answering
from lrm_actors.hosting.owner.asking import ask_owner
from lrm_actors.hosting.owner.errors import NoOwner, RequestFailed
from lrm_actors.runtime.inspection.rendering import lines_of
from lrm_actors.runtime.system import ActorSystem
from tests.runtime.support import Add, Raise, counter, eventually


def test_it_answers_from_with_to_its_end(tmp_path: Path) -> None:
    """A dump names the log's directory as the agent; a dead letter is sent again; afterwards nobody answers."""
    path = tmp_path / "shop" / "lrm.db"
    with open_store(path) as store:
        system = ActorSystem(store, [counter(quarantine_after=1)])
        with Answering(system, path):
            system.start()
            try:
                system.ask_blocking("counter", Add(1))
                told = ask_owner(path, "dump", {}, timeout_s=30.0)
                assert ("shop", str(path)) == (told["agent"]["agent_id"], told["agent"]["log"])
                assert ["counter"] == [actor["name"] for actor in told["actors"]]
                assert f"agent shop  {path}" == lines_of(told)[0]
                system.tell("counter", Raise(KeyError))
                eventually(lambda: [one for one in store.read() if one.type == "dead_letters.added"])
                assert ask_owner(path, "trace", {"do": "start", "actors": None, "bodies": False}, timeout_s=30.0)["on"]
                ask_owner(path, "trace", {"do": "stop"}, timeout_s=30.0)
                with pytest.raises(RequestFailed) as failed:
                    ask_owner(path, "resend", {"letter": "none"}, timeout_s=30.0)
                assert "LRM-2014" == failed.value.owner_code
            finally:
                system.stop()
        with pytest.raises(NoOwner):
            ask_owner(path, "dump", {}, timeout_s=30.0)
