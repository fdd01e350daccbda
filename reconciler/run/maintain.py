"""What a person asks for by name: rollback, adopt, verify.

    rollback   the newest retiring predecessor that still lives becomes current again; its successor retires
    adopt      a live token whose secret a person still has becomes the current token of a label that has none
    verify     sign one request with every stored secret; where a predecessor waits for proof of use, the ledger learns of it

Rules this module keeps:

1. Each looks first, says what it would do, and only then takes the lease and looks
   again.
2. A path that is occupied is never adopted over.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from reconciler.errors import (
    PartialError,
    PersonNeededError,
    ReconcilerError,
    UsageError,
    VaultError,
)
from reconciler.model import (
    USE_MARGIN_MS,
    Credentials,
    LiveToken,
    Secret,
    TokenSpec,
    VersionState,
    iso,
)
from reconciler.protocol import (
    Listing,
    Outcome,
    Place,
    Recorded,
    Rewrite,
    Run,
    WriteLedger,
    rewrite_secret,
    rollback,
)
from reconciler.run.apply import Session, holding_lease, refuse_undone, trusted
from reconciler.run.observe import holder_version
from reconciler.state import (
    TOKEN_ID,
    Entry,
    IntentKind,
    Observed,
    Retiring,
    credentials_of,
    set_verified,
)

VERIFY_LANES = 8


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Comeback:
    """A rollback that would be done."""

    label: str
    retiring: Retiring
    live: LiveToken
    place: Place


def _spec(session: Session, label: str) -> TokenSpec:
    for spec in session.manifest.tokens:
        if spec.label == label:
            return spec
    raise UsageError(f"{label!r} is not a label of the manifest")


def _run(session: Session, observed: Observed) -> Run:
    return Run(run=session.run, api_url=observed.api_url, profile_id=observed.ledger.profile_id)


def find_comeback(session: Session, observed: Observed, label: str) -> Comeback:
    """The predecessor that a rollback would make current.

    ReconcilerError where there is none to go back to.
    """
    _spec(session, label)
    entry = observed.ledger.tokens.get(label)
    if entry is None or entry.current is None:
        raise ReconcilerError(f"{label} has no current token: there is nothing to roll back")
    if entry.intent is not None:
        raise ReconcilerError(f"{label} was interrupted: run `reconciler apply` first, it recovers")
    living = observed.live_by_id()
    for retiring in sorted(entry.retiring, key=lambda r: r.superseded_at_ms, reverse=True):
        live = living.get(retiring.token_id)
        if live is None or retiring.path is not None:
            continue
        path = session.driver.path(entry.path)
        latest = observed.meta(entry.path).latest
        source = holder_version(session.driver, path, latest, retiring.token_id)
        if source is not None:
            place = Place(label=label, path=entry.path, source=source, cas=latest)
            return Comeback(label=label, retiring=retiring, live=live, place=place)
    raise ReconcilerError(
        f"{label} has no predecessor that lives and whose secret Vault still has: there is no way back"
    )


def roll_back(session: Session, label: str, confirm: Callable[[str], bool]) -> Outcome:
    """Make a label's predecessor current again.

    Raises PartialError after a write, ReconcilerError before.
    """
    observed = trusted(session)
    found = find_comeback(session, observed, label)
    since = iso(found.retiring.superseded_at_ms)
    again_due = _undone_by_apply(_spec(session, label), found.live, observed.now_ms)
    if not confirm(
        f"{label}: {found.live.token_id} (superseded {since}) becomes current again{again_due}"
    ):
        raise ReconcilerError("not agreed to: nothing was done")
    with holding_lease(session, observed.ledger, observed.ledger_version) as writer:
        observed = trusted(session)
        again = find_comeback(session, observed, label)
        if (again.retiring, again.place) != (found.retiring, found.place):
            raise ReconcilerError(f"{label} changed meanwhile: look again")
        step = rollback(
            _run(session, observed),
            again.place,
            again.live,
            overlap_ms=_spec(session, label).overlap_ms,
        )
        outcome = session.driver.run(step)
        refuse_undone(outcome, writer)
        return dataclasses.replace(outcome, sentence=outcome.sentence + again_due)


def _undone_by_apply(spec: TokenSpec, live: LiveToken, now_ms: int) -> str:
    """What the next apply would do about it, if the manifest stays as it is."""
    if live.scopes != spec.scopes:
        return "; its scopes are not the manifest's, so the next apply rotates it again: change the manifest first"
    if spec.rotate_after_ms is not None and now_ms - live.created_at_ms >= spec.rotate_after_ms:
        return "; it is older than rotate_after, so the next apply rotates it again: raise rotate_after first"
    return ""


def adopt(session: Session, label: str, credentials: Credentials, *, other_label: bool) -> Outcome:
    """Start managing a live token.

    Raises PartialError after a write; UsageError, PersonNeededError, ReconcilerError
    before.
    """
    spec = _spec(session, label)
    observed = trusted(session)
    live = adoptable(session, observed, spec, credentials.token_id, other_label=other_label)
    listing = session.driver.exchange.signed_by(credentials).list_tokens()
    if not any(token.token_id == credentials.token_id for token in listing):
        raise ReconcilerError(
            "the list that the token signed does not have it: it is of another profile, or the list lags"
        )
    with holding_lease(session, observed.ledger, observed.ledger_version) as writer:
        observed = trusted(session)
        live = adoptable(session, observed, spec, credentials.token_id, other_label=other_label)
        task = Rewrite(
            kind=IntentKind.ADOPT,
            label=label,
            path=spec.path,
            cas=observed.meta(spec.path).latest,
            live=live,
            verified_at_ms=session.driver.exchange.clock().now_ms() + USE_MARGIN_MS,
            fields=(
                (TOKEN_ID, live.token_id),
                ("label", label),
                ("scopes", " ".join(live.scopes)),
                ("created_at", iso(live.created_at_ms)),
                ("profile_id", str(observed.ledger.profile_id or "")),
                ("account", ""),
                ("api_url", observed.api_url),
            ),
            secret=credentials.secret,
            overlap_ms=spec.overlap_ms,
            protect=spec.protect,
        )
        outcome = session.driver.run(rewrite_secret(_run(session, observed), task))
        refuse_undone(outcome, writer)
        return outcome


def adoptable(
    session: Session, observed: Observed, spec: TokenSpec, token_id: str, *, other_label: bool
) -> LiveToken:
    """The live token, if it may become the label's. ReconcilerError says why not."""
    ledger = observed.ledger
    entry = ledger.tokens.get(spec.label) or Entry(path=spec.path)
    owner = ledger.known_ids().get(token_id)
    if owner is not None:
        raise ReconcilerError(f"{token_id} is managed already, as a token of {owner}")
    if entry.current is not None or entry.intent is not None:
        raise ReconcilerError(
            f"{spec.label} has a token already: remove the label first, or adopt under another one"
        )
    live = observed.live_by_id().get(token_id)
    if live is None:
        raise ReconcilerError(
            f"the exchange does not list {token_id}: it is revoked, or of another profile"
        )
    if live.label != spec.label and not other_label:
        raise ReconcilerError(
            f"the exchange calls {token_id} {live.label!r}, not {spec.label!r}: --other-label if that is meant"
        )
    taken = next(
        (
            name
            for name, other in ledger.tokens.items()
            if other.path == spec.path and name != spec.label
        ),
        None,
    )
    if taken is not None or observed.meta(spec.path).state is VersionState.LIVING:
        where = f"{session.manifest.mount}/{session.driver.path(spec.path)}"
        raise PersonNeededError(
            f"{where} is occupied: a path that is occupied is never adopted over"
        )
    return live


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Whether a label's stored secret works; ``sentence`` says why not."""

    label: str
    token_id: str | None
    works: bool
    sentence: str = ""


def verify(session: Session) -> tuple[Verified, ...]:
    """Sign one request with every desired label's stored secret, sorted by label.

    Signing is a use. Where a predecessor waits for proof that somebody else uses the
    successor, the lease is held meanwhile, and the ledger is told that this use was
    ours.
    """
    observed = trusted(session)
    entries = observed.ledger.tokens
    if not any(entry.retiring and entry.current is not None for entry in entries.values()):
        return _verify_all(session, observed)
    with holding_lease(session, observed.ledger, observed.ledger_version) as writer:
        observed = trusted(session)
        found = _verify_all(session, observed)
        live = observed.live_by_id()
        at_ms = session.driver.exchange.clock().now_ms() + USE_MARGIN_MS
        for one in found:
            entry = writer.ledger.tokens.get(one.label)
            if (
                entry is None
                or not entry.retiring
                or entry.current is None
                or entry.current.token_id != one.token_id
            ):
                continue
            token = live.get(entry.current.token_id)
            if token is not None and (token.last_used_at_ms or 0) > entry.current.verified_at_ms:
                continue  # somebody used it before us: that stays true
            step = set_verified(one.label, entry.current.token_id, at_ms)
            if not isinstance(session.driver.perform(WriteLedger(transition=step)), Recorded):
                raise PartialError(
                    "the ledger could not be told that these uses were ours: run it again"
                )
    return found


def _verify_all(session: Session, observed: Observed) -> tuple[Verified, ...]:
    labels = sorted(spec.label for spec in session.manifest.tokens)
    with ThreadPoolExecutor(VERIFY_LANES, thread_name_prefix="verify") as pool:
        return tuple(pool.map(lambda label: _verify(session, observed, label), labels))


def _verify(session: Session, observed: Observed, label: str) -> Verified:
    entry = observed.ledger.tokens.get(label)
    if entry is None or entry.current is None:
        return Verified(label=label, token_id=None, works=False, sentence="no token yet")
    wanted = entry.current.token_id
    try:
        content = session.driver.store.read(session.driver.path(entry.path))
    except VaultError as error:
        return Verified(label=label, token_id=wanted, works=False, sentence=str(error))
    credentials = credentials_of(content)
    if credentials is None:
        return Verified(
            label=label, token_id=wanted, works=False, sentence=f"{entry.path} holds no secret"
        )
    if credentials.token_id != wanted:
        sentence = f"{entry.path} holds {credentials.token_id} instead of {wanted}"
        return Verified(label=label, token_id=wanted, works=False, sentence=sentence)
    reply = session.driver.verify_token(credentials)
    if not isinstance(reply, Listing):
        return Verified(label=label, token_id=wanted, works=False, sentence=reply.sentence)
    if reply.find(wanted) is None:
        return Verified(
            label=label,
            token_id=wanted,
            works=False,
            sentence="the list that it signed does not have it",
        )
    return Verified(label=label, token_id=wanted, works=True)


def credentials_from(token_id: str, text: str) -> Credentials:
    """A token id and the secret that a person gave on standard input.

    UsageError if it can't be one.
    """
    secret = text.strip()
    if not secret:
        raise UsageError(
            "no secret on standard input: give it as one line, for example `vault kv get -field=secret … | …`"
        )
    if not _is_base64(secret):
        raise UsageError("what came on standard input is not base64, as the exchange's secrets are")
    return Credentials(token_id=token_id, secret=Secret(secret))


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False
