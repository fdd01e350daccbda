"""The two sides of the contract: the simulation's models, and the real adapters on the
sandbox and a real OpenBao.

A step of a law is a sentence in words, and so is its answer; both sides are asked by
the same effects as the protocol asks.

    exchange
    -------------------------  ----------------------------------------------
    derive NAME LABEL          one more token
    sign NAME                  from now on it signs
    list                       signed by that
    verify NAME                list, signed by NAME
    verify NAME with NAME      with another's secret
    verify NAME too late       after the instant until which it may be signed
    revoke NAME                signed by the signer
    stop                       no more derives
    lose the identity          none to derive with
    person derives NAME LABEL
    person revokes NAME
    lag                        the list stays behind
    catch up                   it shows what is

    vault, of the path ``bot`` (``at PATH`` before it names another)
    -------------------------  ----------------------------------------------
    put CAS CONTENT            write a version with check-and-set
    read, read N               the latest version, a version by its number
    delete N                   soft-delete a version
    bring back N               the same version, to be read again
    meta                       what the metadata says
    ledger                     read the ledger
    ledger CAS NAME            write it with check-and-set
    keep N                     of this path, at most N versions from now on
    destroy N                  a version, for good
    undelete                   the latest version
    forget                     the path's metadata: numbers begin at 1 again
    delete the ledger, undelete the ledger, roll the ledger back

Rules this module keeps:

1. Whatever a reply holds is either in the words of the answer or judged here. What the
   exchange does not promise is in neither: the order of a list, the ids, whether a
   request's own use is in its own reply, how late a list that lags shows uses, the
   time of a version. That is the same wherever the version is told of, and another one
   for each version of a number.
2. Nothing is answered from what was asked: every answer is read from the reply's own
   fields.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

from reconciler.exchange.client import TokenClient
from reconciler.model import (
    DAY_MS,
    HOUR_MS,
    Credentials,
    Derived,
    Secret,
    SecretMeta,
    SecretVersion,
    VersionState,
)
from reconciler.protocol.effects import (
    AwaitTurn,
    DeleteVersion,
    Derive,
    Done,
    Effect,
    Listing,
    ListTokens,
    Mismatch,
    PutLedger,
    PutSecret,
    ReadLedger,
    ReadSecret,
    Refused,
    Revoke,
    StopDeriving,
    Unclear,
    Undelete,
    UseSigner,
    VerifyToken,
    Written,
)
from reconciler.run import Driver, Keys
from reconciler.run.effects import ReadMeta
from reconciler.sandbox import Sandbox, SandboxConfig
from reconciler.state.ledger import LEDGER_NAME
from reconciler.vault.store import SecretStore
from tests.proofs.simulation.invariants import Audit
from tests.proofs.simulation.models import secret_of
from tests.proofs.simulation.runs import Run
from tests.proofs.simulation.scenarios import bare, wish
from tests.proofs.simulation.world import OK
from tests.support import values

PATH = "bot"
ABSENT = VersionState.ABSENT
NOWHERE = Credentials(token_id="nobody", secret=Secret("bm9ib2R5"))
STEP_MS = 1_000

SANDBOX = SandboxConfig(limits=False, identity_lifetime_ms=365 * DAY_MS)
"""No pauses, and an identity that outlives the leaps of the clock."""

LEDGERS = {name: dataclasses.replace(values.ledger({}), ledger_id=name) for name in ("A", "B", "C")}

Fields = tuple[tuple[str, str], ...]


class Outside(Protocol):
    """One side: it performs effects, and does what a person does."""

    def perform(self, effect: Effect[Any]) -> object:
        """One effect, answered as the protocol is."""

    def lose_identity(self) -> None:
        """There is no identity token any more."""

    def person_derives(self, label: str) -> Credentials:
        """A token that a person made."""

    def person_revokes(self, token_id: str) -> None:
        """A live token, revoked by a person."""

    def lag(self) -> None:
        """From here on the list shows no derive and no revocation; it has shown all
        that were before.
        """

    def catch_up(self) -> None:
        """The list shows what is."""

    def keep(self, path: str, versions: int) -> None:
        """Of this path, at most so many versions from now on."""

    def destroy(self, path: str, version: int) -> None:
        """A version of a path, for good."""

    def undelete(self, path: str) -> None:
        """The latest version of a path, so that it can be read again."""

    def forget(self, path: str) -> None:
        """A path's metadata, with all its versions."""

    def delete_ledger(self) -> None:
        """The latest version of the ledger, by its number."""

    def undelete_ledger(self) -> None:
        """The same version again."""

    def roll_ledger_back(self) -> None:
        """Write the version before the latest once more."""


class _Unjudged(Audit):
    """Nobody follows the protocol here, so nobody is judged by its invariants."""

    def sent(self, *_: object) -> None:
        """Let it pass."""

    def wrote(self, *_: object) -> None:
        """Let it pass."""

    def recorded(self, *_: object, **__: object) -> None:
        """Let it pass."""

    def check_revoke(self, *_: object) -> None:
        """Let it pass."""

    def check_unsigned(self, *_: object) -> None:
        """Let it pass."""


class Models:
    """The simulation's world, with one run in it that does as it is told."""

    def __init__(self) -> None:
        self._world = bare()
        self._world.audit = _Unjudged()
        self._run = Run(wish("run"))

    def perform(self, effect: Effect[Any]) -> object:
        """As the world answers when nothing goes wrong."""
        self._world.now_ms += STEP_MS
        if isinstance(effect, UseSigner | StopDeriving):
            return self._world._local(self._run, 0, effect)[0]
        return self._world._reply(self._run, effect, OK)

    def lose_identity(self) -> None:
        """A run that was started without."""
        self._run.wish = dataclasses.replace(self._run.wish, identity=False)

    def person_derives(self, label: str) -> Credentials:
        """As the world's person does."""
        self._world._person("derives", label)
        token_id = list(self._world.exchange.live)[-1]
        return Credentials(token_id=token_id, secret=secret_of(token_id))

    def person_revokes(self, token_id: str) -> None:
        """As the world's person does."""
        self._world._person("revokes", token_id)

    def lag(self) -> None:
        """The world's choice of that name."""
        self._world.take(("lag",))

    def catch_up(self) -> None:
        """The world's choice of that name."""
        self._world.take(("catch up",))

    # the model has one setting for all paths
    def keep(self, path: str, versions: int) -> None:  # noqa: ARG002
        """The world's choice ``trim``."""
        self._world.take(("trim", str(versions)))

    def destroy(self, path: str, version: int) -> None:
        """As the world's person does."""
        self._world.vault.delete(path, version, destroyed=True)

    def undelete(self, path: str) -> None:
        """As the world's person does."""
        self._world.vault.undelete(path)

    def forget(self, path: str) -> None:
        """As the world's person does."""
        self._world.vault.secrets.pop(path, None)

    def delete_ledger(self) -> None:
        """As the world's person does."""
        self._world._person("deletes the ledger", "")

    def undelete_ledger(self) -> None:
        """As the world's person does."""
        self._world._person("undeletes the ledger", "")

    def roll_ledger_back(self) -> None:
        """As the world's person does."""
        self._world._person("rolls the ledger back", "1")


class Adapters:
    """The production driver, on a sandbox without limits and below a prefix of a real
    mount.
    """

    def __init__(
        self, sandbox: Sandbox, store: SecretStore, operator: Any, *, mount: str, prefix: str
    ) -> None:
        self._sandbox = sandbox
        self._store = store
        self._kv = operator.secrets.kv.v2
        self._mount = mount
        self._shift_ms = 0
        self._exchange = TokenClient(sandbox.url)
        self._prefix = prefix
        self._identity: Secret | None = Secret(sandbox.identity_token)
        self._driver = Driver(
            exchange=self._exchange,
            store=store,
            prefix=prefix,
            keys=Keys(identity=lambda: self._identity),
        )

    def _path(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    def close(self) -> None:
        """Close its connections; the store is the caller's."""
        self._exchange.close()

    def perform(self, effect: Effect[Any]) -> object:
        """As production does: a derive takes its turn first."""
        if isinstance(effect, Derive):
            self._driver.perform(AwaitTurn())
        return self._driver.perform(effect)

    def lose_identity(self) -> None:
        """As a run without an identity token."""
        self._identity = None

    def person_derives(self, label: str) -> Credentials:
        """On the exchange's website."""
        token = self._sandbox.state.derive_by_hand(label)
        return Credentials(token_id=token.token_id, secret=Secret(token.secret))

    def person_revokes(self, token_id: str) -> None:
        """On the exchange's website."""
        self._sandbox.state.revoke_by_hand(token_id)

    def lag(self) -> None:
        """The list is an hour behind; what was before is older than that."""
        self._shift_ms += 2 * HOUR_MS
        self._sandbox.state.shift_clock(self._shift_ms)
        self._sandbox.state.configure(listed_after_ms=HOUR_MS, unlisted_after_ms=HOUR_MS)

    def catch_up(self) -> None:
        """It is not any more."""
        self._sandbox.state.configure(listed_after_ms=0, unlisted_after_ms=0)

    def keep(self, path: str, versions: int) -> None:
        """As an operator."""
        self._kv.update_metadata(self._path(path), max_versions=versions, mount_point=self._mount)

    def destroy(self, path: str, version: int) -> None:
        """As an operator."""
        self._kv.destroy_secret_versions(self._path(path), [version], mount_point=self._mount)

    def undelete(self, path: str) -> None:
        """As an operator."""
        name = self._path(path)
        latest = self._store.read_meta(name).latest
        self._kv.undelete_secret_versions(name, [latest], mount_point=self._mount)

    def forget(self, path: str) -> None:
        """As an operator."""
        self._kv.delete_metadata_and_all_versions(self._path(path), mount_point=self._mount)

    def delete_ledger(self) -> None:
        """As an operator."""
        name = self._path(LEDGER_NAME)
        self._kv.delete_secret_versions(
            name, [self._store.read_meta(name).latest], mount_point=self._mount
        )

    def undelete_ledger(self) -> None:
        """As an operator."""
        self.undelete(LEDGER_NAME)

    def roll_ledger_back(self) -> None:
        """As ``vault kv rollback`` does."""
        name = self._path(LEDGER_NAME)
        latest = self._store.read_meta(name).latest
        older = self._kv.read_secret_version(
            name, latest - 1, self._mount, raise_on_deleted_version=False
        )
        self._kv.create_or_update_secret(
            name, older["data"]["data"], cas=latest, mount_point=self._mount
        )


class Teller:
    """Understands the steps, and tells the answers in words."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._credentials = {"nobody": NOWHERE}
        self._signer: str | None = None
        self._lags = False
        self._times: dict[tuple[str, int], int | None] = {}

    def tell(self, step: str) -> str:
        """What becomes of one step. ValueError if there is no such step."""
        words = step.split(" ")
        path = PATH
        if words[0] == "at":
            path, words = words[1], words[2:]
        if words[0] == "derive":
            return self._derive(*words[1:])
        effect = vault_effect(path, words) or self._exchange_effect(words)
        if effect is None:
            if not (self._person_at_exchange(words) or self._person_at_vault(path, words)):
                raise ValueError(f"no such step: {step}")
            return ""
        reply = self._outside.perform(effect)
        if isinstance(effect, PutSecret) and isinstance(reply, Written):
            before = self._times.get((path, reply.version))
            assert reply.created_at_ms is not None
            assert reply.created_at_ms != before, "a number came round with its time"
            self._times[path, reply.version] = reply.created_at_ms
        if isinstance(reply, (SecretVersion, SecretMeta)) and reply.state is not ABSENT:
            number = reply.version_id.number
            assert reply.created_at_ms == self._times[path, number], "a version's time moved"
        if not isinstance(reply, Listing):
            return told(reply)
        return self._listed(reply, words[1] if words[0] == "verify" else self._signer)

    def _exchange_effect(self, words: list[str]) -> Effect[Any] | None:
        known = self._credentials
        match words:
            case ["sign", name]:
                self._signer = name
                return UseSigner(credentials=known[name])
            case ["list"]:
                return ListTokens()
            case ["verify", name]:
                return VerifyToken(credentials=known[name])
            case ["verify", name, "with", other]:
                return VerifyToken(
                    credentials=dataclasses.replace(known[name], secret=known[other].secret)
                )
            case ["verify", name, "too", "late"]:
                return VerifyToken(credentials=known[name], until_ms=0)
            case ["revoke", name]:
                return Revoke(token_id=known[name].token_id)
            case ["stop"]:
                return StopDeriving(sentence="enough")
        return None

    def _person_at_exchange(self, words: list[str]) -> bool:
        match words:
            case ["lose", "the", "identity"]:
                self._outside.lose_identity()
            case ["person", "derives", name, label]:
                self._credentials[name] = self._outside.person_derives(label)
            case ["person", "revokes", name]:
                self._outside.person_revokes(self._credentials[name].token_id)
            case ["lag"]:
                self._lags = True
                self._outside.lag()
            case ["catch", "up"]:
                self._lags = False
                self._outside.catch_up()
            case _:
                return False
        return True

    def _person_at_vault(self, path: str, words: list[str]) -> bool:
        match words:
            case ["keep", number]:
                self._outside.keep(path, int(number))
            case ["destroy", number]:
                self._outside.destroy(path, int(number))
            case ["undelete"]:
                self._outside.undelete(path)
            case ["forget"]:
                self._outside.forget(path)
            case ["delete", "the", "ledger"]:
                self._outside.delete_ledger()
            case ["undelete", "the", "ledger"]:
                self._outside.undelete_ledger()
            case ["roll", "the", "ledger", "back"]:
                self._outside.roll_ledger_back()
            case _:
                return False
        return True

    def _derive(self, name: str, label: str) -> str:
        reply = self._outside.perform(Derive(label=label, scopes=("trading",)))
        if not isinstance(reply, Derived):
            return told(reply)
        known = {credentials.token_id for credentials in self._credentials.values()}
        assert reply.token_id not in known, "an id was given out twice"
        assert (reply.scopes, reply.profile_id) == (("trading",), values.ledger().profile_id)
        self._credentials[name] = Credentials(token_id=reply.token_id, secret=reply.secret)
        return "made"

    def _listed(self, listing: Listing, reader: str | None) -> str:
        """The names of the tokens, sorted; a star where one was used; none for the
        reader, nor while the list lags.
        """
        names = {credentials.token_id: name for name, credentials in self._credentials.items()}
        assert len(listing.tokens) == len({token.token_id for token in listing.tokens})
        used = {
            names[token.token_id]: token.last_used_at_ms is not None for token in listing.tokens
        }
        stars = {name: "*" for name in used if used[name] and name != reader and not self._lags}
        return "list: " + " ".join(sorted(name + stars.get(name, "") for name in used))


def vault_effect(path: str, words: list[str]) -> Effect[Any] | None:
    """The effect on Vault that a step asks for, or None where it asks for none."""
    match words:
        case ["put", cas, content]:
            fields, secret = contents(content)
            return PutSecret(path=path, fields=fields, secret=secret, cas=int(cas))
        case ["read"]:
            return ReadSecret(path=path)
        case ["read", number]:
            return ReadSecret(path=path, version=int(number))
        case ["delete", number]:
            return DeleteVersion(path=path, version=int(number))
        case ["bring", "back", number]:
            return Undelete(path=path, version=int(number))
        case ["meta"]:
            return ReadMeta(path=path)
        case ["ledger"]:
            return ReadLedger()
        case ["ledger", cas, name]:
            return PutLedger(ledger=LEDGERS[name], cas=int(cas))
    return None


def contents(name: str) -> tuple[Fields, Secret | None]:
    """What a content's name stands for:

    ``{}`` a fence's placeholder, ``note`` a text without a secret, else a token's.
    """
    if name == "{}":
        return (), None
    if name == "note":
        return (("note", "by hand"),), None
    return (("label", "bot"), ("token_id", name)), secret_of(name)


def told(reply: object) -> str:
    """A reply in words, but for a list and a derive."""
    match reply:
        case None:
            return ""
        case Written(version=number):
            return f"v{number}"
        case Mismatch() | Done() | Unclear():
            return type(reply).__name__.lower()
        case Refused(status=status):
            return "refused" if status is None else f"refused {status}"
        case SecretVersion():
            return _told_version(reply)
        case SecretMeta():
            return (
                "never written"
                if reply.latest == 0
                else f"v{reply.latest} {_told_state(reply)}, oldest v{reply.oldest}"
            )
        case (None, int(version)):
            return f"v{version} none"
        case (ledger, int(version)):
            return f"v{version} {next(name for name, known in LEDGERS.items() if known == ledger)}"
    raise AssertionError(f"no reply of the protocol's: {reply!r}")


def _told_state(meta: SecretMeta) -> str:
    return f"{meta.state.value} for good" if meta.destroyed else meta.state.value


def _told_version(version: SecretVersion) -> str:
    """A version by the name of its content, if it is all of that content and nothing
    else.
    """
    if version.state is not VersionState.LIVING:
        assert (version.fields, version.secret) == (None, None)
        return f"v{version.version} {version.state.value}"
    name = version.field("token_id") or ("note" if version.fields else "{}")
    fields, secret = contents(name)
    assert version.fields == fields
    assert (version.secret and version.secret.reveal()) == (secret and secret.reveal())
    return f"v{version.version} {name}"
