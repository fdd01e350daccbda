"""The ledger: one document in Vault that remembers which token is ours, and why.

It holds no secret. Its KV version is the serial number, the optimistic lock and the
fence of a run, so every change is one check-and-set write of the whole document.

Rules this module keeps:

1. Values and pure transitions only: nothing here reads Vault, a clock or randomness. A
   transition checks what it relies on and refuses with a LedgerError: only our own
   check-and-set writes move the document, so it means a defect or an edit by hand.
2. An id is in at most one place of a label: current, retiring or revoking. Revoking is
   the point of no return: no transition leads out of it but ``close_revoking``.
3. Canonical text: sorted keys, no floats, no space; the same ledger gives the same
   bytes.
4. What can't be read (edited by hand, truncated, from a newer version) is an error that
   names the way back, never a guess.

Beyond the fields of the contract, an intent and a retiring or revoking id name their
``path`` (a change of path has two of them at once), and a retiring id keeps the
``verified_at`` of its time as current: both are needed to judge it later.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from reconciler.errors import ReconcilerError
from reconciler.model import DAY_MS, instant_ms, iso

SCHEMA = 1
LEDGER_NAME = "_ledger"
CLOSED_KEPT = 200
ABANDONED_KEPT_MS = 7 * DAY_MS

MAX_ENTRY_BYTES = 1_000_000
"""A little under the 1 MiB that a raft entry may have, for the envelope around our one string."""

_COUNTS_END = 2**63

T = TypeVar("T")


class LedgerError(ReconcilerError):
    """The ledger's text is not a ledger of ours."""


class IntentKind(enum.Enum):
    """What a write of a secret is for; each kind is recovered in its own way."""

    DERIVE = "derive"
    ROTATE = "rotate"
    RESTORE = "restore"
    ROLLBACK = "rollback"
    ADOPT = "adopt"

    @property
    def derives(self) -> bool:
        """Whether a POST belongs to it, and so perhaps a token that nobody knows."""
        return self in {IntentKind.DERIVE, IntentKind.ROTATE}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds the lease; ``write`` names the last write, so that an unclear reply can be settled by reading."""

    run: str
    write: str
    who: str
    expires_at_ms: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """The token of a label that consumers are meant to hold.

    ``version`` is the KV version of the secret that holds it. Uses up to
    ``verified_at_ms`` may be our own.
    """

    token_id: str
    live_label: str
    created_at_ms: int
    version: int
    verified_at_ms: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A write of a secret that was begun: everything that a later run needs to finish or undo it."""

    kind: IntentKind
    operation_id: str
    run: str
    since_ms: int
    before: tuple[str, ...]
    cas: int
    path: str
    scopes: tuple[str, ...]
    compromised: bool = False
    token_id: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Retiring:
    """A predecessor within its overlap.

    ``path`` is where its secret lies if that is not the label's path any more.
    """

    token_id: str
    live_label: str
    superseded_at_ms: int
    not_before_ms: int
    reason: str
    verified_at_ms: int = 0
    path: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Revoking:
    """An id that is to go, whatever happens."""

    token_id: str
    live_label: str
    reason: str
    path: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the ledger knows of a label."""

    path: str
    protect: bool = False
    current: Current | None = None
    intent: Intent | None = None
    retiring: tuple[Retiring, ...] = ()
    revoking: tuple[Revoking, ...] = ()

    @property
    def idle(self) -> bool:
        """Nothing is left to remember but perhaps the protection."""
        return (
            self.current is None and self.intent is None and not self.retiring and not self.revoking
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned:
    """An intent that was closed without knowing whether its derive ever landed."""

    label: str
    since_ms: int
    closed_at_ms: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The end of a token id, or of an attempt (then without an id): the audit trail."""

    label: str
    token_id: str | None
    outcome: str
    at_ms: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The whole document."""

    ledger_id: str
    api_url: str
    profile_id: int | None = None
    files: tuple[str, ...] = ()
    holder: Holder | None = None
    tokens: Mapping[str, Entry] = dataclasses.field(default_factory=dict)
    abandoned: tuple[Abandoned, ...] = ()
    closed: tuple[Closed, ...] = ()

    def known_ids(self) -> dict[str, str]:
        """Every id that the ledger knows as current, retiring or revoking, with its label."""
        ids: dict[str, str] = {}
        for label, entry in self.tokens.items():
            if entry.current is not None:
                ids[entry.current.token_id] = label
            ids.update((retiring.token_id, label) for retiring in entry.retiring)
            ids.update((revoking.token_id, label) for revoking in entry.revoking)
        return ids


Transition = Callable[[Ledger], Ledger]
"""One step of the ledger.

Made by the functions below; applied by the run's single writer.
"""


def _entry(ledger: Ledger, label: str, path: str | None = None) -> Entry:
    found = ledger.tokens.get(label)
    if found is not None:
        return found
    if path is None:
        raise LedgerError(f"the ledger does not know {label}")
    return Entry(path=path)


# reads like an assertion, which -O would drop
def _require(holds: bool, sentence: str) -> None:  # noqa: FBT001
    if not holds:
        raise LedgerError(
            f"the ledger contradicts itself ({sentence}): was it edited by hand? Look at its latest versions"
        )


def _with(ledger: Ledger, label: str, entry: Entry) -> Ledger:
    tokens = dict(ledger.tokens)
    if entry.idle and not entry.protect:
        tokens.pop(label, None)
    else:
        tokens[label] = entry
    return dataclasses.replace(ledger, tokens=tokens)


def _log(ledger: Ledger, *rows: Closed) -> Ledger:
    return dataclasses.replace(ledger, closed=(*ledger.closed, *rows)[-CLOSED_KEPT:])


def open_intent(label: str, intent: Intent, *, protect: bool | None) -> Transition:
    """Step 1 of every write of a secret.

    A new label's protection is remembered from here on; later it has rows of its own.
    """

    def step(ledger: Ledger) -> Ledger:
        entry = _entry(ledger, label, intent.path)
        _require(entry.intent is None, f"{label} has an open intent already")
        kept = bool(protect) if label not in ledger.tokens else entry.protect
        return _with(ledger, label, dataclasses.replace(entry, intent=intent, protect=kept))

    return step


def name_intent(label: str, operation_id: str, token_id: str) -> Transition:
    """Step 3: the id of the derived token, before anybody uses it.

    An id that was known before is no new token's: the exchange, or something before it,
    answered with an old reply.
    """

    def step(ledger: Ledger) -> Ledger:
        entry = _entry(ledger, label)
        intent = _own(entry, operation_id)
        _refuse_known(ledger, token_id, intent)
        return _with(
            ledger,
            label,
            dataclasses.replace(entry, intent=dataclasses.replace(intent, token_id=token_id)),
        )

    return step


def _refuse_known(ledger: Ledger, token_id: str, own: Intent | None = None) -> None:
    """LedgerError where the id is a token that is known already, be it that another open intent names it."""
    others = (
        entry.intent
        for entry in ledger.tokens.values()
        if entry.intent is not None and entry.intent != own
    )
    before = own.before if own is not None else ()
    if (
        token_id in ledger.known_ids()
        or token_id in before
        or any(intent.token_id == token_id for intent in others)
    ):
        raise LedgerError(f"{token_id} is known already")


def _own(entry: Entry, operation_id: str) -> Intent:
    intent = entry.intent
    if intent is None or intent.operation_id != operation_id:
        raise LedgerError("the open intent is not this run's")
    return intent


def _current(entry: Entry, label: str) -> Current:
    if entry.current is None:
        raise LedgerError(f"{label} has no current token")
    return entry.current


def close_intent(
    label: str, operation_id: str, *, outcome: str, at_ms: int, version: int | None = None
) -> Transition:
    """The write was certainly not done and left no token: forget it.

    ``version`` is a fence's that rewrote the content.
    """

    def step(ledger: Ledger) -> Ledger:
        entry = _entry(ledger, label)
        intent = _own(entry, operation_id)
        entry = dataclasses.replace(_moved(entry, intent.path, version), intent=None)
        return _log(
            _with(ledger, label, entry),
            Closed(label=label, token_id=None, outcome=outcome, at_ms=at_ms),
        )

    return step


def abandon_intent(
    label: str, operation_id: str, *, at_ms: int, version: int | None = None
) -> Transition:
    """The derive may still land, and no token can be named: remember that, so that a late one is not a riddle."""

    def step(ledger: Ledger) -> Ledger:
        since_ms = _own(_entry(ledger, label), operation_id).since_ms
        ledger = close_intent(
            label, operation_id, outcome="abandoned", at_ms=at_ms, version=version
        )(ledger)
        return _remember(ledger, label, since_ms, at_ms)

    return step


def _remember(ledger: Ledger, label: str, since_ms: int, at_ms: int) -> Ledger:
    row = Abandoned(label=label, since_ms=since_ms, closed_at_ms=at_ms)
    kept = tuple(a for a in ledger.abandoned if at_ms - a.closed_at_ms <= ABANDONED_KEPT_MS)
    return dataclasses.replace(ledger, abandoned=(*kept, row))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Discarded:
    """A new token that is not kept, and why."""

    token_id: str
    reason: str
    at_ms: int


def drop_intent(
    label: str, operation_id: str, discarded: Discarded, *, version: int | None = None
) -> Transition:
    """The commit is disproved: the intent's token goes.

    One write, so that no crash leaves it unrecorded.

    A token that was not named was inferred: should its own still land, that is no
    riddle either.
    """

    def step(ledger: Ledger) -> Ledger:
        entry = _entry(ledger, label)
        intent = _own(entry, operation_id)
        _refuse_known(ledger, discarded.token_id, intent)
        if intent.token_id is None:
            ledger = _remember(ledger, label, intent.since_ms, discarded.at_ms)
        away = _elsewhere(entry, intent.path)
        row = Revoking(
            token_id=discarded.token_id, live_label=label, reason=discarded.reason, path=away
        )
        entry = _moved(entry, intent.path, version)
        return _with(
            ledger, label, dataclasses.replace(entry, intent=None, revoking=(*entry.revoking, row))
        )

    return step


def retire_intent(label: str, operation_id: str, perhaps: Retiring) -> Transition:
    """The intent's token may have been committed and read, but its version is gone: it lives on through an overlap.

    Nothing is known of who uses it, so it goes as any predecessor does: by evidence.
    ``perhaps.path`` is set here.
    """

    def step(ledger: Ledger) -> Ledger:
        entry = _entry(ledger, label)
        intent = _own(entry, operation_id)
        _refuse_known(ledger, perhaps.token_id, intent)
        row = dataclasses.replace(perhaps, path=_elsewhere(entry, intent.path))
        return _with(
            ledger, label, dataclasses.replace(entry, intent=None, retiring=(*entry.retiring, row))
        )

    return step


def _elsewhere(entry: Entry, path: str) -> str | None:
    return None if path == entry.path else path


def _moved(entry: Entry, path: str, version: int | None) -> Entry:
    """The entry after a fence wrote the current token's content again as ``version``."""
    if version is None or entry.current is None or path != entry.path:
        return entry
    return dataclasses.replace(entry, current=dataclasses.replace(entry.current, version=version))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Retirement:
    """What becomes of the predecessor when its successor is recorded; ``revoke_all``: and of those that retire already."""

    at_ms: int
    overlap_ms: int
    reason: str
    revoke_now: bool = False
    revoke_all: bool = False
    already_gone: bool = False


def record_current(
    label: str, operation_id: str, current: Current, retirement: Retirement
) -> Transition:
    """Step 6: the commit is known.

    The new token is current, the predecessor retires or goes at once, the intent is
    closed.
    """

    def step(ledger: Ledger) -> Ledger:
        entry = _entry(ledger, label)
        intent = _own(entry, operation_id)
        old = entry.current
        owner = ledger.known_ids().get(current.token_id, label)
        _require(owner == label, f"{current.token_id} is {owner}'s and would be {label}'s")
        rows: tuple[Closed, ...] = ()
        retiring = tuple(r for r in entry.retiring if r.token_id != current.token_id)
        revoking = entry.revoking
        _require(
            all(r.token_id != current.token_id for r in revoking),
            f"{current.token_id} is revoking and would be current",
        )
        if old is not None and old.token_id != current.token_id:
            if retirement.already_gone:
                rows = (
                    Closed(
                        label=label,
                        token_id=old.token_id,
                        outcome="revoked elsewhere",
                        at_ms=retirement.at_ms,
                    ),
                )
            elif retirement.revoke_now:
                gone = Revoking(
                    token_id=old.token_id, live_label=old.live_label, reason=retirement.reason
                )
                revoking = (*revoking, gone)
            else:
                retiring = (*retiring, _retire(old, retirement))
        if retirement.revoke_all:
            revoking = (*revoking, *(_hurried(r, retirement.reason) for r in retiring))
            retiring = ()
        if intent.path != entry.path:  # what is on its way out lies where it lay
            retiring = tuple(dataclasses.replace(r, path=r.path or entry.path) for r in retiring)
            revoking = tuple(dataclasses.replace(r, path=r.path or entry.path) for r in revoking)
        entry = dataclasses.replace(
            entry,
            path=intent.path,
            current=current,
            intent=None,
            retiring=retiring,
            revoking=revoking,
        )
        return _log(_with(ledger, label, entry), *rows)

    return step


def _hurried(retiring: Retiring, reason: str) -> Revoking:
    return Revoking(
        token_id=retiring.token_id,
        live_label=retiring.live_label,
        reason=reason,
        path=retiring.path,
    )


def _retire(old: Current, retirement: Retirement) -> Retiring:
    return Retiring(
        token_id=old.token_id,
        live_label=old.live_label,
        superseded_at_ms=retirement.at_ms,
        not_before_ms=retirement.at_ms + retirement.overlap_ms,
        reason=retirement.reason,
        verified_at_ms=old.verified_at_ms,
    )


def start_revoking(label: str, token_id: str, *, reason: str) -> Transition:
    """The point of no return of the label's current or a retiring id."""

    def step(ledger: Ledger) -> Ledger:
        entry = _entry(ledger, label)
        if entry.current is not None and entry.current.token_id == token_id:
            gone = Revoking(token_id=token_id, live_label=entry.current.live_label, reason=reason)
            return _with(
                ledger,
                label,
                dataclasses.replace(entry, current=None, revoking=(*entry.revoking, gone)),
            )
        old = next((r for r in entry.retiring if r.token_id == token_id), None)
        if old is None:
            raise LedgerError(f"{token_id} is neither current nor retiring")
        gone = Revoking(token_id=token_id, live_label=old.live_label, reason=reason, path=old.path)
        left = tuple(r for r in entry.retiring if r.token_id != token_id)
        return _with(
            ledger,
            label,
            dataclasses.replace(entry, retiring=left, revoking=(*entry.revoking, gone)),
        )

    return step


def revoke_interrupted(label: str, token_id: str) -> Transition:
    """An interrupted token that could only be found after its intent was closed: the manager's, when nobody could list."""

    def step(ledger: Ledger) -> Ledger:
        entry = _entry(ledger, label)
        _refuse_known(ledger, token_id)
        gone = Revoking(token_id=token_id, live_label=label, reason="interrupted")
        return _with(ledger, label, dataclasses.replace(entry, revoking=(*entry.revoking, gone)))

    return step


def close_revoking(label: str, token_id: str, *, outcome: str, at_ms: int) -> Transition:
    """The id is gone from the exchange."""

    def step(ledger: Ledger) -> Ledger:
        entry = _entry(ledger, label)
        left = tuple(r for r in entry.revoking if r.token_id != token_id)
        _require(len(left) == len(entry.revoking) - 1, f"{token_id} is not revoking")
        ledger = _with(ledger, label, dataclasses.replace(entry, revoking=left))
        return _log(ledger, Closed(label=label, token_id=token_id, outcome=outcome, at_ms=at_ms))

    return step


def set_version(label: str, version: int) -> Transition:
    """The current token's content is found at another version than the recorded one: put the ledger right."""

    def step(ledger: Ledger) -> Ledger:
        entry = _entry(ledger, label)
        _current(entry, label)
        return _with(ledger, label, _moved(entry, entry.path, version))

    return step


def set_verified(label: str, token_id: str, verified_at_ms: int) -> Transition:
    """We signed with the current token again: uses up to now may be ours."""

    def step(ledger: Ledger) -> Ledger:
        entry = _entry(ledger, label)
        current = _current(entry, label)
        _require(current.token_id == token_id, f"{token_id} is not the current token of {label}")
        current = dataclasses.replace(current, verified_at_ms=verified_at_ms)
        return _with(ledger, label, dataclasses.replace(entry, current=current))

    return step


def set_protect(label: str, *, protect: bool) -> Transition:
    """Protection is remembered here, so that a line that vanishes takes none away."""

    def step(ledger: Ledger) -> Ledger:
        return _with(ledger, label, dataclasses.replace(_entry(ledger, label), protect=protect))

    return step


def set_files(files: Iterable[str]) -> Transition:
    """The manifest's files by name: while one of them is missing, nothing counts as removed."""
    names = tuple(sorted(files))

    def step(ledger: Ledger) -> Ledger:
        return dataclasses.replace(ledger, files=names)

    return step


def set_profile(profile_id: int) -> Transition:
    """The profile, once an identity told it."""

    def step(ledger: Ledger) -> Ledger:
        _require(ledger.profile_id in {None, profile_id}, "it belongs to another profile")
        return dataclasses.replace(ledger, profile_id=profile_id)

    return step


def unchanged(ledger: Ledger) -> Ledger:
    """A write that only takes, renews or releases the lease."""
    return ledger


def lease_held_by(ledger: Ledger, now_ms: int, *, not_run: str | None = None) -> Holder | None:
    """The run whose lease lives, unless it is ``not_run``."""
    holder = ledger.holder
    if holder is None or holder.expires_at_ms <= now_ms or holder.run == not_run:
        return None
    return holder


# --- the document's text ---


def to_text(ledger: Ledger) -> str:
    """Canonical JSON."""
    document = {
        "schema": SCHEMA,
        "ledger_id": ledger.ledger_id,
        "profile_id": ledger.profile_id,
        "api_url": ledger.api_url,
        "files": list(ledger.files),
        "holder": None if ledger.holder is None else _plain(ledger.holder),
        "tokens": {label: _entry_plain(entry) for label, entry in ledger.tokens.items()},
        "abandoned": [_plain(a) for a in ledger.abandoned],
        "closed": [_plain(c) for c in ledger.closed],
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def text_bytes(ledger: Ledger) -> int:
    """How large the entry becomes: our text as a JSON string within the request's JSON."""
    return len(json.dumps(to_text(ledger), ensure_ascii=False).encode())


def _entry_plain(entry: Entry) -> dict[str, Any]:
    return {
        "path": entry.path,
        "protect": entry.protect,
        "current": None if entry.current is None else _plain(entry.current),
        "intent": None if entry.intent is None else _plain(entry.intent),
        "retiring": [_plain(r) for r in entry.retiring],
        "revoking": [_plain(r) for r in entry.revoking],
    }


_Row = Holder | Current | Intent | Retiring | Revoking | Abandoned | Closed


def _plain(row: _Row) -> dict[str, Any]:
    """A flat value as JSON: instants lose their ``_ms`` and become ISO text; a path that is nowhere else is left out."""
    plain: dict[str, Any] = {}
    for field in dataclasses.fields(row):
        value: Any = getattr(row, field.name)
        if field.name.endswith("_ms"):
            plain[field.name.removesuffix("_ms")] = iso(value)
        elif isinstance(value, enum.Enum):
            plain[field.name] = value.value
        elif isinstance(value, tuple):
            plain[field.name] = list(value)
        elif field.name != "path" or value is not None:
            plain[field.name] = value
    return plain


def from_text(text: str) -> Ledger:
    """The ledger that ``to_text`` wrote. LedgerError if it can't be one."""
    try:
        document = json.loads(text, object_pairs_hook=each_key_once)
        schema = _schema(document["schema"])
        if schema > SCHEMA:
            raise LedgerError(
                f"the ledger has schema {schema}, this program knows up to {SCHEMA}: update reconciler"
            )
        return _read(document)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise LedgerError(
            "the ledger in Vault can't be read (edited by hand or cut off?): write its last good version again with "
            "`vault kv rollback`"
        ) from None


def each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For ``json.loads``: a key that is there twice (ValueError), as after a copied line, would silently drop the first."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _read(document: dict[str, Any]) -> Ledger:
    profile_id = document["profile_id"]
    return Ledger(
        ledger_id=_text(document["ledger_id"]),
        profile_id=None if profile_id is None else _number(profile_id),
        api_url=_text(document["api_url"]),
        files=_texts(document["files"]),
        holder=_optional(document["holder"], lambda d: _value(Holder, d)),
        tokens={_text(label): _read_entry(entry) for label, entry in document["tokens"].items()},
        abandoned=tuple(_value(Abandoned, d) for d in _list(document["abandoned"])),
        closed=tuple(_value(Closed, d) for d in _list(document["closed"])),
    )


def _read_entry(document: dict[str, Any]) -> Entry:
    path = _text(document["path"])
    return Entry(
        path=path,
        protect=_flag(document["protect"]),
        current=_optional(document["current"], lambda d: _value(Current, d)),
        intent=_optional(document["intent"], lambda d: _value(Intent, {"path": path, **d})),
        retiring=tuple(_value(Retiring, d) for d in _list(document["retiring"])),
        revoking=tuple(_value(Revoking, d) for d in _list(document["revoking"])),
    )


def _optional(document: Any, read: Callable[[Any], T]) -> T | None:
    return None if document is None else read(document)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    value.encode()  # half of a surrogate pair, which JSON can hold, could not be written again
    return value


def _number(value: Any) -> int:
    """A version, an id or a schema: Vault counts in 63 bits, and from 0."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("not a number")
    if not 0 <= value < _COUNTS_END:
        raise ValueError("not a count")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not a flag")
    return value


def _schema(value: Any) -> int:
    if _number(value) < SCHEMA:
        raise ValueError("there was no such schema")
    return _number(value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(v) for v in _list(value))


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "str": _text,
    "int": _number,
    "bool": _flag,
    "str | None": _text_or_none,
    "tuple[str, ...]": _texts,
    "IntentKind": IntentKind,
}


def _value(kind: type[T], document: dict[str, Any]) -> T:
    """A flat value from its JSON, each field read by its declared type; unknown keys are left alone."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]  # only ever called with the dataclasses of this module
        name = field.name.removesuffix("_ms")
        if name not in document and field.default is not dataclasses.MISSING:
            continue
        value = document[name]
        values[field.name] = (
            instant_ms(_text(value))
            if field.name.endswith("_ms")
            else _READERS[str(field.type)](value)
        )
    return kind(**values)
