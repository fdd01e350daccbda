"""What lies below a path, in as many replies as that takes.

The metadata of many paths come in one: OpenBao's SCAN of ``detailed-metadata``.

Rules this module keeps:

1. What it finds is a hint of what there is, never of what there is not: a policy's
   ``pagination_limit`` and filters cut such a reply without a word. Whoever asks reads
   the rest singly.
2. No failure here is an error. HashiCorp Vault has no such call, a policy may not grant
   it, a proxy may not let it pass: then nothing is found, and the single reads say what
   is wrong, if anything is.
3. Only what was asked for is kept. Pages are few, and a page without news is the last.

OpenBao 2.7 answers a SCAN with everything in one reply, whatever ``after`` says, and
refuses a ``limit`` above the policy's own with a 403: so none is sent. A LIST is paged
by ``after``, and cut by a policy's ``pagination_limit`` without a word as well;
HashiCorp Vault takes no notice of ``after``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import Any

from reconciler.model import SecretMeta
from reconciler.vault.contents import meta_in
from reconciler.vault.http import Reply

PAGES_MAX = 20
WORTH_A_PAGE = 16
"""So many missing paths are worth another page; fewer are read singly as quickly."""

_log = logging.getLogger(__name__)

AskPage = Callable[[dict[str, str]], Reply]
"""Asks for a page of a LIST, again where that may help."""

Ask = Callable[[dict[str, str]], Reply | BaseException]
"""Asks for a page; given the query's parameters."""


class Scanner:
    """Asks one Vault for metadata, until it says that it can't or may not.

    ``reads_singly`` says then what would be faster; until then it is empty.
    """

    def __init__(self) -> None:
        self.reads_singly = ""

    def metas(self, ask: Ask, wanted: Collection[str], *, where: str) -> dict[str, SecretMeta]:
        """Return the metadata of those wanted names that the replies show.

        The names are relative to the prefix that ``ask`` asks below; ``where`` is what
        a policy must grant.
        """
        found: dict[str, SecretMeta] = {}
        missing, seen, query = set(wanted), set[str](), {"scan": "true"}
        for _ in range(0 if self.reads_singly else PAGES_MAX):
            reply = ask(query)
            info = _info_of(reply)
            if info is None or not isinstance(reply, Reply):
                self._give_up(reply, where)
                break
            news = info.keys() - seen
            for name in missing & news:
                meta = meta_in(info[name], reply.date)
                if meta is not None:
                    found[name] = meta
            missing -= found.keys()
            if not news or len(missing) < WORTH_A_PAGE:
                break
            seen |= news
            query = {"scan": "true", "after": _last_of(reply, info)}
        return found

    def _give_up(self, reply: Reply | BaseException, where: str) -> None:
        """Say once what would be faster. Another run may have more luck."""
        self.reads_singly = f"each path is read singly: there is no SCAN at {where}"
        if isinstance(reply, Reply) and reply.status == HTTPStatus.FORBIDDEN:
            self.reads_singly = f"each path is read singly: on OpenBao {where} with scan saves that"
        _log.debug("%s", self.reads_singly)


def _info_of(reply: Reply | BaseException) -> dict[str, Any] | None:
    """Return what a page tells, by name; None for anything but a page."""
    if not isinstance(reply, Reply) or reply.status != HTTPStatus.OK or reply.data is None:
        return None
    info = reply.data.get("key_info", {})  # left out where there is nothing
    return info if isinstance(info, dict) else None


def _last_of(reply: Reply, info: dict[str, Any]) -> str:
    """Return the name that the next page begins after: the last in the page's order."""
    keys = (reply.data or {}).get("keys")
    return str(keys[-1]) if isinstance(keys, list) and keys else max(info)


def all_keys(ask: AskPage) -> set[str] | Reply:
    """Return all keys of a LIST; the reply that is none, where there is one."""
    found: set[str] = set()
    query: dict[str, str] = {}
    while True:
        reply = ask(query)
        if reply.says_absent:
            return found
        keys = (reply.data or {}).get("keys") if reply.status == HTTPStatus.OK else None
        if not isinstance(keys, list):
            return reply
        news = set(map(str, keys)) - found
        if not news:
            return found
        found |= news
        query = {"after": str(keys[-1])}
