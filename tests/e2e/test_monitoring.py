"""What pagers and cron get: the check, metrics, and who is told of a run."""

from __future__ import annotations

from tests.e2e.test_status import bare
from tests.support.fleet import Done, Fleet, judged

WELL = "all is well: 2 labels, none broken or overdue, and nobody is needed\n"
NOBODY: dict[str, str | None] = {"LIMITLESS_IDENTITY_TOKEN": None}


def checked(fleet: Fleet, *arguments: str, **environ: str | None) -> tuple[int, str]:
    """The exit code and the one line of a check, live and from a snapshot: the same."""
    fleet.must("observe", "--out", "observed.json")
    live = fleet.attempt("status", "--check", *arguments, environ=environ)
    blind: dict[str, str | None] = {**bare(fleet), **environ}
    shown = fleet.attempt(
        "status", "--check", "--observed", "observed.json", *arguments, environ=blind
    )
    assert (live.err, shown.err) == ("", "")
    assert (shown.code, shown.out) == (live.code, live.out)
    assert live.out.count("\n") == 1
    return live.code, live.out


def test_the_check_tells_who_is_needed(fleet: Fleet) -> None:
    """Fine, a new label, a secret that was written over, and labels that are overdue."""
    fleet.defaults = {"overlap": "1h", "rotate_after": "2d"}
    token = fleet.environ["LIMITLESS_IDENTITY_TOKEN"]
    fleet.begin({"label": "bot"})
    assert checked(fleet) == (0, WELL)
    fleet.write({"label": "bot"}, {"label": "new"})
    code, line = checked(fleet, **NOBODY)
    assert (code, line) == (
        4,
        "a person is needed: new: to derive, an apply needs an identity token\n",
    )
    assert checked(fleet, "--target", "bot", **NOBODY)[0] == 0
    assert checked(fleet, LIMITLESS_IDENTITY_TOKEN=token)[0] == 0
    fleet.write({"label": "bot"})
    with fleet.operator() as client:
        client.secrets.kv.v2.create_or_update_secret(
            path=f"{fleet.prefix}/bot", secret={"note": "mine"}, mount_point=fleet.mount
        )
    code, line = checked(fleet)
    assert (code, line.partition(":")[0]) == (1, "bot is broken")
    fleet.must("apply", "--yes")
    fleet.later(days=4)
    late = fleet.attempt("status", "--check")
    assert (late.code, late.out) == (1, "2 labels are overdue: bot, reconciler\n")
    alone = fleet.attempt("status", "--check", environ=NOBODY)
    assert alone.code == 4
    assert alone.out.endswith("; 2 labels are overdue: bot, reconciler\n")


def test_the_check_beside_a_document(fleet: Fleet) -> None:
    """The document goes to standard output, the line to standard error."""
    fleet.begin({"label": "bot"})
    done: Done = fleet.attempt("status", "--check", "--format", "json")
    assert (done.code, done.err) == (0, WELL)
    assert judged("status", done.out)["summary"] == {"ok": 2}


def test_a_check_that_can_not_look_fails(fleet: Fleet) -> None:
    """It is no green light."""
    fleet.begin({"label": "bot"})
    fleet.refused(1, "status", "--check", environ={"VAULT_ADDR": "http://127.0.0.1:9"})
