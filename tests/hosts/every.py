"""Every case there is, each raised once."""

from __future__ import annotations

from collections.abc import Iterator

from lrm_actors.actors.analyzer import facts_of
from lrm_actors.domain.classify import FailureFacts
from tests.hosts import browser_cases, http_cases, llm_cases
from tests.hosts.case import Case, raised
from tests.hosts.machine_cases import machine_cases
from tests.hosts.server import Server

ANSWERS = llm_cases.ANSWERS | http_cases.ANSWERS | browser_cases.ANSWERS


def every_case(server: Server) -> Iterator[Case]:
    """In the order in which they are to be raised."""
    yield from llm_cases.llm_cases(server)
    yield from http_cases.http_cases(server)
    yield from machine_cases()
    yield from browser_cases.without_browser_cases()
    path = browser_cases.chromium()
    if path is not None:
        yield from browser_cases.browser_cases(server, path)


def every_failure() -> Iterator[tuple[Case, FailureFacts]]:
    """Each case, and what is known of its error."""
    server = Server(ANSWERS)
    try:
        for case in every_case(server):
            yield case, facts_of(raised(case.fail), case.component)
    finally:
        server.close()
