"""A fleet between two peers that may echo whatever they are told, with everything that
anybody could read afterwards.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import logging
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path

from reconciler.demo.openbao import OpenBaoServer
from tests.proofs.hostile.lying import Exchanged, lying
from tests.proofs.leaks.search import found
from tests.support.fleet import Done, Fleet

Speech = Callable[[Exchanged], tuple[int, bytes] | None]
"""What a peer answers instead of the truth, given all that was asked and answered."""


def honest(_: Exchanged) -> None:
    """The truth."""


def refusing(status: int, *, json_body: bool = True) -> Speech:
    """A refusal that tells the client what it sent: headers, body, and what the answer
    would have been.
    """

    def speech(seen: Exchanged) -> tuple[int, bytes]:
        text = seen.echo()
        errors = [text, "check-and-set parameter did not match"]
        document = {"message": text, "error": text, "errors": errors, "data": {"x": text}}
        return status, json.dumps(
            document
        ).encode() if json_body else f"<html>{text}</html>".encode()

    return speech


def babbling(seen: Exchanged) -> tuple[int, bytes]:
    """A success that is made of what was sent, in place of what was asked for."""
    text = seen.echo()
    document = {
        "data": {"keys": text, "data": text, "metadata": text},
        "auth": text,
        "tokenId": text,
    }
    return HTTPStatus.OK, json.dumps(document).encode()


FAILURES: dict[str, tuple[Speech, Speech]] = {
    "the exchange refuses the credential": (refusing(401), honest),
    "the exchange fails, with a page": (refusing(500, json_body=False), honest),
    "the exchange babbles": (babbling, honest),
    "Vault forbids": (honest, refusing(403)),
    "Vault misunderstands": (honest, refusing(400)),
    "Vault babbles": (honest, babbling),
    "Vault is a page": (honest, refusing(502, json_body=False)),
}
"""What exchange and Vault say."""


@dataclasses.dataclass(slots=True)
class Rig:
    """``exchange`` and ``vault`` are what the peers say now, ``asked`` all that they
    were asked, ``logs`` all logs at DEBUG.
    """

    fleet: Fleet
    logs: io.StringIO
    given: dict[str, str]
    exchange: Speech = honest
    vault: Speech = honest
    asked: dict[str, list[Exchanged]] = dataclasses.field(
        default_factory=lambda: {"exchange": [], "vault": []}
    )

    def attempt(self, *arguments: str, text: str = "") -> Done:
        """A command within this process.

        What it printed and logged is searched at the end.
        """
        return self.fleet.attempt(*arguments, text=text)

    def secrets(self) -> dict[str, str]:
        """Every secret that was ever made, given or used, by what it is."""
        state = self.fleet.sandbox.state
        made = {
            f"token's secret or identity {number}": text
            for number, text in enumerate(sorted(state.all_secrets()))
        }
        signed = {
            f"signature {number}": text
            for number, text in enumerate(sorted(state.all_signatures()))
        }
        return {**made, **signed, **self.given}

    def leaks(self, *more: str) -> list[str]:
        """What is found of them in outputs, logs, files, and ``more``."""
        files = [
            path.read_text(errors="replace")
            for path in self.fleet.folder.rglob("*")
            if path.is_file()
        ]
        return found(self.secrets(), [*self.fleet.outputs, *files, self.logs.getvalue(), *more])


@contextlib.contextmanager
def rigged(fleet: Fleet, openbao: OpenBaoServer) -> Iterator[Rig]:
    """The rig for a fleet; at its end nothing may have leaked."""
    logs = io.StringIO()
    rig = Rig(fleet=fleet, logs=logs, given={"Vault's root token": openbao.root_token.reveal()})

    def exchange(seen: Exchanged) -> tuple[int, bytes] | None:
        rig.asked["exchange"].append(seen)
        return rig.exchange(seen)

    def vault(seen: Exchanged) -> tuple[int, bytes] | None:
        rig.asked["vault"].append(seen)
        return rig.vault(seen)

    with (
        lying(fleet.sandbox.url, exchange) as url,
        lying(openbao.address, vault) as address,
        logging_everything(logs),
    ):
        fleet.environ |= {
            "LIMITLESS_API_URL": url,
            "VAULT_ADDR": address,
            "TMPDIR": str(fleet.folder),
        }
        yield rig
        rig.exchange = rig.vault = honest
        assert rig.leaks() == []


@contextlib.contextmanager
def logging_everything(stream: io.StringIO) -> Iterator[None]:
    """Every logger of this process at DEBUG, with messages and arguments."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


def files_below(folder: Path) -> set[str]:
    """The names of the files there."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
