"""An HTTP server that passes requests on to another one, or does to them what networks and broken servers do."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# What happens to a request: a number of seconds passes before it is passed on (0: at once), or one of:
#   "drop"  it is passed on, and the answer is lost
#   "late"  the connection is lost, and the request carried out when `release` is called
#   "hole"  nothing, for as long as the client waits
#   "500", "429", ...  this answer, and nothing else
Fault = str | float


class Proxy(ThreadingHTTPServer):
    """Passes on to a port of this machine; use as a context. `fault(path)` decides for each request."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.to = port
        self.fault: Callable[[str], Fault] = lambda path: 0
        self.paths: list[str] = []
        self._late: list[Callable[[], Any]] = []
        self._closed = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closed.set()
        self.shutdown()
        self.server_close()

    def release(self) -> int:
        """Carry out the requests that were late; how many there were."""
        late, self._late = self._late, []
        for send in late:
            send()
        return len(late)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Quiet: clients go away."""


class _Handler(BaseHTTPRequestHandler):
    server: Proxy

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        self.server.paths.append(path)
        fault = self.server.fault(path)
        self.close_connection = True

        def send() -> tuple[int, list[tuple[str, str]], bytes]:
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.server.to)) as upstream:
                headers = {k: v for k, v in self.headers.items() if k not in ("Content-Length", "Transfer-Encoding")}
                upstream.request(self.command, self.path, body, headers)  # chunked: an empty file, from `requests`
                answer = upstream.getresponse()
                return answer.status, answer.getheaders(), answer.read()

        if fault == "hole":
            self.server._closed.wait()
        elif fault == "late":
            self.server._late.append(send)
        elif fault == "drop":
            send()
        elif isinstance(fault, str):
            self._answer(int(fault), [], b"broken")
        else:
            time.sleep(fault)
            with contextlib.suppress(OSError, http.client.HTTPException):  # nobody there: its client hears nothing
                self._answer(*send())

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "server", "date"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def free_port() -> int:
    """A port of this machine that nobody uses just now, and Ray does not keep for its agent."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = int(found.getsockname()[1])
        return free_port() if port == 52365 else port
