"""``lrm health``: how an agent is, alive or dead."""

from __future__ import annotations

import os
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from lrm_actors.cli import exits
from lrm_actors.cli.common import Request, on_a_log
from lrm_actors.cli.durations import seconds_up_to
from lrm_actors.cli.output import count, document, duration, iso_time, paint, say, say_line, size, sparkline, table

if TYPE_CHECKING:
    from lrm_actors.inspect.health import LogHealth
    from lrm_actors.inspect.outer import WatchHealth

LINES = (
    ("cpu", "cpu_percent", ""),
    ("memory", "memory_percent", ""),
    ("disk", "disk_percent", " full"),
)
"""Resources that have a line of their own: the signal, its metric, and what is said after the value."""
FULL_BYTES = 1_000_000
"""Less than this is free: the log cannot grow, so it cannot say so either."""
DAY_S = 86_400.0
SLEEPS_TOLD = 3
"""Sleeps under way that have a word each: those that are over first."""


def to_max_age(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Turn a length of time into seconds, as a click callback; nothing stays nothing."""
    return None if value is None else seconds_up_to(DAY_S)(ctx, param, value)


STYLE_OF = {"healthy": "good", "warning": "warn", "critical": "bad", "failing": "bad"}


@click.command(epilog="Exit codes: 0 healthy, 10 warning, 11 critical, 12 failing, 13 no process says how it is now.")
@click.option("--alive", is_flag=True, help="Only whether it says how it is: exit code 0, whatever that is, or 13.")
@click.option("--max-age", metavar="TIME", callback=to_max_age, help="It does not, when its newest event is older.")
@on_a_log
@click.pass_context
def command(ctx: click.Context, *, alive: bool, max_age: float | None, request: Request) -> None:
    """Tell how an agent is, alive or dead.

    Reads the log and asks nothing of the agent. Of a dead one, it tells how it was at the end. Of a process that is no
    agent and that 'lrm run' keeps alive, it tells what is known of it.
    """
    from eventstore.opening import system_instant
    from lrm_actors.inspect.health import health_of, owner_of
    from lrm_actors.inspect.outer import is_outer, watch_health

    path, now = request.path().absolute(), system_instant()
    with request.reader(path) as reader, request.watchdog(path, reader) as beside:
        watchdog = reader if is_outer(path) else beside
        watched = None
        if watchdog is not None:
            watched = watch_health(watchdog, now=now, owner=owner_of(Path(watchdog.path)))
        if is_outer(path):
            assert watched is not None
            _tell_of_the_watchdog(watched, as_json=request.json)
            ctx.exit(code_of_watch(watched, alive=alive))
        found = health_of(reader, now=now, owner=owner_of(path), agent_id=path.parent.name, path=str(path))
    found = _aged(found, max_age)
    if request.json:
        data = {key: value for key, value in found.report.items() if key != "schema"}
        told = {"process": _process(found), "watchdog": None if watched is None else watched.data()}
        document("health", data | told)
    else:
        _print(found, watched)
    code = code_of(found)
    ctx.exit(exits.OK if alive and code != exits.STALE else code)


def _aged(found: LogHealth, max_age_s: float | None) -> LogHealth:
    """The same, and stale where its newest event is too old."""
    if max_age_s is None or found.stale or (found.silent_s is not None and found.silent_s <= max_age_s):
        return found
    age = "it has none" if found.silent_s is None else f"its newest event is {duration(found.silent_s)} old"
    return attrs.evolve(found, stale=f"{age}, {duration(max_age_s)} allowed")


def code_of_watch(watched: WatchHealth, *, alive: bool = False) -> int:
    """The exit code for a process that is no agent: whether it is kept alive."""
    if not watched.owner.alive:
        return exits.STALE
    return exits.OK if watched.is_well or alive else exits.WARNING


def _tell_of_the_watchdog(watched: WatchHealth, *, as_json: bool) -> None:
    if as_json:
        document("health", {"watchdog": watched.data()})
        return
    style = "good" if watched.is_well else "warn"
    say_line(f"{paint('lrm run', 'name')}  {paint(_watchdog(watched), style)}")
    if watched.state.command:
        say_line(f"  command  {' '.join(watched.state.command)}")


def _watchdog(watched: WatchHealth) -> str:
    """What the watchdog is at, in a line."""
    state, last = watched.state, watched.state.last
    told = f", {count(state.restarts, 'restart')}"
    if last is not None:
        from lrm_actors.domain.outer import told as told_of

        told += f", the last process: {told_of(last)}"
    if not watched.owner.alive:
        return (f"has ended: {state.reason}" if watched.has_ended else "is dead, and did not end in order") + told
    if watched.due_s is not None:
        return f"starts the process again in {duration(watched.due_s)}{told}"
    if watched.is_well and state.process is not None:
        beats = "" if state.process.beats else ", which sends no heartbeats"
        return f"keeps process {state.process.pid} alive{beats}, up {duration(watched.up_s or 0.0)}{told}"
    return f"{state.status.replace('_', ' ')}{told}"


def code_of(found: LogHealth) -> int:
    """The exit code for what was found. Unknown is never healthy."""
    from lrm_actors.domain.signals import JUDGED

    if found.stale:
        return exits.STALE
    code = exits.OF_HEALTH[found.report["health_status"]]
    judged = set(JUDGED) & found.report["unknown"].keys()
    return exits.WARNING if code == exits.OK and judged else code


def _process(found: LogHealth) -> dict[str, Any]:
    last = found.last
    return {
        "alive": found.owner.alive,
        "pid": found.owner.pid,
        "stale": found.stale,
        "last_event_at": None if last is None else iso_time(last.recorded_at.wall_s),
        "last_event_age_s": found.silent_s,
    }


def _print(found: LogHealth, watched: WatchHealth | None) -> None:
    report = found.report
    status = report["health_status"]
    was = "was " if found.stale else ""
    state = paint(f"{was}{status}, mode {report['operation_mode']}", "warn" if found.stale else STYLE_OF[status])
    cause = f" ({report['health_cause']})" if report["health_cause"] else ""
    alive = f"process {found.owner.pid} is alive" if found.owner.alive else "no process is alive"
    up = f"{was}up {duration(report['uptime_s'])}"
    say_line(f"{paint(report['agent_id'], 'name')}  {alive}, {up}  {state}{cause}")
    if found.stale:
        say_line(paint(f"  {found.stale}", "warn"))
    rows = [*_rows(found), ("lrm run", "" if watched is None else _watchdog(watched))]
    table(((name, text) for name, text in rows if text), indent="  ")
    if status != "healthy" and not found.fallen:  # the cause says what to do about those
        say("  try: lrm why health")


def _rows(found: LogHealth) -> Iterator[tuple[str, str]]:
    report = found.report
    yield "mode", _mode(report)
    for name, metric, warning in LINES:
        yield name, _line(found, name, metric, warning)
    yield "disk now", _disk_now(report["log"]["path"])
    yield "besides", "; ".join(_others(report["signals"]))
    yield "forecast", "; ".join(_forecast(one) for one in report["forecast"])
    yield "trends", "; ".join(_trend(one) for one in report["trends"])
    yield "resources", _resources(report["resource_metrics"])
    if not found.stale:
        yield "unknown", "; ".join(f"{name}: {reason}" for name, reason in report["unknown"].items())
    yield "breakers", "; ".join(f"{name} {_breaker(one)}" for name, one in report["circuit_breakers"].items())
    yield "components", "; ".join(f"{name} {_child(one)}" for name, one in report["components"].items())
    yield "actors", _actors(report["actors"])
    yield "failures", _failures(report["failures"])
    yield "checkpoints", _checkpoints(report["checkpoints"])
    yield "steps", _steps(report["steps"])
    ago = "" if found.silent_s is None else f", the newest {duration(found.silent_s)} ago"
    yield "log", f"{count(report['log']['head'], 'event')}, {size(report['log']['size_bytes'])}{ago}"


def _resources(metrics: dict[str, float]) -> str:
    if not any(metrics.values()):  # the report has a number for each, and these are of no machine
        return "never measured"
    return ", ".join(
        (
            f"cpu {metrics['cpu_percent']:.1f} %",
            f"memory {metrics['memory_percent']:.1f} %",
            f"{size(metrics['memory_rss_bytes'])} resident",
            f"{size(metrics['disk_free_bytes'])} of disk free",
            count(int(metrics["thread_count"]), "thread"),
            count(int(metrics["open_files"]), "open file"),
        )
    )


def _mode(report: dict[str, Any]) -> str:
    """The mode and why, where it is not simply normal."""
    mode = report["mode"]
    if not mode["enabled"]:
        return "held at normal: enable_modes is off"
    if mode["pinned"] is not None:
        left = "" if mode["pinned_for_s"] is None else f" for {duration(mode['pinned_for_s'])} more"
        return f"{report['operation_mode']}, held by hand{left}: {mode['cause']}; {_runs(mode)}"
    if report["operation_mode"] == "normal":
        return ""
    return f"{report['operation_mode']}: {mode['cause']}; {_runs(mode)}"


def _runs(mode: dict[str, Any]) -> str:
    return f"work that runs: {', '.join(mode['runs'])}"


def _line(found: LogHealth, name: str, metric: str, what: str) -> str:
    """One resource: how it went, what it is, and from where it is a warning."""
    report = found.report
    values = report["history"].get(metric, [])
    if not any(value is not None for value in values):
        return ""
    signal = report["signals"].get(name)
    value = report["resource_metrics"][metric]
    unknown = metric in report["unknown"] and not found.stale
    text = f"{sparkline(values)}  {'unknown' if unknown else f'{value:.1f} %'}{what}"
    if signal is None:
        return text
    style = {"healthy": "good", "critical": "bad"}.get(signal["level"], "warn")
    return f"{paint(text, style)}, {_level(signal)} (warning from {signal['warning']:g} %)"


def _level(signal: dict[str, Any]) -> str:
    """The level, and that its reason is gone, or has not lasted, where the value is another one's."""
    level, value = signal["level"], signal["value"]
    if value is None or level not in STYLE_OF:
        return str(level)
    now = "critical" if value >= signal["critical"] else "warning" if value >= signal["warning"] else "healthy"
    if now == level:
        return str(level)
    if level == "healthy" or (level == "warning" and now == "critical"):
        return f"{level} so far: it has not lasted"
    return f"{level} until it has been lower for a while"


def _others(signals: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The signals that have no line of their own and are not healthy."""
    own = {name for name, _, _ in LINES}
    for name, one in signals.items():
        if name not in own and one["level"] != "healthy":
            value = "" if one["value"] is None else f" at {one['value']:g}"
            yield f"{name.replace('_', ' ')}{value}: {_level(one)} (warning from {one['warning']:g})"


def _forecast(one: dict[str, Any]) -> str:
    latest = "" if one["high_s"] is None else f" to {duration(one['high_s'])}"
    what = one["metric"].removesuffix("_bytes").replace("_", " ")
    return f"{what} runs out in {duration(one['low_s'])}{latest}"


def _trend(one: dict[str, Any]) -> str:
    kind = str(one.get("kind", "trend")).replace("_", " ")
    return " ".join(
        part
        for part in (kind, str(one.get("stage", "")), f"({one['evidence']})" if one.get("evidence") else "")
        if part
    )


def _breaker(one: dict[str, Any]) -> str:
    match one["state"]:
        case "closed":
            return paint("closed", "good")
        case "open":
            told = f"open, {count(one['failure_count'], 'failure')}, probed in {duration(one['retry_after_s'])}"
            return paint(told, "bad")
    return paint(one["state"].replace("_", " "), "warn")


def _child(one: dict[str, Any]) -> str:
    down = f", {one['down'].replace('_', ' ')}" if one["down"] else ""
    return f"{one['status'].replace('_', ' ')}{down}, {count(one['restarts'], 'restart')}"


def _actors(actors: dict[str, dict[str, Any]]) -> str:
    running = sum(one["status"] == "running" for one in actors.values())
    others = [f"{name} {one['status'].replace('_', ' ')}" for name, one in actors.items() if one["status"] != "running"]
    restarts = sum(one["restarts"] for one in actors.values())
    return ", ".join((f"{running} running", *others, count(restarts, "restart"))) if actors else ""


def _failures(failures: dict[str, Any]) -> str:
    if not failures["total"]:
        return "none"
    newest = failures["recent"][0]
    last = f"{newest['component'] or 'the agent'}: {newest['message'] or newest['category']}"
    kinds = ", ".join(f"{number} {kind}" for kind, number in failures["by_category"].items())
    return f"{failures['total']}: {kinds}; the last one {last}"


def _disk_now(path: str) -> str:
    """That the log cannot grow at this moment, which is the one thing that it cannot tell; else nothing."""
    try:
        disk = os.statvfs(path)
    except OSError:
        return ""
    free = disk.f_bavail * disk.f_frsize
    if free >= FULL_BYTES:
        return ""
    return paint(f"{size(free)} are free, so the log may not say what happens now; try: lrm doctor", "bad")


def _checkpoints(checkpoints: dict[str, Any]) -> str:
    if not checkpoints["count"]:
        return "none"
    damaged = f"{checkpoints['damaged']} of them damaged, " if checkpoints["damaged"] else ""
    if checkpoints["latest"] is None:
        return f"{checkpoints['count']} kept, and all of them are damaged"
    stored = f" in {size(checkpoints['last_stored_bytes'])}" if checkpoints["last_stored_bytes"] else ""
    newest = f"{damaged}the newest {checkpoints['latest']} {duration(checkpoints['last_age_s'])} ago"
    failed = f", {checkpoints['failures']} failed since" if checkpoints["failures"] else ""
    return f"{checkpoints['count']} kept, {newest}, {size(checkpoints['last_size_bytes'])}{stored}{failed}"


def _steps(steps: dict[str, Any]) -> str:
    doubt = f"step {steps['in_doubt']['step']} in doubt" if steps["in_doubt"] else "none in doubt"
    told = [f"{steps['committed']} done, {doubt}, {steps['repeated']} repeated"]
    if steps["now"]:
        told.append(_step_now(steps["now"]))
    aside = steps["aside"]
    if aside["tasks"]:
        doubt = f" with {count(aside['effects_in_doubt'], 'effect')} in doubt" if aside["effects_in_doubt"] else ""
        told.append(f"{count(aside['tasks'], 'step')} set aside{doubt}")
    soonest = sorted(steps["sleeping"].items(), key=itemgetter(1))
    told += [f"sleeps for {duration(left_s)} more: {key}" for key, left_s in soonest[:SLEEPS_TOLD]]
    if len(soonest) > SLEEPS_TOLD:
        told.append(f"and {count(len(soonest) - SLEEPS_TOLD, 'other sleep')}")
    return "; ".join(told)


def _step_now(now: dict[str, Any]) -> str:
    """``step 7 of 12: fetch news, 3 effects done, 1 in doubt``."""
    which = f"step {now['step']}"
    if now["of"] is not None and now["at"] not in {None, now["step"]}:
        which = f"{which}, {now['at']} of {now['of']}"
    elif now["of"] is not None and now["step"] <= now["of"]:
        which = f"{which} of {now['of']}"
    told = [f"{which}: {now['name']}"]
    if now["state"] != "open":
        told.append(now["state"].replace("_", " "))
    if now["progress"]:
        told.append(now["progress"])
    effects = [(number, status.replace("_", " ")) for status, number in now["effects"].items() if number]
    told += [
        f"{number if index else count(number, 'effect')} {status}" for index, (number, status) in enumerate(effects)
    ]
    return ", ".join(told)
