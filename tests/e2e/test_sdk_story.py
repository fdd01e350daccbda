"""What the program stores is what the exchange's own SDK needs: every stored secret
signs, given only what lies in Vault.

The SDK lives in an environment of its own (see tests/adapters/sdk), because it brings
forty packages.
"""

from __future__ import annotations

from tests.adapters.sdk.test_official_sdk import told
from tests.support.fleet import Fleet, texts_of


def fields_of(fleet: Fleet, path: str) -> dict[str, str]:
    """A secret as a consumer reads it."""
    content = fleet.secret(path)
    assert content.secret is not None, path
    return {**texts_of(content), "secret": content.secret.reveal()}


def test_the_sdk_signs_with_every_stored_secret(fleet: Fleet) -> None:
    """After bootstrap, apply, rotations, a move and an adoption, each path holds a pair
    that the SDK lists with.
    """
    fleet.defaults = {"overlap": "1h"}
    specs: list[dict[str, object]] = [
        {"label": "bot", "path": "prod/bot"},
        {"label": "trader", "scopes": ["trading", "delegated_signing"]},
        {"label": "treasury", "scopes": ["withdrawal"]},
    ]
    fleet.begin(*specs)
    old = fields_of(fleet, "prod/bot")
    fleet.must("rotate", "--target", "trader", "--yes")
    fleet.must("rotate", "--target", "treasury", "--compromised", "--yes")
    fleet.write({"label": "bot", "path": "prod/elsewhere"}, *specs[1:], {"label": "adopted"})
    token = fleet.sandbox.state.derive_by_hand("adopted")
    fleet.must("adopt", "--label", "adopted", "--token-id", token.token_id, text=token.secret)
    fleet.must("apply", "--yes")
    paths = ("reconciler", "prod/elsewhere", "prod/bot", "trader", "treasury", "adopted")
    everything = sorted(one.token_id for one in fleet.sandbox.state.live())
    assert len(everything) == len(paths) + 1, (
        "the trader's predecessor lives as well, in an older version"
    )
    assert fields_of(fleet, "prod/bot") == old, (
        "a consumer of the old path reads the old token until it has moved"
    )
    assert told("list_with.py", [fields_of(fleet, path) for path in paths]) == [everything] * len(
        paths
    )
