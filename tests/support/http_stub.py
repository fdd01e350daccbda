"""A tiny HTTP server on loopback that shows the raw bytes of requests and misbehaves on
demand.

Rules this module keeps:

1. One request per connection, answered by the script in order of arrival, then by
   ``otherwise``.
2. Nothing is interpreted or normalised: what a test sees is what was on the wire.
3. Every wait ends when the stub is closed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

Answer = Callable[[socket.socket, threading.Event], bytes]
"""What becomes of a connection whose request was read: the bytes to send last.

The event is set when the stub closes.
"""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_READ_TIMEOUT_S = 5.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as it came:

    ``headers`` have lower-case names, ``at_s`` is the stub's clock on arrival.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    at_s: float


def http(
    status: int,
    document: Any = None,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    length: int | None = None,
) -> bytes:
    """A reply as bytes:

    JSON unless ``body`` is given; ``length`` declares another length than the body's.
    """
    content = json.dumps(document).encode() if body is None else body
    all_headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(content) if length is None else length),
        "Connection": "close",
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in all_headers.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode("latin-1") + content


def say(reply: bytes, *, after_s: float = 0.0) -> Answer:
    """Send these bytes and close."""

    def answer(_connection: socket.socket, closing: threading.Event) -> bytes:
        closing.wait(after_s)
        return reply

    return answer


def drop() -> Answer:
    """Close without a word."""
    return say(b"")


def hang(start: bytes = b"") -> Answer:
    """Send the start of a reply, then nothing more until the stub closes."""

    def answer(connection: socket.socket, closing: threading.Event) -> bytes:
        connection.sendall(start)
        closing.wait()
        return b""

    return answer


def reset(start: bytes = b"") -> Answer:
    """Send the start of a reply, then reset the connection."""

    def answer(connection: socket.socket, _closing: threading.Event) -> bytes:
        connection.sendall(start)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        return b""

    return answer


def drip(reply: bytes, *, every_s: float) -> Answer:
    """Send a reply byte by byte."""

    def answer(connection: socket.socket, closing: threading.Event) -> bytes:
        for number in reply:
            connection.sendall(bytes([number]))
            if closing.wait(every_s):
                break
        return b""

    return answer


class HttpStub:
    """Answers with ``script``, then with ``otherwise`` (default: drops the connection);
    a context manager.

    ``most_in_flight`` is the largest number of requests that were unanswered at once.
    """

    def __init__(
        self,
        *script: Answer,
        otherwise: Answer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seen: list[Seen] = []
        self.most_in_flight = 0
        self._script = list(script)
        self._otherwise = otherwise if otherwise is not None else drop()
        self._clock = clock
        self._in_flight = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        while self._threads:
            self._threads.pop(0).join()

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(_READ_TIMEOUT_S)
            seen = self._read(connection)
            if seen is None:
                return
            with self._lock:
                self.seen.append(seen)
                self._in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self._in_flight)
                answer = self._script.pop(0) if self._script else self._otherwise
            try:
                last = answer(connection, self._closing)
            finally:
                with self._lock:
                    self._in_flight -= 1
            connection.sendall(last)

    def _read(self, connection: socket.socket) -> Seen | None:
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                return None
            data += part
        at_s = self._clock()
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        while len(body) < int(headers.get("content-length", "0")):
            part = connection.recv(65536)
            if not part:
                return None
            body += part
        method, target, _ = first.split(" ")
        return Seen(method=method, target=target, headers=headers, body=body, at_s=at_s)
