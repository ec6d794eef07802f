"""Why the health changed, in words: ``memory 96.1 % of cgroup limit 2.0 GiB >= 95.0 %``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from eventstore.frozen import frozen
from lrm_actors.domain.health import CRITICAL, HEALTHY, UNKNOWN, Mark, is_worse, worst
from lrm_actors.domain.metrics import Metrics
from lrm_actors.domain.signals import BY_NAME, SIGNALS, MonitorConfig, Signal

SHORT_S = 1.0
"""A time shorter than this is not worth saying."""


@frozen
class Judgement:
    """What was made of a sample."""

    config: MonitorConfig
    metrics: Metrics
    """The sample."""
    marks: Mapping[str, Mark]
    """How long each signal has been where it is."""
    before: Mapping[str, str]
    """The rungs before it."""
    levels: Mapping[str, str]
    """The rungs after it."""


def in_signals(judged: Judgement, previous: str, status: str) -> str:
    """Which signals made it as bad as ``status``; or, where it got better, what those that were bad are below now.

    Args:
        judged: the sample and what was made of it.
        previous: the status before.
        status: the status now.
    """
    if is_worse(status, previous):
        return ", ".join(_bad(judged, status))
    return ", ".join(_better(judged)) or "nothing is as bad any more"


def still(judged: Judgement, status: str) -> str:
    """Which signals make it as bad as it was before already.

    Args:
        judged: the sample and what was made of it.
        status: the status.
    """
    return ", ".join(_bad(judged, status))


def in_components(config: MonitorConfig, failures: Mapping[str, bool]) -> str:
    """How many components failed lately, or that they are all well again.

    Args:
        config: names the limit and the window.
        failures: components that failed within the window, and whether each is well again.
    """
    names = sorted(failures)
    listed = ", ".join(names)
    if len(names) >= config.failing_components and all(failures.values()):
        return f"restarted: {listed}"
    count = f"{len(names) or 'no'} component{'' if len(names) == 1 else 's'}"
    return f"{count} failed within {config.failing_window_s:g} s" + (f": {listed}" if names else "")


def responsible(levels: Mapping[str, str], status: str) -> tuple[str, ...]:
    """Names of the signals that are as bad as a status."""
    return tuple(name for name, level in levels.items() if worst({name: level}) == status)


def _bad(judged: Judgement, status: str) -> Iterator[str]:
    for name in (signal.name for signal in SIGNALS if signal.name in responsible(judged.levels, status)):
        signal, mark, level = BY_NAME[name], judged.marks.get(name), judged.levels[name]
        if level == UNKNOWN or mark is None or mark.value is None:
            yield _unknown(signal, judged.metrics)
            continue
        warning, critical = signal.thresholds(judged.config)
        threshold = critical if level == CRITICAL else warning
        said = signal.say(mark.value, judged.metrics)
        lasted_s = mark.at_critical_s if level == CRITICAL else mark.at_warning_s
        lasts = f" for {lasted_s:.0f} s" if lasted_s >= SHORT_S else ""
        yield f"{said} >= {threshold:.1f}{signal.unit}{lasts}" if mark.value >= threshold else said


def _better(judged: Judgement) -> Iterator[str]:
    for signal in SIGNALS:
        was, mark = judged.before.get(signal.name, HEALTHY), judged.marks.get(signal.name)
        if was == HEALTHY or was == judged.levels.get(signal.name) or mark is None:
            continue
        if was == UNKNOWN:
            yield f"{signal.name} known again"
        elif mark.value is not None:
            warning, critical = signal.thresholds(judged.config)
            leave = signal.leaves_below(judged.config, critical if was == CRITICAL else warning)
            yield f"{signal.say(mark.value, judged.metrics)} < {leave:.1f}{signal.unit}"


def _unknown(signal: Signal, metrics: Metrics) -> str:
    return f"{signal.name} unknown: {metrics.unknown.get(signal.metric, 'no reason given')}"
