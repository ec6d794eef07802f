from __future__ import annotations

import pytest

from tests.hosts.browser_use import feature_document
from tests.hosts.browser_use.feature_document import VARIABLE, read, run, wrong_outline, wrong_signatures


def fence(code: str, language: str = "python") -> str:
    """One block."""
    return f"```{language}\n{code}\n```"


def test_every_block_of_the_feature_document_runs() -> None:
    """With a scripted model, and nothing changed but where the two classes are imported from."""
    document = feature_document.place()
    if document is None:
        pytest.skip(f"NOT PROVEN: {VARIABLE} names no feature document, so none of its blocks was run")
    report, wrong = run(document)
    assert [str(failure) for failure in report.failures] == []
    assert wrong == []
    lists = read(document.read_text(encoding="utf-8"))
    assert len(report.ran) >= 10
    print(f"{len(report.ran)} blocks run, {len(lists.signatures)} lists of signatures, {len(lists.outlines)} outlines")


def test_a_document_that_says_what_is_not_so_is_caught() -> None:
    """A method that is not there, arguments of other names, a default of another value, a key of no checkpoint."""
    pytest.importorskip("lrm_actors.adapters.browser_use")
    found = read(
        fence(
            "class LongRunningMode:\n    async def start_monitoring() -> None\n    async def fly(height: int) -> None"
        )
        + "\n\n"
        + fence(
            "class LongRunningIntegration:\n    def initialize() -> bool\n    async def attempt_recovery(when: str)"
        )
        + "\n\n"
        + fence("class AgentSettings:\n    enable_long_running_mode: bool = True\n    max_steps: int = 500")
        + "\n\n"
        + fence('{"checkpoint_id": "a", "agent_state": {...}, "weather": [...]}', "json")
    )
    wrong = [one for block in found.signatures for one in wrong_signatures(block)]
    assert [one.partition(" ")[0].rstrip(":") for one in wrong] == [
        "LongRunningMode.fly", "LongRunningIntegration.initialize", "LongRunningIntegration.attempt_recovery",
        "AgentSettings.enable_long_running_mode",
    ]  # fmt: skip
    assert wrong_outline(found.outlines[0]) == ["weather"]


def test_functions_that_a_block_only_defines_are_called() -> None:
    """The one that goes round for ever beside an agent, the one that recovers after an agent has left checkpoints."""
    page = read(
        fence("async def watch():\n    while True:\n        await asyncio.sleep(30)")
        + "\n\n"
        + fence("async def back():\n    settings = AgentSettings(long_running_checkpoint_dir='./mine')")
        + "\n\n"
        + fence("async def here():\n    pass\n\nasyncio.run(here())")
    ).page
    assert "await beside(watch, agent)" in page
    assert "await run_agent('./mine')\nawait back()" in page
    assert "await here()" not in page
