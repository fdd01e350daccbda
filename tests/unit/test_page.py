"""Claims about the page of ``status``, as a parser of HTML reads it.

What a browser shows of it is judged by ``make look``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import pytest
from hypothesis import HealthCheck, given, settings

from reconciler.escape import safe
from reconciler.model import DAY_MS, HOUR_MS, instant_ms, iso
from reconciler.plan import SENTENCES, Reason, Status, dates_of, status_of
from reconciler.render import html_page
from reconciler.render.status import when
from reconciler.render.words import said
from tests.support.hostile import assert_harmless, text_without_surrogates
from tests.support.showcase import a_fleet
from tests.support.values import (
    NOW_MS,
    entry,
    ledger,
    live,
    manifest,
    observed,
    retiring,
    spec,
)
from tests.support.worlds import Scene, scenes

QUICK = settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TAGS = frozenset(
    re.findall(
        r"\w+",
        "html head meta title style body header nav main section footer h1 h2 h3 h4 p ul li a "
        "div span strong code time table caption thead tbody tr th td details summary svg rect "
        "path",
    )
)
ATTRIBUTES = frozenset(
    re.findall(
        r"\S+",
        "lang charset name content id class href aria-labelledby aria-label aria-hidden scope "
        "data-h datetime viewBox preserveAspectRatio x y width height d",
    )
)


def parsed(page: str) -> Element:
    """The page as its tree. AssertionError where it is not well formed."""
    parser: Any = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    root: Element = parser.parse(page)
    return root


def plain(element: Element) -> str:
    """All words of an element in a line, as a reader comes upon them."""
    return " ".join("".join(element.itertext()).split())


def part(root: Element, anchor: str) -> Element:
    """The section below a heading."""
    (found,) = (s for s in root.iter("section") if s.get("aria-labelledby") == anchor)
    return found


def rows(section: Element) -> list[list[str]]:
    """The cells of a section's tables."""
    return [[plain(cell) for cell in row] for row in section.iter("tr")]


def links(root: Element) -> Iterator[str]:
    """Where the page leads."""
    return (str(a.get("href")) for a in root.iter("a"))


def names_of(element: Element) -> tuple[str, list[str]]:
    """A tag and its attributes, without the name space of drawings."""
    bare = [re.sub(r"^\{[^}]*\}", "", name) for name in (element.tag, *element.keys())]
    return bare[0], bare[1:]


# --- what it is made of ---


@pytest.mark.parametrize("size", [0, 1, 8, 300])
def test_the_page_is_one_file_of_plain_parts(size: int) -> None:
    """No script, no form, nothing from elsewhere; each link leads to a part of it."""
    page = html_page([a_fleet(size)])
    root = parsed(page)
    for element in root.iter():
        tag, attributes = names_of(element)
        assert tag in TAGS
        assert set(attributes) <= ATTRIBUTES
    ids = [str(element.get("id")) for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert {link[0] for link in links(root)} == {"#"}
    assert {link[1:] for link in links(root)} <= set(ids)
    assert "url(" not in page
    assert "@import" not in page


@QUICK
@given(scenes(text_without_surrogates()))
def test_no_label_harms_the_page(scene: Scene) -> None:
    """Whatever the labels: nothing but our own elements, and nothing that hides."""
    status = status_of(scene.desired, scene.observed)
    page = html_page([status, dataclasses.replace(status, place="<b>other</b>")])
    assert_harmless(page)
    for element in parsed(page).iter():
        tag, attributes = names_of(element)
        assert tag in TAGS
        assert set(attributes) <= ATTRIBUTES


@pytest.mark.parametrize(
    "label",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "'onmouseover='alert(1)",
        "</title></style></section>",
        "right\u202eto left",
        "a\x00b\x1b[31m",
        "&lt;b&gt;",
        "`reconciler forget`",
    ],
)
def test_a_hostile_label_is_read_as_it_is(label: str) -> None:
    """It stands on the page as text, with what can't be seen made visible."""
    memory = ledger({label: entry("id-1", label)})
    page = html_page([status_of(manifest(spec(label)), observed(memory, live("id-1", label)))])
    (cell,) = (e for e in parsed(page).iter("span") if e.get("class") == "lab")
    assert plain(cell) == " ".join(safe(label).split())


def test_the_same_statuses_give_the_same_page() -> None:
    """To the byte, and in the order that they are given."""
    assert html_page([a_fleet(40)]) == html_page([a_fleet(40)])


def test_the_page_needs_no_character_that_a_font_may_lack() -> None:
    """Beside ASCII only what short ids and every Latin font have."""
    assert set(html_page([a_fleet(300)])) - set(map(chr, range(128))) <= {"…"}


# --- what it says ---


def test_what_needs_a_person_comes_first() -> None:
    """Then what is broken or overdue, then what the next apply does."""
    fleet = a_fleet(8)
    (backtest,) = (token for token in fleet.tokens if token.label == "backtest")
    root = parsed(html_page([fleet]))
    heads = [plain(h) for h in root.iter("h2")]
    assert heads == [
        "What needs a person",
        "The next 90 days",
        "Every label",
        "Who may do what",
        "What was done last",
    ]
    told = [[plain(div) for div in li] for li in part(root, "needs").iter("li")]
    assert told == [
        ["onboarding", f"{SENTENCES[Reason.TWIN]} (72b33a1cb0bfc9cdd3db01) (ask partners)"],
        ["arb-bot, backtest", "to derive, an apply needs an identity token"],
        ["arb-bot broken", "the secret is lost"],
        ["backtest overdue", said(backtest.reason, backtest.note)],
        ["old-desk not desired", "not in the manifest any more"],
    ]


@pytest.mark.parametrize(
    ("expected", "age_days", "lives"),
    [
        ("all is well: 1 label", 1, True),
        ("1 waiting for an identity token; 1 to be changed by the next apply", 29, True),
        ("1 broken or overdue; 1 waiting for an identity token", 40, True),
        ("1 broken or overdue; 1 waiting for an identity token", 1, False),
    ],
)
def test_the_verdict_is_the_most_urgent_thing(expected: str, age_days: int, lives: bool) -> None:  # noqa: FBT001  # a column of a table
    """In words, at the top."""
    memory = ledger({"bot": entry("id-1", "bot", age_ms=age_days * DAY_MS)})
    tokens = [live("id-1", "bot", age_ms=age_days * DAY_MS)] if lives else []
    root = parsed(html_page([status_of(manifest(spec("bot")), observed(memory, *tokens))]))
    (verdict,) = (p for p in root.iter("p") if str(p.get("class")).startswith("verdict"))
    assert plain(verdict) == expected


def test_the_sheet_counts_what_the_days_name() -> None:
    """Every date within 90 days, once in each; what is late stands by itself."""
    fleet = a_fleet(300)
    end_ms = NOW_MS - NOW_MS % DAY_MS + 90 * DAY_MS
    coming = [date for date in dates_of(fleet) if NOW_MS <= date.at_ms < end_ms]
    late = [date for date in dates_of(fleet) if date.at_ms < NOW_MS]
    root = parsed(html_page([fleet]))
    calendar = part(root, "calendar")
    (sheet,) = calendar.iter("table")
    marks = [plain(span) for a in sheet.iter("a") for span in a if span.get("class") == "vh"]
    assert sum(int(mark.split()[0]) for mark in marks) == len(coming)
    assert {mark.split(maxsplit=1)[1] for mark in marks} <= {
        *("rotation", "rotations"),
        *("end of an overlap", "ends of overlaps"),
        *("end of a reserve", "ends of reserves"),
        *("end of a hold", "ends of holds"),
    }
    days = [d for d in calendar.iter("div") if d.get("class") == "day" and d.get("id")]
    assert sum(1 for day in days for _ in day.iter("a")) == len(coming)
    (late_rotations, late_overlaps) = (
        d for d in calendar.iter("div") if d.get("class") == "day" and not d.get("id")
    )
    assert len(late) == 2
    assert re.search(r"backtest due since 2026-11-\d\d \d\d:\d\d \dd ago", plain(late_rotations))
    assert "hedger-eu" in plain(late_overlaps)


@pytest.mark.parametrize(("hours", "shown"), [(-1, True), (1, False)])
def test_the_sheet_ends_with_a_whole_day(hours: int, shown: bool) -> None:  # noqa: FBT001  # a column of a table
    """A date within the last day of the sheet is named, one of the next day is not."""
    midnight_ms = NOW_MS - NOW_MS % DAY_MS + 90 * DAY_MS
    memory = ledger({"bot": entry("id-1", "bot")})
    whole = status_of(manifest(spec("bot")), observed(memory, live("id-1", "bot")))
    token = dataclasses.replace(whole.tokens[0], due_at_ms=midnight_ms + hours * HOUR_MS)
    status = dataclasses.replace(whole, tokens=(token,))
    calendar = part(parsed(html_page([status])), "calendar")
    assert ("1 date later than that." in plain(calendar)) != shown
    assert {str(a.get("href")) for a in calendar.iter("a")} <= {
        "#l0-0",
        *(f"#{d.get('id')}" for d in calendar.iter("div") if d.get("id")),
    }


@pytest.mark.parametrize(
    "as_of", ["1970-01-01T00:00:00Z", "2028-02-29T23:59:59Z", "9999-12-31T23:59:59.999Z"]
)
def test_a_calendar_begins_on_any_day(as_of: str) -> None:
    """The last one of all as well."""
    status = dataclasses.replace(a_fleet(8), as_of_ms=instant_ms(as_of))
    (sheet,) = part(parsed(html_page([status])), "calendar").iter("table")
    assert plain(sheet).count(", today") >= 1


def test_every_label_says_in_words_what_its_line_draws() -> None:
    """Its age, its days, its last use; of an old token the end of its overlap."""
    old = retiring("id-old-token-0", "bot", superseded_age_ms=2 * DAY_MS, overlap_ms=5 * DAY_MS)
    memory = ledger(
        {
            "bot": dataclasses.replace(
                entry("id-new-token-1", "bot", age_ms=2 * DAY_MS), retiring=(old,)
            )
        }
    )
    tokens = (
        live("id-new-token-1", "bot", age_ms=2 * DAY_MS, unused_for_ms=HOUR_MS),
        live("id-old-token-0", "bot", age_ms=32 * DAY_MS, unused_for_ms=2 * HOUR_MS),
    )
    status = status_of(manifest(spec("bot")), observed(memory, *tokens))
    due_ms = status.tokens[0].due_at_ms
    assert due_ms is not None
    root = parsed(html_page([status]))
    head, row = rows(part(root, "labels"))
    assert head == [
        "Label",
        "State",
        "45 days back, 90 ahead",
        "Age",
        "Due",
        "Used last",
        "Secret",
    ]
    assert row == [
        "botbottrading",
        (
            "drainingold id-o…en-0: superseded 2d ago, used 2h ago, overlap ends 2026-11-25 08:30; "
            "hold: the predecessor lives on through its overlap"
        ),
        "",
        "2d/30d",
        f"{iso(due_ms)[:16].replace('T', ' ')} {when(due_ms, NOW_MS)}",
        "2026-11-22 07:30 1h ago",
        "v1 id-n…en-1",
    ]


def test_when_a_rotation_may_start_is_told_with_the_hold_and_whom_to_ask() -> None:
    """At the label: windows, when it may start, a hold and its reason, the owner."""
    root = parsed(html_page([a_fleet(8)]))
    table = {plain(r): r for r in part(root, "labels").iter("tr")}
    (hedger,) = (row for row in table if row.startswith("hedger-eu"))
    assert re.search(r"may start \d{4}-\d\d-\d\d \d\d:\d\d in \d+d", hedger)
    assert "window Mon-Thu 09:00-15:00 Europe/Berlin" in hedger
    (withdrawer,) = (row for row in table if row.startswith("withdrawer"))
    assert "not rotated until 2027-01-04 00:00: audit of the year" in withdrawer
    assert any("owner: trading desk" in row for row in table)
    days = [plain(li) for li in part(root, "calendar").iter("li")]
    assert "end of a hold00:00 withdrawer audit of the year" in days


def test_a_reserve_is_told_with_how_long_it_lasts() -> None:
    """At the label, in the calendar, and for the whole fleet at the top."""
    fleet = a_fleet(8)
    root = parsed(html_page([fleet]))
    (row,) = (r for r in part(root, "labels").iter("tr") if "withdrawer" in plain(r))
    assert re.search(r"reserve: 2 of 2 ready, lasts until \d{4}-\d\d-\d\d", plain(row))
    assert [plain(s) for s in part(root, "calendar").iter("span")].count("end of a reserve") == 2
    assert "A rotation needs a person now: backtest has no successor ready." in plain(root)
    assert fleet.unattended is not None
    later = dataclasses.replace(fleet.unattended, at_ms=NOW_MS + DAY_MS, label="bot", left=1)
    page = html_page([dataclasses.replace(fleet, unattended=later)])
    told = "No rotation by age needs a person until 2026-11-23 08:30: bot has 1 successor ready."
    assert told in plain(parsed(page))


def test_who_may_do_what() -> None:
    """The powerful scopes first, in words; an old token holds what it holds."""
    found = rows(part(parsed(html_page([a_fleet(8)])), "scopes"))
    assert [row[:2] for row in found] == [
        ["Scope", "Tokens"],
        ["delegated_signing (powerful)", "2"],
        ["withdrawal (powerful)", "3"],
        ["account_creation", "2"],
        ["trading", "12"],
    ]
    assert found[1][2].startswith("production-bot, production-bot (old ")


def test_many_that_are_well_are_folded_away() -> None:
    """What is wrong stays open, and what is alike stands in one line."""
    few, many = (part(parsed(html_page([a_fleet(n)])), "labels") for n in (8, 300))
    folds = [plain(s) for s in many.iter("summary")]
    assert [plain(s) for s in few.iter("summary")] == []
    assert len(folds) == 2
    assert re.fullmatch(r"\d+ labels under way, or waiting", folds[0])
    assert re.fullmatch(r"\d+ labels well", folds[1])
    assert len(list(many.iter("tr"))) == 300 + len(list(many.iter("table")))


def test_what_was_done_last() -> None:
    """The newest first, and who is at work."""
    found = rows(part(parsed(html_page([a_fleet(8)])), "past"))
    assert found[0] == ["When", "Label", "What", "Token"]
    whens = [row[0] for row in found[1:]]
    assert whens == sorted(whens, reverse=True)
    assert ["2026-11-21 02:30 1d ago", "(manifest)", "the manifest was applied", "-"] in found


def test_several_statuses_are_one_page() -> None:
    """Each label is told with its place, and the verdict is of all together."""
    beta: Status = dataclasses.replace(a_fleet(8), place="secret/beta")
    root = parsed(html_page([a_fleet(8), beta]))
    (title,) = root.iter("title")
    assert plain(title) == "API tokens of 2 manifests"
    needs = plain(part(root, "needs"))
    assert "secret/p onboarding" in needs
    assert "secret/beta onboarding" in needs
    (verdict,) = (p for p in root.iter("p") if str(p.get("class")).startswith("verdict"))
    assert "2 decisions for a person; 4 broken or overdue" in plain(verdict)
    assert {link[1:] for link in links(root)} <= {e.get("id") for e in root.iter() if e.get("id")}


def test_two_exchanges_at_one_place_are_told_apart() -> None:
    """Production and staging may have a Vault each, and the same mount and prefix."""
    staging = dataclasses.replace(a_fleet(8), api_url="https://staging.example")
    needs = plain(part(parsed(html_page([a_fleet(8), staging])), "needs"))
    assert "secret/p at https://api.example onboarding" in needs
    assert "secret/p at https://staging.example onboarding" in needs
