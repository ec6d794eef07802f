"""Durable functions in the journal: which one a step is, and the results of those that are done."""

from __future__ import annotations

from typing import Any

import pytest

from lrm_actors.domain import journal, tasks
from lrm_actors.domain.journal import BeginStep, CommitStep, FinishEffect, IntendEffect, JournalState, OpenJournal
from lrm_actors.domain.tasks import KeptTask, TaskBegun, TaskCall
from lrm_actors.errors import TaskConflict
from tests.domain.kit import Run


def opened() -> Run[JournalState]:
    """A journal that its first process has opened."""
    run = Run.of(journal.spec())
    run.tell(OpenJournal())
    return run


def done(run: Run[JournalState], result: Any, task: str = "report", key: str = "", given: str = "abc") -> None:
    """One task from its begin to its end."""
    step = run.ask(BeginStep(f"{task} {key}", task=TaskCall(task, key, given)))["step"]
    run.tell(CommitStep(step, result))


def test_the_result_of_a_task_is_that_of_its_step() -> None:
    """Kept by task and key; an ordinary step is none."""
    run = opened()
    done(run, {"n": 1})
    assert TaskBegun(1, "report", "", "abc") in run.log
    done(run, {"n": 2}, key="Oslo")
    run.tell(BeginStep("report"))
    run.tell(CommitStep(3, {"n": 3}))
    kept = run.state.tasks
    assert KeptTask(1, "abc", {"n": 1}, 7) == kept.find("report", "")
    assert KeptTask(2, "abc", {"n": 2}, 7) == kept.find("report", "Oslo")
    assert kept.find("report Oslo", "") is None
    assert 2 == len(kept.done)


def test_a_step_that_the_next_process_commits_is_still_the_task() -> None:
    """It was found out that it had happened."""
    run = opened()
    run.tell(BeginStep("report", task=TaskCall("report", "", "abc")))
    run.tell(OpenJournal())
    run.tell(CommitStep(1, "found"))
    assert (kept := run.state.tasks.find("report", "")) is not None
    assert "found" == kept.result


def test_a_task_goes_on_with_what_it_was_called_with_only() -> None:
    """What is on record of its effects belongs to that; without any, it begins anew."""
    run = opened()
    run.tell(BeginStep("report", task=TaskCall("report", "", "abc")))
    run.tell(OpenJournal())
    run.tell(BeginStep("report", task=TaskCall("report", "", "def")))
    run.tell(IntendEffect(1, "fetch", 1))
    run.tell(FinishEffect(1, "fetch", 1, 1, None))
    run.tell(OpenJournal())
    before = len(run.log)
    with pytest.raises(TaskConflict, match="'report' is called with other arguments than in step 1"):
        run.tell(BeginStep("report", task=TaskCall("report", "", "abc")))
    assert before == len(run.log)
    run.tell(BeginStep("report", task=TaskCall("report", "", "")))
    assert 3 == run.last.reply["attempt"]


def test_the_newest_results_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number, and by the bytes of all of them; the newest in any case."""
    monkeypatch.setattr(tasks, "MAX_TASKS", 3)
    monkeypatch.setattr(tasks, "MAX_BYTES", 20)
    run = opened()
    for number in range(5):
        done(run, number, key=str(number))
    assert ["2", "3", "4"] == [name.split()[-1] for name in run.state.tasks.done]
    done(run, "x" * 15, key="long")
    assert ["3", "4", "long"] == [name.split()[-1] for name in run.state.tasks.done]
    done(run, "x" * 50, key="longer")
    assert ["longer"] == [name.split()[-1] for name in run.state.tasks.done]
    assert 52 == run.state.tasks.size_bytes
