"""The demo's own web site on loopback: real sockets, pages in revisions, and faults that its owner switches on and off.

The agent knows nothing of this module; it sees a URL.
"""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

from lrm_actors.demo.pages import pages

if TYPE_CHECKING:
    from types import TracebackType

SiteFault = Literal["hang", "error"]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64
    site: Site

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: a client that hung up in the middle is what this site is for."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 30.0

    def do_GET(self) -> None:
        self.server.site.answer(self)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing: the demo's own lines are the ones to read."""


class Site:
    """A web site that runs in this process, on a port of its own choosing.

    Use it as a context manager. Its methods may be called from any thread.
    """

    def __init__(self, *, latency_s: float = 0.0) -> None:
        self.latency_s = latency_s
        """How long it thinks before each answer."""
        self.requests = 0
        """Answered or not, since it was made."""
        self._revision = 1
        self._pages = pages(1)
        self._fault: SiteFault | None = None
        self._fault_over = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.site = self
        self._thread = threading.Thread(target=self._serve, name="demo-site", daemon=True)

    @property
    def url(self) -> str:
        """Where its front page is."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    @property
    def revision(self) -> int:
        """The revision it shows."""
        return self._revision

    @property
    def fault(self) -> SiteFault | None:
        """What ails it now."""
        return self._fault

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.end_fault()
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def publish(self, revision: int) -> None:
        """Show this revision from now on; each request sees one revision whole."""
        made = pages(revision)
        with self._lock:
            self._revision, self._pages = revision, made

    def begin_fault(self, fault: SiteFault) -> None:
        """``hang``: accept and never answer. ``error``: answer every request with status 500."""
        with self._lock:
            self._fault_over.set()
            self._fault, self._fault_over = fault, threading.Event()

    def end_fault(self) -> None:
        """Answer again. Requests that hang are dropped without an answer."""
        with self._lock:
            self._fault = None
            self._fault_over.set()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request; called by the server on the request's own thread."""
        with self._lock:
            self.requests += 1
            fault, fault_over = self._fault, self._fault_over
            revision, body = self._revision, self._pages.get(urlsplit(request.path).path)
        if fault == "hang":
            fault_over.wait()
            request.close_connection = True
            return
        if self.latency_s:
            self._closed.wait(self.latency_s)
        etag = f'"r{revision}"'
        if fault == "error":
            _send(request, 500, "<title>Internal error</title>", etag=None)
        elif body is None:
            _send(request, 404, "<title>Not found</title>", etag=etag)
        elif request.headers.get("If-None-Match") == etag:
            _send(request, 304, "", etag=etag)
        else:
            _send(request, 200, body, etag=etag)

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=0.05)


def _send(request: BaseHTTPRequestHandler, status: int, body: str, *, etag: str | None) -> None:
    data = body.encode()
    request.send_response(status)
    if etag is not None:
        request.send_header("ETag", etag)
    if data:
        request.send_header("Content-Type", "text/html; charset=utf-8")
    request.send_header("Content-Length", str(len(data)))
    request.end_headers()
    request.wfile.write(data)
