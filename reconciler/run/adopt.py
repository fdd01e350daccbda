"""Adopt: start managing a live token whose secret a person still has.

    the token is                        then
    ----------------------------------  ----------------------------------------------
    not known                           it becomes the current token of a label that
                                        has none; never one of its reserve, which
                                        nobody may have used
    in the reserve of this very label   it becomes the label's current token, and the
                                        one that was retires; its document is left for
                                        the next apply to delete. Its secret may be
                                        given, else it is read in its document. The
                                        use to come is recorded before it signs
    another one of ours                 it is refused

Rule this module keeps: a path that is occupied is never adopted over, but by a token of
the reserve, where what lies there is the label's own.
"""

from __future__ import annotations

import base64
import binascii

from reconciler.errors import PersonNeededError, ReconcilerError, UsageError
from reconciler.model import (
    DAY_MS,
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
    Now,
    Outcome,
    Rewrite,
    Step,
    VerifyToken,
    rewrite_secret,
    sign_stored,
)
from reconciler.run.effects import Stage, Then
from reconciler.run.lease import holding_lease, refuse_undone
from reconciler.run.listing import check_profile
from reconciler.run.newest import note_adopted
from reconciler.run.reads import read_secret
from reconciler.run.session import Session, look_only, refuse_ending
from reconciler.state import (
    TOKEN_ID,
    Entry,
    IntentKind,
    Ledger,
    Observed,
    Reserve,
    credentials_of,
    own_ids,
    reserve_of,
)
from reconciler.values import value

GRACE_MS = 14 * DAY_MS


def adopt_token(  # noqa: PLR0913  # the last two by name
    session: Session,
    label: str,
    token_id: str,
    secret: Secret | None,
    *,
    other_label: bool,
    grace_ms: int = GRACE_MS,
) -> Stage[Outcome]:
    """Start managing a live token, of which age is no reason to rotate it for so long.

    Only of one in the reserve the secret may be None. Raises PartialError after a
    write; UsageError, PersonNeededError, ReconcilerError before.
    """
    spec = session.spec(label)
    observed = yield from look_only(session)
    refuse_ending(observed)
    adoptable(session, observed, spec, token_id, other_label=other_label)
    kept = kept_in(observed.ledger, label, token_id)
    if kept is not None:
        secret = secret or (yield from _secret_of(kept))
    elif secret is not None:
        yield from _prove(session, observed, Credentials(token_id=token_id, secret=secret))
    if secret is None:
        raise UsageError(NOTHING_GIVEN)
    credentials = Credentials(token_id=token_id, secret=secret)
    begin = session, observed.ledger, observed.ledger_version, _look_again
    return Then(
        stage=holding_lease, arguments=(*begin, session, spec, credentials, other_label, grace_ms)
    )


def _prove(session: Session, observed: Observed, credentials: Credentials) -> Step[None]:
    """Let a token sign that is not ours yet. ReconcilerError where it can't be."""
    listing = yield from VerifyToken(credentials=credentials)
    if not isinstance(listing, Listing):
        raise ReconcilerError(listing.sentence)
    if listing.find(credentials.token_id) is None:
        raise ReconcilerError(
            "the list that the token signed does not have it: it is of another profile, "
            "or the list lags"
        )
    whose = f"the token {credentials.token_id}"
    yield from check_profile(session.manifest, observed.ledger, credentials, whose=whose)


def kept_in(ledger: Ledger, label: str, token_id: str) -> Reserve | None:
    """Return the token of a label's reserve with this id, if it is one."""
    entry = ledger.tokens.get(label)
    return reserve_of(entry, token_id) if entry is not None else None


def _secret_of(kept: Reserve) -> Step[Secret | None]:
    content = yield from read_secret(kept.path, kept.version_id.number)
    pair = credentials_of(content)
    if pair is None or pair.token_id != kept.token_id:
        raise ReconcilerError(
            f"the document of {kept.token_id} does not hold its secret any more: "
            "give it on standard input"
        )
    return pair.secret


def _look_again(
    session: Session,
    spec: TokenSpec,
    credentials: Credentials,
    other_label: bool,  # noqa: FBT001  # an argument of a stage
    grace_ms: int,
) -> Stage[Outcome]:
    observed = yield from look_only(session)
    live = adoptable(session, observed, spec, credentials.token_id, other_label=other_label)
    if kept_in(observed.ledger, spec.label, credentials.token_id) is not None:
        reply = yield from sign_stored(spec.label, credentials)
        if not isinstance(reply, Listing):
            raise ReconcilerError(reply.sentence)
        if reply.find(credentials.token_id) is None:
            raise ReconcilerError("the list that the token signed does not have it: it lags")
    yield from note_adopted(session, observed)
    proven = Proven(spec=spec, credentials=credentials, live=live, grace_ms=grace_ms)
    return Then(stage=_commit, arguments=(session, observed, proven))


@value
class Proven:
    """A live token that has signed, and whose it becomes.

    For ``grace_ms`` from then on age is no reason to rotate it.
    """

    spec: TokenSpec
    credentials: Credentials
    live: LiveToken
    grace_ms: int


def _commit(session: Session, observed: Observed, proven: Proven) -> Stage[Outcome]:
    outcome = yield from write_adopted(session, observed, proven)
    yield from refuse_undone(outcome)
    return outcome


def write_adopted(session: Session, observed: Observed, proven: Proven) -> Step[Outcome]:
    """Write the token's secret, and record it as the label's current one."""
    spec, live = proven.spec, proven.live
    now_ms = yield from Now()
    task = Rewrite(
        kind=IntentKind.ADOPT,
        label=spec.label,
        path=spec.path,
        seen=observed.meta(spec.path).version_id,
        entry=observed.ledger.tokens.get(spec.label, Entry(path=spec.path)),
        live=live,
        verified_at_ms=now_ms + USE_MARGIN_MS,
        fields=(
            (TOKEN_ID, live.token_id),
            ("label", spec.label),
            ("scopes", " ".join(live.scopes)),
            ("created_at", iso(live.created_at_ms)),
            ("profile_id", str(observed.ledger.profile_id or "")),
            ("account", ""),
            ("api_url", observed.api_url),
        ),
        secret=proven.credentials.secret,
        overlap_ms=spec.overlap_ms,
        further=spec.fields,
        protect=spec.protect,
        grace_ms=proven.grace_ms,
    )
    return (yield from rewrite_secret(session.facts(observed.ledger.profile_id), task))


def adoptable(
    session: Session, observed: Observed, spec: TokenSpec, token_id: str, *, other_label: bool
) -> LiveToken:
    """Return the live token that may become the label's. ReconcilerError."""
    ledger, manifest = observed.ledger, session.manifest
    entry = ledger.tokens.get(spec.label) or Entry(path=spec.path)
    kept = reserve_of(entry, token_id)
    owner = ledger.known_ids().get(token_id)
    if owner is not None and kept is None:
        raise ReconcilerError(f"{token_id} is managed already, as a token of {owner}")
    if kept is not None:
        _refuse_unsettled(spec.label, entry)
    elif entry.current is not None or entry.intent is not None:
        raise ReconcilerError(
            f"{spec.label} has a token already: remove the label first, or adopt under another one"
        )
    live = observed.live_by_id().get(token_id)
    if live is None:
        raise ReconcilerError(
            f"the exchange does not list {token_id}: it is revoked, or of another profile"
        )
    names = {spec.label} if kept is None else {spec.label, kept.live_label}
    if live.label not in names and not other_label:
        raise ReconcilerError(
            f"the exchange calls {token_id} {live.label!r}, not {spec.label!r}: "
            "--other-label if that is meant"
        )
    meta, where = observed.meta(spec.path), f"{manifest.place}/{spec.path}"
    if meta.life_ms is not None:
        raise PersonNeededError(
            f"what is written at {where} ends by itself ({meta.life_text()}): set its "
            f"delete_version_after to 0s, or give {spec.label} another path"
        )
    taken = any(e.path == spec.path for label, e in ledger.tokens.items() if label != spec.label)
    own = kept is not None and _is_own(observed, entry, spec.path)
    if taken or (meta.state is VersionState.LIVING and not own):
        raise PersonNeededError(
            f"{where} is occupied: a path that is occupied is never adopted over"
        )
    return live


def _refuse_unsettled(label: str, entry: Entry) -> None:
    """Raise ReconcilerError where an apply has to end something of the label before."""
    if entry.intent is not None:
        raise ReconcilerError(
            f"something was begun for {label} and is not finished: run `reconciler apply` "
            "first, which finishes or undoes it"
        )
    if entry.current is not None and entry.current.left_ms is not None:
        raise ReconcilerError(
            f"{label} is recorded as not in the manifest: run `reconciler apply` first"
        )


def _is_own(observed: Observed, entry: Entry, path: str) -> bool:
    """Return whether what lives at a path is one of the label's own tokens."""
    content, current = observed.contents.get(path), entry.current
    if content is None:
        in_place = current is not None and current.is_in_place(observed.meta(path))
        return in_place and entry.is_at(path)
    return content.token_id in own_ids(entry)


NOTHING_GIVEN = (
    "no secret on standard input: give it as one line, "
    "for example `vault kv get -field=secret … | …`"
)


def secret_from(text: str) -> Secret | None:
    """Return the secret that a person gave, None for an empty line. UsageError."""
    secret = text.strip()
    if not secret:
        return None
    if not _is_base64(secret):
        raise UsageError("what came on standard input is not base64, as the exchange's secrets are")
    return Secret(secret)


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False
