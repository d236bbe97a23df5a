"""A Hub on 127.0.0.1 for tests: the real client talks to it over real HTTP. It holds everything in memory.

    with LoopbackHub() as hub:                     # hub.url; hub.environment() for HF_ENDPOINT and friends
        token = hub.add_user("ann")                # may write under ann/; with write=False it may only read
        hub.fail("POST .*/commit/", 503, times=2)  # the next two commits; a status, or a name of FAULTS
        hub.requests                               # what was asked: "GET /api/models/ann/town"

Models, data sets and Spaces share all routes. Errors, ETag and Range are said as the real Hub says them.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from loopback_routes import ROUTES, Refusal, Routes
from loopback_store import Store

FAULTS = ("drop", "drop after", "truncate", "corrupt")
"""Hang up before doing anything; do it and then hang up; send half of the body; flip bits of it."""


@dataclass
class Fault:
    pattern: str
    kind: int | str
    times: float
    headers: dict[str, str]


class LoopbackHub(Store):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.RLock()
        self.server = _Server(("127.0.0.1", 0), _Handler)
        self.server.hub = self
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def reset(self) -> None:
        super().reset()
        self.faults: list[Fault] = []
        self.requests: list[str] = []

    def environment(self, home: str | os.PathLike[str]) -> dict[str, str]:
        """What huggingface_hub must find in the environment before it is imported."""
        return {
            "HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
        }  # fmt: skip

    def start(self) -> LoopbackHub:
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    __enter__ = start

    def __exit__(self, *_: object) -> None:
        self.stop()

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Refuse every connection, as where there is no network."""
        self.stop()
        self.server.hang_up()
        try:
            yield
        finally:
            self.server = _Server(("127.0.0.1", self.port), _Handler)
            self.server.hub = self
            self.start()

    def fail(self, pattern: str, kind: int | str, times: float = 1, **headers: str) -> None:
        """Let the next `times` requests whose "METHOD /path" matches the pattern go wrong."""
        assert isinstance(kind, int) or kind in FAULTS, kind
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults.append(Fault(pattern, kind, times, named))

    def count(self, pattern: str) -> int:
        return sum(bool(re.search(pattern, request)) for request in self.requests)

    def take_fault(self, request: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.pattern, request):
                    fault.times -= 1
                    return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    hub: LoopbackHub

    def __init__(self, *arguments: Any):
        self.open: set[Any] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        for connection in list(self.open):
            self.shutdown_request(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class _Handler(Routes, BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.hub, split = self.server.hub, urlsplit(self.path)
        self.query, self.body, self.extra = parse_qs(split.query), self._read_body(), {}
        request = f"{self.command} {unquote(split.path)}"
        with self.hub.lock:
            self.hub.requests.append(request)
        self.fault = self.hub.take_fault(request)
        kind = self.fault.kind if self.fault else None
        if kind == "drop":
            return self._hang_up()
        try:
            if isinstance(kind, int):
                raise Refusal(kind, f"injected {kind}")
            with self.hub.lock:
                answer = self._dispatch(split.path)
        except Refusal as refusal:
            named = {"X-Error-Code": refusal.code} if refusal.code else {}
            named |= {"X-Error-Message": refusal.message, **(self.fault.headers if self.fault else {})}
            answer = refusal.status, json.dumps({"error": refusal.message}).encode(), named
        if kind == "drop after":
            return self._hang_up()
        if not isinstance(answer, tuple):
            answer = 200, json.dumps(answer).encode(), self.extra
        self._send(*answer)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _dispatch(self, path: str) -> Any:
        # Matched before unquoting: a branch may hold a quoted slash.
        for pattern, name in ROUTES:
            match = pattern.fullmatch(f"{self.command} {path}")
            if match:
                values: dict[str, Any] = {
                    key: unquote(value or "") for key, value in match.groupdict().items()
                }
                if "id" in values:
                    values["repo"] = self._repo(values.pop("type") or "models", values.pop("id"))
                return getattr(self, name)(**values)
        raise Refusal(404, f"no such route: {self.command} {path}")

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _hang_up(self) -> None:
        self.close_connection = True

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        kind = self.fault.kind if self.fault else None
        if kind == "corrupt" and body:
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 0xFF]) + body[middle + 1 :]
        self.send_response(status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if kind == "truncate":
            body = body[: len(body) // 2]
            self._hang_up()
        self.wfile.write(body)
