"""What a real browser shows of the page of ``status``, and what axe-core and an HTML
validator say of it.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.e2e.conftest import NewFleet, new_fleet
from tests.look.chromium import Seen, Sight, look
from tests.look.pictures import (
    DOCS_PICTURE,
    SCHEMES,
    SIZES,
    WIDTHS,
    hash_in,
    page_hash,
    take_docs_picture,
    take_pictures,
    write_page,
)

pytestmark = pytest.mark.look
__all__ = ["new_fleet"]

DOCS_PICTURE_MOST_BYTES = 150_000
A4_PX = 703
"""The width of a sheet between usual margins, in pixels of CSS."""

ROW_MOST_PX = 110
"""The height of a label's row on paper, with its share of everything else."""


def assert_good(sight: Sight, seen: Seen) -> None:
    """Nothing to complain of, nothing asked for, and nothing to scroll sideways for."""
    assert seen.violations == [], sight
    assert seen.messages == [], sight
    assert seen.requests == [], sight
    assert seen.width == sight.width, sight


def test_the_page_is_accessible_and_fits(tmp_path: Path) -> None:
    """Light and dark, wide and on a phone, with few and with many labels: axe-core
    finds no violation, also in what is folded away, and the validator no mistake.
    """
    sights = [
        Sight(file=write_page(tmp_path, size), width=width, scheme=scheme)
        for size, width, scheme in itertools.product(SIZES, WIDTHS, SCHEMES)
    ]
    for sight, seen in zip(sights, look(sights), strict=True):
        assert_good(sight, seen)


def test_the_page_can_be_printed(tmp_path: Path) -> None:
    """On paper everything is open, within its width, and a label takes a row of a table
    and no card.
    """
    file = write_page(tmp_path, 300)
    paper = Sight(file=file, width=A4_PX, scheme="print", shot=tmp_path / "paper.png", most_px=9)
    (printed,) = look([paper])
    assert_good(paper, printed)
    assert printed.height < 300 * ROW_MOST_PX


def test_the_page_of_a_real_run(new_fleet: NewFleet, tmp_path: Path) -> None:
    """From the sandbox and a real OpenBao, with labels that mean harm; and two places
    on one page.
    """
    pages = []
    with new_fleet() as fleet, new_fleet() as other:
        fleet.defaults = {"overlap": "26h"}
        fleet.begin(
            {"label": "<script>alert(1)</script>", "path": "a", "scopes": ["withdrawal"]},
            {"label": "an unreasonably-long-label-" + "x" * 100, "path": "b"},
        )
        fleet.must("rotate", "--target", "an*", "--yes")
        pages.append(fleet.must("status", "--format", "html").out)
        other.begin({"label": "bot"})
        for one in (fleet, other):
            one.must("observe", "--out", "observed.json")
        both = ("--observed", "observed.json", "--observed", str(other.folder / "observed.json"))
        pages.append(fleet.must("status", "--format", "html", *both).out)
    sights = []
    for number, page in enumerate(pages):
        file = tmp_path / f"{number}.html"
        file.write_text(page, encoding="utf-8")
        sights += [
            Sight(file=file, width=width, scheme=scheme)
            for width, scheme in itertools.product(WIDTHS, SCHEMES)
        ]
    for sight, seen in zip(sights, look(sights), strict=True):
        assert_good(sight, seen)


def test_a_bad_page_is_found_out(tmp_path: Path) -> None:
    """Pale text, a missing heading, a picture from elsewhere, a tag that is not closed,
    a line that is too long: each of them is seen.
    """
    file = tmp_path / "bad.html"
    file.write_text(
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>x</title></head><body>'
        '<p style="color:#aaa;background:#fff;width:3000px">pale</p><div>'
        '<img src="missing.png"></body></html>',
        encoding="utf-8",
    )
    (seen,) = look([Sight(file=file, width=390, scheme="light")])
    found = {violation.partition(":")[0] for violation in seen.violations}
    assert found >= {"color-contrast", "image-alt", "page-has-heading-one"}
    assert any("close-order" in message for message in seen.messages)
    assert [request.rpartition("/")[2] for request in seen.requests] == ["missing.png"]
    assert seen.width > 390


def test_pictures_can_be_taken(tmp_path: Path) -> None:
    """The command in the contributors' page makes eight, none of them empty."""
    pictures = take_pictures(tmp_path)
    assert len(pictures) == len(SIZES) * len(WIDTHS) * len(SCHEMES)
    assert all(picture.stat().st_size > 20_000 for picture in pictures)


def test_the_picture_in_the_docs_is_of_this_page(tmp_path: Path) -> None:
    """It is small, and of the page as it is: `python -m tests.look` takes it anew."""
    picture = DOCS_PICTURE.read_bytes()
    assert hash_in(picture) == page_hash(), "run `.venv/bin/python -m tests.look`"
    assert len(picture) <= DOCS_PICTURE_MOST_BYTES
    again = take_docs_picture(tmp_path)
    assert hash_in(again) == page_hash()
    assert len(again) <= DOCS_PICTURE_MOST_BYTES
