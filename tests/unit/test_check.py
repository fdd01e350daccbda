"""Claims about the verdict of ``status --check``, over whole statuses."""

from __future__ import annotations

import dataclasses

import pytest

from reconciler.errors import Exit
from reconciler.manifest.windows import parse_window
from reconciler.model import DAY_MS, HOUR_MS, LiveToken, Manifest, SecretMeta, VersionState
from reconciler.plan.check import Check, check_of
from reconciler.plan.planner import plan
from reconciler.plan.status import Status, status_of
from reconciler.plan.vocabulary import SENTENCES, Reason
from reconciler.state import spread_ms
from reconciler.state.kept import RESERVE_FOLDER
from reconciler.state.ledger import Ledger
from reconciler.state.snapshot import Observed
from tests.support.values import (
    NOW_MS,
    entry,
    ledger,
    live,
    living,
    manifest,
    observed,
    retiring,
    spec,
)
from tests.unit.test_reserve import kept

IDENTITY_SAID = "to derive, an apply needs an identity token"
BOT = manifest(spec("bot"))
BOTH = manifest(spec("bot"), spec("hedger"))
OVERWRITTEN = SecretMeta(latest=2, state=VersionState.LIVING)


WELL, DUE, LATE = -20, 0, 2
"""For how many days a label is due."""


def known(due_days: int, *labels: str, each_days: int = 30) -> tuple[Ledger, tuple[LiveToken, ...]]:
    """Labels that are due for so long, in the ledger and at the exchange."""
    each_ms = each_days * DAY_MS
    ages = {x: each_ms - spread_ms(x, each_ms) + due_days * DAY_MS for x in labels}
    memory = ledger({x: entry(f"id-{x}", x, age_ms=age) for x, age in ages.items()})
    return memory, tuple(live(f"id-{x}", x, age_ms=age) for x, age in ages.items())


def seen(due_days: int, *labels: str) -> Observed:
    """What a run observes of them."""
    memory, tokens = known(due_days, *labels)
    return observed(memory, *tokens)


def overwritten() -> Observed:
    """A label whose secret was overwritten; its content is at hand."""
    whole = seen(WELL, "bot")
    return dataclasses.replace(whole, secrets={**whole.secrets, "bot": OVERWRITTEN})


def draining() -> Observed:
    """A label whose predecessor is still used."""
    memory, tokens = known(WELL, "bot")
    old = retiring("id-0", "bot", overlap_ms=DAY_MS)
    bot = dataclasses.replace(memory.tokens["bot"], retiring=(old,))
    used = live("id-0", "bot", age_ms=40 * DAY_MS, unused_for_ms=HOUR_MS)
    return observed(ledger({"bot": bot}), *tokens, used)


def twinned() -> Observed:
    """A wanted label with a live token that nobody here derived."""
    return observed(ledger({}), live("id-9", "bot"))


def stocked(due_days: int, *, each_days: int, of: int = 1) -> tuple[Manifest, Observed]:
    """A label due for so long, each so many days, that has one reserve of so many."""
    wanted = dataclasses.replace(
        spec("bot", rotate_after_ms=each_days * DAY_MS), reserve=of, reserve_age_ms=365 * DAY_MS
    )
    memory, tokens = known(due_days, "bot", each_days=each_days)
    bot = dataclasses.replace(memory.tokens["bot"], reserve=(kept("id-r", days=1),))
    seen_too = observed(ledger({"bot": bot}), *tokens, live("id-r", "bot"))
    place = f"{RESERVE_FOLDER}/op-id-r"
    secrets = {**seen_too.secrets, place: living()}
    return manifest(wanted), dataclasses.replace(seen_too, secrets=secrets)


def check(
    desired: Manifest, what: Observed, *, identity: bool = False, now_ms: int | None = None
) -> Check:
    """The verdict on one manifest."""
    return check_of([status_of(desired, what)], identity=identity, now_ms=now_ms)


@pytest.mark.parametrize(
    ("code", "sentence", "desired", "what", "identity"),
    [
        pytest.param(
            Exit.DONE,
            "all is well: 1 label, none broken or overdue, and nobody is needed",
            BOT,
            seen(WELL, "bot"),
            False,
            id="well",
        ),
        pytest.param(
            Exit.DONE,
            "all is well: 1 label, none broken or overdue, and nobody is needed",
            BOT,
            draining(),
            False,
            id="a consumer is slow, and the plan says so",
        ),
        pytest.param(
            Exit.DONE,
            "1 label, none broken or overdue, and nobody is needed; 1 to be changed by an "
            "apply: bot",
            BOT,
            seen(DUE, "bot"),
            True,
            id="due, and an apply can do it",
        ),
        pytest.param(
            Exit.DONE,
            "1 label, none broken or overdue, and nobody is needed; 1 to be changed by an "
            "apply: bot",
            BOT,
            observed(ledger({})),
            True,
            id="not there yet, and an apply can do it",
        ),
        pytest.param(
            Exit.PERSON_NEEDED,
            f"a person is needed: bot: {IDENTITY_SAID}",
            BOT,
            seen(DUE, "bot"),
            False,
            id="due, and nobody can do it",
        ),
        pytest.param(
            Exit.ERROR,
            "bot is overdue: due by its age",
            BOT,
            seen(LATE, "bot"),
            True,
            id="overdue",
        ),
        pytest.param(
            Exit.ERROR,
            "2 labels are overdue: bot, hedger",
            BOTH,
            seen(LATE, "bot", "hedger"),
            True,
            id="two overdue",
        ),
        pytest.param(
            Exit.PERSON_NEEDED,
            f"a person is needed: bot: {IDENTITY_SAID}; bot is overdue: due by its age",
            BOT,
            seen(LATE, "bot"),
            False,
            id="both",
        ),
        pytest.param(
            Exit.PERSON_NEEDED,
            "a person is needed: bot: a token with this label lives that we did not derive: "
            "adopt it, or --replace the label (id-9)",
            BOT,
            twinned(),
            True,
            id="a decision",
        ),
    ],
)
def test_the_verdict(
    *, code: Exit, sentence: str, desired: Manifest, what: Observed, identity: bool
) -> None:
    """The table of ``check``."""
    expected = Check(exit_code=code, sentence=sentence)
    assert expected == check(desired, what, identity=identity)


def test_a_reserve_spares_a_person_until_it_ends() -> None:
    """A due rotation that takes a successor needs nobody; three weeks before the last
    one is taken somebody is asked to restock.
    """
    due = check(*stocked(DUE, each_days=30))
    assert (due.exit_code, due.sentence) == (
        Exit.DONE,
        "1 label, none broken or overdue, and nobody is needed; 1 to be changed by an apply: bot",
    )
    ends = check(*stocked(-3, each_days=15, of=2))
    assert (ends.exit_code, SENTENCES[Reason.RESERVE_ENDS] in ends.sentence) == (
        Exit.PERSON_NEEDED,
        True,
    )
    assert check(*stocked(-3, each_days=15, of=2), identity=True).exit_code is Exit.DONE
    full = check(*stocked(-3, each_days=15))
    assert full.exit_code is Exit.DONE, "there is nothing to restock"


def test_outside_of_its_window_nothing_is_late() -> None:
    """A rotation that is due for days is overdue once a whole window is past; until
    then it waits, and nobody is needed.
    """

    def code(window: str) -> Exit:
        wanted = dataclasses.replace(spec("bot"), windows=(parse_window(window),))
        return check(manifest(wanted), seen(LATE, "bot")).exit_code

    # now is Sunday
    assert code("Mon 09:00-10:00 UTC") is Exit.DONE
    assert code("Sat 09:00-10:00 UTC") is Exit.ERROR


def test_what_is_broken_is_said() -> None:
    """Whatever the way to mend it: a derive needs a person, a restore does not."""
    gone = check(BOT, overwritten(), identity=True)
    assert (gone.exit_code, gone.sentence.partition(":")[0]) == (Exit.ERROR, "bot is broken")
    alone = check(BOT, overwritten())
    assert alone.exit_code is Exit.PERSON_NEEDED
    assert "bot is broken" in alone.sentence


def test_many_labels_are_counted() -> None:
    """The line stays one that a pager shows."""
    labels = [f"bot-{number:02}" for number in range(50)]
    fleet = manifest(*(spec(label) for label in labels))
    line = check(fleet, seen(LATE, *labels), identity=True).sentence
    assert line == "50 labels are overdue: bot-00, bot-01, bot-02 and 47 more"


def test_an_old_snapshot_is_no_proof() -> None:
    """The job that takes it may have died while all was well."""
    what = seen(WELL, "bot")
    days = [check(BOT, what, now_ms=NOW_MS + days * DAY_MS) for days in (2, 5)]
    assert [one.exit_code for one in days] == [Exit.DONE, Exit.ERROR]
    assert days[1].sentence == "what is known is 5 days old"


def test_of_several_manifests_each_is_named() -> None:
    """The worst counts."""
    fine = status_of(BOT, seen(WELL, "bot"))
    late: Status = dataclasses.replace(status_of(BOT, seen(LATE, "bot")), place="kv/other")
    assert check_of([fine, late], identity=True) == Check(
        exit_code=Exit.ERROR, sentence="kv/other: bot is overdue: due by its age"
    )


@pytest.mark.parametrize(
    ("gone", "expected"), [(False, Exit.DONE), (True, Exit.ERROR)], ids=["it works", "it is gone"]
)
def test_a_wait_for_a_path_does_not_hide_what_is_broken(*, gone: bool, expected: Exit) -> None:
    """The path is that of a label which is held, perhaps for weeks."""
    memory, tokens = known(WELL, "bot", "owner")
    stays = dataclasses.replace(
        spec("owner", path="away"), hold_until_ms=NOW_MS + DAY_MS, hold_reason="freeze"
    )
    listed = [token for token in tokens if not (gone and token.label == "bot")]
    found = check(manifest(spec("bot", path="owner"), stays), observed(memory, *listed))
    assert found.exit_code is expected, found
    assert ("bot is broken" in found.sentence) is gone


@pytest.mark.parametrize(
    ("gone", "lost", "expected"),
    [(True, False, Exit.ERROR), (False, True, Exit.ERROR), (False, False, Exit.DONE)],
    ids=["its token is gone", "its secret is lost", "all is in place"],
)
def test_a_hold_does_not_hide_what_is_broken(*, gone: bool, lost: bool, expected: Exit) -> None:
    """Nothing is rotated while a label is held, and its consumers have no token."""
    memory, tokens = known(WELL if gone or lost else LATE, "bot")
    whole = observed(memory, *(() if gone else tokens))
    if lost:
        ended = SecretMeta(latest=1, state=VersionState.DELETED, destroyed=True)
        whole = dataclasses.replace(whole, secrets={**whole.secrets, "bot": ended})
    held = dataclasses.replace(spec("bot"), hold_until_ms=NOW_MS + DAY_MS, hold_reason="freeze")
    status = status_of(manifest(held), whole)
    broken = expected is Exit.ERROR
    reason = Reason.HOLD_BROKEN if broken else Reason.HOLD_UNTIL
    assert [token.reason for token in status.tokens] == [reason]
    check = check_of([status])
    assert check.exit_code is expected, check
    if broken:
        assert check.sentence == f"bot is broken: {SENTENCES[Reason.HOLD_BROKEN]}"
    assert plan(manifest(held), whole, now_ms=NOW_MS).reached is not broken
