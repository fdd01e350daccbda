"""A process that has the program loaded and forks, so that many short steps run it
without starting Python anew.

``fork_server.py SOCKET`` listens there; each connection is one run of the program, in a
process of its own. ``CALL`` is what stands in the program's place: it hands arguments,
environment, folder and streams over, and exits as the run does.

Rules this module keeps:

1. A run sees the caller's environment, folder and streams, and nothing of the server's.
2. Warnings are errors, as in all tests.
3. The server ends when its standard input does: it outlives no test session.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import warnings
from typing import NoReturn

from reconciler.cli import apply as writing
from reconciler.cli import entry
from reconciler.cli import identity as handing
from reconciler.cli import maintain as maintaining
from reconciler.cli import observe as observing
from reconciler.cli import plan as reading
from reconciler.cli import status as standing

PRELOADED = (handing, maintaining, observing, reading, standing, writing)
STREAMS = 3
MESSAGE_BYTES_MAX = 1024 * 1024
CALL = """\
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect({path!r})
    order = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
    socket.send_fds(server, [order], [0, 1, 2])
    code = server.recv(16)
os._exit(int(code))
"""


def serve(path: str) -> None:
    """Answer until standard input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who answer
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(path)
        server.listen(64)
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([server, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            connection, _ = server.accept()
            if os.fork() == 0:
                server.close()
                answer(connection)
            connection.close()


def answer(connection: socket.socket) -> NoReturn:
    """Answer with one run; never return."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    order, streams, _, _ = socket.recv_fds(connection, MESSAGE_BYTES_MAX, STREAMS)
    child = os.fork()
    if child == 0:
        connection.close()
        run(json.loads(order), streams)
    for stream in streams:
        os.close(stream)
    _, status = os.waitpid(child, 0)
    connection.send(str(os.waitstatus_to_exitcode(status) & 0xFF).encode())
    os._exit(0)


def run(order: tuple[list[str], dict[str, str], str], streams: list[int]) -> NoReturn:
    """Run the program as if it had just been started; never return."""
    arguments, environ, folder = order
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    sys.argv = ["reconciler", *arguments]
    warnings.simplefilter("error")
    entry.main()


if __name__ == "__main__":
    serve(sys.argv[1])
