"""``status`` of snapshots: without any credential, of one manifest and of several."""

from __future__ import annotations

import json
from typing import Any

import html5lib
from icalendar import Calendar

from tests.e2e.conftest import NewFleet
from tests.support.fleet import Fleet, judged

BOT = {"label": "bot", "path": "prod/bot", "scopes": ["trading", "withdrawal"]}


def bare(fleet: Fleet) -> dict[str, str | None]:
    """An environment without address or credential."""
    return {**dict.fromkeys(fleet.environ), "COLUMNS": "120"}


def test_a_status_without_any_credential(fleet: Fleet) -> None:
    """A snapshot tells what was wanted as well; a manifest beside it wins over that."""
    fleet.begin(BOT)
    fleet.must("observe", "--out", "observed.json")
    there = judged("status", fleet.must("status", "--format", "json").out)
    (fleet.folder / "tokens.yaml").rename(fleet.folder / "later.yaml")
    shown = ("status", "--observed", "observed.json", "--format", "json")
    here = judged("status", fleet.must(*shown, environ=bare(fleet)).out)
    moving = {"as_of": "", "as_of_unix": 0, "tokens": "", "doubt_ms": 0}  # measured anew
    assert {**here, **moving} == {**there, **moving}
    assert [t["wanted_scopes"] for t in here["tokens"]] == [
        t["wanted_scopes"] for t in there["tokens"]
    ]
    (fleet.folder / "later.yaml").rename(fleet.folder / "tokens.yaml")
    fleet.write({**BOT, "scopes": ["trading"]})
    beside = judged("status", fleet.must(*shown, "tokens.yaml", environ=bare(fleet)).out)
    assert beside["summary"] == {"ok": 1, "drifted": 1}
    assert judged("status", fleet.must(*shown, environ=bare(fleet)).out) == here


def test_every_format_of_a_real_fleet(fleet: Fleet) -> None:
    """The table with scopes and path, the page, the calendar: by the program as it is
    installed, from a snapshot without any credential.
    """
    fleet.begin(BOT, {"label": "<b>desk</b>", "path": "desk"})
    fleet.must("observe", "--out", "observed.json")
    shown = ("status", "--observed", "observed.json")
    wide = fleet.ok(*shown, "--wide", environ=bare(fleet)).out
    assert "trading withdrawal!" in wide
    assert "prod/bot" in wide
    page = fleet.ok(*shown, "--format", "html", environ=bare(fleet)).out
    parser: Any = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    root = parser.parse(page)
    labels = [span.text for span in root.iter("span") if span.get("class") == "lab"]
    assert sorted(labels) == ["<b>desk</b>", "bot", "reconciler"]
    calendar: Any = Calendar.from_ical(fleet.ok(*shown, "--format", "ics", environ=bare(fleet)).out)
    dates = judged("status", fleet.ok(*shown, "--format", "json", environ=bare(fleet)).out)
    due = {token["due_at"][:19] for token in dates["tokens"]}
    assert {event["dtstart"].dt.isoformat()[:19] for event in calendar.events} == due
    sentence = fleet.refused(64, *shown, "--wide", "--format", "html", environ=bare(fleet))
    assert sentence == "--wide is for the table: --format html has everything"


def test_a_status_of_several_manifests(new_fleet: NewFleet) -> None:
    """Each is told by its place; two snapshots of one, or an old one, are refused."""
    with new_fleet() as alpha, new_fleet() as beta:
        for fleet, label in ((alpha, "bot"), (beta, "maker")):
            fleet.begin({"label": label})
            fleet.must("observe", "--out", "observed.json")
        others = beta.folder / "observed.json"
        both = ("status", "--observed", "observed.json", "--observed", str(others))
        nothing = bare(alpha)
        document = judged("statuses", alpha.must(*both, "--format", "json", environ=nothing).out)
        labels = {s["place"]: [t["label"] for t in s["tokens"]] for s in document["statuses"]}
        assert labels == {
            f"{alpha.mount}/{alpha.prefix}": ["bot", "reconciler"],
            f"{beta.mount}/{beta.prefix}": ["maker", "reconciler"],
        }
        part = alpha.must(*both, "--target", "maker", environ=nothing).out
        assert beta.prefix in part
        assert alpha.prefix not in part
        same = (*both, "--observed", "observed.json")
        sentence = alpha.refused(64, *same, environ=nothing)
        assert (
            sentence
            == f"two snapshots are of {alpha.mount}/{alpha.prefix}: give the newer one alone"
        )
        assert "name no manifest" in alpha.refused(64, *both, "tokens.yaml", environ=nothing)
        document = json.loads(others.read_text())
        document["place"] = f"{alpha.mount}/{alpha.prefix}"
        document["desired"].update(mount=alpha.mount, prefix=alpha.prefix)
        others.write_text(json.dumps(document))
        alpha.must(*both, "--format", "html", environ=nothing)
        sentence = alpha.refused(64, *both, "--format", "prometheus", environ=nothing)
        assert f"two snapshots are of {document['place']}, at two exchanges" in sentence
        del document["desired"]
        others.write_text(json.dumps(document))
        sentence = alpha.refused(1, *both, environ=nothing)
        assert sentence.startswith(f"{others}: it does not say what was wanted")
