"""An OpenAI-compatible server on loopback that answers on a script: well, badly, late or not at all."""

from __future__ import annotations

import hashlib
import json
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VOWELS, CONSONANTS = "aeiou", "bdfgklmnprstv"

LONGEST = 20
"""Seconds after which a request that "hang"s is let go, if the server does not end before."""


def words(key: str, count: int) -> str:
    """A sentence of so many made-up words, the same for the same key."""
    pick = random.Random(key).choice
    made = ["".join(pick(letters) for letters in (CONSONANTS, VOWELS, CONSONANTS, VOWELS)) for _ in range(count)]
    return " ".join(made).capitalize() + "."


def good_answer(body: Mapping[str, Any]) -> str:
    """What a model that does as LAPD's generator `openai` tells it would write, the same for the same question."""
    text = body["messages"][-1]["content"]
    key = json.dumps(body["messages"])
    if found := re.search(r"It has (\d+) exchanges", text):
        turns = [
            {"speaker": ("user", "persona")[n % 2], "text": words(f"{key}{n}", 26)} for n in range(2 * int(found[1]))
        ]
        return json.dumps({"turns": turns})
    return json.dumps({"reply" if '{"reply"' in text else "seed": words(key, 20)})


def identity(body: Mapping[str, Any]) -> str:
    """The same for two requests that ask for the same, byte for byte."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


class FaultServer(ThreadingHTTPServer):
    """Serves on a free port of 127.0.0.1 in a thread, until the `with` block ends.

    For a model that answers as your plugin's tests need it, make a subclass with an `answer` of your own.

    Args:
        script: what happens to the requests, in order; after its end each gets a good answer. An entry is a status
            (429), a status with a message and headers ((429, "busy", {"Retry-After": "1"})), one of the words "hang",
            "reset", "cut", "garbage", "no choices", "ok", or a completion's parts: {"content": "..."}, {"usage": None},
            {"message": {"refusal": "..."}, "finish_reason": "length"}.
        delay: seconds before each answer.
        usage: the tokens that each answer reports, read and written.

    Attributes:
        bodies: of the requests so far, as JSON.
        headers: of the requests, with names in small letters.
        times: at which they came, in seconds.
        most_under_way: the most requests at one time.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, script: Iterable[Any] = (), delay: float = 0.0, usage: tuple[int, int] = (100, 50)) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.delay, self.usage = list(script), delay, usage
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()
        self.over = threading.Event()

    @property
    def url(self) -> str:
        """The base URL, up to and with the /v1."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def heard(self) -> str:
        """All that was sent here, headers and bodies."""
        return json.dumps([self.headers, self.bodies])

    def __enter__(self) -> FaultServer:
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.shutdown()
        self.thread.join()
        self.server_close()

    def next_act(self, body: dict[str, Any]) -> Any:
        """What happens to this request."""
        return self.script.pop(0) if self.script else "ok"

    def answer(self, body: dict[str, Any]) -> str:
        """What a good answer says."""
        return good_answer(body)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed, or gave up waiting, is no fault of the server's."""


class Handler(BaseHTTPRequestHandler):
    """Does to a request what the server's script says."""

    server: FaultServer

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""

    def do_POST(self) -> None:
        """A request for a completion."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            server.bodies.append(body)
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            server.times.append(time.monotonic())
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
            act = server.next_act(body)
        try:
            time.sleep(server.delay)
            self._act(act, body)
        finally:
            with server.lock:
                server.under_way -= 1

    def _act(self, act: Any, body: dict[str, Any]) -> None:
        if act == "hang":
            self.server.over.wait(LONGEST)
        elif act == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif act == "cut":
            self._send(200, json.dumps(self._completion(body))[:80], length=4000)
        elif act == "garbage":
            self._send(200, '{"choices": [{"mess')
        elif act == "no choices":
            self._send(200, json.dumps({"error": {"message": "upstream is away"}}))
        elif isinstance(act, int):
            self._send(act, json.dumps({"error": {"message": f"scripted {act}"}}))
        elif isinstance(act, tuple):
            status, message, headers = act
            self._send(status, json.dumps({"error": {"message": message}}), headers)
        else:
            self._send(200, json.dumps(self._completion(body) | ({} if act == "ok" else self._parts(act))))

    def _parts(self, act: dict[str, Any]) -> dict[str, Any]:
        rest = dict(act)
        parts = {name: rest.pop(name) for name in ("content", "message", "finish_reason") if name in act}
        return {**rest, **({"choices": [self._choice(**parts)]} if "content" in parts or "message" in parts else {})}

    def _choice(
        self, content: Any = None, message: Mapping[str, Any] | None = None, finish_reason: str | None = "stop"
    ) -> dict[str, Any]:
        said = {"role": "assistant", "content": content, **(message or {})}
        return {"index": 0, "message": said, "finish_reason": finish_reason}

    def _completion(self, body: dict[str, Any]) -> dict[str, Any]:
        read, written = self.server.usage
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        choices = [self._choice(self.server.answer(body))]
        return {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": choices, "usage": usage}

    def _send(
        self, status: int, text: str, headers: Mapping[str, str] | None = None, length: int | None = None
    ) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length or len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
