"""What the text of a policy tells about a path: as Vault reads it."""

from __future__ import annotations

import json

import pytest

from reconciler.vault.policies import granted, rules_in

RESERVE = "secret/data/limitless/tokens/_reserve/x"


@pytest.mark.parametrize(
    ("policy", "reads"),
    [
        ('path "secret/data/limitless/tokens/*" { capabilities = ["read"] }', True),
        ('path "secret/data/limitless/tokens/prod/*" { capabilities = ["read"] }', False),
        ('path "secret/data/limitless/tokens/_reserve/x" { capabilities = ["list"] }', False),
        ('path "secret/*" {\n  capabilities = ["list", "read"]\n}', True),
        ('path "secret/data/limitless/tok*" { capabilities = ["read"] }', True),
        ('path "secret/data/+/tokens/*" { capabilities = ["read"] }', True),
        ('path "secret/data/+/*" { capabilities = ["read"] }', True),
        ('path "secret/data/+" { capabilities = ["read"] }', False),
        ('path "secret/data/{{identity.entity.name}}/*" { capabilities = ["read"] }', False),
        ('path "*" { policy = "read" }', True),
        ('path "*" { policy = "deny" }', False),
        ('# path "secret/*" { capabilities = ["read"] }', False),
        ('/* path "secret/*" {\ncapabilities = ["read"] } */', False),
        ('path "secret/*" { capabilities = ["list"] # "read"\n}', False),
        ('path "secret/*" { allowed_parameters = { "*" = [] }\n capabilities = ["read"] }', True),
        (json.dumps({"path": {"secret/data/*": {"capabilities": ["read"]}}}), True),
        (json.dumps({"path": {"secret/data/*": {"capabilities": []}}}), False),
        ("nothing of the kind", False),
        ("[]", False),
    ],
)
def test_what_a_rule_reads(policy: str, *, reads: bool) -> None:
    """Whether a policy's text lets its tokens read a reserve."""
    assert ("read" in granted(rules_in(policy), RESERVE)) is reads


@pytest.mark.parametrize(
    "closing",
    [
        'path "secret/data/limitless/tokens/_reserve/*" { capabilities = ["deny"] }',
        'path "secret/data/limitless/tokens/_reserve/+" { capabilities = ["deny", "read"] }',
        'path "secret/data/limitless/tokens/_reserve/x" { capabilities = [] }',
    ],
)
def test_the_longer_rule_decides(closing: str) -> None:
    """A rule on the folder closes what a broader one opens, in whichever order."""
    broad = 'path "secret/data/limitless/tokens/*" { capabilities = ["read"] }'
    assert "read" in granted(rules_in(broad), RESERVE)
    for policy in (f"{broad}\n{closing}", f"{closing}\n{broad}"):
        assert granted(rules_in(policy), RESERVE) == frozenset()


def test_a_wildcard_that_comes_early_weighs_less() -> None:
    """So a denial with + does not close what a plain prefix opens."""
    policy = (
        'path "secret/data/limitless/tokens/*" { capabilities = ["read"] }\n'
        'path "secret/+/limitless/tokens/_reserve/*" { capabilities = ["deny"] }'
    )
    assert granted(rules_in(policy), RESERVE) == {"read"}
