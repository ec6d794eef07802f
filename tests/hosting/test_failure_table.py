"""Faults that are real, from the fault to the recovery, and the story that the log tells of each."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrm_actors.blocking import BlockingMode
from lrm_actors.inspect import why
from lrm_actors.mode import LongRunningMode
from tests.mode_kit import records, settings, wait_for

pytestmark = pytest.mark.usefixtures("sampled")

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
SILENT_S = 0.1


class Service:
    """Takes connections on a port and is silent, until it is told to answer."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]

    def answer_one(self) -> threading.Thread:
        """Answer the next call."""

        def serve() -> None:
            client, _ = self.socket.accept()
            with client:
                client.settimeout(30)
                client.recv(4096)
                client.sendall(ANSWER)

        thread = threading.Thread(target=serve)
        thread.start()
        return thread

    def close(self) -> None:
        """Nobody listens any more."""
        self.socket.close()


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that says nothing."""
    service = Service()
    yield service
    service.close()


def call(mode: BlockingMode, port: int, component: str, timeout_s: float) -> str:
    """One guarded call: its answer, or the strategy for its failure."""
    try:
        with OPENER.open(f"http://127.0.0.1:{port}/", timeout=timeout_s) as response:
            return str(response.read().decode())
    except OSError as error:
        return mode.handle_failure(error, {"component": component})


def story(mode: LongRunningMode, kind: str) -> list[str]:
    """What ``lrm why`` says of the newest record of a kind."""
    reader = mode.reader()
    try:
        return [link.sentence for link in why(reader, records(mode, kind)[-1].position).links]
    finally:
        reader.close()


def test_a_silent_llm_is_retried_then_held_back(tmp_path: Path, service: Service) -> None:
    """A socket that takes the request and never answers; when it does, everything goes on."""
    mode = LongRunningMode(settings(tmp_path))
    with mode as blocking:
        strategies = [call(blocking, service.port, "llm", SILENT_S) for _ in range(3)]
        assert ["retry_with_backoff", "retry_with_backoff", "wait_for_breaker"] == strategies
        judged = [record.event for record in records(mode, "analyzer.recovery_judged")]
        assert ["did_not_help", "did_not_help"] == [one.outcome for one in judged]
        assert ["useless_recovery"] == [record.event.pattern for record in records(mode, "analyzer.pattern_found")]
        assert any("llm failed: llm_timeout" in sentence for sentence in story(mode, "analyzer.recovery_chosen"))
        again = Service()  # as it comes back: without the calls that nobody waits for any more
        thread = again.answer_one()
        assert "ok" == call(blocking, again.port, "llm", 30)
        thread.join()
        again.close()


def test_a_refused_connection_is_retried_later_each_time(tmp_path: Path, service: Service) -> None:
    """Nobody listens on the port; the time to wait grows."""
    service.close()
    mode = LongRunningMode(settings(tmp_path))
    with mode as blocking:
        assert ["retry_with_backoff"] * 4 == [call(blocking, service.port, "site", 5) for _ in range(4)]
        chosen = [record.event for record in records(mode, "analyzer.recovery_chosen")]
        assert ["network"] * 4 == [one.category for one in chosen]
        for number, one in enumerate(chosen):
            assert 0.5 * 2**number <= one.delay_s <= 2**number
        assert any("site failed: network" in sentence for sentence in story(mode, "analyzer.recovery_chosen"))


def test_a_held_lock_is_noticed_and_the_component_restarted(tmp_path: Path) -> None:
    """Its thread waits for a lock that nobody gives back, so its heartbeats stop; the restart makes a new lock."""
    mode = LongRunningMode(settings(tmp_path))
    ended = threading.Event()
    locks = [threading.Lock()]
    threads: list[threading.Thread] = []

    def work() -> None:
        lock = locks[-1]
        while not ended.wait(0.02):
            if not lock.acquire(timeout=30):
                return
            lock.release()
            mode.heartbeat("worker")

    def start() -> None:
        locks.append(threading.Lock())
        threads.append(threading.Thread(target=work))
        threads[-1].start()

    mode.register_component("worker", restart=start, heartbeat_timeout_s=0.6)
    with mode:
        start()
        stuck = locks[-1]
        stuck.acquire()
        restarted = wait_for(mode, "supervisor.child_restarted", lambda event: event.child == "component:worker")
        stuck.release()
        told = story(mode, "supervisor.child_restarted")
        assert any("no heartbeat of the component worker" in sentence for sentence in told)
        assert any("restart_component" in sentence for sentence in told)
        failed = records(mode, "analyzer.failure_recorded")[0]
        assert "deadlock" == failed.event.category
        assert failed.position < restarted.position
        ended.set()
    ended.set()
    for thread in threads:
        thread.join()


def test_a_full_disk_is_put_on_record_and_old_checkpoints_go(tmp_path: Path) -> None:
    """The log had to give up what it holds back: whoever hears of it has old checkpoints deleted, and fewer kept."""
    mode = LongRunningMode(settings(tmp_path))
    mode.capture_with(lambda: {"seen": 1})
    with mode as blocking:
        for _ in range(8):
            blocking.take_checkpoint()
        running = mode._engine.running
        assert running is not None
        running.system.room_made("database or disk is full")
        pruned = wait_for(mode, "checkpointer.pruned")
        assert 5 == len(pruned.event.checkpoint_ids)
        told = story(mode, "checkpointer.pruned")
        assert any("disk_full: database or disk is full" in sentence for sentence in told)
        for _ in range(8):
            blocking.take_checkpoint()
        assert 4 == len(blocking.checkpointer.list_checkpoints())
