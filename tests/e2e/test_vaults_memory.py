"""Vault's memory is what it is: paths written anew under old numbers, backups, forged
and damaged contents, versions that end by themselves.

Each time the program says so, and neither overwrites what is not ours in silence nor
revokes what somebody uses.
"""

from __future__ import annotations

from tests.support.fleet import Fleet

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
    written_anew(fleet, "prod/bot", {**dict(good.fields or ()), "secret": good.secret.reveal()})
    plan = fleet.must("plan")
    assert "put the ledger right (version 1, written anew)" in plan.out
    fleet.must("apply", "--yes")
    fleet.assert_whole()
    assert fleet.secret("prod/bot").field("token_id") == token_id
    assert fleet.versions()[f"{fleet.prefix}/prod/bot"] == 1, "the secret was not written"
    fleet.assert_quiet()


def test_a_rotation_never_writes_over_what_came_meanwhile(fleet: Fleet) -> None:
    """The path is written anew between the plan's look and the derive."""
    fleet.begin(BOT)
    for label in ("bot",):
        written_anew(fleet, "prod/bot", {"note": "imported"})
        done = fleet.attempt("rotate", "--target", label, "--yes")
        assert done.code in {0, 1, 4}, done
    assert fleet.secret("prod/bot", 1).field("note") == "imported"
