"""Doctor and the reserve: which rights an apply lacks, and who else reads there."""

from __future__ import annotations

from reconciler.demo.openbao import OpenBaoServer
from tests.e2e.test_doctor import found
from tests.e2e.test_policies import APPLY, Rule, limited
from tests.e2e.test_reserve import BOT
from tests.support.fleet import Fleet


def test_the_right_to_bring_a_document_back(fleet: Fleet, openbao: OpenBaoServer) -> None:
    """Asked for where the manifest has a reserve, and named where it is lacking."""
    rules = [rule for rule in APPLY if "/undelete/" not in rule.path]
    environ = limited(fleet, openbao, rules)
    fleet.begin(BOT)
    assert "vault.rights" not in found(fleet, 0, **environ)
    fleet.begin({**BOT, "reserve": 1})
    _, message, _ = found(fleet, 1, **environ)["vault.rights"]
    path = f"{fleet.mount}/undelete/{fleet.prefix}/_reserve/*"
    assert message == f"the token lacks update on {path}"
    assert "vault.rights" not in found(fleet, 0, **limited(fleet, openbao, APPLY))


def test_a_policy_that_reads_the_reserve_is_named(fleet: Fleet, openbao: OpenBaoServer) -> None:
    """A consumer's that is too broad, by its name, and no other one: neither one of
    the program's, nor one that is closed there. Without a reserve nothing is said.
    """
    place = f"{fleet.mount}/data/{fleet.prefix}"
    texts = {
        f"{fleet.mount}-broad": f'path "{place}/*" {{ capabilities = ["read"] }}',
        f"{fleet.mount}-closed": f'path "{place}/*" {{ capabilities = ["read"] }}\n'
        f'path "{place}/_reserve/*" {{ capabilities = ["deny"] }}',
        f"{fleet.mount}-narrow": f'path "{place}/prod/bot" {{ capabilities = ["read"] }}',
    }
    with fleet.operator() as client:
        for name, text in texts.items():
            client.sys.create_or_update_policy(name, text)
    own = limited(fleet, openbao, APPLY)
    fleet.begin(BOT)
    assert "vault.reserve" not in found(fleet, 0)
    fleet.begin({**BOT, "reserve": 1})
    status, message, action = found(fleet, 0)["vault.reserve"]
    assert (status, message) == (
        "warn",
        f"by its text, {fleet.mount}-broad reads the successors at {place}/_reserve/*",
    )
    assert "reserve-closed" in action
    status, message, action = found(fleet, 0, **own)["vault.reserve"]
    assert (status, "may not read policies" in message) == ("warn", True)
    assert f"{place}/*" in action
    looks = (
        *APPLY,
        Rule("sys/policies/acl", ("list",)),
        Rule("sys/policies/acl/*", ("read",)),
    )
    with fleet.operator() as client:
        client.sys.delete_policy(f"{fleet.mount}-broad")
    assert "vault.reserve" not in found(fleet, 0, **limited(fleet, openbao, looks))
