"""``lrm effects``: what an agent did outside and what of it is in doubt, and what somebody found out about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrm_actors.cli.asking import change
from lrm_actors.cli.common import ListingGroup, Request, on_a_log, with_options
from lrm_actors.cli.output import count, document, duration, paint, say, say_line, table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lrm_actors.domain.journal import JournalState
    from lrm_actors.inspect.effects import ListedEffect

EXITS = "Exit codes: 1 it is refused, 2 no JSON, 3 no such effect in doubt, 5 the log is locked, 13 no answer."
BY_HAND = "by hand"
LIMIT = 1_000
STEPS = click.IntRange(1, 10**12)
"""The numbers that a step may have."""
SHOWN = 60
"""Characters of a result or an error in a line."""
STYLES = {"in_doubt": "bad", "failed": "warn", "intended": "name"}


def _which(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which effects are listed."""
    step = click.option("--step", type=STEPS, metavar="N", help="Those of this step, which may be over.")
    every = click.option("--all", "every", is_flag=True, help="Those of every step that the log still keeps.")
    limit = click.option("--limit", type=click.IntRange(1, 10**6), metavar="N", help="At most so many; 1000.")
    return step(every(limit(function)))


@click.group(cls=ListingGroup, invoke_without_command=True, subcommand_metavar="[LOG] | COMMAND [ARGS]...")
@_which
@with_options
@click.pass_context
def command(ctx: click.Context, /, *, request: Request, **which: Any) -> None:
    """List what the agent did outside, those in doubt first; say what became of one.

    Without a command of its own it lists those of the step that is not over, and of those that are set aside.
    """
    if ctx.invoked_subcommand is None:
        _list(request, **which)
    ctx.meta[__name__] = which


@command.command("list")
@_which
@on_a_log
@click.pass_context
def list_effects(ctx: click.Context, /, *, request: Request, **which: Any) -> None:
    """List the effects of the step that is not over, or of others; those in doubt first."""
    before: dict[str, Any] = ctx.meta.get(__name__, {})
    _list(request, **{name: value or before.get(name) for name, value in which.items()})


@command.command("settle", epilog=EXITS)
@click.argument("effect", metavar="ID")
@click.option("--happened", metavar="RESULT", help="It happened; RESULT is what its function gave, as JSON.")
@click.option("--not-happened", "not_happened", is_flag=True, help="It did not: it is done when the step goes on.")
@click.option("--skip", is_flag=True, help="Take it for done, with null for a result.")
@on_a_log
def settle(*, effect: str, happened: str | None, not_happened: bool, skip: bool, request: Request) -> None:
    """Say what became of an effect in doubt.

    ID is what the list calls it, STEP/NAME#OCCURRENCE; the step and '#1' may be left out. The running agent is asked to
    put it on record; when none is alive, it is done in the log. The step goes on when the agent begins it again.
    """
    if (happened is not None) + not_happened + skip != 1:
        raise click.UsageError("say one of --happened RESULT, --not-happened and --skip")
    outcome = "not_happened" if not_happened else "skipped" if skip else "done"
    wanted = {"effect": effect, "outcome": outcome, "result": _value(happened), "how": BY_HAND}
    told = _change(request, request.path(), "settle_effect", wanted)
    if request.json:
        document("effects.settle", dict(told))
    else:
        say_line(f"{told['effect']} is settled: {told['status'].replace('_', ' ')}")


@command.command("forget", epilog=EXITS)
@click.argument("step", metavar="STEP")
@on_a_log
@click.pass_context
def forget(ctx: click.Context, /, *, step: str, request: Request) -> None:
    """Forget what is on record of a step's effects: when the step begins again, all of them are done anew.

    STEP is the number of the step that is not over, which must not be open in a running agent, or the name of one
    that is set aside. Use it when the code has changed so much that what is on record does not belong to it any more,
    and doing all of it once more is harmless.
    """
    is_number = step.isascii() and step.isdecimal()
    param = next(one for one in ctx.command.params if one.name == "step")
    which = {"step": STEPS(step, param, ctx)} if is_number else {"task": step}
    told = _change(request, request.path(), "forget_effects", {**which, "why": BY_HAND})
    if request.json:
        document("effects.forget", dict(told))
    else:
        forgotten, in_doubt = count(told["forgotten"], "effect"), told["in_doubt"]
        say_line(f"{forgotten} of step {told['step']} ({told['name']}) forgotten, {in_doubt} of them in doubt")


def _list(request: Request, *, step: int | None, every: bool | None, limit: int | None) -> None:
    from eventstore.opening import system_instant
    from lrm_actors.inspect.effects import effects_on_record, unfinished_effects
    from lrm_actors.inspect.health import owner_of

    if step is not None and every:
        raise click.UsageError("say --step N or --all")
    path = request.path()
    with request.reader(path) as reader:
        alive, state = owner_of(path).alive, _journal(reader)
        if every or step is not None:
            found = effects_on_record(reader, state, alive=alive, step=step)
        else:
            found = unfinished_effects(state, alive=alive)
    shown, sleeps = found[: limit or LIMIT], state.sleeps.left_s(system_instant())
    if request.json:
        told, more = [_data(effect) for effect in shown], len(found) - len(shown)
        step_data, asleep = _step_data(state, alive=alive), [{"key": key, "left_s": s} for key, s in sleeps.items()]
        document("effects", {"step": step_data, "effects": told, "more": more, "sleeps": asleep})
        return
    table(_row(effect) for effect in shown)
    if len(found) > len(shown):
        say(f"{len(found) - len(shown)} more; --limit shows them")
    for key, left_s in sleeps.items():
        say_line(f"sleep {key}: {duration(left_s)} left")
    say(_summary(state, found, alive=alive))


def _journal(reader: Any) -> JournalState:
    from lrm_actors.domain.journal import NAME, JournalState
    from lrm_actors.inspect.replay import folded_at_head

    state: JournalState | None = folded_at_head(reader, NAME).state
    return state or JournalState()


def _data(effect: ListedEffect) -> dict[str, Any]:
    from lrm_actors.inspect.json_form import to_json_form

    entry = effect.of
    return {
        "effect": effect.effect,
        "step": effect.step,
        "step_name": effect.step_name,
        "name": entry.name,
        "occurrence": entry.occurrence,
        "attempt": entry.attempt,
        "state": entry.status,
        "aside": effect.aside is not None,
        "policy": entry.policy,
        "result": to_json_form(entry.result),
        "error": entry.error,
        "key": effect.key,
    }


def _row(effect: ListedEffect) -> tuple[str, str, str, str, str]:
    entry = effect.of
    state = entry.status.replace("_", " ")
    what = entry.error or json.dumps(_data(effect)["result"], ensure_ascii=False)
    return (
        paint(effect.effect, "name"),
        paint(state, STYLES[entry.status]) if entry.status in STYLES else state,
        f"attempt {entry.attempt}",
        entry.policy,
        what if len(what) <= SHOWN else f"{what[: SHOWN - 1]}…",
    )


def _step_data(state: JournalState, *, alive: bool) -> dict[str, Any] | None:
    step = state.unfinished
    if step is None:
        return None
    status = "failed" if state.failed is not None else "open" if alive and state.open is not None else "in_doubt"
    return {"step": step.step, "name": step.name, "attempt": step.attempt, "state": status}


def _summary(state: JournalState, found: Sequence[ListedEffect], *, alive: bool) -> str:
    step = _step_data(state, alive=alive)
    doubtful = sum(effect.of.status == "in_doubt" for effect in found)
    about = count(len(found), "effect") + (f", {doubtful} in doubt" if doubtful else ", none in doubt")
    if state.aside.tasks:
        about += f", {count(len(state.aside.tasks), 'step')} set aside"
    if step is None:
        return f"{about}; no step is open, {state.committed} committed"
    return f"{about}; step {step['step']} ({step['name']}) is {step['state'].replace('_', ' ')}"


def _value(text: str | None) -> Any:
    """A result as it was typed.

    Raises:
        click.BadParameter: it is no JSON, or none that can be stored.
    """
    if text is None:
        return None
    from eventstore.codec import encode_value
    from eventstore.errors import EventRefused

    try:
        value = json.loads(text)
        encode_value(value, what="journal.effect_settled", field="result")
    except ValueError as error:
        why = "is no JSON value"
        if isinstance(error, EventRefused):  # Python reads NaN, and numbers that no log keeps
            why += f" that can be kept ({error.reason})"
        hint = f"for a text write --happened '{json.dumps(text)}'"
        raise click.BadParameter(f"{text!r} {why}; {hint}", param_hint="--happened") from error
    return value


def _change(request: Request, path: Path, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Have the owner of the log do it, or do it as its owner."""
    return change(path, name, arguments, lambda: _alone(request, path, name, arguments))


def _alone(request: Request, path: Path, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    from eventstore.opening import open_store
    from lrm_actors.domain import journal
    from lrm_actors.hosting.effect_commands import forget_of, settle_of
    from lrm_actors.hosting.ownerless import decide_alone
    from lrm_actors.inspect.folds import declare_ours

    declare_ours()
    wanted = settle_of(arguments) if name == "settle_effect" else forget_of(arguments)
    with request.reader(path) as reader:
        open_step = _journal(reader).open
    # Where a step is open its process is dead: what it left without an end is in doubt from here on.
    commands = (wanted,) if open_step is None else (journal.OpenJournal(), wanted)
    with open_store(path, unknown="placeholder", key=request.owners_key(path)) as store:
        told: Mapping[str, Any] = decide_alone(store, journal.spec(), *commands)
    return told
