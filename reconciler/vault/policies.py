"""Which policies of Vault let their tokens read at a path, as far as their texts tell.

Vault answers what a token may do, and of a policy only its text. That is read here for
a hint to a person; nothing is decided by it.

    in a policy                         then
    ----------------------------------  ----------------------------------------------
    several rules match the path        the one that Vault takes decides: the later
                                        its first wildcard, then without ``*`` at its
                                        end, with fewer ``+``, the longer one
    a rule in a form that is not known  it counts as none
    a path with a template              it counts as none: it is some entity's own

A policy that may also write what marks its owner is the owner's, and is not named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http import HTTPStatus

from reconciler.vault.http import Answer, Reply, VaultClient

POLICIES_MAX = 1000
"""More than so many are not looked at: each is a call."""

_AT = "sys/policies/acl"
_STRING_OR_COMMENT = re.compile(r'("(?:[^"\\\n]|\\.)*")|#[^\n]*|//[^\n]*|/\*.*?\*/', re.DOTALL)
_RULE = re.compile(r'\bpath\s+"([^"]+)"\s*\{')
_CAPABILITIES = re.compile(r"\bcapabilities\s*=\s*\[([^\]]*)\]")
_FORMER = re.compile(r'\bpolicy\s*=\s*"(\w+)"')
_FORMER_READS = {"read": frozenset({"read"}), "write": frozenset({"read", "update"})}

Rules = dict[str, frozenset[str]]
"""The capabilities of a policy, by the path of the rule."""


def readers(
    client: VaultClient, path: str, *, owned_by: str, besides: frozenset[str]
) -> tuple[str, ...] | None:
    """Return the names of the policies that read ``path``; None where nobody may look.

    Those that may write ``owned_by`` are left out, and those ``besides``. The paths are
    absolute, as in a policy.
    """
    data = _data_of(client.list(_AT)) or {}
    names = data.get("keys")
    if not isinstance(names, list) or len(names) > POLICIES_MAX:
        return None
    found = []
    for name in sorted(str(name) for name in names if name not in {"root", *besides}):
        policy = (_data_of(client.get(f"{_AT}/{name}")) or {}).get("policy")
        if not isinstance(policy, str):
            return None
        rules = rules_in(policy)
        owns = "update" in granted(rules, owned_by)
        if "read" in granted(rules, path) and not owns:
            found.append(name)
    return tuple(found)


def _data_of(answer: Answer) -> dict[str, object] | None:
    return answer.data if isinstance(answer, Reply) and answer.status == HTTPStatus.OK else None


def rules_in(policy: str) -> Rules:
    """Return the rules of a policy in HCL or JSON."""
    found: Rules = {}
    for path, capabilities in _of_json(policy) or _of_hcl(policy):
        found[path] = found.get(path, frozenset()) | capabilities
    return found


def _of_json(policy: str) -> list[tuple[str, frozenset[str]]]:
    try:
        document = json.loads(policy)
    except ValueError:
        return []
    paths = document.get("path") if isinstance(document, dict) else None
    if not isinstance(paths, dict):
        return []
    rules = ((path, rule) for path, rule in paths.items() if isinstance(rule, dict))
    return [(path, frozenset(map(str, rule.get("capabilities") or ()))) for path, rule in rules]


def _of_hcl(policy: str) -> Iterator[tuple[str, frozenset[str]]]:
    text = _STRING_OR_COMMENT.sub(lambda found: found[1] or " ", policy)
    begins = [*_RULE.finditer(text)]
    ends = [*(rule.start() for rule in begins), len(text)]
    for rule, end in zip(begins, ends[1:], strict=True):
        body = text[rule.end() : end]
        listed, former = _CAPABILITIES.search(body), _FORMER.search(body)
        if listed is not None:
            yield rule[1], frozenset(re.findall(r'"(\w+)"', listed[1]))
        elif former is not None:
            yield rule[1], _FORMER_READS.get(former[1], frozenset())


def granted(rules: Rules, path: str) -> frozenset[str]:
    """Return what the rule grants that Vault takes for a path, or nothing."""
    matching = [rule for rule in rules if _pattern(rule).fullmatch(path)]
    if not matching:
        return frozenset()
    capabilities = rules[max(matching, key=_weight)]
    return frozenset() if "deny" in capabilities else capabilities


def _pattern(rule: str) -> re.Pattern[str]:
    ends = rule.endswith("*")
    segments = rule.removesuffix("*").lstrip("/").split("/")
    parts = ("[^/]+" if part == "+" else re.escape(part) for part in segments)
    return re.compile("/".join(parts) + (".*" if ends else ""))


def _weight(rule: str) -> tuple[int, bool, int, int, str]:
    wild = [at for at in (rule.find("+"), rule.find("*")) if at >= 0]
    first = min(wild, default=len(rule) + 1)
    return first, not rule.endswith("*"), -rule.count("+"), len(rule), rule
