"""What ``--help`` of each command ends with: its environment variables, and an example.

The whole environment is in docs/install.md. Here stands what a command can't do
without, and what people ask for most.
"""

from __future__ import annotations

from typing import NamedTuple

Rows = tuple[tuple[str, str], ...]

_EXCHANGE: Rows = (("LIMITLESS_API_URL", "The exchange, if it is not the public one."),)
_VAULT: Rows = (
    ("VAULT_ADDR", "Vault or OpenBao (also BAO_ADDR)."),
    ("VAULT_TOKEN", "Its token, else ~/.vault-token."),
    ("RECONCILER_VAULT_AUTH", "Another login: approle, jwt, kubernetes or none."),
)
_SIGNER: Rows = (
    (
        "LIMITLESS_TOKEN_ID, LIMITLESS_TOKEN_SECRET",
        "Sign with this pair, not with the manager's.",
    ),
)
_IDENTITY: Rows = (("LIMITLESS_IDENTITY_TOKEN", "A person's identity token, to derive."),)
_PINS: Rows = (
    ("RECONCILER_VAULT_PREFIX", "Refuse a manifest of another MOUNT/PREFIX."),
    ("RECONCILER_ALLOWED_SCOPES", "Refuse a manifest with other scopes."),
)
_FLEET: Rows = (
    *_EXCHANGE,
    ("RECONCILER_VAULT_PREFIX", "The MOUNT/PREFIX, if the manifest can't be asked."),
)
_GITHUB: Rows = (
    ("GITHUB_TOKEN", "What a job of GitHub Actions calls GitHub's API with."),
    ("RECONCILER_COMMENT_AUTHOR", "Who posts, if it is not github-actions[bot]."),
)
_SCREEN: Rows = (("NO_COLOR, FORCE_COLOR", "Without or with colour, whatever the output is."),)

_READS = (*_EXCHANGE, *_VAULT, *_SIGNER, *_PINS)
_WRITES = (*_EXCHANGE, *_VAULT, *_IDENTITY, *_SIGNER, *_PINS)


class Explained(NamedTuple):
    """The variables of a command with their meanings, and a command line."""

    variables: Rows
    example: str


EXPLAINED: dict[str, Explained] = {
    "init": Explained(
        (
            *_EXCHANGE,
            (_SIGNER[0][0], "Any live token: with --from-live it signs the list."),
            (_PINS[0][0], "Where the secrets are to lie: MOUNT/PREFIX."),
        ),
        "reconciler init --from-live --adopt-out adopt.yaml",
    ),
    "validate": Explained(_PINS, "reconciler validate tokens.yaml"),
    "plan": Explained((*_READS, *_GITHUB, *_SCREEN), "reconciler plan --out plan.json"),
    "show": Explained(_SCREEN, "reconciler show plan.json --format markdown"),
    "apply": Explained(_WRITES, "reconciler apply --plan plan.json"),
    "rotate": Explained(_WRITES, "reconciler rotate --target 'bots/*' --compromised"),
    "rollback": Explained(_READS, "reconciler rollback --target hedging-bot"),
    "bootstrap": Explained(_WRITES, "reconciler bootstrap --identity-file identity.txt"),
    "status": Explained((*_READS, *_SCREEN), "reconciler status --target 'bots/*'"),
    "history": Explained((*_VAULT, *_PINS), "reconciler history --label hedging-bot --since 30d"),
    "doctor": Explained(_WRITES, "reconciler doctor --format json"),
    "verify": Explained(_READS, "reconciler verify"),
    "adopt": Explained(_READS, "reconciler adopt --from adopt.yaml --dry-run"),
    "forget": Explained(_READS, "reconciler forget --token-id b7f0271d"),
    "release": Explained(_READS, "reconciler release --label hedging-bot"),
    "move": Explained(_READS, "reconciler move --from secret/limitless/tokens"),
    "observe": Explained(_READS, "reconciler observe --out snapshot.json"),
    "identity push": Explained(
        (*_EXCHANGE, *_VAULT, *_IDENTITY), "reconciler identity push ci/identity --ttl 600"
    ),
    "github snapshot": Explained(
        (*_FLEET, *_GITHUB), "reconciler github snapshot --out snapshot.json"
    ),
    "github failure": Explained(
        (*_FLEET, *_GITHUB), "reconciler github failure --name tokens-apply"
    ),
    "sandbox": Explained((), "reconciler sandbox --port 8080"),
    "demo": Explained((), "reconciler demo --fast"),
}
"""Each command, by how it is called after the program's name."""
