"""Vault's memory is what it is: paths written anew under old numbers, backups, forged
and damaged contents, versions that end by themselves.

Each time the program says so, and neither overwrites what is not ours in silence nor
revokes what somebody uses.
"""

from __future__ import annotations

import base64
import dataclasses
import time
from collections.abc import Callable, Iterator

import pytest

from reconciler.exchange.client import TokenClient
from reconciler.model import Credentials, Secret, iso
from reconciler.sandbox import Fault, FaultKind, Operation, Token
from reconciler.state.ledger import Entry, Intent, IntentKind, Ledger
from reconciler.state.ledger_text import to_text
from tests.support.fleet import Fleet, judged, texts_of, unpaced
from tests.support.openbao import new_token

BOT = {"label": "bot", "path": "prod/bot"}


def written_anew(fleet: Fleet, path: str, fields: dict[str, str]) -> None:
    """A path whose metadata were deleted, and that somebody wrote once since."""
    name = f"{fleet.prefix}/{path}"
    with fleet.operator() as client:
        kv = client.secrets.kv.v2
        kv.delete_metadata_and_all_versions(name, mount_point=fleet.mount)
        kv.create_or_update_secret(name, fields, cas=0, mount_point=fleet.mount)


# --- a version is its number and its time ---


def test_the_same_number_again_is_another_version(fleet: Fleet) -> None:
    """Foreign content under the recorded number: plan, status and apply see it, and the
    consumer's secret comes back.
    """
    fleet.begin(BOT)
    assert fleet.quick("plan", "--detailed-exitcode") == 0
    written_anew(fleet, "prod/bot", {"note": "imported"})
    plan = fleet.attempt("plan", "--detailed-exitcode")
    assert plan.code == 2
    assert "secret is lost" in plan.out
    assert "version 1 holds something else" in plan.out, "what will be written over is named"
    assert "secret is lost" in fleet.must("status").out
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    assert fleet.secret("prod/bot", 1).field("note") == "imported", "it is kept as a version"
    fleet.assert_quiet()


def test_a_copy_of_the_same_secret_is_put_right(fleet: Fleet) -> None:
    """The metadata were deleted and the secret written back: only the ledger moves."""
    fleet.begin(BOT)
    good = fleet.secret("prod/bot")
    assert good.secret is not None
    token_id = good.field("token_id")
    written_anew(fleet, "prod/bot", {**texts_of(good), "secret": good.secret.reveal()})
    plan = fleet.must("plan")
    assert "put the ledger right (version 1, written anew)" in plan.out
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    assert fleet.secret("prod/bot").field("token_id") == token_id
    assert fleet.versions()[f"{fleet.prefix}/prod/bot"] == 1, "the secret was not written"
    fleet.assert_quiet()


def test_a_rotation_never_writes_over_what_came_meanwhile(fleet: Fleet) -> None:
    """The row of any rotation says what it is written over, and an approval is of that
    content: of another one under the same number, it is stale.
    """
    fleet.begin(BOT)
    narrow = {**BOT, "scopes": ["trading", "account_creation"]}
    fleet.write(narrow)
    fleet.must("plan", "--out", "before.json")
    written_anew(fleet, "prod/bot", {"note": "imported"})
    fleet.must("plan", "--out", "after.json")
    plan = fleet.must("plan").out
    assert "scopes widened" in plan
    assert "version 1 holds something else, which is written over" in plan
    with fleet.untouched():
        fleet.refused(3, "apply", "--plan", "before.json")
    fleet.must("apply", "--plan", "after.json")
    assert fleet.secret("prod/bot", 1).field("note") == "imported"


# --- places that end by themselves ---

MONTH = "720h"


def lets_end(fleet: Fleet, after: str, path: str | None = None) -> None:
    """An operator sets how long versions live, on the mount or on a path."""
    place = "config" if path is None else f"metadata/{fleet.prefix}/{path}"
    with fleet.operator() as client:
        client.adapter.post(f"/v1/{fleet.mount}/{place}", json={"delete_version_after": after})


def rewritten(fleet: Fleet, path: str) -> None:
    """A path's latest content is written again, as an older program would have."""
    with fleet.store() as store:
        found = fleet.secret(path)
        store.write(
            f"{fleet.prefix}/{path}",
            dict(found.fields or ()),
            secret=found.secret,
            cas=found.version,
        )


def day_of_end(fleet: Fleet, path: str) -> str:
    """The day on which the latest version of a path ends by itself."""
    with fleet.store() as store:
        ends_at_ms = store.read_meta(f"{fleet.prefix}/{path}").ends_at_ms
    assert ends_at_ms is not None
    return iso(ends_at_ms)[:10]


@pytest.mark.parametrize("path", [None, "_ledger"], ids=["mount", "path"])
def test_no_ledger_where_it_would_end(fleet: Fleet, path: str | None) -> None:
    """Bootstrap refuses before its first write, and goes on once the setting is off."""
    fleet.write(BOT)
    lets_end(fleet, MONTH, path)
    with fleet.untouched():
        sentence = fleet.refused(1, "bootstrap")
    assert "would end by itself after 30d (delete_version_after" in sentence
    assert "set it to 0s" in sentence
    lets_end(fleet, "0s", path)
    fleet.must("bootstrap")
    fleet.must("apply", "--yes")
    fleet.assert_whole()


def test_a_role_that_may_not_read_the_mounts_setting(fleet: Fleet) -> None:
    """Then the first write's reply shows it: nothing is derived after it."""
    fleet.write(BOT)
    lets_end(fleet, MONTH)
    with fleet.operator() as client:
        rules = {f"{fleet.mount}/{kind}/*": ["create", "read", "update", "list"] for kind in KINDS}
        token = new_token(client, rules)
    sentence = fleet.refused(1, "bootstrap", environ={"VAULT_TOKEN": token})
    assert f"ends by itself on {day_of_end(fleet, '_ledger')}" in sentence
    assert fleet.sandbox.state.mutating_calls == 0
    assert fleet.ledger().holder is None, "the lease is given back"
    lets_end(fleet, "0s")
    undelete(fleet, "_ledger")
    fleet.must("bootstrap", environ={"VAULT_TOKEN": token})


KINDS = ("data", "metadata", "delete", "undelete", "destroy")


def undelete(fleet: Fleet, path: str) -> None:
    """As the program advises."""
    with fleet.operator() as client, fleet.store() as store:
        name = f"{fleet.prefix}/{path}"
        latest = store.read_meta(name).latest
        client.secrets.kv.v2.undelete_secret_versions(name, [latest], mount_point=fleet.mount)


def test_a_ledger_that_came_to_end_by_itself(fleet: Fleet) -> None:
    """Set on a mount in use: plan, status and apply say when it ends; nobody writes."""
    fleet.begin(BOT)
    lets_end(fleet, MONTH)
    fleet.write(BOT, {"label": "more"})
    sentence = fleet.refused(1, "apply", "--yes")
    day = day_of_end(fleet, "_ledger")
    assert f"ends by itself on {day}" in sentence
    assert fleet.live("more") == []
    with fleet.untouched():
        assert fleet.refused(1, "apply", "--yes").startswith("of the ledger at ")
        assert f"ends by itself on {day}" in fleet.must("plan").out
        status = judged("status", fleet.must("status", "--format", "json").out)
        assert f"ends by itself on {day}" in status["needs_person"][0]["sentence"]
        assert "the ledger" in fleet.must("status").out
        for command in (("rollback", "--target", "bot", "--yes"), ("bootstrap",)):
            assert "ends by itself" in fleet.refused(1, *command)
    lets_end(fleet, "0s")
    undelete(fleet, "_ledger")
    fleet.must("apply", "--yes")
    fleet.assert_whole()


def test_a_ledger_that_has_ended(fleet: Fleet) -> None:
    """The advice names the cause: to undelete it alone would help for one more time."""
    fleet.begin(BOT)
    lets_end(fleet, "1s")
    rewritten(fleet, "_ledger")
    time.sleep(2.1)
    for command in (("plan",), ("apply", "--yes"), ("bootstrap",)):
        sentence = fleet.refused(1, *command)
        assert "ended by itself on " in sentence
        assert "delete_version_after" in sentence
        assert "kv undelete -versions=" in sentence
    lets_end(fleet, "0s")
    undelete(fleet, "_ledger")
    fleet.must("apply", "--yes")
    fleet.assert_whole()


def test_nothing_is_derived_for_a_path_that_ends_by_itself(fleet: Fleet) -> None:
    """It is held and named; all else goes on."""
    fleet.begin()
    lets_end(fleet, MONTH, "prod/bot")
    fleet.write(BOT, {"label": "more"})
    done = fleet.attempt("apply", "--yes")
    assert done.code == 4
    assert "the path ends by itself" in done.out
    assert "after 30d" in done.out
    assert fleet.live("bot") == []
    assert len(fleet.live("more")) == 1
    assert "ends by itself" in fleet.must("plan").out
    assert "ends by itself" in fleet.must("status").out
    lets_end(fleet, "0s", "prod/bot")
    fleet.must("apply", "--yes")
    fleet.assert_whole()


def test_a_secret_that_will_end_is_told_with_its_day(fleet: Fleet) -> None:
    """Held while the path lets versions end, whatever is asked for; written again once
    it does not.
    """
    fleet.begin(BOT)
    lets_end(fleet, MONTH, "prod/bot")
    rewritten(fleet, "prod/bot")
    day = day_of_end(fleet, "prod/bot")
    for command in (("plan",), ("status",)):
        assert f"ends by itself on {day}" in fleet.must(*command).out
    with fleet.untouched():
        done = fleet.attempt("rotate", "--target", "bot", "--yes")
    assert done.code == 4
    assert f"ends by itself on {day}" in done.out
    lets_end(fleet, "0s", "prod/bot")
    assert "restored bot" in fleet.must("apply", "--yes").out
    with fleet.store() as store:
        assert store.read_meta(f"{fleet.prefix}/prod/bot").ends_at_ms is None
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_leaked_token_goes_whatever_the_path_does(fleet: Fleet) -> None:
    """A compromised rotation is not held for it."""
    fleet.begin(BOT)
    lets_end(fleet, MONTH, "prod/bot")
    [leaked] = fleet.live("bot")
    fleet.must("rotate", "--target", "bot", "--compromised", "--yes")
    assert leaked.token_id not in {t.token_id for t in fleet.live("bot")}


def test_a_manager_whose_secret_ended(fleet: Fleet) -> None:
    """It had one: the sentence says so, and why. Bootstrap waits for the setting."""
    fleet.begin(BOT)
    lets_end(fleet, "1s", "reconciler")
    rewritten(fleet, "reconciler")
    with fleet.store() as store:
        store.destroy_version(f"{fleet.prefix}/reconciler", 1)
    time.sleep(2.1)
    sentence = fleet.refused(4, "plan")
    assert "the manager reconciler has no secret any more: version 2 ended by itself" in sentence
    with fleet.untouched():
        assert "delete_version_after to 0s" in fleet.refused(4, "bootstrap")
    lets_end(fleet, "0s", "reconciler")
    fleet.must("bootstrap")
    fleet.must("apply", "--yes")
    fleet.assert_whole()


@pytest.mark.parametrize(("after", "said"), [("3s", None), ("120s", "for 120 s")])
def test_a_hand_over_says_how_long_it_really_lies_there(
    fleet: Fleet, after: str, said: str | None
) -> None:
    """The mount's shorter setting beats the path's; the write's reply tells."""
    fleet.begin(BOT)
    place = f"{fleet.mount}/{fleet.prefix.partition('/')[0]}/identity"
    lets_end(fleet, after)
    if said is not None:
        assert said in fleet.must("identity", "push", place).out
        return
    sentence = fleet.refused(1, "identity", "push", place)
    assert "ends after 3 s already (delete_version_after of the mount)" in sentence


def test_too_few_versions_are_told(fleet: Fleet) -> None:
    """Nothing to restore from, nothing to find back in the ledger: a warning each."""
    fleet.begin(BOT)
    with fleet.operator() as client:
        for path, kept in (("_ledger", 3), ("prod/bot", 1)):
            client.adapter.post(
                f"/v1/{fleet.mount}/metadata/{fleet.prefix}/{path}", json={"max_versions": kept}
            )
    done = fleet.must("plan")
    assert "warning: Vault keeps 3 versions of the ledger only: raise max_versions" in done.err
    assert "warning: Vault keeps one version of prod/bot" in done.err


# --- nothing is recorded as proven that did not sign ---

WRONG = base64.b64encode(b"not the secret of any token").decode()


def edited(fleet: Fleet, edit: Callable[[Ledger], Ledger]) -> None:
    """The ledger is written again as a person, or a restored backup, leaves it."""
    with fleet.store() as store:
        version = store.read_meta(f"{fleet.prefix}/_ledger").latest
        store.write(
            f"{fleet.prefix}/_ledger", {"ledger": to_text(edit(fleet.ledger()))}, cas=version
        )


def with_intent(fleet: Fleet, label: str, intent: Intent) -> Callable[[Ledger], Ledger]:
    """A label of which nothing but an open intent is known."""

    def edit(ledger: Ledger) -> Ledger:
        entry = Entry(path=intent.path, intent=intent)
        return dataclasses.replace(ledger, tokens={**ledger.tokens, label: entry})

    return edit


def begun(fleet: Fleet, *, token: Token | None = None, path: str = "bot", cas: int = 0) -> Intent:
    """An intent that an interrupted derive left, named if it came so far."""
    since_ms = token.created_at_ms if token is not None else fleet.sandbox.state.now_ms()
    return Intent(
        kind=IntentKind.DERIVE,
        operation_id="0f" * 16,
        run="gone",
        since_ms=since_ms - 500,
        before=(),
        cas=cas,
        path=path,
        scopes=("trading",),
        token_id=token.token_id if token is not None else None,
    )


def forgery(token_id: str, secret: str = WRONG) -> dict[str, str]:
    """What somebody wrote who knew the intent's operation id."""
    return {"token_id": token_id, "secret": secret, "operation_id": "0f" * 16, "label": "bot"}


def put(fleet: Fleet, path: str, fields: dict[str, str]) -> None:
    """Somebody else writes the next version of a path."""
    with fleet.operator() as client:
        client.secrets.kv.v2.create_or_update_secret(
            f"{fleet.prefix}/{path}", fields, mount_point=fleet.mount
        )


@pytest.mark.parametrize("more", [(), ({"note": "by hand"},)], ids=["put right", "restored"])
def test_the_right_id_with_a_wrong_key(fleet: Fleet, more: tuple[dict[str, str], ...]) -> None:
    """It is tried before it is put right or written again, and replaced."""
    fleet.begin({"label": "bot"})
    good = fleet.secret("bot")
    written_anew(fleet, "bot", {**texts_of(good), "secret": WRONG})
    for fields in more:
        put(fleet, "bot", fields)
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    assert fleet.secret("bot").field("token_id") != good.field("token_id")
    fleet.later(hours=2)
    fleet.assert_whole()


def test_what_recovery_finds_signs_before_it_is_recorded(fleet: Fleet) -> None:
    """The intent's own token with a wrong key: recorded as such, and replaced."""
    fleet.begin()
    fleet.write({"label": "bot"})
    token = fleet.sandbox.state.derive_by_hand("bot")
    edited(fleet, with_intent(fleet, "bot", begun(fleet, token=token)))
    put(fleet, "bot", forgery(token.token_id))
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    assert fleet.secret("bot").field("token_id") != token.token_id


REFUSALS = [400, 403, 404, 422, 429]
"""What an edge may answer in the exchange's place: none is about the secret."""


def refusing(fleet: Fleet, token_id: str, status: int) -> None:
    """From now on every list that this token signs is refused so."""
    fault = Fault(
        kind=FaultKind.ERROR_BEFORE,
        operation=Operation.LIST,
        token_id=token_id,
        status=status,
        count=None,
    )
    fleet.sandbox.faults.add(fault)


@pytest.mark.parametrize("status", REFUSALS)
def test_a_refusal_of_an_edge_is_no_wrong_secret(fleet: Fleet, status: int) -> None:
    """A secret that is to be restored has to sign, and an edge refuses that: nothing is
    known of it, so it is neither replaced nor restored before it is asked again.
    """
    fleet.begin({"label": "bot"})
    token_id = fleet.secret("bot").field("token_id")
    put(fleet, "bot", {"note": "by hand"})
    assert token_id is not None
    refusing(fleet, token_id, status)
    assert "is not known" in fleet.attempt("apply", "--yes").out
    fleet.sandbox.faults.clear()
    assert "restored bot" in fleet.must("apply", "--yes").out
    assert fleet.secret("bot").field("token_id") == token_id
    fleet.assert_whole()
    fleet.assert_quiet()


@pytest.mark.parametrize("label", ["bot", "reconciler"])
@pytest.mark.parametrize("status", REFUSALS)
def test_what_an_edge_refuses_is_not_recorded(fleet: Fleet, label: str, status: int) -> None:
    """A run that died after its commit, and an edge that refuses the proof: the intent
    stays open, and the token becomes current as soon as it can be asked. While nobody
    else can sign (a bootstrap) as well.
    """
    fleet.begin({"label": "bot"})
    (token,) = fleet.live(label)
    wrote = fleet.secret(label).field("operation_id")
    intent = dataclasses.replace(begun(fleet, token=token, path=label), operation_id=str(wrote))
    edited(fleet, with_intent(fleet, label, intent))
    command = ("bootstrap",) if label == "reconciler" else ("apply", "--yes")
    refusing(fleet, token.token_id, status)
    assert fleet.attempt(*command).code
    assert fleet.ledger().tokens[label] == Entry(path=label, intent=intent)
    fleet.sandbox.faults.clear()
    fleet.must(*command)
    assert [one.token_id for one in fleet.live(label)] == [token.token_id]
    fleet.assert_whole()


def test_a_partial_list_makes_no_wrong_key_right(fleet: Fleet) -> None:
    """The intent's own token with a wrong key, and lists that lack the token just then:
    what did not sign is not recorded as proven, and is replaced.
    """
    fleet.begin()
    fleet.write({"label": "bot"})
    token = fleet.sandbox.state.derive_by_hand("bot")
    edited(fleet, with_intent(fleet, "bot", begun(fleet, token=token)))
    put(fleet, "bot", forgery(token.token_id))
    fleet.sandbox.faults.add(
        Fault(
            kind=FaultKind.PARTIAL_LIST,
            operation=Operation.LIST,
            leaves_out=(token.token_id,),
            count=None,
        )
    )
    fleet.attempt("apply", "--yes")
    fleet.sandbox.faults.clear()
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    assert fleet.secret("bot").field("token_id") != token.token_id


def test_a_wrong_key_is_no_witness(fleet: Fleet) -> None:
    """A predecessor that a consumer goes on using, of which Vault has a wrong key only:
    while the lists lack it, its refusal proves nothing, and it is not revoked.
    """
    fleet.defaults = {"overlap": "1h"}
    fleet.begin({"label": "bot"})
    (old,) = fleet.live("bot")
    written_anew(fleet, "bot", {**texts_of(fleet.secret("bot")), "secret": WRONG})
    use(fleet, old)
    fleet.must("apply", "--yes")
    fleet.later(hours=2)
    use(fleet, old)
    fleet.sandbox.faults.add(
        Fault(
            kind=FaultKind.PARTIAL_LIST,
            operation=Operation.LIST,
            leaves_out=(old.token_id,),
            count=None,
        )
    )
    for _ in range(2):
        fleet.use("bot")
        fleet.attempt("apply", "--yes")
        fleet.later(hours=2)
    fleet.sandbox.faults.clear()
    use(fleet, old)
    fleet.attempt("apply", "--yes")
    use(fleet, old)
    fleet.assert_whole()


def test_a_key_that_never_signed_is_no_witness_either(fleet: Fleet) -> None:
    """The same for a current token, before anybody noticed that its key is wrong: it is
    replaced, retires, and is not taken for revoked elsewhere.
    """
    fleet.begin({"label": "bot"})
    (old,) = fleet.live("bot")
    written_anew(fleet, "bot", {**texts_of(fleet.secret("bot")), "secret": WRONG})
    fleet.sandbox.faults.add(
        Fault(
            kind=FaultKind.PARTIAL_LIST,
            operation=Operation.LIST,
            leaves_out=(old.token_id,),
            count=None,
        )
    )
    fleet.attempt("apply", "--yes")
    fleet.sandbox.faults.clear()
    use(fleet, old)
    fleet.must("apply", "--yes")
    assert [row.token_id for row in fleet.ledger().tokens["bot"].retiring] == [old.token_id]
    fleet.assert_whole()


@pytest.mark.parametrize("named", [True, False])
def test_a_forged_version_never_becomes_current(fleet: Fleet, *, named: bool) -> None:
    """A stranger's token beside the operation id: not ours, now or later. The intent
    comes to its end.
    """
    fleet.begin()
    fleet.write({"label": "bot"})
    stranger = fleet.sandbox.state.derive_by_hand("somebody else's")
    ours = fleet.sandbox.state.derive_by_hand("bot") if named else None
    edited(fleet, with_intent(fleet, "bot", begun(fleet, token=ours)))
    put(fleet, "bot", forgery(stranger.token_id, stranger.secret))
    for _ in range(3):
        fleet.attempt("apply", "--yes")
        fleet.later(hours=30)
    entry = fleet.ledger().tokens.get("bot")
    assert entry is None or (entry.intent is None and entry.current is None)
    assert stranger.token_id in {t.token_id for t in fleet.sandbox.state.live()}
    assert stranger.token_id not in fleet.ledger().known_ids()


def test_a_published_snapshot_holds_no_operation_id(fleet: Fleet) -> None:
    """Who may write a path could forge a commit with one."""
    fleet.begin(BOT)
    edited(fleet, with_intent(fleet, "more", begun(fleet, path="more")))
    fleet.must("observe", "--out", "snapshot.json")
    text = (fleet.folder / "snapshot.json").read_text()
    assert "0f" * 16 not in text
    assert "operation_id" not in text
    assert "interrupted" in fleet.must("plan", "--observed", "snapshot.json").out


# --- a backup of the middle of a derive ---


def test_a_token_in_use_is_not_undone(fleet: Fleet) -> None:
    """Vault was rewound to when the derive had named its token; consumers use it since:
    it retires by evidence.
    """
    fleet.defaults = {"overlap": "1h"}
    fleet.begin()
    fleet.write({"label": "bot"})
    token = fleet.sandbox.state.derive_by_hand("bot")
    edited(fleet, with_intent(fleet, "bot", begun(fleet, token=token)))
    fleet.later(minutes=30)
    use(fleet, token)
    done = fleet.attempt("apply", "--yes")
    assert "may be in use: it retires" in done.out, done
    for _ in range(3):
        assert token.token_id in {t.token_id for t in fleet.live("bot")}
        [row] = fleet.ledger().tokens["bot"].retiring
        assert row.token_id == token.token_id
        fleet.later(minutes=30)
        use(fleet, token)
        fleet.attempt("apply", "--yes")
    fleet.assert_whole()


def test_a_token_that_nobody_used_is_undone(fleet: Fleet) -> None:
    """As after any crash in the middle of a derive."""
    fleet.begin()
    fleet.write({"label": "bot"})
    token = fleet.sandbox.state.derive_by_hand("bot")
    edited(fleet, with_intent(fleet, "bot", begun(fleet, token=token)))
    fleet.later(minutes=2)
    done = fleet.must("apply", "--yes")
    assert f"the interrupted token {token.token_id}, whose secret was lost, is revoked" in done.out
    fleet.assert_whole()


def use(fleet: Fleet, token: Token) -> None:
    """A consumer that holds the pair signs with it."""
    credentials = Credentials(token_id=token.token_id, secret=Secret(token.secret))
    with unpaced(), TokenClient(fleet.sandbox.url) as exchange:
        exchange.signed_by(credentials).list_tokens()


def test_a_ledger_of_schema_1_gets_its_times_with_the_next_write(fleet: Fleet) -> None:
    """Without times the number alone counts, and nobody writes just to add them."""
    fleet.begin(BOT)
    old = fleet.ledger()
    without = dataclasses.replace(
        old,
        tokens={
            label: dataclasses.replace(
                entry,
                current=entry.current
                and dataclasses.replace(entry.current, version_created_at_ms=None),
            )
            for label, entry in old.tokens.items()
        },
    )
    with fleet.store() as store:
        version = store.read_meta(f"{fleet.prefix}/_ledger").latest
        store.write(f"{fleet.prefix}/_ledger", {"ledger": to_text(without)}, cas=version)
    fleet.assert_quiet()
    assert {time for _, time in times(fleet)} == {None}
    fleet.must("rotate", "--target", "bot", "--yes")
    assert None not in {time for _, time in times(fleet)}
    fleet.assert_quiet()


def times(fleet: Fleet) -> Iterator[tuple[str, int | None]]:
    """Each label with the recorded time of its version."""
    for label, entry in fleet.ledger().tokens.items():
        assert entry.current is not None
        yield label, entry.current.version_created_at_ms


# --- a ledger from a backup ---


def test_a_ledger_that_looks_restored_replaces_nothing_by_itself(fleet: Fleet) -> None:
    """The recorded token is gone and a newer one lives that only the newer ledger knew:
    held until a person says so.
    """
    fleet.begin(BOT)
    old = fleet.ledger()
    fleet.later(minutes=5)
    fleet.must("rotate", "--target", "bot", "--compromised", "--yes")
    [newer] = fleet.live("bot")
    with fleet.store() as store:
        good = fleet.secret("prod/bot", 1)
        latest = store.read_meta(f"{fleet.prefix}/prod/bot").latest
        store.write(
            f"{fleet.prefix}/prod/bot", dict(good.fields or ()), secret=good.secret, cas=latest
        )
    edited(fleet, lambda _: old)
    plan = fleet.must("plan")
    assert "a newer one lives that the ledger does not know" in plan.out
    assert newer.token_id in plan.out
    with fleet.untouched():
        assert fleet.attempt("apply", "--yes").code == 4
    fleet.must("apply", "--yes", "--ledger-restored")
    assert newer.token_id in {t.token_id for t in fleet.live("bot")}, "a twin is not touched"
    entry = fleet.ledger().tokens["bot"]
    assert entry.current is not None
    assert fleet.use("prod/bot") == entry.current.token_id


# --- what others wrote beside our fields ---


def test_fields_of_others_are_kept_by_every_write(fleet: Fleet) -> None:
    """A note beside our fields is in the secret after a rotation, a rollback and a
    restore, and the row names it; at a foreign content nothing is kept.
    """
    fleet.defaults["overlap"] = "1h"
    fleet.begin(BOT)
    add_note(fleet, "first", version=1)
    assert kept_by_plan(fleet) == ["note", "owner"], "seen at once, by its content"
    done = fleet.must("apply", "--yes").out
    assert "ledger put right" in done
    done = fleet.must("rotate", "--target", "bot", "--yes").out
    assert "rotated, kept beside it: note, owner" in done
    assert fleet.ledger().tokens["bot"].others == ("note", "owner")
    assert note_of(fleet) == ("first", "desk")
    add_note(fleet, "second", version=3)
    fleet.must("apply", "--yes")
    rolled_back = fleet.must("rollback", "--target", "bot", "--yes")
    assert "rolled back, kept beside it: note, owner" in rolled_back.out
    assert note_of(fleet) == ("second", "desk"), "the newest, not that of the version gone back to"
    with fleet.store() as store:
        store.write(f"{fleet.prefix}/prod/bot", {"note": "imported"}, cas=5)
    plan = " ".join(fleet.must("plan").out.split())
    assert "from version 5; version 6 holds something else, which is written over" in plan
    assert kept_by_plan(fleet) == ["note", "owner"]
    fleet.must("apply", "--yes")
    assert note_of(fleet) == ("second", "desk"), "restored with what lay beside it"
    assert fleet.secret("prod/bot", 6).field("note") == "imported", "kept as a version"
    written_anew(fleet, "prod/bot", {"note": "imported"})
    plan = " ".join(fleet.must("plan").out.split())
    assert "holds something else, which is written over" in plan
    assert kept_by_plan(fleet) == []
    fleet.must("apply", "--yes")
    assert note_of(fleet) == (None, None), "nothing of it was ours"
    fleet.assert_whole()


def test_a_plan_names_the_fields_of_others_by_the_ledger(fleet: Fleet) -> None:
    """Once recorded they are named without a read of the secret: in a plan from a
    published snapshot, too. A further name of the manifest takes the place of theirs,
    which is an alarm; what they wrote is in the version before.
    """
    fleet.defaults["overlap"] = "1h"
    fleet.begin(BOT)
    add_note(fleet, "theirs", version=1)
    fleet.must("apply", "--yes")
    fleet.must("observe", "--out", "o.json")
    fleet.write({**BOT, "fields": {"note": "token_id"}})
    told = " ".join(fleet.must("plan", "--observed", "o.json").out.split())
    assert "takes away fields of others: note" in told
    assert "keeps fields of others: owner" in told
    assert "ATTENTION takes away what others wrote beside our fields: bot (note)" in told
    assert kept_by_plan(fleet) == ["owner"]
    fleet.must("apply", "--yes")
    token_id = fleet.secret("prod/bot").field("token_id")
    assert note_of(fleet) == (token_id, "desk")
    assert fleet.secret("prod/bot", 2).field("note") == "theirs"
    assert fleet.ledger().tokens["bot"].others == ("owner",)
    fleet.assert_quiet()


def test_fields_of_others_are_taken_along_to_another_path(fleet: Fleet) -> None:
    """The row names them, and so does the one that later deletes the old secret, for
    what was written there after the move.
    """
    fleet.begin(BOT)
    add_note(fleet, "moves", version=1)
    fleet.must("apply", "--yes")
    fleet.defaults["overlap"] = "1h"
    fleet.write({**BOT, "path": "prod/other"})
    assert kept_by_plan(fleet) == ["note", "owner"]
    assert "kept beside it: note, owner" in fleet.must("apply", "--yes").out
    assert note_of(fleet, "prod/other") == ("moves", "desk")
    assert note_of(fleet) == ("moves", "desk"), "the old one stands until its token goes"
    old = fleet.secret("prod/bot")
    with fleet.store() as store:
        fields = {**texts_of(old), "late": "after the move"}
        store.write(f"{fleet.prefix}/prod/bot", fields, secret=old.secret, cas=old.version)
    assert "late" not in fleet.must("plan").out, "nothing is deleted yet"
    fleet.later(hours=3)
    fleet.use("prod/other")
    told = " ".join(fleet.must("plan", "--revoke-unproven").out.split())
    assert "takes away what others wrote beside our fields: bot (late)" in told
    fleet.must("apply", "--yes", "--revoke-unproven")
    assert note_of(fleet, "prod/other") == ("moves", "desk")
    fleet.assert_whole()


def test_what_goes_with_a_removed_label_is_named(fleet: Fleet) -> None:
    """Its secret is deleted, and what others wrote beside it with that."""
    fleet.begin(BOT)
    add_note(fleet, "goes", version=1)
    fleet.must("apply", "--yes")
    fleet.later(hours=60)
    fleet.write()
    told = " ".join(fleet.must("plan", "--revoke-unproven", "--revoke-in-use").out.split())
    assert "takes away fields of others: note, owner" in told
    fleet.must("apply", "--yes", "--revoke-unproven", "--revoke-in-use")
    assert fleet.live("bot") == []
    assert fleet.secret("prod/bot", 2).fields is None, "deleted by its number"


def kept_by_plan(fleet: Fleet) -> list[str]:
    """The fields of others that the plan of ``bot`` keeps, by its JSON."""
    document = judged("plan", fleet.must("plan", "--format", "json").out)
    [row] = [c for c in document["changes"] if c["label"] == "bot" and c["action"] != "hold"]
    found: list[str] = row.get("kept_fields", [])
    return found


def test_further_names(fleet: Fleet) -> None:
    """Each write carries them: the derive, the rewrite that a change of the manifest
    asks for, the rotation, the rollback, the restore. A name that left goes, unless it
    is somebody else's; a change keeps the token, and what is taken out by hand is seen.
    """
    named = {**BOT, "fields": {"LMTS_TOKEN_ID": "token_id", "LMTS_TOKEN_SECRET": "secret"}}
    fleet.defaults["overlap"] = "1h"
    fleet.begin(named)
    first = names_of(fleet)
    plain = {**BOT, "fields": {"LMTS_TOKEN_ID": "token_id", "SCOPES": "scopes"}}
    add_note(fleet, "theirs", version=1)
    fleet.must("apply", "--yes")
    fleet.write(plain)
    told = " ".join(fleet.must("plan").out.split())
    assert "+SCOPES=scopes -LMTS_TOKEN_SECRET=secret" in told
    assert "takes names out of the secret" in told
    assert "rewritten bot" in fleet.must("apply", "--yes").out
    fleet.assert_quiet()
    assert names_of(fleet) == {**first, "LMTS_TOKEN_SECRET": None, "SCOPES": "trading"}
    assert note_of(fleet) == ("theirs", "desk")
    fleet.write({**named, "overlap": "2h"})
    fleet.must("apply", "--yes")
    fleet.must("rotate", "--target", "bot", "--yes")
    assert names_of(fleet).keys() == first.keys()
    assert names_of(fleet)["LMTS_TOKEN_ID"] != first["LMTS_TOKEN_ID"]
    fleet.must("rollback", "--target", "bot", "--yes")
    assert names_of(fleet) == first
    kept = fleet.secret("prod/bot")
    texts = {k: v for k, v in texts_of(kept).items() if k != "LMTS_TOKEN_SECRET"}
    with fleet.store() as store:
        store.write(f"{fleet.prefix}/prod/bot", texts, secret=kept.secret, cas=kept.version)
    done = fleet.must("apply", "--yes").out
    assert "ledger put right" in done
    assert "rewritten bot" in done
    assert names_of(fleet) == first
    with fleet.store() as store:
        store.delete_version(f"{fleet.prefix}/prod/bot", fleet.secret("prod/bot").version)
    fleet.must("apply", "--yes")
    assert names_of(fleet) == first
    fleet.assert_quiet()
    fleet.assert_whole()
    fleet.assert_no_leak()


def names_of(fleet: Fleet) -> dict[str, str | None]:
    """The further names, each with the text that a consumer finds there."""
    content = fleet.secret("prod/bot")
    assert content.secret is not None
    texts = texts_of(content)
    found = {name: texts.get(name) for name in ("LMTS_TOKEN_ID", "LMTS_TOKEN_SECRET", "SCOPES")}
    assert found["LMTS_TOKEN_ID"] == content.field("token_id")
    assert found["LMTS_TOKEN_SECRET"] in {None, content.secret.reveal()}
    return found


def add_note(fleet: Fleet, note: str, *, version: int) -> None:
    """Somebody writes beside our fields."""
    found = fleet.secret("prod/bot")
    fields = {**texts_of(found), "note": note, "owner": "desk"}
    with fleet.store() as store:
        store.write(f"{fleet.prefix}/prod/bot", fields, secret=found.secret, cas=version)


def note_of(fleet: Fleet, path: str = "prod/bot") -> tuple[str | None, str | None]:
    """What somebody wrote."""
    found = fleet.secret(path)
    return found.field("note"), found.field("owner")


# --- what was done, read off the versions ---


def test_the_history_tells_what_was_done(fleet: Fleet) -> None:
    """Derived, rotated, revoked, each with its run; of one label; since a time; a
    version that is gone is passed over.
    """
    fleet.begin(BOT, {"label": "web"})
    first = fleet.live("bot")[0].token_id
    fleet.must("rotate", "--target", "bot", "--yes", "--compromised")
    with fleet.untouched():
        document = judged("history", fleet.must("history", "--format", "json").out)
        text = fleet.must("history", "--label", "b*").out
        assert "--label 'nobody'" in fleet.refused(64, "history", "--label", "nobody")
        fleet.refused(64, "history", "--since", "soon")
        assert "0 events" in fleet.must("history", "--since", "2999-01-01").out
    done = [(e["label"], e["what"]) for e in document["events"] if e["label"]]
    assert [what for label, what in done if label == "bot"] == ["derived", "rotated", "revoked"]
    assert ("web", "derived") in done
    assert all(event["run"] for event in document["events"])
    assert f"in place of {first}, compromised" in text
    assert "web" not in text
    with fleet.store() as store:
        store.destroy_version(f"{fleet.prefix}/_ledger", document["oldest_version"] + 1)
    again = judged("history", fleet.must("history", "--format", "json").out)
    assert again["oldest_version"] == document["oldest_version"]
    assert again["versions_passed_over"] == 1
