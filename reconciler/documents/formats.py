r"""The JSON documents: plan, report, status and snapshot out; saved plan and snapshot in.

Rules this module keeps:

1. Pure: values to dictionaries and text to values; nothing here knows a file, a
   terminal or the clock.
2. ``schemas/<name>.schema.json`` describes each document, and what is read back is
   judged by it before anything else.
3. No document holds a secret, because no value that one is made from does. Foreign
   tokens are counted in a snapshot, not named: it is published to pull requests.
4. The same value gives the same bytes: keys are sorted, lists have an order of their
   own.
5. What is read back is believed only as far as it can be checked: a plan by its digest,
   a snapshot by the ledger's own reader. Keys that are there twice, numbers with a
   fraction and unknown keys are refused: two readers may read them differently.
"""

from __future__ import annotations

import dataclasses
import decimal
import enum
import json
from collections.abc import Sequence
from typing import Any

from reconciler.errors import PlanStaleError, ReconcilerError
from reconciler.model import LiveToken, SecretMeta, VersionState, instant_ms, iso
from reconciler.plan import (
    CATEGORIES,
    FORMAT_VERSION,
    SENTENCES,
    Action,
    Category,
    Change,
    Lease,
    Need,
    NotTouched,
    OpenIntent,
    Plan,
    Policy,
    Predecessor,
    Reason,
    Selection,
    Side,
    Status,
    TokenStatus,
    selection_plain,
    side_plain,
)
from reconciler.protocol import Report, Row
from reconciler.schema_files import load_schema
from reconciler.state import (
    Content,
    Kind,
    Ledger,
    LedgerError,
    Observed,
    classify,
    each_key_once,
    from_text,
    to_text,
)

REPORT_FORMAT = 1
STATUS_FORMAT = 1
SNAPSHOT_FORMAT = 1

_PLAN, _REPORT, _STATUS, _SNAPSHOT = (
    f"reconciler {name}" for name in ("plan", "report", "status", "snapshot")
)
_DOCUMENTS = (_PLAN, _REPORT, _STATUS, _SNAPSHOT)

_UNNAMED = "(not published)"
_PLAIN_FLAGS = (
    *("max_revocations", "max_rotations", "max_missing"),
    *("allow_empty", "allow_missing_manager", "allow_missing_files", "revoke_in_use"),
)
_MOST_FORMATS = 10_000


def dump(document: dict[str, Any]) -> str:
    r"""A document as text: sorted, indented, pure ASCII, with a line end.

    ASCII, so that no label can carry a terminal's or an editor's control characters;
    ``##`` is written ``#\u0023``, because CI runners take commands that begin with it
    out of any line of a log.
    """
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return text.replace("##", "#\\u0023") + "\n"


def _instant(at_ms: int | None) -> str | None:
    return None if at_ms is None else iso(at_ms)


def _word(value: enum.Enum) -> str:
    """The name of an enumeration's member as machines like it: in one word."""
    return str(value.value).replace(" ", "_")


# --- plan ---


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlan:
    """A plan as it was saved, and the policy that it was made with.

    ``digest`` is recomputed from ``plan``: it covers the acting changes and the flags,
    not holds, keeps, notes.
    """

    digest: str
    as_of_ms: int
    plan: Plan
    policy: Policy


def plan_document(
    plan: Plan,
    *,
    policy: Policy | None = None,
    guards: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """The plan for machines, and for a later ``apply --plan``; ``policy`` is what it was made with."""
    return {
        "document": _PLAN,
        "format_version": FORMAT_VERSION,
        "digest": plan.digest(),
        "as_of": iso(plan.as_of_ms),
        "api_url": plan.api_url,
        "ledger_id": plan.ledger_id,
        "profile_id": plan.profile_id,
        "selection": selection_plain(plan.selection),
        "flags": _flags(policy or Policy()),
        "capabilities": "not checked",
        "summary": _summary(plan),
        "changes": [_change(c) for c in plan.changes],
        "not_touched": [_not_touched(row) for row in plan.not_touched],
        "foreign_unnamed": plan.foreign_unnamed,
        "guards": list(guards),
        "warnings": list(warnings),
    }


def plan_widget(plan: Plan) -> str:
    """What GitLab's plan widget (``artifacts:reports:terraform``) shows: how much is created, updated and deleted."""
    counts = plan.counts()
    updates = sum(
        counts.get(action, 0)
        for action in (Action.RECOVER, Action.RECORD, Action.RESTORE, Action.ROTATE)
    )
    widget = {
        "create": counts.get(Action.DERIVE, 0),
        "update": updates,
        "delete": counts.get(Action.REVOKE, 0),
    }
    return json.dumps(widget, sort_keys=True) + "\n"


def _flags(policy: Policy) -> dict[str, Any]:
    plain = dataclasses.asdict(policy)
    return {**{name: plain[name] for name in _PLAIN_FLAGS}, "replace": sorted(policy.replace)}


def _summary(plan: Plan) -> dict[str, int]:
    counts = plan.counts()
    return {
        **{action.value: counts.get(action, 0) for action in Action},
        "not_touched": len(plan.not_touched) + plan.foreign_unnamed,
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "label": change.label,
        "action": change.action.value,
        "reason": change.reason.value,
        "category": CATEGORIES[change.reason].value,
        "sentence": SENTENCES[change.reason],
        "note": change.note,
        "before": side_plain(change.before),
        "after": side_plain(change.after),
    }


def _not_touched(row: NotTouched) -> dict[str, Any]:
    return {
        "token_id": row.token_id,
        "label": row.label,
        "kind": row.kind.value,
        "probably_ours": row.probably_ours,
    }


def load_plan(text: str) -> SavedPlan:
    """The plan that ``plan_document`` wrote.

    Raises ReconcilerError for anything that is no plan of ours, and PlanStaleError for
    one of another format, one that breaks its schema, and one whose content does not
    have the digest that it states.
    """
    again = "save it with `reconciler plan --out`"
    document = _parsed(text, _PLAN, again)
    found = document.get("format_version")
    if type(found) is not int or found != FORMAT_VERSION:
        raise PlanStaleError(
            f"the plan was saved in format {_number(found)}, this program knows format {FORMAT_VERSION}: "
            "plan again with the version that applies"
        )
    fault = _fault(document, "plan")
    if fault is not None:
        raise PlanStaleError(
            f"the plan was edited by hand or made by another version ({fault}): plan again"
        )
    try:
        given = document["flags"]
        flags = {name: given[name] for name in _PLAIN_FLAGS}
        plan = _plan(document)
        policy = Policy(selection=plan.selection, replace=frozenset(given["replace"]), **flags)
        plan = dataclasses.replace(plan, flags=policy.flags())
        digest = plan.digest()
    except ValueError:  # an instant that the calendar does not know
        raise PlanStaleError(
            "the plan was edited by hand (a value in it can't be): plan again"
        ) from None
    if digest != document["digest"]:
        raise PlanStaleError(
            "the plan was edited by hand (its digest is not that of its content): plan again"
        )
    return SavedPlan(digest=digest, as_of_ms=plan.as_of_ms, plan=plan, policy=policy)


def _plan(document: dict[str, Any]) -> Plan:
    chosen = document["selection"]
    return Plan(
        as_of_ms=instant_ms(document["as_of"]),
        api_url=document["api_url"],
        ledger_id=document["ledger_id"],
        profile_id=document["profile_id"],
        selection=Selection(
            targets=frozenset(chosen["targets"]),
            excluded=frozenset(chosen["excluded"]),
            only=None if chosen["only"] is None else Category(chosen["only"]),
        ),
        changes=tuple(_read_change(row) for row in document["changes"]),
        not_touched=tuple(
            NotTouched(**{**row, "kind": Kind(row["kind"])}) for row in document["not_touched"]
        ),
        foreign_unnamed=document["foreign_unnamed"],
    )


def _read_change(row: dict[str, Any]) -> Change:
    return Change(
        label=row["label"],
        action=Action(row["action"]),
        reason=Reason(row["reason"]),
        before=_read_side(row["before"]),
        after=_read_side(row["after"]),
        note=row["note"],
    )


def _read_side(side: dict[str, Any] | None) -> Side | None:
    return (
        None
        if side is None
        else Side(**{**side, "scopes": tuple(side["scopes"]), "files": tuple(side["files"])})
    )


# --- report ---


def report_document(report: Report) -> dict[str, Any]:
    """What a run did, for machines."""
    return {
        "document": _REPORT,
        "format_version": REPORT_FORMAT,
        "run": report.run,
        "started_at": iso(report.started_at_ms),
        "ended_at": iso(report.ended_at_ms),
        "digest": report.digest,
        "exit_code": int(report.exit_code),
        "sentence": report.sentence,
        "summary": {_word(status): number for status, number in report.counts().items()},
        "rows": [_row(row) for row in report.rows],
        "holds": [_change(c) for c in report.holds],
        "not_touched": [_not_touched(row) for row in report.not_touched],
    }


def _row(row: Row) -> dict[str, Any]:
    outcome = row.outcome
    return {
        **_change(row.change),
        "status": _word(outcome.status),
        "outcome": outcome.sentence,
        "token_id": outcome.token_id,
    }


# --- status ---


def status_document(status: Status) -> dict[str, Any]:
    """The state of every label, for machines."""
    return {
        "document": _STATUS,
        "format_version": STATUS_FORMAT,
        "as_of": iso(status.as_of_ms),
        "api_url": status.api_url,
        "ledger_id": status.ledger_id,
        "ledger_version": status.ledger_version,
        "profile_id": status.profile_id,
        "summary": {_word(state): number for state, number in status.counts().items()},
        "tokens": [_token_status(token) for token in status.tokens],
        "needs_person": [_need(need) for need in status.needs],
        "twins": [_not_touched(row) for row in status.twins],
        "foreign": status.foreign,
        "lease": None if status.lease is None else _lease(status.lease),
        "abandoned": [
            {"label": row.label, "since": iso(row.since_ms), "closed_at": iso(row.closed_at_ms)}
            for row in status.abandoned
        ],
    }


def _token_status(token: TokenStatus) -> dict[str, Any]:
    return {
        "label": token.label,
        "state": _word(token.state),
        "reason": token.reason.value,
        "sentence": SENTENCES[token.reason],
        "note": token.note,
        "desired": token.desired,
        "manager": token.manager,
        "protect": token.protect,
        "path": token.path,
        "token_id": token.token_id,
        "live": token.live,
        "scopes": list(token.scopes),
        "wanted_scopes": None if token.wanted_scopes is None else list(token.wanted_scopes),
        "scopes_differ": token.scopes_differ,
        "created_at": _instant(token.created_at_ms),
        "age_ms": token.age_ms,
        "rotate_after_ms": token.rotate_after_ms,
        "due_at": _instant(token.due_at_ms),
        "last_used_at": _instant(token.last_used_at_ms),
        "verified_at": _instant(token.verified_at_ms),
        "used_since_verify": token.used_since_verify,
        "version": token.version,
        "latest_version": token.latest_version,
        "in_place": token.in_place,
        "predecessors": [_predecessor(old) for old in token.predecessors],
        "revoking": list(token.revoking),
        "intent": None if token.intent is None else _intent(token.intent),
    }


def _predecessor(old: Predecessor) -> dict[str, Any]:
    return {
        "token_id": old.token_id,
        "live": old.live,
        "superseded_at": iso(old.superseded_at_ms),
        "not_before": iso(old.not_before_ms),
        "last_used_at": _instant(old.last_used_at_ms),
        "action": old.action.value,
        "reason": old.reason.value,
        "sentence": SENTENCES[old.reason],
        "note": old.note,
    }


def _intent(intent: OpenIntent) -> dict[str, Any]:
    return {
        "kind": intent.kind.value,
        "since": iso(intent.since_ms),
        "run": intent.run,
        "token_id": intent.token_id,
    }


def _need(need: Need) -> dict[str, Any]:
    return {
        "kind": need.kind.value,
        "labels": list(need.labels),
        "token_ids": list(need.token_ids),
        "sentence": need.sentence,
    }


def _lease(lease: Lease) -> dict[str, Any]:
    return {"run": lease.run, "who": lease.who, "expires_at": iso(lease.expires_at_ms)}


# --- snapshot ---


def snapshot_document(observed: Observed, labels: frozenset[str]) -> dict[str, Any]:
    """What was observed, for plans without credentials; ``labels`` are the manifest's.

    Of other people's tokens only the number is told, and of the lease only whose run it
    is and until when. Whoever calls this has checked the snapshot
    (``observed.distrust``): a signer that is not ours is not named, so nobody can check
    that again.
    """
    kinds = classify(observed.ledger, observed.live, labels)
    ours = sorted(
        (t for t in observed.live if kinds[t.token_id] is not Kind.FOREIGN),
        key=lambda t: t.token_id,
    )
    named = {token.token_id for token in ours} | observed.ledger.known_ids().keys()
    return {
        "document": _SNAPSHOT,
        "format_version": SNAPSHOT_FORMAT,
        "taken_at": iso(observed.now_ms),
        "api_url": observed.api_url,
        "place": observed.place,
        "signer_id": observed.signer_id if observed.signer_id in named else None,
        "ledger": _published(observed.ledger),
        "ledger_version": observed.ledger_version,
        "live": [_live(token) for token in ours],
        "foreign_unnamed": observed.foreign_unnamed + len(observed.live) - len(ours),
        "secrets": {path: _meta(meta) for path, meta in observed.secrets.items()},
        "contents": {path: _content(content, named) for path, content in observed.contents.items()},
    }


def _published(ledger: Ledger) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(to_text(ledger))
    holder = plain["holder"]
    plain["holder"] = (
        None if holder is None else {"run": holder["run"], "expires_at": holder["expires_at"]}
    )
    return plain


def _live(token: LiveToken) -> dict[str, Any]:
    return {
        "token_id": token.token_id,
        "label": token.label,
        "scopes": list(token.scopes),
        "created_at": iso(token.created_at_ms),
        "last_used_at": _instant(token.last_used_at_ms),
    }


def _meta(meta: SecretMeta) -> dict[str, Any]:
    return {"latest": meta.latest, "state": meta.state.value, "oldest": meta.oldest}


def _content(content: Content, named: set[str]) -> dict[str, Any]:
    """An id in a secret that is not ours stays unnamed; to a plan it is as good as none."""
    plain = dataclasses.asdict(content)
    return {**plain, "token_id": content.token_id if content.token_id in named else None}


def load_snapshot(text: str) -> Observed:
    """What was observed, from the text that ``snapshot_document`` describes.

    ReconcilerError if it can't be that.
    """
    again = "take it again with `reconciler observe --out`"
    document = _parsed(text, _SNAPSHOT, again)
    found = document.get("format_version")
    if type(found) is not int or found != SNAPSHOT_FORMAT:
        raise ReconcilerError(
            f"the snapshot has format {_number(found)}, this program knows format {SNAPSHOT_FORMAT}: {again} of this version"
        )
    fault = _fault(document, "snapshot")
    if fault is not None:
        raise ReconcilerError(
            f"the snapshot was edited by hand or made by another version ({fault}): {again}"
        )
    try:
        return _observed(document)
    except LedgerError:  # its sentence speaks of Vault
        raise ReconcilerError(
            f"the ledger in the snapshot can't be read by this version: {again}"
        ) from None
    except (
        ValueError,
        RecursionError,
    ):  # an instant that the calendar does not know, or nesting without end
        raise ReconcilerError(
            f"the snapshot was edited by hand (a value in it can't be): {again}"
        ) from None


def _observed(document: dict[str, Any]) -> Observed:
    ledger = document["ledger"]
    if ledger["holder"] is not None:
        ledger = {**ledger, "holder": {"write": "", "who": _UNNAMED, **ledger["holder"]}}
    return Observed(
        now_ms=instant_ms(document["taken_at"]),
        api_url=document["api_url"],
        place=document["place"],
        ledger=from_text(json.dumps(ledger, default=str)),
        ledger_version=document["ledger_version"],
        live=tuple(_read_live(token) for token in document["live"]),
        signer_id=document["signer_id"],
        secrets={
            path: SecretMeta(
                latest=meta["latest"], state=VersionState(meta["state"]), oldest=meta["oldest"]
            )
            for path, meta in document["secrets"].items()
        },
        contents={path: Content(**content) for path, content in document["contents"].items()},
        foreign_unnamed=document["foreign_unnamed"],
    )


def _read_live(token: dict[str, Any]) -> LiveToken:
    used_at = token["last_used_at"]
    return LiveToken(
        token_id=token["token_id"],
        label=token["label"],
        scopes=tuple(token["scopes"]),
        created_at_ms=instant_ms(token["created_at"]),
        last_used_at_ms=None if used_at is None else instant_ms(used_at),
    )


# --- reading any of them ---


def _parsed(text: str, wanted: str, again: str) -> dict[str, Any]:
    """The JSON object, if it says that it is the wanted document."""
    name = wanted.removeprefix("reconciler ")
    try:
        document = json.loads(
            text,
            object_pairs_hook=each_key_once,
            parse_float=decimal.Decimal,
            parse_constant=_no_constant,
        )
        json.dumps(
            document, ensure_ascii=False, default=str
        ).encode()  # half a surrogate pair is no text that could be printed
    except (ValueError, RecursionError):
        raise ReconcilerError(
            f"this is not a {name}: it can't be read as JSON (another file, or cut off?); {again}"
        ) from None
    found = document.get("document") if isinstance(document, dict) else None
    if not isinstance(document, dict) or found != wanted:
        what = (
            f"a {found.removeprefix('reconciler ')}"
            if found in _DOCUMENTS
            else "JSON of something else"
        )
        raise ReconcilerError(f"this is not a {name} but {what}: {again}")
    return document


def _no_constant(_: str) -> None:
    raise ValueError("JSON has no such number")


def _number(found: object) -> str:
    return str(found) if type(found) is int and abs(found) <= _MOST_FORMATS else "unknown"


def _fault(document: dict[str, Any], name: str) -> str | None:
    """What is wrong with a document by its schema: the key that it is in, or None."""
    # 60 ms and 10 MiB, only where a document is read
    from jsonschema import Draft202012Validator  # noqa: PLC0415

    try:
        error = next(Draft202012Validator(load_schema(name)).iter_errors(document), None)
    except RecursionError:  # its message would show the value
        return "it is nested without end"
    if error is None:
        return None
    where = [str(step) for step in error.absolute_path]
    return f"see `{where[0]}`" if where else "a key of it is missing or unknown"
