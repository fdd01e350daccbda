"""The reserve in the commands beside apply."""

from __future__ import annotations

import json

from tests.e2e.test_reserve import ALONE, BOT, current, report, reserve, stocked
from tests.support.fleet import Fleet, judged

__all__ = ["stocked"]  # the fixture


def test_one_reserve_is_revoked_by_its_id(stocked: Fleet) -> None:
    """Without an identity, at once, and nothing else; the next visit stocks anew."""
    fleet = stocked
    (kept,), old = reserve(fleet), current(fleet)
    fleet.later(minutes=5)
    fleet.use(kept.path)  # whoever leaked it uses it
    by_id = ("rotate", "--token-id", kept.token_id[:6], "--yes")
    with fleet.untouched():
        said = fleet.refused(64, *by_id, environ=ALONE)
        assert said == (
            f"{kept.token_id} is in the reserve of bot, and no consumer has it: with "
            "--compromised it is revoked now, and nothing else is; "
            "`reconciler rotate --target bot` takes the oldest that is ready"
        )
        shown = fleet.must("status", "--token-id", kept.token_id[:6]).out
    assert "bot" in shown
    done, said_so = report(fleet, *by_id, "--compromised", environ=ALONE)
    assert done.code == 0, done
    assert [(row["action"], row["reason"]) for row in said_so["rows"]] == [
        ("revoke", "compromised")
    ]
    assert not fleet.sandbox.state.token(kept.token_id).live
    assert (reserve(fleet), current(fleet)) == ((), old)
    fleet.must("apply", "--yes")
    assert len(reserve(fleet)) == 1
    fleet.assert_whole()
    fleet.assert_quiet()


def test_a_reserve_of_a_label_that_left_is_revoked_by_its_id(stocked: Fleet) -> None:
    """Whatever else its label waits for."""
    fleet = stocked
    (kept,), old = reserve(fleet), current(fleet)
    fleet.write()
    fleet.must("rotate", "--token-id", kept.token_id, "--compromised", "--yes", environ=ALONE)
    assert not fleet.sandbox.state.token(kept.token_id).live
    assert current(fleet) == old


def test_verify_signs_with_each_reserve(stocked: Fleet) -> None:
    """Our use is recorded, so the reserve stays one that nobody has used."""
    fleet = stocked
    fleet.write({**BOT, "reserve": 2})
    fleet.must("apply", "--yes")
    one, other = reserve(fleet)
    with fleet.untouched():
        assert fleet.must("verify").out.splitlines() == ["ok     bot", "ok     reconciler"]
    fleet.later(minutes=5)
    assert fleet.must("verify", "--reserve").out.splitlines() == [
        "ok     bot",
        f"ok     bot, reserve {one.token_id}",
        f"ok     bot, reserve {other.token_id}",
        "ok     reconciler",
    ]
    for before, kept in zip((one, other), reserve(fleet), strict=True):
        used_at_ms = fleet.sandbox.state.token(kept.token_id).last_used_at_ms
        assert used_at_ms is not None
        assert before.verified_at_ms < used_at_ms <= kept.verified_at_ms
        assert (kept.own_use_until_ms, kept.fresh) == (None, True)
    fleet.assert_quiet()
    fleet.must("rotate", "--target", "bot", "--yes", environ=ALONE)
    assert current(fleet) == one.token_id


def test_verify_names_what_is_wrong_with_a_reserve(stocked: Fleet) -> None:
    """A use by somebody, a document that is deleted, or written anew: a sentence each,
    and 1. A use that was shown stays shown.
    """
    fleet = stocked
    (kept,) = reserve(fleet)
    row = f"FAILED bot, reserve {kept.token_id}: "
    fleet.later(minutes=5)
    with fleet.store() as store:
        store.delete_version(f"{fleet.prefix}/{kept.path}", 1)
    assert f"{row}its document was deleted; a rotation brings it back" in failed_verify(fleet)
    with fleet.store() as store:
        store.undelete_version(f"{fleet.prefix}/{kept.path}", 1)
    fleet.later(minutes=10)
    fleet.use(kept.path)
    used_at_ms = fleet.sandbox.state.token(kept.token_id).last_used_at_ms
    assert f"{row}somebody used it at" in failed_verify(fleet)
    assert fleet.sandbox.state.token(kept.token_id).last_used_at_ms == used_at_ms
    assert fleet.attempt("rotate", "--target", "bot", "--yes", environ=ALONE).code == 4
    assert current(fleet) != kept.token_id


def test_verify_finds_a_reserve_that_was_revoked_elsewhere(stocked: Fleet) -> None:
    """Its document is in place, and what it holds does not sign."""
    fleet = stocked
    (kept,) = reserve(fleet)
    fleet.sandbox.state.revoke_by_hand(kept.token_id)
    assert f"FAILED bot, reserve {kept.token_id}: " in failed_verify(fleet)


def failed_verify(fleet: Fleet) -> str:
    """What `verify --reserve` prints, where it must exit 1."""
    done = fleet.attempt("verify", "--reserve")
    assert done.code == 1, done
    return done.out


def test_no_operation_id_is_told(stocked: Fleet) -> None:
    """Neither printed, nor in a plan, a report, a status or a snapshot, whatever
    becomes of the reserves; and the plan of a snapshot is the plan of the real thing.
    """
    fleet = stocked
    seen: set[str] = set()

    def look() -> None:
        seen.update(kept.operation_id for kept in reserve(fleet))
        live, shown = f"live-{len(seen)}.json", f"shown-{len(seen)}.json"
        observed = f"observed-{len(seen)}.json"
        fleet.must("observe", "--out", observed)
        fleet.must("plan", "--out", live)
        fleet.must("plan", "--observed", observed, "--out", shown)
        fleet.must("status", "--format", "json")
        fleet.must("history")
        digests = [json.loads((fleet.folder / f).read_text())["digest"] for f in (live, shown)]
        assert digests[0] == digests[1]

    look()
    fleet.write({**BOT, "reserve": 2})
    look()
    report(fleet, "apply", "--yes")
    look()
    (first, *_) = reserve(fleet)
    with fleet.store() as store:
        store.delete_version(f"{fleet.prefix}/{first.path}", 1)
    look()
    report(fleet, "rotate", "--target", "bot", "--yes", environ=ALONE)
    look()
    fleet.write({**BOT, "reserve": 0})
    look()
    report(fleet, "apply", "--yes")
    look()
    fleet.must("history")
    texts = [*fleet.outputs, *(f.read_text() for f in fleet.folder.glob("*.json"))]
    assert len(seen) >= 2
    assert [one for one in seen if any(one in text for text in texts)] == []


def test_a_reserve_that_is_missing_is_forgotten(stocked: Fleet) -> None:
    """Neither listed nor to be asked, because its document is gone: a person says that
    it is gone, and the next apply stocks another.
    """
    fleet = stocked
    (kept,) = reserve(fleet)
    with fleet.operator() as client:
        client.secrets.kv.v2.destroy_secret_versions(
            f"{fleet.prefix}/{kept.path}", [1], mount_point=fleet.mount
        )
    forget = ("forget", "--token-id", kept.token_id, "--yes")
    with fleet.untouched():
        assert "nothing is to be forgotten" in fleet.refused(1, *forget)
    fleet.sandbox.state.revoke_by_hand(kept.token_id)
    fleet.attempt("apply", "--yes", environ=ALONE)
    (held,) = reserve(fleet)
    assert held.missing_since_ms is not None
    assert "forget --token-id" in fleet.must("plan").out + fleet.must("status").out
    fleet.must(*forget)
    assert reserve(fleet) == ()
    fleet.must("apply", "--yes")
    assert len(reserve(fleet)) == 1
    fleet.assert_whole()
    fleet.assert_quiet()


def test_history_tells_of_the_reserve(stocked: Fleet) -> None:
    """Stocked, promoted in place of the one before, revoked: each once."""
    fleet = stocked
    (first,), old = reserve(fleet), current(fleet)
    with fleet.operator() as client:
        client.secrets.kv.v2.update_metadata(
            f"{fleet.prefix}/_ledger", max_versions=200, mount_point=fleet.mount
        )
    fleet.must("rotate", "--target", "bot", "--yes", environ=ALONE)
    fleet.must("apply", "--yes")
    (second,) = reserve(fleet)
    fleet.write({**BOT, "reserve": 0})
    fleet.must("apply", "--yes")
    document = judged("history", fleet.must("history", "--label", "bot", "--format", "json").out)
    told = [(e["what"], e["token_id"], e["why"]) for e in document["events"]]
    assert [row for row in told if row[1] != old] == [
        ("stocked", first.token_id, ""),
        ("rotated from the reserve", first.token_id, f"in place of {old}, rotated"),
        ("stocked", second.token_id, ""),
        ("revoked", second.token_id, "not desired"),
    ]
