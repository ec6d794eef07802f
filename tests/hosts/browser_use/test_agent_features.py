"""What an agent's settings, history and integration are good for, on a real Chromium and with a scripted model."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eventstore import open_reader
from lrm_actors import LongRunningMode, LongRunningSettings
from lrm_actors.adapters.browser_use import Agent, AgentGaveUp
from lrm_actors.errors import UnknownSetting
from lrm_actors.report import missing_keys
from tests.hosts.browser_use import hosting
from tests.hosts.browser_use.scripted import TASK, ScriptedModel

STEPS = 9
SHOWN = 6


def notes(step: int, url: str, prompt: str) -> list[dict[str, Any]]:
    """Steps that need no page, and an end."""
    if step < STEPS:
        return [{"write_file": {"file_name": "notes.md", "content": f"note-{step}\n", "append": step > 1}}]
    return [{"done": {"text": "all is noted", "success": True}}]


def good(history: Any) -> int:
    """How many steps of a history went well."""
    return sum(not item.result[0].error and item.model_output is not None for item in history.history)


def test_an_agent_ends_where_it_is_told_to_and_goes_on_when_it_may(tmp_path: Path) -> None:
    """Five steps, the last of which may only say that it is done: it gives up, with its history and a checkpoint.

    Resumed, and given more, it ends its task, which nobody has to name again. Its model is shown so many steps at most,
    its state is in the checkpoint, and its integration answers all along.
    """

    async def main() -> None:
        hosting.offline(tmp_path)
        model = ScriptedModel("", script=notes, steps=STEPS)
        agent = hosting.lasting_agent(tmp_path, model, max_steps=5)
        integration = agent.supervisor.long_running_integration
        assert missing_keys(await integration.get_health_status()) == []
        assert await integration.initialize()

        with pytest.raises(AgentGaveUp) as gave_up:
            await agent.run()
        assert (gave_up.value.reason, good(gave_up.value.history)) == ("there are no steps left", 4)
        mode = integration.long_running_mode
        newest, *_ = await mode.checkpointer.list_checkpoints()
        assert newest == gave_up.value.checkpoint_id
        document = await mode.checkpointer.preview(newest)
        state = document["agent_state"]
        assert (state["task"], state["status"], state["n_steps"]) == (TASK, "running", 6)
        assert [item["model_output"]["next_goal"] for item in state["history"][:4]] == [
            f"step {n}" for n in range(1, 5)
        ]
        assert "current_goal" in state
        assert document["browser_state"]["tabs"]
        assert any("there are no steps left" in hint for hint in document["recovery_hints"])
        assert mode.circuit_breakers["llm"].state == "closed"

        await agent.close()

        agent = Agent.resume(tmp_path / "checkpoints", model, **hosting.QUIET)  # the task is in the log
        integration = agent.supervisor.long_running_integration
        agent.settings.max_steps = 40
        agent.settings.max_history_items = SHOWN
        asked = model.calls
        assert await integration.initialize()
        mode = integration.long_running_mode
        assert mode is not None
        history = await agent.run()
        assert (history.is_done(), history.final_result(), good(history)) == (True, "all is noted", STEPS)
        assert history is agent.history
        assert hosting.files_of(agent)["notes.md"].split() == [f"note-{step}" for step in range(1, STEPS)]
        shown = [prompt.count("<step>") for prompt in model.prompts[asked:]]
        assert max(shown) <= SHOWN < STEPS
        ended, *_ = await mode.checkpointer.list_checkpoints()
        state = (await mode.checkpointer.preview(ended))["agent_state"]
        assert (state["status"], state["current_goal"]) == ("ended", f"step {STEPS}")
        assert (await integration.get_health_status())["steps"]["committed"] >= STEPS
        await agent.close()

    asyncio.run(main())


def test_so_many_failed_steps_in_a_row_end_a_run_and_no_more(tmp_path: Path) -> None:
    """An answer that is none is the model's own mistake, which is not waited out: the third one ends it."""

    def nonsense(step: int, url: str, prompt: str) -> list[dict[str, Any]]:
        return [{"fly": {"height": 1}}]

    async def main() -> None:
        hosting.offline(tmp_path)
        model = ScriptedModel("", script=nonsense)
        agent = hosting.lasting_agent(tmp_path, model, max_failures=3, final_response_after_failure=False)
        with pytest.raises(AgentGaveUp, match="too many steps in a row failed"):
            await agent.run()
        assert model.calls == 3

    asyncio.run(main())


def test_a_name_that_no_setting_has_is_refused_with_the_one_that_was_meant() -> None:
    """Also one that browser-use's own agent might have had."""
    for wrong, meant in (("max_step", "max_steps"), ("use_visions", "use_vision")):
        with pytest.raises(UnknownSetting) as refused:
            hosting.lasting_agent(Path(), ScriptedModel(""), **{wrong: 3})
        assert refused.value.suggestion == meant


SECRET = "correct horse/7&battery"
WORDS = re.compile(r"correct(?: |%20|\+)horse(?:/|%2F)7(?:&|&amp;|%26|\\\\u0026)battery")
"""In whatever form a page, an address or JSON has it."""


def signs_in(step: int, url: str, prompt: str) -> list[dict[str, Any]]:
    """Steps whose actions, results, errors and files have the secret in them, and an end."""
    match step:
        case 1:
            return [{"write_file": {"file_name": "notes.md", "content": "it is <secret>x_word</secret>"}}]
        case 2:
            return [{"read_file": {"file_name": "notes.md"}}]
        case 3:
            return [{"navigate": {"url": "data:text/html,<title>x</title><p><secret>x_word</secret>"}}]
        case _:
            return [{"done": {"text": "signed in with <secret>x_word</secret>", "success": True}}]


def where_it_is(directory: Path) -> list[str]:
    """What of the log of an agent has the secret in it: events, checkpoints, and the bytes of its files."""
    found = []
    log = directory / "checkpoints/default/lrm.db"
    with open_reader(log, unknown="placeholder") as reader:
        found += [record.type for record in reader.read() if WORDS.search(repr(record.events))]
    mode = LongRunningMode(LongRunningSettings(enable_long_running_mode=True, checkpoint_dir=log.parents[1]))
    with mode as blocking:
        for checkpoint in blocking.checkpointer.list_checkpoints():
            found += [checkpoint] * bool(WORDS.search(repr(blocking.checkpointer.preview(checkpoint))))
    return found + [
        file.name for file in log.parent.iterdir() if file.is_file() and SECRET.encode() in file.read_bytes()
    ]


def lived_with_a_secret(directory: Path) -> list[str]:
    """A whole run, and where the secret is afterwards."""

    async def main() -> None:
        hosting.offline(directory)
        model = ScriptedModel("", script=signs_in, steps=4)
        agent = hosting.lasting_agent(directory, model, sensitive_data={"x_word": SECRET})
        history = await agent.run()
        assert history.is_done()
        assert SECRET in (directory / "checkpoints/default/browser/files/browseruse_agent_data/notes.md").read_text()
        await agent.close()

    asyncio.run(main())
    return where_it_is(directory)


def test_a_secret_of_the_agent_is_nowhere_in_its_log(tmp_path: Path) -> None:
    """Though its actions use it, their results show it, and its files have it."""
    assert lived_with_a_secret(tmp_path) == []


def test_a_planted_agent_that_hides_nothing_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The secret is then in what steps did, and in the checkpoints."""
    monkeypatch.setattr("lrm_actors.adapters.browser_use.redacting.Redactor.hide", lambda self, value: value)
    found = lived_with_a_secret(tmp_path)
    assert "journal.step_committed" in found
    assert any(name.startswith("checkpoint_") for name in found)


def test_what_is_imported_leaves_no_directory_behind(tmp_path: Path) -> None:
    """Each start of the process would leave one more below the temporary directory."""
    code = "from lrm_actors.adapters.browser_use import compat; compat.load().Agent"
    command = [sys.executable, "-c", code]
    subprocess.run(command, env={**os.environ, "TMPDIR": str(tmp_path)}, check=True, timeout=120)
    assert list(tmp_path.iterdir()) == []
