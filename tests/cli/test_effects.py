"""``lrm effects``: on the log of an agent that was killed in the middle of its effects, and on that of a living one."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lrm_actors.cli import exits
from lrm_actors.effects import Ask, Happened
from lrm_actors.errors import EffectInDoubt
from lrm_actors.hosting.owner.errors import RequestFailed
from lrm_actors.mode import LongRunningMode
from tests.cli.conftest import Lrm
from tests.mode_kit import records, settings, soon

KEYS = {
    *("effect", "step", "step_name", "name", "occurrence", "attempt", "state", "policy", "result", "error", "key"),
    "aside",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of one step that is over and one in which an effect's function was under way, to be copied."""
    directory = tmp_path_factory.mktemp("made")
    dead = directory / "dead"

    def killed() -> str:
        shutil.copytree(directory / "alive" / "default", dead, ignore=shutil.ignore_patterns("*.sock"))
        return "too late"

    with LongRunningMode(settings(directory / "alive")) as mode:
        with mode.step("look"):
            mode.effect("look", lambda: {"seen": ["a page"]})
        with mode.step("buy"):
            mode.effect("order", lambda: 17)
            mode.effect("pay", killed, policy=Ask())
    return dead


@pytest.fixture
def dead(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "default")) / "lrm.db"


@pytest.fixture
def living(tmp_path: Path) -> Iterator[Any]:
    """A running mode whose last step was abandoned because of an effect in doubt."""
    with LongRunningMode(settings(tmp_path)) as mode:
        with pytest.raises(TimeoutError):
            pay(mode, TimeoutError("no answer"))
        yield mode


def pay(mode: Any, error: Exception | None = None) -> Any:
    """One step with one effect."""

    def function() -> int:
        if error is not None:
            raise error
        return 1

    with mode.step("buy"):
        return mode.effect("pay", function, policy=Ask())


def listed(lrm: Lrm, *words: object) -> dict[str, str]:
    """State by effect, in their order."""
    document = lrm("effects", "--json", *words).document
    return {effect["effect"]: effect["state"] for effect in document["effects"]}


def test_what_a_killed_agent_left_in_doubt_is_listed_first(lrm: Lrm, dead: Path) -> None:
    """Though no process has said so yet; then the rest of the step that is not over."""
    assert {"2/pay#1": "in_doubt", "2/order#1": "done"} == listed(lrm, "--log", dead)
    assert ["2/pay#1", "2/order#1"] == list(listed(lrm, dead))
    document = lrm("effects", "--json", dead).document
    assert "lrm.effects/1" == document["schema"]
    assert {"step": 2, "name": "buy", "attempt": 1, "state": "in_doubt"} == document["step"]
    assert all(effect.keys() == KEYS for effect in document["effects"])
    assert 17 == document["effects"][1]["result"]
    assert "ask" == document["effects"][0]["policy"]
    assert 36 == len(document["effects"][0]["key"])


def test_it_is_told_for_people_as_well(lrm: Lrm, dead: Path) -> None:
    """One line for each, and one that sums it up."""
    told = lrm("effects", dead)
    assert exits.OK == told.code
    first, second, last = told.out.splitlines()
    assert ["2/pay#1", "in", "doubt", "attempt", "1", "ask"] == first.split()[:6]
    assert ["2/order#1", "done", "attempt", "1", "retry", "17"] == second.split()
    assert "2 effects, 1 in doubt; step 2 (buy) is in doubt" == last


def test_effects_of_steps_that_are_over_are_read_from_the_log(lrm: Lrm, dead: Path) -> None:
    """``--step`` for one, ``--all`` for all, ``--limit`` for a few; the options stand before the log or after it."""
    assert {"1/look#1": "done"} == listed(lrm, "--step", 1, dead)
    assert {"1/look#1": "done"} == listed(lrm, "list", dead, "--step", 1)
    assert ["2/pay#1", "2/order#1", "1/look#1"] == list(listed(lrm, "--all", "--log", dead))
    limited = lrm("effects", "--json", "--all", "--limit", 1, dead).document
    assert (["2/pay#1"], 2) == ([effect["effect"] for effect in limited["effects"]], limited["more"])
    assert "2 more; --limit shows them" in lrm("effects", "--all", "--limit", 1, dead).out
    assert {} == listed(lrm, "--step", 9, dead)
    assert exits.USAGE == lrm("effects", "--step", 1, "--all", dead).code


@pytest.mark.parametrize(
    ("words", "status", "result"),
    [
        (("--happened", '{"receipt": 5}'), "done", {"receipt": 5}),
        (("--skip",), "skipped", None),
        (("--not-happened",), "not_happened", None),
    ],
)
def test_an_effect_of_a_dead_agent_is_settled_in_its_log(
    lrm: Lrm, dead: Path, words: tuple[str, ...], status: str, result: Any
) -> None:
    """And the next process goes by it: the result is given, or the function is called under the same key."""
    told = lrm("effects", "settle", "pay", *words, "--json", "--log", dead)
    assert (exits.OK, "lrm.effects.settle/1") == (told.code, told.document["schema"])
    assert ("2/pay#1", 2, status) == tuple(told.document[name] for name in ("effect", "step", "status"))
    assert {"2/pay#1": status, "2/order#1": "done"} == listed(lrm, dead)
    called: list[str] = []

    def do(what: str) -> str:
        called.append(what)
        return "paid"

    with LongRunningMode(settings(dead.parents[1])) as mode:
        with mode.step("buy") as step:
            assert (2, 2) == (step.number, step.attempt)
            assert 17 == mode.effect("order", lambda: do("order"))
            paid = mode.effect("pay", lambda: do("pay"), policy=Ask())
        assert ["2/pay#1"] == [
            f"{one.event.step}/{one.event.name}#1" for one in records(mode, "journal.effect_settled")
        ]
    assert (["pay"], "paid") == (called, paid) if status == "not_happened" else ([], result) == (called, paid)


def test_a_living_agent_is_asked_to_settle(lrm: Lrm, living: Any, tmp_path: Path) -> None:
    """The step is begun again and goes on; what it then asks for is given."""
    log = tmp_path / "default" / "lrm.db"
    assert {"1/pay#1": "in_doubt"} == listed(lrm, log)
    with pytest.raises(EffectInDoubt):
        pay(living)
    told = lrm("effects", "settle", "1/pay#1", "--happened", "12", log)
    assert (exits.OK, "1/pay#1 is settled: done\n") == (told.code, told.out)
    assert 12 == pay(living)
    assert "0 effects, none in doubt; no step is open, 1 committed\n" == lrm("effects", log).out
    line, _ = lrm("effects", "--all", log).out.splitlines()
    assert ["1/pay#1", "done", "attempt", "1", "ask", "12"] == line.split()  # and not why it was in doubt


def test_a_step_is_forgotten(lrm: Lrm, dead: Path) -> None:
    """All of its effects are done anew; those of steps that are over are not touched."""
    told = lrm("effects", "forget", 2, "--json", dead)
    assert (exits.OK, "lrm.effects.forget/1") == (told.code, told.document["schema"])
    assert (2, "buy", 2, 1) == tuple(told.document[name] for name in ("step", "name", "forgotten", "in_doubt"))
    assert {} == listed(lrm, dead)
    assert {"1/look#1": "done"} == listed(lrm, "--all", dead)
    with LongRunningMode(settings(dead.parents[1])) as mode, mode.step("buy"):
        assert 18 == mode.effect("order", lambda: 18)


def test_a_living_agent_is_asked_to_forget(lrm: Lrm, living: Any, tmp_path: Path) -> None:
    """The step can be begun under another name then."""
    told = lrm("effects", "forget", 1, tmp_path)
    assert (exits.OK, "1 effect of step 1 (buy) forgotten, 1 of them in doubt\n") == (told.code, told.out)
    with living.step("something else"):
        pass


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("settle", "nothing", "--skip"), exits.NOT_FOUND, "LRM-2019"),
        (("settle", "order", "--skip"), exits.NOT_FOUND, "in no doubt"),
        (("settle", "pay"), exits.USAGE, "--happened RESULT"),
        (("settle", "pay", "--skip", "--not-happened"), exits.USAGE, "--happened RESULT"),
        (("settle", "pay", "--happened", "a text"), exits.USAGE, "no JSON value"),
        (("settle", "pay", "--happened", "NaN"), exits.USAGE, "can be kept"),
        (("settle", "pay", "--happened", "[1e999]"), exits.USAGE, "can be kept"),
        (("forget", "1"), exits.FAILURE, "LRM-2009"),
        (("forget", "0"), exits.USAGE, "STEP"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    lrm: Lrm, dead: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    """Neither the log nor who owned it last."""
    before = lrm("log", "--json", dead).out
    ended = lrm("effects", *words, "--log", dead)
    assert (code, True) == (ended.code, told in ended.err), ended.err
    assert before == lrm("log", "--json", dead).out


def test_what_a_living_agent_refuses_is_said(lrm: Lrm, living: Any, tmp_path: Path) -> None:
    """With the code of its error, as on a log that nobody owns."""
    unknown = lrm("effects", "settle", "nothing", "--skip", tmp_path)
    assert (exits.NOT_FOUND, True) == (unknown.code, "LRM-2019" in unknown.err)
    with living.step("buy"):
        open_now = lrm("effects", "forget", 1, tmp_path)
        assert (exits.FAILURE, True) == (open_now.code, "LRM-2009" in open_now.err)
        assert 1 == living.effect("pay", lambda: 2, policy=lambda: Happened(1))


def test_there_is_nothing_to_list(lrm: Lrm, tmp_path: Path) -> None:
    """Of an agent that has done no step, and of none at all."""
    with LongRunningMode(settings(tmp_path)):
        pass
    assert "0 effects, none in doubt; no step is open, 0 committed\n" == lrm("effects", tmp_path).out
    assert exits.NOT_FOUND == lrm("effects", tmp_path / "nowhere").code


def test_a_sleep_that_is_not_over_is_told(lrm: Lrm, tmp_path: Path) -> None:
    """Whoever wonders why nothing happens finds it there."""

    async def story() -> None:
        async with LongRunningMode(settings(tmp_path)) as mode:
            await mode.sleep(0.001, "over")
            sleeper = asyncio.ensure_future(mode.sleep(86_400.0, "until tomorrow"))
            await soon(mode, "journal.sleep_begun", lambda event: event.key == "until tomorrow")
            sleeper.cancel()

    asyncio.run(story())
    [sleep] = lrm("effects", "--json", tmp_path).document["sleeps"]
    assert ("until tomorrow", True) == (sleep["key"], 86_000 < sleep["left_s"] <= 86_400)
    assert lrm("effects", tmp_path).out.startswith("sleep until tomorrow: 23h59m left")


def test_a_result_that_is_too_long_for_a_line_is_cut(lrm: Lrm, tmp_path: Path) -> None:
    """In the table only; the document has all of it."""
    with LongRunningMode(settings(tmp_path)) as mode, mode.step("long"):
        mode.effect("long", lambda: "x" * 500)
    assert 500 == len(json.loads(lrm("effects", "--step", 1, "--json", tmp_path).out)["effects"][0]["result"])
    assert max(map(len, lrm("effects", "--step", 1, tmp_path).out.splitlines())) < 120


@pytest.mark.parametrize(
    "arguments",
    [
        {"effect": "pay", "outcome": "done"},
        {"effect": "", "outcome": "done", "how": "by hand"},
        {"effect": "pay", "outcome": "perhaps", "how": "by hand"},
        {"effect": "pay", "outcome": "done", "how": "by hand", "more": 1},
    ],
)
def test_a_request_that_is_none_is_refused(living: Any, tmp_path: Path, arguments: dict[str, Any]) -> None:
    """By the owner, whoever asks."""
    from lrm_actors.hosting.owner.asking import ask_owner

    with pytest.raises(RequestFailed, match="LRM-5003"):
        ask_owner(tmp_path / "default" / "lrm.db", "settle_effect", arguments)
    with pytest.raises(RequestFailed, match="LRM-5003"):
        ask_owner(tmp_path / "default" / "lrm.db", "forget_effects", {"step": True, "why": "x"})
