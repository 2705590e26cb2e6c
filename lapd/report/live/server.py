"""A watched run's page on this machine alone: an HTTP server of two paths that writes nothing and knows its name."""

from __future__ import annotations

import errno
import json
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lapd.errors import LapdError, first_line
from lapd.report.live.watched import Watched

LOOPBACK = "127.0.0.1"

NAMES = (LOOPBACK, "localhost")
"""What this machine may be called. Another name that leads here is a page's of somebody else (DNS rebinding)."""

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

SECONDS = 10
"""So long a request may take to come, so that none is held for ever."""


class Server(ThreadingHTTPServer):
    """Serves a run's page; `serve_forever` does, until it is interrupted.

    Args:
        watched: the run.
        port: on which; 0 for any that is free.

    Raises:
        LapdError: the port is taken, or may not be used.
    """

    daemon_threads = True

    def __init__(self, watched: Watched, port: int) -> None:
        self.watched = watched
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            known = {errno.EADDRINUSE: "is in use", errno.EACCES: "may not be used without more rights"}
            why = known.get(error.errno or 0, f"cannot be used ({error.strerror or error})")
            raise LapdError(f"Port {port} {why}.", "Give another --port, or 0 for any that is free.") from None

    @property
    def address(self) -> str:
        """Where it is, for a browser."""
        return f"http://{LOOPBACK}:{self.server_port}/"

    @property
    def hosts(self) -> set[str]:
        """What requests to it may name as their host."""
        plain = set(NAMES) if self.server_port == 80 else set()  # browsers leave that one out
        return plain | {f"{name}:{self.server_port}" for name in NAMES}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong in a line; nothing of a browser that has gone."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, (ConnectionError, TimeoutError)):
            print(f"Error: {type(error).__name__}: {first_line(error)}", file=sys.stderr)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "lapd", ""
    timeout = SECONDS

    def do_GET(self) -> None:
        """Answer the page, or how far the run is."""
        if (refused := self._refused()) is not None:
            self._answer(refused, refused.phrase)
            return
        # As it was sent: what BaseHTTPRequestHandler calls the path has lost a second leading slash.
        path = self.requestline.split()[1]
        try:
            if path == "/":
                self._answer(HTTPStatus.OK, self.server.watched.page(), "text/html")
            elif path == "/progress":
                told = json.dumps(self.server.watched.progress().as_json())
                self._answer(HTTPStatus.OK, told, "application/json")
            else:
                self._answer(HTTPStatus.NOT_FOUND, "There is nothing here.")
        except (LapdError, OSError) as error:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, f"Error: {first_line(error)}")

    do_HEAD = do_GET  # noqa: N815

    def _method(self) -> None:
        """Refuse what would change something."""
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, "This page is only read.", more={"Allow": "GET, HEAD"})

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = _method  # noqa: N815

    def _refused(self) -> HTTPStatus | None:
        """Why a request is not answered: it was sent to another name than this machine's, or by another page."""
        hosts, origins = self.headers.get_all("Host", []), self.headers.get_all("Origin", [])
        if len(hosts) != 1 or hosts[0].strip().lower() not in self.server.hosts:
            return HTTPStatus.FORBIDDEN
        if any(origin.strip().lower() not in {f"http://{host}" for host in self.server.hosts} for origin in origins):
            return HTTPStatus.FORBIDDEN
        return None

    def _answer(
        self, status: HTTPStatus, text: str, kind: str = "text/plain", more: dict[str, str] | None = None
    ) -> None:
        body = text.encode("utf-8", errors="replace")
        self.send_response(status)
        lines = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body)), **HEADERS, **(more or {})}
        for name, value in lines.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal has one line, with the address."""
