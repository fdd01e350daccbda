"""When rotations happen: outside their window and before the end of a hold they wait,
an emergency waits for neither.

The exchange's clock is moved; what is due, and what is open, is judged by it.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
from typing import Any

import pytest

from tests.support.fleet import Fleet

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def exchange_now(fleet: Fleet) -> dt.datetime:
    """What the exchange's clock shows, in UTC."""
    return dt.datetime.fromtimestamp(fleet.sandbox.state.now_ms() / 1000, tz=dt.UTC)


def window(fleet: Fleet, *, in_days: int) -> str:
    """A window of two whole days, the first of which is in so many days."""
    first = exchange_now(fleet).weekday() + in_days
    return f"{DAYS[first % 7]},{DAYS[(first + 1) % 7]} 00:00-24:00 UTC"


def day(fleet: Fleet, *, in_days: int) -> str:
    """A day by the exchange's clock, as a manifest has it."""
    return f"{exchange_now(fleet) + dt.timedelta(days=in_days):%Y-%m-%d}"


def rows(fleet: Fleet, *flags: str) -> dict[str, tuple[str, str]]:
    """Action and reason of each label's row in a plan."""
    plan = json.loads(fleet.must("plan", "--format", "json", *flags).out)
    return {row["label"]: (row["action"], row["reason"]) for row in plan["changes"]}


def status(fleet: Fleet, label: str) -> dict[str, Any]:
    """How a label stands."""
    document = json.loads(fleet.must("status", "--format", "json").out)
    (token,) = (t for t in document["tokens"] if t["label"] == label)
    assert isinstance(token, dict)
    return token


def token_of(fleet: Fleet, path: str = "bot") -> str | None:
    """The id of the token that consumers of a path find."""
    return fleet.secret(path).field("token_id")


@pytest.fixture
def aged(fleet: Fleet) -> Fleet:
    """A label that is due by its age, and a manager that never is."""
    fleet.defaults = {"overlap": "1h", "rotate_after": "never"}
    fleet.begin({"label": "bot", "rotate_after": "30d"})
    fleet.later(days=30)
    return fleet


def test_a_window(aged: Fleet) -> None:
    """Held outside, rotated inside, and quiet after that."""
    before = token_of(aged)
    bot = {"label": "bot", "rotate_after": "30d", "window": window(aged, in_days=2)}
    aged.write(bot)
    with aged.untouched():
        done = aged.must("apply", "--yes")
    assert done.last_line == "applied 0, failed 0, held 1, not tried 0"
    opens = f"opens {day(aged, in_days=2)}T00:00:00.000Z"
    assert f"due, but outside of the windows in which a rotation may start: {opens}" in done.out
    assert opens in aged.must("plan").out
    assert aged.attempt("plan", "--detailed-exitcode").code == 0
    token = status(aged, "bot")
    assert (token["state"], token["reason"], token["window"]) == ("due", "window", [bot["window"]])
    assert token["opens_at"] == f"{day(aged, in_days=2)}T00:00:00.000Z"

    aged.later(days=2)
    assert rows(aged)["bot"] == ("rotate", "due")
    assert aged.must("apply", "--yes").last_line.startswith("applied 1,")
    assert token_of(aged) != before
    assert status(aged, "bot")["opens_at"] > f"{day(aged, in_days=24)}"
    aged.assert_whole()
    aged.assert_quiet()


def test_the_window_holds_what_is_due_and_nothing_else(aged: Fleet) -> None:
    """A change of scopes, a rotation that a person asks for, and a clean-up go on."""
    shut = window(aged, in_days=2)
    bot = {"label": "bot", "rotate_after": "30d", "window": shut}
    aged.write({**bot, "scopes": ["trading", "withdrawal"]})
    assert rows(aged)["bot"] == ("rotate", "scopes_widened")
    aged.write(bot)
    first = token_of(aged)
    assert aged.must("rotate", "--target", "bot", "--yes").last_line.startswith("applied 1,")
    aged.later(hours=3)
    aged.use("bot")
    assert rows(aged, "--only", "cleanup")["bot"] == ("revoke", "superseded")
    aged.must("apply", "--yes")
    assert [t.token_id for t in aged.live("bot")] == [token_of(aged)] != [first]
    aged.assert_whole()


def test_an_emergency_waits_for_no_window(aged: Fleet) -> None:
    """``rotate --compromised`` outside the window, and during a hold."""
    for key in ("window", "hold_until"):
        bot: dict[str, object] = {"label": "bot", "rotate_after": "30d"}
        if key == "window":
            bot["window"] = window(aged, in_days=2)
        else:
            bot |= {"hold_until": day(aged, in_days=10), "hold_reason": "freeze"}
        aged.write(bot)
        before = token_of(aged)
        aged.must("rotate", "--compromised", "--target", "bot", "--yes")
        assert [t.token_id for t in aged.live("bot")] == [token_of(aged)] != [before]
        aged.assert_whole()


def test_a_plan_that_is_applied_after_its_window(aged: Fleet) -> None:
    """It was approved while the window was open; the rotation waits for another one."""
    aged.write({"label": "bot", "rotate_after": "30d", "window": window(aged, in_days=0)})
    aged.must("plan", "--out", "plan.json")
    before = token_of(aged)
    aged.later(days=3)
    with aged.untouched():
        done = aged.must("apply", "--plan", "plan.json", "--yes")
    assert done.last_line == "applied 0, failed 0, held 1, not tried 0"
    assert "outside of the windows" in done.out
    aged.later(days=4)
    aged.must("apply", "--yes")
    assert token_of(aged) != before


def test_a_hold(aged: Fleet) -> None:
    """No rotation, whoever asks, and the reason wherever somebody looks; over by
    itself.
    """
    before = token_of(aged)
    until = day(aged, in_days=10)
    aged.write(
        {
            "label": "bot",
            "rotate_after": "30d",
            "scopes": ["trading", "withdrawal"],
            "hold_until": until,
            "hold_reason": "freeze until the audit is over",
            "owner": "trading desk",
        }
    )
    told = f"until {until}, freeze until the audit is over, ask trading desk"
    with aged.untouched():
        assert told in aged.must("apply", "--yes").out
        assert told in aged.must("plan").out
        assert told in aged.must("plan", "--format", "markdown").out
        assert told in aged.must("status").out
        done = aged.attempt("rotate", "--target", "bot", "--yes")
    assert (done.code, token_of(aged)) == (4, before)
    assert "because the manifest holds it: bot" in done.err
    token = status(aged, "bot")
    assert (token["hold_until"], token["owner"]) == (f"{until}T00:00:00.000Z", "trading desk")

    aged.later(days=11)
    aged.must("apply", "--yes")
    assert token_of(aged) != before
    aged.assert_whole()
    assert status(aged, "bot")["hold_until"] is None


def test_a_hold_leaves_a_token_that_was_revoked_where_it_is(aged: Fleet) -> None:
    """Somebody may have revoked it for the very reason of the hold.

    Nobody has a working token meanwhile, which only a person mends: no command says
    that all is well.
    """
    hold = {"hold_until": day(aged, in_days=10), "hold_reason": "incident"}
    aged.write({"label": "bot", **hold})
    (token,) = aged.live("bot")
    aged.sandbox.state.revoke_by_hand(token.token_id)
    with aged.untouched():
        done = aged.attempt("apply", "--yes")
        assert done.code == 4, done
        assert aged.attempt("plan", "--detailed-exitcode").code == 2
        assert aged.attempt("plan").code == 0
        check = aged.attempt("status", "--check")
        assert check.code == 1, check
        assert check.out.startswith("bot is broken: its token is gone or its secret lost, and")
    assert "incident; what waits: its token is gone from the exchange" in done.out
    assert "no working token, and the manifest holds it: bot (take its hold_until out" in done.err
    aged.write({"label": "bot"})
    aged.must("apply", "--yes")
    aged.assert_whole()


def test_a_hold_keeps_the_secret_that_consumers_have(aged: Fleet) -> None:
    """A rotation that waits for other scopes and another path mends nothing meanwhile.

    So the secret that a person wrote over comes back where it lay.
    """
    hold = {"hold_until": day(aged, in_days=10), "hold_reason": "freeze"}
    aged.write({"label": "bot", "path": "prod/bot", "scopes": ["trading", "withdrawal"], **hold})
    token_id = token_of(aged)
    with aged.store() as store:
        store.write(f"{aged.prefix}/bot", {"note": "by hand"}, cas=aged.secret("bot").version)
    assert rows(aged)["bot"] == ("restore", "secret_moved")
    aged.must("apply", "--yes")
    assert token_of(aged) == token_id
    assert rows(aged)["bot"] == ("hold", "hold_until")
    with aged.untouched():
        aged.must("apply", "--yes")


def test_two_labels_are_due_on_different_days(fleet: Fleet) -> None:
    """Derived in one second; the day of each is the one that status and plan tell."""
    fleet.defaults = {"overlap": "1h", "rotate_after": "never"}
    labels = ("bot-a", "bot-b", "bot-c")
    fleet.begin(*({"label": label, "rotate_after": "300d"} for label in labels))
    due = {label: dt.datetime.fromisoformat(status(fleet, label)["due_at"]) for label in labels}
    begun = exchange_now(fleet)
    waits = sorted((at - begun) / dt.timedelta(days=1) for at in due.values())
    assert all(270 < wait < 300 for wait in waits)
    assert min(later - sooner for sooner, later in itertools.pairwise(waits)) > 1
    first, *others = sorted(due, key=lambda label: due[label])
    fleet.later(days=waits[0] + 0.01)
    found = rows(fleet)
    assert found[first] == ("rotate", "due")
    assert [found[label] for label in others] == [("keep", "in_sync")] * 2


def test_unattended_in_the_window(fleet: Fleet) -> None:
    """A rotation from the reserve waits for its window too, without an identity and
    without a failure; an emergency outside of it takes the reserve at once.
    """
    fleet.defaults = {"overlap": "1h", "rotate_after": "never"}
    bot: dict[str, object] = {"label": "bot", "rotate_after": "30d", "reserve": 1}
    fleet.begin(bot)
    ready = [t.token_id for t in fleet.live("bot") if t.token_id != token_of(fleet)]
    fleet.later(days=30)
    bot["window"] = window(fleet, in_days=2)
    fleet.write(bot)
    alone = {"LIMITLESS_IDENTITY_TOKEN": None}
    with fleet.untouched():
        fleet.must("apply", "--yes", environ=alone)
    fleet.later(days=2)
    fleet.must("apply", "--yes", environ=alone)
    assert [token_of(fleet)] == ready

    fleet.later(days=3)
    fleet.must("apply", "--yes")
    fleet.later(days=31)
    ready = [t.token_id for t in fleet.live("bot") if t.token_id != token_of(fleet)]
    bot["window"] = window(fleet, in_days=2)
    fleet.write(bot)
    before = token_of(fleet)
    fleet.must("rotate", "--compromised", "--target", "bot", "--yes", environ=alone)
    assert token_of(fleet) in ready
    assert before not in {t.token_id for t in fleet.live("bot")}
    fleet.assert_whole(stocked=False)
