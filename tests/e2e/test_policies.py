"""The policies of docs/install.md are enough, are least, and where one of the first two
falls short the error names path and capability. The third makes nothing but haste.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from reconciler.demo.openbao import OpenBaoServer
from reconciler.model import VersionState
from reconciler.run.reads import SCAN_FROM
from reconciler.sandbox import Fault, FaultKind, Operation
from reconciler.vault import SecretStore, settings_from_environment
from tests.support.fleet import ROOT, Done, Fleet
from tests.support.loopback import LoopbackServer, Reply, Request, passed_on
from tests.support.openbao import operator

INSTALL = ROOT / "docs" / "install.md"
BOT = {"label": "bot", "path": "prod/bot"}
_BLOCK = re.compile(r"```hcl\n# policy: (\S+)\n(.*?)```", re.DOTALL)
_RULE = re.compile(r'path "([^"]+)" \{\s*capabilities = \[([^\]]*)\]\s*\}')


class Rule(NamedTuple):
    """One rule of a policy."""

    path: str
    capabilities: tuple[str, ...]

    def __str__(self) -> str:
        listed = ", ".join(f'"{one}"' for one in self.capabilities)
        return f'path "{self.path}" {{ capabilities = [{listed}] }}'


def policies() -> dict[str, tuple[Rule, ...]]:
    """The page's policies by name."""
    text = INSTALL.read_text(encoding="utf-8")
    return {name: rules_in(block) for name, block in _BLOCK.findall(text)}


def rules_in(text: str) -> tuple[Rule, ...]:
    """The rules of a policy in HCL."""
    return tuple(
        Rule(path, tuple(re.findall(r'"(\w+)"', listed))) for path, listed in _RULE.findall(text)
    )


def test_the_page_has_all_of_them() -> None:
    """The four blocks are there and were read whole; no rule can destroy anything."""
    found = policies()
    assert found.keys() == {
        "reconciler-apply",
        "reconciler-plan",
        "reconciler-scan",
        "reserve-closed",
    }
    text = INSTALL.read_text(encoding="utf-8")
    assert sum(len(rules) for rules in found.values()) == len(
        re.findall(r'^path "', text, re.MULTILINE)
    )
    granted = {
        capability for rules in found.values() for rule in rules for capability in rule.capabilities
    }
    assert granted <= {"create", "read", "update", "list", "scan", "deny"}
    assert not any("destroy" in rule.path for rules in found.values() for rule in rules)


def limited(
    fleet: Fleet, openbao: OpenBaoServer, rules: Sequence[Rule], *, bare: bool = False
) -> dict[str, str | None]:
    """The environment with a Vault token that may do only this (``bare``: not even what
    Vault's default policy allows).
    """
    name = f"policy-{secrets.token_hex(6)}"
    text = "\n".join(map(str, rules))
    for kind in ("data", "metadata", "delete", "undelete", "detailed-metadata"):
        text = text.replace(
            f"secret/{kind}/limitless/tokens", f"{fleet.mount}/{kind}/{fleet.prefix}"
        )
    with operator(openbao) as client:
        client.sys.create_or_update_policy(name, text)
        token = client.auth.token.create(policies=[name], ttl="10m", no_default_policy=bare)[
            "auth"
        ]["client_token"]
    return {"VAULT_TOKEN": str(token)}


def test_the_whole_story_with_the_apply_policy(fleet: Fleet, openbao: OpenBaoServer) -> None:
    """Everything that the program can do, with nothing but the page's policy."""
    fleet.environ |= {
        k: v
        for k, v in limited(fleet, openbao, policies()["reconciler-apply"], bare=True).items()
        if v
    }
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(BOT, {"label": "other"})
    fleet.must("status")
    fleet.must("observe", "--out", "observed.json")
    fleet.use("prod/bot")
    fleet.later(minutes=1)
    fleet.must("rotate", "--target", "bot", "--yes")
    fleet.must("verify")
    fleet.must("rollback", "--target", "bot", "--yes")
    fleet.must("rotate", "--target", "reconciler", "--compromised", "--yes")
    with fleet.store() as store:
        store.write(f"{fleet.prefix}/other", {"by": "hand"}, cas=1)
    fleet.write({**BOT, "path": "prod/elsewhere"}, {"label": "other"}, {"label": "adopted"})
    token = fleet.sandbox.state.derive_by_hand("adopted")
    fleet.must("adopt", "--label", "adopted", "--token-id", token.token_id, text=token.secret)
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    fleet.later(hours=3)
    fleet.use("prod/elsewhere")
    fleet.must("apply", "--yes")
    assert fleet.secret("prod/bot").state is VersionState.DELETED
    fleet.sandbox.faults.add(Fault(kind=FaultKind.LOST_REPLY, operation=Operation.DERIVE))
    fleet.attempt("rotate", "--target", "other", "--yes").refusal(5)
    fleet.write({**BOT, "path": "prod/elsewhere"})
    at_once = ("--revoke-in-use", "--revoke-now", "other", "--revoke-now", "adopted")
    fleet.must("apply", "--yes", *at_once)
    fleet.assert_whole()
    fleet.assert_quiet()
    assert {token.label for token in fleet.sandbox.state.live()} == {"reconciler", "bot"}


def test_the_audit_trail_can_be_made_longer_first(fleet: Fleet, openbao: OpenBaoServer) -> None:
    """The page's advice, followed before the first bootstrap, leaves metadata without
    any version: that is no lost ledger.
    """
    with operator(openbao) as client:
        client.secrets.kv.v2.update_metadata(
            f"{fleet.prefix}/_ledger", max_versions=200, mount_point=fleet.mount
        )
    fleet.environ |= {
        k: v for k, v in limited(fleet, openbao, policies()["reconciler-apply"]).items() if v
    }
    fleet.begin(BOT)
    fleet.assert_whole()


def test_the_plan_policy_plans_and_cannot_apply(fleet: Fleet, openbao: OpenBaoServer) -> None:
    """plan, status and observe work; whatever writes fails with one sentence before
    anything is derived.
    """
    fleet.begin(BOT, {"label": "other"})
    fleet.write({**BOT, "scopes": ["withdrawal"]}, {"label": "other"}, {"label": "new"})
    environ = limited(fleet, openbao, policies()["reconciler-plan"])
    with fleet.untouched():
        assert "1 to derive" in fleet.must("plan", "--out", "plan.json", environ=environ).out
        fleet.must("status", environ=environ)
        fleet.must("observe", "--out", "observed.json", environ=environ)
        for command in (("apply", "--yes"), ("rotate", "--target", "bot", "--yes")):
            said = fleet.refused(1, *command, environ=environ)
            assert f'its policy needs "update" on {fleet.mount}/data/{fleet.prefix}/_ledger' in said
        done = fleet.attempt("verify", environ=environ)
        assert done.refusal(1)
        assert f'its policy needs "read" on {fleet.mount}/data/{fleet.prefix}/prod/bot' in done.out
    with fleet.store() as store:
        store.write(f"{fleet.prefix}/other", {"by": "hand"}, cas=1)
    with fleet.untouched():
        assert "this role may not read it" in fleet.must("plan", environ=environ).out
        assert "policy" in fleet.refused(1, "apply", "--yes", environ=environ)
        assert "1 to restore" in fleet.must("plan").out
    fleet.must("apply", "--yes")
    fleet.assert_whole()


def test_with_scan_a_plan_is_one_call_and_without_it_the_same(
    fleet: Fleet, openbao: OpenBaoServer
) -> None:
    """The third policy changes how many calls are made, not what comes of them."""
    fleet.begin(*({"label": f"bot-{number}"} for number in range(SCAN_FROM)))
    singly = fleet.must("plan", environ=limited(fleet, openbao, PLAN)).out
    paths: list[str] = []

    def passing(request: Request) -> Reply | None:
        paths.append(request.path)
        return passed_on(request, openbao.address)

    with LoopbackServer(passing) as proxy:
        environ = limited(fleet, openbao, (*PLAN, *policies()["reconciler-scan"]))
        said = fleet.must("plan", environ={**environ, "VAULT_ADDR": proxy.url}).out
    assert said == singly
    assert sum("/detailed-metadata/" in path for path in paths) == 1
    assert [path for path in paths if f"/metadata/{fleet.prefix}/" in path] == [
        f"/v1/{fleet.mount}/metadata/{fleet.prefix}/_ledger"
    ]


SHOWN = "shown"


@pytest.mark.parametrize(
    ("cut", "shown"),
    [
        pytest.param("pagination_limit = 3", None, id="pages"),
        pytest.param(
            f'list_scan_response_keys_filter_path = "{{mount}}/{SHOWN}/{{{{{{{{ .key }}}}}}}}"',
            ("bot-1", "bot-4", "_ledger"),
            id="a filter that shows three",
        ),
        pytest.param(
            f'list_scan_response_keys_filter_path = "{{mount}}/{SHOWN}/{{{{{{{{ .key }}}}}}}}"',
            (),
            id="a filter that shows none",
        ),
    ],
)
def test_a_scan_that_is_cut_hides_nothing(
    fleet: Fleet, openbao: OpenBaoServer, cut: str, shown: tuple[str, ...] | None
) -> None:
    """A policy that cuts the reply of a SCAN does so without a word. What is expected
    and not in it is read singly: the plan is the same, an apply writes nothing, and no
    secret counts as lost.
    """
    labels = [f"bot-{number}" for number in range(SCAN_FROM)]
    fleet.begin(*({"label": label} for label in labels))
    whole = fleet.must("plan").out
    rules = "".join(f"{rule}\n" for rule in policies()["reconciler-apply"])
    rules = rules.replace("secret/", f"{fleet.mount}/").replace("limitless/tokens", fleet.prefix)
    scanned = f"{fleet.mount}/detailed-metadata/{fleet.prefix}/*"
    rules += (
        f'path "{scanned}" {{ capabilities = ["list", "scan"]\n{cut.format(mount=fleet.mount)} }}\n'
    )
    for name in shown or ():
        rules += f'path "{fleet.mount}/{SHOWN}/{name}" {{ capabilities = ["read"] }}\n'
    name = secrets.token_hex(6)
    with fleet.operator() as client:
        client.sys.create_or_update_policy(name, rules)
        token = client.auth.token.create(policies=[name], ttl="10m")["auth"]["client_token"]
    with fleet.store() as root:
        settings = settings_from_environment({**fleet.environ, "VAULT_TOKEN": token})
        with SecretStore.connect(settings, mount=fleet.mount) as store:
            found = store.scan_metas(fleet.prefix, labels)
        assert shown is None or found == {
            one: root.read_meta(f"{fleet.prefix}/{one}") for one in labels if one in shown
        }
    with fleet.untouched():
        assert fleet.must("plan", environ={"VAULT_TOKEN": token}).out == whole
        fleet.must("apply", "--yes", environ={"VAULT_TOKEN": token})


def test_a_plan_of_the_plan_role_can_be_applied(fleet: Fleet, openbao: OpenBaoServer) -> None:
    """What the plan role saved, the apply role applies: where every secret is in place,
    both see the same.
    """
    fleet.begin(BOT)
    fleet.write({**BOT, "scopes": ["withdrawal"]}, {"label": "new"})
    fleet.must(
        "plan", "--out", "plan.json", environ=limited(fleet, openbao, policies()["reconciler-plan"])
    )
    fleet.must(
        "apply",
        "--plan",
        "plan.json",
        environ=limited(fleet, openbao, policies()["reconciler-apply"]),
    )
    fleet.assert_whole()


def without(rules: Sequence[Rule], number: int, capability: str) -> list[Rule]:
    """The policy short of one capability; a rule without any is left out."""
    rule = rules[number]
    rest = tuple(c for c in rule.capabilities if c != capability)
    return [
        r
        for r in (*rules[:number], rule._replace(capabilities=rest), *rules[number + 1 :])
        if r.capabilities
    ]


APPLY, PLAN = policies()["reconciler-apply"], policies()["reconciler-plan"]


def lacking(rules: Sequence[Rule]) -> list[tuple[int, str]]:
    """Each capability of each rule."""
    return [
        (number, capability)
        for number, rule in enumerate(rules)
        for capability in rule.capabilities
    ]


def names(said: str, fleet: Fleet, rule: Rule, capability: str) -> bool:
    """Tell whether a sentence says that this rule's path lacks this capability."""
    place = re.escape(
        rule.path.rstrip("*")
        .replace("secret/", f"{fleet.mount}/")
        .replace("limitless/tokens", fleet.prefix)
    )
    return re.search(rf'"{capability}"[^:;]* on {place}', said) is not None


@pytest.mark.parametrize(("number", "capability"), lacking(APPLY), ids=str)
def test_each_capability_is_needed(
    fleet: Fleet, openbao: OpenBaoServer, number: int, capability: str
) -> None:
    """Without it something fails, naming the capability and the path; with it, the next
    run makes everything whole.
    """
    environ = limited(fleet, openbao, without(APPLY, number, capability))
    first = first_failure(fleet, openbao, environ)
    said = first.out + first.err
    assert first.code in {1, 5}, first
    assert names(said, fleet, APPLY[number], capability), said
    fleet.later(minutes=2)
    fleet.environ |= {k: v for k, v in limited(fleet, openbao, APPLY).items() if v}
    if capability != "list":
        fleet.write(BOT)
        fleet.must("bootstrap")
        fleet.must("apply", "--yes", "--revoke-in-use")
        fleet.assert_whole()
        fleet.assert_quiet()


@pytest.mark.parametrize(("number", "capability"), lacking(PLAN), ids=str)
def test_each_capability_of_the_plan_policy_is_needed(
    fleet: Fleet, openbao: OpenBaoServer, number: int, capability: str
) -> None:
    """Without it a plan fails, or the loss of the ledger could not be told from an
    empty prefix; each names what is missing.
    """
    fleet.begin(BOT)
    environ = limited(fleet, openbao, without(PLAN, number, capability))
    if capability == "list":
        fleet.must("plan", environ=environ)
        lose_ledger(fleet, openbao)
    said = fleet.refused(1, "plan", environ=environ)
    assert names(said, fleet, PLAN[number], capability), said


def lose_ledger(fleet: Fleet, openbao: OpenBaoServer) -> None:
    """Only listing finds the secrets that it was about."""
    with operator(openbao) as client:
        client.secrets.kv.v2.delete_metadata_and_all_versions(
            f"{fleet.prefix}/_ledger", mount_point=fleet.mount
        )


def first_failure(fleet: Fleet, openbao: OpenBaoServer, environ: dict[str, str | None]) -> Done:
    """The first command of a short story that fails."""
    fleet.defaults = {"overlap": "0s"}
    fleet.write(BOT, {"label": "leaving"})
    story: list[tuple[str, ...]] = [
        ("bootstrap",),
        ("apply", "--yes"),
        ("rotate", "--target", "bot", "--yes"),
    ]
    for command in story:
        done = fleet.attempt(*command, environ=environ)
        if done.code:
            return done
    fleet.write({**BOT, "reserve": 1})
    done = fleet.attempt("apply", "--yes", environ=environ)
    if done.code:
        return done
    (kept,) = fleet.ledger().tokens["bot"].reserve
    with fleet.store() as store:
        store.delete_version(f"{fleet.prefix}/{kept.path}", 1)
    done = fleet.attempt("rotate", "--target", "bot", "--yes", environ=environ)
    if done.code:
        return done
    lose_ledger(fleet, openbao)
    return fleet.attempt("bootstrap", environ=environ)


def test_a_move_with_the_apply_policy_at_both_places(fleet: Fleet, openbao: OpenBaoServer) -> None:
    """It takes no more, and less is refused by name before anything has moved: rights
    to read the new place, then to write there, then at the old one.
    """
    rules, old = policies()["reconciler-apply"], fleet.prefix
    fleet.defaults = {"overlap": "1h"}
    fleet.begin(BOT)
    fleet.use("prod/bot")
    place = f"{fleet.mount}/{{}}/{old}/*"
    here = [Rule(place.format(rule.path.split("/")[1]), rule.capabilities) for rule in rules]
    command = ("move", "--from", f"{fleet.mount}/{old}", "--yes")
    fleet.prefix = f"{old}-new"
    fleet.write(BOT)
    reads = [Rule(rule.path, ("read", "list")) for rule in rules if "delete" not in rule.path]
    for granted, needs in ((here, '"read"'), ((*here, *reads), '"create" and "update"')):
        said = fleet.attempt(*command, environ=limited(fleet, openbao, granted, bare=True))
        assert needs in said.refusal(1)
        assert fleet.prefix in said.err
    both = limited(fleet, openbao, (*here, *rules), bare=True)
    fleet.must(*command, environ=both)
    fleet.must("rotate", "--target", "bot", "--compromised", "--yes", environ=both)
    fleet.assert_whole()
    fleet.assert_quiet()
    only_here = limited(fleet, openbao, rules, bare=True)
    fleet.attempt("rotate", "--target", "reconciler", "--compromised", "--yes", environ=only_here)
    assert old in fleet.ends[-1].out + fleet.ends[-1].err
    assert fleet.ends[-1].code == 5
    fleet.must("apply", "--yes", environ=both)
    fleet.assert_whole()
    fleet.assert_quiet()
