"""``plan`` with nothing to do, 1,000 tokens, against the same calls made by httpx and
hvac alone.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hvac
import yaml

from reconciler.demo.openbao import OpenBaoServer
from reconciler.model import Secret
from reconciler.sandbox import Sandbox, SandboxConfig
from reconciler.state.ledger import Current, Entry, Ledger
from reconciler.state.ledger_text import SCHEMA, to_document
from reconciler.vault.settings import settings_from_environment
from reconciler.vault.store import SecretStore
from tests.bench.processes import program, several
from tests.bench.table import Row

TOKENS = 1_000
TIMES, PLUS_S = 1.3, 0.5
THREADS = (0, 1, 4, 8, 16)
"""Of the yardstick; 0 stands for one SCAN."""

MOUNT, PREFIX, MANAGER = "secret", "limitless/tokens", "bot-0"
YARDSTICK = Path(__file__).with_name("yardstick_plan.py")


Place = tuple[Path, dict[str, str]]
"""A folder with a manifest, and the environment that belongs to it."""


@contextlib.contextmanager
def fleet_in_place(
    tokens: int = TOKENS, *, limits: bool = False, schema: int = SCHEMA
) -> Iterator[Place]:
    """Yield a manifest of so many labels, of which a plan has nothing to do.

    ``limits``: the exchange has them on. ``schema`` is that of the ledger: older builds
    know no newer one.
    """
    with (
        tempfile.TemporaryDirectory() as name,
        Sandbox(config=SandboxConfig(limits=limits)) as sandbox,
        OpenBaoServer() as bao,
    ):
        folder = Path(name)
        environ = {
            "PATH": "/usr/bin:/bin",
            "HOME": name,
            "LIMITLESS_API_URL": sandbox.url,
            "VAULT_ADDR": bao.address,
            "VAULT_TOKEN": bao.root_token.reveal(),
        }
        _furnish(folder, sandbox, environ, tokens, schema)
        yield folder, environ


def measure() -> list[Row]:
    """Return one figure, with its yardstick."""
    with fleet_in_place() as (folder, environ):
        raw_s = min(
            several(
                [sys.executable, str(YARDSTICK), str(TOKENS), str(n)], cwd=folder, environ=environ
            ).wall_s
            for n in THREADS
        )
        cost = several(program("plan", "--detailed-exitcode"), cwd=folder, environ=environ)
    limit_s = TIMES * raw_s + PLUS_S
    return [
        Row(
            f"plan, {TOKENS:,} tokens, nothing to do",
            cost.wall_s,
            limit_s,
            "s",
            f"httpx and hvac alone: {raw_s:.2f} s",
            cost.spread,
            raw_s,
        )
    ]


def without_scan(place: Place) -> Place:
    """The same for a Vault token that may not scan, as where Vault has no such call."""
    folder, environ = place
    client = hvac.Client(url=environ["VAULT_ADDR"], token=environ["VAULT_TOKEN"])
    rules = "".join(
        f'path "{MOUNT}/{kind}/{PREFIX}/*" {{ capabilities = ["read"] }}\n'
        for kind in ("data", "metadata")
    )
    client.sys.create_or_update_policy("single", rules)
    token = client.auth.token.create(policies=["single"])["auth"]["client_token"]
    return folder, {**environ, "VAULT_TOKEN": token}


def _furnish(
    folder: Path, sandbox: Sandbox, environ: dict[str, str], tokens: int, schema: int
) -> None:
    """A fleet that is in place, written straight into sandbox and Vault."""
    entries: dict[str, Entry] = {}
    with SecretStore.connect(settings_from_environment(environ), mount=MOUNT) as store:
        for n in range(tokens):
            label = f"bot-{n}"
            token = sandbox.state.derive_by_hand(label)
            fields = {"token_id": token.token_id, "label": label, "operation_id": "bench"}
            made = store.write(f"{PREFIX}/{label}", fields, secret=Secret(token.secret), cas=0)
            current = Current(
                token_id=token.token_id,
                live_label=label,
                created_at_ms=token.created_at_ms,
                version=made.latest,
                version_created_at_ms=made.created_at_ms,
                verified_at_ms=token.created_at_ms,
            )
            entries[label] = Entry(path=label, current=current)
        ledger = Ledger(
            ledger_id="bench", api_url=sandbox.url, files=("tokens.yaml",), tokens=entries
        )
        text = json.dumps({**to_document(ledger), "schema": schema})
        store.write(f"{PREFIX}/_ledger", {"ledger": text}, cas=0)
    document = {
        "version": 1,
        "manager": MANAGER,
        "vault": {"mount": MOUNT, "prefix": PREFIX},
        "tokens": [{"label": label} for label in entries],
    }
    (folder / "tokens.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
