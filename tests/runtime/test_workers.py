"""Worker threads: as many as there is work for, never more than the limit, never ended by a job."""

from __future__ import annotations

import threading

from lrm_actors.runtime.workers import Workers
from tests.runtime.support import PATIENCE_S


def test_hung_jobs_do_not_hold_up_others_below_the_limit() -> None:
    """With three threads and two hung jobs the third job still runs."""
    workers = Workers("test", limit=3)
    release = threading.Event()
    for _ in range(2):
        workers.submit(release.wait)
    done = threading.Event()
    workers.submit(done.set)
    assert done.wait(PATIENCE_S)
    release.set()
    workers.close()


def test_a_job_that_raises_anything_leaves_its_thread_working() -> None:
    """SystemExit in a job is logged, and the next job runs on the same thread."""
    workers = Workers("test", limit=1)

    def leave() -> None:
        raise SystemExit

    done = threading.Event()
    workers.submit(leave)
    workers.submit(done.set)
    assert done.wait(PATIENCE_S)
    workers.close()


def test_nothing_runs_after_close() -> None:
    """A job submitted too late is dropped."""
    workers = Workers("test")
    workers.close()
    ran: list[int] = []
    workers.submit(lambda: ran.append(1))
    assert 0 == workers.waiting
    assert [] == ran
