"""What events say: those of the log, deliveries, dead letters and hung handlers."""

from __future__ import annotations

from typing import Any

from lrm_actors.inspect.telling.words import says, short, tells, with_reason

says("log.put_back", "the log was put back, whole up to #{through}: while it was in use {because}")
says("log.trimmed", "{removed} old events were removed because of the log's {because}; it begins at #{first} now")


says("deliveries.skipped", "{consumer} read on without {type} #{position} after {attempts} attempts: {reason}")


says("dead_letters.dropped", "{count} more messages to {to} were lost: {reason}")
says("dead_letters.resend_requested", "letter {letter} is to be sent again")
says("dead_letters.resent", "letter {letter} was sent again and handled")
says("dead_letters.resend_failed", "letter {letter} cannot be sent again: {problem}")


@tells("dead_letters.added")
def _(event: Any) -> str:
    tried = f" after {event.attempts} attempts" if event.attempts else ""
    why = f"{event.error}: {event.message}" if event.message else event.error
    return with_reason(f"{event.command} to {event.to} became letter {event.letter}{tried}: {short(event.reason)}", why)


says("watchdog.handler_slow", "{actor} has had {handling} in hand for {elapsed_s:.1f} s")
says("watchdog.exhausted", "{actor} hangs on {handling} beside {zombies} others: the process is to be replaced")


@tells("watchdog.actor_taken_over")
def _(event: Any) -> str:
    where = event.stack.strip().rpartition("\n")[2].strip()
    return with_reason(f"{event.actor} hung on {event.handling} for {event.elapsed_s:.1f} s and was taken over", where)
