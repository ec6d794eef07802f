"""Why something happened: from a record to what caused it, and on, to the observation or the call it began with.

Every record names its cause by position, and a cause comes before its effect. So a chain always ends: at a record
without a cause, or at a link that is wrong, which is said and never passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from eventstore.errors import CorruptEvent, PositionNotFound
from eventstore.events import UnknownEvent
from eventstore.frozen import frozen
from eventstore.protocol import EventReader
from eventstore.records import Record
from lrm_actors.domain.breaker import summary
from lrm_actors.inspect.effect_history import NEWS, effect_before, is_of_effect, last_of_effect
from lrm_actors.inspect.errors import BadTarget, TargetNotFound
from lrm_actors.inspect.looking_back import last_of
from lrm_actors.inspect.removed import stands_for
from lrm_actors.inspect.sentences import sentence
from lrm_actors.inspect.telling.monitor import sample
from lrm_actors.inspect.telling.words import short

POSITION_DIGITS = 100
"""Of a number that is taken for a position; none has more than 19."""
MAX_LINKS = 10_000
"""Links followed before a chain is cut: one this long is no explanation."""

CHILD_RESTARTED = "supervisor.child_restarted"
RESTART_STARTED = "supervisor.restart_started"
PROCESS_STARTED = "supervisor.process_started"
OUTER_RESTART, OUTER_STARTED = "outer.restart_scheduled", "outer.process_started"

OBSERVATIONS: dict[str, Callable[[Any], str]] = {
    "supervisor.process_exit_observed": lambda event: str(event.description),
    "supervisor.child_ended": lambda event: f"{event.child} ended by itself",
    "supervisor.child_failed": lambda event: f"{event.error}: {short(event.message)}" if event.message else event.error,
    "monitor.component_exited": lambda event: str(event.description),
    "monitor.heartbeat_missed": lambda event: f"heartbeat missed for {event.age_s:.1f} s",
    "monitor.component_resumed": lambda event: f"{event.component} is well again",
    "monitor.sampled": lambda event: sample(event.metrics, event.levels),
    "monitor.pressure_seen": lambda event: sample(event.metrics).partition(", ")[2],
    "monitor.sample_overdue": lambda event: f"no sample for {event.waited_s:.0f} s",
    "monitor.trend_suspected": lambda event: short(event.trend.evidence),
    "monitor.trend_confirmed": lambda event: short(event.trend.evidence),
    "monitor.trend_cleared": lambda event: f"{event.kind} over after {event.lasted_s:.0f} s",
    "analyzer.failure_recorded": lambda event: f"{event.category}: {short(event.message)}",
    "analyzer.recovery_judged": lambda event: (
        f"{event.strategy} {event.outcome.replace('_', ' ')}: {short(event.evidence)}"
    ),
    "analyzer.pattern_found": lambda event: f"{event.pattern}: {event.evidence}",
    "analyzer.recovery_carried_out": lambda event: f"{event.strategy} {'done' if event.ok else 'not done'}",
    "checkpointer.failed": lambda event: f"{event.error}: {short(event.message)}",
    "checkpointer.damage_found": lambda event: f"damaged: {short(event.reason)}",
    "checkpointer.change_missed": lambda event: f"{event.way!r} missed a change at {short(', '.join(event.paths))}",
    "checkpointer.trouble_noted": lambda event: short(event.reason) or "checkpoints are in order again",
    "modes.memory_reclaimed": lambda event: (
        f"{event.name}: {short(event.error)}" if event.error else f"{event.name} gave {event.freed_bytes} bytes back"
    ),
    "watchdog.handler_slow": lambda event: f"{event.handling} in hand for {event.elapsed_s:.1f} s",
    "watchdog.actor_taken_over": lambda event: f"{event.handling} hung for {event.elapsed_s:.1f} s",
    "watchdog.exhausted": lambda event: f"{event.handling} hung for {event.elapsed_s:.1f} s",
    "dead_letters.added": lambda event: f"{event.error}: {short(event.message)}" if event.message else event.reason,
    "outer.process_exited": lambda event: str(event.description),
    "outer.processes_found": lambda event: f"{len(event.pids)} left by a watchdog that died",
    "outer.start_failed": lambda event: f"{event.error}: {short(event.message)}",
    "outer.heartbeat_missed": lambda event: f"no heartbeat for {event.age_s:.1f} s",
    "outer.memory_exceeded": lambda event: f"{event.memory_bytes} bytes held, {event.limit_bytes} allowed",
    "outer.signal_received": lambda event: f"{event.name} received",
    "breaker.failures_observed": lambda event: event.share or summary(event.failures),
    "breaker.probe_failed": lambda event: f"probe failed: {short(event.failure)}",
    "breaker.probe_succeeded": lambda event: "probe succeeded",
}
"""The events that say what was seen of the outside world, and what they saw, in a few words."""


@frozen
class Link:
    """One record of a chain, and what it says."""

    record: Record
    sentence: str
    outer: bool = False
    """It stands in the log of the watchdog that started the process, and not in the agent's."""


@frozen
class Chain:
    """How something came about, the newest record first."""

    links: tuple[Link, ...]
    observation: str
    """What was seen that it all began with, ``exit by signal 9 (SIGKILL)``; empty when it began otherwise."""
    problem: str = ""
    """What is wrong with the last link; empty for a sound chain."""

    @property
    def root(self) -> Record:
        """The last record that can be reached."""
        return self.links[-1].record

    @property
    def ends_at_observation(self) -> bool:
        """The chain is sound, and begins with something that was seen."""
        return bool(self.observation) and not self.problem

    @property
    def began(self) -> str:
        """How it began: ``observation``, ``call`` from outside or by a timer, ``broken`` where it cannot be told."""
        if self.problem:
            return "broken"
        return "observation" if self.observation else "call"


def why(reader: EventReader, target: str | int, *, watchdog: EventReader | None = None) -> Chain:
    """The chain of causes of a position, or of what ``resolve`` makes of a word.

    Args:
        reader: the log.
        target: what is asked about.
        watchdog: reader of the log of the ``lrm run`` that started the agent's processes: the chain goes on in it, and
            what is asked about may stand there.

    Raises:
        BadTarget: the word means nothing.
        TargetNotFound: the log holds no such thing.
    """
    if watchdog is None:
        return _chain(reader, resolve(reader, target))
    from lrm_actors.inspect.outer import led_to

    record, outer = resolve_in_both(reader, watchdog, target)
    if outer:
        return _chain(watchdog, record, outer=True)
    chain = _chain(reader, record)
    before = None if chain.problem else led_to(chain.root, reader, watchdog)
    if before is None:
        return chain
    rest = _chain(watchdog, before, outer=True)
    return Chain((*chain.links, *rest.links), rest.observation, rest.problem)


def _chain(reader: EventReader, record: Record, *, outer: bool = False) -> Chain:
    links = [Link(record, sentence(record), outer)]
    while True:
        if not record.cause:  # 0 could be stored once, and is the position of nothing
            before = effect_before(reader, record) if len(links) < MAX_LINKS else None
            if before is None:
                break
            record = before
            links.append(Link(record, sentence(record), outer))
            continue
        problem = ""
        if record.cause >= record.position:
            problem = f"#{record.position} names #{record.cause} as its cause, which is not before it"
        elif record.cause < reader.first:
            problem = f"the cause of #{record.position}, #{record.cause}, is not kept any more"
        elif len(links) >= MAX_LINKS:
            problem = f"longer than {MAX_LINKS} links"
        if problem:
            return Chain(tuple(links), "", problem)
        try:
            cause = reader.get(record.cause)
        except (PositionNotFound, CorruptEvent) as error:
            return Chain(tuple(links), "", f"the cause of #{record.position} cannot be read: {error}")
        record = cause
        links.append(Link(record, sentence(record), outer))
    return Chain(tuple(links), observation_of(record))


def observation_of(record: Record) -> str:
    """What a record saw of the outside world, in a few words; empty for one that is no observation."""
    teller = OBSERVATIONS.get(record.type)
    if teller is None or not record.events or isinstance(record.events[0], UnknownEvent):
        return ""
    return teller(record.events[0]) or record.type


# --- what can be asked about --------------------------------------------------------------------------------------


def _restart_of(name: str) -> Callable[[Record], bool]:
    def matches(record: Record) -> bool:
        event: Any = record.events[0]
        if record.type == PROCESS_STARTED:
            return bool(event.restarted) and name in {"", "process"}
        if record.type == OUTER_RESTART:
            return name in {"", "process"}
        return name in {"", event.child, event.child.partition(":")[2]}

    return matches


def _field_is(field: str) -> Callable[[str], Callable[[Record], bool]]:
    return lambda name: lambda record: not name or getattr(record.events[0], field) == name


def _failure_of(name: str) -> Callable[[Record], bool]:
    def matches(record: Record) -> bool:
        event: Any = record.events[0]
        failed = event.child if record.type == "supervisor.child_failed" else event.component
        return name in {"", failed, failed.partition(":")[2]}

    return matches


def _checkpoint_of(name: str) -> Callable[[Record], bool]:
    def matches(record: Record) -> bool:
        event: Any = record.events[0]
        info = getattr(event, "checkpoint", event)
        known = name.removeprefix("latest")  # the last one, as with the commands of checkpoints
        return not known or info.checkpoint_id == known or stands_for(known, info.checkpoint_id)

    return matches


def _trend_of(name: str) -> Callable[[Record], bool]:
    def matches(record: Record) -> bool:
        event: Any = record.events[0]
        return name in {"", getattr(event, "trend", event).kind}

    return matches


WORDS: dict[str, tuple[str, tuple[str, ...], Callable[[str], Callable[[Record], bool]]]] = {
    "restart": ("the last restart", (CHILD_RESTARTED, RESTART_STARTED, PROCESS_STARTED, OUTER_RESTART), _restart_of),
    "process": (
        "the last start of the process",
        (PROCESS_STARTED, OUTER_STARTED),
        lambda name: lambda record: not name,
    ),
    "mode": ("the last change of the operation mode", ("modes.changed",), _field_is("mode")),
    "health": ("the last change of the health", ("monitor.health_changed",), _field_is("status")),
    "trend": (
        "the last news of a trend",
        ("monitor.trend_suspected", "monitor.trend_confirmed", "monitor.trend_cleared"),
        _trend_of,
    ),
    "breaker": ("the last opening of a breaker", ("breaker.opened",), _field_is("service")),
    "failure": ("the last failure", ("analyzer.failure_recorded", "supervisor.child_failed"), _failure_of),
    "checkpoint": ("the last checkpoint", ("checkpointer.taken", "checkpointer.failed"), _checkpoint_of),
    "effect": ("the last news of an effect", NEWS, is_of_effect),
}
"""Each word: what it means, the event types it is looked for among, and what ``word:NAME`` picks of them."""

_PICKED = {"mode": "to", "health": "to", "checkpoint": "with the id"}
"""How a word and its name go together; the others are ``of`` somebody."""

ALLOWED = f"a position (123 or #123), one of {', '.join(WORDS)}, such a word with a name (restart:browser), or a type"


def resolve(reader: EventReader, target: str | int) -> Record:
    """The record that a target means: a position, a word of ``WORDS`` with or without a name, or an event type.

    Raises:
        BadTarget: the word means nothing.
        TargetNotFound: the log holds no such thing.
    """
    text = str(target).strip()
    digits = text.removeprefix("#")
    if digits.isascii() and digits.isdigit():
        if len(digits) > POSITION_DIGITS:
            raise BadTarget(f"{text[:POSITION_DIGITS]}…", ALLOWED)
        try:
            return reader.get(int(digits))
        except PositionNotFound as error:
            raise TargetNotFound(text, str(error)) from error
    word, _, name = text.partition(":")
    if word in WORDS:
        what, types, picking = WORDS[word]
        found = last_of(reader, types, picking(name))
        if word == "effect" and "/" in name:
            found = last_of_effect(reader, name)
        if word == "mode":
            found = _held(reader, name) or found
        if found is None:
            raise TargetNotFound(
                text, f"the log has no such thing: {what}" + (f" {_PICKED.get(word, 'of')} {name}" if name else "")
            )
        return found
    if "." in text and ":" not in text:
        found = last_of(reader, (text,), in_any_form=True)
        if found is None:
            raise TargetNotFound(text, "the log has no event of this type")
        return found
    close = get_close_matches(word, WORDS, 1)
    raise BadTarget(text, f"{close[0]!r}, or {ALLOWED}" if close else ALLOWED)


def resolve_in_both(reader: EventReader, watchdog: EventReader, target: str | int) -> tuple[Record, bool]:
    """The same in an agent's log and its watchdog's, and whether it stands in the latter; the later one of two.

    Raises:
        BadTarget, TargetNotFound: as ``resolve``.
    """
    from lrm_actors.inspect.outer import PREFIX, is_before

    text = str(target).strip()
    if text.startswith(PREFIX):
        return resolve(watchdog, text.removeprefix(PREFIX)), True
    found: list[tuple[Record, bool]] = []
    problem: TargetNotFound | None = None
    digits = text.removeprefix("#")
    for log, outer in ((reader, False), (watchdog, True)):
        if outer and digits.isascii() and digits.isdigit():
            continue  # a bare number is a position of the agent's
        try:
            found.append((resolve(log, text), outer))
        except TargetNotFound as error:
            problem = problem or error
    if not found:
        assert problem is not None
        raise problem
    first = found[0]
    if len(found) == 2 and is_before(first[0].recorded_at, found[1][0].recorded_at):
        return found[1]
    return first


def _held(reader: EventReader, name: str) -> Record | None:
    """The record that holds the mode by hand, where it is held and that changed nothing: it was this mode already."""
    held = last_of(reader, ("modes.pinned",))
    changed = last_of(reader, ("modes.changed",))
    if held is None or (changed is not None and changed.position > held.position):
        return None
    event: Any = held.events[0]
    return None if event.mode is None or name not in {"", event.mode} else held
