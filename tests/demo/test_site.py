"""The demo's site: pages that follow from the revision alone, and faults that can be switched."""

from __future__ import annotations

import http.client
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from lrm_actors.demo.pages import pages
from lrm_actors.demo.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def site() -> Iterator[Site]:
    """A site that runs."""
    with Site() as running:
        yield running


def get(url: str, headers: dict[str, str] | None = None, timeout_s: float = 5.0) -> tuple[int, str | None, str]:
    """Status, ETag and body of one request."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
    try:
        connection.request("GET", parts.path, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.getheader("ETag"), response.read().decode()
    finally:
        connection.close()


def test_pages_follow_from_the_revision_alone() -> None:
    """Asked twice for a revision, it is the same to the letter; the next one differs."""
    assert pages(2) == pages(2)
    assert pages(2) != pages(1)


def test_revisions_add_remove_retitle_and_reprice() -> None:
    """Each kind of change that the agent reports happens within the first four revisions, on about eight pages."""
    first, second, third, fourth = (pages(revision) for revision in range(1, 5))

    assert [8, 8, 8, 8] == [len(first), len(second), len(third), len(fourth)]
    assert {"/tea/rooibos.html"} == set(third) - set(second)
    assert {"/tea/keemun.html"} == set(second) - set(third)
    assert "Steel kettle, 1.2 l" not in first["/ware/kettle.html"]
    assert "Steel kettle, 1.2 l" in second["/ware/kettle.html"]
    assert "12.90 EUR" in first["/tea/assam.html"]
    assert "13.25 EUR" in second["/tea/assam.html"]


@pytest.mark.parametrize("revision", range(1, 7))
def test_every_page_is_reachable_from_the_front(revision: int) -> None:
    """A crawl from the front page finds all pages of a revision and no link leads nowhere."""
    made = pages(revision)
    seen, queue = {"/"}, ["/"]
    while queue:
        body = made[queue.pop()]
        links = {part.partition('"')[0] for part in body.split('href="')[1:]}
        queue.extend(links - seen)
        seen |= links

    assert set(made) == seen


@pytest.mark.parametrize("revision", [0, 51])
def test_a_revision_outside_the_bound_is_refused(revision: int) -> None:
    """The number of revisions is finite, and the error says the range."""
    with pytest.raises(ValueError, match="1 to 50"):
        pages(revision)


def test_it_serves_the_published_revision(site: Site) -> None:
    """What is fetched is the revision that was published, under its own ETag."""
    assert (200, '"r1"', pages(1)["/"]) == get(site.url)

    site.publish(2)

    assert (200, '"r2"', pages(2)["/"]) == get(site.url)
    assert (304, '"r2"', "") == get(site.url, {"If-None-Match": '"r2"'})
    assert 404 == get(f"{site.url}nothing.html")[0]


def test_an_error_fault_answers_500_until_it_ends(site: Site) -> None:
    """Every request fails while the fault lasts, and none after it."""
    site.begin_fault("error")
    assert [500, 500] == [get(site.url)[0], get(f"{site.url}tea.html")[0]]

    site.end_fault()

    assert 200 == get(site.url)[0]


def test_a_hang_accepts_and_never_answers_until_it_ends(site: Site) -> None:
    """A request made during a hang gets no answer at all; one made after it does."""
    site.begin_fault("hang")
    outcome: list[str] = []

    def hung() -> None:
        try:
            get(site.url, timeout_s=60.0)
        except (http.client.RemoteDisconnected, ConnectionResetError):
            outcome.append("dropped")

    caller = threading.Thread(target=hung)
    caller.start()
    with pytest.raises(TimeoutError):
        get(site.url, timeout_s=0.2)
    assert caller.is_alive()

    site.end_fault()
    caller.join()

    assert ["dropped"] == outcome
    assert 200 == get(site.url)[0]
