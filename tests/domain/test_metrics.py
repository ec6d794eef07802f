"""A sample as a record: what is kept of it, and that older ones are read."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from eventstore.codec import decoder_of, encode_event
from lrm_actors.domain.metrics import METRICS, NO_METRICS, Metrics, nothing_known, sane
from lrm_actors.domain.monitor import Sampled

FIRST = (
    "cpu_percent", "process_cpu_percent", "memory_percent", "memory_rss_bytes", "memory_virtual_bytes",
    "disk_free_bytes", "disk_read_bytes", "disk_write_bytes", "network_sent_bytes", "network_received_bytes",
    "thread_count", "open_files",
)  # fmt: skip
"""Metrics of the first samples that were ever stored."""


def stored(event: object) -> dict[str, Any]:
    """An event as it stands in the log."""
    found: dict[str, Any] = json.loads(encode_event(event)[1])
    return found


def read(payload: dict[str, Any]) -> Any:
    """The event of a payload."""
    decode = decoder_of("monitor.sampled", 1)
    assert decode is not None
    return decode(json.dumps(payload).encode())


def test_samples_of_the_first_logs_are_read() -> None:
    """What they did not know yet is None without a reason, as what a platform does not have."""
    old = {**dict.fromkeys(FIRST, 7), "thread_count": None, "unknown": {"thread_count": "denied"}}
    metrics = read({"metrics": old, "at_s": 5.0, "levels": {"cpu": "warning"}}).metrics
    assert (7.0, 7, None) == (metrics.cpu_percent, metrics.open_files, metrics.thread_count)
    assert {"thread_count": "denied"} == metrics.unknown
    assert all(getattr(metrics, name) is None for name in set(METRICS) - set(FIRST))
    assert "" == metrics.limited_by


def test_the_first_metrics_keep_their_names_and_places() -> None:
    """Whoever reads the log with tools of their own finds them where they were."""
    assert METRICS[: len(FIRST)] == FIRST
    assert set(FIRST) <= stored(Sampled(Metrics()))["metrics"].keys()
    assert {field.name for field in attrs.fields(Metrics)} == {*METRICS, *NO_METRICS}


def test_a_full_sample_is_small_and_comes_back() -> None:
    """Samples are most of a calm log: one is well below 2 KB."""
    full: dict[str, Any] = dict.fromkeys(METRICS, 2**40)
    sample = Sampled(Metrics(**full, limited_by="cgroup"), 1e6, {"memory": "critical"})
    assert sample == read(stored(sample))
    assert len(encode_event(sample)[1]) < 2_000


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
@pytest.mark.parametrize("name", METRICS)
def test_what_cannot_be_is_unknown(name: str, value: float) -> None:
    """No metric is negative or no number, and the rest of the sample stays."""
    wrong: dict[str, Any] = {**dict.fromkeys(METRICS, 1), name: value}
    made = sane(Metrics(**wrong))
    assert getattr(made, name) is None
    assert {name: f"impossible value {value}"} == made.unknown
    assert all(getattr(made, other) == 1 for other in METRICS if other != name)


def test_nothing_known_names_every_metric() -> None:
    """With the one reason."""
    nothing = nothing_known("it broke")
    assert dict.fromkeys(METRICS, "it broke") == nothing.unknown
    assert all(getattr(nothing, name) is None for name in METRICS)
