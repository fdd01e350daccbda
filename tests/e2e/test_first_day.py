"""The first day with tokens that people made by hand: from nothing to managed."""

from __future__ import annotations

import pytest

from reconciler.manifest import load_manifest
from reconciler.sandbox import Token
from tests.support.fleet import Environ, Fleet


def pair(token: Token) -> Environ:
    """The environment of somebody who has a live token."""
    return {"LIMITLESS_TOKEN_ID": token.token_id, "LIMITLESS_TOKEN_SECRET": token.secret}


# --- init ---


def test_init_writes_a_valid_manifest_and_overwrites_nothing(fleet: Fleet) -> None:
    """Without any variable; a link that leads nowhere is a file, too."""
    nothing: Environ = dict.fromkeys(fleet.environ)
    fleet.must("init", environ=nothing)
    fleet.must("validate")
    before = (fleet.folder / "tokens.yaml").read_text()
    assert "is there already" in fleet.refused(1, "init")
    (fleet.folder / "link.yaml").symlink_to("nowhere")
    assert "is there already" in fleet.refused(1, "init", "--out", "link.yaml")
    assert (fleet.folder / "tokens.yaml").read_text() == before
    assert fleet.must("init", "--out", "-", environ=nothing).out == before
    assert "--from-live" in fleet.refused(64, "init", "--out", "x", "--adopt-out", "y")
    assert "No such file" in fleet.refused(1, "init", "--out", "missing/tokens.yaml")


def test_init_from_live_needs_a_pair_that_signs(fleet: Fleet) -> None:
    """Nothing is written where there is no list, or where one of two files is there."""
    mine = fleet.sandbox.state.derive_by_hand("mine")
    files = ("init", "--from-live", "--adopt-out", "adopt.yaml")
    assert "LIMITLESS_TOKEN_ID" in fleet.refused(4, *files)
    wrong = {**pair(mine), "LIMITLESS_TOKEN_SECRET": "bm90IGl0"}
    assert "refused the signature" in fleet.refused(1, *files, environ=wrong)
    assert "same file" in fleet.refused(64, *files, "--out", "./adopt.yaml", environ=pair(mine))
    (fleet.folder / "adopt.yaml").write_text("mine\n")
    assert "adopt.yaml is there" in fleet.refused(1, *files, environ=pair(mine))
    assert [path.name for path in fleet.folder.iterdir()] == ["adopt.yaml"]


@pytest.mark.parametrize("out", ["tokens.yaml", "-"])
def test_init_from_live_needs_no_vault(fleet: Fleet, out: str) -> None:
    """And changes nothing; the profile is the signer's."""
    hand = fleet.sandbox.state.derive_by_hand
    mine = hand("Ops Laptop (desk 3)", scopes=("trading", "withdrawal"))
    environ = {**pair(mine), "VAULT_ADDR": None, "VAULT_TOKEN": None}
    with fleet.untouched():
        done = fleet.must("init", "--from-live", "--out", out, environ=environ)
    if out == "-":
        (fleet.folder / "tokens.yaml").write_text(done.out)
    manifest = load_manifest([fleet.folder / "tokens.yaml"]).manifest
    assert [(spec.label, spec.scopes, spec.path) for spec in manifest.tokens] == [
        ("reconciler", ("trading",), "reconciler"),
        ("Ops Laptop (desk 3)", ("trading", "withdrawal"), "ops-laptop-desk-3"),
    ]
