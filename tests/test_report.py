from __future__ import annotations

import json
import math
from typing import Any

import pytest

from lrm_actors import report
from lrm_actors.domain.metrics import METRICS


def full() -> dict[str, Any]:
    """A report with an entry in every table."""
    return report.build(
        agent_id="a",
        circuit_breakers={"llm": {"state": "open", "failure_count": 3}},
        components={"browser": {"restarts": 2}},
        actors={"monitor": {"version": 7}},
    )


def test_it_knows_every_metric_that_the_monitor_does() -> None:
    """The two lists stand in layers that cannot see each other's."""
    assert METRICS == report.METRICS


@pytest.mark.parametrize("made", [full(), report.build(agent_id="a"), report.switched_off("a")])
def test_every_key_is_always_there(made: dict[str, Any]) -> None:
    """Whatever is known, and with the mode switched off too; and it is JSON."""
    assert list(report.KEYS) == list(made)
    assert [] == report.missing_keys(made)
    assert made == json.loads(json.dumps(made, allow_nan=False))


@pytest.mark.parametrize(
    "path",
    [("log",), ("log", "head"), ("resource_metrics", "cpu_percent"), ("circuit_breakers", "llm", "state"), ("trends",)],
)
def test_a_planted_gap_is_found(path: tuple[str, ...]) -> None:
    """The checker for those who make reports sees what is missing at any depth."""
    made: dict[str, Any] = full()
    place = made
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    assert ".".join(path) in report.missing_keys(made)


def test_metrics_are_always_numbers() -> None:
    """The last good one, else 0.0; those not known now are named with the reason, those not there are not."""
    made = report.build(
        agent_id="a",
        metrics={"cpu_percent": 12.5, "memory_percent": None, "open_files": None, "thread_count": 3},
        last_good={"memory_percent": 60.0, "cpu_percent": 99.0},
        unknown={"memory_percent": "permission denied"},
    )
    numbers = made["resource_metrics"]
    assert (12.5, 60.0, 3, 0.0) == tuple(
        numbers[name] for name in ("cpu_percent", "memory_percent", "thread_count", "open_files")
    )
    assert all(isinstance(number, int | float) for number in numbers.values())
    assert {"memory_percent": "permission denied"} == made["unknown"]


@pytest.mark.parametrize("value", [math.nan, math.inf, "12"])
def test_an_impossible_metric_is_not_known(value: Any) -> None:
    """Neither NaN nor infinity is JSON, nor is either below any threshold."""
    made = report.build(agent_id="a", metrics={"cpu_percent": value}, last_good={"cpu_percent": 40.0})
    assert 40.0 == made["resource_metrics"]["cpu_percent"]
    assert f"impossible value {value!r}" == made["unknown"]["cpu_percent"]


def test_before_the_first_sample_nothing_is_known() -> None:
    """Every metric is 0.0 and is named."""
    made = report.build(agent_id="a", metrics=None)
    assert dict.fromkeys(report.METRICS, 0.0) == made["resource_metrics"]
    assert dict.fromkeys(report.METRICS, report.NO_SAMPLE) == made["unknown"]


def test_switched_off_it_says_so() -> None:
    """The mode is not enabled, nothing is watched, and nothing is wrong."""
    made = report.switched_off("a", steps={"committed": 4})
    assert (False, "normal", "healthy") == (made["enabled"], made["operation_mode"], made["health_status"])
    assert dict.fromkeys(report.METRICS, report.SWITCHED_OFF) == made["unknown"]
    assert {**report.STEPS, "committed": 4} == made["steps"]


def test_a_key_that_no_report_has_is_refused() -> None:
    """A typing error in whoever makes one would else be a silent zero."""
    with pytest.raises(ValueError, match="log.position"):
        report.build(agent_id="a", log={"position": 4})
    with pytest.raises(ValueError, match="actors.monitor.mailbox"):
        report.build(agent_id="a", actors={"monitor": {"mailbox": 4}})


def test_a_report_belongs_to_whoever_asked() -> None:
    """Changing one changes no later one."""
    first = report.build(agent_id="a", circuit_breakers={"llm": {}})
    first["failures"]["by_category"]["mine"] = 1
    first["circuit_breakers"]["llm"]["last_failures"].append("mine")
    second = report.build(agent_id="a", circuit_breakers={"llm": {}})
    assert ({}, []) == (second["failures"]["by_category"], second["circuit_breakers"]["llm"]["last_failures"])
