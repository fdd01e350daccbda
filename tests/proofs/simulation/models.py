"""In-memory models of the exchange and of Vault, with the laws of the real ones that
the protocol leans on.

Rules this module keeps:

1. A model decides what is stored and what is answered to a call that arrives; whether a
   call or its answer arrives at all is the world's choice.
2. A model can be copied at the price of a few dictionaries: what they hold is
   immutable.
3. The exchange: a derive makes a new token every time, tokens are immutable, a
   revocation is final, an id that is not live is answered with 400, any live token
   lists and revokes all others, a list may lag behind.
4. Vault: check-and-set on writes and on nothing else, deletes by number and soft,
   versions beyond ``max_versions`` are trimmed by the next write, the number of a
   deleted version stays the latest, and the next write is made on it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import typing
from collections.abc import Callable
from typing import Any

from reconciler.model import (
    NEVER_WRITTEN,
    Credentials,
    LiveToken,
    Secret,
    SecretMeta,
    SecretVersion,
    VersionState,
)
from reconciler.state import LEDGER_FIELD, LEDGER_NAME, is_absolute, parts_of
from reconciler.state.codec import from_plain, to_plain
from reconciler.state.ledger import Closed, Entry, Ledger
from reconciler.state.ledger_text import from_text, to_text
from reconciler.state.secret import TOKEN_ID, Fields
from tests.proofs.simulation.shown import AT_ONCE, Law

PERSON = "person"
SECRET_MARK = "secret of"
TIMES_KEPT = 10
LEDGERS_KEPT = 12


WRONG = Secret("no token's secret")


def secret_of(token_id: str) -> Secret:
    """The secret of a token: the same text each time, so that a forgery shows."""
    return Secret(f"{SECRET_MARK} {token_id}")


@dataclasses.dataclass(slots=True)
class Exchange:
    """The tokens of one profile.

    ``made_by`` and ``ended_by`` name a run or the person, for every token that ever
    was.

    ``duds`` are tokens whose secret is never accepted. ``shown`` is what a list answers
    while it lags, None when it does not. ``law`` is what is shown of uses, and ``late``
    has those that are not shown yet, oldest first. A derive beyond ``most`` tokens ends
    the oldest one.
    """

    live: dict[str, LiveToken] = dataclasses.field(default_factory=dict)
    made_by: dict[str, str] = dataclasses.field(default_factory=dict)
    ended_by: dict[str, str] = dataclasses.field(default_factory=dict)
    duds: frozenset[str] = frozenset()
    shown: tuple[LiveToken, ...] | None = None
    law: Law = AT_ONCE
    late: tuple[tuple[str, int], ...] = ()
    most: int | None = None

    def clone(self) -> Exchange:
        """An independent copy."""
        return Exchange(
            dict(self.live),
            dict(self.made_by),
            dict(self.ended_by),
            self.duds,
            self.shown,
            self.law,
            self.late,
            self.most,
        )

    def derive(
        self, token_id: str, *, label: str, scopes: tuple[str, ...], now_ms: int, by: str
    ) -> LiveToken:
        """One more token; where there is a most, the oldest one ends for it.

        Nothing that we do: the exchange's own doing counts as a person's.
        """
        assert token_id not in self.made_by
        if self.most is not None and len(self.live) >= self.most:
            self.revoke(next(iter(self.live)), by=PERSON)
        token = LiveToken(token_id=token_id, label=label, scopes=scopes, created_at_ms=now_ms)
        self.live[token_id] = token
        self.made_by[token_id] = by
        return token

    def accepts(self, credentials: Credentials) -> bool:
        """Whether a request that is signed so is let in."""
        token_id = credentials.token_id
        genuine = credentials.secret.reveal() == secret_of(token_id).reveal()
        return genuine and token_id in self.live and token_id not in self.duds

    def use(self, token_id: str, now_ms: int) -> None:
        """Somebody signed with it."""
        if self.law.hidden_ms:
            self.late = (*self.late, (token_id, now_ms))
            return
        self._show(token_id, self.law.written(self.live[token_id].last_used_at_ms, now_ms))

    def _show(self, token_id: str, used_ms: int | None) -> None:
        old = self.live[token_id]
        self.live[token_id] = LiveToken(
            token_id=token_id,
            label=old.label,
            scopes=old.scopes,
            created_at_ms=old.created_at_ms,
            last_used_at_ms=used_ms,
        )

    def listing(self, now_ms: int) -> tuple[LiveToken, ...]:
        """What a list call answers."""
        while self.late and self.late[0][1] <= now_ms - self.law.hidden_ms:
            (token_id, used_ms), *left = self.late
            self.late = tuple(left)
            if token_id in self.live:
                self._show(token_id, used_ms)
        return tuple(self.live.values()) if self.shown is None else self.shown

    def revoke(self, token_id: str, *, by: str) -> bool:
        """Final. False where the id is not live: the caller's 400."""
        if self.live.pop(token_id, None) is None:
            return False
        self.ended_by[token_id] = by
        return True

    def key(self) -> object:
        """What a later answer depends on."""
        return (
            frozenset(self.live.values()),
            frozenset(self.ended_by.items()),
            self.duds,
            self.shown,
            self.late,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Version:
    """One version of a secret.

    ``token_id`` is the consumers' field, None for a placeholder or a text of a
    person's. ``wrong``: the secret beside it does not sign.
    """

    token_id: str | None
    fields: tuple[tuple[str, str], ...]
    has_secret: bool
    by: str
    deleted: bool = False
    destroyed: bool = False
    created_at_ms: int = 0
    ends_at_ms: int | None = None
    wrong: bool = False

    @property
    def placeholder(self) -> bool:
        """The empty document that a fence writes."""
        return not self.deleted and not self.fields and not self.has_secret


@dataclasses.dataclass(frozen=True, slots=True)
class History:
    """The versions of a path that are still there; ``first`` is the number of the
    oldest.
    """

    first: int = 1
    versions: tuple[Version, ...] = ()

    @property
    def latest(self) -> int:
        """The number of the latest version, 0 where there is none."""
        return self.first + len(self.versions) - 1

    def get(self, number: int) -> Version | None:
        """The version of that number, if it was written and not trimmed."""
        at = number - self.first
        return self.versions[at] if 0 <= at < len(self.versions) else None


NO_HISTORY = History()


PLACE = "secret/limitless/tokens"


@dataclasses.dataclass(frozen=True, slots=True)
class Shelf:
    """The ledger of a place that is not here: its last versions, and their number."""

    ledgers: tuple[Ledger, ...] = ()
    version: int = 0
    deleted: bool = False


def _keyed(whole: str, here: str) -> str:
    return whole.removeprefix(f"/{here}/")


@dataclasses.dataclass(slots=True)
class Vault:
    """One KV version 2 mount: the secrets, and the last versions of the ledger, each as
    its text reads. ``now_ms`` is its clock, by which it dates what is written; two
    versions of one number never have the same date (``forgotten``). What is written at
    a path of ``lives`` ends by itself after so long. ``here`` is the place that the
    manifest names; the ledgers of other places are ``elsewhere``.
    """

    max_versions: int = TIMES_KEPT
    secrets: dict[str, History] = dataclasses.field(default_factory=dict)
    ledgers: tuple[Ledger, ...] = ()
    ledger_version: int = 0
    ledger_deleted: bool = False
    now_ms: int = 0
    forgotten: dict[str, int] = dataclasses.field(default_factory=dict)
    lives: dict[str, int] = dataclasses.field(default_factory=dict)
    ending: frozenset[str] = frozenset()
    here: str = PLACE
    elsewhere: dict[str, Shelf] = dataclasses.field(default_factory=dict)

    def clone(self) -> Vault:
        """An independent copy."""
        return Vault(
            self.max_versions,
            dict(self.secrets),
            self.ledgers,
            self.ledger_version,
            self.ledger_deleted,
            self.now_ms,
            dict(self.forgotten),
            dict(self.lives),
            self.ending,
            self.here,
            dict(self.elsewhere),
        )

    # --- places ---

    def key_at(self, place: str, path: str) -> str:
        """The key of a path of a run at this place, which may be absolute.

        A path here is its own key; any other has its whole place in front, after a
        slash.
        """
        whole = "/".join(parts_of(path)) if is_absolute(path) else f"{place}/{path}"
        return _keyed(f"/{whole}", self.here)

    def go_to(self, place: str) -> Callable[[str], str]:
        """Call another place ``here``; returns how keys are called from now on."""
        was, self.here = self.here, place

        def renamed(key: str) -> str:
            return _keyed(key if key.startswith("/") else f"/{was}/{key}", place)

        self.elsewhere[was] = Shelf(self.ledgers, self.ledger_version, self.ledger_deleted)
        shelf = self.elsewhere.pop(place, Shelf())
        self.ledgers, self.ledger_version = shelf.ledgers, shelf.version
        self.ledger_deleted = shelf.deleted
        for name in ("secrets", "forgotten", "lives"):
            found = getattr(self, name)
            setattr(self, name, {renamed(key): value for key, value in found.items()})
        self.ending = frozenset(map(renamed, self.ending))
        return renamed

    def places(self) -> tuple[str, ...]:
        """Here, and wherever else there is a ledger."""
        return (self.here, *self.elsewhere)

    def ledger_at(self, place: str) -> tuple[Ledger | None, int]:
        """What a run at this place reads."""
        if place == self.here:
            return self.ledger(), self.ledger_version
        shelf = self.elsewhere.get(place, Shelf())
        return (shelf.ledgers[-1] if shelf.ledgers else None), shelf.version

    def write_ledger_at(self, place: str, ledger: Ledger, *, cas: int) -> int | None:
        """As ``write_ledger``, by a run at this place."""
        if place == self.here:
            return self.write_ledger(ledger, cas=cas)
        shelf = self.elsewhere.get(place, Shelf())
        if shelf.version != cas:
            return None
        ledgers = (*shelf.ledgers, as_read(ledger))[-LEDGERS_KEPT:]
        self.elsewhere[place] = Shelf(ledgers, cas + 1)
        return cas + 1

    # --- secrets ---

    def history(self, path: str) -> History:
        """All that is left of a path."""
        return self.secrets.get(path, NO_HISTORY)

    def content(self, path: str) -> Version | None:
        """What a consumer finds: the latest version, unless it is deleted."""
        history = self.secrets.get(path)
        found = history.versions[-1] if history is not None and history.versions else None
        return None if found is None or found.deleted else found

    def write(self, path: str, version: Version, *, cas: int) -> int | None:
        """The new version's number, or None where the latest is not ``cas``."""
        history = self.history(path)
        if history.latest != cas:
            return None
        created_at_ms = max(self.now_ms, self.forgotten.get(path, -1) + 1)
        ends_at_ms = created_at_ms + self.lives[path] if path in self.lives else None
        version = dataclasses.replace(version, created_at_ms=created_at_ms, ends_at_ms=ends_at_ms)
        if ends_at_ms is not None:
            self.ending |= {path}
        versions = (*history.versions, version)
        dropped = max(0, len(versions) - self.max_versions)
        self.secrets[path] = History(history.first + dropped, versions[dropped:])
        return cas + 1

    def delete(self, path: str, number: int, *, destroyed: bool = False) -> None:
        """Soft unless ``destroyed``: the version keeps its number.

        One that is gone or never was is no error.
        """
        found = self.history(path).get(number)
        if found is not None:
            self._replace(
                path,
                number,
                dataclasses.replace(found, deleted=True, destroyed=found.destroyed or destroyed),
            )

    def let_end(self, now_ms: int) -> None:
        """Soft-delete what has ended by now."""
        self.now_ms = now_ms
        for path in self.ending:
            for at, version in enumerate(self.history(path).versions):
                if version.ends_at_ms is not None and version.ends_at_ms <= now_ms:
                    self.delete(path, self.history(path).first + at)

    def forget(self, path: str) -> None:
        """Delete a path's metadata: numbers begin at 1 again."""
        history = self.secrets.pop(path, None)
        if history is not None:
            self.forgotten[path] = max(v.created_at_ms for v in history.versions)

    def undelete(self, path: str) -> None:
        """Bring the latest version back, unless it was destroyed; a person does so."""
        number = self.history(path).latest
        found = self.history(path).get(number)
        if found is not None and not found.destroyed:
            self._replace(path, number, dataclasses.replace(found, deleted=False, by=PERSON))

    def bring_back(self, path: str, number: int) -> None:
        """Undelete a version, unless it was destroyed or never was; a run does so."""
        found = self.history(path).get(number)
        if found is not None and not found.destroyed:
            self._replace(path, number, dataclasses.replace(found, deleted=False))

    def _replace(self, path: str, number: int, version: Version) -> None:
        history = self.history(path)
        at = number - history.first
        self.secrets[path] = History(
            history.first, (*history.versions[:at], version, *history.versions[at + 1 :])
        )

    def read(self, path: str, number: int | None) -> SecretVersion:
        """As the adapter answers: the latest under its number even if deleted, ABSENT
        what never was or was trimmed.
        """
        if path == LEDGER_NAME:
            return self._read_ledger()
        history = self.history(path)
        wanted = history.latest if number is None else number
        found = history.get(wanted)
        if found is None:
            return SecretVersion(version=wanted, state=VersionState.ABSENT)
        if found.deleted:
            return SecretVersion(
                version=wanted, state=VersionState.DELETED, created_at_ms=found.created_at_ms
            )
        secret = secret_of(found.token_id or "") if found.has_secret else None
        if found.wrong:
            secret = WRONG
        return SecretVersion(
            version=wanted,
            state=VersionState.LIVING,
            fields=tuple(
                (name, secret if secret is not None and text == secret.reveal() else text)
                for name, text in found.fields
            ),
            secret=secret,
            created_at_ms=found.created_at_ms,
            ends_at_ms=found.ends_at_ms,
        )

    def _read_ledger(self) -> SecretVersion:
        """The ledger as a secret, for a run at another place."""
        ledger, version = self.ledger(), self.ledger_version
        if ledger is None:
            state = VersionState.DELETED if version else VersionState.ABSENT
            return SecretVersion(version=version, state=state)
        fields = ((LEDGER_FIELD, to_text(ledger)),)
        return SecretVersion(version=version, state=VersionState.LIVING, fields=fields)

    def meta(self, path: str) -> SecretMeta:
        """As the adapter answers."""
        if path == LEDGER_NAME:
            state = VersionState.DELETED if self.ledger_deleted else VersionState.LIVING
            return SecretMeta(latest=self.ledger_version, state=state, oldest=1)
        if path.endswith(f"/{LEDGER_NAME}"):
            place = path.removesuffix(f"/{LEDGER_NAME}").removeprefix("/")
            latest = self.ledger_at(place)[1]
            return SecretMeta(latest=latest, state=VersionState.LIVING, oldest=1)
        history = self.history(path)
        if not history.versions:
            return dataclasses.replace(NEVER_WRITTEN, life_ms=self.lives.get(path))
        state = VersionState.DELETED if history.versions[-1].deleted else VersionState.LIVING
        return SecretMeta(
            latest=history.latest,
            state=state,
            oldest=history.first,
            created_at_ms=history.versions[-1].created_at_ms,
            ends_at_ms=history.versions[-1].ends_at_ms,
            life_ms=self.lives.get(path),
            destroyed=history.versions[-1].destroyed,
        )

    def paths(self) -> tuple[str, ...]:
        """The paths below the prefix, soft-deleted ones too."""
        ours = (LEDGER_NAME,) if self.ledger_version else ()
        return tuple(sorted((*(k for k in self.secrets if not k.startswith("/")), *ours)))

    # --- the ledger ---

    def write_ledger(self, ledger: Ledger, *, cas: int) -> int | None:
        """The new version's number, or None where the latest is not ``cas``."""
        if self.ledger_version != cas:
            return None
        self._write_ledger(as_read(ledger))
        return self.ledger_version

    def _write_ledger(self, ledger: Ledger) -> None:
        self.ledgers = (*self.ledgers, ledger)[-LEDGERS_KEPT:]
        self.ledger_version += 1
        self.ledger_deleted = False

    def roll_ledger_back(self, versions: int) -> bool:
        """Write the ledger of so many versions ago, as ``vault kv rollback`` does.

        False where it is not kept, and for one that a move has made invalid.
        """
        if len(self.ledgers) <= versions or not is_valid(self.ledgers[-1 - versions]):
            return False
        self._write_ledger(self.ledgers[-1 - versions])
        return True

    def ledger(self) -> Ledger | None:
        """The ledger as a reader parses it; None where there is none, or its latest
        version is deleted.
        """
        return None if self.ledger_deleted or not self.ledgers else self.ledgers[-1]

    def key(self) -> object:
        """What a later answer depends on; of the ledger's log, nothing does."""
        ledger = ledger_key(self.ledgers[-1]) if self.ledgers else None
        return (
            frozenset(self.secrets.items()),
            ledger,
            self.ledger_version,
            self.ledger_deleted,
            self.max_versions,
            frozenset(self.lives.items()),
            self.here,
            frozenset((at, ledger_key(s.ledgers[-1]), s.version) for at, s in self._shelves()),
        )

    def _shelves(self) -> list[tuple[str, Shelf]]:
        return [(place, shelf) for place, shelf in self.elsewhere.items() if shelf.ledgers]


def is_valid(ledger: Ledger | None) -> bool:
    """Whether a run may go by a ledger: it has not moved, and is not still arriving."""
    return ledger is not None and ledger.moved_to is None and ledger.arriving_from is None


def as_read(ledger: Ledger) -> Ledger:
    """The ledger as it comes back from its text.

    Each part goes through its text once, however often it is written: a ledger of which
    nothing but the holder is new has little to be read. ``check_text`` is of the whole.
    """
    parts: dict[str, Any] = {}
    for name, kind in _parts():
        part = getattr(ledger, name)
        if name == "tokens":
            parts[name] = {label: _as_read(Entry, part[label]) for label in sorted(part)}
        elif name == "closed":
            parts[name] = tuple(_as_read(Closed, row) for row in part)
        else:
            parts[name] = _as_read(kind, part)
    return Ledger(**parts)


@functools.cache
def _parts() -> tuple[tuple[str, Any], ...]:
    return tuple(typing.get_type_hints(Ledger).items())


@functools.lru_cache(maxsize=16_384)
def _as_read(kind: Any, part: Any) -> Any:
    text = json.dumps(to_plain(part))
    assert SECRET_MARK not in text, "a secret stands in the ledger"
    return from_plain(kind, json.loads(text))


def check_text(ledger: Ledger) -> None:
    """The text of the whole ledger reads as its parts do."""
    assert from_text(to_text(ledger)) == ledger


def ledger_key(ledger: Ledger) -> object:
    """All of a ledger that anything depends on: not its log."""
    return (
        ledger.profile_id,
        ledger.files,
        ledger.holder,
        frozenset(ledger.tokens.items()),
        ledger.abandoned,
        ledger.uses,
        ledger.released,
        ledger.left,
        ledger.moved_to,
        ledger.arriving_from,
        ledger.rotations,
    )


def version_of(fields: Fields, secret: Secret | None, *, by: str) -> Version:
    """A version as it arrives in a write.

    The secret must be the token's own: nothing else is ever written by us.
    """
    texts = tuple(sorted((name, v.reveal() if isinstance(v, Secret) else v) for name, v in fields))
    token_id = dict(texts).get(TOKEN_ID)
    wrong = secret is not None and secret.same_as(WRONG)
    if secret is not None and token_id is not None and not wrong:
        assert secret.reveal() == secret_of(token_id).reveal(), (
            "a secret was written under another token's id"
        )
    return Version(token_id, texts, secret is not None, by, wrong=wrong)
