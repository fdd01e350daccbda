"""The life of the token that a store asks with.

    the token       before the first write        on the way              at the end
    --------------  ----------------------------  ----------------------  ------------
    of our own      where it would not last: log  its lease or its uses   revoked, if
    login           in again, else refuse         are over: log in again  it is ours
    VAULT_TOKEN     where it would not last:      renewed, where it is    left
                    renew it, else refuse         periodic
    an agent's or   not looked at                 left                    left
    a proxy's

Rules this module keeps:

1. A login is sent once. Each secret that it brings is masked before it is used.
2. A token is revoked only where it shows the accessor of our own login: an agent or a
   proxy may put its own token in the place of ours, and all its clients would lose it.
3. Whatever is not known of a token (a policy may forbid the lookup) refuses nothing.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Any

from reconciler.errors import ReconcilerError, VaultRefusedError
from reconciler.vault.environment import is_header_safe
from reconciler.vault.failures import Explainer
from reconciler.vault.http import Reply, VaultClient
from reconciler.vault.login import Login, Mask
from reconciler.vault.policies import readers

_CLOCK_MARGIN_S = 1.0  # the server counts a token's life on its own clock
_PATHS_A_CALL = 500
_SENDS_OF_A_CALL = 4  # a read is repeated, and each time is a use
LOOKUP_SELF = "auth/token/lookup-self"

Tell = Callable[[str], None]
"""Told what a person should know, in a sentence."""


def tell_nobody(_sentence: str) -> None:
    """Say nothing: there is nobody to read it."""


class LoginToken:
    """The token of one client. ``mask`` is told of each secret.

    Without a login the client's token was given to us: it is not revoked. Without a
    token an agent or a proxy adds one of its own.
    """

    def __init__(  # noqa: PLR0913  # keyword-only surroundings
        self,
        client: VaultClient,
        explainer: Explainer,
        login: Login | None,
        *,
        mask: Mask,
        tell: Tell = tell_nobody,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._explainer = explainer
        self._given = login
        self._login: Login | None = None
        self._mask = mask
        self._tell = tell
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._owns_token = False
        self._accessor: str | None = None
        self._ends_s = math.inf
        self._uses = 0  # how many the login grants, 0 for any number
        self._spent = 0
        self._renew_at_s = math.inf

    def log_in(self) -> None:
        """Get the client a token, if that takes a login.

        UsageError for a file without an identity token; VaultError where anybody
        refuses.
        """
        if self._given is None:
            return
        if self._login is None:
            self._login = self._given.prepared(self._client, self._explainer, self._mask)
        call, request = self._login.request(self._client, self._mask)
        asked_at_s = self._monotonic()
        reply = self._explainer.ask(call, request)
        body = reply.body if reply.status == HTTPStatus.OK else None
        auth = (body or {}).get("auth")
        token = auth.get("client_token") if isinstance(auth, dict) else None
        if not isinstance(auth, dict) or not isinstance(token, str) or not is_header_safe(token):
            raise self._explainer.bad_reply(call, reply, token_works=None)
        self._mask(token)
        self._client.token = token
        self._owns_token = True
        self._accessor = str(auth.get("accessor") or "") or None  # a batch token has none
        self._ends_s = asked_at_s + (_count(auth.get("lease_duration")) or math.inf)
        self._ends_s -= _CLOCK_MARGIN_S
        self._uses, self._spent = _count(auth.get("num_uses")), 0

    @contextlib.contextmanager
    def used(self) -> Iterator[str]:
        """Yield the token for one call, and count it. One that is used up is replaced.

        Where uses are counted, calls are made one at a time: a thread would spend the
        last use of a token that another one is about to send. VaultRefusedError where
        the new login fails.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._lock)
            if self._uses and self._spent >= self._uses:
                self._revoke_own()  # not every call that we counted was one to Vault
                self._log_in_again()
            self._spent += 1
            if self._monotonic() >= self._renew_at_s:
                self._renew(None)
            token = self._client.token
            if not self._uses:
                stack.close()
            yield token

    def renewed(self, refused: str) -> bool:
        """Return whether there is a new token in place of one that Vault refused.

        Then the call may be repeated. Only a token of our own that has come to its end
        is replaced: any other refusal is meant. VaultRefusedError where the new login
        fails. Threads that find the same end wait for the one login.
        """
        with self._lock:
            if not self._owns_token or self._client.token != refused:
                return self._owns_token
            used_up = self._uses and self._spent * _SENDS_OF_A_CALL >= self._uses
            if self._monotonic() < self._ends_s and not used_up:
                return False
            self._log_in_again()
            return True

    def _log_in_again(self) -> None:
        uses = self._uses
        try:
            self.log_in()
        except ReconcilerError as error:
            failure = str(error)
        else:
            return
        more = f"more token_num_uses than {uses}, or 0" if uses else "a longer token_ttl"
        raise VaultRefusedError(
            "the Vault token came to its end, and another login failed: "
            f"give the role {more} ({failure})"
        )

    # Before the first write

    def prepare(self, *, seconds: int, uses: int) -> None:
        """Make sure that the token lasts for a run, as far as that can be known.

        ``seconds`` and ``uses`` are what the run may need. VaultRefusedError where the
        token will not last.
        """
        with self._lock:
            if self._owns_token:
                self._prepare_own(seconds, uses)
            elif self._client.token:
                self._prepare_given(seconds, uses)

    def _prepare_own(self, seconds: int, uses: int) -> None:
        """Log in again where the token would not last, which proves that it can be."""
        short = self._monotonic() + seconds > self._ends_s
        if not short and (not self._uses or self._uses - self._spent > uses):
            return
        limit = "token_ttl" if short else "token_num_uses"
        self._revoke_own()
        try:
            self.log_in()
        except ReconcilerError as error:
            failure = str(error)
        else:
            return
        raise VaultRefusedError(
            f"the role's {limit} is too small for this run, and another login fails: "
            f"raise it, or give a login that can be repeated ({failure})"
        )

    def _prepare_given(self, seconds: int, uses: int) -> None:
        token = self.looked_up()
        if token is None:
            return
        left = _count(token.get("num_uses"))
        if 0 < left <= uses:
            raise VaultRefusedError(
                f"the Vault token has {left} uses left, and this run may need {uses}: "
                "get one without a limit of uses"
            )
        ttl_s = _count(token.get("ttl"))
        if not 0 < ttl_s < seconds:
            return
        if token.get("renewable") is True:
            ttl_s = self._renew(seconds) or ttl_s
        if ttl_s < seconds and not (_count(token.get("period")) and token.get("renewable")):
            raise VaultRefusedError(
                f"the Vault token ends in {ttl_s} s, and this run may need {seconds} s: "
                "get a new one"
            )

    def _renew(self, seconds: int | None) -> int:
        """Renew the token; return the seconds that it lives from now on, or 0."""
        self._renew_at_s = math.inf
        increment = {"increment": f"{seconds}s"} if seconds is not None else {}
        reply = self._client.post("auth/token/renew-self", increment)
        body = reply.body if isinstance(reply, Reply) and reply.status == HTTPStatus.OK else None
        auth = (body or {}).get("auth")
        life_s = _count(auth.get("lease_duration")) if isinstance(auth, dict) else 0
        if life_s:
            self._renew_at_s = self._monotonic() + life_s / 2
        return life_s

    def looked_up(self) -> dict[str, Any] | None:
        """Return what Vault says of the token that it gets, or None."""
        reply = self._client.get(LOOKUP_SELF)
        return reply.data if isinstance(reply, Reply) and reply.status == HTTPStatus.OK else None

    def rights(self, paths: Sequence[str]) -> dict[str, frozenset[str]] | None:
        """Return what the token may do at each path; None where Vault does not tell."""
        found: dict[str, frozenset[str]] = {}
        for start in range(0, len(paths), _PATHS_A_CALL):
            asked = list(paths[start : start + _PATHS_A_CALL])
            reply = self._client.post("sys/capabilities-self", {"paths": asked})
            data = reply.data if isinstance(reply, Reply) else None
            if data is None or any(not isinstance(data.get(path), list) for path in asked):
                return None
            found |= {path: frozenset(map(str, data[path])) for path in asked}
        return found

    def policies_reading(self, path: str, *, owned_by: str) -> tuple[str, ...] | None:
        """Return the policies, beside the token's own, that read what is at a path.

        See ``policies``; None where the token may not read policies.
        """
        token = self.looked_up() or {}
        own = [*(token.get("policies") or ()), *(token.get("identity_policies") or ())]
        return readers(self._client, path, owned_by=owned_by, besides=frozenset(map(str, own)))

    # At the end

    def log_out(self) -> None:
        """Revoke the token if we logged in for it. Never fails; may be repeated.

        One that can't be revoked, or that can't be shown to be ours, ends by itself.
        """
        if self._owns_token:
            self._revoke_own()

    def _revoke_own(self) -> None:
        self._owns_token = False
        rest_s = self._ends_s - self._monotonic()
        if self._accessor is None or rest_s <= 0:
            return
        looked_up = self._client.get(LOOKUP_SELF)
        if not isinstance(looked_up, Reply):
            return
        shown = (looked_up.data or {}).get("accessor")
        if shown == self._accessor:
            self._client.post("auth/token/revoke-self")
        elif looked_up.status == HTTPStatus.OK:  # `bao proxy` even hides its accessor
            self._tell(
                "what answers as Vault puts a token of its own in the place of ours, so ours "
                f"was not revoked{_ends_in(rest_s)}: set RECONCILER_VAULT_AUTH=none "
                "where an agent or a proxy adds the token"
            )
        elif looked_up.status == HTTPStatus.FORBIDDEN and not self._uses:
            self._tell(
                f"the token of the Vault login was not revoked{_ends_in(rest_s)}, as it may not "
                'look itself up: its policy needs "read" on auth/token/lookup-self'
            )


def _count(value: object) -> int:
    """Return a number above 0, else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _ends_in(rest_s: float) -> str:
    return "" if math.isinf(rest_s) else f" and ends by itself in {rest_s:.0f} s"
